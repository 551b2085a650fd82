// The header: which wswarden this is, how it is, and what the page shows of it.

import { ask, token, unauthorized } from './api.js';
import { $, h, say } from './dom.js';
import { duration } from './format.js';

// Header reads readiness by itself, and the rest from the samples of the metrics.
export class Header {
  #ready = null;
  #draining = false;
  #problem = '';
  #started = 0;
  #skew = 0; // of wswarden's clock, in milliseconds
  #listed = '';
  #policies;

  // policies are Policies.
  constructor(policies) {
    this.#policies = policies;
  }

  // sample takes a reading of the metrics and the Date of its answer.
  sample(sample, date) {
    this.#problem = '';
    this.#skew = date ? Date.parse(date) - Date.now() : 0;
    this.#started = sample.sum('process_start_time_seconds') ?? 0;
    this.#draining = sample.sum('wswarden_draining') === 1;
    const version = sample.first('wswarden_build_info')?.labels.version;
    say($('version'), version ?? '');
    const policies = [...new Set([...sample.of('wswarden_sessions_live')].map((s) => s.labels.policy))].sort();
    const options = policies.map((p) => this.#policies.described(p));
    if (options.join('\n') !== this.#listed) {
      this.#listed = options.join('\n');
      const chosen = $('policy').value;
      $('policy').replaceChildren(h('option', { value: '' }, 'all'), ...policies.map((p, i) => h('option', { value: p }, options[i])));
      $('policy').value = policies.includes(chosen) ? chosen : '';
      if ($('policy').value !== chosen) $('policy').dispatchEvent(new Event('change'));
    }
    this.#draw();
  }

  // problem shows that wswarden cannot be asked.
  problem(text) {
    this.#problem = text;
    this.#draw();
  }

  async readiness(signal) {
    try {
      const response = await ask('readyz', { query: { verbose: '' }, signal, accepted: [503] });
      this.#ready = await response.json();
    } catch (error) {
      if (error.name === 'AbortError') return;
      this.#ready = null;
    }
    this.#draw();
  }

  #draw() {
    const { configuration = 'ok', ...checks } = this.#ready?.checks ?? {};
    $('notice').hidden = configuration === 'ok';
    if (configuration !== 'ok') say($('notice-text'), `The configuration before goes on: ${configuration}`);
    const failing = Object.entries(checks).filter(([, said]) => said !== 'ok');
    const [state, text] = this.#problem
      ? ['bad', this.#problem]
      : this.#draining
        ? ['draining', 'Draining']
        : this.#ready === null
          ? ['unknown', 'Readiness not known']
          : this.#ready.ready
            ? ['good', 'Ready']
            : ['bad', 'Not ready'];
    $('health').dataset.state = state;
    const more = this.#problem ? '' : failing.map(([check, said]) => `${check}: ${said}`).join('; ');
    say($('health-text'), more ? `${text}: ${more}` : text);
    say($('uptime'), this.#started ? `up ${duration(Math.max(0, (Date.now() + this.#skew) / 1000 - this.#started))}` : '');
  }
}

// themes has the button go through what the system asks for, light, and dark. changed
// is called when the colours are others.
export function themes(changed) {
  const names = ['auto', 'light', 'dark'];
  const button = $('theme');
  const set = (name) => {
    if (name === 'auto') delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = name;
    say($('theme-name'), name);
    button.setAttribute('aria-label', `Colours: ${name}`);
    changed();
  };
  let name = localStorage.getItem('wswarden.theme');
  if (!names.includes(name)) name = 'auto';
  set(name);
  button.addEventListener('click', () => {
    name = names[(names.indexOf(name) + 1) % names.length];
    localStorage.setItem('wswarden.theme', name);
    set(name);
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', changed);
}

// Login asks for the token when wswarden asks for one. entered is called with it set.
export class Login {
  #entered;
  open = false;

  constructor(entered) {
    this.#entered = entered;
    unauthorized.addEventListener('unauthorized', () => this.#show());
    $('login-form').addEventListener('submit', (event) => {
      event.preventDefault();
      const text = $('token').value.trim();
      if (/[^\x21-\x7e]/.test(text)) {
        say($('login-problem'), 'A token has no spaces, and no letters beyond ASCII.');
        return;
      }
      token.set(text);
      $('token').value = '';
      this.#hide();
    });
    $('forget').addEventListener('click', () => {
      token.set('');
      location.reload();
    });
    $('forget').hidden = !token.get();
  }

  #show() {
    if (this.open) return;
    this.open = true;
    say($('login-problem'), token.get() ? 'wswarden does not take this token.' : '');
    token.set('');
    document.body.classList.add('locked');
    $('login').hidden = false;
    $('page').hidden = true;
    $('forget').hidden = true;
    for (const dialog of document.querySelectorAll('dialog[open]')) dialog.close();
    $('token').focus();
  }

  #hide() {
    this.open = false;
    document.body.classList.remove('locked');
    $('login').hidden = true;
    $('page').hidden = false;
    $('forget').hidden = !token.get();
    this.#entered();
  }
}
