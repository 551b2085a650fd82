'use strict';

// Phoenix Channels: phoenix as client. Phoenix runs on Erlang only: its server is
// played, as lib/phoenix/socket.ex has it.

const { role, url, tell, obey, ready, ClientSocket, Application, listen } = require('./peer');

function server() {
  const app = new Application();
  listen().on('connection', (socket) => {
    const joined = new Map(); // the join_ref by topic
    const send = (...message) => socket.send(JSON.stringify(message));
    const reply = (joinRef, ref, topic, status, response) => send(joinRef, ref, topic, 'phx_reply', { status, response });

    const leave = (topic) => {
      const joinRef = joined.get(topic);
      joined.delete(topic);
      app.unsubscribe(topic);
      return () => send(joinRef, joinRef, topic, 'phx_close', {});
    };
    const events = {
      phx_join(joinRef, ref, topic) {
        if (joined.has(topic)) leave(topic)();
        try {
          app.subscribe(topic, (value) => send(null, null, topic, 'data', { value }));
          joined.set(topic, joinRef);
          reply(joinRef, ref, topic, 'ok', {});
        } catch ({ message }) {
          reply(joinRef, ref, topic, 'error', { reason: message });
        }
      },
      phx_leave(joinRef, ref, topic) {
        const known = joined.has(topic);
        if (known && joinRef !== null && joinRef !== joined.get(topic)) return;
        const closed = known ? leave(topic) : () => {};
        reply(joinRef, ref, topic, 'ok', {});
        closed();
      },
      heartbeat: (joinRef, ref, topic) => reply(null, ref, topic, 'ok', {}),
    };
    socket.on('message', (message) => {
      const [joinRef, ref, topic, event] = JSON.parse(message);
      events[event](joinRef, ref, topic);
    });
  });
  app.run();
}

function client() {
  const { Socket } = require('phoenix');
  const socket = new Socket(url, { transport: ClientSocket });
  socket.onOpen(() => ready());
  socket.connect();
  const channels = {};
  obey({
    subscribe(topic) {
      const channel = (channels[topic] = socket.channel(topic));
      channel.on('data', ({ value }) => tell('data', topic, value));
      channel
        .join()
        .receive('ok', () => tell('subscribed', topic))
        .receive('error', ({ reason }) => {
          channel.leave(); // or it tries again
          tell('refused', topic, 'by join().receive("error"):', reason);
        });
    },
    unsubscribe: (topic) => channels[topic].leave(),
  });
}

({ server, client })[role]();
