// The dashboard: this file puts the parts together.

import { ask, inWords } from './api.js';
import { Charts } from './charts.js';
import { Detail } from './detail.js';
import { EndMany, EndOne } from './dialogs.js';
import { $, repeat, say } from './dom.js';
import { Journal, watch } from './events.js';
import { Filter } from './filter.js';
import { clock, count } from './format.js';
import { Header, Login, themes } from './header.js';
import { History } from './history.js';
import { Lists } from './lists.js';
import { Sample } from './metrics.js';
import { Policies } from './policies.js';
import { Rows } from './rows.js';
import { Table } from './table.js';

const secondBySecond = 1000;
const calm = matchMedia('(prefers-reduced-motion: reduce)');
const calmly = 5; // seconds from one picture to the next, for who prefers little motion

const history = new History();
const journal = new Journal();
const policies = new Policies();
const header = new Header(policies);
const charts = new Charts($('charts'), history);

const toast = (text) => say($('toast'), text);

const endOne = new EndOne((said) => {
  toast(said);
  detail.refresh();
  rows.refresh();
});
const endMany = new EndMany((said) => {
  toast(said);
  rows.refresh();
});
const detail = new Detail(journal, policies, {
  closed: () => {
    table.select(null);
    if (opener?.isConnected && !opener.matches('.row')) opener.focus();
    else table.focus();
  },
  end: (session) => endOne.ask(session),
});
let opener; // has the focus again when the detail is closed
const open = (id) => {
  opener = document.activeElement;
  table.select(id);
  detail.open(id);
};
const lists = new Lists(open);

let sort = '-age';
const rows = new Rows(listed, (error) => {
  if (filter.wrong(error)) $('end-filtered').disabled = true;
  else say($('table-problem'), inWords(error));
});
const table = new Table($('sessions'), rows, policies, {
  open,
  sort: (name) => {
    sort = name;
    relist();
  },
});
const filter = new Filter($('filter'), relist);

// listed follows each reading of the list.
function listed() {
  filter.wrong(null);
  say($('table-problem'), '');
  say($('matched'), count(rows.total));
  say($('matched-what'), filter.given ? `${rows.total === 1 ? 'fits' : 'fit'}: ${filter.words}` : 'in all');
  $('none').hidden = rows.total > 0;
  say($('none'), filter.given ? 'No session fits the filter.' : 'There is no session.');
  $('end-filtered').disabled = !filter.given || rows.total === 0;
  table.render();
  stillness();
}

// stillness says that rows far down are as they were read.
function stillness() {
  $('stillness').hidden = !table.deep;
  if (rows.asOf) say($('as-of'), clock(rows.asOf));
}

async function relist() {
  table.sorted(sort);
  table.top();
  await rows.reset(filter.query, sort);
}

$('sessions').addEventListener('scroll', stillness, { passive: true });
$('to-top').addEventListener('click', () => {
  table.top();
  rows.refresh();
  $('sessions').querySelector('.row[tabindex="0"]')?.focus({ preventScroll: true });
});
$('end-filtered').addEventListener('click', async () => {
  try {
    await endMany.ask(filter);
  } catch (error) {
    toast(inWords(error));
  }
});
$('policy').addEventListener('change', () => {
  const name = $('policy').value;
  history.policy = name;
  filter.policy = name;
  lists.policy = name;
  charts.draw();
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && detail.id && !document.querySelector('dialog[open]')) detail.close();
});

// The table is read only where it can be seen.
let tableSeen = true;
new IntersectionObserver(([entry]) => (tableSeen = entry.isIntersecting)).observe($('sessions'));

const login = new Login(() => {
  for (const again of tasks) again();
  relist();
});
const locked = () => login.open;
themes(() => charts.restyle());

let drawn = 0;
const tasks = [
  repeat(
    secondBySecond,
    async (signal) => {
      try {
        const response = await ask('metrics', { signal, accept: 'text/plain' });
        const sample = new Sample(await response.text(), Date.now());
        history.add(sample);
        header.sample(sample, response.headers.get('Date'));
      } catch (error) {
        if (error.name !== 'AbortError') header.problem(inWords(error));
      }
      if (!calm.matches || drawn++ % calmly === 0) charts.draw();
    },
    locked,
  ),
  repeat(secondBySecond, () => {
    detail.tick();
    if (!calm.matches || drawn % calmly === 0) lists.draw();
  }),
  repeat(5 * secondBySecond, (signal) => header.readiness(signal)),
  repeat(5 * secondBySecond, (signal) => policies.refresh(signal), locked),
  repeat(
    2 * secondBySecond,
    (signal) => (rows.asOf && tableSeen && !table.deep && !filter.isWrong ? rows.refresh(signal) : undefined),
    locked,
  ),
  repeat(2 * secondBySecond, (signal) => detail.refresh(signal), locked),
  watch({
    event: (e) => {
      journal.add(e);
      lists.add(e);
    },
    status: (text) => {
      say($('stream'), text);
      $('stream').hidden = !text;
    },
    missed: (from, to) => lists.missed(from, to),
    paused: locked,
  }),
];
relist();
