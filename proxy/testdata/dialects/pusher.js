'use strict';

// Pusher Channels: pusher-js as client. The server is played, as Pusher's "Channels
// protocol" has it.

const { role, url, tell, obey, ready, Application, listen } = require('./peer');

function server() {
  const app = new Application();
  listen().on('connection', (socket) => {
    const send = (event, data, channel) => socket.send(JSON.stringify({ event, data: JSON.stringify(data), channel }));
    send('pusher:connection_established', { socket_id: '1.1', activity_timeout: 120 });
    const events = {
      'pusher:subscribe'({ channel }) {
        try {
          app.subscribe(channel, (value) => send('data', value, channel));
          send('pusher_internal:subscription_succeeded', {}, channel);
        } catch ({ message }) {
          send('pusher:subscription_error', { type: 'AuthError', error: message, status: 403 }, channel);
        }
      },
      'pusher:unsubscribe': ({ channel }) => app.unsubscribe(channel),
      'pusher:ping': () => send('pusher:pong', {}),
    };
    socket.on('message', (message) => {
      const { event, data } = JSON.parse(message);
      events[event](data);
    });
  });
  app.run();
}

function client() {
  const Pusher = require('pusher-js');
  const { hostname, port } = new URL(url);
  const connection = new Pusher('key', {
    wsHost: hostname,
    wsPort: port,
    forceTLS: false,
    enabledTransports: ['ws'],
    cluster: '',
  });
  connection.connection.bind('connected', () => ready('')); // it cannot compress
  obey({
    subscribe(topic) {
      const channel = connection.subscribe(topic);
      channel.unbind();
      channel.bind('pusher:subscription_succeeded', () => tell('subscribed', topic));
      channel.bind('pusher:subscription_error', ({ error }) => {
        connection.unsubscribe(topic);
        tell('refused', topic, 'by bind("pusher:subscription_error"):', error);
      });
      channel.bind('data', (value) => tell('data', topic, value));
    },
    unsubscribe: (topic) => connection.unsubscribe(topic),
  });
}

({ server, client })[role]();
