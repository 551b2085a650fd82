package proxy

import (
	"context"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"wswarden/config"
)

// Who leaves to another process waits for handshakes that are on their way to a loop: they
// would be refused.
func TestHandOverWaitsForHandshakes(t *testing.T) {
	cfg := config.Default()
	cfg.Listeners[0].Address, cfg.Admin.Address = "127.0.0.1:0", ""
	cfg.Upstream.URL = "http://127.0.0.1:1"
	s, err := New(cfg, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, drain := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	browser := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	if r, err := browser.Get("http://" + s.Addrs()[0].String()); err != nil { // it serves
		t.Fatal(err)
	} else {
		_ = r.Body.Close()
	}
	a := &admission{worker: s.workers[0]}
	a.passes()
	s.leaveSockets()
	finished := make(chan struct{})
	go func() {
		defer close(finished)
		s.finishRequests(t.Context())
	}()
	select {
	case <-finished:
		t.Error("it has not waited")
	case <-time.After(50 * time.Millisecond): // in which it would have finished
	}
	a.passed()
	<-finished
	drain()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
