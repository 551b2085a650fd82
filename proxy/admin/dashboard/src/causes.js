// The colours of causes. Related ones have related colours, which people who see few
// colours can tell apart; the word always stands beside it.

const colours = {
  client_close: 'grey-1',
  upstream_close: 'grey-2',
  client_lost: 'orange-1',
  upstream_lost: 'orange-2',
  heartbeat_timeout: 'red-1',
  upstream_timeout: 'red-2',
  stalled: 'red-3',
  idle: 'blue-1',
  first_message: 'blue-2',
  max_age: 'blue-3',
  subscription_limit: 'purple-1',
  message_rate: 'purple-2',
  message_too_big: 'purple-3',
  connection_limit: 'purple-4',
  superseded: 'yellow-1',
  invalid_utf8: 'yellow-2',
  protocol_error: 'yellow-3',
  killed: 'green-1',
  drain: 'green-2',
};

export const causeColour = (cause) => colours[cause] ?? 'grey-3';

const order = Object.keys(colours);

export const byCause = (a, b) => order.indexOf(a) - order.indexOf(b);

const limits = ['red-1', 'blue-1', 'orange-1', 'purple-1', 'green-1', 'yellow-1', 'grey-1', 'blue-2', 'purple-3', 'orange-2'];

// limitColour gives a limit the colour of its place in a list.
export const limitColour = (place) => limits[place % limits.length];
