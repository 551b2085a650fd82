package observability

import (
	"net/url"
	"os/exec"
	"regexp"
	"strings"
	"syscall"
	"testing"
)

// selector finds the series that an expression is about. Labels behind by, without,
// on, ignoring and in group_left have no such prefix.
var selector = regexp.MustCompile(`\b(?:(?:wswarden|process|go)_\w+|up|\w+:wswarden_\w+:\w+)\b(?:\{[^}]*\})?`)

var (
	// What may be lacking in this scene, and why.
	noResult = map[string]string{
		"WswardenDrainStuck":       "it does not drain yet",
		"annotation Drain":         "it does not drain yet",
		"WswardenLoopLag":          "loops are in time",
		"WswardenLoopSaturated":    "loops have rest",
		"WswardenDescriptorsShort": "there are enough",
		"WswardenMemoryShort":      "there is enough",
		"WswardenLogDropped":       "the log is read",
		"WswardenDown":             "it is up",
		"WswardenAbsent":           "it is there",
		"annotation Reload":        "none was of use",
	}
	// What the scene makes fire, or would if it lasted.
	fire = []string{
		"WswardenZombies", "WswardenLimitHits", "WswardenHandshakesRefused",
		"WswardenUpstreamDown", "WswardenUpstreamHandshakesFail", "WswardenWebhookDrops", "WswardenStoreDown",
		"WswardenReloadFailed",
	}
)

// A real Prometheus reads a real wswarden to which everything happens. Every
// expression of these files is evaluated there.
func TestAgainstRunningWswarden(t *testing.T) {
	t.Parallel()
	tool(t, "prometheus")
	s := open(t)
	p := startPrometheus(t, s.admin)
	p.wait(t, `up{job="wswarden"} == 1`)
	s.happen()
	t.Run("alerts fire", func(t *testing.T) {
		for _, alert := range fire {
			p.wait(t, `ALERTS{alertname="`+alert+`"}`)
		}
	})
	p.wait(t, `increase(wswarden_loop_lag_seconds_count[1m]) > 0`)
	p.wait(t, `rate(wswarden_would_have_ended_total{policy="guests", cause="idle"}[1m]) > 0`)
	p.wait(t, `rate(wswarden_limit_hits_total{policy="guests", limit="subscriptions.max", mode="observe"}[1m]) > 0`)

	t.Run("metrics are as they should be", func(t *testing.T) {
		check := exec.CommandContext(t.Context(), tool(t, "promtool"), "check", "metrics")
		check.Stdin = strings.NewReader(s.metrics(t))
		if out, err := check.CombinedOutput(); err != nil || len(out) > 0 {
			t.Errorf("%v\n%s", err, out)
		}
	})
	t.Run("every series that is asked for is there", func(t *testing.T) { wantSeries(t, p) })
	t.Run("every expression has a result", func(t *testing.T) { wantResults(t, p) })
	t.Run("alerts are filled in", func(t *testing.T) { wantAnnotations(t, p) })
	t.Run("commands that alerts name are there", func(t *testing.T) { wantCommands(t, s) })

	t.Run("drain", func(t *testing.T) {
		if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		p.wait(t, `ALERTS{alertname="WswardenDrainStuck"}`) // the crew does not answer the close
	})
	t.Run("death", func(t *testing.T) {
		s.kill()
		p.wait(t, `ALERTS{alertname="WswardenDown"}`)
		p.wait(t, `ALERTS{alertname="WswardenAbsent"}`)
	})
}

func wantSeries(t *testing.T, p *prometheus) {
	for _, e := range expressions(t) {
		found := selector.FindAllString(e.text, -1)
		if len(found) == 0 {
			t.Errorf("%s is about nothing:\n%s", e.place, e.text)
		}
		for _, series := range found {
			if len(p.query(t, "last_over_time("+series+"[1m])")) == 0 {
				t.Errorf("%s: there is no %s", e.place, series)
			}
		}
	}
}

func wantResults(t *testing.T, p *prometheus) {
	for _, e := range expressions(t) {
		samples := p.query(t, e.text)
		if _, mayLack := noResult[e.place]; len(samples) == 0 && !mayLack {
			t.Errorf("%s has no result:\n%s", e.place, e.text)
		}
		for _, sample := range samples {
			for _, label := range e.labels {
				if sample.labels[label] == "" {
					t.Errorf("%s has no label %s: %v\n%s", e.place, label, sample.labels, e.text)
				}
			}
		}
	}
}

func wantAnnotations(t *testing.T, p *prometheus) {
	var data struct {
		Alerts []struct{ Labels, Annotations map[string]string }
	}
	if err := p.ask(t.Context(), "/api/v1/alerts", url.Values{}, &data); err != nil {
		t.Fatal(err)
	}
	if len(data.Alerts) < len(fire) {
		t.Errorf("%d alerts, want at least %d", len(data.Alerts), len(fire))
	}
	for _, alert := range data.Alerts {
		for _, text := range alert.Annotations {
			if strings.Contains(text, "<no value>") || strings.Contains(text, "<error") || strings.Contains(text, "{{") {
				t.Errorf("%s says %q", alert.Labels["alertname"], text)
			}
		}
	}
}

// wantCommands runs what only looks. Of the others it asks for help, for which flags
// have to be right, too.
func wantCommands(t *testing.T, s *scene) {
	ran := 0
	for _, r := range rules(t, "alerts.yml") {
		text := strings.ReplaceAll(r.Annotations["description"], "{{ $labels.policy }}", "passengers")
		for _, m := range command.FindAllStringSubmatch(text, -1) {
			ran++
			args := strings.Fields(m[1])[1:]
			if !strings.HasPrefix(m[1], "wswarden sessions list") && !strings.HasPrefix(m[1], "wswarden topics") {
				args = append(args, "--help")
			}
			cmd := exec.CommandContext(t.Context(), s.path, args...)
			cmd.Env = append(cmd.Environ(), "WSWARDEN_ADMIN_ADDRESS="+s.admin, "WSWARDEN_ADMIN_TOKEN_FILE="+s.tokenFile)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%s: %s: %v\n%s", r.Alert, m[1], err, out)
			}
		}
	}
	if ran == 0 {
		t.Error("no alert names a command")
	}
}
