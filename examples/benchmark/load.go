//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// patience is how long a peer may take over any one step.
	patience = 10 * time.Second
	// handshakesAtOnce is how many sessions are being opened or closed at a time.
	handshakesAtOnce = 32

	echoPath     = "/echo"
	handshakeKey = "dGhlIHNhbXBsZSBub25jZQ=="
)

var handshakeAccept = []byte(": " + acceptKey(handshakeKey) + "\r\n")

// openSession opens a session and has one small message echoed.
func openSession(ctx context.Context, address string, client int) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if err := begin(conn, address, client); err != nil {
		return nil, err
	}
	return conn.(*net.TCPConn), nil
}

// begin does the handshake and has one small message echoed. It closes the connection
// if that fails.
func begin(conn net.Conn, host string, client int) error {
	err := errors.Join(conn.SetDeadline(time.Now().Add(patience)), handshake(conn, host, echoPath))
	if err == nil {
		frame, want := noise(client, echoMessage)
		err = exchange(conn, frame, want)
	}
	if err = errors.Join(err, conn.SetDeadline(time.Time{})); err != nil {
		conn.Close()
	}
	return err
}

// wantRefused asks for a session that is refused.
func wantRefused(ctx context.Context, address string) error {
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if err := ask(conn, address, echoPath); err != nil {
		return err
	}
	answer, err := io.ReadAll(conn)
	if err == nil && !bytes.HasPrefix(answer, []byte("HTTP/1.1 503 ")) {
		err = fmt.Errorf("handshake answered with %q", answer)
	}
	return err
}

func ask(conn io.Writer, host, path string) error {
	_, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n\r\n", path, host, handshakeKey)
	return err
}

func handshake(conn io.ReadWriter, host, path string) error {
	if err := ask(conn, host, path); err != nil {
		return err
	}
	head := make([]byte, 0, 1024)
	for !bytes.HasSuffix(head, []byte("\r\n\r\n")) {
		n, err := conn.Read(head[len(head):cap(head)])
		if err != nil {
			return fmt.Errorf("handshake: %w after %q", err, head)
		}
		head = head[:len(head)+n]
	}
	if !bytes.HasPrefix(head, []byte("HTTP/1.1 101 ")) || !bytes.Contains(head, handshakeAccept) {
		return fmt.Errorf("handshake answered with %q", head)
	}
	return nil
}

func exchange(conn io.ReadWriter, frame, want []byte) error {
	if _, err := conn.Write(frame); err != nil {
		return err
	}
	got := make([]byte, len(want))
	if _, err := io.ReadFull(conn, got); err != nil {
		return err
	}
	if !bytes.Equal(got, want) {
		return errors.New("the echo differs")
	}
	return nil
}

// closeSession does the close handshake and waits until the server has closed
// the connection: then the proxy's work is done, and TIME_WAIT is not on this
// side, whose ports would run out (RFC 6455 §7.1.1).
func closeSession(conn net.Conn) error {
	defer conn.Close()
	code := binary.BigEndian.AppendUint16(nil, 1000)
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := conn.Write(appendFrame(nil, opClose, []byte("mask"), code)); err != nil {
		return err
	}
	got, err := io.ReadAll(conn)
	if err != nil {
		return fmt.Errorf("close: %w", err)
	}
	// A ping may have come before it.
	if !bytes.HasSuffix(got, appendFrame(nil, opClose, nil, code)) {
		return fmt.Errorf("close answered with %q", got)
	}
	return nil
}

// each calls work for 0 to count-1, handshakesAtOnce at a time, until one fails
// or ctx is done.
func each(ctx context.Context, count int, work func(int) error) error {
	return shared(ctx, handshakesAtOnce, count, func(_, i int) error { return work(i) })
}

