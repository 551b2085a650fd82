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
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// numberedPause is between the last echo and a session's next burst of messages.
	numberedPause = time.Second
	// piecePause is between the pieces that some bursts are written in, which are cut
	// anywhere: at any moment, many messages and frames are under way.
	piecePause = 30 * time.Millisecond
)

// numberedLoad has numbered messages echoed in all its sessions until it is stopped.
type numberedLoad struct {
	poller  int
	clients []*numberedClient
	buffer  []byte

	// Who waits, in the order in which it is over.
	pausing, writing []*numberedClient

	turn     sync.Mutex // held while what is measured is added to the phase
	phase    *phase     // in which it belongs
	stopping atomic.Bool
	done     chan struct{} // closed when run has returned
	err      error         // of run
	lost     []error       // why sessions were, before their time
}

// phase is what is measured in a time.
type phase struct {
	messages  int
	latencies []time.Duration
}

// numberedClient is the client of one session.
type numberedClient struct {
	numbered
	messageReader
	socket
	evicts bool     // its policy undoes subscriptions
	in     []byte   // half a frame
	pieces [][]byte // of the burst, still to be written
	pongs  []byte   // for the next frame boundary
	sent   int      // messages, the burst's included
	echoed int

	due   time.Time // when it goes on
	began time.Time // when the burst did; zero: not to be measured
}

// newNumberedLoad opens the sessions, which have subscribed by then.
func newNumberedLoad(ctx context.Context, address string, sessions int, kind func(int) (word string, topics int)) (*numberedLoad, error) {
	l := &numberedLoad{clients: make([]*numberedClient, sessions), buffer: make([]byte, 64<<10), done: make(chan struct{})}
	l.phase = new(phase)
	var err error
	if l.poller, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	err = each(ctx, sessions, func(i int) error {
		word, topics := kind(i)
		c := &numberedClient{numbered: numbered{number: i, texts: ofRAC(word), topics: topics}, evicts: word == evicting}
		conn, err := openNumbered(ctx, address, word, c.numbered)
		if err != nil {
			return err
		}
		c.socket, err = detach(conn)
		l.clients[i] = c
		return errors.Join(err, c.watch(l.poller, i))
	})
	if err != nil {
		return nil, errors.Join(err, l.close(ctx))
	}
	now := time.Now()
	for i, c := range l.clients {
		c.due = now.Add(numberedPause * time.Duration(i) / time.Duration(sessions))
	}
	l.pausing = append(l.pausing, l.clients...)
	go func() {
		defer close(l.done)
		l.err = l.run(ctx)
	}()
	return l, nil
}

// openNumbered opens a session and has it subscribe.
func openNumbered(ctx context.Context, address, word string, n numbered) (*net.TCPConn, error) {
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	err = conn.SetDeadline(time.Now().Add(patience))
	if err == nil {
		err = handshake(conn, address, fmt.Sprintf("%s%s/%d", numberedPath, word, n.number))
	}
	for i := 0; i < n.topics && err == nil; i++ {
		topic, subscribe := n.topic(i)
		err = exchange(conn, appendFrame(nil, opText, n.key(), []byte(subscribe)),
			appendFrame(nil, opText, nil, fmt.Appendf(nil, `{"type":"subscribed","payload":{"pnr":%q}}`, topic)))
	}
	if err = errors.Join(err, conn.SetDeadline(time.Time{})); err != nil {
		conn.Close()
		return nil, fmt.Errorf("session %d: %w", n.number, err)
	}
	return conn.(*net.TCPConn), nil
}

func (n numbered) key() []byte {
	return binary.BigEndian.AppendUint32(nil, 0x9E3779B9*uint32(n.number+1))
}

// measure begins another phase and returns the one that has ended.
func (l *numberedLoad) measure() *phase {
	l.turn.Lock()
	defer l.turn.Unlock()
	ended := l.phase
	l.phase = new(phase)
	return ended
}

// stop has run return once all that was sent is echoed.
func (l *numberedLoad) stop() error {
	l.stopping.Store(true)
	<-l.done
	return l.err
}

