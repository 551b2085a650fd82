package main

import (
	"context"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"wswarden/config"
	"wswarden/proxy"
)

// reloader has a server read its configuration again: with SIGHUP, and when a file of
// it changes. Its methods may be called from any goroutine.
type reloader struct {
	source  config.Source
	log     *slog.Logger
	hangups chan os.Signal
	systemd *systemd // nil: it is not told

	mu sync.Mutex
	// Of what was read last, whether it was of use or not.
	files  []string
	digest [32]byte
}

// newReloader takes SIGHUP, which from then on ends the process no more.
func newReloader(source config.Source) *reloader {
	r := &reloader{source: source, hangups: make(chan os.Signal, 1)}
	signal.Notify(r.hangups, syscall.SIGHUP)
	return r
}

// load reads the configuration for the start.
func (r *reloader) load() (*config.Loaded, error) { return r.note(r.source.Load()) }

// reload reads it for a server that runs with current.
func (r *reloader) reload(current *config.Config) (*config.Loaded, error) {
	return r.note(r.source.Reload(current))
}

func (r *reloader) note(l *config.Loaded, err error) (*config.Loaded, error) {
	if l != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.files, r.digest = l.Files, l.Digest
	}
	return l, err
}

// run serves until ctx is done. It reloads the server until then. It does not wait for
// a reload under way: a file on a mount that does not answer may never have been read.
func (r *reloader) run(ctx context.Context, server *proxy.Server) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go r.obeySignals(ctx, server)
	go r.watchFiles(ctx, server)
	return server.Run(ctx)
}

func (r *reloader) obeySignals(ctx context.Context, server *proxy.Server) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.hangups:
			r.systemd.reloading()
			_, _ = server.Reload(ctx, "SIGHUP") // which logs what came of it
			r.systemd.reloaded()
		}
	}
}

// watchFiles reloads when what the files say is something else than what was read
// last: that they were only touched is no change.
func (r *reloader) watchFiles(ctx context.Context, server *proxy.Server) {
	if len(r.watched()) == 0 {
		return // all is from flags and the environment
	}
	config.Watch(ctx, r.watched, func() {
		if l, _ := r.source.Load(); l != nil && r.differs(l.Digest) {
			_, _ = server.Reload(ctx, "file changed")
		}
	}, func(err error) {
		r.log.Warn("cannot watch the configuration, which is looked at every minute until it can; at once with SIGHUP or wswarden reload", "error", err.Error())
	})
}

func (r *reloader) watched() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.files
}

func (r *reloader) differs(digest [32]byte) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.digest != digest
}
