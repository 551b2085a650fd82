//go:build linux

package faults

import (
	"net/http"
	"os/exec"
	"sync"
	"testing"

	"golang.org/x/sys/unix"
)

// Cables that are pulled: nothing arrives any more, no end and no reset either. Only
// wswarden's own clocks can find that, in the middle of anything.
func TestCuts(t *testing.T) {
	if !inProcess(t, unix.CLONE_NEWNET) {
		return
	}
	const (
		client, upstream = "client", "upstream"
		calm             = "" // for longer than the cut
	)
	stalls := beats("heartbeat: { interval: 0s }, stall: { timeout: 1s }, release: { grace: 1s }")
	if _, err := exec.LookPath("ip"); err != nil {
		skip(t, "%v: it is in Debian's iproute2", err)
	}
	must(t, ip("link", "set", "lo", "up"))
	for number, f := range []struct {
		name   string
		way    bool
		at     string // the cable
		policy string
		from   string // who is in the middle of a frame; empty: nobody
		heal   bool
		cause  string
		other  string // what the peer sees whose cable is whole
	}{
		{"client, silent", plain, client, pings, "", false, "heartbeat_timeout", "1001"},
		{"client, which sends", plain, client, pings, client, false, "heartbeat_timeout", "cut"},
		{"client, which is sent to", plain, client, pings, upstream, false, "heartbeat_timeout", "1001"},
		{"client, which takes nothing", plain, client, stalls, upstream, false, "stalled", "1001"},
		{"client, which sends by TLS", secure, client, pings, client, false, "heartbeat_timeout", "cut"},
		{"client, which takes nothing by TLS", secure, client, stalls, upstream, false, "stalled", "1001"},
		{"upstream, silent", plain, upstream, pings, "", false, "upstream_timeout", "1014"},
		{"upstream, which sends", plain, upstream, pings, upstream, false, "upstream_timeout", "cut"},
		{"upstream, which is sent to", plain, upstream, pings, client, false, "upstream_timeout", "1014"},
		{"upstream, which takes nothing", plain, upstream, stalls, client, false, "stalled", "1008"},
		{"upstream, which sends by TLS", secure, upstream, pings, upstream, false, "upstream_timeout", "cut"},
		{"upstream, which takes nothing by TLS", secure, upstream, stalls, client, false, "stalled", "1008"},
		{"client, for a moment", plain, client, calm, client, true, "client_close", "1000"},
		{"upstream, for a moment", secure, upstream, calm, upstream, true, "client_close", "1000"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			sizes := usual
			if f.policy == pings {
				sizes = usual[:4] // which the system takes: pings get behind them
			}
			s, clients, upstreams := newCables(t, number, f.policy, f.way)
			all := s.open(sessions, sizes)
			converse(t, all, 1)
			if f.from != "" {
				sayHalf(t, all, f.from == client)
			}
			cable := map[string]*cable{client: clients, upstream: upstreams}[f.at]
			must(t, cable.set("down"))
			if f.heal {
				later(t, soon, func() error { return cable.set("up") })
				converse(t, all, len(sizes))
				bye(t, all)
			}
			var saying sync.WaitGroup
			for _, s := range all {
				switch f.from {
				case client:
					saying.Go(func() { s.client.say(len(sizes)) })
				case upstream:
					saying.Go(func() { s.upstream.say(len(sizes)) })
				}
			}
			for _, s := range all { // who is behind the cut sees nothing
				cut, other := s.client, s.upstream
				if f.at == upstream {
					cut, other = other, cut
				}
				wantEnd(t, other, f.other)
				_ = cut.conn.Close()
			}
			saying.Wait()
			s.wantCounted(all, f.cause)
		})
	}
	t.Run("upstream, before it is asked", func(t *testing.T) {
		t.Parallel()
		s, _, upstreams := newCables(t, 99, calm, plain)
		must(t, upstreams.set("down"))
		// The system may find that nobody is there before wswarden loses patience.
		if v := s.knock(s.client.address, nil); v.status != http.StatusGatewayTimeout && v.status != http.StatusBadGateway {
			t.Errorf("status %d, want 504 or 502", v.status)
		}
		f := s.warden.wantNothingLeft(t, map[string]int{}, map[string]int{})
		if got := f.by("wswarden_upstream_dials_total", "outcome"); got["timeout"]+got["refused"] != 1 || len(got) != 1 {
			t.Errorf("dials are counted as %v, want one that has failed", got)
		}
		must(t, upstreams.set("up"))
		all := []*session{s.openAgain(nil)}
		converse(t, all, len(usual))
		bye(t, all)
		s.wantCounted(all, "client_close")
	})
}
