package proxy_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

// A client that gives no sign of life is found within interval + timeout.
// Upstream is told, and reset if it does not answer.
func TestHeartbeatTimeout(t *testing.T) {
	t.Parallel()
	const interval, timeout = time.Second, 500 * time.Millisecond
	w := start(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: interval, Timeout: timeout},
		Release:   policies.Release{Farewell: []string{"bye", "now"}, Grace: soon},
	})
	dialed := time.Now()
	client, upstream := w.open()

	client.wantPing()
	wantAfter(t, dialed, interval)
	client.wantClose(1001, "heartbeat_timeout")
	wantAfter(t, dialed, interval+timeout)
	took := time.Since(dialed)
	t.Logf("found after %s, which is %.1f %% beyond interval + timeout", took.Round(time.Millisecond),
		100*float64(took-interval-timeout)/float64(interval+timeout))

	upstream.want(text, "bye")
	upstream.want(text, "now")
	upstream.wantClose(1001, "heartbeat_timeout")
	upstream.wantReset()
	client.wantReset()
	wantAfter(t, dialed, interval+timeout+soon)
	w.wantEnd(policies.HeartbeatTimeout, 1001)
}

// The timeouts of these are so long that a slow machine does not fail them, and
// the tests go on for longer than that.
const lives = 2 * time.Second

// A client that only answers pings lives on. Upstream sees none of it: the pongs
// answer pings that it has not sent.
func TestClientThatOnlyAnswersPings(t *testing.T) {
	t.Parallel()
	for _, liveness := range []policies.Liveness{policies.LivenessAny, policies.LivenessPong} {
		t.Run(string(liveness), func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{
				Heartbeat: policies.Heartbeat{Interval: 50 * time.Millisecond, Timeout: lives, Liveness: liveness},
			})
			client, upstream := w.open()

			pings := 0
			for began := time.Now(); time.Since(began) < lives*3/2; pings++ {
				client.send(client.frame(pong, client.wantPing()))
			}
			t.Logf("%d pings", pings)
			client.send(client.frame(text, "still here"))
			upstream.want(text, "still here")
		})
	}
}

// With liveness any, every frame is a sign of life: a client that talks gets no
// ping.
func TestLivenessAny(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: lives, Timeout: 50 * time.Millisecond},
	})
	client, upstream := w.open()
	for began := time.Now(); time.Since(began) < lives*3/2; time.Sleep(20 * time.Millisecond) {
		client.send(client.frame(text, "alive"))
		upstream.want(text, "alive")
	}
	w.wantAlive(client, upstream)
}

// With liveness pong, only an answer to a ping is one: a client whose script
// talks but whose connection answers no ping is not taken for alive.
func TestLivenessPong(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: soon, Timeout: soon, Liveness: policies.LivenessPong},
	})
	client, upstream := w.open()
	client.wantPing()
	client.send(client.frame(text, "alive"), client.frame(pong, "not what was asked"))
	upstream.want(text, "alive")
	upstream.want(pong, "not what was asked") // an answer to nothing of ours passes
	client.wantClose(1001, "heartbeat_timeout")
	upstream.wantClose(1001, "heartbeat_timeout")
	upstream.answerClose(1001)
	client.answerClose(1001)
	w.wantEnd(policies.HeartbeatTimeout, 1001)
}

// Upstream's pings reach the client, and the client's pongs upstream, as they
// are, beside wswarden's own.
func TestPingsPass(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	upstream.send(upstream.frame(ping, "u"))
	client.want(ping, "u")
	answer := client.frame(pong, "u")
	client.send(answer)
	upstream.wantBytes(answer)
	client.send(client.frame(ping, "c"))
	upstream.want(ping, "c")
	upstream.send(upstream.frame(pong, "c"))
	client.want(pong, "c")
	w.wantAlive(client, upstream)
}

func TestUpstreamTimeout(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: soon, Timeout: soon},
	})
	dialed := time.Now()
	client, upstream := w.open()
	upstream.wantPing()
	wantAfter(t, dialed, soon)
	client.wantClose(1014, "upstream_timeout")
	wantAfter(t, dialed, 2*soon)
	upstream.wantClose(1001, "upstream_timeout")
	upstream.answerClose(1001)
	client.answerClose(1014)
	w.wantEnd(policies.UpstreamTimeout, 1014)
}

// The client sees none of the pongs that answer wswarden's pings.
func TestUpstreamThatOnlyAnswersPings(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: 50 * time.Millisecond, Timeout: lives},
	})
	client, upstream := w.open()
	for began := time.Now(); time.Since(began) < lives*3/2; {
		upstream.send(upstream.frame(pong, upstream.wantPing()))
	}
	upstream.send(upstream.frame(text, "still here"))
	client.want(text, "still here")
}
