'use strict';

// What the clients and servers in this folder have in common. Each is run as
//
//   node PROTOCOL.js server
//   node PROTOCOL.js client URL [deflate]
//
// takes commands as lines on standard input, tells what happens as lines on
// standard output, and ends when its standard input does.
//
// Commands to a server: "publish TOPIC VALUE", "holds". It tells "listening ADDRESS",
// "subscribe TOPIC", "unsubscribe TOPIC", "forbid TOPIC", "close", "holds TOPIC…".
// Commands to a client: "subscribe TOPIC", "unsubscribe TOPIC". It tells
// "ready deflate" or "ready plain", "subscribed TOPIC" where its protocol confirms,
// "data TOPIC VALUE", and "refused TOPIC by CALLBACK: REASON".

const readline = require('node:readline');
const WebSocket = require('ws');

const tell = (...words) => process.stdout.write(words.join(' ') + '\n');

function obey(commands) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on('line', (line) => {
    const [name, ...args] = line.split(' ');
    commands[name](...args);
  });
  lines.on('close', () => process.exit(0));
}

const [role, url, compression] = process.argv.slice(2);
const deflate = compression === 'deflate' ? { threshold: 0 } : false;

// ClientSocket is the WebSocket of clients that can be given one.
class ClientSocket extends WebSocket {
  constructor(address, protocols) {
    super(address, protocols, { perMessageDeflate: deflate });
    ClientSocket.last = this;
  }
}

const ready = (extensions = ClientSocket.last.extensions) =>
  tell('ready', extensions.startsWith('permessage-deflate') ? 'deflate' : 'plain');

// Application is what stands behind a server: it holds what clients subscribe to
// until they unsubscribe. That clients leave is nothing to it.
class Application {
  held = [];

  // subscribe throws what the protocol's server is to tell the client.
  subscribe(topic, feed) {
    if (topic === 'forbidden') {
      tell('forbid', topic);
      throw new Error('not for you');
    }
    this.held.push({ topic, feed });
    tell('subscribe', topic);
  }

  unsubscribe(topic) {
    const i = this.held.findIndex((held) => held.topic === topic);
    if (i >= 0) this.held.splice(i, 1);
    tell('unsubscribe', topic);
  }

  // run takes commands from now on.
  run() {
    obey({
      holds: () => tell('holds', ...this.held.map(({ topic }) => topic)),
      publish: (topic, value) => this.held.filter((held) => held.topic === topic).forEach(({ feed }) => feed(value)),
    });
  }
}

// listen opens a server of Node's ws, and tells of the close of its connections
// ahead of whoever listens for it too.
function listen(options) {
  const server = new WebSocket.Server({ host: '127.0.0.1', port: 0, perMessageDeflate: { threshold: 0 }, ...options });
  server.on('listening', () => listening(server));
  server.on('connection', (socket) => socket.on('close', () => tell('close')));
  return server;
}

const listening = (server) => tell('listening', `127.0.0.1:${server.address().port}`);

module.exports = { role, url, deflate, tell, obey, ready, ClientSocket, Application, listen, listening };
