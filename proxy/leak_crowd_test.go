//go:build linux

package proxy_test

import (
	"bytes"
	"net"
	"slices"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"wswarden/proxy/evloop"
)

// crowd is a great number of clients and upstreams on one event loop, so that
// none of them costs a goroutine.
type crowd struct {
	t        *testing.T
	loop     *evloop.Loop
	listener int
	upstream string // the address of all upstreams
	buf      []byte

	// The scene being played belongs to the loop.
	scene *scene
	left  int // clients still to come
	open  chan struct{}
}

const wholeCrowd = 500

// scene is what the crowd does.
type scene struct {
	path   string
	target string // wswarden's address
	crowd  int    // clients at the same time; zero: wholeCrowd

	clientOpen   func(*extra) // the session is open; nil: nothing
	upstreamOpen func(*extra)
	upstreamText func(*extra) // upstream hears a message
	smallWindow  bool         // clients take little before they read
}

func newCrowd(t *testing.T) *crowd {
	t.Helper()
	c := &crowd{t: t, buf: make([]byte, 64<<10), open: make(chan struct{}, leakSessions)}
	var err error
	if c.loop, err = evloop.New(); err != nil {
		t.Fatal(err)
	}
	if c.listener, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		t.Fatal(err)
	}
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	must(unix.Bind(c.listener, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	must(unix.Listen(c.listener, 4096))
	name, err := unix.Getsockname(c.listener)
	must(err)
	c.upstream = (&net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: name.(*unix.SockaddrInet4).Port}).String()

	var running sync.WaitGroup
	running.Go(func() {
		if err := c.loop.Run(); err != nil {
			t.Error(err)
		}
	})
	running.Go(c.accept)
	t.Cleanup(func() {
		_ = unix.Shutdown(c.listener, unix.SHUT_RD) // accept returns
		_ = c.loop.Stop()
		running.Wait()
		_ = c.loop.Close()
		_ = unix.Close(c.listener)
	})
	return c
}

func (c *crowd) accept() {
	for {
		fd, _, err := unix.Accept4(c.listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
			if err := c.loop.Do(func() { c.enter(fd, false) }); err != nil {
				c.t.Error(err)
			}
		case unix.EINTR, unix.ECONNABORTED:
		default:
			return
		}
	}
}

// play has n clients come to the scene, one for each that leaves once the crowd
// is complete. It does not wait for them.
func (c *crowd) play(s *scene, n int) {
	c.t.Helper()
	together := s.crowd
	if together == 0 {
		together = wholeCrowd
	}
	err := c.loop.Do(func() {
		c.scene, c.left = s, n
		for range min(n, together) {
			c.dial()
		}
	})
	if err != nil {
		c.t.Fatal(err)
	}
}

// dial sends the next client.
func (c *crowd) dial() {
	if c.left == 0 {
		return
	}
	c.left--
	address, err := net.ResolveTCPAddr("tcp", c.scene.target)
	if err != nil {
		c.t.Error(err)
		return
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		c.t.Error(err)
		return
	}
	if c.scene.smallWindow {
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 4096)
	}
	err = unix.Connect(fd, &unix.SockaddrInet4{Addr: [4]byte(address.IP.To4()), Port: address.Port})
	if err != nil && err != unix.EINPROGRESS {
		c.t.Errorf("connect: %v", err)
		_ = unix.Close(fd)
		return
	}
	c.enter(fd, true)
}

func (c *crowd) enter(fd int, client bool) {
	e := &extra{crowd: c, scene: c.scene, client: client}
	if err := c.loop.Add(&e.socket, fd, e); err != nil {
		c.t.Error(err)
		_ = unix.Close(fd)
		return
	}
	if client {
		e.say(bytes.Replace(handshake, []byte("/ws"), []byte(e.scene.path), 1))
	}
}

