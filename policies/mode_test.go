package policies_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

// What a rule that only observes says is told once, and the others go on.
func TestObservedVerdicts(t *testing.T) {
	const second = time.Second
	observed := func(action policies.Action, cause policies.Cause) policies.Verdict {
		return policies.Verdict{Action: action, Cause: cause, Observe: true}
	}
	p := policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: 10 * second, Timeout: 5 * second, Mode: policies.ModeObserve},
		Idle:      policies.Idle{Timeout: 15 * second, Mode: policies.ModeObserve},
		Lifetime:  policies.Lifetime{Max: 35 * second},
	}
	f := policies.Facts{Opened: second}
	type step struct {
		at      policies.Moment
		verdict policies.Verdict
	}
	var got []step
	for now := f.Opened; now != policies.Never; {
		v, next := p.Check(&f, now)
		if v.Action != policies.Nothing {
			got = append(got, step{now, v})
		}
		if v.Action == policies.End && !v.Observe {
			break
		}
		if v.Observe {
			f.Spare(v, now)
			continue
		}
		now = next
	}
	want := []step{
		{11 * second, observed(policies.PingClient, policies.NoCause)},
		{16 * second, observed(policies.End, policies.IdleTimeout)},
		{21 * second, observed(policies.PingClient, policies.NoCause)},
		{31 * second, observed(policies.PingClient, policies.NoCause)},
		{36 * second, policies.Verdict{Action: policies.End, Cause: policies.MaxAge}},
	}
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	rules := []string{"heartbeat", "idle", "heartbeat", "heartbeat", "lifetime"}
	for i := range want {
		if got[i] != want[i] || got[i].verdict.Rule() != rules[i] {
			t.Errorf("step %d: %+v of %s, want %+v of %s", i, got[i], got[i].verdict.Rule(), want[i], rules[i])
		}
	}

	// A ping that was sent before is waited for, and then told of.
	f = policies.Facts{Opened: second, ClientPing: 2 * second}
	p.Idle = policies.Idle{}
	v, _ := p.Check(&f, 7*second)
	if v != observed(policies.End, policies.HeartbeatTimeout) {
		t.Errorf("%+v", v)
	}
	f.Spare(v, 7*second)
	if v, next := p.Check(&f, 7*second); v.Action != policies.Nothing || next != 17*second {
		t.Errorf("%+v, next %v", v, next)
	}

	// All of a policy observes.
	p.Mode = policies.ModeObserve
	f = policies.Facts{Opened: second}
	if v, _ := p.Check(&f, 40*second); !v.Observe {
		t.Errorf("%+v", v)
	}
}
