'use strict';

// SignalR: @microsoft/signalr as client, with the JSON hub protocol. ASP.NET Core's
// server is played, as its docs/specs/HubProtocol.md has it.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const app = new Application();
  listen().on('connection', (socket) => {
    const send = (message) => socket.send(JSON.stringify(message) + '\x1e');
    const topics = {};
    const types = {
      4({ invocationId, arguments: [topic] }) {
        try {
          app.subscribe(topic, (item) => send({ type: 2, invocationId, item }));
          topics[invocationId] = topic;
        } catch ({ message }) {
          send({ type: 3, invocationId, error: message });
        }
      },
      5({ invocationId }) {
        if (invocationId in topics) app.unsubscribe(topics[invocationId]);
        delete topics[invocationId];
        send({ type: 3, invocationId });
      },
      6() {},
      undefined: () => send({}), // the handshake
    };
    socket.on('message', (message) => {
      for (const record of message.toString().split('\x1e').slice(0, -1)) {
        const parsed = JSON.parse(record);
        types[parsed.type](parsed);
      }
    });
  });
  app.run();
}

async function client() {
  const { HubConnectionBuilder, HttpTransportType, LogLevel } = require('@microsoft/signalr');
  const options = { skipNegotiation: true, transport: HttpTransportType.WebSockets, WebSocket: ClientSocket };
  const connection = new HubConnectionBuilder().withUrl(url.replace('ws', 'http'), options).configureLogging(LogLevel.Error).build();
  await connection.start();
  ready();
  const subscriptions = {};
  obey({
    subscribe(topic) {
      subscriptions[topic] = connection.stream('feed', topic).subscribe({
        next: (value) => tell('data', topic, value),
        error: ({ message }) => tell('refused', topic, 'by subscriber.error:', message),
        complete() {},
      });
    },
    unsubscribe: (topic) => subscriptions[topic].dispose(),
  });
}

({ server, client })[role]();
