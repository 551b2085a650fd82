// The lists of what has happened: sessions that ended, limits that were hit.

import { $, h, say } from './dom.js';
import { swatch } from './detail.js';
import { clock, count, date, duration, words } from './format.js';
import { wouldHave } from './policies.js';

const most = 100;

export class Lists {
  #ended = [];
  #done = [];
  #wouldHave = [];
  #lost = 0;
  #missed = '';
  #dirty = false;
  #policy = '';
  #open;

  // open is called with the id of a session.
  constructor(open) {
    this.#open = open;
  }

  set policy(name) {
    this.#policy = name;
    this.#dirty = true;
    this.draw();
  }

  add(e) {
    const list = { ended: this.#ended, limit_hit: this.#done, would_have: this.#wouldHave }[e.kind];
    if (e.kind === 'lost') this.#lost += e.lost;
    else if (!list) return;
    list?.push(e);
    if (list?.length > 40 * most) list.splice(0, 20 * most);
    this.#dirty = true;
  }

  // missed tells of a time, the latest, in which no events were read.
  missed(from, to) {
    this.#missed = `What happened from ${clock(from)} to ${clock(to)} was not read. `;
    this.#dirty = true;
  }

  // draw shows the latest; a list that is pointed at, or has the focus, stands still.
  draw() {
    if (!this.#dirty) return;
    this.#dirty = false;
    const lists = [
      ['ended', this.#ended, (e) => this.#endedRow(e)],
      ['done', this.#done, (e) => this.#limitRow(e)],
      ['would-have', this.#wouldHave, (e) => this.#wouldHaveRow(e)],
    ];
    for (const [id, events, row] of lists) {
      if ($(id).matches(':hover, :focus-within')) {
        this.#dirty = true;
        continue;
      }
      const latest = events.filter((e) => !this.#policy || e.policy === this.#policy).slice(-most).reverse();
      $(`${id}-rows`).replaceChildren(...latest.map(row));
      $(`${id}-none`).hidden = latest.length > 0;
    }
    $('lost').hidden = !this.#lost && !this.#missed;
    say($('lost'), `${this.#lost ? `${count(this.#lost)} events are missing: this page read too slowly. ` : ''}${this.#missed}`);
  }

  #endedRow(e) {
    const { cause, side, client_code: client, upstream_code: upstream, duration_seconds: lasted } = e.ending;
    return h(
      'tr',
      {},
      when(e),
      h('td', {}, this.#link(e)),
      h('td', {}, swatch(cause), cause),
      h('td', {}, side),
      h('td', { title: `client ${client || 'none'}, upstream ${upstream || 'none'}` }, `${client || '–'} / ${upstream || '–'}`),
      h('td', { class: 'number' }, duration(lasted)),
      h('td', { class: 'policy' }, e.policy),
    );
  }

  #limitRow(e) {
    return h('tr', {}, when(e), h('td', {}, e.limit), h('td', {}, this.#link(e, 8)));
  }

  #wouldHaveRow(e) {
    return h('tr', {}, when(e), h('td', {}, e.rule), h('td', { title: wouldHave(e.action) }, e.cause ? swatch(e.cause) : null, e.cause ?? words(e.action)), h('td', {}, this.#link(e, 8)));
  }

  #link(e, digits = 16) {
    const text = e.session.slice(0, digits) + (digits < 16 ? '…' : '');
    return h('button', { type: 'button', class: 'link mono', title: e.session, onclick: () => this.#open(e.session) }, text);
  }
}

const when = (e) => h('td', { title: date(e.time) }, h('time', { datetime: e.time }, clock(e.time)));
