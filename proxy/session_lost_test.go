package proxy_test

import (
	"testing"
	"time"

	"wswarden/policies"
)

// How a connection may be lost without a close frame.
var losses = map[string]func(*peer){
	"FIN": (*peer).end,
	"RST": (*peer).reset,
}

// Upstream is told at once: a proxy must never keep a dead client looking alive.
func TestClientLost(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"gone"}}})
			client, upstream := w.open()

			client.send(client.frame(text, "hello"))
			upstream.want(text, "hello")
			lose(client)
			upstream.want(text, "gone")
			upstream.wantClose(1001, "client_lost")
			upstream.answerClose(1001)
			w.wantEnd(policies.ClientLost, 1001)
		})
	}
}

func TestClientLostAndUpstreamDeaf(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()

	lost := time.Now()
	client.end()
	upstream.wantClose(1001, "client_lost")
	upstream.wantReset()
	wantAfter(t, lost, soon)
	w.wantEnd(policies.ClientLost, 1001)
}

// What a client has said last is delivered, though it is gone.
func TestClientLostBehindMessage(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()

	client.send(client.frame(text, "last words"))
	client.end()
	upstream.want(text, "last words")
	upstream.wantClose(1001, "client_lost")
	upstream.answerClose(1001)
	w.wantEnd(policies.ClientLost, 1001)
}

// A client that dies inside a frame leaves no place for a frame of ours: neither
// farewell nor close can follow, so upstream is reset.
func TestClientLostInsideFrame(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"gone"}}})
			client, upstream := w.open()

			half := client.frame(text, "a message")[:10]
			client.send(half)
			upstream.wantBytes(half)
			lose(client)
			upstream.wantReset()
			w.wantEnd(policies.ClientLost, 1001)
		})
	}
}

// Between two fragments there is place for the close frame, not for the
// farewell.
func TestClientLostInsideMessage(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"gone"}}})
	client, upstream := w.open()

	client.send(client.frame(textBegins, "once upon a"))
	upstream.want(textBegins, "once upon a")
	client.end()
	upstream.wantClose(1001, "client_lost")
	upstream.answerClose(1001)
	w.wantEnd(policies.ClientLost, 1001)
}

// The beginning of a header is nothing that upstream has seen.
func TestClientLostInsideHeader(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"gone"}}})
	client, upstream := w.open()

	client.send(client.frame(text, "whole"), client.frame(text, "a message")[:3])
	upstream.want(text, "whole")
	client.end()
	upstream.want(text, "gone")
	upstream.wantClose(1001, "client_lost")
	upstream.answerClose(1001)
	w.wantEnd(policies.ClientLost, 1001)
}

func TestUpstreamLost(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"gone"}}})
			client, upstream := w.open()

			upstream.send(upstream.frame(text, "hello"))
			client.want(text, "hello")
			lose(upstream)
			client.wantClose(1014, "upstream_lost")
			client.answerClose(1014)
			w.wantEnd(policies.UpstreamLost, 1014)
		})
	}
}

func TestUpstreamLostInsideFrame(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()

	half := upstream.frame(text, "a message")[:5]
	upstream.send(half)
	client.wantBytes(half)
	upstream.end()
	client.wantReset()
	w.wantEnd(policies.UpstreamLost, 1014)
}

func TestUpstreamLostAndClientDeaf(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()

	lost := time.Now()
	upstream.end()
	client.wantClose(1014, "upstream_lost")
	client.wantReset()
	wantAfter(t, lost, soon)
	w.wantEnd(policies.UpstreamLost, 1014)
}

// Upstream is lost instead of answering the client's close frame: the client
// gets a close frame all the same.
func TestUpstreamLostInsteadOfAnsweringClose(t *testing.T) {
	t.Parallel()
	for name, lose := range losses {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{})
			client, upstream := w.open()

			client.send(client.closeFrame(1000, "bye"))
			upstream.wantClose(1000, "bye")
			lose(upstream)
			client.wantClose(1000, "")
			client.wantEOF()
			client.end()
			w.wantEnd(policies.ClientClose, 1000)
		})
	}
}
