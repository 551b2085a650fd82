'use strict';

// Feed is what a GraphQL server iterates over for a subscription. It ends when the
// server calls return, and the subscription with it.
class Feed {
  constructor(app, topic) {
    this.values = [];
    this.wake = () => {};
    this.end = () => app.unsubscribe(topic);
    app.subscribe(topic, (value) => {
      this.values.push({ feed: value });
      this.wake();
    });
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async next() {
    while (this.values.length === 0 && this.end) await new Promise((wake) => (this.wake = wake));
    return { value: this.values.shift(), done: !this.end };
  }

  async return() {
    this.end?.();
    this.end = undefined;
    this.wake();
    return { done: true };
  }
}

module.exports = { Feed };
