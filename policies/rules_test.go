package policies_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

func TestHeartbeat(t *testing.T) {
	t.Parallel()
	h := policies.Heartbeat{Interval: 30 * second, Timeout: 10 * second, CloseCode: 4000}
	any, pong, off, quick := h, h, h, h
	any.Liveness = policies.LivenessAny
	pong.Liveness = policies.LivenessPong
	off.Interval = 0
	quick.Interval = 3 * second
	lost := endsNow(policies.HeartbeatTimeout, 4000)

	opened := policies.Facts{Opened: 100 * second}
	chatty := policies.Facts{Opened: 100 * second, ClientFrame: 120 * second}
	pinged := policies.Facts{Opened: 100 * second, ClientPing: 130 * second}
	queued := policies.Facts{Opened: 100 * second, ClientPingQueued: true}
	answered := policies.Facts{Opened: 100 * second, ClientPing: 130 * second, ClientFrame: 132 * second, ClientPong: 132 * second}
	spoke := policies.Facts{Opened: 100 * second, ClientPing: 130 * second, ClientFrame: 132 * second}
	again := policies.Facts{Opened: 100 * second, ClientPing: 162 * second, ClientFrame: 132 * second, ClientPong: 132 * second}
	atOnce := policies.Facts{Opened: 100 * second, ClientPing: 130 * second, ClientPong: 130 * second}
	other := policies.Facts{Opened: 100 * second, UpstreamFrame: 129 * second, Message: 129 * second}

	run(t, []ask{
		{"no ping before the interval", any.Check, opened, 129 * second, nothing, 130 * second},
		{"a ping at the interval", any.Check, opened, 130 * second, pingClient, policies.Never},
		{"any frame puts the ping off", any.Check, chatty, 130 * second, nothing, 150 * second},
		{"an absent liveness is any", h.Check, chatty, 130 * second, nothing, 150 * second},
		{"upstream's frames are no life of the client", any.Check, other, 130 * second, pingClient, policies.Never},
		{"only pongs count: frames put nothing off", pong.Check, chatty, 130 * second, pingClient, policies.Never},
		{"the timeout runs", any.Check, pinged, 139 * second, nothing, 140 * second},
		{"a sign of life can bring the next ping before the timeout", quick.Check, pinged, 131 * second, nothing, 134 * second},
		{"the timeout is over", any.Check, pinged, 140 * second, lost, policies.Never},
		{"no timeout for a ping that is not written", any.Check, queued, 900 * second, nothing, policies.Never},
		{"answered: the next interval", any.Check, answered, 140 * second, nothing, 162 * second},
		{"answered: the next ping", any.Check, answered, 162 * second, pingClient, policies.Never},
		{"answered in the same moment", any.Check, atOnce, 131 * second, nothing, 160 * second},
		{"answered by any frame", any.Check, spoke, 140 * second, nothing, 162 * second},
		{"only pongs count: a frame is no answer", pong.Check, spoke, 140 * second, lost, policies.Never},
		{"only pongs count: a pong is one", pong.Check, answered, 140 * second, nothing, 162 * second},
		{"the second ping has a timeout too", any.Check, again, 172 * second, lost, policies.Never},
		{"off", off.Check, pinged, 900 * second, nothing, policies.Never},
	})
}

func TestUpstreamHeartbeat(t *testing.T) {
	t.Parallel()
	on := policies.UpstreamHeartbeat{Interval: 30 * second, Timeout: 10 * second, CloseCode: 4000}
	off := policies.UpstreamHeartbeat{Timeout: 10 * second}
	lost := endsNow(policies.UpstreamTimeout, 4000)

	opened := policies.Facts{Opened: 100 * second}
	chatty := policies.Facts{Opened: 100 * second, UpstreamFrame: 120 * second}
	client := policies.Facts{Opened: 100 * second, ClientFrame: 120 * second, ClientPong: 120 * second}
	pinged := policies.Facts{Opened: 100 * second, UpstreamPing: 130 * second}
	answered := policies.Facts{Opened: 100 * second, UpstreamPing: 130 * second, UpstreamFrame: 131 * second}
	queued := policies.Facts{Opened: 100 * second, UpstreamPingQueued: true}

	run(t, []ask{
		{"no ping before the interval", on.Check, opened, 129 * second, nothing, 130 * second},
		{"a ping at the interval", on.Check, opened, 130 * second, pingUpstream, policies.Never},
		{"any frame puts the ping off", on.Check, chatty, 130 * second, nothing, 150 * second},
		{"the client's frames are no life of upstream", on.Check, client, 130 * second, pingUpstream, policies.Never},
		{"the timeout runs", on.Check, pinged, 139 * second, nothing, 140 * second},
		{"the timeout is over", on.Check, pinged, 140 * second, lost, policies.Never},
		{"answered: the next interval", on.Check, answered, 140 * second, nothing, 161 * second},
		{"no timeout for a ping that is not written", on.Check, queued, 900 * second, nothing, policies.Never},
		{"off", off.Check, opened, 900 * second, nothing, policies.Never},
	})
}

func TestFirstMessage(t *testing.T) {
	t.Parallel()
	on := policies.FirstMessage{Timeout: 10 * second, CloseCode: 4000}
	off := policies.FirstMessage{}
	opened := policies.Facts{Opened: 100 * second}
	pongs := policies.Facts{Opened: 100 * second, ClientFrame: 109 * second, ClientPong: 109 * second, Message: 109 * second}
	spoke := policies.Facts{Opened: 100 * second, ClientMessage: 101 * second}

	run(t, []ask{
		{"there is time left", on.Check, opened, 109 * second, nothing, 110 * second},
		{"time is over", on.Check, opened, 110 * second, ends(policies.NoFirstMessage, 4000), policies.Never},
		{"pongs and upstream's messages do not help", on.Check, pongs, 110 * second, ends(policies.NoFirstMessage, 4000), policies.Never},
		{"the client has spoken", on.Check, spoke, 900 * second, nothing, policies.Never},
		{"off", off.Check, opened, 900 * second, nothing, policies.Never},
	})
}

