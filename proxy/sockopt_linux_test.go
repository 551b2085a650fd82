package proxy

import (
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
)

// A connection that is silent, but not dead, outlives probes that get lost; and those
// that fell silent together are not probed together.
func TestSilentConnectionsOutliveLostProbes(t *testing.T) {
	cfg := config.Default()
	idles := make(map[int]bool)
	for _, stall := range []time.Duration{time.Second, 30 * time.Second, 5 * time.Minute} {
		cfg.Policies[0].Stall.Timeout = stall
		for range 20 {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				t.Fatal(err)
			}
			if err := tuneSocket(fd, cfg, spreadKeepIdle()); err != nil {
				t.Fatal(err)
			}
			option := func(name int) time.Duration {
				value, err := unix.GetsockoptInt(fd, unix.IPPROTO_TCP, name)
				if err != nil {
					t.Fatal(err)
				}
				return time.Duration(value) * time.Second
			}
			patience := option(unix.TCP_USER_TIMEOUT) / 1000
			idle, interval := option(unix.TCP_KEEPIDLE), option(unix.TCP_KEEPINTVL)
			if idle+2*interval >= patience {
				t.Errorf("stall %s: probed after %s, every %s, and given up after %s: fewer than three probes may get lost", stall, idle, interval, patience)
			}
			if patience <= stall {
				t.Errorf("stall %s: the system gives up after %s, before the policy does", stall, patience)
			}
			idles[int(idle/time.Second)] = true
			_ = unix.Close(fd)
		}
	}
	if len(idles) < 10 {
		t.Errorf("60 connections are probed after only %d different times", len(idles))
	}
}
