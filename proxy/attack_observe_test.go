package proxy_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/policies"
)

// observes is a policy that observes, and has peers little time.
func observes() policies.Policy {
	return policies.Policy{Mode: policies.ModeObserve, Dialect: "rac"}
}

// What follows a close frame passes as well.
func TestObserveBehindAClose(t *testing.T) {
	t.Parallel()
	w := start(t, observes())
	client, upstream := w.open()
	client.send(client.closeFrame(1000, "bye"), client.frame(text, "behind"))
	upstream.wantClose(1000, "bye")
	upstream.want(text, "behind")
	upstream.send(upstream.closeFrame(1000, ""), upstream.frame(text, "as well"))
	client.wantClose(1000, "")
	client.want(text, "as well")
}

// One who has said all may still listen.
func TestObserveHalfClosed(t *testing.T) {
	t.Parallel()
	for _, byUpstream := range []bool{false, true} {
		t.Run(fmt.Sprint(byUpstream), func(t *testing.T) {
			w := start(t, observes())
			one, other := w.open()
			if byUpstream {
				one, other = other, one
			}
			_ = one.conn.CloseWrite()
			other.wantEOF()
			other.send(other.frame(text, "after the end"))
			one.want(text, "after the end")
			other.end()
			one.wantEOF()
			one.end()
		})
	}
}

// A slow reader gets all that was sent by one who has gone.
func TestObserveSlowReader(t *testing.T) {
	t.Parallel()
	for _, toUpstream := range []bool{false, true} {
		t.Run(fmt.Sprint(toUpstream), func(t *testing.T) {
			w := start(t, observes())
			one, other := w.open()
			if toUpstream {
				one, other = other, one
			}
			_ = one.conn.SetReadBuffer(4096)
			const size = 60_000
			other.send(other.frame(0x82, strings.Repeat("x", size)))
			time.Sleep(50 * time.Millisecond)
			other.end()
			time.Sleep(100 * time.Millisecond) // well beyond release.grace
			n, err := one.rest()
			if n < size || err != nil {
				t.Errorf("got %d bytes, then %v", n, err)
			}
		})
	}
}

// A reset is told as one.
func TestObserveReset(t *testing.T) {
	t.Parallel()
	w := start(t, observes())
	client, upstream := w.open()
	client.send(client.frame(textBegins, "half"))
	upstream.want(textBegins, "half")
	client.reset()
	upstream.wantReset()
}

// What was held back until it could be judged passes once.
func TestObserveViolationBehindAHalf(t *testing.T) {
	t.Parallel()
	for _, fromUpstream := range []bool{false, true} {
		t.Run(fmt.Sprint(fromUpstream), func(t *testing.T) {
			w := start(t, observes())
			one, other := w.open()
			if fromUpstream {
				one, other = other, one
			}
			one.send([]byte{0x83})
			other.wantNothing()
			one.send([]byte("\xff and"))
			other.wantBytes([]byte("\x83\xff and"))
			one.send([]byte(" on"))
			other.wantBytes([]byte(" on"))
			one.end()
			other.wantEOF()
			other.end()
		})
	}
}

