// Rows are the sessions of the table: each has an index, from 0 to total - 1, and has
// been loaded or not.
//
// A cursor only leads on from page to page. So that the end of a long list is as near
// as its beginning, it is read from both: the tail in the opposite order.

import { askJSON } from './api.js';

export const pageSize = 500;

const chain = () => ({ sessions: [], cursor: '', done: false });

const opposite = (sort) => (sort.startsWith('-') ? sort.slice(1) : `-${sort}`);

export class Rows {
  #query = {};
  #sort = '-age';
  #head = chain();
  #tail = chain(); // the last session first
  #loading = null;
  #wanted = null;
  #changed;
  #failed;
  total = 0;
  asOf = null; // when the head was read

  // changed is called when there are others than before, failed with what went wrong.
  constructor(changed, failed) {
    this.#changed = changed;
    this.#failed = failed;
  }

  // reset forgets everything, for a filter or an order.
  async reset(query, sort) {
    this.#query = query;
    this.#sort = sort;
    await this.refresh();
  }

  // refresh reads the first page anew and forgets the others.
  async refresh(signal) {
    this.#loading?.abort();
    const mine = (this.#loading = new AbortController());
    signal?.addEventListener('abort', () => mine.abort());
    try {
      const head = chain();
      const matched = await this.#read(head, this.#sort, mine.signal);
      this.#head = head;
      this.#tail = chain();
      this.total = head.done ? head.sessions.length : matched;
      this.asOf = new Date();
      this.#changed();
    } catch (error) {
      if (!mine.signal.aborted) this.#failed(error);
    } finally {
      if (this.#loading === mine) this.#loading = null;
    }
    this.#load();
  }

  // at returns a session, or undefined while it is not there.
  at(index) {
    return this.#head.sessions[index] ?? this.#tail.sessions[this.total - 1 - index];
  }

  // find returns the index of a session that is there; -1: none.
  find(id) {
    const index = this.#head.sessions.findIndex((s) => s.id === id);
    if (index >= 0) return index;
    const back = this.#tail.sessions.findIndex((s) => s.id === id);
    return back < 0 ? -1 : this.total - 1 - back;
  }

  // need has the sessions from first to last loaded, and nothing that was needed before.
  need(first, last) {
    this.#wanted = [first, last];
    this.#load();
  }

  async #load() {
    if (this.#loading) return;
    const mine = (this.#loading = new AbortController());
    try {
      for (let next = this.#next(); next && !mine.signal.aborted; next = this.#next()) {
        const from = next === this.#head ? this.#sort : opposite(this.#sort);
        const matched = await this.#read(next, from, mine.signal);
        this.total = this.#head.done ? this.#head.sessions.length : matched;
        this.#changed();
      }
    } catch (error) {
      this.#wanted = null;
      if (!mine.signal.aborted) this.#failed(error);
    } finally {
      if (this.#loading === mine) this.#loading = null;
    }
  }

  // #next is the chain that leads sooner to what is wanted; null: all of it is there.
  #next() {
    if (!this.#wanted || this.#head.done) return null;
    const [first, last] = this.#wanted;
    const ahead = Math.min(last, this.total - 1) + 1 - this.#head.sessions.length;
    const behind = this.total - this.#tail.sessions.length - first;
    if (ahead <= 0 || behind <= 0 || first >= this.total) return null;
    return ahead <= behind || this.#tail.done ? this.#head : this.#tail;
  }

  async #read(chain, sort, signal) {
    const query = { ...this.#query, sort, limit: pageSize };
    if (chain.cursor) query.cursor = chain.cursor;
    const page = await askJSON('v1/sessions', { query, signal });
    if (signal.aborted) throw new DOMException('given up', 'AbortError');
    chain.sessions.push(...page.sessions);
    chain.cursor = page.next ?? '';
    chain.done = !page.next;
    return page.matched;
  }
}
