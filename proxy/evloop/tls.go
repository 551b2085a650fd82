package evloop

import (
	"crypto/tls"
	"errors"
	"net"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// TLS is a connection that is encrypted. Its handshake is made by a goroutine, over a
// net.Conn, as by any tls.Conn; from Socket.Secure on it belongs to a loop, where nothing
// of it blocks and no goroutine is left.
//
// That works because a read that fails for the moment leaves a tls.Conn as it was, with
// all that it has read: the next one goes on from there.
type TLS struct {
	*tls.Conn
	carrier carrier
}

// Server returns the server's side of TLS over conn.
func Server(conn net.Conn, config *tls.Config) *TLS {
	t := &TLS{carrier: carrier{Conn: conn}}
	t.Conn = tls.Server(&t.carrier, config)
	return t
}

// Client returns the client's side of TLS over conn.
func Client(conn net.Conn, config *tls.Config) *TLS {
	t := &TLS{carrier: carrier{Conn: conn}}
	t.Conn = tls.Client(&t.carrier, config)
	return t
}

// Carry has the connection go on over conn, in place of the one or the socket that it was
// over so far. What did not fit into that is written to conn first.
func (t *TLS) Carry(conn net.Conn) error {
	rest := t.carrier.out
	t.carrier = carrier{Conn: conn}
	if len(rest) == 0 {
		return nil
	}
	_, err := conn.Write(rest)
	return err
}

// carrier is what a TLS connection's records come by: a net.Conn, or a socket.
type carrier struct {
	net.Conn         // nil once it is a socket
	socket   *Socket // nil before that

	out      []byte // records on their way, which may lie in the loop's memory
	borrowed bool   // they do
	spent    int    // bytes of records that the present read has taken
	drained  bool   // the socket has nothing to be read until it says so
	ending   bool   // what is in out is the last
}

// recordSize is the most that one record holds (RFC 8446 §5.1).
const recordSize = 16 << 10

const (
	// readBudget is how many bytes of records one read takes: records may hold nothing
	// but what is meant for TLS itself, of which a peer can send any number.
	readBudget = 128 << 10
	// mostAnswers is how many bytes of records may wait for a peer that is read from. A
	// write leaves one record; what is more are answers that the peer asks for and does
	// not take.
	mostAnswers = 4 * recordSize
)

var errAnswersNotTaken = errors.New("peer asks for more than it takes")

// errLater is what a read of a socket that has nothing to be read fails with.
var errLater net.Error = later{}

type later struct{}

func (later) Error() string   { return "nothing to be read yet" }
func (later) Timeout() bool   { return true }
func (later) Temporary() bool { return true } // or the tls.Conn would not go on behind it

// Read reads records.
func (c *carrier) Read(p []byte) (int, error) {
	if c.socket == nil {
		return c.Conn.Read(p)
	}
	if c.drained || c.spent >= readBudget {
		return 0, errLater
	}
	n, err := c.socket.receive(p)
	c.spent += n
	c.drained = n < len(p) && !c.socket.hangup
	if n == 0 && err == nil {
		c.drained = true
		err = errLater
	}
	return n, err
}

// Write takes records. A socket's are kept, and leave by flush.
func (c *carrier) Write(p []byte) (int, error) {
	if c.socket == nil {
		return c.Conn.Write(p)
	}
	if len(c.out) == 0 {
		c.out, c.borrowed = c.socket.loop.records[:0], true
	}
	c.out = append(c.out, p...)
	return len(p), nil
}

// flush writes records to the socket, and ends the stream behind the last.
func (c *carrier) flush() error {
	s := c.socket
	if len(c.out) > 0 {
		n, err := s.send(c.out)
		switch {
		case err != nil || n == len(c.out):
			c.giveBack()
			c.out = nil
			if err != nil {
				c.ending = false
				return err
			}
		case c.borrowed: // another one may need the loop's
			c.giveBack()
			c.out = append([]byte(nil), c.out[n:]...)
		default:
			c.out = c.out[:copy(c.out, c.out[n:])]
		}
		c.borrowed = false
	}
	if c.ending && len(c.out) == 0 {
		c.ending = false
		return unix.Shutdown(int(s.fd), unix.SHUT_WR)
	}
	return nil
}

// giveBack gives the loop's memory back, unless it has grown beyond what is usual.
func (c *carrier) giveBack() {
	if c.borrowed && cap(c.out) <= mostAnswers {
		c.socket.loop.records = c.out[:0]
	}
}

// SyscallConn is there for those who look for the descriptor below the encryption, while
// there is a net.Conn.
func (c *carrier) SyscallConn() (syscall.RawConn, error) {
	if conn, ok := c.Conn.(syscall.Conn); ok {
		return conn.SyscallConn()
	}
	return nil, errors.ErrUnsupported
}

// A socket has no deadlines, as nothing waits for it.

func (c *carrier) SetDeadline(t time.Time) error {
	if c.socket != nil {
		return nil
	}
	return c.Conn.SetDeadline(t)
}

func (c *carrier) SetReadDeadline(t time.Time) error {
	if c.socket != nil {
		return nil
	}
	return c.Conn.SetReadDeadline(t)
}

func (c *carrier) SetWriteDeadline(t time.Time) error {
	if c.socket != nil {
		return nil
	}
	return c.Conn.SetWriteDeadline(t)
}

// Secure has what is read and written pass t, whose handshake is complete and whose
// net.Conn had this descriptor. The handler is called, as something may have been read
// already.
func (s *Socket) Secure(t *TLS) {
	s.tls = t
	t.carrier = carrier{socket: s}
	s.readable = true
	s.Again()
}

// read is Socket.Read. It goes on until nothing is left: what a tls.Conn has read ahead
// shows to nobody.
func (t *TLS) read(p []byte) (n int, err error) {
	s := t.carrier.socket
	t.carrier.drained, t.carrier.spent = false, 0
	if len(t.carrier.out) > mostAnswers {
		return 0, errAnswersNotTaken
	}
	for n < len(p) && err == nil {
		var m int
		m, err = t.Conn.Read(p[n:])
		n += m
	}
	if flushErr := t.flush(); flushErr != nil && err == errLater { // an answer to what the peer says of its keys
		err = flushErr
	}
	s.readable = err != errLater || s.hangup
	if err == errLater && t.carrier.spent >= readBudget {
		s.readable = true
		s.Again() // whoever reads nothing would not ask
	}
	if n > 0 || err == errLater {
		err = nil // another one is seen again
	}
	return n, err
}

// write is Socket.Write.
func (t *TLS) write(p []byte) (n int, err error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	for n < len(p) && len(t.carrier.out) == 0 {
		piece := p[n:min(len(p), n+recordSize)]
		if _, err := t.Conn.Write(piece); err != nil {
			return n, err
		}
		if err := t.flush(); err != nil {
			return n, err
		}
		n += len(piece)
	}
	return n, nil
}

func (t *TLS) flush() error { return t.carrier.flush() }

// Pending reports whether something that Write or CloseWrite has taken still waits for
// room. Close discards it.
func (s *Socket) Pending() bool {
	return s.tls != nil && (len(s.tls.carrier.out) > 0 || s.tls.carrier.ending)
}

// closeWrite is Socket.CloseWrite: the stream of records has an end of its own (RFC 8446
// §6.1).
func (t *TLS) closeWrite() error {
	t.carrier.ending = true
	_ = t.CloseWrite()
	return t.flush()
}