// However the ends of observed streams come, both peers find theirs, and nothing is left.
func TestObserveEndings(t *testing.T) {
	t.Parallel()
	flood := func(p *peer) {
		big := p.frame(0x82, strings.Repeat("x", 100_000))
		for {
			_ = p.conn.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
			if _, err := p.conn.Write(big); err != nil {
				return
			}
		}
	}
	for name, act := range map[string]func(a, b *peer){
		"half":                func(a, b *peer) { _ = a.conn.CloseWrite(); b.wantEOF() },
		"flood, end":          func(a, b *peer) { flood(a); a.end() },
		"flood, half":         func(a, b *peer) { flood(a); _ = a.conn.CloseWrite() },
		"flood, reset":        func(a, b *peer) { flood(a); a.reset() },
		"flood, other half":   func(a, b *peer) { flood(a); _ = b.conn.CloseWrite() },
		"both flood, one end": func(a, b *peer) { flood(a); flood(b); a.end() },
		"both flood, half":    func(a, b *peer) { flood(a); flood(b); _ = a.conn.CloseWrite() },
		"half, then reset":    func(a, b *peer) { _ = a.conn.CloseWrite(); b.wantEOF(); a.reset() },
		"half, flood back, reset": func(a, b *peer) {
			_ = a.conn.CloseWrite()
			b.wantEOF()
			flood(b)
			a.reset()
		},
		"close, half":         func(a, b *peer) { a.send(a.closeFrame(1000, "")); _ = a.conn.CloseWrite() },
		"close, end":          func(a, b *peer) { a.send(a.closeFrame(1000, "")); a.end() },
		"garbage, end":        func(a, b *peer) { a.send([]byte("\x83garbage")); a.end() },
		"garbage, other half": func(a, b *peer) { a.send([]byte("\x83garbage")); _ = b.conn.CloseWrite() },
	} {
		for _, upstreamFirst := range []bool{false, true} {
			t.Run(name+map[bool]string{true: " by upstream"}[upstreamFirst], func(t *testing.T) {
				t.Parallel()
				w := start(t, observes())
				client, upstream := w.open()
				a, b := client, upstream
				if upstreamFirst {
					a, b = b, a
				}
				act(a, b)
				// All is read, and everybody goes.
				var readers sync.WaitGroup
				for _, p := range []*peer{a, b} {
					_ = p.conn.CloseWrite()
					readers.Go(func() { _, _ = p.rest() })
				}
				readers.Wait()
				a.end()
				b.end()
				select {
				case <-w.log:
				case <-time.After(longest):
					t.Error("it does not end")
				}
			})
		}
	}
}

// Whom an operator ends, ends, whatever the peers do meanwhile.
func TestObserveKilledInAMessage(t *testing.T) {
	t.Parallel()
	for name, act := range map[string]func(client *peer){
		"close": func(client *peer) { client.send(client.closeFrame(1000, "")) },
		"end":   func(client *peer) { _ = client.conn.CloseWrite() },
	} {
		t.Run(name, func(t *testing.T) {
			policy := policies.Policy{Mode: policies.ModeObserve, Release: policies.Release{Grace: 100 * time.Millisecond}}
			w := start(t, policy)
			client, upstream := w.open()
			upstream.send(upstream.frame(textBegins, "half of it"))
			client.want(textBegins, "half of it")
			w.server.Kill("")
			act(client)
			stop := make(chan struct{})
			go func() {
				for {
					select {
					case <-stop:
						return
					case <-time.After(time.Millisecond):
						_, _ = upstream.conn.Write(upstream.frame(goesOn, "x"))
					}
				}
			}()
			select {
			case <-w.log:
			case <-time.After(longest):
				t.Error("it goes on")
			}
			close(stop)
		})
	}
}

// What cannot be read behind a record does not undo what was decided on that.
func TestInspectObservesBehindADecision(t *testing.T) {
	t.Parallel()
	const a, b = `{"id":1,"subscribe":{"channel":"a"}}`, `{"id":2,"subscribe":{"channel":"b"}}`
	without := func(channel string) string {
		return `{"id":4294967295,"unsubscribe":{"channel":"` + channel + `"}}`
	}
	for onExcess, want := range map[policies.Excess][]string{
		policies.ExcessReject:      {without("a")},
		policies.ExcessEvictOldest: {without("a"), b, without("b")},
	} {
		t.Run(string(onExcess), func(t *testing.T) {
			policy := atMost(1, onExcess)
			policy.Dialect = "centrifugo"
			policy.Inspect.Mode = policies.ModeObserve
			w := start(t, policy)
			client, upstream := w.open()
			client.send(client.frame(text, a))
			upstream.want(text, a)
			upstream.send(upstream.frame(text, `{"id":1,"subscribe":{}}`))
			client.want(text, `{"id":1,"subscribe":{}}`)
			client.send(client.frame(text, `{"cut`)) // nothing was decided: it passes
			upstream.want(text, `{"cut`)
			client.send(client.frame(text, b+"\n"+`{"cut`))
			for _, text := range want {
				upstream.want(0x81, text)
			}
			upstream.wantClose(1001, "protocol_error")
			upstream.answerClose(1001)
			client.end()
			w.wantEnd(policies.ProtocolError, 1002)
		})
	}
}
