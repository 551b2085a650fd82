package main

import (
	"bytes"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// startBackend serves a backend that pings only when the test has it ping.
func startBackend(t *testing.T) (b *backend, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	b = newBackend()
	go func() { _ = b.serve(l, 0) }() // it ends with the listener
	return b, l.Addr().String()
}

// connect opens a passenger's portal with two PNRs.
func connect(t *testing.T, addr string) *client {
	t.Helper()
	c, err := open(addr, passenger, "IR0001", []string{"1722500001", "1722500002"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.conn.Close() })
	return c
}

// eventually waits until ok holds.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(20 * time.Second); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("still not so after 20s: %s", what)
		}
	}
}

// holding is what a backend keeps for clients.
type holding struct{ sockets, subscriptions, timers int }

// A passenger of two PNRs has three subscriptions: these, and the broadcasts.
// What the backend keeps of them after their end is the leak.
func TestWhatTheBackendKeeps(t *testing.T) {
	all := holding{sockets: 1, subscriptions: 3, timers: 1}
	entries := holding{sockets: 0, subscriptions: 2, timers: 1}
	violate := func(c *client) { c.violate(); <-c.gone }
	garble := func(c *client) { c.garble(); <-c.gone }
	closeOnly := func(c *client) { c.pnrs = nil; c.leave() }
	for _, test := range []struct {
		name   string
		strike func(*client)
		pings  int // of the backend, afterwards
		want   holding
	}{
		{"nothing of one that leaves", (*client).leave, 0, holding{}},
		{"entries of one that closes without a word to them", closeOnly, 0, holding{subscriptions: 2}},
		{"all of one that vanishes", (*client).freeze, 0, all},
		{"all of one that hangs", (*client).stopReading, 0, all},
		{"all of one that breaks the protocol", violate, 0, all},
		{"all of one that sends text that is not UTF-8", garble, 0, all},
		{"entries and timer of one that resets", (*client).reset, 0, entries},
		{"all of one that may yet answer a ping", (*client).mute, 1, all},
		{"entries and timer of one that missed a ping", (*client).mute, 2, entries},
		{"all of one that breaks the protocol, even with pings", violate, 2, all},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			b, addr := startBackend(t)
			c := connect(t, addr)
			test.strike(c)
			for range test.pings {
				b.ping()
			}
			eventually(t, fmt.Sprintf("the backend holds %+v", test.want), func() bool {
				h := b.health()
				return test.want == holding{h.Clients, h.Subscriptions, h.Timers}
			})
		})
	}
}

func TestWhoAnswersPingsStays(t *testing.T) {
	t.Parallel()
	b, addr := startBackend(t)
	c := connect(t, addr)
	for range 3 {
		b.ping()
		eventually(t, "the pong has come", func() bool {
			b.mu.Lock()
			defer b.mu.Unlock()
			for s := range b.clients {
				return s.answered.Load()
			}
			return false
		})
	}
	c.leave()
	eventually(t, "the backend holds nothing", func() bool { return b.health().Clients == 0 })
}

func TestUnreadMessagesPileUp(t *testing.T) {
	t.Parallel()
	b, addr := startBackend(t)
	c := connect(t, addr)
	c.freeze()
	<-c.gone
	eventually(t, "a megabyte is queued", func() bool {
		c.say(message{Type: "subscribe:offers", Payload: &payload{PNR: string(bytes.Repeat([]byte("7"), 20_000))}})
		return b.health().Queued > 1<<20
	})
}

func TestMessages(t *testing.T) {
	t.Parallel()
	b, addr := startBackend(t)
	conn, _, err := dialer.Dial("ws://"+addr+"/any/path", nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := &client{conn: conn}
	for _, test := range []struct {
		kind       int
		send, want string
	}{
		{websocket.TextMessage, `{"type":"ping"}`, "pong"},
		{websocket.TextMessage, `{"type":"PING"}`, "pong"},
		{websocket.BinaryMessage, `{"type":"ping"}`, "pong"},
		{websocket.TextMessage, `{"type":"subscribe:offers","payload":{"pnr":"1"}}`, "subscribed"},
		{websocket.BinaryMessage, `{"type":"subscribe:offers","payload":{"pnr":"2"}}`, "subscribed"},
		{websocket.TextMessage, `{"type":"unsubscribe:offers","payload":{"pnr":"1"}}`, "unsubscribed"},
		{websocket.BinaryMessage, `{"type":"unsubscribe:offers","payload":{"pnr":"2"}}`, "unsubscribed"},
		{websocket.TextMessage, `{"type":"UNSUBSCRIBE"}`, "UNSUBSCRIBED"},
		{websocket.TextMessage, `{"type":"SUBSCRIBE"}`, "SUBSCRIBED"},
		{websocket.TextMessage, `{"type":"IDENTIFY","role":"TTE","tteId":"TTE1"}`, "IDENTIFIED"},
		{websocket.TextMessage, `subscribe`, "ERROR"},
	} {
		if err := conn.WriteMessage(test.kind, []byte(test.send)); err != nil {
			t.Fatal(err)
		}
		if err := c.await(test.want); err != nil {
			t.Errorf("after %s: %v", test.send, err)
		}
	}
	if h := b.health(); h.Unsubscribes != 3 || h.MostPNRs != 2 {
		t.Errorf("the backend has counted %d unsubscribes, and %d PNRs at a time", h.Unsubscribes, h.MostPNRs)
	}
}

// The 101 and the first message have to come in one segment: what stands
// between must not lose the second.
func TestWelcomeComesWithThe101(t *testing.T) {
	t.Parallel()
	_, addr := startBackend(t)
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: rac\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4096)
	n, err := conn.Read(buf)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.HasPrefix(buf[:n], []byte("HTTP/1.1 101 ")) || !bytes.Contains(buf[:n], []byte(`{"type":"CONNECTION_SUCCESS"`)) {
		t.Errorf("the first read brings %q", buf[:n])
	}
}
