'use strict';

// STOMP: stomp-broker-js as server, on sockets of Node's ws; @stomp/stompjs as client.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const StompServer = require('stomp-broker-js');
  const broker = new StompServer({ server: require('node:http').createServer(), heartbeat: [0, 0] });
  const app = new Application();
  listen({ handleProtocols: () => 'v12.stomp' }).on('connection', (socket) => broker.socket.emit('connection', socket));
  broker.addMiddleware('subscribe', (socket, { dest }, next) => {
    try {
      app.subscribe(dest, (value) => broker.send(dest, {}, value));
      return next();
    } catch {
      setImmediate(() => socket.close()); // as STOMP asks for behind an ERROR
      return false;
    }
  });
  broker.on('unsubscribe', ({ topic }) => app.unsubscribe(topic));
  app.run();
}

function client() {
  const { Client } = require('@stomp/stompjs');
  const subscriptions = {};
  const topics = {};
  const connection = new Client({
    webSocketFactory: () => new ClientSocket(url, ['v12.stomp']),
    reconnectDelay: 0,
    onConnect: () => ready(),
    onStompError({ headers, body }) {
      tell('refused', topics[headers.subscription] ?? body, 'by onStompError:', headers.message);
    },
  });
  connection.activate();
  obey({
    subscribe(topic) {
      subscriptions[topic] = connection.subscribe(topic, ({ body }) => tell('data', topic, body));
      topics[subscriptions[topic].id] = topic;
    },
    unsubscribe: (topic) => subscriptions[topic].unsubscribe(),
  });
}

({ server, client })[role]();
