package proxy_test

import (
	"crypto/tls"
	"os/exec"
	"testing"
)

// Node's own TLS and ws, which compresses, as client.
const edgeNode = `
const WebSocket = require('ws');
const ca = require('node:fs').readFileSync(process.argv[2]);
const socket = new WebSocket(process.argv[1], { ca, perMessageDeflate: { threshold: 0 } });
const said = ['hello', 'x'.repeat(1 << 20), Buffer.alloc(100_000, 7)];
let heard = 0;
socket.on('open', () => said.forEach((m) => socket.send(m)));
socket.on('message', (data) => {
  if (!Buffer.from(said[heard]).equals(data)) process.exit(3);
  if (++heard === said.length) socket.ping('?');
});
socket.on('pong', () => socket.close(4001, 'the client says'));
socket.on('close', (code) => process.exit(code === 4001 && heard === said.length ? 0 : 2));
socket.on('error', (e) => { console.error(e); process.exit(1); });
`

func TestNodeOverTLS(t *testing.T) {
	t.Parallel()
	node := interopNodePath(t)
	s := newEdgeScene(t, tls.VersionTLS13, "https")
	roots := edgeFile(t, "ca.pem", s.ca.pem)
	cmd := exec.CommandContext(t.Context(), node, "-e", edgeNode, "wss://"+s.address().String()+"/echo", roots)
	cmd.Dir = interopNodeFolder
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if got := <-s.closed; got.Code != 4001 || got.Reason != "the client says" {
		t.Errorf("the application was told %v", got)
	}
}
