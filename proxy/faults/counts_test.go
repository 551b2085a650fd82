//go:build linux

package faults

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"wswarden/proxy/admin/api"
)

// patience bounds every wait for what must happen.
const patience = 30 * time.Second

// soon is for how long a fault lasts that passes.
const soon = 150 * time.Millisecond

// within waits until something is so.
func within(t *testing.T, what string, so func() bool) {
	t.Helper()
	if !settle(so) {
		t.Fatalf("after %s it is not so: %s", patience, what)
	}
}

// settle waits until something is so, and reports whether it has become so.
func settle(so func() bool) bool {
	for deadline := time.Now().Add(patience); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}

// later does something after a while. The test does not end before.
func later(t *testing.T, after time.Duration, do func() error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		time.Sleep(after)
		if err := do(); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { <-done })
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// skip skips a test for want of a tool, except where it must not be missing.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// figures are metrics, by name and labels as they are written.
type figures map[string]float64

// fresh connections leave none behind that would count as wswarden's.
var fresh = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: patience}

// ask asks the admin API.
func (w *warden) ask(t *testing.T, path string) []byte {
	t.Helper()
	response, err := fresh.Get("http://" + w.admin + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s %v", path, response.Status, err)
	}
	return body
}

func (w *warden) figures(t *testing.T) figures {
	t.Helper()
	all := make(figures)
	for line := range strings.Lines(string(w.ask(t, "/metrics"))) {
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			all[line[:at]], _ = strconv.ParseFloat(strings.TrimSpace(line[at:]), 64)
		}
	}
	return all
}

// sum adds up what a name's figures have under a label; an empty label: all of them.
func (f figures) sum(name, label, value string) (sum float64) {
	for series, n := range f {
		family, labels, _ := strings.Cut(series, "{")
		if family == name && (label == "" || strings.Contains(labels, fmt.Sprintf("%s=%q", label, value))) {
			sum += n
		}
	}
	return sum
}

// by returns a name's figures that are not zero, by the value of a label.
func (f figures) by(name, label string) map[string]int {
	all := make(map[string]int)
	for series, n := range f {
		if family, labels, _ := strings.Cut(series, "{"); family == name && n != 0 {
			_, value, _ := strings.Cut(labels, label+`="`)
			value, _, _ = strings.Cut(value, `"`)
			all[value] += int(n)
		}
	}
	return all
}

// wantNothingLeft waits until there is no session left, and checks that all ended for
// these causes, and that handshakes with upstream came out so.
func (w *warden) wantNothingLeft(t *testing.T, ended, handshakes map[string]int) figures {
	t.Helper()
	within(t, "no session is left", func() bool {
		f := w.figures(t)
		return f.sum("wswarden_sessions_live", "", "") == 0 && f.sum("wswarden_loop_sessions", "", "") == 0
	})
	f := w.figures(t) // those of one answer are not of one moment
	var page api.Page
	if err := json.Unmarshal(w.ask(t, "/v1/sessions"), &page); err != nil || page.Matched != 0 || len(page.Sessions) != 0 {
		t.Errorf("sessions listed that there are not: %+v (%v)", page, err)
	}
	total := 0
	for _, n := range ended {
		total += n
	}
	if got := f.by("wswarden_sessions_ended_total", "cause"); !maps.Equal(got, ended) {
		t.Errorf("sessions have ended for %v, want %v", got, ended)
	}
	for _, name := range []string{"wswarden_sessions_opened_total", "wswarden_session_duration_seconds_count", "wswarden_release_seconds_count"} {
		if got := f.sum(name, "", ""); int(got) != total {
			t.Errorf("%s is %v, want %d", name, got, total)
		}
	}
	if got := f.by("wswarden_upstream_handshakes_total", "outcome"); !maps.Equal(got, handshakes) {
		t.Errorf("handshakes with upstream: %v, want %v", got, handshakes)
	}
	return f
}
