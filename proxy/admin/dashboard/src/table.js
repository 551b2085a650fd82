// The table of sessions. Only the rows that can be seen are in the document.

import { h, say } from './dom.js';
import { bytes, compact, count, duration, roundTrip } from './format.js';
import { pageSize } from './rows.js';

const around = 6; // rows beyond the visible ones

const messages = (s) => s.client_to_upstream.messages + s.upstream_to_client.messages;
const allBytes = (s) => s.client_to_upstream.bytes + s.upstream_to_client.bytes;

const some = (n) => (n < 100000 ? count(n) : compact(n));

// Columns by the API's name of their order. Numbers begin with the greatest.
const columns = [
  { sort: 'state', title: 'State', text: (s) => (s.cause ? `${s.state}: ${s.cause}` : s.state) },
  { sort: 'id', title: 'Session', text: (s) => s.id },
  { sort: 'policy', title: 'Policy', text: (s) => s.policy },
  { sort: 'address', title: 'Address', text: (s) => s.address },
  { sort: 'identity', title: 'Identity', text: (s) => s.identity ?? '–' },
  { sort: 'age', title: 'Age', number: true, text: (s) => duration(s.age_seconds) },
  { sort: 'idle', title: 'Idle', number: true, text: (s) => duration(s.idle_seconds) },
  { sort: 'messages', title: 'Messages', number: true, text: (s) => some(messages(s)) },
  { sort: 'bytes', title: 'Bytes', number: true, text: (s) => bytes(allBytes(s)) },
  { sort: 'ping', title: 'Ping', number: true, text: (s) => (s.ping_seconds ? roundTrip(s.ping_seconds) : '–') },
  { sort: 'subscriptions', title: 'Subs', name: 'Subscriptions', number: true, text: (s) => some(s.subscriptions) },
];

export class Table {
  #root;
  #rows;
  #policies;
  #body;
  #heads = new Map();
  #elements = new Map(); // by session's id, or by index while it is not loaded
  #active = { index: 0, id: null };
  #selected = null;
  #open;
  #pending = false;

