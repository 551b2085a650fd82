package console

import (
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"

	"wswarden/proxy/admin/api"
)

func reported(window time.Duration, policies ...api.PolicyReport) *api.Report {
	return &api.Report{From: start.Add(-window), To: start, Policies: policies}
}

func text(lines []line) string {
	var b strings.Builder
	for _, l := range lines {
		b.WriteString(l.text + "\n")
	}
	return b.String()
}

var passengers = api.PolicyReport{Policy: "passengers", Sessions: 4120, Judged: 4120, Forgotten: 1024, Rules: []api.RuleReport{
	{Rule: "subscriptions.max", Setting: "20", Mode: "observe", Hit: 37, Needed: &api.Percentiles{Sessions: 4120, P50: 4, P90: 11, P99: 24, Max: 412}},
	{Rule: "messages.rate", Setting: "10", Mode: "enforce", Hit: 2, Unit: "per_second", Needed: &api.Percentiles{Sessions: 4120, P50: 1, P90: 3, P99: 9, Max: 31}},
	{Rule: "messages.bytes_per_second", Mode: "observe", Unit: "bytes_per_second", Needed: &api.Percentiles{Sessions: 4120, P50: 120, P90: 1200, P99: 30730, Max: 1 << 20}},
	{Rule: "messages.max_bytes", Mode: "observe", Unit: "bytes", Needed: &api.Percentiles{Sessions: 4120, P50: 120, P90: 640, P99: 2048, Max: 70_000}},
	{Rule: "connections.max", Mode: "observe", Needed: &api.Percentiles{Sessions: 4120, P50: 1893, P90: 2212, P99: 2301, Max: 2310}},
	{Rule: "connections.per_ip", Setting: "50", Mode: "enforce", Hit: 2, Refused: 1204, Needed: &api.Percentiles{Sessions: 4120, P50: 1, P90: 2, P99: 14, Max: 50}},
	{Rule: "handshakes.per_ip_rate", Setting: "10", Mode: "enforce", Refused: 1},
	{Rule: "origins.allow", Setting: `["https://*.example.com","https://portal.example.org"]`, Mode: "enforce"},
	{Rule: "first_message.timeout", Setting: "10s", Mode: "observe", Unit: "seconds", Needed: &api.Percentiles{Sessions: 3901, P50: 0.043, P90: 0.35, P99: 1.21, Max: 8}},
	{Rule: "connections.per_identity", Mode: "observe", Needed: &api.Percentiles{Sessions: 3800, P50: 1, P90: 1, P99: 2, Max: 9}},
	{Rule: "idle.timeout", Setting: "10m", Mode: "observe", Hit: 4120, Unit: "seconds", Needed: &api.Percentiles{Sessions: 4120, P50: 601.5, P90: 3000, P99: 7201, Max: 90_000}},
	{Rule: "lifetime.max", Mode: "observe", Unit: "seconds", Needed: &api.Percentiles{Sessions: 4120, P50: 1812, P90: 14_000, P99: 40_000, Max: 90_000}},
	{Rule: "stall.timeout", Setting: "30s", Mode: "observe"},
	{Rule: "protocol", Setting: "RFC 6455", Mode: "observe"},
}}

func TestReport(t *testing.T) {
	t.Parallel()
	guests := api.PolicyReport{Policy: "guests", Rules: []api.RuleReport{{Rule: "stall.timeout", Setting: "30s", Mode: "enforce"}}}
	const want = `passengers: 4,120 sessions in the last hour
  and 1,024 more, of which nothing is known any more

  idle.timeout: 10m would have hit all 4,120 sessions;
    half needed at most 10m02s, 90 % 50m00s, 99 % 2h01m, the longest 1d01h
  subscriptions.max: 20 would have hit 37 of 4,120 sessions (0.9 %);
    half needed at most 4, 90 % 11, 99 % 24, the largest 412
  connections.per_ip: 50 has hit 2 of 4,120 sessions (under 0.1 %), and has
    refused 1,204 handshakes;
    half needed at most 1, 90 % 2, 99 % 14, the largest 50
  messages.rate: 10 has hit 2 of 4,120 sessions (under 0.1 %);
    half needed at most 1/s, 90 % 3/s, 99 % 9/s, the largest 31/s
  handshakes.per_ip_rate: 10 has refused 1 handshake
  first_message.timeout: 10s would have hit none;
    half of the 3,901 of which it is known needed at most 43ms, 90 % 350ms,
      99 % 1.3s, the longest 8s
  none has met origins.allow: ["https://*.example.com","https://porta…;
    stall.timeout: 30s; protocol: RFC 6455

  Not limited, but measured; so much was needed, at most, by
                                HALF       90 %        99 %        ALL     OF
  messages.bytes_per_second  120 B/s  1.2 KiB/s  30.1 KiB/s  1.0 MiB/s  4,120
  messages.max_bytes           120 B      640 B     2.0 KiB   68.4 KiB  4,120
  connections.max              1,893      2,212       2,301      2,310  4,120
  connections.per_identity         1          1           2          9  3,800
  lifetime.max                30m12s      3h54m      11h07m      1d01h  4,120

guests: no sessions in the last hour
`
	if got := text(reportLines(reported(time.Hour, passengers, guests), time.Hour, 80)); got != want {
		t.Errorf("\n%s, want\n%s", got, want)
	}
	for width := 60; width <= 80; width++ {
		for _, l := range reportLines(reported(time.Hour, passengers), time.Hour, width) {
			if n := displaywidth.String(l.text); n > width {
				t.Fatalf("%d cells, want %d at most: %s", n, width, l.text)
			}
		}
	}
}

