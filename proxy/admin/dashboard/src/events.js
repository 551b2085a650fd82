// The stream of events. Read with fetch, since an EventSource cannot carry a token.

import { ask, Refusal } from './api.js';

const replay = 100;
const firstWait = 500;
const longestWait = 15000;

// readEvents yields the data of server-sent events; comments are keep-alives.
async function* readEvents(response) {
  let rest = '';
  let data = '';
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader(); // Safari cannot iterate
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    const lines = (rest + read.value).split('\n');
    rest = lines.pop();
    for (const raw of lines) {
      const line = raw.endsWith('\r') ? raw.slice(0, -1) : raw;
      if (line === '' && data) {
        yield JSON.parse(data);
        data = '';
      } else if (line.startsWith('data:')) {
        data += line.slice(line[5] === ' ' ? 6 : 5);
      }
    }
  }
}

// watch follows the stream while the page is visible, calls event for each and status
// with a text for people, empty while all is well. Ended sessions are replayed when it
// connects; those seen before are left out. missed tells of a time that was not
// followed. What is returned connects anew.
export function watch({ event, status, missed, paused }) {
  const seen = new Set(); // ids of ended sessions, the oldest first
  let connection = null;
  let timer;
  let wait = firstWait;
  let broken = null; // since when

  async function connect() {
    clearTimeout(timer);
    connection?.abort();
    if (document.hidden || paused()) return;
    const mine = (connection = new AbortController());
    let followed = false;
    let why = 'The stream of events ended';
    try {
      const response = await ask('v1/events', { query: { replay }, signal: mine.signal, accept: 'text/event-stream' });
      status('');
      followed = true;
      if (broken) missed(broken, new Date());
      broken = null;
      wait = firstWait;
      for await (const e of readEvents(response)) {
        if (e.kind === 'ended') {
          if (seen.has(e.session)) continue;
          seen.add(e.session);
          if (seen.size > 1000) seen.delete(seen.values().next().value);
        }
        event(e);
      }
    } catch (error) {
      if (mine.signal.aborted || (error instanceof Refusal && error.status === 401)) return;
      why = error instanceof Refusal ? error.message : 'The stream of events broke off';
    } finally {
      if (followed) broken = new Date();
    }
    if (mine !== connection) return;
    status(`${why.replace(/\.$/, '')}: next try in ${Math.ceil(wait / 1000)} s.`);
    timer = setTimeout(connect, wait);
    wait = Math.min(2 * wait, longestWait);
  }

  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      clearTimeout(timer);
      connection?.abort();
      status('Not read while the page was hidden.');
    } else {
      wait = firstWait;
      connect();
    }
  });
  connect();
  return connect;
}

// Journal keeps the latest events, for the detail of a session.
export class Journal {
  #events = [];
  #most = 20000;

  add(event) {
    this.#events.push(event);
    if (this.#events.length > this.#most + this.#most / 4) this.#events = this.#events.slice(-this.#most);
  }

  of(session) {
    return this.#events.filter((e) => e.session === session);
  }
}
