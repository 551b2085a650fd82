'use strict';

// One end of WebSocket connections, made by Node's ws, that the tests drive.
//
//   node peer.js client URL COMPRESSION      COMPRESSION: true or false
//   node peer.js upstream COMPRESSION
//
// Commands come as lines of JSON on standard input and are for the connection
// that was opened last; events go as lines of JSON to standard output. Bytes
// are in base64. The process ends when its standard input does.

const readline = require('node:readline');
const WebSocket = require('ws');

const tell = (event) => process.stdout.write(JSON.stringify(event) + '\n');
const deflate = (on) => (on === 'true' ? { threshold: 0 } : false);

let current;

function opened(socket) {
  current = socket;
  tell({ event: 'open', subprotocol: socket.protocol, extensions: socket.extensions });
  socket.on('message', (data, binary) => tell({ event: 'message', binary, data: data.toString('base64') }));
  socket.on('ping', (data) => tell({ event: 'ping', data: data.toString('base64') }));
  socket.on('pong', (data) => tell({ event: 'pong', data: data.toString('base64') }));
  socket.on('close', (code, reason) => tell({ event: 'close', code, reason: reason.toString() }));
  socket.on('error', (error) => tell({ event: 'error', reason: error.message }));
}

const commands = {
  write: ({ binary, data }) => current.send(Buffer.from(data, 'base64'), { binary }),
  ping: ({ data }) => current.ping(Buffer.from(data, 'base64')),
  close: ({ code, reason }) => current.close(code, reason),
};

const roles = {
  client(url, compression) {
    const socket = new WebSocket(url, ['interop.v1', 'interop.v2'], { perMessageDeflate: deflate(compression) });
    const refused = (error) => tell({ event: 'error', reason: error.message });
    socket.once('error', refused);
    socket.once('open', () => {
      socket.off('error', refused);
      opened(socket);
    });
  },
  upstream(compression) {
    const server = new WebSocket.Server({
      host: '127.0.0.1',
      port: 0,
      perMessageDeflate: deflate(compression),
      handleProtocols: () => 'interop.v2',
    });
    server.on('listening', () => tell({ event: 'listening', address: `127.0.0.1:${server.address().port}` }));
    server.on('connection', opened);
  },
};

const [role, ...args] = process.argv.slice(2);
roles[role](...args);

const lines = readline.createInterface({ input: process.stdin });
lines.on('line', (line) => {
  const command = JSON.parse(line);
  commands[command.do](command);
});
lines.on('close', () => process.exit(0));
