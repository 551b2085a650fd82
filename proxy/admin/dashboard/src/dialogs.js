// The dialogs that end sessions: one, or all that fit a filter.

import { ask, askJSON, inWords } from './api.js';
import { $, say } from './dom.js';
import { count } from './format.js';

const longestReason = 123; // bytes: RFC 6455 §5.5

// closing is the close code and the reason of a dialog's form, or an error in words.
function closing(form) {
  const code = form.elements.code.value.trim();
  const reason = form.elements.reason.value.trim();
  if (code && !sendable(Number(code))) return { error: `${code} is not a close code that can be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999.` };
  if (new TextEncoder().encode(reason).length > longestReason) return { error: `The reason is longer than ${longestReason} bytes.` };
  return { query: { ...(code && { code }), ...(reason && { reason }) } };
}

const sendable = (code) => (code >= 1000 && code <= 1003) || (code >= 1007 && code <= 1014) || (code >= 3000 && code <= 4999);

// Dialog asks before it ends something.
class Dialog {
  #done;

  constructor(id, done) {
    this.dialog = $(id);
    this.form = this.dialog.querySelector('form');
    this.problem = this.dialog.querySelector('.problem');
    this.#done = done;
    this.form.addEventListener('submit', (event) => {
      event.preventDefault();
      this.#submit();
    });
    this.dialog.querySelector('.cancel').addEventListener('click', () => this.dialog.close());
    this.dialog.addEventListener('click', (event) => event.target === this.dialog && this.dialog.close());
  }

  show() {
    this.form.reset();
    say(this.problem, '');
    this.dialog.showModal();
  }

  async #submit() {
    const { query, error } = closing(this.form);
    const problem = error ?? this.check();
    say(this.problem, problem);
    if (problem) return;
    const button = this.form.querySelector('[type=submit]');
    button.disabled = true;
    try {
      const said = await this.end(query);
      this.dialog.close();
      this.#done(said);
    } catch (failure) {
      say(this.problem, inWords(failure));
    } finally {
      button.disabled = false;
    }
  }

  check() {
    return '';
  }
}

// EndOne ends a session; done gets what has been done, in words.
export class EndOne extends Dialog {
  #session;

  constructor(done) {
    super('end-one', done);
  }

  ask(session) {
    this.#session = session;
    say($('end-one-what'), `${session.id}, ${session.address}, policy ${session.policy}`);
    this.show();
  }

  async end(query) {
    const { ended } = await askJSON(`v1/sessions/${this.#session.id}`, { method: 'DELETE', query });
    return ended ? `Session ${this.#session.id} is being ended.` : `Session ${this.#session.id} was ending already.`;
  }
}

// EndMany ends all sessions that fit a filter.
export class EndMany extends Dialog {
  #query;
  #matched = 0;

  constructor(done) {
    super('end-many', done);
  }

  async ask(filter) {
    await filter.settle();
    if (!filter.given || filter.isWrong) return;
    const { query, words } = filter;
    const { matched } = await askJSON('v1/sessions', { query: { ...query, limit: 1 } });
    this.#query = query;
    this.#matched = matched;
    say($('end-many-count'), count(matched));
    say($('end-many-noun'), matched === 1 ? 'session' : 'sessions');
    say($('end-many-filter'), words);
    say($('end-many-type'), String(matched));
    this.show();
  }

  check() {
    const typed = this.form.elements.number.value.replace(/[\s,.]/g, '');
    return typed === String(this.#matched) ? '' : `Type ${this.#matched} to confirm.`;
  }

  async end(query) {
    const response = await ask('v1/sessions', { method: 'DELETE', query: { ...this.#query, ...query } });
    const { ended } = await response.json();
    return ended === 1 ? 'One session is being ended.' : `${count(ended)} sessions are being ended.`;
  }
}
