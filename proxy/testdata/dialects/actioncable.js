'use strict';

// Action Cable: @rails/actioncable as client. Rails is written in Ruby: its server is
// played, as lib/action_cable/connection has it.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const app = new Application();
  listen({ handleProtocols: () => 'actioncable-v1-json' }).on('connection', (socket) => {
    const send = (message) => socket.send(JSON.stringify(message));
    const beat = setInterval(() => send({ type: 'ping', message: Math.floor(Date.now() / 1000) }), 3000);
    socket.on('close', () => clearInterval(beat));
    const commands = {
      subscribe(identifier) {
        try {
          app.subscribe(JSON.parse(identifier).topic, (message) => send({ identifier, message }));
          send({ identifier, type: 'confirm_subscription' });
        } catch {
          send({ identifier, type: 'reject_subscription' });
        }
      },
      unsubscribe: (identifier) => app.unsubscribe(JSON.parse(identifier).topic),
    };
    socket.on('message', (message) => {
      const { command, identifier } = JSON.parse(message);
      commands[command](identifier);
    });
    send({ type: 'welcome' });
  });
  app.run();
}

function client() {
  // What it takes for granted in a browser.
  globalThis.addEventListener = globalThis.removeEventListener = () => {};
  globalThis.document = { visibilityState: 'visible' };
  const { adapters, createConsumer } = require('@rails/actioncable/app/assets/javascripts/actioncable.js');
  adapters.WebSocket = ClientSocket;
  const consumer = createConsumer(url);
  consumer.connect();
  ClientSocket.last.once('message', () => ready());
  const subscriptions = {};
  obey({
    subscribe(topic) {
      subscriptions[topic] = consumer.subscriptions.create(
        { channel: 'Feed', topic },
        {
          connected: () => tell('subscribed', topic),
          rejected: (...told) => tell('refused', topic, 'by rejected:', ...told), // it is told nothing
          received: (value) => tell('data', topic, value),
        }
      );
    },
    unsubscribe: (topic) => subscriptions[topic].unsubscribe(),
  });
}

({ server, client })[role]();
