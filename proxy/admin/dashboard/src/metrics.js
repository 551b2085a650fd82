// Reads what /metrics says, as far as the page shows it.

const line = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)/;
const label = /(\w+)="((?:[^"\\]|\\.)*)"/g;
const escaped = { n: '\n', '"': '"', '\\': '\\' };
const shown = (text) => text.startsWith('wswarden_') || text.startsWith('process_start_time_seconds');

const known = new Map(); // labels by their text: it is the same each second

function labelsOf(text = '') {
  let labels = known.get(text);
  if (!labels) {
    labels = {};
    for (const [, name, value] of text.matchAll(label)) labels[name] = value.replace(/\\(.)/g, (_, c) => escaped[c] ?? c);
    if (known.size > 20000) known.clear();
    known.set(text, labels);
  }
  return labels;
}

// Sample is one reading: values by the name of the metric.
export class Sample {
  #series = new Map();

  constructor(text, at) {
    this.at = at; // milliseconds
    for (const each of text.split('\n')) {
      const match = shown(each) && line.exec(each);
      if (!match) continue;
      const series = this.#series.get(match[1]);
      const one = { labels: labelsOf(match[2]), value: Number(match[3]) };
      if (series) series.push(one);
      else this.#series.set(match[1], [one]);
    }
  }

  // of yields the series of a metric that fit the labels; those of undefined fit all.
  *of(name, labels = {}) {
    const asked = Object.entries(labels).filter(([, value]) => value !== undefined);
    for (const one of this.#series.get(name) ?? []) {
      if (asked.every(([key, value]) => one.labels[key] === value)) yield one;
    }
  }

  // sum adds them up; null if there is none.
  sum(name, labels) {
    let total = null;
    for (const { value } of this.of(name, labels)) total = (total ?? 0) + value;
    return total;
  }

  // by adds them up for each value of a label, or of several, joined by a space.
  by(name, keys, labels) {
    const sums = new Map();
    for (const one of this.of(name, labels)) {
      const key = keys.map((k) => one.labels[k]).join(' ');
      sums.set(key, (sums.get(key) ?? 0) + one.value);
    }
    return sums;
  }

  // first returns the first series of a metric.
  first(name) {
    return this.of(name).next().value;
  }
}

// increases is what each of to has more than from. A counter that is not in from was
// zero: it appears when it first counts.
export function increases(from, to, seconds = 1) {
  const result = new Map();
  for (const [key, value] of to) result.set(key, Math.max(0, value - (from.get(key) ?? 0)) / seconds);
  return result;
}

// quantile of the increase between two readings of a histogram, as Prometheus
// estimates it; null if nothing was observed.
export function quantile(q, buckets) {
  const bounds = [...buckets].map(([le, n]) => [le === '+Inf' ? Infinity : Number(le), n]).sort((a, b) => a[0] - b[0]);
  const total = bounds.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const rank = q * total;
  let below = 0;
  let lower = 0;
  for (const [upper, n] of bounds) {
    if (n >= rank) return upper === Infinity ? lower : lower + (upper - lower) * ((rank - below) / (n - below || 1));
    below = n;
    lower = upper;
  }
  return lower;
}