func (l *numberedLoad) run(ctx context.Context) error {
	events := make([]unix.EpollEvent, 256)
	progress := time.Now()
	for {
		n, err := unix.EpollWait(l.poller, events, 2)
		if err != nil && err != unix.EINTR {
			return err
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		now := time.Now()
		l.turn.Lock()
		for _, event := range events[:max(n, 0)] {
			c := l.clients[event.Fd]
			if c.fd < 0 {
				continue
			}
			before := c.echoed
			if err := c.receive(l.buffer, l.phase); err != nil {
				l.lose(c, err)
				continue
			}
			if c.echoed > before {
				progress = now
				l.rest(c, now)
			}
		}
		l.turn.Unlock()
		for len(l.writing) > 0 && !l.writing[0].due.After(now) {
			c := l.writing[0]
			l.writing = l.writing[1:]
			l.goOn(c, now)
		}
		stopping := l.stopping.Load()
		for len(l.pausing) > 0 && !stopping && !l.pausing[0].due.After(now) {
			c := l.pausing[0]
			l.pausing = l.pausing[1:]
			if c.fd >= 0 {
				c.burst(now)
				l.goOn(c, now)
			}
		}
		if len(l.pausing)+len(l.lost) == len(l.clients) && stopping || len(l.lost) == len(l.clients) {
			return nil
		}
		if now.Sub(progress) > patience {
			return l.stuck()
		}
	}
}

// stuck tells of a session whose messages do not come back.
func (l *numberedLoad) stuck() error {
	for _, c := range l.clients {
		if c.fd >= 0 && c.echoed < c.sent {
			return fmt.Errorf("nothing was echoed for %v: session %d waits for message %d", patience, c.number, c.echoed)
		}
	}
	return fmt.Errorf("nothing was echoed for %v", patience)
}

// rest has a client pause if its burst is over.
func (l *numberedLoad) rest(c *numberedClient, now time.Time) {
	if c.echoed == c.sent && len(c.pieces) == 0 {
		c.due = now.Add(numberedPause)
		l.pausing = append(l.pausing, c)
	}
}

// goOn writes the next piece of a burst.
func (l *numberedLoad) goOn(c *numberedClient, now time.Time) {
	if c.fd < 0 {
		return
	}
	c.out = append(c.out, c.pieces[0]...)
	c.pieces = c.pieces[1:]
	if len(c.pieces) > 0 {
		c.due = now.Add(piecePause)
		l.writing = append(l.writing, c)
	} else {
		c.out, c.pongs = append(c.out, c.pongs...), nil
	}
	if err := c.flush(); err != nil {
		l.lose(c, err)
	}
}

// lose notes that a session has come to an end.
func (l *numberedLoad) lose(c *numberedClient, err error) {
	l.lost = append(l.lost, fmt.Errorf("session %d, at message %d: %w", c.number, c.echoed, err))
	unix.Close(c.fd)
	c.fd = -1
	for i, p := range l.pausing {
		if p == c {
			l.pausing = append(l.pausing[:i:i], l.pausing[i+1:]...)
			break
		}
	}
}

// burst makes the next one to three messages ready, in some pieces.
func (c *numberedClient) burst(now time.Time) {
	dice := c.dice(c.sent, forBurst)
	count, pieces := 1+dice%3, 1
	if dice/3%4 == 0 {
		pieces = 2 + dice/12%4
	}
	var b []byte
	for range count {
		if large(c.numbered, c.sent) {
			pieces = max(pieces, 3)
		}
		b = c.frames(b, c.key(), c.sent, forFragments)
		c.sent++
	}
	c.began = now
	if pieces > 1 {
		c.began = time.Time{}
	}
	for i := pieces; i > 1; i-- {
		cut := 1 + c.dice(c.sent, forPieces+i)%(len(b)-i+1)
		c.pieces = append(c.pieces, b[:cut])
		b = b[cut:]
	}
	c.pieces = append(c.pieces, b)
}

// receive reads and compares what has arrived, and writes what waits.
func (c *numberedClient) receive(buffer []byte, p *phase) error {
	if err := c.flush(); err != nil {
		return err
	}
	for {
		n, err := c.read(buffer)
		if err == io.EOF {
			return errors.New("the connection was closed")
		}
		if err != nil || n == 0 {
			return err
		}
		c.in = append(c.in, buffer[:n]...)
		rest := c.in
		for {
			header, payload := bareFrame(rest)
			if header == 0 || len(rest) < header+payload {
				break
			}
			if err := c.arrived(rest[0], rest[header:header+payload], p); err != nil {
				return err
			}
			rest = rest[header+payload:]
		}
		c.in = append(c.in[:0], rest...)
		if len(c.in) == 0 {
			c.in = nil
		}
		if n < len(buffer) {
			return nil
		}
	}
}

func (c *numberedClient) arrived(first byte, payload []byte, p *phase) error {
	switch first & 0xF {
	case opPing:
		pong := appendFrame(nil, opPong, c.key(), payload)
		if len(c.pieces) > 0 {
			c.pongs = append(c.pongs, pong...)
			return nil
		}
		c.out = append(c.out, pong...)
		return c.flush()
	case opClose:
		return fmt.Errorf("closed with %q", payload)
	case opPong:
		return errors.New("a pong came that nobody asked for")
	}
	opcode, message, ok := c.add(first, payload)
	if !ok {
		return nil
	}
	wantOpcode, want := c.message(c.echoed)
	if c.echoed == c.sent || opcode != wantOpcode || !bytes.Equal(message, want) {
		return fmt.Errorf("message %d is due, %.80q came", c.echoed, message)
	}
	c.echoed++
	p.messages++
	if !c.began.IsZero() && len(want) < 1000 {
		p.latencies = append(p.latencies, time.Since(c.began))
	}
	return nil
}

// topicsLeft asks upstream which of its topics a client is subscribed to still.
func (c *numberedClient) topicsLeft() (string, error) {
	conn, err := c.attach()
	if err != nil {
		return "", err
	}
	if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
		return "", err
	}
	if _, err := conn.Write(appendFrame(nil, opText, c.key(), []byte(topicsLeft))); err != nil {
		return "", err
	}
	var b []byte
	for {
		for {
			header, payload := bareFrame(b)
			if header == 0 || len(b) < header+payload {
				break
			}
			if b[0] == finBit|opText {
				return string(b[header : header+payload]), nil
			}
			b = b[header+payload:] // a ping; the session ends soon
		}
		part := make([]byte, 4096)
		n, err := conn.Read(part)
		if err != nil {
			return "", err
		}
		b = append(b, part[:n]...)
	}
}

