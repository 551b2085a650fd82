//go:build linux

package faults

import (
	"sync"
	"testing"
	"time"
)

// sessions in each scene of a link.
const sessions = 2

// Faults that nobody may notice but by the time it takes: everything arrives, and
// sessions end as their clients want it.
func TestLinksThatAreBad(t *testing.T) {
	t.Parallel()
	both := func(kind string, attributes map[string]any) []toxic {
		return []toxic{{Type: kind, Stream: toUpstream, Attributes: attributes}, {Type: kind, Stream: toClient, Attributes: attributes}}
	}
	latency := both("latency", map[string]any{"latency": 30, "jitter": 30})
	slices := both("slicer", map[string]any{"average_size": 1500, "size_variation": 1000})
	crumbs := both("slicer", map[string]any{"average_size": 2, "size_variation": 1})
	modem := both("bandwidth", map[string]any{"rate": 1})
	slowEnd := both("slow_close", map[string]any{"delay": 1200 * unit.Seconds()})
	held := both("bandwidth", map[string]any{"rate": 0})
	small := []int{1, 2, 125, 126, 127, 300, 3}
	for _, f := range []struct {
		name     string
		client   []toxic       // of the link to clients
		upstream []toxic       // of the link to upstream
		policy   string        // in YAML
		sizes    []int         // of the messages; nil: the usual ones
		plain    bool          // not with TLS, whose handshake alone takes seconds
		lasts    time.Duration // the toxics come once there are sessions, and go; 0: they stay
	}{
		{name: "client/latency", client: latency},
		{name: "upstream/latency", upstream: latency},
		{name: "both/latency", client: latency, upstream: latency},
		{name: "client/slices", client: slices},
		{name: "upstream/slices", upstream: slices},
		{name: "client/crumbs", client: crumbs, sizes: small},
		{name: "upstream/crumbs", upstream: crumbs, sizes: small},
		{name: "client/1 KB per second", client: modem, sizes: []int{1, 2000, 2}, plain: true},
		{name: "upstream/1 KB per second", upstream: modem, sizes: []int{1, 2000, 2}, plain: true},
		{name: "client/slow close", client: slowEnd},
		{name: "client/takes nothing, gives nothing", client: held, lasts: soon},
		{name: "upstream/takes nothing, gives nothing", upstream: held, lasts: soon},
		// Nobody reads the clients' pongs, which are behind what upstream does not take: that
		// is not their fault.
		{name: "upstream/takes nothing for longer than a ping may take", upstream: held[:1], lasts: 5 * unit / 2,
			policy: beats("heartbeat: { interval: 1s, timeout: 1s }")},
		{name: "upstream/slow close", upstream: slowEnd},
		{name: "upstream/close slower than grace", upstream: slowEnd, policy: beats("release: { grace: 1s }")},
	} {
		inEachWay(t, f.name, f.plain, func(t *testing.T, way bool) {
			s := newScene(t, f.policy, way)
			toxics := func() {
				s.client.add(f.client)
				s.upstream.add(f.upstream)
			}
			if f.lasts == 0 {
				toxics()
			}
			all := s.open(sessions, f.sizes)
			if f.lasts > 0 {
				converse(t, all, 1)
				toxics()
				later(t, f.lasts, func() error {
					s.client.heal()
					s.upstream.heal()
					return nil
				})
			}
			converse(t, all, len(all[0].client.says.sizes))
			bye(t, all)
			s.wantCounted(all, "client_close")
		})
	}
}