// shared is each for so many at a time, who have a number each.
func shared(ctx context.Context, atOnce, count int, work func(worker, i int) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var next atomic.Int64
	var workers sync.WaitGroup
	for worker := range min(count, atOnce) {
		workers.Go(func() {
			for i := next.Add(1) - 1; i < int64(count) && ctx.Err() == nil; i = next.Add(1) - 1 {
				if err := work(worker, int(i)); err != nil {
					cancel(err)
				}
			}
		})
	}
	workers.Wait()
	return context.Cause(ctx)
}

// openSessions opens count sessions.
func openSessions(ctx context.Context, address string, count int) ([]*net.TCPConn, error) {
	conns := make([]*net.TCPConn, count)
	err := each(ctx, count, func(i int) (err error) {
		conns[i], err = openSession(ctx, address, i)
		return err
	})
	if err == nil {
		return conns, nil
	}
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
	return nil, err
}

// load keeps one message under way on each of its connections.
type load struct {
	poller  int
	clients []*client
	buffer  []byte
}

// client is one connection of a load, with its message under way.
type client struct {
	socket
	frame, want []byte
	got         int // bytes of want
	began       time.Time
}

// newLoad opens the connections, each of which is to carry messages of size
// bytes.
func newLoad(ctx context.Context, address string, connections int, messages messages, size int) (*load, error) {
	conns, err := openSessions(ctx, address, connections)
	if err != nil {
		return nil, err
	}
	poller, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	if err != nil {
		return nil, err
	}
	// Longer than any answer, to show bytes that nobody sent.
	l := &load{poller: poller, buffer: make([]byte, size+64)}
	for i, conn := range conns {
		c := &client{}
		if c.socket, err = detach(conn); err != nil {
			return nil, err
		}
		if err := c.watch(poller, i); err != nil {
			return nil, err
		}
		c.frame, c.want = messages(i, size)
		l.clients = append(l.clients, c)
	}
	return l, nil
}

// run has total messages echoed and returns how long each took.
func (l *load) run(ctx context.Context, total int) ([]time.Duration, error) {
	latencies := make([]time.Duration, 0, total)
	started := 0
	start := func(c *client) error {
		started++
		c.out, c.got, c.began = c.frame, 0, time.Now()
		return c.flush()
	}
	for _, c := range l.clients[:min(total, len(l.clients))] {
		if err := start(c); err != nil {
			return nil, err
		}
	}
	events := make([]unix.EpollEvent, 256)
	deadline := time.Now().Add(patience)
	for len(latencies) < total {
		n, err := unix.EpollWait(l.poller, events, 100)
		if err != nil && err != unix.EINTR {
			return nil, err
		}
		if ctx.Err() != nil {
			return nil, ctx.Err()
		}
		if now := time.Now(); n > 0 {
			deadline = now.Add(patience)
		} else if now.After(deadline) {
			return nil, fmt.Errorf("%d of %d messages did not come back", total-len(latencies), total)
		}
		for _, event := range events[:max(n, 0)] {
			c := l.clients[event.Fd]
			done, err := c.proceed(l.buffer)
			if done {
				latencies = append(latencies, time.Since(c.began))
				if started < total {
					err = start(c)
				}
			}
			if err != nil {
				return nil, err
			}
		}
	}
	return latencies, nil
}

// proceed sends and receives what it can, and reports whether the message has
// come back whole.
func (c *client) proceed(buffer []byte) (done bool, err error) {
	if err := c.flush(); err != nil {
		return false, err
	}
	n, err := c.read(buffer)
	if err != nil || n == 0 {
		return false, err
	}
	if n > len(c.want)-c.got || !bytes.Equal(buffer[:n], c.want[c.got:c.got+n]) {
		return false, errors.New("the echo differs")
	}
	c.got += n
	return c.got == len(c.want), nil
}

// close ends the sessions as their clients would.
func (l *load) close(ctx context.Context) error {
	defer unix.Close(l.poller)
	return each(ctx, len(l.clients), func(i int) error {
		conn, err := l.clients[i].attach()
		if err != nil {
			return err
		}
		unix.Close(l.clients[i].fd)
		return closeSession(conn)
	})
}
