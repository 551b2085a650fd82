//go:build linux

package main

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"slices"

	"golang.org/x/sys/unix"
)

// roleVariable in the environment makes this program the echo upstream.
const (
	roleVariable = "BENCHMARK_ROLE"
	echoRole     = "echo"
	// echoListener is the descriptor under which it inherits its listener.
	echoListener = 3
)

// startEcho starts the echo upstream in a process of its own.
func startEcho(dir string) (*process, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer listener.Close()
	file, err := listener.(*net.TCPListener).File()
	if err != nil {
		return nil, err
	}
	defer file.Close()
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self)
	cmd.Env = append(os.Environ(), roleVariable+"="+echoRole)
	cmd.ExtraFiles = []*os.File{file}
	return startProcess("echo upstream", cmd, dir, listener.Addr().String())
}

// serveEcho sends every message back. It is one loop that turns frames round in
// the buffer they were read into. listener is a listening socket; serveEcho
// returns only when something is wrong with that or with the poller.
func serveEcho(listener int) error {
	poller, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return err
	}
	door := socket{fd: listener}
	if err := errors.Join(unix.SetNonblock(listener, true), door.watch(poller, listener)); err != nil {
		return err
	}
	conns := make(map[int32]*echoConn)
	events := make([]unix.EpollEvent, 256)
	for {
		n, err := unix.EpollWait(poller, events, -1)
		if err != nil && err != unix.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			if event.Fd == int32(listener) {
				if err := accept(poller, listener, conns); err != nil {
					return err
				}
			} else if c := conns[event.Fd]; !c.serve(event.Events&hangup != 0) {
				delete(conns, event.Fd)
				unix.Close(c.fd)
			}
		}
	}
}

func accept(poller, listener int, conns map[int32]*echoConn) error {
	for {
		fd, _, err := unix.Accept4(listener, unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC)
		switch err {
		case nil:
		case unix.EAGAIN:
			return nil
		case unix.ECONNABORTED, unix.EINTR:
			continue
		default:
			return fmt.Errorf("accept: %w", err)
		}
		c := &echoConn{socket: socket{fd: fd}}
		if err := errors.Join(unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1), c.watch(poller, fd)); err != nil {
			return err
		}
		conns[int32(fd)] = c
	}
}

// echoConn is one connection of the echo upstream.
type echoConn struct {
	socket        // out lies within in, unless there is a peer
	in     []byte // what was read
	used   int    // bytes at the start of in that are answered
	opened bool   // the handshake is over
	last   bool   // nothing follows out

	peer peer // nil: what comes is sent back as it is
}

// peer is upstream's end of a session in which it does more than to send back.
type peer interface {
	// answer returns the frames that answer one of the client's, whose payload is not
	// masked any more. lost: the connection ends there, without a close frame.
	answer(first byte, payload []byte) (frames []byte, lost bool)
}

// serve answers all that has arrived. ending: no more will. It returns false
// when the connection is over.
func (c *echoConn) serve(ending bool) bool {
	for drained := false; ; {
		if err := c.flush(); err != nil || len(c.out) > 0 {
			return err == nil
		}
		c.out = nil // a peer's may be large
		if c.last {
			return false
		}
		c.in, c.used = c.in[:copy(c.in, c.in[c.used:])], 0
		missing := c.answer()
		if missing == 0 {
			continue
		}
		if drained {
			return true
		}
		// A read that leaves some of the room has emptied the socket.
		c.in = slices.Grow(c.in, missing+256)
		room := c.in[len(c.in):cap(c.in)]
		n, err := c.read(room)
		if err != nil {
			return false
		}
		c.in = c.in[:len(c.in)+n]
		drained = n < len(room) && !(ending && n > 0)
	}
}

// answer makes out from the request or frame at the start of in. If that is
// incomplete it returns how many bytes are missing at least.
func (c *echoConn) answer() (missing int) {
	if !c.opened {
		end := bytes.Index(c.in, []byte("\r\n\r\n"))
		if end < 0 {
			return 1
		}
		c.used = end + 4
		if c.out = soakAnswer(c.in[:end]); len(c.out) > 0 {
			return 0
		}
		c.out, c.opened = handshakeAnswer(c.in[:end])
		c.last = !c.opened
		if n := numbersFor(c.in[:end]); n != nil {
			c.peer = n
		} else if s := soakPeerFor(c.in[:end]); s != nil {
			c.peer = s
		}
		return 0
	}
	header, payload := maskedFrame(c.in)
	if header == 0 || len(c.in) < header+payload {
		return max(header+payload-len(c.in), 1)
	}
	c.used = header + payload
	if c.peer != nil {
		applyMask(c.in[header:c.used], c.in[header-keyBytes:header])
		c.out, c.last = c.peer.answer(c.in[0], c.in[header:c.used])
		c.last = c.last || len(c.out) > 0 && c.out[0]&0xF == opClose
		return 0
	}
	c.last = c.in[0]&0xF == opClose
	c.out = turnRound(c.in[:c.used], header)
	return 0
}

// turnRound makes a masked frame the unmasked answer to it, in place: what
// stands before the key moves over it.
func turnRound(frame []byte, header int) []byte {
	applyMask(frame[header:], frame[header-keyBytes:header])
	copy(frame[keyBytes:header], frame[:header-keyBytes])
	frame = frame[keyBytes:]
	frame[1] &^= maskBit
	if frame[0]&0xF == opPing {
		frame[0] = finBit | opPong
	}
	return frame
}

// handshakeAnswer answers a request's head and reports whether a WebSocket
// session begins.
func handshakeAnswer(head []byte) ([]byte, bool) {
	const name = "\r\nsec-websocket-key:"
	at := bytes.Index(bytes.ToLower(head), []byte(name))
	if at < 0 {
		return []byte("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"), false
	}
	key, _, _ := bytes.Cut(head[at+len(name):], []byte("\r"))
	return []byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + acceptKey(string(bytes.TrimSpace(key))) + "\r\n\r\n"), true
}
