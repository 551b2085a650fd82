// The detail of one session, beside the table.

import { askJSON, inWords, Refusal } from './api.js';
import { causeColour } from './causes.js';
import { $, h, say } from './dom.js';
import { bytes, clock, count, date, duration, rate, roundTrip, words } from './format.js';
import { would, wouldHave } from './policies.js';

const shownTopics = 200;

const moments = {
  first_message: 'first message of the client',
  message: 'last message, either way',
  client_frame: 'last frame of the client',
  upstream_frame: 'last frame of upstream',
  client_ping: 'last ping to the client',
  client_pong: 'last pong of the client',
  upstream_ping: 'last ping to upstream',
  client_waits: 'bytes wait for the client since',
  upstream_waits: 'bytes wait for upstream since',
  resumes: 'the client is read from again',
  deadline: 'what is left is reset',
};

const onlyAhead = ['resumes', 'deadline']; // nothing to tell of when they are over

// swatch is a cause's colour; the word stands beside it.
export function swatch(cause) {
  const mark = h('i', { class: 'mark area', 'aria-hidden': 'true' });
  mark.style.color = `var(--${causeColour(cause)})`;
  return mark;
}

export class Detail {
  #journal;
  #policies;
  #id = null;
  #detail = null; // as it was read last
  #readAt = 0; // by performance.now
  #before = null; // the reading before, for the rates
  #gone = false;
  #allTopics = false;
  #closed;
  #end;

  // closed is called when the pane has been closed, end with the session to end.
  constructor(journal, policies, { closed, end }) {
    this.#journal = journal;
    this.#policies = policies;
    this.#closed = closed;
    this.#end = end;
    $('detail-close').onclick = () => this.close();
    $('detail-end').onclick = () => this.#end(this.#detail);
    $('detail-topics-all').onclick = () => {
      this.#allTopics = true;
      this.#drawTopics();
    };
    $('detail').addEventListener('keydown', (event) => event.key === 'Escape' && this.close());
  }

  get id() {
    return this.#id;
  }

  // open shows a session and moves the focus to it.
  async open(id) {
    this.#id = id;
    this.#detail = this.#before = null;
    this.#gone = this.#allTopics = false;
    $('detail').hidden = false;
    $('detail-body').hidden = $('detail-end').disabled = true; // until it is known
    document.body.classList.add('with-detail');
    say($('detail-id'), id);
    say($('detail-note'), 'Loading…');
    $('detail-title').focus();
    await this.refresh();
  }

