//go:build linux

package proxy_test

import (
	"crypto/tls"
	"testing"

	"wswarden/policies"
)

// Of sessions with TLS that have come and gone nothing is left.
func TestTLSLeavesNothing(t *testing.T) {
	e := startEdgeTLS(t, tls.VersionTLS13, withPolicy(policies.Policy{}))
	crowd := func() {
		const n = 100
		var clients, upstreams [n]*edgePeer
		for i := range n {
			clients[i], upstreams[i] = e.session()
		}
		for i := range n {
			if i%2 == 0 {
				edgeBye(clients[i], upstreams[i])
				continue
			}
			edgeReset(clients[i].conn)
			upstreams[i].wantClose(1001, policies.ClientLost.String())
			upstreams[i].sendClose(1001)
			edgeClose(upstreams[i].conn)
		}
		e.until("no session", func() bool { return e.metric("wswarden_sessions_live{policy=\"test\"}") == "0" })
	}
	crowd() // has pools and the like made
	before := settled()
	crowd()
	crowd()
	e.until("as many goroutines and descriptors as before", func() bool {
		h := holdings()
		return h.goroutines <= before.goroutines && h.descriptors <= before.descriptors
	})
}