  // rows are Rows, policies Policies; open is called with a session's id, sort with an order.
  constructor(root, rows, policies, { open, sort }) {
    this.#root = root;
    this.#rows = rows;
    this.#policies = policies;
    this.#open = open;
    const head = h('div', { role: 'row', class: 'row head', 'aria-rowindex': 1 }, ...columns.map((c) => this.#head(c, sort)));
    this.#body = h('div', { role: 'rowgroup', class: 'rows' });
    root.append(h('div', { role: 'rowgroup', class: 'heads' }, head), this.#body);
    root.setAttribute('aria-colcount', columns.length);
    root.addEventListener('scroll', () => this.render(), { passive: true });
    new ResizeObserver(() => this.render()).observe(root);
    this.#body.addEventListener('click', (event) => this.#click(event));
    this.#body.addEventListener('keydown', (event) => this.#key(event));
    this.#body.addEventListener('focusin', (event) => this.#focused(event.target.closest('.row')));
  }

  #head({ sort: name, title, name: full, number }, sort) {
    const button = h('button', { type: 'button', onclick: () => sort(this.#nextSort(name, number)) }, title, h('span', { class: 'arrow', 'aria-hidden': 'true' }));
    if (full) button.title = full;
    const head = h('div', { role: 'columnheader', class: number ? 'cell number' : 'cell', 'data-column': name }, button);
    this.#heads.set(name, head);
    return head;
  }

  #nextSort(name, number) {
    const now = this.#heads.get(name).getAttribute('aria-sort');
    return now === 'descending' || (!now && !number) ? name : `-${name}`;
  }

  // sorted marks the column of an order.
  sorted(sort) {
    const name = sort.replace('-', '');
    for (const [column, head] of this.#heads) {
      if (column !== name) head.removeAttribute('aria-sort');
      else head.setAttribute('aria-sort', sort.startsWith('-') ? 'descending' : 'ascending');
    }
  }

  // select marks the session whose detail is open; null: none.
  select(id) {
    this.#selected = id;
    this.render();
  }

  // focus goes to the row that was used last.
  focus() {
    this.#elementAt(this.#active.index)?.focus({ preventScroll: true });
  }

  top() {
    this.#root.scrollTop = 0;
    this.#active = { index: 0, id: null };
    this.render();
  }

  // deep: what is seen is beyond the first page, which alone is read again and again.
  get deep() {
    return this.#window()[1] >= pageSize;
  }

  get #rowHeight() {
    return parseFloat(getComputedStyle(this.#root).getPropertyValue('--row'));
  }

  #window() {
    const height = this.#rowHeight;
    const top = this.#root.scrollTop;
    const last = Math.ceil((top + this.#root.clientHeight) / height);
    return [Math.max(0, Math.floor(top / height) - around), Math.min(this.#rows.total - 1, last + around)];
  }

  // render brings the document up to date, at the next frame.
  render() {
    if (this.#pending) return;
    this.#pending = true;
    requestAnimationFrame(() => {
      this.#pending = false;
      this.#render();
    });
  }

  #render() {
    const { total } = this.#rows;
    const height = this.#rowHeight;
    const [first, last] = this.#window();
    const focused = this.#body.contains(document.activeElement);
    this.#follow(focused);
    this.#body.style.height = `${total * height}px`;
    this.#root.setAttribute('aria-rowcount', total + 1);
    const kept = new Map();
    const wanted = [];
    for (let i = first; i <= last; i++) wanted.push(i);
    const { index } = this.#active;
    if (index < total && (index < first || index > last)) wanted.push(index); // it can be tabbed to
    for (const i of wanted) {
      const session = this.#rows.at(i);
      const key = session?.id ?? i;
      if (kept.has(key)) continue; // it has moved between the pages
      const element = this.#elements.get(key) ?? this.#row();
      kept.set(key, element);
      this.#fill(element, session, i, height);
    }
    const had = document.activeElement;
    for (const [key, element] of this.#elements) if (kept.get(key) !== element) element.remove();
    this.#elements = kept;
    for (const element of kept.values()) if (!element.isConnected) this.#body.append(element);
    if (focused && !had.isConnected) this.focus();
    if (last >= first) this.#rows.need(first, last);
  }

  // #follow keeps the active row with its session, wherever that is now. One that was
  // never used is simply the first.
  #follow(focused) {
    const { id } = this.#active;
    const index = id ? this.#rows.find(id) : -1;
    if (index >= 0) this.#active.index = index;
    else this.#active = { index: Math.max(0, Math.min(this.#active.index, this.#rows.total - 1)), id: null };
    if (focused && !this.#active.id) this.#active.id = this.#rows.at(this.#active.index)?.id ?? null;
  }

  #row() {
    return h('div', { role: 'row', class: 'row' }, ...columns.map((c) => h('div', { role: 'gridcell', class: c.number ? 'cell number' : 'cell', 'data-column': c.sort, 'data-title': c.title })));
  }

  #fill(element, session, index, height) {
    element.style.transform = `translateY(${index * height}px)`;
    element.tabIndex = index === this.#active.index ? 0 : -1;
    element.index = index;
    element.dataset.id = session?.id ?? '';
    element.dataset.state = session?.state ?? '';
    element.setAttribute('aria-rowindex', index + 2);
    element.setAttribute('aria-selected', Boolean(session) && session.id === this.#selected);
    element.classList.toggle('absent', !session);
    element.classList.toggle('observed', Boolean(session) && this.#policies.observes(session.policy));
    element.classList.toggle('odd', index % 2 === 1);
    columns.forEach((column, i) => {
      const text = session ? column.text(session) : i === 1 ? 'loading' : '';
      const nodes = session && column.sort === 'policy' ? this.#policies.marked(text) : [text];
      const cell = element.children[i];
      if (cell.textContent === nodes.map((n) => n.textContent ?? n).join('')) return;
      cell.replaceChildren(...nodes);
      if (!column.number) cell.title = text;
    });
  }

  #elementAt(index) {
    return [...this.#elements.values()].find((e) => e.index === index);
  }

  #focused(row) {
    if (!row || row.index === this.#active.index) return;
    this.#active = { index: row.index, id: row.dataset.id || null };
    for (const e of this.#elements.values()) e.tabIndex = e === row ? 0 : -1;
  }

  #click(event) {
    const row = event.target.closest('.row');
    if (!row?.dataset.id || !getSelection().isCollapsed) return;
    row.focus({ preventScroll: true });
    this.#open(row.dataset.id);
  }

  #key(event) {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const page = Math.max(1, Math.floor(this.#root.clientHeight / this.#rowHeight) - 2);
    const { index } = this.#active;
    const to = { ArrowDown: index + 1, ArrowUp: index - 1, PageDown: index + page, PageUp: index - page, Home: 0, End: this.#rows.total - 1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      this.#go(Math.max(0, Math.min(to, this.#rows.total - 1)));
    } else if (event.key === 'Enter' || event.key === ' ') {
      event.preventDefault();
      const { id } = event.target.closest('.row').dataset;
      if (id) this.#open(id);
    }
  }

  // #go makes another row the active one, and has it seen.
  #go(index) {
    this.#active = { index, id: this.#rows.at(index)?.id ?? null };
    const height = this.#rowHeight;
    const heads = this.#root.firstChild.offsetHeight;
    const top = index * height;
    const room = this.#root.clientHeight - heads;
    if (top < this.#root.scrollTop) this.#root.scrollTop = top;
    else if (top + height > this.#root.scrollTop + room) this.#root.scrollTop = top + height - room;
    this.#render();
    this.focus();
  }
}
