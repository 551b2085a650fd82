package proxy_test

import (
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/policies"
)

// flood sends messages of 1 KiB until stop is called or nothing more can be
// sent; stop returns when it has stopped, at the end of a message.
func (p *peer) flood() (stop func()) {
	message := p.frame(text, strings.Repeat("flood...", 128))
	quit := make(chan struct{})
	var sender sync.WaitGroup
	sender.Go(func() {
		_ = p.conn.SetWriteDeadline(time.Now().Add(longest))
		for {
			select {
			case <-quit:
				return
			default:
				if _, err := p.conn.Write(message); err != nil {
					return
				}
			}
		}
	})
	p.t.Cleanup(func() {
		_ = p.conn.Close()
		sender.Wait()
	})
	return sync.OnceFunc(func() {
		close(quit)
		sender.Wait()
	})
}

// A client that stops reading while upstream broadcasts. It answers nothing
// either, but that is not what it is ended for.
func TestStalledClient(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Stall:   policies.Stall{Timeout: soon},
		Release: policies.Release{Grace: 3 * soon, Farewell: []string{"bye"}},
	})
	client, upstream := w.open()
	stop := upstream.flood()
	upstream.want(text, "bye")
	upstream.wantClose(1001, "stalled")
	stop()
	upstream.answerClose(1001)
	w.wantEnd(policies.Stalled, 1008)
	if n, err := client.rest(); err == nil {
		t.Errorf("client: %d bytes, then an orderly end, want a reset", n)
	}
}

// A stalled client that reads on within grace gets whole messages, and then is
// told why there are no more.
func TestStalledClientReadsOn(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Stall: policies.Stall{Timeout: soon, CloseCode: 4008}})
	client, upstream := w.open()
	stop := upstream.flood()
	upstream.wantClose(1001, "stalled")
	client.skip(text)
	client.wantClose(4008, "stalled")
	stop()
	upstream.answerClose(1001)
	client.answerClose(4008)
	w.wantEnd(policies.Stalled, 4008)
}

func TestStalledUpstream(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Stall:   policies.Stall{Timeout: soon},
		Release: policies.Release{Grace: 3 * soon},
	})
	client, upstream := w.open()
	stop := client.flood()
	client.wantClose(1008, "stalled")
	stop()
	client.answerClose(1008)
	w.wantEnd(policies.Stalled, 1008)
	if n, err := upstream.rest(); err == nil {
		t.Errorf("upstream: %d bytes, then an orderly end, want a reset", n)
	}
}

// A slow reader is not a stalled one: while it takes something, it lives, even
// if it never takes all.
func TestSlowClientIsNotStalled(t *testing.T) {
	t.Parallel()
	const timeout = time.Second
	w := start(t, policies.Policy{Stall: policies.Stall{Timeout: timeout}})
	client, upstream := w.open()
	upstream.flood()
	var buf [256 << 10]byte
	for began := time.Now(); time.Since(began) < 2*timeout; time.Sleep(20 * time.Millisecond) {
		_ = client.conn.SetReadDeadline(time.Now().Add(longest))
		if _, err := client.conn.Read(buf[:]); err != nil {
			t.Fatal(err)
		}
	}
	select {
	case got := <-w.log:
		t.Errorf("session ended for %s", got.cause)
	default:
	}
}

// What a stalled client leaves behind when it dies: nothing that keeps upstream.
func TestStalledClientIsLost(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()
	stop := upstream.flood()
	time.Sleep(soon)
	client.reset()
	upstream.wantClose(1001, "client_lost")
	stop()
	upstream.answerClose(1001)
	w.wantEnd(policies.ClientLost, 1001)
}

// A message of exactly max_bytes passes, a longer one ends the session before a
// byte of the frame that makes it too long has passed.
func TestMessageTooBig(t *testing.T) {
	t.Parallel()
	const most = 1000
	full, more := strings.Repeat("m", most), strings.Repeat("m", most+1)
	tests := map[string]struct {
		pass func(client *peer) []byte // what upstream gets
		stop func(client *peer) []byte // and what it does not
	}{
		"one frame": {
			func(c *peer) []byte { return c.frame(text, full) },
			func(c *peer) []byte { return c.frame(text, more) },
		},
		"only its header": {
			func(c *peer) []byte { return c.frame(text, full) },
			func(c *peer) []byte { return c.frame(text, more)[:8] },
		},
		"fragments": {
			func(c *peer) []byte { return append(c.frame(textBegins, full[:600]), c.frame(goesOn, full[600:])...) },
			func(c *peer) []byte { return c.frame(goesEnd, "m") },
		},
		"fragments with a ping between": {
			func(c *peer) []byte { return append(c.frame(textBegins, full), c.frame(ping, "p")...) },
			func(c *peer) []byte { return c.frame(goesOn, "m") },
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Messages: policies.Messages{MaxBytes: most}})
			client, upstream := w.open()
			client.send(tt.pass(client), tt.stop(client))
			upstream.wantBytes(tt.pass(client))
			upstream.wantClose(1001, "message_too_big")
			upstream.answerClose(1001)
			client.wantClose(1009, "message too big")
			client.wantEOF()
			client.end()
			w.wantEnd(policies.MessageTooBig, 1009)
		})
	}
}

// The limit is the client's: upstream is trusted with its own messages.
func TestMaxBytesIsNotForUpstream(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Messages: policies.Messages{MaxBytes: 1000, CloseCode: 4009}})
	client, upstream := w.open()
	long := strings.Repeat("m", 5000)
	upstream.send(upstream.frame(text, long))
	client.want(text, long)
	client.send(client.frame(text, long))
	client.wantClose(4009, "message too big")
}
