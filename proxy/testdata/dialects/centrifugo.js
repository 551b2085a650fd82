'use strict';

// Centrifugo's protocol: centrifuge as client. The server, in servers/centrifugo, is
// the library that Centrifugo is made of.

const { url, tell, obey, ready, ClientSocket } = require('./peer');
const { Centrifuge } = require('centrifuge');

const connection = new Centrifuge(url, { websocket: ClientSocket });
connection.on('connected', () => ready());
connection.connect();

obey({
  subscribe(topic) {
    let subscription = connection.getSubscription(topic);
    if (!subscription) {
      subscription = connection.newSubscription(topic);
      subscription.on('subscribed', () => tell('subscribed', topic));
      subscription.on('publication', ({ data }) => tell('data', topic, data));
      subscription.on('unsubscribed', ({ code, reason }) => {
        if (code !== 0) tell('refused', topic, 'by on("unsubscribed"):', reason);
      });
    }
    connection.startBatching(); // what comes at once goes as one message
    subscription.subscribe();
    setImmediate(() => connection.stopBatching());
  },
  unsubscribe: (topic) => connection.getSubscription(topic).unsubscribe(),
});
