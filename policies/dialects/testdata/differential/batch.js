// A batch is what a test has written to this process: lengths and numbers are
// little-endian, and a text has its length in front.
'use strict';

const fs = require('fs');

class Batch {
  constructor() {
    this.bytes = fs.readFileSync(0);
    this.at = 0;
    this.disagreements = [];
  }

  get done() {
    return this.at === this.bytes.length;
  }

  byte() {
    return this.bytes[this.at++];
  }

  // eight bytes, as a string that is different for different bytes
  eight() {
    this.at += 8;
    return this.bytes.toString('latin1', this.at - 8, this.at);
  }

  length() {
    this.at += 4;
    return this.bytes.readUInt32LE(this.at - 4);
  }

  text() {
    const length = this.length();
    this.at += length;
    return this.bytes.subarray(this.at - length, this.at);
  }

  // disagree keeps the first few disagreements.
  disagree(message, why) {
    if (this.disagreements.length < 10) {
      this.disagreements.push(why + ' in ' + JSON.stringify(message.toString('latin1').slice(0, 500)));
    }
  }

  // answer tells the test what was seen, and what not to agree with.
  answer(seen) {
    fs.writeSync(1, JSON.stringify({ ...seen, disagreements: this.disagreements }));
  }
}

module.exports = { Batch };
