// The few things that every part does with the document.

// h makes an element: h('p', { class: 'note' }, 'text', child). Properties that begin
// with on, and those that an element has as properties only, are set as such.
export function h(name, properties = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(properties)) {
    if (value === undefined || value === null || value === false) continue;
    if (key.startsWith('on') || key === 'value') element[key] = value;
    else element.setAttribute(key, value === true ? '' : value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export const $ = (id) => document.getElementById(id);

// say sets a text only if it differs: what is unchanged is neither laid out nor read
// out again.
export function say(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// repeat runs a task now and then again each so many milliseconds, never two at a time,
// and not while the page is hidden or paused() says so. The task gets a signal that is
// aborted when the page is hidden. What is returned runs it at once.
export function repeat(milliseconds, task, paused = () => false) {
  let timer;
  let running = null;
  async function run() {
    clearTimeout(timer);
    if (running || document.hidden) return;
    const began = performance.now();
    running = new AbortController();
    try {
      if (!paused()) await task(running.signal);
    } finally {
      running = null;
      if (!document.hidden) timer = setTimeout(run, Math.max(0, milliseconds - (performance.now() - began)));
    }
  }
  document.addEventListener('visibilitychange', () => {
    if (document.hidden) {
      clearTimeout(timer);
      running?.abort();
    } else {
      run();
    }
  });
  run();
  return run;
}
