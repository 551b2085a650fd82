package main

import (
	"context"
	_ "embed"
	"fmt"
	"log/slog"
	"os"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

//go:embed wswarden.yaml
var configuration []byte

func readConfiguration() (*config.Config, error) {
	return config.Parse("wswarden.yaml", configuration)
}

// runWswarden is wswarden's process, in front of upstream (host:port).
func runWswarden(upstream, admin string) error {
	cfg, err := readConfiguration()
	if err != nil {
		return err
	}
	cfg.Listeners = []config.Listener{{Address: "127.0.0.1:0"}}
	cfg.Upstream.URL = "http://" + upstream
	cfg.Admin.Address = admin
	// One line a session would drown the table.
	log := slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))
	server, err := proxy.New(cfg, log, proxy.Options{})
	if err != nil {
		return err
	}
	health, err := serveHealth()
	if err != nil {
		return err
	}
	ctx, drain := context.WithCancel(context.Background())
	go func() {
		untilParentEnds()
		drain()
	}()
	ready(server.Addrs()[0], health, server.AdminAddr())
	return server.Run(ctx)
}

// readPolicy returns the one policy of the configuration.
func readPolicy() (*policies.Policy, error) {
	cfg, err := readConfiguration()
	if err != nil {
		return nil, err
	}
	if len(cfg.Policies) != 1 {
		return nil, fmt.Errorf("wswarden.yaml has %d policies, not one", len(cfg.Policies))
	}
	return &cfg.Policies[0], nil
}

// supervisionTime is how long wswarden may take to find and release a client
// that has just gone, whichever way.
func supervisionTime(p *policies.Policy) time.Duration {
	return max(p.Heartbeat.Interval+p.Heartbeat.Timeout, fillTime+p.Stall.Timeout) + p.Release.Grace
}
