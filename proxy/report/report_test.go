package report

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// told is a rule's report in words; empty: there is none.
func told(t api.PolicyReport, rule string) string {
	i := slices.IndexFunc(t.Rules, func(r api.RuleReport) bool { return r.Rule == rule })
	if i < 0 {
		return ""
	}
	r := t.Rules[i]
	words := []string{r.Mode, fmt.Sprint("hit ", r.Hit)}
	if r.Setting == "" {
		words = append(words, "off")
	} else {
		words = append(words, r.Setting)
	}
	if r.Refused > 0 {
		words = append(words, fmt.Sprint("refused ", r.Refused))
	}
	if n := r.Needed; n != nil {
		words = append(words, strings.TrimSpace(fmt.Sprintf("%g %g %g %g of %d %s", n.P50, n.P90, n.P99, n.Max, n.Sessions, r.Unit)))
	}
	return strings.Join(words, "; ")
}

func TestRules(t *testing.T) {
	needs := func(m Measure, values ...uint32) (all []Record) {
		for _, v := range values {
			var r Record
			r.Raise(m, int64(v))
			all = append(all, r)
		}
		return all
	}
	met := func(sets ...Record) []Record { return append(sets, Record{}) }
	for _, row := range []struct {
		rule   string
		policy func(p *policies.Policy)
		live   []Record
		want   string
	}{
		{"subscriptions.max", func(p *policies.Policy) { p.Subscriptions.Max, p.Subscriptions.Mode = 20, policies.ModeObserve },
			append(needs(Subscriptions, 1, 4, 0, 412), limit(policies.LimitSubscriptionsMax)), "observe; hit 1; 20; 1 412 412 412 of 5"},
		{"subscriptions.max", func(p *policies.Policy) { p.Subscriptions.Max = 20 }, met(limit(policies.LimitSubscriptionsMaxPerTopic)), "enforce; hit 0; 20"},
		{"subscriptions.max", func(*policies.Policy) {}, needs(Subscriptions, 3), "enforce; hit 0; off; 3 3 3 3 of 1"},
		{"subscriptions.max", func(*policies.Policy) {}, needs(Subscriptions, 0), ""},
		{"subscriptions.max_per_topic", func(p *policies.Policy) { p.Subscriptions.MaxPerTopic = 100 }, met(limit(policies.LimitSubscriptionsMaxPerTopic)), "enforce; hit 1; 100"},
		{"subscriptions.allow", func(p *policies.Policy) { p.Subscriptions.Allow = []string{"room/*", "<news>"} }, met(limit(policies.LimitSubscriptionsAllow)),
			`enforce; hit 1; ["room/*","<news>"]`},
		{"subscriptions.allow", func(p *policies.Policy) { p.Subscriptions.Deny = []string{"admin*"} }, nil, `enforce; hit 0; deny: ["admin*"]`},
		{"subscriptions.allow", func(p *policies.Policy) { p.Subscriptions.Allow, p.Subscriptions.Deny = []string{"a"}, []string{"b"} }, nil,
			`enforce; hit 0; ["a"], deny: ["b"]`},
		{"subscriptions.allow", func(*policies.Policy) {}, nil, ""},
		{"messages.rate", func(p *policies.Policy) { p.Messages.Rate, p.Mode = 0.5, policies.ModeObserve }, append(needs(MessagesInSecond, 7), limit(policies.LimitMessagesRate)),
			"observe; hit 1; 0.5; 0 7 7 7 of 2 per_second"},
		{"messages.rate", func(p *policies.Policy) { p.Messages.Rate = 1e6 }, nil, "enforce; hit 0; 1000000"},
		{"messages.bytes_per_second", func(p *policies.Policy) { p.Messages.BytesPerSecond = 64 << 10 }, append(needs(BytesInSecond, 9), limit(policies.LimitMessagesBytesPerSecond)),
			"enforce; hit 1; 64KiB; 0 9 9 9 of 2 bytes_per_second"},
		{"messages.max_bytes", func(p *policies.Policy) { p.Messages.MaxBytes = 1000 }, append(needs(MessageBytes, 9), limit(policies.LimitMessagesMaxBytes)),
			"enforce; hit 1; 1000; 0 9 9 9 of 2 bytes"},
		{"messages.validate_utf8", func(p *policies.Policy) { p.Messages.ValidateUTF8 = true }, met(cause(policies.InvalidUTF8)), "enforce; hit 1; true"},
		{"messages.validate_utf8", func(*policies.Policy) {}, nil, ""},
		{"inspect.max_bytes", func(*policies.Policy) {}, nil, ""},
		{"inspect.max_bytes", func(p *policies.Policy) { p.Dialect = "rac" }, met(limit(policies.LimitInspectMaxBytes)), "enforce; hit 1; 64KiB"},
		{"connections.max", func(p *policies.Policy) { p.Connections.Max, p.Connections.Mode = 10, policies.ModeObserve },
			append(needs(OfPolicy, 9, 10, 0), Record{Refusals: 1 << policies.RefusedMax}), "observe; hit 1; 10; 9 10 10 10 of 2"},
		{"connections.per_ip", func(*policies.Policy) {}, needs(OfAddress, 0, 0, 2), "enforce; hit 0; off; 2 2 2 2 of 1"},
		{"connections.per_identity", func(p *policies.Policy) { p.Connections.PerIdentity = 1 }, // told by a message, so that nothing was refused
			append(needs(OfIdentity, 2), limit(policies.LimitConnectionsPerIdentity)), "enforce; hit 1; 1; 2 2 2 2 of 1"},
		{"connections.identity.required", func(p *policies.Policy) { p.Connections.Identity.Required = true }, met(refusal(policies.RefusedIdentity)), "enforce; hit 1; true"},
		{"handshakes.per_ip_rate", func(p *policies.Policy) { p.Handshakes.PerIPRate = 10 }, met(refusal(policies.RefusedIPRate)), "enforce; hit 1; 10"},
		{"handshakes.total_rate", func(p *policies.Policy) { p.Handshakes.TotalRate, p.Handshakes.Mode = 100, policies.ModeObserve }, met(refusal(policies.RefusedTotalRate)), "observe; hit 1; 100"},
		{"origins.allow", func(*policies.Policy) {}, met(refusal(policies.RefusedOrigin)), "enforce; hit 1; []"},
		{"origins.allow", func(p *policies.Policy) {
			p.Origins.Allow, p.Origins.Mode = []string{"https://*.example.com"}, policies.ModeObserve
		}, nil, `observe; hit 0; ["https://*.example.com"]`},
		{"origins.allow", func(p *policies.Policy) { p.Origins.Allow = []string{"*"} }, nil, ""},
		{"first_message.timeout", func(p *policies.Policy) { p.FirstMessage.Timeout = time.Minute }, append(needs(FirstMessage, 250, 0), cause(policies.NoFirstMessage)),
			"enforce; hit 1; 1m; 0.25 0.25 0.25 0.25 of 1 seconds"},
		{"idle.timeout", func(p *policies.Policy) { p.Idle.Timeout = 90 * time.Second }, append(needs(Silence, 1500, 0), cause(policies.IdleTimeout)),
			"enforce; hit 1; 1m30s; 0 1.5 1.5 1.5 of 3 seconds"},
		{"lifetime.max", func(p *policies.Policy) { p.Lifetime.Max = 12 * time.Hour }, append(needs(Age, 60_000), cause(policies.MaxAge)), "enforce; hit 1; 12h; 0 60 60 60 of 2 seconds"},
		{"stall.timeout", func(*policies.Policy) {}, met(cause(policies.Stalled)), "enforce; hit 1; 30s"},
		{"heartbeat", func(*policies.Policy) {}, met(cause(policies.HeartbeatTimeout)), "enforce; hit 1; {interval: 30s, timeout: 10s}"},
		{"heartbeat", func(p *policies.Policy) { p.Heartbeat.Mode = policies.ModeObserve }, met(cause(policies.HeartbeatTimeout)), ""}, // nobody is pinged
		{"heartbeat", func(p *policies.Policy) { p.Heartbeat.Interval = 0 }, nil, ""},
		{"upstream_heartbeat", func(p *policies.Policy) { p.UpstreamHeartbeat.Interval = time.Minute }, met(cause(policies.UpstreamTimeout)), "enforce; hit 1; {interval: 1m, timeout: 10s}"},
		{"upstream_heartbeat", func(*policies.Policy) {}, nil, ""},
		{"protocol", func(p *policies.Policy) { p.Mode = policies.ModeObserve }, met(cause(policies.ProtocolError), cause(policies.Drain)), "observe; hit 1; RFC 6455"},
	} {
		p := policies.Default()
		row.policy(&p)
		var l Ledger
		if got := told(l.Report(&p, settingsOf(&p), 0, 0, time.Hour, row.live), row.rule); got != row.want {
			t.Errorf("%s: %s, want %s", row.rule, got, row.want)
		}
	}
}

