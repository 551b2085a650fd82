'use strict';

// GraphQL over WebSocket: graphql-ws as client and as server.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const { buildSchema } = require('graphql');
  const { useServer } = require('graphql-ws/use/ws');
  const { Feed } = require('./feed');
  const app = new Application();
  useServer(
    {
      schema: buildSchema('type Query { none: String } type Subscription { feed(topic: String!): String }'),
      roots: { subscription: { feed: ({ topic }) => new Feed(app, topic) } },
    },
    listen({ handleProtocols: () => 'graphql-transport-ws' })
  );
  app.run();
}

function client() {
  const { createClient } = require('graphql-ws');
  const connection = createClient({ url, webSocketImpl: ClientSocket, lazy: false, retryAttempts: 0 });
  connection.on('connected', () => ready());
  const undo = {};
  obey({
    subscribe(topic) {
      let failed; // until it is complete, it counts
      undo[topic] = connection.subscribe(
        { query: `subscription { feed(topic: "${topic}") }` },
        {
          next({ data, errors }) {
            failed = errors?.[0].message;
            if (!failed) tell('data', topic, data.feed);
          },
          error: (errors) => tell('refused', topic, 'by sink.error:', errors[0].message),
          complete: () => failed && tell('refused', topic, 'by sink.next:', failed),
        }
      );
    },
    unsubscribe: (topic) => undo[topic](),
  });
}

({ server, client })[role]();
