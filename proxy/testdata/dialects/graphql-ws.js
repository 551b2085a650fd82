'use strict';

// GraphQL over WebSocket as it was before: subscriptions-transport-ws as client and
// as server.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const { buildSchema, execute, subscribe } = require('graphql');
  const { SubscriptionServer } = require('subscriptions-transport-ws');
  const { Feed } = require('./feed');
  const app = new Application();
  SubscriptionServer.create(
    {
      schema: buildSchema('type Query { none: String } type Subscription { feed(topic: String!): String }'),
      rootValue: { feed: ({ topic }) => new Feed(app, topic) },
      execute,
      subscribe,
    },
    listen({ handleProtocols: () => 'graphql-ws' })
  );
  app.run();
}

function client() {
  const { SubscriptionClient } = require('subscriptions-transport-ws');
  const connection = new SubscriptionClient(url, { reconnect: false }, ClientSocket);
  connection.onConnected(() => ready());
  const subscriptions = {};
  obey({
    subscribe(topic) {
      let failed; // until it is complete, it counts
      subscriptions[topic] = connection.request({ query: `subscription { feed(topic: "${topic}") }` }).subscribe({
        next({ data, errors }) {
          failed = errors?.[0].message;
          if (!failed) tell('data', topic, data.feed);
        },
        error: ({ message }) => tell('refused', topic, 'by observer.error:', message),
        complete: () => failed && tell('refused', topic, 'by observer.next:', failed),
      });
    },
    unsubscribe: (topic) => subscriptions[topic].unsubscribe(),
  });
}

({ server, client })[role]();
