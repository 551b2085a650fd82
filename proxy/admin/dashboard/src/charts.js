// Which charts there are, and what each makes of the points.

import { byCause, causeColour, limitColour } from './causes.js';
import { Chart } from './chart.js';
import { h } from './dom.js';
import { bytes, compact, count, percent, rate, roundTrip, words } from './format.js';

const pick = (key) => (points) => points.map((p) => p[key] ?? null);

const curve = (key, label, colour, more = {}) => (points) => [{ key, label, colour, values: pick(key)(points), ...more }];

const all = (...curves) => (points) => curves.flatMap((c) => c(points));

// There if it was ever anything in these minutes.
const seldom = (make) => (points) => make(points).filter((c) => c.values.some((v) => v));

// namesOf lists the keys of a Map in the points that were ever above zero.
function namesOf(points, key) {
  const names = new Set();
  for (const p of points) for (const [name, value] of p[key] ?? []) if (value > 0) names.add(name);
  return [...names];
}

const valuesOf = (points, key, name) => points.map((p) => (p[key] ? (p[key].get(name) ?? 0) : null));

// Ended sessions go down, one colour a cause, those opened go up.
const endings = (points) =>
  namesOf(points, 'ended')
    .sort(byCause)
    .map((cause) => ({ key: cause, label: words(cause), colour: causeColour(cause), values: valuesOf(points, 'ended', cause), stack: -1 }));

// What observing policies would have ended is a dashed line down there.
const wouldEnd = (points) =>
  namesOf(points, 'wouldEnd')
    .sort(byCause)
    .map((cause) => ({
      key: `${cause} observe`,
      label: `would have: ${words(cause)}`,
      colour: causeColour(cause),
      values: valuesOf(points, 'wouldEnd', cause).map((v) => v && -v),
      dash: true,
      text: (v) => rate(-v),
    }));

// What was done is a full line, what would have been done is dashed, in one colour.
function hits(points) {
  const names = namesOf(points, 'hits');
  const limits = [...new Set(names.map((name) => name.split(' ')[0]))].sort();
  return limits.flatMap((limit, place) =>
    ['enforce', 'observe']
      .filter((mode) => names.includes(`${limit} ${mode}`))
      .map((mode) => ({
        key: `${limit} ${mode}`,
        label: `${mode === 'enforce' ? 'done' : 'would have'}: ${limit}`,
        colour: limitColour(place),
        values: valuesOf(points, 'hits', `${limit} ${mode}`),
        dash: mode !== 'enforce',
      })),
  );
}

const flow = (messages) => (value, point) => `${bytes(value)}/s${point[messages] === null ? '' : ` · ${compact(Math.round(point[messages]))} msg/s`}`;

const milliseconds = (seconds) => `${compact(+(seconds * 1000).toPrecision(3))} ms`;

const charts = [
  { id: 'live', title: 'Sessions live', read: all(curve('live', 'sessions', 'accent', { area: true }), seldom(curve('subscriptions', 'subscriptions', 'grey-1', { unplotted: true }))), text: count, axis: compact, least: 4 },
  {
    id: 'turnover',
    title: 'Opened and ended per second',
    wide: true,
    height: 156,
    read: all(
      curve('opened', 'opened', 'accent', { area: true }),
      seldom(curve('refused', 'handshakes refused', 'text')),
      seldom(curve('wouldRefuse', 'would have refused', 'text', { dash: true })),
      wouldEnd,
      endings,
    ),
    text: rate,
    axis: compact,
  },
  {
    id: 'ping',
    title: 'Ping round trip, clients',
    read: all(
      curve('ping50', 'p50', 'blue-1', { area: true }),
      curve('ping90', 'p90', 'purple-1'),
      curve('ping99', 'p99', 'red-1'),
      seldom(curve('upstreamPing90', 'upstream p90', 'grey-1', { dash: true })),
    ),
    text: roundTrip,
    axis: milliseconds,
    least: 0.001,
  },
  {
    id: 'bytes',
    title: 'Bytes per second',
    read: all(
      curve('bytesUp', 'to upstream', 'blue-1', { text: flow('messagesUp') }),
      curve('bytesDown', 'to clients', 'orange-1', { text: flow('messagesDown') }),
    ),
    text: bytes,
    axis: (n) => bytes(n).replace('.0', ''),
    least: 1024,
    base: 1024,
  },
  { id: 'limits', title: 'Limit hits per second', wide: true, height: 156, read: hits, text: rate, axis: compact, empty: 'No limit was hit since this page was opened, or for five minutes.' },
  {
    id: 'loops',
    title: 'Loops',
    parts: [
      { read: all(curve('busyMean', 'busy, mean', 'blue-1', { area: true }), curve('busyMost', 'busiest', 'purple-1')), text: percent, axis: (n) => `${compact(n * 100)} %`, least: 0.1, height: 52, quiet: true },
      { read: all(curve('lag50', 'lag p50', 'blue-1', { area: true }), curve('lag99', 'lag p99', 'red-1')), text: roundTrip, axis: milliseconds, least: 0.001, height: 72 },
    ],
  },
];

// Charts are all of them.
export class Charts {
  #charts = [];
  #history;

  constructor(root, history) {
    this.#history = history;
    for (const { id, title, wide, parts, empty, ...options } of charts) {
      const card = h('section', { class: wide ? 'card chart wide' : 'card chart', id: `chart-${id}`, 'aria-label': title });
      root.append(card);
      if (parts) card.append(h('h2', {}, title));
      for (const part of parts ?? [{ title, ...options }]) this.#charts.push(new Chart(card, part));
      if (empty) card.append(h('p', { class: 'empty' }, empty));
    }
  }

  draw() {
    for (const chart of this.#charts) chart.draw(this.#history.points, Date.now() / 1000);
  }

  restyle() {
    for (const chart of this.#charts) chart.restyle();
  }
}
