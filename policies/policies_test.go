package policies_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

const second = time.Second

// check asks one rule or a whole policy.
type check func(f *policies.Facts, now policies.Moment) (policies.Verdict, policies.Moment)

// ask is a row of a rule's table: these facts, asked now, give this verdict and
// this moment to ask again.
type ask struct {
	name  string
	check check
	facts policies.Facts
	now   policies.Moment

	want policies.Verdict
	next policies.Moment
}

func run(t *testing.T, rows []ask) {
	t.Helper()
	for _, row := range rows {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			got, next := row.check(&row.facts, row.now)
			if got != row.want {
				t.Errorf("verdict %+v, want %+v", got, row.want)
			}
			if next != row.next {
				t.Errorf("ask again at %s, want %s", next, row.next)
			}
		})
	}
}

// ends is the verdict that ends a session at a message boundary.
func ends(cause policies.Cause, code uint16) policies.Verdict {
	return policies.Verdict{Action: policies.End, Cause: cause, Code: code}
}

// endsNow is the verdict that waits for no message.
func endsNow(cause policies.Cause, code uint16) policies.Verdict {
	v := ends(cause, code)
	v.Urgent = true
	return v
}

var (
	nothing      policies.Verdict
	pingClient   = policies.Verdict{Action: policies.PingClient}
	pingUpstream = policies.Verdict{Action: policies.PingUpstream}
)

// The session of these rows was opened at 100 s, so that no moment in it is
// mistaken for a duration.
func TestPolicyCheck(t *testing.T) {
	t.Parallel()
	all := policies.Policy{
		Heartbeat:         policies.Heartbeat{Interval: 30 * second, Timeout: 10 * second},
		UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: 20 * second, Timeout: 10 * second},
		FirstMessage:      policies.FirstMessage{Timeout: 15 * second},
		Idle:              policies.Idle{Timeout: 25 * second},
		Lifetime:          policies.Lifetime{Max: 60 * second},
		Stall:             policies.Stall{Timeout: 5 * second},
	}
	off := policies.Policy{Release: policies.Release{Grace: second}}
	opened := policies.Facts{Opened: 100 * second}
	talking := policies.Facts{Opened: 100 * second, ClientMessage: 101 * second, Message: 111 * second,
		ClientFrame: 111 * second, UpstreamFrame: 111 * second}
	stalled := talking
	stalled.ClientWaits = 100 * second

	run(t, []ask{
		{"no rule is on", off.Check, opened, 1000 * second, nothing, policies.Never},
		{"the earliest of all rules comes next", all.Check, opened, 101 * second, nothing, 115 * second},
		{"a rule that is settled no longer counts", all.Check, talking, 112 * second, nothing, 131 * second},
		{"a ping is due, the end is not", all.Check, talking, 131 * second, pingUpstream, 136 * second},
		{"of two pings the client's comes first", all.Check, policies.Facts{Opened: 100 * second, ClientMessage: 101 * second,
			Message: 135 * second, ClientFrame: 105 * second, UpstreamFrame: 115 * second}, 135 * second, pingClient, 160 * second},
		{"an end outranks a ping", all.Check, policies.Facts{Opened: 100 * second, ClientMessage: 101 * second, Message: 101 * second,
			ClientFrame: 101 * second, UpstreamFrame: 101 * second}, 131 * second, ends(policies.IdleTimeout, 0), policies.Never},
		{"of two ends the graver comes first", all.Check, stalled, 161 * second, endsNow(policies.Stalled, 0), policies.Never},
		{"an end also without pings", all.Check, talking, 160 * second, ends(policies.IdleTimeout, 0), policies.Never},
	})
}

func TestDefaultBreaksNothing(t *testing.T) {
	t.Parallel()
	p := policies.Default()
	if p.Messages.MaxBytes != 0 || len(p.Release.Farewell) != 0 || p.Release.Grace <= 0 || p.Name == "" {
		t.Errorf("limits in the default policy: %+v", p)
	}
	silent := policies.Facts{Opened: second, ClientFrame: 999 * second, ClientPong: 999 * second}
	if got, next := p.Check(&silent, 1000*second); got != nothing || next <= 1000*second {
		t.Errorf("a session that only answers pings: %+v at %s", got, next)
	}
	dead := policies.Facts{Opened: second, ClientPing: 31 * second}
	if got, _ := p.Check(&dead, 41*second); got != endsNow(policies.HeartbeatTimeout, 0) {
		t.Errorf("a session without life: %+v", got)
	}
}

// Check must not allocate: it is called for each session at each of its moments.
func TestCheckAllocatesNothing(t *testing.T) {
	p := policies.Default()
	f := policies.Facts{Opened: second, Spread: 77}
	if n := testing.AllocsPerRun(100, func() { p.Check(&f, 2*second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
