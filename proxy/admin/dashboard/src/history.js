// Five minutes of samples, and the points of the charts made from them.

import { increases, quantile } from './metrics.js';

export const span = 300; // seconds
const pingWindow = 15000; // pings are rare: one second alone would have too few
const lagWindow = 5000;
const limitWindow = 5000; // so are limits that are hit
const gap = 5000; // without a sample for so long, a line is broken

// History keeps the samples, since a change of the policy makes other points of them.
export class History {
  #samples = [];
  #policy;
  points = [];

  set policy(name) {
    this.#policy = name || undefined;
    this.points = this.#samples.map((_, i) => this.#point(i));
  }

  add(sample) {
    this.#samples.push(sample);
    this.points.push(this.#point(this.#samples.length - 1));
    const oldest = sample.at - (span * 1000 + pingWindow);
    const over = this.#samples.findIndex((s) => s.at >= oldest);
    this.#samples.splice(0, over);
    this.points.splice(0, over);
  }

  get latest() {
    return this.#samples.at(-1);
  }

  // #before is the sample that is at least so old, or the oldest of the same process.
  #before(i, milliseconds) {
    const started = this.#samples[i].sum('process_start_time_seconds');
    let j = i;
    while (j > 0 && this.#samples[i].at - this.#samples[j].at < milliseconds) {
      const earlier = this.#samples[j - 1];
      if (this.#samples[j].at - earlier.at > gap || earlier.sum('process_start_time_seconds') !== started) break;
      j--;
    }
    return this.#samples[j];
  }

  #point(i) {
    const to = this.#samples[i];
    const policy = this.#policy;
    const point = {
      at: to.at / 1000,
      live: to.sum('wswarden_sessions_live', { policy }),
      subscriptions: to.sum('wswarden_subscriptions_live', { policy }),
    };
    const from = this.#before(i, 1);
    if (from === to) return i ? { at: point.at } : point; // a line is broken here
    const rates = (name, keys, labels, since = from) => increases(since.by(name, keys, labels), to.by(name, keys, labels), (to.at - since.at) / 1000);
    const total = (name, labels) => rates(name, [], labels).get('') ?? null;
    const busy = [...rates('wswarden_loop_busy_seconds_total', ['loop']).values()];
    return {
      ...point,
      opened: total('wswarden_sessions_opened_total', { policy }),
      refused: total('wswarden_handshakes_refused_total', { policy }),
      ended: rates('wswarden_sessions_ended_total', ['cause'], { policy }),
      wouldRefuse: total('wswarden_would_have_refused_total', { policy }),
      wouldEnd: rates('wswarden_would_have_ended_total', ['cause'], { policy }),
      ...this.#quantiles(i, pingWindow, 'wswarden_ping_round_trip_seconds', { policy, side: 'client' }, 'ping'),
      ...this.#quantiles(i, pingWindow, 'wswarden_ping_round_trip_seconds', { policy, side: 'upstream' }, 'upstreamPing'),
      bytesUp: total('wswarden_bytes_total', { policy, direction: 'client_to_upstream' }),
      bytesDown: total('wswarden_bytes_total', { policy, direction: 'upstream_to_client' }),
      messagesUp: total('wswarden_messages_total', { policy, direction: 'client_to_upstream' }),
      messagesDown: total('wswarden_messages_total', { policy, direction: 'upstream_to_client' }),
      hits: rates('wswarden_limit_hits_total', ['limit', 'mode'], { policy }, this.#before(i, limitWindow)),
      busyMean: busy.length ? busy.reduce((a, b) => a + b) / busy.length : null,
      busyMost: busy.length ? Math.max(...busy) : null,
      ...this.#quantiles(i, lagWindow, 'wswarden_loop_lag_seconds', {}, 'lag'),
    };
  }

  #quantiles(i, milliseconds, name, labels, prefix) {
    const bucket = `${name}_bucket`;
    const more = increases(this.#before(i, milliseconds).by(bucket, ['le'], labels), this.#samples[i].by(bucket, ['le'], labels));
    return Object.fromEntries([0.5, 0.9, 0.99].map((q) => [prefix + q * 100, quantile(q, more)]));
  }
}
