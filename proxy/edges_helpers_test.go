package proxy_test

import (
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
	"wswarden/proxy/admin/api"
)

// edge is wswarden between real peers, of which each kind of connection is tried.
type edge struct {
	t       *testing.T
	server  *proxy.Server
	log     *edgeLog
	next    *config.Config // that a reload reads
	drain   context.CancelFunc
	drained chan error // what Run has returned
}

// startEdge runs wswarden until the end of the test.
func startEdge(t *testing.T, adjust func(*config.Config)) *edge {
	t.Helper()
	e := &edge{t: t, log: &edgeLog{grown: make(chan struct{})}, drained: make(chan error, 1)}
	e.next = edgeConfig(adjust)
	if err := e.next.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if e.server, err = proxy.New(e.next, slog.New(slog.NewTextHandler(e.log, nil)), proxy.Options{}); err != nil {
		t.Fatal(err)
	}
	e.server.ReloadFrom(func(*config.Config) (*config.Loaded, error) {
		return &config.Loaded{Config: e.next}, e.next.Validate()
	}, nil)
	var ctx context.Context
	ctx, e.drain = context.WithCancel(context.Background())
	go func() { e.drained <- e.server.Run(ctx) }()
	t.Cleanup(e.end)
	return e
}

func edgeConfig(adjust func(*config.Config)) *config.Config {
	cfg := config.Default()
	cfg.Listeners[0].Address = "127.0.0.1:0"
	cfg.Admin.Address = "127.0.0.1:0"
	cfg.Drain.Spread = 0
	cfg.Policies[0].Release.Grace = longest
	adjust(cfg)
	complete(cfg)
	return cfg
}

// end drains, and waits until nothing is left.
func (e *edge) end() {
	e.t.Helper()
	e.drain()
	select {
	case err := <-e.drained:
		if err != nil {
			e.t.Errorf("Run: %v", err)
		}
		e.drained <- nil // for the next to ask
	case <-time.After(longest):
		e.t.Fatal("Run does not return")
	}
}

// reload puts another configuration into use, which is the last one adjusted.
func (e *edge) reload(adjust func(*config.Config)) api.Reloaded {
	e.t.Helper()
	next := *e.next
	next.Policies, next.Listeners = slices.Clone(next.Policies), slices.Clone(next.Listeners)
	adjust(&next)
	complete(&next)
	e.next = &next
	done, err := e.server.Reload(e.t.Context(), "test")
	if err != nil {
		e.t.Fatal(err)
	}
	return done
}

// address of the first listener.
func (e *edge) address() net.Addr { return e.server.Addrs()[0] }

// admin asks the admin API for a path.
func (e *edge) admin(path string) (status int, body string) {
	e.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longest}
	response, err := client.Get("http://" + e.server.AdminAddr().String() + path)
	if err != nil {
		e.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		e.t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// metric returns the value of a series, as it is written; empty if there is none.
func (e *edge) metric(series string) string {
	e.t.Helper()
	_, text := e.admin("/metrics")
	for line := range strings.Lines(text) {
		if value, found := strings.CutPrefix(line, series+" "); found {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// wantMetric waits until a series has a value.
func (e *edge) wantMetric(series, want string) {
	e.t.Helper()
	e.until(series+" "+want, func() bool { return e.metric(series) == want })
}

// until waits for what wswarden tells nobody of.
func (e *edge) until(what string, so func() bool) {
	e.t.Helper()
	for limit := time.Now().Add(longest); !so(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(limit) {
			e.t.Fatalf("waited in vain for %s; the log:\n%s", what, e.log)
		}
	}
}

// edgeLog is a log that can be waited for.
type edgeLog struct {
	mu    sync.Mutex
	lines []string
	grown chan struct{} // closed with the next line
}

func (l *edgeLog) Write(line []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.lines = append(l.lines, string(line))
	close(l.grown)
	l.grown = make(chan struct{})
	return len(line), nil
}

func (l *edgeLog) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.lines, "")
}

// with returns the lines that have all of the parts.
func (l *edgeLog) with(parts ...string) []string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.find(parts)
}

func (l *edgeLog) find(parts []string) (found []string) {
	for _, line := range l.lines {
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			found = append(found, line)
		}
	}
	return found
}

// wantLog waits for n lines that have all of the parts.
func (e *edge) wantLog(n int, parts ...string) []string {
	e.t.Helper()
	patience := time.After(longest)
	for {
		e.log.mu.Lock()
		found, grown := e.log.find(parts), e.log.grown
		e.log.mu.Unlock()
		if len(found) >= n {
			return found
		}
		select {
		case <-grown:
		case <-patience:
			e.t.Fatalf("%d of %d lines with %q in the log:\n%s", len(found), n, parts, e.log)
		}
	}
}

// wantEnded waits until n sessions have ended for the cause, and no others.
func (e *edge) wantEnded(n int, cause policies.Cause) {
	e.t.Helper()
	e.wantLog(n, `msg="session ended"`, "cause="+cause.String()+" ")
	if all := e.log.with(`msg="session ended"`); len(all) != n {
		e.t.Errorf("%d sessions have ended, want %d:\n%s", len(all), n, strings.Join(all, ""))
	}
}
