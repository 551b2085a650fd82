package proxy_test

import (
	"net/http"
	"testing"

	"wswarden/policies"
)

// Under refuse_with: close a browser's script can see why it is refused, and
// upstream does not hear of it.
func TestRefuseWithClose(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		policy policies.Policy
		why    policies.Refusal
	}{
		"origin": {policies.Policy{}, policies.RefusedOrigin},
		"rate":   {policies.Policy{Origins: policies.Origins{Allow: []string{"*"}}, Handshakes: policies.Handshakes{TotalRate: 0.001}}, policies.RefusedTotalRate},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.policy.RefuseWith = policies.RefuseWithClose
			w := start(t, c.policy)
			if c.why == policies.RefusedTotalRate {
				first := w.ask("/")
				w.bye(first, w.let(first))
			}
			client := w.ask("/", "Origin: https://elsewhere.example", "Sec-WebSocket-Protocol: chat, superchat")
			r := client.response()
			if r.StatusCode != http.StatusSwitchingProtocols || r.Header.Get("Sec-WebSocket-Protocol") != "chat" ||
				r.Header.Get("Sec-WebSocket-Accept") != "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" {
				t.Errorf("status %d, %v", r.StatusCode, r.Header)
			}
			client.wantClose(c.why.CloseCode(), c.why.Reason())
			client.send(client.closeFrame(c.why.CloseCode(), ""))
			client.wantEOF()
			client.end()
			w.wantNobody()
			w.drain() // which waits for nobody
			w.wantDrained()
		})
	}
}

// A client that was turned away and does not go is not waited for beyond grace.
func TestTurnedAwayStays(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{RefuseWith: policies.RefuseWithClose, Release: policies.Release{Grace: soon}})
	client := w.ask("/", "Origin: https://elsewhere.example")
	client.response()
	client.wantClose(1008, policies.RefusedOrigin.Reason())
	client.wantEOF()
	w.drain()
	w.wantDrained()
}

// Memory that is short ends what is idle, and lets nobody in.
func TestPressure(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Idle: policies.Idle{Timeout: 10 * soon}, RefuseWith: policies.RefuseWithClose})
	client, upstream := w.open()
	w.server.Press(policies.Pressure{Heap: 100}.Step(100))
	w.ask("/").wantRefused(policies.RefusedPressure)
	client.wantClose(1001, "idle")
	upstream.wantClose(1001, "idle")
	client.answerClose(1001)
	upstream.answerClose(1001)
	if e := w.wantEnd(policies.IdleTimeout, 1001); e.duration >= 10*soon {
		t.Errorf("it took %v", e.duration)
	}
	w.server.Press(0)
	w.open()
}
