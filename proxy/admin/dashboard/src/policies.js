// Which policies only observe, or are gone, and what they would have done, in words.

import { askJSON } from './api.js';
import { h } from './dom.js';
import { words } from './format.js';

export class Policies {
  #observing = new Set();
  #gone = new Set();

  // refresh reads what they are; what was read last holds until that succeeds.
  async refresh(signal) {
    try {
      const { policies } = await askJSON('v1/policies', { signal });
      const names = (which) => new Set(policies.filter(which).map((p) => p.name));
      this.#observing = names((p) => p.mode === 'observe');
      this.#gone = names((p) => p.gone);
    } catch {
      // the metrics, which are asked more often, tell what is wrong
    }
  }

  observes(name) {
    return this.#observing.has(name);
  }

  // described is a name with what is to be known of it.
  described(name) {
    const marks = [...(this.observes(name) ? ['observe'] : []), ...(this.#gone.has(name) ? ['gone'] : [])];
    return marks.length ? `${name} (${marks.join(', ')})` : name;
  }

  // marked is a name, as nodes, with a mark if only its sessions are left.
  marked(name) {
    return this.#gone.has(name) ? [`${name} `, h('i', { class: 'gone', title: 'No configuration has this policy any more.' }, 'gone')] : [name];
  }
}

const acts = {
  end: ['end it', 'ended it'],
  refuse_handshake: ['refuse its handshake', 'refused its handshake'],
  refuse: ['refuse a subscription', 'refused a subscription'],
  evict: ['undo its oldest subscription', 'undone its oldest subscription'],
  drop: ['drop a message', 'dropped a message'],
  delay: ['delay its messages', 'delayed its messages'],
  ping_client: ['ping the client', 'pinged the client'],
  ping_upstream: ['ping upstream', 'pinged upstream'],
};

// would and wouldHave are what does not happen to a session, by the API's word for it.
export const would = (action) => `would ${acts[action]?.[0] ?? words(action)}`;
export const wouldHave = (action) => `would have ${acts[action]?.[1] ?? words(action)}`;
