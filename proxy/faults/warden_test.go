//go:build linux

package faults

import (
	"bytes"
	"context"
	"log/slog"
	"sync"
	"testing"

	"wswarden/config"
	"wswarden/proxy"
)

// warden is a wswarden that runs.
type warden struct {
	address string // of its listener
	admin   string // of its admin API
	// stop drains it and waits until it has ended, with what was wrong.
	stop func() error
}

// start runs wswarden in this process, until the end of the test at the latest. Its log
// is shown if the test fails.
func start(t *testing.T, configuration string) *warden {
	t.Helper()
	cfg, err := config.Parse("faults.yaml", []byte(configuration))
	if err != nil {
		t.Fatalf("%v in:\n%s", err, configuration)
	}
	log := new(notes)
	server, err := proxy.New(cfg, slog.New(slog.NewTextHandler(log, nil)), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, drain := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	w := &warden{address: server.Addrs()[0].String(), admin: server.AdminAddr().String()}
	w.stop = sync.OnceValue(func() error {
		drain()
		return <-ended
	})
	t.Cleanup(func() {
		if err := w.stop(); err != nil {
			t.Errorf("wswarden: %v", err)
		}
		if t.Failed() {
			t.Logf("the log:\n%s", log)
		}
	})
	return w
}

// notes are a log that any goroutine may write to.
type notes struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (n *notes) Write(p []byte) (int, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.Write(p)
}

func (n *notes) String() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.text.String()
}
