'use strict';

// The RAC backend's subscriptions on Node's ws, for the tests: it keeps them as that
// does, forgets none by itself, and tells at a connection's end what it has seen.
//
// A connection is named by its URL: /POLICY?name=NAME. On paths that end in
// "strict", text that is not UTF-8 is a protocol error, as it is by default; on
// others it is read as binary messages are. Events go as lines of JSON to standard
// output. A connection that has said {"type":"stall"} is not read from until its name
// comes as a line on standard input. The process ends when that does.

const http = require('node:http');
const readline = require('node:readline');
const { WebSocketServer } = require('ws');

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const broadcasts = '(broadcasts)'; // among the topics of a connection, of which none is that

// What wswarden sends by itself; the tests' clients take care to spell it otherwise.
const ownTopic = Buffer.from('{"type":"unsubscribe:offers","payload":{"pnr":');
const ownBroadcasts = Buffer.from('{"type":"UNSUBSCRIBE"}');

const stalled = new Map(); // by name

class Connection {
  held = new Set(); // in the order in which they were made
  most = 0;
  seen = { messages: 0, binary: 0, subscribed: 0, undone: 0, heartbeats: 0, junk: 0 };
  wrong = [];

  constructor(socket, name) {
    this.socket = socket;
    this.name = name;
    this.deflates = socket.extensions !== '';
    this.answer({ type: 'CONNECTION_SUCCESS', clientId: name });
    socket.on('message', (data, binary) => this.receive(data, binary));
    socket.on('error', (error) => this.wrong.push(`protocol error: ${error.code}: ${error.message}`));
    socket.on('close', (code) => {
      tell({ event: 'ended', name, code, most: this.most, held: [...this.held], seen: this.seen, wrong: this.wrong });
    });
  }

  answer(message) {
    this.socket.send(JSON.stringify(message), { compress: this.deflates && this.seen.messages % 16 === 1 });
  }

  receive(data, binary) {
    this.seen.messages++;
    if (binary) this.seen.binary++;
    const own = !binary && (data.equals(ownBroadcasts) || data.subarray(0, ownTopic.length).equals(ownTopic));
    let message;
    try {
      message = JSON.parse(data);
      switch (message.type) {
        case 'subscribe:offers':
          this.add(message.payload.pnr);
          return this.answer({ type: 'subscribed', payload: { pnr: message.payload.pnr } });
        case 'unsubscribe:offers':
          this.remove(message.payload.pnr, own);
          return this.answer({ type: 'unsubscribed', payload: { pnr: message.payload.pnr } });
        case 'SUBSCRIBE':
          this.add(broadcasts);
          return this.answer({ type: 'SUBSCRIBED' });
        case 'UNSUBSCRIBE':
          this.remove(broadcasts, own);
          return this.answer({ type: 'UNSUBSCRIBED' });
        case 'ping':
        case 'PING':
          this.seen.heartbeats++;
          return this.answer({ type: 'pong', timestamp: 0 });
        case 'IDENTIFY':
          return this.answer({ type: 'IDENTIFIED' });
        case 'stall':
          stalled.set(this.name, this.socket);
          this.socket.pause();
          return tell({ event: 'stalled', name: this.name });
        case 'ask':
          return this.answer({ type: 'asked', n: message.n, held: this.held.size });
      }
    } catch {
      this.seen.junk++;
      this.answer({ type: 'ERROR', message: 'Invalid message format' });
    }
  }

  add(topic) {
    this.held.add(topic);
    this.most = Math.max(this.most, this.held.size);
    this.seen.subscribed++;
  }

  // remove also judges what wswarden undoes by itself: always what is the oldest.
  remove(topic, own) {
    if (own) {
      this.seen.undone++;
      const [oldest] = this.held;
      if (!this.held.has(topic)) this.wrong.push(`wswarden undid ${JSON.stringify(topic)}, which was not held`);
      else if (oldest !== topic) this.wrong.push(`wswarden undid ${JSON.stringify(topic)} ahead of ${JSON.stringify(oldest)}`);
    }
    this.held.delete(topic);
  }
}

const options = { noServer: true, perMessageDeflate: { threshold: 0 } };
const strict = new WebSocketServer(options);
const lenient = new WebSocketServer({ ...options, skipUTF8Validation: true });
const server = http.createServer();
server.on('upgrade', (request, socket, head) => {
  const url = new URL(request.url, 'http://rac');
  const end = url.pathname.endsWith('strict') ? strict : lenient;
  end.handleUpgrade(request, socket, head, (ws) => new Connection(ws, url.searchParams.get('name')));
});
server.listen(0, '127.0.0.1', () => tell({ event: 'listening', address: `127.0.0.1:${server.address().port}` }));

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (name) => stalled.get(name).resume());
lines.on('close', () => process.exit());
