'use strict';

// Socket.IO: socket.io as server, socket.io-client as client.

const { role, url, deflate, tell, obey, ready, Application, listening } = require('./peer');

function server() {
  const http = require('node:http').createServer();
  const { Server } = require('socket.io');
  const io = new Server(http, { transports: ['websocket'], perMessageDeflate: { threshold: 0 } });
  const app = new Application();
  io.on('connection', (socket) => {
    socket.conn.on('close', () => tell('close'));
    socket.on('subscribe', (topic) => {
      try {
        app.subscribe(topic, (value) => io.to(topic).emit('data', topic, value));
        socket.join(topic);
        socket.emit('subscribed', topic);
      } catch ({ message }) {
        socket.emit('subscribe_error', { topic, message });
      }
    });
    socket.on('unsubscribe', (topic) => {
      socket.leave(topic);
      app.unsubscribe(topic);
    });
  });
  http.listen(0, '127.0.0.1', () => listening(http));
  app.run();
}

function client() {
  const { io } = require('socket.io-client');
  const socket = io(url, { transports: ['websocket'], perMessageDeflate: deflate, reconnection: false });
  socket.on('connect', () => ready(socket.io.engine.transport.ws.extensions));
  socket.on('disconnect', (reason) => tell('disconnected', reason));
  socket.on('subscribed', (topic) => tell('subscribed', topic));
  socket.on('subscribe_error', ({ topic, message }) => tell('refused', topic, 'by on("subscribe_error"):', message));
  socket.on('data', (topic, value) => tell('data', topic, value));
  obey({
    subscribe: (topic) => socket.emit('subscribe', topic),
    unsubscribe: (topic) => socket.emit('unsubscribe', topic),
  });
}

({ server, client })[role]();