// Nothing that a configuration or a client has written reaches the terminal.
func TestReportIsHarmless(t *testing.T) {
	t.Parallel()
	p := api.PolicyReport{Policy: "p\x1b[2J", Sessions: 1, Judged: 1, Rules: []api.RuleReport{
		{Rule: "r\x1b[2J", Setting: "\x1b[2J\u00a0", Mode: "observe"},
		{Rule: "s\x1b[2J", Setting: "\x1b[2J", Mode: "\x1b[2J", Hit: 1, Unit: "\x1b[2J", Needed: &api.Percentiles{Sessions: 1, Max: 1}},
	}}
	if got := text(reportLines(reported(time.Hour, p), time.Hour, 80)); strings.ContainsAny(got, "\x1b\u00a0") {
		t.Errorf("%q", got)
	}
}

func TestWindow(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		asked, known time.Duration
		want         string
	}{
		{time.Hour, time.Hour, "in the last hour"},
		{2 * time.Hour, 2 * time.Hour, "in the last 2h"},
		{90 * time.Minute, 90 * time.Minute, "in the last 1h30m"},
		{10 * time.Minute, 10 * time.Minute, "in the last 10m"},
		{90 * time.Second, 90 * time.Second, "in the last 1m30s"},
		{time.Second, time.Second, "in the last 1s"},
		{time.Hour, 725 * time.Second, "since wswarden was started 12m05s ago"},
	} {
		got := reportLines(reported(row.known, api.PolicyReport{Policy: "p", Sessions: 1}), row.asked, 80)
		if want := "p: 1 session " + row.want; got[0].text != want {
			t.Errorf("%s of %s: %q, want %q", row.known, row.asked, got[0].text, want)
		}
	}
}

// A limit that is copied from what is shown is not hit.
func TestNeed(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		value      float64
		unit, want string
	}{
		{0, "", "0"},
		{999, "", "999"},
		{1000, "", "1,000"},
		{1234567, "", "1,234,567"},
		{3.1, "per_second", "4/s"},
		{0, "seconds", "0ms"},
		{0.001, "seconds", "1ms"},
		{0.9991, "seconds", "1s"},
		{1.01, "seconds", "1.1s"},
		{9.91, "seconds", "10s"},
		{59.5, "seconds", "1m00s"},
		{3598.1, "seconds", "59m59s"},
		{3599.1, "seconds", "1h00m"},
		{3601, "seconds", "1h01m"},
		{86341, "seconds", "1d00h"},
		{86401, "seconds", "1d01h"},
		{0, "bytes", "0 B"},
		{1023, "bytes", "1023 B"},
		{1024, "bytes", "1.0 KiB"},
		{1025, "bytes", "1.1 KiB"},
		{65536, "bytes", "64.0 KiB"},
		{1<<20 - 1, "bytes", "1.0 MiB"},
		{1<<32 - 1, "bytes_per_second", "4.0 GiB/s"},
	} {
		if got := need(row.value, row.unit); got != row.want {
			t.Errorf("%g %s: %s, want %s", row.value, row.unit, got, row.want)
		}
	}
	for _, row := range []struct {
		n, of int
		want  string
	}{{1, 100_000, "under 0.1 %"}, {1, 1000, "0.1 %"}, {37, 4120, "0.9 %"}, {99, 1000, "9.9 %"}, {995, 10_000, "10 %"}, {1, 2, "50 %"}, {9999, 10_000, "over 99 %"}} {
		if got := percent(row.n, row.of); got != row.want {
			t.Errorf("%d of %d: %s, want %s", row.n, row.of, got, row.want)
		}
	}
}

func TestReloaded(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]api.Reloaded{
		"nothing to change: this configuration is in use since 07:33:04 (file changed)\n": {
			Took: 1, Before: api.Configuration{Loaded: time.Date(2026, 1, 1, 7, 33, 4, 0, time.Local), Why: "file changed"}},
		"reloaded; no sessions moved to new values\n": {Changed: true},
		`reloaded in 12ms; 4,120 sessions moved to new values
  policies added     guests
  policies changed   passengers, staff
  policies removed   old\u001b[2J
  listeners added    127.0.0.1:8081
`: {Changed: true, Sessions: 4120, Took: 0.012, Policies: api.Changes{Added: []string{"guests"}, Changed: []string{"passengers", "staff"}, Removed: []string{"old\x1b[2J"}},
			Listeners: api.Changes{Added: []string{"127.0.0.1:8081"}}},
	} {
		if got := text(reloadedLines(&r)); got != want {
			t.Errorf("\n%s, want\n%s", got, want)
		}
	}
}
