package proxy_test

import (
	"bytes"
	"errors"
	"strings"
	"syscall"
	"testing"
	"time"

	"wswarden/policies"
)

// A close frame and its answer pass as they were sent. The server is the first
// to close the connection (RFC 6455 §7.1.1): upstream towards wswarden, and
// wswarden towards the client, which then closes it too.
func TestClientClose(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{1000, 1001, 4321} {
		w := start(t, policies.Policy{})
		client, upstream := w.open()

		asked := client.closeFrame(code, "bye, über")
		client.send(asked)
		upstream.wantBytes(asked)
		answer := upstream.closeFrame(code, "bye")
		upstream.send(answer)
		client.wantBytes(answer)
		client.wantEOF()
		client.end()
		upstream.end()
		w.wantEnd(policies.ClientClose, code)
	}
}

func TestUpstreamClose(t *testing.T) {
	t.Parallel()
	for _, code := range []uint16{1000, 1011, 4321} {
		w := start(t, policies.Policy{})
		client, upstream := w.open()

		asked := upstream.closeFrame(code, "enough")
		upstream.send(asked)
		client.wantBytes(asked)
		answer := client.closeFrame(code, "well")
		client.send(answer)
		upstream.wantBytes(answer)
		client.wantEOF()
		client.end()
		upstream.end()
		w.wantEnd(policies.UpstreamClose, code)
	}
}

// A close frame needs no code (RFC 6455 §5.5.1), and none is put in.
func TestCloseWithoutCode(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()

	client.send(client.frame(closing, ""))
	upstream.want(closing, "")
	upstream.send(upstream.frame(closing, ""))
	client.want(closing, "")
	client.wantEOF()
	client.end()
	upstream.end()
	w.wantEnd(policies.ClientClose, 0)
}

// What came before the close frame comes before it on the other side, and what
// comes behind it is dropped.
func TestCloseKeepsOrder(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()

	client.send(client.frame(text, "last words"), client.closeFrame(1000, ""), client.frame(text, "one more thing"))
	upstream.want(text, "last words")
	upstream.wantClose(1000, "")
	upstream.send(upstream.frame(text, "and mine"), upstream.closeFrame(1000, ""))
	client.want(text, "and mine")
	client.wantClose(1000, "")
	client.end()
	upstream.wantNothing()
	upstream.end()
	w.wantEnd(policies.ClientClose, 1000)
}

// A close frame may stand between the fragments of a message.
func TestCloseInsideMessage(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"left"}}})
	client, upstream := w.open()

	client.send(client.frame(textBegins, "once upon a"), client.closeFrame(1001, ""))
	upstream.want(textBegins, "once upon a")
	upstream.wantClose(1001, "") // without a farewell: it would be a part of the message
	upstream.answerClose(1001)
	client.wantClose(1001, "")
	client.end()
	w.wantEnd(policies.ClientClose, 1001)
}

func TestCloseUnansweredByUpstream(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()

	asked := time.Now()
	client.send(client.closeFrame(1000, "bye"))
	upstream.wantClose(1000, "bye")
	upstream.wantReset()
	wantAfter(t, asked, soon)
	client.wantClose(1000, "")
	client.wantEOF()
	w.wantEnd(policies.ClientClose, 1000)
}

func TestCloseUnansweredByClient(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()

	asked := time.Now()
	upstream.send(upstream.closeFrame(4000, "go"))
	client.wantClose(4000, "go")
	client.wantReset()
	wantAfter(t, asked, soon)
	upstream.wantClose(4000, "")
	upstream.wantEOF()
	w.wantEnd(policies.UpstreamClose, 4000)
}

// Upstream answers the close frame and then keeps the connection: at the end of
// the grace it is closed in an orderly way.
func TestUpstreamAnswersCloseAndStays(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()

	client.send(client.closeFrame(1000, ""))
	upstream.wantClose(1000, "")
	upstream.send(upstream.closeFrame(1000, ""))
	client.wantClose(1000, "")
	upstream.wantEOF()
	w.wantEnd(policies.ClientClose, 1000)
}

