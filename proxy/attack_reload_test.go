package proxy_test

import (
	"bytes"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
)

// deflated opens a session whose messages refer to those before them.
func (w *warden) deflated() (client, upstream *peer, say func(string) string) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client = newPeer(w.t, "client", conn.(*net.TCPConn))
	client.send(bytes.Replace(handshake, []byte("Host: test"), []byte("Host: test\r\nSec-WebSocket-Extensions: permessage-deflate"), 1))
	upstream = w.accept()
	upstream.request()
	upstream.send([]byte(observedResponse))
	client.response()
	d := newDeflater()
	return client, upstream, func(message string) string {
		payload := d.message(message)
		client.send(client.frame(text|0x40, payload))
		return payload
	}
}

// A message that is dropped goes on to be dropped, whatever rules say meanwhile.
func TestReloadInADroppedMessage(t *testing.T) {
	t.Parallel()
	for name, after := range map[string]func(*policies.Policy){
		"no limit": func(p *policies.Policy) { p.Messages = policies.Messages{OnExcess: policies.ExcessClose} },
		"delay":    func(p *policies.Policy) { p.Messages.OnExcess = policies.ExcessDelay; p.Messages.Rate = 1000 },
		"close":    func(p *policies.Policy) { p.Messages.OnExcess = policies.ExcessClose; p.Messages.Rate = 1000 },
		"read": func(p *policies.Policy) {
			p.Messages = policies.Messages{OnExcess: policies.ExcessClose}
			p.Dialect = "rac"
		},
		"observe": func(p *policies.Policy) { p.Mode = policies.ModeObserve },
		"observe, no limit": func(p *policies.Policy) {
			p.Mode = policies.ModeObserve
			p.Dialect = "rac"
			p.Messages = policies.Messages{OnExcess: policies.ExcessClose}
		},
	} {
		for _, fragments := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " fragments"}[fragments], func(t *testing.T) {
				t.Parallel()
				w := startOperated(t, policies.Policy{Messages: policies.Messages{Rate: 0.001, Burst: 1, OnExcess: policies.ExcessDrop}})
				client, upstream := w.open()
				client.send(client.frame(text, "1"))
				upstream.want(text, "1")
				dropped := client.frame(text, strings.Repeat("dropped", 100))
				if fragments {
					dropped = append(client.frame(textBegins, "the beginning"), client.frame(goesEnd, "the end")...)
				}
				client.send(dropped[:20])
				w.until(func() bool { return w.metrics()[`wswarden_messages_dropped_total{policy="test"}`] == 1 })
				w.reload(rules(after))
				client.send(dropped[20:])
				w.reload(rules(func(p *policies.Policy) {
					p.Messages = policies.Messages{OnExcess: policies.ExcessClose}
				}))
				w.wantAlive(client, upstream)
			})
		}
	}
}

// A lowered limit is not for a message that has begun to pass.
func TestReloadedMaxBytes(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Messages: policies.Messages{MaxBytes: 100}})
	client, upstream := w.open()
	client.send(client.frame(textBegins, "as long as"))
	upstream.want(textBegins, "as long as")
	w.reload(rules(func(p *policies.Policy) { p.Messages.MaxBytes = 15 }))
	client.send(client.frame(goesEnd, " it was allowed"))
	upstream.want(goesEnd, " it was allowed")
	w.wantAlive(client, upstream)
}

// Who tells several identities holds a seat under the last one only.
func TestObservedIdentities(t *testing.T) {
	t.Parallel()
	policy := byMessage(1, policies.ExcessReject)
	policy.Mode = policies.ModeObserve
	w := start(t, policy)
	client, upstream := w.open()
	client.send(client.frame(text, identify("a")))
	upstream.want(text, identify("a"))
	w.until(func() bool { return w.server.Seats() == 1 })
	client.send(client.frame(text, identify("b")), client.frame(text, identify("c")))
	upstream.want(text, identify("b"))
	upstream.want(text, identify("c"))
	w.bye(client, upstream)
	w.wantNoSeats()
}

// A handshake under way when limits come holds seats like any other.
func TestReloadInAHandshake(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client := w.dial()
	upstream := w.accept()
	request := upstream.request()
	w.reload(rules(func(p *policies.Policy) { p.Connections.PerIP = 1 }))
	upstream.agree(request)
	client.response()
	w.wantAlive(client, upstream)
	w.until(func() bool { return w.server.Seats() == 1 })
	w.dial().wantRefused(policies.RefusedPerIP)
	w.bye(client, upstream)
	w.wantNoSeats()
}

