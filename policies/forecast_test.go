package policies_test

import (
	"cmp"
	"slices"
	"testing"
	"time"

	"wswarden/policies"
)

// The session of these rows was opened at 100 s.
func TestForecasts(t *testing.T) {
	t.Parallel()
	heartbeat := policies.Policy{Heartbeat: policies.Heartbeat{Interval: 30 * second, Timeout: 10 * second, CloseCode: 4000}}
	pongs, quick, never, jitter := heartbeat, heartbeat, heartbeat, heartbeat
	pongs.Heartbeat.Liveness = policies.LivenessPong
	quick.Heartbeat.Interval = 3 * second
	never.Heartbeat.Interval = 1
	jitter.Heartbeat.Jitter = 0.5
	upstream := policies.Policy{UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: 30 * second, Timeout: 10 * second}}
	first := policies.Policy{FirstMessage: policies.FirstMessage{Timeout: 15 * second}}
	idle := policies.Policy{Idle: policies.Idle{Timeout: 100 * second}}
	lifetime := policies.Policy{Lifetime: policies.Lifetime{Max: 400 * second, Jitter: 0.5}}
	stall := policies.Policy{Stall: policies.Stall{Timeout: 5 * second}}
	all := policies.Policy{
		Heartbeat: heartbeat.Heartbeat, UpstreamHeartbeat: upstream.UpstreamHeartbeat, FirstMessage: first.FirstMessage,
		Idle: idle.Idle, Lifetime: lifetime.Lifetime, Stall: stall.Stall,
	}

	facts := func(change func(f *policies.Facts)) policies.Facts {
		f := policies.Facts{Opened: 100 * second}
		change(&f)
		return f
	}
	opened := facts(func(*policies.Facts) {})
	pinged := facts(func(f *policies.Facts) { f.ClientPing = 130 * second })
	spoke := facts(func(f *policies.Facts) { f.ClientPing, f.ClientFrame = 130*second, 131*second })
	ponged := facts(func(f *policies.Facts) {
		f.ClientPing, f.ClientFrame, f.ClientPong = 130*second, 131*second, 131*second
	})
	queued := facts(func(f *policies.Facts) { f.ClientPingQueued, f.UpstreamPingQueued = true, true })
	said := facts(func(f *policies.Facts) { f.ClientMessage, f.Message = 110*second, 120*second })
	pressed := facts(func(f *policies.Facts) { f.Pressure = policies.FullStep })
	late := facts(func(f *policies.Facts) { f.Spread = 128 })

	lost := endsNow(policies.HeartbeatTimeout, 4000)
	says := func(rule string, v policies.Verdict, at policies.Moment) []policies.Forecast {
		return []policies.Forecast{{Rule: rule, Verdict: v, At: at}}
	}
	var silence []policies.Forecast

	for _, row := range []struct {
		name   string
		policy policies.Policy
		facts  policies.Facts
		now    policies.Moment
		want   []policies.Forecast
	}{
		{"no rule is on", policies.Policy{}, opened, 101 * second, silence},

		{"heartbeat: the next ping", heartbeat, opened, 101 * second, says("heartbeat", pingClient, 130*second)},
		{"heartbeat: a ping that is due now", heartbeat, opened, 130 * second, says("heartbeat", pingClient, 130*second)},
		{"heartbeat: a ping that is overdue is sent now", heartbeat, opened, 140 * second, says("heartbeat", pingClient, 140*second)},
		{"heartbeat: the end, once pinged", heartbeat, pinged, 131 * second, says("heartbeat", lost, 140*second)},
		{"heartbeat: the end is overdue", heartbeat, pinged, 150 * second, says("heartbeat", lost, 150*second)},
		{"heartbeat: a ping that is not written has no timeout", heartbeat, queued, 131 * second, silence},
		{"heartbeat: answered, the next ping", heartbeat, ponged, 132 * second, says("heartbeat", pingClient, 161*second)},
		{"heartbeat: any frame is an answer", heartbeat, spoke, 132 * second, says("heartbeat", pingClient, 161*second)},
		{"heartbeat: only a pong is an answer", pongs, spoke, 132 * second, says("heartbeat", lost, 140*second)},
		{"heartbeat: a pong is one", pongs, ponged, 132 * second, says("heartbeat", pingClient, 161*second)},
		{"heartbeat: a timeout of several intervals", quick, pinged, 131 * second, says("heartbeat", lost, 140*second)},
		{"heartbeat: a timeout of too many intervals", never, pinged, 131 * second, silence},
		{"heartbeat: with its jitter", jitter, late, 101 * second, says("heartbeat", pingClient, 122500*ms)},

		{"upstream_heartbeat: the next ping", upstream, opened, 101 * second, says("upstream_heartbeat", pingUpstream, 130*second)},
		{"upstream_heartbeat: the end, once pinged", upstream, facts(func(f *policies.Facts) { f.UpstreamPing = 130 * second }), 131 * second,
			says("upstream_heartbeat", endsNow(policies.UpstreamTimeout, 0), 140*second)},
		{"upstream_heartbeat: a ping that is not written has no timeout", upstream, queued, 131 * second, silence},

		{"first_message: waited for", first, opened, 101 * second, says("first_message", ends(policies.NoFirstMessage, 0), 115*second)},
		{"first_message: it has come", first, said, 121 * second, silence},

		{"idle: nothing said", idle, opened, 101 * second, says("idle", ends(policies.IdleTimeout, 0), 200*second)},
		{"idle: since the last message", idle, said, 121 * second, says("idle", ends(policies.IdleTimeout, 0), 220*second)},
		{"idle: sooner under pressure", idle, pressed, 101 * second, says("idle", ends(policies.IdleTimeout, 0), 110*second)},

		{"lifetime: its end", lifetime, opened, 101 * second, says("lifetime", ends(policies.MaxAge, 0), 500*second)},
		{"lifetime: with its jitter", lifetime, late, 101 * second, says("lifetime", ends(policies.MaxAge, 0), 400*second)},
		{"lifetime: sooner under pressure", lifetime, pressed, 101 * second, says("lifetime", ends(policies.MaxAge, 0), 140*second)},

		{"stall: nothing waits", stall, opened, 101 * second, silence},
		{"stall: since bytes wait", stall, facts(func(f *policies.Facts) { f.UpstreamQueued = 150 * second }), 151 * second,
			says("stall", endsNow(policies.Stalled, 0), 155*second)},

		{"all rules, in their order", all, facts(func(f *policies.Facts) { f.ClientWaits = 100 * second }), 101 * second, []policies.Forecast{
			{Rule: "stall", Verdict: endsNow(policies.Stalled, 0), At: 105 * second},
			{Rule: "heartbeat", Verdict: pingClient, At: 130 * second},
			{Rule: "upstream_heartbeat", Verdict: pingUpstream, At: 130 * second},
			{Rule: "first_message", Verdict: ends(policies.NoFirstMessage, 0), At: 115 * second},
			{Rule: "idle", Verdict: ends(policies.IdleTimeout, 0), At: 200 * second},
			{Rule: "lifetime", Verdict: ends(policies.MaxAge, 0), At: 500 * second},
		}},
		{"all rules, each of which has an end to tell", all, opened, 900 * second, []policies.Forecast{
			{Rule: "heartbeat", Verdict: pingClient, At: 900 * second},
			{Rule: "upstream_heartbeat", Verdict: pingUpstream, At: 900 * second},
			{Rule: "first_message", Verdict: ends(policies.NoFirstMessage, 0), At: 900 * second},
			{Rule: "idle", Verdict: ends(policies.IdleTimeout, 0), At: 900 * second},
			{Rule: "lifetime", Verdict: ends(policies.MaxAge, 0), At: 900 * second},
		}},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Parallel()
			before := row.facts
			got := row.policy.Forecasts(&row.facts, row.now)
			if !slices.EqualFunc(got, row.want, sameForecast) {
				t.Errorf("%+v, want %+v", got, row.want)
			}
			if row.facts != before {
				t.Error("a forecast has changed the facts")
			}
		})
	}
}