// extra is one of the crowd, a client or an upstream. It answers a close frame
// and ignores everything else, unless the scene has it do otherwise.
type extra struct {
	crowd  *crowd
	scene  *scene
	socket evloop.Socket
	client bool
	open   bool   // its handshake is complete
	deaf   bool   // it does not read
	closed bool   // it has sent a close frame
	heard  []byte // the beginning of a head or a frame
	saying []byte // what is still to be written
}

func (e *extra) Ready() {
	e.say(nil)
	for e.socket.Open() && e.socket.Readable() && !e.deaf {
		n, err := e.socket.Read(e.crowd.buf)
		if err != nil {
			e.leave()
		} else if n == 0 {
			break
		} else {
			e.listen(e.crowd.buf[:n])
		}
	}
	if e.deaf && e.socket.Broken() {
		e.leave()
	}
}

// say writes what is left to be written, and b behind it.
func (e *extra) say(b []byte) {
	if len(e.saying) == 0 {
		e.saying = slices.Clip(b) // it may be everybody's
	} else {
		e.saying = append(e.saying, b...)
	}
	if len(e.saying) == 0 || !e.socket.Open() || !e.socket.Writable() {
		return
	}
	n, err := e.socket.Write(e.saying)
	if err != nil {
		e.saying = nil // reading will find the end
	} else if e.saying = e.saying[n:]; len(e.saying) == 0 {
		e.saying = nil
	}
}

func (e *extra) listen(b []byte) {
	e.heard = append(e.heard, b...)
	if !e.open {
		head, rest, whole := bytes.Cut(e.heard, []byte("\r\n\r\n"))
		if !whole {
			return
		}
		e.heard = rest
		e.begin(head)
	}
	for e.socket.Open() && !e.deaf {
		n, whole := frameLength(e.heard)
		if !whole {
			break
		}
		first := e.heard[0]
		e.heard = e.heard[n:]
		e.hear(first)
	}
	if len(e.heard) == 0 {
		e.heard = nil
	}
}

// begin is called with the head of the request or the response.
func (e *extra) begin(head []byte) {
	e.open = true
	act := e.scene.clientOpen
	if e.client {
		if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) {
			e.crowd.t.Errorf("handshake: %.80s", head)
			e.crowd.left = 0
			e.leave()
			return
		}
		select {
		case e.crowd.open <- struct{}{}:
		default: // nobody counts
		}
	} else {
		act = e.scene.upstreamOpen
		e.say([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"))
	}
	if act != nil {
		act(e)
	}
}

// frameLength returns the length of the frame that b begins with, and whether
// all of it is there. It is below 64 KiB.
func frameLength(b []byte) (n int, whole bool) {
	if len(b) < 4 {
		return 2, len(b) >= 2 && b[1] == 0
	}
	n = 2 + int(b[1]&0x7f)
	if b[1]&0x7f == 126 {
		n = 4 + int(b[2])<<8 + int(b[3])
	}
	if b[1]&0x80 != 0 {
		n += 4
	}
	return n, len(b) >= n
}

// hear is called with the first byte of a frame.
func (e *extra) hear(first byte) {
	switch {
	case first == closing:
		e.sayClose()
		if !e.client {
			e.leave()
		}
	case first == text && !e.client && e.scene.upstreamText != nil:
		e.scene.upstreamText(e)
	}
}

func (e *extra) sayFrame(first byte, payload string) { e.say(encode(e.client, first, payload)) }

func (e *extra) sayClose() {
	if !e.closed {
		e.closed = true
		e.sayFrame(closing, "\x03\xe8")
	}
}

// leave closes the connection; another client comes for one that leaves.
func (e *extra) leave() {
	if !e.socket.Open() {
		return
	}
	e.socket.Close()
	e.replaced()
}

// vanish resets it.
func (e *extra) vanish() {
	e.socket.Reset()
	e.replaced()
}

func (e *extra) replaced() {
	e.heard, e.saying = nil, nil
	if e.client {
		e.crowd.dial()
	}
}