// Faults that end sessions, in the middle of a frame.
func TestLinksThatBreak(t *testing.T) {
	t.Parallel()
	const client, upstream = "client", "upstream"
	limit := func(to direction) []toxic {
		return []toxic{{Type: "limit_data", Stream: to, Attributes: map[string]any{"bytes": 100_000}}}
	}
	silence := func(to direction) []toxic { return []toxic{{Type: "silence", Stream: to}} }
	for _, f := range []struct {
		name   string
		at     string  // the link that breaks
		from   string  // who is sending the frame
		limit  []toxic // there from the beginning
		toxics []toxic // that come in its middle; neither: a reset
		cause  string
		// What the peers see: the code of a close frame, or a cut. Who has half a frame
		// cannot be told a code.
		client, upstream string
	}{
		{name: "client/reset, the client sends", at: client, from: client, cause: "client_lost", client: "cut", upstream: "cut"},
		{name: "client/reset, upstream sends", at: client, from: upstream, cause: "client_lost", client: "cut", upstream: "1001"},
		{name: "upstream/reset, the client sends", at: upstream, from: client, cause: "upstream_lost", client: "1014", upstream: "cut"},
		{name: "upstream/reset, upstream sends", at: upstream, from: upstream, cause: "upstream_lost", client: "cut", upstream: "cut"},

		{name: "client/limit, the client sends", at: client, from: client, limit: limit(toUpstream), cause: "client_lost", client: "cut", upstream: "cut"},
		{name: "client/limit, upstream sends", at: client, from: upstream, limit: limit(toClient), cause: "client_lost", client: "cut", upstream: "1001"},
		{name: "upstream/limit, the client sends", at: upstream, from: client, limit: limit(toUpstream), cause: "upstream_lost", client: "1014", upstream: "cut"},
		{name: "upstream/limit, upstream sends", at: upstream, from: upstream, limit: limit(toClient), cause: "upstream_lost", client: "cut", upstream: "cut"},

		{name: "client/silence, the client sends", at: client, from: client, toxics: silence(toUpstream), cause: "heartbeat_timeout", client: "1001", upstream: "cut"},
		{name: "client/silence, upstream sends", at: client, from: upstream, toxics: silence(toClient), cause: "heartbeat_timeout", client: "cut", upstream: "1001"},
		{name: "upstream/silence, the client sends", at: upstream, from: client, toxics: silence(toUpstream), cause: "upstream_timeout", client: "1014", upstream: "cut"},
		{name: "upstream/silence, upstream sends", at: upstream, from: upstream, toxics: silence(toClient), cause: "upstream_timeout", client: "cut", upstream: "1001"},
	} {
		inEachWay(t, f.name, false, func(t *testing.T, way bool) {
			policy := ""
			if f.toxics != nil {
				policy = pings
			}
			s := newScene(t, policy, way)
			to := map[string]direction{client: toUpstream, upstream: toClient}[f.from]
			link := map[string]*link{client: s.client, upstream: s.upstream}[f.at]
			link.add(f.limit)
			if f.limit == nil && f.toxics == nil {
				link.arm(to)
			}
			all := s.open(sessions, nil)
			if f.limit == nil {
				converse(t, all, 1)
			}
			speakers := make([]*peer, len(all))
			for i, s := range all {
				speakers[i] = map[string]*peer{client: s.client, upstream: s.upstream}[f.from]
			}
			if f.limit == nil {
				sayHalf(t, all, f.from == client)
				if link.add(f.toxics); f.toxics == nil {
					link.reset(to)
				}
			}
			var saying sync.WaitGroup
			for _, p := range speakers {
				saying.Go(func() { p.say(len(usual)) })
			}
			for _, s := range all {
				wantEnd(t, s.client, f.client)
				wantEnd(t, s.upstream, f.upstream)
			}
			saying.Wait()
			s.wantCounted(all, f.cause)
		})
	}
}

// Ways in which links carry sessions.
const plain, secure = false, true

// inEachWay runs a test over links without TLS and, unless it is for those only, with it.
func inEachWay(t *testing.T, name string, onlyPlain bool, test func(t *testing.T, way bool)) {
	run := func(kind string, way bool) {
		t.Run(name+"/"+kind, func(t *testing.T) {
			t.Parallel()
			test(t, way)
		})
	}
	if run("plain", plain); !onlyPlain {
		run("TLS", secure)
	}
}
