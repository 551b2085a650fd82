package proxy_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

// A close frame and its answer pass as they were sent. The server is the first
// to close the connection (RFC 6455 §7.1.1): upstream towards wswarden, and
// wswarden towards the client.
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

// wantAfter checks that what has just been seen did not come earlier than d
// after began. That it came at all is checked by seeing it.
func wantAfter(t *testing.T, began time.Time, d time.Duration) {
	t.Helper()
	if took := time.Since(began); took < d {
		t.Errorf("after %s, want %s or more", took, d)
	}
}