// What has hit a limit, or ended by a rule, is told of.
func TestNothingThatIsMetIsLeftOut(t *testing.T) {
	hits := func(r Record) bool {
		return slices.ContainsFunc(rules, func(rule rule) bool { return rule.hits.met(&r) })
	}
	for _, l := range policies.Limits() {
		if !hits(limit(l)) {
			t.Errorf("no rule is hit by the limit %s", l)
		}
	}
	// Those are no rule's, or of a limit that is told by itself.
	others := []policies.Cause{
		policies.ClientClose, policies.UpstreamClose, policies.ClientLost, policies.UpstreamLost, policies.Killed, policies.Drain,
		policies.SubscriptionLimit, policies.MessageRate, policies.MessageTooBig, policies.Superseded, policies.ConnectionLimit,
	}
	for _, c := range policies.Causes() {
		if hits(cause(c)) == slices.Contains(others, c) {
			t.Errorf("%s: a rule is hit: %t", c, hits(cause(c)))
		}
	}
	notLimits := []policies.Refusal{policies.RefusedTakeover, policies.RefusedSuperseded, policies.RefusedStore, policies.RefusedPressure}
	for _, r := range policies.Refusals() {
		if hits(Record{Refusals: 1 << r}) == slices.Contains(notLimits, r) {
			t.Errorf("%s: a rule is hit: %t", r, !slices.Contains(notLimits, r))
		}
		if r >= refusals {
			t.Errorf("%s has no bit in Record.Refusals", r)
		}
	}
}

