// One chart: a title, what it says now, the curves, and a legend in words.

import uPlot from 'uplot';
import { h, say } from './dom.js';
import { clock, clockMinute } from './format.js';
import { span } from './history.js';

const stepped = uPlot.paths.stepped({ align: -1 });
const axisWidth = 40; // or more: the longest label is seen whole
const axisGap = 6;
const font = '11px system-ui, sans-serif';
const edge = 12; // seconds ahead of the end, where a time of day has no room
const binary = Array.from({ length: 50 }, (_, i) => 2 ** i);
const probe = document.createElement('i');
const pen = document.createElement('canvas').getContext('2d');

// colour resolves a custom property: the canvas knows none, nor light-dark().
function colour(name, alpha = 1) {
  if (!probe.isConnected) {
    probe.hidden = true;
    document.body.append(probe);
  }
  probe.style.color = `color-mix(in srgb, var(--${name}) ${alpha * 100}%, transparent)`;
  return getComputedStyle(probe).color;
}

// roomFor is the width that labels need beside the axis.
function roomFor(labels) {
  pen.font = font;
  return Math.max(axisWidth, ...labels.map((label) => Math.ceil(pen.measureText(label).width) + axisGap));
}

// Chart shows what options.read makes of the points: for each curve
//
//	{ key, label, colour, values, dash, area, stack, unplotted, text }
//
// values has null where nothing is known. Those with stack are put upon each other, up
// with 1 and down with -1. One that is unplotted is in the legend alone. text writes a
// value there; options.text, unless told.
export class Chart {
  #options;
  #legend;
  #canvas;
  #plot = null;
  #shape = '';
  #curves = [];
  #points = [];
  #hovered = null;
  #observer;

  // options: title, read, text, axis (writes a value of the scale), least (the scale
  // ends there or above), base (of the units: 1000 or 1024), height, quiet (no axis of
  // time).
  constructor(root, options) {
    this.#options = { text: String, axis: String, least: 1, base: 1000, height: 120, ...options };
    this.#canvas = h('div', { class: 'plot', 'aria-hidden': 'true' });
    this.#canvas.style.height = `${this.#options.height}px`;
    this.#legend = h('ul', { class: 'legend' });
    root.append(
      h('div', { class: 'curves' }, options.title ? h('h2', {}, options.title) : null, this.#canvas),
      this.#legend,
    );
    this.#observer = new ResizeObserver(() => this.#plot?.setSize(this.#size()));
    this.#observer.observe(this.#canvas);
  }

  // draw shows the points, up to now in seconds.
  draw(points, now) {
    this.#points = points;
    this.#curves = this.#options.read(points);
    const shape = this.#curves.map((c) => c.key).join();
    if (!this.#plot || shape !== this.#shape) this.#begin();
    const data = this.#data();
    const first = data[0][0] ?? now; // a page that has just been opened shows a minute
    this.#plot.batch(() => {
      this.#plot.setData(data, false);
      this.#plot.setScale('x', { min: Math.min(now - 60, Math.max(now - span, first)), max: now });
    });
    this.#tell();
  }

  // restyle takes the colours that hold now.
  restyle() {
    if (this.#plot) this.#begin();
  }

  #begin() {
    this.#plot?.destroy();
    this.#shape = this.#curves.map((c) => c.key).join();
    this.#plot = new uPlot(this.#settings(), this.#data(), this.#canvas);
    this.#legend.replaceChildren(...this.#curves.map((c) => legendItem(c)));
    this.#tell();
  }

  #size() {
    return { width: Math.max(120, this.#canvas.clientWidth), height: this.#options.height };
  }

  // #data stacks. What is drawn first is the sum of all, the others cover it.
  #data() {
    const sums = { 1: null, [-1]: null };
    const columns = this.#curves.map(({ values, stack }) => {
      if (!stack) return values;
      const below = sums[stack];
      return (sums[stack] = values.map((v, i) => (v === null ? null : stack * v + (below?.[i] ?? 0))));
    });
    return [this.#points.map((p) => p.at), ...columns.reverse()];
  }

  #settings() {
    const { axis, least, base, height, quiet } = this.#options;
    const end = (n) => roundUp(n, least, base);
    const line = { stroke: colour('grid'), width: 1 };
    const text = { stroke: colour('muted'), font };
    return {
      ...this.#size(),
      legend: { show: false },
      cursor: {
        sync: { key: 'page' },
        drag: { x: false, y: false },
        y: false,
        points: { size: 5 },
      },
      scales: {
        x: { time: true },
        y: { range: (_, low, high) => [low < 0 ? -end(-low) : 0, end(high ?? 0)] },
      },
      axes: [
        { ...text, show: !quiet, size: 20, gap: 3, grid: { show: false }, ticks: { show: false }, space: 54, incrs: [60, 120], values: (plot, splits) => splits.map((s) => (s > plot.scales.x.max - edge ? '' : clockMinute(s * 1000))) },
        { ...text, size: (_, labels) => roomFor(labels ?? []), gap: axisGap, grid: line, ticks: { show: false }, space: height < 80 ? 14 : 26, incrs: base === 1024 ? binary : undefined, values: (_, splits) => splits.map((s) => axis(Math.abs(s))) },
      ],
      padding: [6, 4, quiet ? 6 : 0, 0],
      series: [{}, ...this.#curves.map((c) => series(c)).reverse()],
      hooks: {
        setCursor: [
          (plot) => {
            this.#hovered = plot.cursor.idx ?? null;
            this.#tell();
          },
        ],
      },
    };
  }

  // #tell writes the values of the moment under the pointer, or else the latest.
  #tell() {
    const i = this.#hovered ?? this.#points.length - 1;
    const at = this.#points[i]?.at;
    this.#legend.title = at ? clock(at * 1000) : '';
    [...this.#legend.children].forEach((item, n) => {
      const { values, text } = this.#curves[n] ?? {};
      const value = values?.[i];
      const write = text ?? this.#options.text;
      say(item.lastChild, value === null || value === undefined ? '–' : write(value, this.#points[i]));
    });
  }
}

const legendItem = (curve) => {
  const mark = h('i', { class: curve.area || curve.stack ? 'mark area' : curve.dash ? 'mark dashed' : 'mark', 'aria-hidden': 'true' });
  mark.style.color = `var(--${curve.colour})`;
  return h('li', {}, mark, h('span', { class: 'word' }, curve.label), h('b', {}));
};

function series(curve) {
  const stroke = colour(curve.colour);
  return {
    stroke,
    show: !curve.unplotted,
    width: curve.stack ? 0 : 1.5,
    dash: curve.dash ? [4, 3] : undefined,
    fill: curve.stack ? stroke : curve.area ? colour(curve.colour, 0.12) : undefined,
    fillTo: 0,
    paths: curve.stack ? stepped : undefined,
    points: { show: false },
    spanGaps: false,
  };
}

// roundUp is the next number such as 1, 1.5, 2, 3, 4, 5, 6 or 8 times a power of ten,
// and of the base.
function roundUp(n, least, base) {
  if (!(n > least)) return least;
  const unit = base === 1024 ? 1024 ** Math.floor(Math.log(n) / Math.log(1024)) : 1;
  const power = 10 ** Math.floor(Math.log10(n / unit)) * unit;
  return [1, 1.5, 2, 3, 4, 5, 6, 8].find((step) => step * power >= n * 1.02) * power || 10 * power;
}
