// Keeps subscriptions as the RAC backend does, and compares them with those that
// wswarden has counted after the same messages.
'use strict';

const { Batch } = require('./batch.js');

const batch = new Batch();
const seen = { sessions: 0, messages: 0, subscribed: 0, unsubscribed: 0, live: 0, broadcasts: 0 };

class Server {
  topics = new Set();
  broadcasts = false;
  subscribed = 0;
  unsubscribed = 0;

  receive(buffer) {
    try {
      const message = JSON.parse(buffer);
      switch (message.type) {
        case 'subscribe:offers':
          this.topics.add(message.payload.pnr);
          this.subscribed++;
          break;
        case 'unsubscribe:offers':
          if (this.topics.delete(message.payload.pnr)) this.unsubscribed++;
          break;
        case 'SUBSCRIBE':
          this.broadcasts = true;
          break;
        case 'UNSUBSCRIBE':
          this.broadcasts = false;
          break;
      }
    } catch {
      // answers: Invalid message format
    }
  }

  get held() {
    return [...this.topics, ...(this.broadcasts ? ['(broadcasts)'] : [])];
  }
}

// A message is refused with reason if it begins with a byte-order mark, or
// subscribes to what has no name.
function refusable(buffer) {
  if (buffer.subarray(0, 3).toString('hex') === 'efbbbf') return true;
  const message = JSON.parse(buffer);
  return message.type === 'subscribe:offers' && !['string', 'number'].includes(typeof message.payload?.pnr);
}

while (!batch.done) {
  const server = new Server();
  const messages = [];
  seen.sessions++;
  for (let n = batch.length(); n > 0; n--) {
    const message = batch.text();
    if (!refusable(message)) batch.disagree(message, 'refused without a reason');
  }
  for (let n = batch.length(); n > 0; n--) {
    const message = batch.text();
    messages.push(message.toString('latin1'));
    server.receive(message);
    seen.messages++;
  }
  const broadcasts = batch.byte() === 1;
  const topics = new Set();
  for (let n = batch.length(); n > 0; n--) topics.add(JSON.parse(batch.text()));

  seen.live += topics.size;
  seen.subscribed += server.subscribed;
  seen.unsubscribed += server.unsubscribed;
  if (broadcasts) seen.broadcasts++;
  const same = topics.size === server.topics.size && [...topics].every((topic) => server.topics.has(topic));
  const session = Buffer.from(messages.join('\n'), 'latin1');
  if (!same || broadcasts !== server.broadcasts) {
    batch.disagree(session, `${JSON.stringify([...topics])} and ${broadcasts} are counted, but Node holds ${JSON.stringify(server.held)}`);
  }
  // What wswarden sends at the session's end must leave nothing.
  for (let n = batch.length(); n > 0; n--) server.receive(batch.text());
  if (server.held.length > 0) batch.disagree(session, `${JSON.stringify(server.held)} is left`);
}
batch.answer(seen);