// close ends the sessions as their clients would.
func (l *numberedLoad) close(ctx context.Context) error {
	defer unix.Close(l.poller)
	return each(ctx, len(l.clients), func(i int) error {
		c := l.clients[i]
		if c == nil || c.fd < 0 {
			return nil
		}
		conn, err := c.attach()
		if err != nil {
			return err
		}
		unix.Close(c.fd)
		return closeSession(conn)
	})
}

// abandon closes what is left of the sessions.
func (l *numberedLoad) abandon() {
	unix.Close(l.poller)
	for _, c := range l.clients {
		if c != nil && c.fd >= 0 {
			unix.Close(c.fd)
		}
	}
}

// wantTopics has each client that evicts be subscribed to the newest topics only, so
// many, and each other one to all that it ever was.
func (l *numberedLoad) wantTopics(ctx context.Context, evicting int) error {
	return each(ctx, len(l.clients), func(i int) error {
		c := l.clients[i]
		if c.topics == 0 {
			return nil
		}
		first := 0
		if c.evicts {
			first = c.topics - evicting
		}
		var want []string
		for i := first; i < c.topics; i++ {
			topic, _ := c.topic(i)
			want = append(want, topic)
		}
		got, err := c.topicsLeft()
		if err == nil && got != strings.Join(want, " ") {
			err = fmt.Errorf("session %d is subscribed to %q, want %q", c.number, got, want)
		}
		return err
	})
}
