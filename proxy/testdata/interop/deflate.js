'use strict';

// Node's zlib and the inflating of Node's ws, for the tests.
//
// Commands come as lines of JSON on standard input, each is answered by a line on
// standard output, in their order. Bytes are in base64. The process ends when its
// standard input does.
//
//   {"do": "deflate", "data": …, "options": …, "final": …}
//       one message, as permessage-deflate has it; options are zlib's
//   {"do": "inflate", "data": …, "keep": …}
//       as a server of ws does that goes on with the next message where it was
//       (keep), or begins anew with each

const path = require('node:path');
const readline = require('node:readline');
const zlib = require('node:zlib');
const PerMessageDeflate = require(path.join(path.dirname(require.resolve('ws')), 'lib/permessage-deflate.js'));

const server = (offer) => {
  const deflate = new PerMessageDeflate({ isServer: true });
  deflate.accept([offer]);
  return deflate;
};
const servers = { true: server({}), false: server({ client_no_context_takeover: [true] }) };

const commands = {
  deflate({ data, options, final }, done) {
    const finishFlush = final ? zlib.constants.Z_FINISH : zlib.constants.Z_SYNC_FLUSH;
    const out = zlib.deflateRawSync(data, { ...options, finishFlush });
    done(null, final ? out : out.subarray(0, -4));
  },
  inflate({ data, keep }, done) {
    servers[keep].decompress(data, true, done);
  },
};

const lines = readline.createInterface({ input: process.stdin });
(async () => {
  for await (const line of lines) {
    const command = JSON.parse(line);
    command.data = Buffer.from(command.data, 'base64');
    const answer = await new Promise((resolve) => {
      commands[command.do](command, (error, data) =>
        resolve(error ? { error: error.message } : { data: data.toString('base64') })
      );
    });
    process.stdout.write(JSON.stringify(answer) + '\n');
  }
})();
