//go:build linux

package faults

import "testing"

// Links that fail while a session is asked for: who is left gets an answer, and nothing
// stays behind.
func TestLinksInHandshakes(t *testing.T) {
	t.Parallel()
	const (
		client, upstream = "client", "upstream"
		end, silent      = "limit_data", "silence"
	)
	none, lost, timeout := map[string]int{}, map[string]int{"lost": 1}, map[string]int{"timeout": 1}
	switched := map[string]int{"switched": 1}
	toxics := func(kind string, to direction, bytes int) []toxic {
		return []toxic{{Type: kind, Stream: to, Attributes: map[string]any{"bytes": bytes}}}
	}
	reset := func(to direction) []toxic { return []toxic{{Type: "reset_peer", Stream: to}} }
	for _, f := range []struct {
		name       string
		secure     bool
		at         string
		toxics     []toxic // nil: there is no way to upstream
		status     int     // that the client gets; 0: no answer
		ended      map[string]int
		handshakes map[string]int
		upstream   string // what upstream sees if it has agreed
	}{
		{"half a request, then the end", plain, client, toxics(end, toUpstream, 40), 0, none, none, ""},
		{"half a request, then a reset", plain, client, reset(toUpstream), 0, none, none, ""},
		{"half an answer, then the end", plain, client, toxics(end, toClient, 40), 0, map[string]int{"client_lost": 1}, switched, "1001"},
		{"half an answer, then silence", plain, client, toxics(silent, toClient, 40), 0, map[string]int{"heartbeat_timeout": 1}, switched, "1001"},
		{"half an answer, then a reset", plain, client, reset(toClient), 0, map[string]int{"client_lost": 1}, switched, "1001"},
		{"half a request for upstream, then the end", plain, upstream, toxics(end, toUpstream, 40), 502, none, lost, ""},
		{"half a request for upstream, then silence", plain, upstream, toxics(silent, toUpstream, 40), 504, none, timeout, ""},
		{"half a request for upstream, then a reset", plain, upstream, reset(toUpstream), 502, none, lost, ""},
		{"half an answer of upstream's, then the end", plain, upstream, toxics(end, toClient, 40), 502, none, lost, "cut"},
		{"half an answer of upstream's, then silence", plain, upstream, toxics(silent, toClient, 40), 504, none, timeout, "cut"},
		{"half an answer of upstream's, then a reset", plain, upstream, reset(toClient), 502, none, lost, "cut"},
		{"no way to upstream", plain, upstream, nil, 502, none, none, ""},

		{"half a hello, then the end", secure, client, toxics(end, toUpstream, 100), 0, none, none, ""},
		{"half a hello, then a reset", secure, client, reset(toUpstream), 0, none, none, ""},
		{"half a hello of wswarden's, then the end", secure, client, toxics(end, toClient, 100), 0, none, none, ""},
		{"half a hello of wswarden's, then a reset", secure, client, reset(toClient), 0, none, none, ""},
		{"half a hello for upstream, then the end", secure, upstream, toxics(end, toUpstream, 100), 502, none, none, ""},
		{"half a hello for upstream, then silence", secure, upstream, toxics(silent, toUpstream, 100), 504, none, none, ""},
		{"half a hello for upstream, then a reset", secure, upstream, reset(toUpstream), 502, none, none, ""},
		{"half a hello of upstream's, then the end", secure, upstream, toxics(end, toClient, 100), 502, none, none, ""},
		{"half a hello of upstream's, then silence", secure, upstream, toxics(silent, toClient, 100), 504, none, none, ""},
		{"half a hello of upstream's, then a reset", secure, upstream, reset(toClient), 502, none, none, ""},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, pings, f.secure)
			link := map[string]*link{client: s.client, upstream: s.upstream}[f.at]
			if link.add(f.toxics); f.toxics == nil {
				link.proxy.Stop()
			}
			v := s.knock(s.client.address, nil)
			if v.status != f.status {
				t.Errorf("status %d, want %d", v.status, f.status)
			}
			within(t, "upstream has no handshake left", func() bool { return s.asked.Load() == 0 })
			select {
			case p := <-v.upstream:
				wantEnd(t, p, f.upstream)
			default:
				if f.upstream != "" {
					t.Error("upstream has not agreed to a session")
				}
			}
			s.warden.wantNothingLeft(t, f.ended, f.handshakes)
			if link.heal(); f.toxics == nil {
				return
			}
			all := []*session{s.openAgain(nil)}
			converse(t, all, len(usual))
			bye(t, all)
		})
	}
}

// A client that stays in the middle of its request keeps neither others from a session
// nor wswarden from its end.
func TestSilenceInARequest(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name   string
		secure bool
		begun  string
	}{
		{"no byte", plain, ""},
		{"half a request", plain, "GET / HTTP/1.1\r\nHost: te"},
		{"no byte of TLS", secure, ""},
		{"half a hello", secure, "\x16\x03\x01\x05\xa8\x01\x00"},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t, "", f.secure)
			conn, err := s.dial(s.client.address)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			if _, err := conn.Write([]byte(f.begun)); err != nil {
				t.Fatal(err)
			}
			all := s.open(sessions, nil)
			converse(t, all, len(usual))
			bye(t, all)
			s.wantCounted(all, "client_close")
			if err := s.warden.stop(); err != nil {
				t.Error(err)
			}
		})
	}
}