func TestIdle(t *testing.T) {
	t.Parallel()
	on := policies.Idle{Timeout: 10 * second, CloseCode: 4000}
	off := policies.Idle{}
	opened := policies.Facts{Opened: 100 * second}
	control := policies.Facts{Opened: 100 * second, ClientFrame: 109 * second, ClientPong: 109 * second, UpstreamFrame: 109 * second}
	talked := policies.Facts{Opened: 100 * second, Message: 105 * second}

	run(t, []ask{
		{"counts from the handshake", on.Check, opened, 109 * second, nothing, 110 * second},
		{"time is over", on.Check, opened, 110 * second, ends(policies.IdleTimeout, 4000), policies.Never},
		{"control frames do not count", on.Check, control, 110 * second, ends(policies.IdleTimeout, 4000), policies.Never},
		{"counts from the last message", on.Check, talked, 110 * second, nothing, 115 * second},
		{"time is over after a message", on.Check, talked, 115 * second, ends(policies.IdleTimeout, 4000), policies.Never},
		{"off", off.Check, opened, 900 * second, nothing, policies.Never},
	})
}

func TestLifetime(t *testing.T) {
	t.Parallel()
	on := policies.Lifetime{Max: 60 * second, CloseCode: 4000}
	off := policies.Lifetime{Jitter: 1}
	busy := policies.Facts{Opened: 100 * second, Message: 159 * second, ClientFrame: 159 * second, ClientMessage: 101 * second}

	run(t, []ask{
		{"there is time left", on.Check, busy, 159 * second, nothing, 160 * second},
		{"time is over, whatever goes on", on.Check, busy, 160 * second, ends(policies.MaxAge, 4000), policies.Never},
		{"off", off.Check, busy, 900 * second, nothing, policies.Never},
	})
}

func TestStall(t *testing.T) {
	t.Parallel()
	on := policies.Stall{Timeout: 10 * second, CloseCode: 4000}
	off := policies.Stall{}
	stalled := endsNow(policies.Stalled, 4000)
	none := policies.Facts{Opened: 100 * second}
	client := policies.Facts{Opened: 100 * second, ClientWaits: 200 * second}
	upstream := policies.Facts{Opened: 100 * second, UpstreamWaits: 200 * second}
	both := policies.Facts{Opened: 100 * second, ClientWaits: 205 * second, UpstreamWaits: 200 * second}
	bothToo := policies.Facts{Opened: 100 * second, ClientWaits: 200 * second, UpstreamWaits: 205 * second}

	system := policies.Facts{Opened: 100 * second, ClientQueued: 200 * second}
	systemToo := policies.Facts{Opened: 100 * second, UpstreamWaits: 205 * second, UpstreamQueued: 200 * second}

	run(t, []ask{
		{"nothing waits", on.Check, none, 900 * second, nothing, policies.Never},
		{"the client may still take something", on.Check, client, 209 * second, nothing, 210 * second},
		{"the client has taken nothing", on.Check, client, 210 * second, stalled, policies.Never},
		{"upstream may still take something", on.Check, upstream, 209 * second, nothing, 210 * second},
		{"upstream has taken nothing", on.Check, upstream, 210 * second, stalled, policies.Never},
		{"upstream waits for longer", on.Check, both, 210 * second, stalled, policies.Never},
		{"the client waits for longer", on.Check, bothToo, 209 * second, nothing, 210 * second},
		{"the client's system may still take something", on.Check, system, 209 * second, nothing, 210 * second},
		{"the client's system has taken nothing", on.Check, system, 210 * second, stalled, policies.Never},
		{"upstream's system waits for longer", on.Check, systemToo, 210 * second, stalled, policies.Never},
		{"off", off.Check, client, 900 * second, nothing, policies.Never},
	})
}

// Jitter brings a moment forward, by less than its part, and never puts it off:
// with a jitter of 1, something is left of the shortest interval, as none would
// mean that the rule is off.
func TestJitterBounds(t *testing.T) {
	t.Parallel()
	const opened, d = 100 * second, 40 * second
	rules := map[string]func(jitter float64) check{
		"heartbeat": func(jitter float64) check {
			return policies.Heartbeat{Interval: d, Timeout: second, Jitter: jitter}.Check
		},
		"lifetime": func(jitter float64) check { return policies.Lifetime{Max: d, Jitter: jitter}.Check },
	}
	for name, rule := range rules {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, jitter := range []float64{0, 0.1, 0.5, 1} {
				seen := map[time.Duration]bool{}
				earliest, latest := opened+d, opened+d
				for spread := range 256 {
					f := policies.Facts{Opened: opened, Spread: uint8(spread)}
					_, due := rule(jitter)(&f, opened)
					seen[due] = true
					earliest, latest = min(earliest, due), max(latest, due)
				}
				part := time.Duration(jitter * float64(d))
				if latest != opened+d || earliest < opened+d-part || earliest > opened+d-part*9/10 {
					t.Errorf("jitter %v: from %s to %s", jitter, earliest-opened, latest-opened)
				}
				if jitter > 0 && len(seen) != 256 {
					t.Errorf("jitter %v: %d moments, want one for each share", jitter, len(seen))
				}
			}
		})
	}
}
