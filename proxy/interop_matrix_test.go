package proxy_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
)

// Every library as client with every library as upstream, with and without
// compression: messages, pings, the subprotocol and close frames pass.
func TestInteropLibraries(t *testing.T) {
	for _, client := range interopLibraries {
		for _, upstream := range interopLibraries {
			for _, compress := range []bool{false, true} {
				name := fmt.Sprintf("%s to %s, compression %v", client.name, upstream.name, compress)
				t.Run(name, func(t *testing.T) {
					t.Parallel()
					testInteropCell(t, client, upstream, compress)
				})
			}
		}
	}
}

func testInteropCell(t *testing.T, client, upstream interopLibrary, compress bool) {
	address, accepted := upstream.listen(t, compress)
	tap := newInteropTap(t, address)
	warden := interopWarden(t, tap.address, nil)
	connect := func() (c, u *interopPeer) {
		c = client.dial(t, warden, compress)
		return c, interopWait(t, accepted, "the session upstream")
	}

	c, u := connect()
	if c.subprotocol != interopChosen {
		t.Errorf("client has subprotocol %q, upstream chose %q", c.subprotocol, interopChosen)
	}
	if agreed := strings.Contains(c.extensions, "permessage-deflate"); agreed != compress {
		t.Errorf("extensions agreed upon: %q, compression: %v", c.extensions, compress)
	}

	atStart := tap.count()
	payload := int64(0)
	for _, size := range []int{0, 1, 125, 126, 65_535, 65_536, 1 << 20} {
		for _, m := range interopMessages(size) {
			interopPass(t, c, u, m)
			interopPass(t, u, c, m)
			payload += int64(size)
		}
	}
	for i, passed := range tap.count() {
		passed -= atStart[i]
		if compress && passed > payload/10 {
			t.Errorf("direction %d: %d bytes on the wire for %d: they were not compressed", i, passed, payload)
		}
		if !compress && passed < payload {
			t.Errorf("direction %d: %d bytes on the wire for %d: they were compressed", i, passed, payload)
		}
	}

	interopPing(t, c, u)
	interopPing(t, u, c)

	interopCloses(t, c, u, interopClose{4001, "client says: grüß dich"})
	c, u = connect()
	interopCloses(t, u, c, interopClose{1000, "upstream says: bis später"})
}

// interopMessages returns a text and a binary message that compress well.
func interopMessages(size int) [2]interopMessage {
	text := bytes.Repeat([]byte("wswarden passes frames. "), size/24+1)[:size]
	binary := make([]byte, size)
	for i := range binary {
		binary[i] = byte(i * 7)
	}
	return [2]interopMessage{{false, text}, {true, binary}}
}

// interopPass has one peer send m, which the other must get as it is.
func interopPass(t *testing.T, from, to *interopPeer, m interopMessage) {
	t.Helper()
	wrote := make(chan error, 1)
	go func() { wrote <- from.write(m) }()
	select {
	case closed := <-to.closed:
		t.Fatalf("instead of a message of %d bytes: closed with %v", len(m.payload), closed)
	case got := <-to.messages:
		if got.binary != m.binary || !bytes.Equal(got.payload, m.payload) {
			t.Errorf("message of %d bytes, binary %v, arrived as %d bytes, binary %v", len(m.payload), m.binary, len(got.payload), got.binary)
		}
	}
	if err := interopWait(t, wrote, "the end of a write"); err != nil {
		t.Errorf("write %d bytes: %v", len(m.payload), err)
	}
}

// interopPing has one peer ping the other, whose library answers.
func interopPing(t *testing.T, from, to *interopPeer) {
	t.Helper()
	if err := from.ping(); err != nil {
		t.Fatalf("ping: %v", err)
	}
	ping := interopWait(t, to.pings, "a ping")
	if pong := interopWait(t, from.pongs, "a pong"); pong != ping || ping == "" {
		t.Errorf("ping %q answered by pong %q", ping, pong)
	}
}

// interopCloses has one peer close. The other must get code and reason, and the
// first one its answer.
func interopCloses(t *testing.T, from, to *interopPeer, with interopClose) {
	t.Helper()
	if err := from.close(with.code, with.reason); err != nil {
		t.Fatalf("close: %v", err)
	}
	if got := interopWait(t, to.closed, "a close frame"); got != with {
		t.Errorf("close arrived with %d %q, was sent with %d %q", got.code, got.reason, with.code, with.reason)
	}
	if answer := interopWait(t, from.closed, "the answer to a close frame"); answer.code != with.code {
		t.Errorf("close with %d answered by %d %q", with.code, answer.code, answer.reason)
	}
}

// interopTap stands between wswarden and upstream and counts bytes.
type interopTap struct {
	address string
	bytes   [2]atomic.Int64 // towards upstream, towards the client
}

func newInteropTap(t *testing.T, upstream string) *interopTap {
	ln := interopListen(t)
	tap := &interopTap{address: ln.Addr().String()}
	var inside sync.WaitGroup
	t.Cleanup(inside.Wait)
	inside.Go(func() {
		for {
			near, err := ln.Accept()
			if err != nil {
				return
			}
			far, err := net.Dial("tcp", upstream)
			if err != nil {
				t.Errorf("dial behind the tap: %v", err)
				_ = near.Close()
				return
			}
			inside.Go(func() { tap.copy(far, near, 0) })
			inside.Go(func() { tap.copy(near, far, 1) })
		}
	})
	t.Cleanup(func() { _ = ln.Close() })
	return tap
}

func (tap *interopTap) copy(dst, src net.Conn, direction int) {
	_, _ = io.Copy(io.MultiWriter(interopCounter{&tap.bytes[direction]}, dst), src)
	_ = dst.(*net.TCPConn).CloseWrite()
}

func (tap *interopTap) count() [2]int64 {
	return [2]int64{tap.bytes[0].Load(), tap.bytes[1].Load()}
}

type interopCounter struct{ n *atomic.Int64 }

func (c interopCounter) Write(b []byte) (int, error) {
	c.n.Add(int64(len(b)))
	return len(b), nil
}
