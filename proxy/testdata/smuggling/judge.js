// Tells what Node's HTTP parser (llhttp) makes of recorded bytes, as a strict
// reader and as the most lenient one that it can be. Reads from stdin
//
//   [{"requests": true, "bytes": "<base64>"}, {"methods": ["GET"], "bytes": "…"}]
//
// where methods are those of the requests that the responses answer, and writes
// for each
//
//   {"strict": {"seen": ["GET /path body"], "wrong": "", "complete": true}, "lenient": …}
"use strict";
const { HTTPParser, methods } = require("_http_common");

function read({ requests, methods: asked, bytes }, leniency) {
  const seen = [];
  const parser = new HTTPParser();
  parser.initialize(requests ? HTTPParser.REQUEST : HTTPParser.RESPONSE, {}, 1 << 20, leniency);
  let message, nth = 0;
  parser[HTTPParser.kOnHeadersComplete] = (major, minor, headers, method, target, status) => {
    message = requests ? `${methods[method]} ${target} ` : `${status} `;
    if (requests || status < 200) return 0;
    return asked[nth++] === "HEAD" ? 1 : 0; // 1: no body follows
  };
  parser[HTTPParser.kOnBody] = (body) => { message += body.toString("latin1"); };
  parser[HTTPParser.kOnMessageComplete] = () => { seen.push(message); };
  const buffer = Buffer.from(bytes, "base64");
  const result = buffer.length > 0 ? parser.execute(buffer) : 0;
  if (result instanceof Error) return { seen, wrong: result.code, complete: false };
  return { seen, wrong: "", complete: !(parser.finish() instanceof Error) };
}

const recorded = JSON.parse(require("fs").readFileSync(0, "utf8"));
process.stdout.write(JSON.stringify(recorded.map((r) => ({
  strict: read(r, HTTPParser.kLenientNone),
  lenient: read(r, HTTPParser.kLenientAll),
}))));