// A policy that comes back has the sessions that it had.
func TestReloadWithoutAndWithAPolicyInAHandshake(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "old"})
	client := w.dial()
	upstream := w.accept()
	request := upstream.request()
	old := slices.Clone(w.next.Policies)
	w.reload(func(c *config.Config) { c.Policies = []policies.Policy{{Name: "new"}} })
	w.reload(func(c *config.Config) { c.Policies = []policies.Policy{{Name: "newer"}} })
	upstream.agree(request)
	client.response()
	w.wantAlive(client, upstream)
	w.reload(func(c *config.Config) { c.Policies = old })
	w.wantMetrics(map[string]float64{`wswarden_sessions_live{policy="old"}`: 1})
	w.bye(client, upstream)
	w.wantMetrics(map[string]float64{`wswarden_sessions_live{policy="old"}`: 0})
}

// One who goes for the sake of a limit makes room under the others as well, also
// where limits came one by one.
func TestReloadedSeatsOfOne(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: policies.Connections{Max: 2, OnExcess: policies.ExcessEvictOldest}})
	w.dialer.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 2)}
	oldest, itsUpstream := w.open()
	w.dialer.LocalAddr = nil
	second, secondUp := w.open()
	w.reload(rules(func(p *policies.Policy) { p.Connections.PerIP = 1 }))
	w.until(func() bool { return w.server.Seats() == 4 })
	third := w.dial()
	secondUp.wantClose(1001, "superseded")
	secondUp.answerClose(1001)
	second.wantClose(1008, "superseded")
	second.end()
	upstream := w.accept()
	upstream.agree(upstream.request())
	third.response()
	w.wantEnd(policies.Superseded, 1008)
	w.wantAlive(third, upstream)
	w.wantAlive(oldest, itsUpstream)
}

// An identity in a header is not one that a message tells, even if it is the same.
func TestReloadedIdentity(t *testing.T) {
	t.Parallel()
	policy := byMessage(1, policies.ExcessEvictOldest)
	policy.Connections.Identity = policies.Identity{From: policies.FromHeader, Name: "X-User"}
	w := start(t, policy)
	client := w.ask("/ws", "X-User: a")
	upstream := w.let(client)
	w.reload(rules(func(p *policies.Policy) { p.Connections.Identity = policies.Identity{From: policies.FromMessage} }))
	client.send(client.frame(text, identify("a")))
	upstream.want(text, identify("a"))
	w.wantAlive(client, upstream)
}

// What was observed to be no frames ends as soon as that is enforced.
func TestReloadToEnforceOpaque(t *testing.T) {
	t.Parallel()
	w := start(t, observes())
	client, upstream := w.open()
	upstream.send([]byte("\x83\x01x"))
	client.wantBytes([]byte("\x83\x01x"))
	w.reload(rules(func(p *policies.Policy) { p.Mode = policies.ModeEnforce }))
	upstream.wantClose(1001, "protocol_error")
	upstream.answerClose(1001)
	client.wantReset() // there is no boundary for a close frame
	w.wantEnd(policies.ProtocolError, 1002)
}

// Two listeners may have any port each.
func TestReloadedListenerTwice(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	for range 2 {
		w.reload(func(c *config.Config) { c.Listeners = append(c.Listeners, c.Listeners[0]) })
	}
	if addrs := w.server.Addrs(); len(addrs) != 3 {
		t.Errorf("%v", addrs)
	}
}

// A session that ends for what it was observed to have done gives back its seats on topics.
func TestReloadOpaqueTopics(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ before, after int }{"not limited any more": {5, 0}, "limited from now on": {0, 5}} {
		t.Run(name, func(t *testing.T) {
			policy := atMost(9, policies.ExcessReject)
			policy.Subscriptions.MaxPerTopic = c.before
			w := start(t, policy)
			other, otherUp := w.open()
			other.send(other.frame(text, subscribe(`"a"`)))
			otherUp.want(text, subscribe(`"a"`))
			w.reload(rules(func(p *policies.Policy) { p.Mode = policies.ModeObserve }))
			client, upstream := w.open()
			client.send(client.frame(text, subscribe(`"a"`)))
			upstream.want(text, subscribe(`"a"`))
			client.send([]byte("\x83\x01x"))
			upstream.wantBytes([]byte("\x83\x01x"))
			w.reload(rules(func(p *policies.Policy) {
				p.Mode = policies.ModeEnforce
				p.Subscriptions.MaxPerTopic = c.after
			}))
			client.end()
			upstream.end()
			<-w.log
			want := 0
			if c.after > 0 {
				want = 1
			}
			if n := w.server.TopicSeats(); n != want {
				t.Errorf("%d topics have sessions, want %d", n, want)
			}
			w.wantReleased(other, otherUp, `"a"`)
			if n := w.server.TopicSeats(); n != 0 {
				t.Errorf("%d topics have sessions", n)
			}
		})
	}
}

