// The filter of the table: a form, its query for the API, and its words.

import { $, h } from './dom.js';
import { words } from './format.js';

const fields = ['state', 'address', 'identity', 'topic', 'older_than', 'idle_for'];
const typing = 350; // milliseconds after the last key

const hash = /^[0-9a-f]{16}$/i;

// hashed is what stands for an identity in the API, so that the identity itself is in
// no address; browsers compute it on https and on this machine only.
async function hashed(identity) {
  if (hash.test(identity)) return { identity_hash: identity };
  if (!globalThis.crypto?.subtle) return { identity };
  const sum = await crypto.subtle.digest('SHA-256', new TextEncoder().encode(identity));
  return { identity_hash: [...new Uint8Array(sum, 0, 8)].map((b) => b.toString(16).padStart(2, '0')).join('') };
}

export class Filter {
  #form;
  #values = {};
  #policy = '';
  #changed;
  #timer;
  #reading = 0; // the latest of the readings, of which one may wait for a hash
  query = {};
  isWrong = false; // the API does not take it

  // changed is called when the query is another one.
  constructor(form, changed) {
    this.#form = form;
    this.#changed = changed;
    form.addEventListener('input', (event) => {
      clearTimeout(this.#timer);
      this.#timer = setTimeout(() => this.#read(), event.target.tagName === 'SELECT' ? 0 : typing);
    });
    form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.settle();
    });
    form.addEventListener('reset', () => setTimeout(() => this.#read()));
  }

  // settle has the query be what the form says now.
  settle() {
    clearTimeout(this.#timer);
    return this.#read();
  }

  // policy is set for the whole page.
  set policy(name) {
    this.#policy = name;
    this.#read();
  }

  async #read() {
    const reading = ++this.#reading;
    const values = {};
    for (const field of fields) {
      const value = this.#form.elements[field].value.trim();
      if (value) values[field] = value;
    }
    const { identity, ...query } = values;
    if (identity) Object.assign(query, await hashed(identity));
    if (this.#policy) query.policy = this.#policy;
    if (reading !== this.#reading || JSON.stringify(query) === JSON.stringify(this.query)) return;
    this.#values = values;
    this.query = query;
    this.wrong(null);
    this.#changed();
  }

  get given() {
    return Object.keys(this.query).length > 0;
  }

  // words say what the filter asks for.
  get words() {
    const said = Object.entries(this.#values).map(([field, value]) => `${words(field)} ${value}`);
    return [...(this.#policy ? [`policy ${this.#policy}`] : []), ...said].join(', ');
  }

  // wrong shows at its field what the API does not take; null: all is well. It reports
  // whether the error is one of a field.
  wrong(error) {
    const name = error?.field === 'identity_hash' ? 'identity' : error?.field;
    for (const field of fields) {
      const input = this.#form.elements[field];
      const bad = field === name;
      input.setAttribute('aria-invalid', bad);
      if (bad) input.setAttribute('aria-describedby', 'filter-error');
      else input.removeAttribute('aria-describedby');
    }
    const known = fields.includes(name);
    $('filter-error').replaceChildren(...(known ? [h('strong', {}, `${words(name)}: `), error.message.replace(`${error.field}: `, '')] : []));
    this.isWrong = known;
    return known;
  }
}