// Sessions that have ended and those that live are one crowd.
func TestReportOfBoth(t *testing.T) {
	p := policies.Default()
	p.Idle = policies.Idle{Timeout: time.Minute, Mode: policies.ModeObserve}
	var l Ledger
	idle := func(ended policies.Moment, silence uint32) Record {
		r := cause(policies.IdleTimeout)
		r.Ended, r.Needed[Silence] = ended, silence
		return r
	}
	l.Add(p.Name, idle(time.Minute, 1000)) // too long ago
	l.Add(p.Name, idle(10*time.Minute, 2000))
	l.Refuse(p.Name, policies.RefusedOrigin, 10*time.Minute)
	l.Refuse(p.Name, policies.RefusedOrigin, 11*time.Minute)
	l.Refuse(p.Name, policies.RefusedOrigin, time.Minute)
	report := l.Report(&p, settingsOf(&p), 0, 5*time.Minute, time.Hour, []Record{idle(0, 4000), {}})
	if report.Policy != p.Name || report.Sessions != 3 {
		t.Errorf("%d sessions of %s", report.Sessions, report.Policy)
	}
	for rule, want := range map[string]string{
		"idle.timeout":  "observe; hit 2; 1m; 2 4 4 4 of 3 seconds",
		"origins.allow": "enforce; hit 0; []; refused 2",
	} {
		if got := told(report, rule); got != want {
			t.Errorf("%s: %s, want %s", rule, got, want)
		}
	}
	if text, err := json.Marshal((&Ledger{}).Report(&policies.Policy{Name: "x"}, settingsOf(&policies.Policy{}), 0, 0, 0, nil)); err != nil || strings.Contains(string(text), "null") {
		t.Errorf("%s, %v", text, err)
	}
}

// As by sorting.
func TestPercentiles(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for n := 1; n < 300; n += 1 + n/5 {
		values := make([]uint32, n)
		for i := range values {
			values[i] = random.Uint32() >> random.IntN(33)
		}
		sorted := slices.Sorted(slices.Values(values))
		for i, want := range sorted {
			if got := nth(values, i); got != want {
				t.Fatalf("number %d of %d: %d, want %d", i, n, got, want)
			}
		}
	}
	var all []Record
	for _, i := range random.Perm(100) {
		all = append(all, Record{Needed: [Measures]uint32{OfAddress: uint32(i + 1)}})
	}
	got, _ := sample{parts: [][]Record{all}}.percentiles(OfAddress, nil)
	if want := (api.Percentiles{Sessions: 100, P50: 50, P90: 90, P99: 99, Max: 100}); *got != want {
		t.Errorf("%+v, want %+v", *got, want)
	}
}

func TestRaise(t *testing.T) {
	var r Record
	for _, row := range []struct {
		to   int64
		want uint32
	}{{-1, 0}, {0, 0}, {5, 5}, {4, 5}, {1 << 40, 1<<32 - 1}, {7, 1<<32 - 1}} {
		if r.Raise(Silence, row.to); r.Needed[Silence] != row.want {
			t.Errorf("raised to %d: %d, want %d", row.to, r.Needed[Silence], row.want)
		}
	}
	for d, want := range map[time.Duration]int64{0: 0, 1: 1, time.Millisecond: 1, time.Millisecond + 1: 2, time.Second: 1000} {
		if got := Millis(d); got != want {
			t.Errorf("%s is %d, want %d", d, got, want)
		}
	}
}

// settingsOf is what the proxy has of a policy's settings.
func settingsOf(p *policies.Policy) map[string]any {
	return (&config.Config{Policies: []policies.Policy{*p}}).Settings(0)
}