// A message that cannot wait for a seat tells its identity all the same, and counts.
func TestReloadedIdentityCompressed(t *testing.T) {
	t.Parallel()
	policy := byMessage(1, policies.ExcessReject)
	policy.Mode = policies.ModeObserve
	w := start(t, policy)
	client, upstream, say := w.deflated()
	late, lateUpstream, sayLate := w.deflated()
	w.reload(rules(func(p *policies.Policy) { p.Mode = policies.ModeEnforce }))
	upstream.want(text|0x40, say(identify("a")))
	w.until(func() bool { return w.server.Seats() == 1 })
	lateUpstream.want(text|0x40, sayLate(identify("a")))
	lateUpstream.wantClose(1001, "connection_limit")
	lateUpstream.answerClose(1001)
	if first, _, err := late.read(); first != closing || err != nil {
		t.Errorf("%x, %v", first, err)
	}
	late.end()
	w.wantEnd(policies.ConnectionLimit, 1008)
	w.wantAlive(client, upstream)
}

// A reload that a drain overtakes leaves no listener behind.
func TestReloadOvertakenByADrain(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	free := listenOn(t, "127.0.0.1")
	address := free.Addr().String()
	_ = free.Close()
	next := *w.next
	next.Listeners = append(slices.Clone(next.Listeners), config.Listener{Address: address})
	next.Policies = slices.Clone(next.Policies)
	begun, goOn := make(chan struct{}), make(chan struct{})
	w.server.ReloadFrom(func(*config.Config) (*config.Loaded, error) {
		close(begun)
		<-goOn
		return &config.Loaded{Config: &next}, next.Validate()
	}, nil)
	done := make(chan error)
	go func() {
		_, err := w.server.Reload(t.Context(), "test")
		done <- err
	}()
	<-begun
	w.drain()
	w.wantDrained()
	close(goOn)
	select {
	case <-done:
	case <-time.After(longest):
		t.Fatal("the reload does not return")
	}
	if conn, err := net.Dial("tcp", address); err == nil {
		_ = conn.Close()
		t.Error("somebody listens")
	}
}

// A seat that comes when there is no limit any more is given back.
func TestReloadWhileClaiming(t *testing.T) {
	t.Parallel()
	w := start(t, byMessage(1, policies.ExcessEvictOldest))
	first, firstUp := w.open()
	first.send(first.frame(text, identify("a")))
	firstUp.want(text, identify("a"))
	second, secondUp := w.open()
	second.send(second.frame(text, identify("a")))
	firstUp.wantClose(1001, "superseded")
	w.reload(rules(func(p *policies.Policy) { p.Connections.PerIdentity = 0 }))
	firstUp.answerClose(1001)
	first.wantClose(1008, "superseded")
	first.end()
	w.wantEnd(policies.Superseded, 1008)
	secondUp.want(text, identify("a"))
	second.send(second.frame(text, identify("b")))
	secondUp.want(text, identify("b"))
	w.bye(second, secondUp)
	w.wantNoSeats()
}

// A handshake that becomes a session while one reload follows another has one lease.
func TestReloadsInAHandshake(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	for i := range 50 {
		client := w.dial()
		upstream := w.accept()
		request := upstream.request()
		w.reload(rules(func(p *policies.Policy) { p.Connections.Max = 1000 + i; p.Connections.PerIP = 0 }))
		upstream.agree(request)
		w.reload(rules(func(p *policies.Policy) { p.Connections.Max = 0; p.Connections.PerIP = 1000 + i }))
		client.response()
		w.bye(client, upstream)
	}
	w.wantNoSeats()
}

// A message that was held back when its policy came to observe passes with the end of the
// stream, or with what is no frame any more.
func TestReloadObservesHeld(t *testing.T) {
	t.Parallel()
	for name, rest := range map[string]string{"end": "", "no frame": "\x83garbage"} {
		t.Run(name, func(t *testing.T) {
			w := start(t, policies.Policy{Dialect: "rac"})
			client, upstream := w.open()
			client.send(client.frame(textBegins, "half"), client.frame(ping, ""))
			upstream.want(ping, "")
			w.reload(rules(func(p *policies.Policy) { p.Mode = policies.ModeObserve }))
			client.send([]byte(rest))
			_ = client.conn.CloseWrite()
			upstream.want(textBegins, "half")
			upstream.wantBytes([]byte(rest))
			upstream.wantEOF()
			upstream.end()
		})
	}
}