// A client that does not close its end of the connection keeps it no longer than the
// grace, whatever it sends.
func TestClientStaysBehindItsClose(t *testing.T) {
	t.Parallel()
	const grace = 3 * soon
	for name, stay := range map[string]func(*peer){
		"silent": func(*peer) {},
		"loud":   func(client *peer) { client.flood() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Release: policies.Release{Grace: grace}})
			client, upstream := w.open()

			asked := time.Now()
			client.send(client.closeFrame(1000, ""))
			stay(client)
			upstream.wantClose(1000, "")
			upstream.answerClose(1000)
			client.wantClose(1000, "")
			client.wantEOF()
			w.wantEnd(policies.ClientClose, 1000)
			wantAfter(t, asked, grace)
		})
	}
}

// Who goes on behind its close frame still gets all that was on its way to it. To
// close the connection earlier would have the system break it by a reset. Each of
// them takes little at a time, so that much is on its way.
const (
	goneOn     = 20 // sessions
	littleRoom = 16 << 10
	underWay   = 100 << 10
	behind     = 800 << 10
)

// littleAtATime has a socket that is not connected yet take little at a time.
func littleAtATime(_, _ string, c syscall.RawConn) (err error) {
	controlErr := c.Control(func(fd uintptr) {
		err = syscall.SetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_RCVBUF, littleRoom)
	})
	return errors.Join(controlErr, err)
}

// takesLittle has upstream take little at a time.
func (w *warden) takesLittle() {
	w.t.Helper()
	raw, err := w.upstream.SyscallConn()
	if err = errors.Join(err, littleAtATime("", "", raw)); err != nil {
		w.t.Fatal(err)
	}
}

// goOn closes and sends frames behind its close frame. The function that it returns
// waits until all are taken.
func (p *peer) goOn() (wait func()) {
	frames := [][]byte{p.closeFrame(1000, "")}
	for range behind >> 10 {
		frames = append(frames, p.frame(text, strings.Repeat("b", 1<<10)))
	}
	sent := make(chan error, 1)
	go func() {
		_ = p.conn.SetWriteDeadline(time.Now().Add(longest))
		_, err := p.conn.Write(bytes.Join(frames, nil))
		sent <- err
	}()
	return func() {
		p.t.Helper()
		if err := <-sent; err != nil {
			p.t.Fatalf("%s: send: %v", p.name, err)
		}
	}
}

func TestClientGoesOnBehindItsClose(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	w.dialer.Control = littleAtATime
	long := strings.Repeat("u", underWay)
	for range goneOn {
		client, upstream := w.open()
		upstream.send(upstream.frame(text, long))
		wait := client.goOn()
		upstream.wantClose(1000, "")
		upstream.answerClose(1000)
		wait()
		client.want(text, long)
		client.wantClose(1000, "")
		client.wantEOF()
		client.end()
		w.wantEnd(policies.ClientClose, 1000)
	}
}

func TestUpstreamGoesOnBehindItsClose(t *testing.T) {
	t.Parallel()
	policy := atMost(1, policies.ExcessReject)
	policy.Inspect.MaxBytes, policy.Inspect.Oversize = 1<<10, policies.OversizeForward
	w := start(t, policy)
	w.takesLittle()
	long := strings.Repeat("c", underWay)
	for range goneOn {
		client, upstream := w.open()
		client.send(client.frame(text, subscribe(`1`)), client.frame(text, long))
		wait := upstream.goOn()
		client.wantClose(1000, "")
		client.answerClose(1000)
		wait()
		upstream.want(text, subscribe(`1`))
		upstream.want(text, long)
		upstream.want(text, unsubscribe(`1`))
		upstream.wantClose(1000, "")
		upstream.end()
		if e := w.wantEnd(policies.UpstreamClose, 1000); e.unsubscribed != 1 {
			t.Errorf("%d subscriptions undone, want 1", e.unsubscribed)
		}
	}
}

// wantAfter checks that what has just been seen did not come earlier than d
// after began. That it came at all is checked by seeing it.
func wantAfter(t *testing.T, began time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(began); took < d {
		t.Errorf("after %s, want %s or more", took, d)
	}
}
