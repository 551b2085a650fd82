// Reads messages as a Node server does, and compares what the scanner made of them:
// whether they are JSON, and what is at some paths. A path is a list of keys,
// indexes, and null for the JSON text in a string.
'use strict';

const { Batch } = require('./batch.js');

const batch = new Batch();
const kinds = ['absent', 'null', 'boolean', 'number', 'string', 'object', 'array'];

function kindOf(value) {
  if (value === undefined) return 'absent';
  if (value === null) return 'null';
  return Array.isArray(value) ? 'array' : typeof value;
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined; // which is no JSON value
  }
}

function at(value, path) {
  for (const step of path) {
    const kind = kindOf(value);
    if (step === null) value = kind === 'string' ? parse(value) : undefined;
    else if (kind !== (typeof step === 'number' ? 'array' : 'object')) return undefined;
    else value = Object.hasOwn(value, step) ? value[step] : undefined;
  }
  return value;
}

// Values that are === have one hash, which no other has. One value stands for all
// that Map takes for the same, which is === here: JSON has no NaN.
const hashes = new Map();
const values = new Map();

function compare(message, path, value) {
  const kind = kinds[batch.byte()];
  const disagree = (why) => batch.disagree(message, `${JSON.stringify(path)}: ${why}`);
  if (kind !== kindOf(value)) disagree(`${kind}, but Node has ${kindOf(value)}`);
  seen[kind]++;
  if (kind === 'absent') return;

  const usable = batch.byte() === 1;
  const hash = batch.eight();
  const raw = batch.text();
  const text = batch.text();
  if (usable) {
    if (!hashes.has(value)) hashes.set(value, hash);
    if (!values.has(hash)) values.set(hash, value);
    if (hashes.get(value) !== hash) disagree('two hashes for one value');
    if (values.get(hash) !== value) disagree('one hash for two values');
  }
  if (usable && !Buffer.from(String(value)).equals(text)) disagree('the text is ' + text);
  if (raw.length > 5000) return; // JSON.stringify is recursive
  const again = parse(raw.toString());
  if (JSON.stringify(again) !== JSON.stringify(value)) disagree('the raw value is ' + raw);
  if (kind === 'number' && !Object.is(again, value)) disagree('the raw value is ' + raw);
}

const seen = { messages: 0, valid: 0, inner: 0 };
for (const kind of kinds) seen[kind] = 0;
const paths = JSON.parse(batch.text());
while (!batch.done) {
  const message = batch.text();
  const ok = batch.byte() === 1;
  const value = parse(message.toString('utf8'));
  seen.messages++;
  if (value !== undefined) seen.valid++;
  if (ok !== (value !== undefined)) batch.disagree(message, `JSON: ${ok}, but Node says otherwise`);
  for (const path of paths) {
    const there = at(value, path);
    if (there !== undefined && path.includes(null)) seen.inner++;
    compare(message, path, there);
  }
}
seen.values = values.size;
batch.answer(seen);