// sameForecast allows what a float rounds.
func sameForecast(a, b policies.Forecast) bool {
	return a.Rule == b.Rule && a.Verdict == b.Verdict && near(a.At, b.At)
}

// Whoever does what the first forecast says, when it says so, does what Check asks for.
func TestForecastsAgreeWithCheck(t *testing.T) {
	t.Parallel()
	p := policies.Default()
	p.UpstreamHeartbeat.Interval = 20 * second
	p.FirstMessage.Timeout = 70 * second
	p.Idle.Timeout = 50 * second
	p.Lifetime.Max = 80 * second
	for spread := range 256 {
		f := policies.Facts{Opened: 100 * second, Spread: uint8(spread), ClientWaits: time.Duration(spread%2) * 150 * second}
		for now := f.Opened; ; {
			v, next := p.Check(&f, now)
			first := earliest(p.Forecasts(&f, now))
			if v != nothing && (first.At != now || v != first.Verdict) {
				t.Fatalf("spread %d, at %s: Check says %+v, the first forecast is %+v", spread, now, v, first)
			}
			if v == nothing && (first.At < next || next == policies.Never) {
				t.Fatalf("spread %d, at %s: Check asks to be called at %s, the first forecast is %+v", spread, now, next, first)
			}
			switch v.Action {
			case policies.End:
			case policies.PingClient:
				f.ClientPing, f.ClientPong = now, now+1
				continue
			case policies.PingUpstream:
				f.UpstreamPing, f.UpstreamFrame = now, now+1
				continue
			default:
				now = next
				continue
			}
			break
		}
	}
}

// earliest returns the forecast that comes true first: of several, an end, or else
// the first.
func earliest(all []policies.Forecast) policies.Forecast {
	return slices.MinFunc(all, func(a, b policies.Forecast) int {
		switch {
		case a.At != b.At:
			return cmp.Compare(a.At, b.At)
		case (a.Verdict.Action == policies.End) == (b.Verdict.Action == policies.End):
			return 0
		case a.Verdict.Action == policies.End:
			return -1
		default:
			return 1
		}
	})
}
