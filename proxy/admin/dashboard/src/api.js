// Asking the admin API. The token stays in sessionStorage: it ends with the tab.

const key = 'wswarden.token';

// Refusal is an answer that is no 2xx, or none at all (status 0), in words.
export class Refusal extends Error {
  constructor(status, message, field = '') {
    super(message);
    this.status = status;
    this.field = field; // the parameter that is wrong
  }
}

export const token = {
  get: () => sessionStorage.getItem(key) ?? '',
  set: (text) => (text ? sessionStorage.setItem(key, text) : sessionStorage.removeItem(key)),
};

// unauthorized tells of a 401 to any request.
export const unauthorized = new EventTarget();

// ask returns the response to a request for a path relative to the page's own. Answers
// with a status in accepted are returned as well.
export async function ask(path, { method = 'GET', query, signal, accept, accepted = [] } = {}) {
  const headers = new Headers();
  if (token.get()) headers.set('Authorization', `Bearer ${token.get()}`);
  if (accept) headers.set('Accept', accept);
  const text = new URLSearchParams(query).toString();
  let response;
  try {
    response = await fetch(text ? `${path}?${text}` : path, { method, headers, signal, cache: 'no-store', redirect: 'error' });
  } catch (error) {
    if (error.name === 'AbortError') throw error;
    throw new Refusal(0, 'wswarden does not answer.');
  }
  if (response.ok || accepted.includes(response.status)) return response;
  if (response.status === 401) unauthorized.dispatchEvent(new Event('unauthorized'));
  throw await refusal(response);
}

export const askJSON = async (path, options) => (await ask(path, options)).json();

async function refusal(response) {
  const text = await response.text().catch(() => '');
  try {
    const body = JSON.parse(text);
    if (body.error) return new Refusal(response.status, body.error, body.field);
  } catch {
    // not the API's own answer: a proxy's, perhaps
  }
  return new Refusal(response.status, text.trim().slice(0, 200) || `The answer was ${response.status} ${response.statusText}.`);
}

// inWords is what to show of an error; empty for a request that was given up.
export const inWords = (error) => (error.name === 'AbortError' ? '' : error.message);
