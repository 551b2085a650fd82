package proxy_test

import (
	"fmt"
	"testing"

	"wswarden/policies"
)

// A session that has lost its client may still hear from upstream, while the
// client's descriptor already belongs to another session: what upstream says
// must reach nobody.
func TestLateBytesReachNobodyElse(t *testing.T) {
	w := start(t, policies.Policy{})
	for i := range 20 {
		client, upstream := w.open()
		client.reset()
		upstream.wantClose(1001, "client_lost")

		nextClient, nextUpstream := w.open()
		upstream.send(upstream.frame(text, "late"))
		upstream.answerClose(1001)
		w.wantEnd(policies.ClientLost, 1001)

		said := fmt.Sprintf("message %d", i)
		nextClient.send(nextClient.frame(text, said))
		nextUpstream.want(text, said)
		nextUpstream.send(nextUpstream.frame(text, said))
		nextClient.want(text, said)
		nextClient.send(nextClient.closeFrame(1000, ""))
		nextUpstream.wantClose(1000, "")
		nextUpstream.answerClose(1000)
		nextClient.wantClose(1000, "")
		nextClient.end()
		w.wantEnd(policies.ClientClose, 1000)

	}
}
