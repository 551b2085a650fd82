package admin

import (
	"context"
	"strings"
	"testing"
)

func TestProfiles(t *testing.T) {
	t.Parallel() // and so behind the test of traces, of which there is one at a time
	w := start(t, new(fake), withToken)
	bearer := []string{"Authorization", "Bearer " + token}
	for _, row := range []struct {
		path   string
		status int
		begins string
	}{
		{"/debug/pprof/", 200, "allocs\t"},
		{"/debug/pprof/heap?gc=1", 200, "\x1f\x8b"}, // gzip, as go tool pprof reads it
		{"/debug/pprof/goroutine?debug=2", 200, "goroutine "},
		{"/debug/pprof/profile?seconds=1", 200, "\x1f\x8b"},
		{"/debug/pprof/trace?seconds=1", 200, "go 1."},
		{"/debug/pprof/none", 404, "{"},
		{"/debug/pprof/heap?debug=3", 400, "{"},
		{"/debug/pprof/heap?gc=yes", 400, "{"},
		{"/debug/pprof/heap?seconds=1", 400, "{"},
		{"/debug/pprof/profile?seconds=0", 400, "{"},
		{"/debug/pprof/profile?seconds=301", 400, "{"},
		{"/debug/pprof/trace?seconds=x", 400, "{"},
	} {
		if r, body := w.ask("GET", row.path, bearer...); r.StatusCode != row.status || !strings.HasPrefix(body, row.begins) {
			t.Errorf("%s: %d %.100q, want %d %q", row.path, r.StatusCode, body, row.status, row.begins)
		}
	}
}

func TestWithoutATokenThereAreNoProfiles(t *testing.T) {
	w := start(t, new(fake))
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/heap", "/debug/pprof/none", "/debug/pprof/profile", "/debug/pprof/trace"} {
		if e := w.refused(403, "GET", path); !strings.Contains(e.Message, "admin.token_file") {
			t.Errorf("%s: no remedy in %q", path, e.Message)
		}
	}
}

// A trace that nobody waits for any more ends, and so does a server with one.
func TestTheNextTraceComesWhenTheOneBeforeIsOver(t *testing.T) {
	w := start(t, new(fake), withToken)
	bearer := []string{"Authorization", "Bearer " + token}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	first := w.open(ctx, "GET", "/debug/pprof/trace?seconds=300", bearer...) // it has begun to write
	if e := w.refused(503, "GET", "/debug/pprof/trace?seconds=300", bearer...); !strings.Contains(e.Message, "trac") {
		t.Errorf("%+v", e)
	}
	cancel()
	_ = first.Body.Close()
	second := w.open(t.Context(), "GET", "/debug/pprof/trace?seconds=300", bearer...)
	for second.StatusCode == 503 { // the first one sees that it is over
		_ = second.Body.Close()
		second = w.open(t.Context(), "GET", "/debug/pprof/trace?seconds=300", bearer...)
	}
	if second.StatusCode != 200 {
		t.Errorf("%d", second.StatusCode)
	}
	if err := w.admin.Close(); err != nil {
		t.Error(err)
	}
	_ = second.Body.Close()
}
