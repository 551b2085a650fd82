package proxy_test

import (
	"context"
	"log/slog"
	"testing"

	"wswarden/config"
	"wswarden/proxy"
)

// A server that is told to end before it has begun to serve ends all the same.
func TestInteropEndAtOnce(t *testing.T) {
	for range 50 {
		cfg := config.Default()
		cfg.Listeners = []config.Listener{{Address: "127.0.0.1:0"}}
		cfg.Upstream.URL = "http://127.0.0.1:1"
		cfg.Admin.Address = "127.0.0.1:0"
		server, err := proxy.New(cfg, slog.New(slog.DiscardHandler), proxy.Options{})
		if err != nil {
			t.Fatal(err)
		}
		ctx, stop := context.WithCancel(t.Context())
		stop()
		ended := make(chan error, 1)
		go func() { ended <- server.Run(ctx) }()
		if err := interopWait(t, ended, "the end of wswarden"); err != nil {
			t.Fatal(err)
		}
	}
}