  close() {
    if (!this.#id) return;
    this.#id = null;
    $('detail').hidden = true;
    document.body.classList.remove('with-detail');
    this.#closed();
  }

  async refresh(signal) {
    const id = this.#id;
    if (!id || this.#gone) return;
    try {
      if (this.#ended()) throw new Refusal(404, '');
      const detail = await askJSON(`v1/sessions/${id}`, { signal });
      if (id !== this.#id) return;
      if (this.#detail) this.#before = { detail: this.#detail, at: this.#readAt };
      this.#detail = detail;
      this.#readAt = performance.now();
      say($('detail-note'), '');
    } catch (error) {
      if (id !== this.#id) return;
      this.#gone = error instanceof Refusal && error.status === 404;
      say($('detail-note'), this.#gone ? this.#farewell() : inWords(error));
    }
    this.#draw();
  }

  // tick moves the countdowns on.
  tick() {
    if (this.#id) this.#drawTimeline();
  }

  #ended() {
    return this.#journal.of(this.#id).find((e) => e.kind === 'ended');
  }

  #farewell() {
    const ended = this.#ended();
    if (!ended) return 'This session has ended.';
    const { cause, side, client_code: code, duration_seconds: lasted } = ended.ending;
    return `Ended at ${clock(ended.time)}: ${cause}, by ${side}, ${code ? `close code ${code} to the client` : 'no close frame to the client'}, after ${duration(lasted)}.`;
  }

  #draw() {
    const d = this.#detail;
    $('detail-end').disabled = this.#gone || !d || d.state === 'closing';
    $('detail-body').hidden = !d && !this.#journal.of(this.#id).length;
    for (const part of document.querySelectorAll('#detail .known')) part.hidden = !d;
    this.#drawTimeline();
    if (!d) return;
    $('detail-facts').replaceChildren(
      ...facts([
        ['State', this.#gone ? 'ended' : d.cause ? h('span', {}, `${d.state}: `, swatch(d.cause), d.cause) : d.state],
        ['Policy', h('span', { class: this.#policies.observes(d.policy) ? 'observes' : null }, ...this.#policies.marked(d.policy))],
        ['Address', d.address],
        ['Identity', d.identity ?? 'not known'],
        ['Age', duration(d.age_seconds)],
        ['Idle', duration(d.idle_seconds)],
        ...(d.would_have.length ? [['Only observed', d.would_have.join(', ')]] : []),
      ]),
    );
    this.#drawFlows();
    $('detail-pings').replaceChildren(...[['client', d.client_pings], ['upstream', d.upstream_pings]].map(([side, p]) => pingRow(side, p)));
    this.#drawTopics();
  }

  #drawFlows() {
    const seconds = this.#before ? (this.#readAt - this.#before.at) / 1000 : 0;
    const rows = ['client_to_upstream', 'upstream_to_client'].map((direction) => {
      const now = this.#detail[direction];
      const was = this.#before?.detail[direction];
      const each = (key, write) => (was ? `${write((now[key] - was[key]) / seconds)}/s` : '–');
      return row(direction === 'client_to_upstream' ? 'client → upstream' : 'upstream → client', count(now.messages), each('messages', rate), bytes(now.bytes), each('bytes', bytes));
    });
    $('detail-flows').replaceChildren(...rows);
  }

  #drawTopics() {
    const { subscribed_to: topics, subscriptions } = this.#detail;
    const shown = this.#allTopics ? topics : topics.slice(0, shownTopics);
    say($('detail-topics-title'), `Subscriptions (${count(subscriptions)})`);
    $('detail-topics').replaceChildren(...shown.map((t) => h('li', {}, h('span', { class: 'mono' }, t.topic), h('span', { class: `state ${t.state}` }, t.state))));
    $('detail-topics-none').hidden = topics.length > 0;
    $('detail-topics-all').hidden = shown.length === topics.length;
    say($('detail-topics-all'), `Show all ${count(topics.length)}`);
    say($('detail-topics-note'), subscriptions > topics.length ? `The oldest ${count(topics.length)} are listed.` : '');
  }

  // The timeline reads downwards from what is to come, by way of now, to the beginning.
  #drawTimeline() {
    const d = this.#detail;
    const now = d ? readingOf(d) + performance.now() - this.#readAt : Date.now();
    const items = this.#journal.of(this.#id).map((e) => ({ at: Date.parse(e.time), ...told(e) }));
    if (d) items.push({ at: Date.parse(d.opened), text: 'opened' });
    for (const [name, at] of Object.entries(d?.times ?? {})) items.push({ name, at: Date.parse(at), text: moments[name] ?? words(name) });
    const past = joined(items.filter((i) => i.at <= now && !onlyAhead.includes(i.name) && !(i.text === 'opened' && i.kind && d)).sort((a, b) => b.at - a.at));
    const ahead = this.#gone ? [] : [...items.filter((i) => i.at > now), ...forecasts(d)].sort((a, b) => b.at - a.at);
    $('detail-ahead').replaceChildren(...ahead.map((i) => entry(i, `in ${duration(Math.max(0, i.at - now) / 1000)}`)));
    $('detail-now').hidden = this.#gone;
    $('detail-ahead-none').hidden = ahead.length > 0 || this.#gone || !d;
    $('detail-past').replaceChildren(...past.map((i) => entry(i, this.#gone ? '' : `${duration(Math.max(0, now - i.at) / 1000)} ago`)));
  }
}

const row = (name, ...cells) => h('tr', {}, h('th', { scope: 'row' }, name), ...cells.map((c) => h('td', {}, c)));

const pingRow = (side, p) =>
  p.count
    ? row(side, ...['last_seconds', 'least_seconds', 'mean_seconds', 'most_seconds'].map((k) => roundTrip(p[k])), count(p.count))
    : row(side, '–', '–', '–', '–', '0');

const facts = (pairs) => pairs.map(([name, value]) => h('div', {}, h('dt', {}, name), h('dd', {}, value)));

// readingOf is when a detail was read, by wswarden's clock: this machine's may be wrong.
const readingOf = (d) => Date.parse(d.opened) + d.age_seconds * 1000;

// forecasts are what the policy's rules would say next.
const forecasts = (d) =>
  (d?.next ?? []).map((f) => ({
    at: readingOf(d) + f.in_seconds * 1000,
    cause: f.cause,
    kind: f.mode === 'observe' ? 'would_have' : undefined,
    text: `${f.rule}: ${f.mode === 'observe' ? would(f.action) : f.action === 'end' ? 'ends it' : words(f.action)}`,
    more: f.action === 'end' ? `${f.cause}${f.close_code ? `, code ${f.close_code}` : ''}` : '',
  }));

// told is an event in words.
function told(e) {
  switch (e.kind) {
    case 'opened':
      return { kind: e.kind, text: 'opened' };
    case 'subscribed':
      return { kind: e.kind, text: `subscribed to ${e.topic}` };
    case 'limit_hit':
      return { kind: e.kind, text: `${e.limit}: limit hit` };
    case 'would_have':
      return { kind: e.kind, text: `${e.rule}: ${wouldHave(e.action)}`, cause: e.cause, more: e.cause };
    case 'ended':
      return { kind: e.kind, text: 'ended', cause: e.ending.cause, more: `${e.ending.cause}, by ${e.ending.side}` };
    default:
      return { kind: e.kind, text: words(e.kind) };
  }
}

// joined makes one of many alike that follow each other.
function joined(items) {
  const result = [];
  for (const item of items) {
    const last = result.at(-1);
    if (last?.kind && last.kind === item.kind && !item.cause && item.kind !== 'would_have') {
      last.items = (last.items ?? 1) + 1;
      last.text = item.kind === 'subscribed' ? `subscribed to ${count(last.items)} topics` : `${words(item.kind)}, ${count(last.items)} times`;
    } else {
      result.push({ ...item });
    }
  }
  return result;
}

const entry = (item, when) =>
  h(
    'li',
    { class: item.kind ?? '', title: date(item.at) },
    h('time', { datetime: new Date(item.at).toISOString() }, clock(item.at)),
    h('span', { class: 'what' }, item.text, item.cause ? h('span', { class: 'cause' }, swatch(item.cause), item.more) : null),
    h('span', { class: 'when' }, when),
  );
