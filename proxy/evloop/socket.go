package evloop

import (
	"io"
	"net"
	"net/netip"

	"golang.org/x/sys/unix"
)

// Socket is a non-blocking stream socket on a loop. The zero Socket is not
// open. It remembers what it is ready for, so that no call is made in vain.
type Socket struct {
	loop    *Loop
	handler Handler
	fd      int32
	open    bool
	queued  bool // for another turn

	readable bool // bytes, an end or an error may be there to be read
	writable bool // there may be room to write
	hangup   bool // nothing will follow what is there to be read
	broken   bool // both directions are gone

	tls *TLS // what passes is encrypted; nil: it is not
}

// Handler is told when its socket may be ready for something new.
type Handler interface {
	// Ready is called on the loop's goroutine. What the socket is ready for
	// stays noted until a Read or Write finds otherwise: a handler that leaves
	// some of it unused is not called for it again, unless it asks by Again.
	Ready()
}

// Add puts the descriptor fd, which must be a non-blocking stream socket, under
// the loop's care as s, and has handler told of readiness. From then on the
// descriptor is closed by s.Close or s.Reset alone; on an error it stays the
// caller's.
func (l *Loop) Add(s *Socket, fd int, handler Handler) error {
	*s = Socket{loop: l, handler: handler, fd: int32(fd), open: true}
	if err := l.poller.add(s); err != nil {
		s.open = false
		return err
	}
	return nil
}

// Connect begins to connect a new socket s to address over TCP. prepare may set
// options on its descriptor first. The handler is told as by Add; an error of
// the connecting shows at the first Read or Write, which may be tried at once.
func (l *Loop) Connect(s *Socket, address netip.AddrPort, prepare func(fd int) error, handler Handler) error {
	fd, err := dial(address, prepare)
	if err != nil {
		return err
	}
	if err := l.Add(s, fd, handler); err != nil {
		closeDescriptor(fd)
		return err
	}
	return nil
}

// Move makes to what s was, with another handler; s is no longer open. The
// handler is called for what s has not read; what s is ready for stays noted.
func (s *Socket) Move(to *Socket, handler Handler) {
	*to = *s
	to.handler, to.queued = handler, false
	s.open = false
	if to.tls != nil {
		to.tls.carrier.socket = to
	}
	s.loop.poller.replace(s, to)
	if to.readable {
		to.Again()
	}
}

// Detach gives the descriptor to the caller, and what its bytes pass, if that is
// encrypted; s is no longer open.
func (s *Socket) Detach() (fd int, t *TLS, err error) {
	err = s.loop.poller.release(s)
	s.open = false
	return int(s.fd), s.tls, err
}

func (s *Socket) dispatch() {
	if s.open && s.tls != nil && s.writable {
		_ = s.tls.flush() // an error is seen again
	}
	if s.open {
		s.handler.Ready()
	}
}

// Again has the handler called once more, after all sockets that are ready now. A handler that takes only a bounded amount in one
// turn uses it to go on.
func (s *Socket) Again() {
	if s.open && !s.queued {
		s.queued = true
		s.loop.again = append(s.loop.again, s)
	}
}

// Open reports whether the socket is under the loop's care.
func (s *Socket) Open() bool { return s.open }

// Readable reports whether a Read may return something.
func (s *Socket) Readable() bool { return s.readable }

// Writable reports whether a Write may succeed.
func (s *Socket) Writable() bool { return s.writable }

// Broken reports whether the connection is gone in both directions, so that
// nothing written to it can arrive any more.
func (s *Socket) Broken() bool { return s.broken }

// Read reads what has arrived, at most len(p) bytes. It returns 0 and no error
// when nothing has, and io.EOF when nothing will.
func (s *Socket) Read(p []byte) (int, error) {
	switch {
	case !s.open:
		return 0, net.ErrClosed
	case s.tls != nil:
		return s.tls.read(p)
	default:
		return s.receive(p)
	}
}

// receive reads from the descriptor.
func (s *Socket) receive(p []byte) (int, error) {
	n, errno := receive(int(s.fd), p)
	switch {
	case errno == unix.EAGAIN:
		// After a hang-up the poller has nothing left to tell, so the end must
		// still be asked for.
		s.readable = s.hangup
		return 0, nil
	case errno != 0:
		s.readable = true // the error is the socket's end: it stays to be seen
		return 0, errno
	case n == 0:
		return 0, io.EOF
	}
	if n < len(p) && !s.hangup {
		s.readable = false
	}
	return n, nil
}

// Write writes as much of p as there is room for. It returns less than len(p)
// and no error when there is no more room for now.
func (s *Socket) Write(p []byte) (int, error) {
	switch {
	case !s.open: // its descriptor may be somebody else's by now
		return 0, net.ErrClosed
	case s.tls != nil:
		return s.tls.write(p)
	default:
		return s.send(p)
	}
}

// send writes to the descriptor.
func (s *Socket) send(p []byte) (int, error) {
	n, errno := send(int(s.fd), p)
	switch {
	case errno == unix.EAGAIN:
		s.writable = false
		return 0, nil
	case errno != 0:
		return 0, errno
	}
	if n < len(p) {
		s.writable = false
	}
	return n, nil
}

// Control has set change options of the socket.
func (s *Socket) Control(set func(fd int) error) error {
	if !s.open {
		return net.ErrClosed
	}
	return set(int(s.fd))
}

// CloseWrite tells the peer that nothing more will be written.
func (s *Socket) CloseWrite() error {
	switch {
	case !s.open:
		return net.ErrClosed
	case s.tls != nil:
		return s.tls.closeWrite()
	default:
		return unix.Shutdown(int(s.fd), unix.SHUT_WR)
	}
}

// Close closes the connection. What was written is still delivered, unless it is Pending.
func (s *Socket) Close() {
	if !s.open {
		return
	}
	s.loop.poller.remove(s)
	s.open = false
	s.tls = nil
	closeDescriptor(int(s.fd))
}

// Reset closes the connection by a reset: what was written and not yet
// delivered is discarded, and no state stays behind.
func (s *Socket) Reset() {
	if !s.open {
		return
	}
	_ = unix.SetsockoptLinger(int(s.fd), unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1})
	s.Close()
}
