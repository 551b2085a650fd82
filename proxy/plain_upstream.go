package proxy

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/valyala/fasthttp"
	"golang.org/x/sys/unix"

	"wswarden/proxy/upstreams"
)

const (
	// idleLimit is how many idle connections to upstream are kept, and
	// idleTimeout how long: shorter than common servers do, as Node's 5 s.
	idleLimit   = 64
	idleTimeout = 4 * time.Second

	// interimLimit bounds the 1xx responses before the real one.
	interimLimit = 100
)

var (
	errNoAnswer        = errors.New("upstream closed the connection without an answer")
	errMalformedAnswer = errors.New("upstream answered 101 to a request without Upgrade")
	errInterim         = errors.New("upstream sent too many interim responses")
)

// dialError tells a failed dial from what fails later.
type dialError struct{ error }

func (e *dialError) Unwrap() error { return e.error }

// upstreamConn is a connection to upstream. It belongs to one goroutine, but
// for what net.Conn allows.
type upstreamConn struct {
	net.Conn
	br      *bufio.Reader      // reads Conn
	address *upstreams.Address // that was dialled
	single  bool               // for one client alone: it has been named, or a handshake was refused there

	reused     bool      // has carried a request before
	persistent bool      // upstream keeps it open after the response
	idleSince  time.Time // while it is in the pool
}

var readers = sync.Pool{New: func() any { return bufio.NewReaderSize(nil, headLimit) }}

// dial opens a new connection to the first of the addresses that can be reached, behind a
// PROXY header if there is one. The error is a *dialError.
func (f *forwarder) dial(upstream *upstream, addresses []*upstreams.Address, header []byte) (*upstreamConn, error) {
	conn, address, err := upstream.connectAny(addresses, header)
	f.dials.count(dialOutcomeOf(err))
	if err != nil {
		return nil, &dialError{fmt.Errorf("dial upstream: %w", err)}
	}
	br := readers.Get().(*bufio.Reader)
	br.Reset(conn)
	return &upstreamConn{Conn: conn, br: br, address: address, single: len(header) > 0}, nil
}

// notPicked counts a request for which upstream has no address, and returns what the
// client is told.
func (f *forwarder) notPicked(err error) error {
	if open, ok := errors.AsType[*upstreams.OpenError](err); ok {
		f.dials.count(dialHeldBack)
		return &heldBack{open.RetryAfter}
	}
	f.dials.count(dialUnresolved)
	f.log.Debug("upstream's name not resolved", "error", err) // what has changed is told once
	return errUnreachable
}

// readHead reads a response's head, passing over interim responses: the client
// has got its 100 from fasthttp. 101 is final, RFC 9110 §15.2.
func (uc *upstreamConn) readHead(h *fasthttp.ResponseHeader) error {
	for n := range interimLimit {
		if err := checkAnswerHead(uc.br); err != nil {
			return fmt.Errorf("read upstream's response: %w", err)
		}
		if err := h.Read(uc.br); err == io.EOF && n == 0 { // not a single byte
			return errNoAnswer
		} else if err != nil {
			return fmt.Errorf("read upstream's response: %w", noEOF(err))
		}
		if status := h.StatusCode(); status >= 200 || status == fasthttp.StatusSwitchingProtocols {
			return nil
		}
	}
	return errInterim
}

// releaseReader gives br back and leaves the connection to the caller. Bytes
// that br still holds are lost.
func (uc *upstreamConn) releaseReader() {
	uc.br.Reset(nil)
	readers.Put(uc.br)
	uc.br = nil
}

func (uc *upstreamConn) close() {
	_ = uc.Conn.Close()
	uc.releaseReader()
}

// idleConn takes a connection to the address out of the pool; nil if there is none.
func (f *forwarder) idleConn(address *upstreams.Address) *upstreamConn {
	f.mu.Lock()
	defer f.mu.Unlock()
	for n := len(f.idle) - 1; n >= 0; n-- {
		uc := f.idle[n]
		if uc.address != address {
			continue
		}
		f.idle = slices.Delete(f.idle, n, n+1)
		if time.Since(uc.idleSince) < idleTimeout && !readable(uc.Conn) {
			return uc
		}
		uc.close()
	}
	return nil
}

// keep puts a connection into the pool, or closes it if there are enough.
func (f *forwarder) keep(uc *upstreamConn) {
	uc.reused = true
	uc.idleSince = time.Now()
	_ = uc.SetDeadline(time.Time{})
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.closed || uc.single || len(f.idle) == idleLimit {
		uc.close()
		return
	}
	f.idle = append(f.idle, uc)
	if f.expiry == nil {
		f.expiry = time.AfterFunc(idleTimeout, f.expire)
	} else if len(f.idle) == 1 {
		f.expiry.Reset(idleTimeout)
	}
}

// expire closes the connections that have been idle for too long.
func (f *forwarder) expire() {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.idle[:0]
	for _, uc := range f.idle {
		if time.Since(uc.idleSince) < idleTimeout {
			kept = append(kept, uc)
		} else {
			uc.close()
		}
	}
	clear(f.idle[len(kept):])
	if f.idle = kept; len(kept) > 0 {
		f.expiry.Reset(idleTimeout - time.Since(kept[0].idleSince))
	}
}

// close closes the idle connections; those in use follow when they end.
func (f *forwarder) close() {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.closed = true
	if f.expiry != nil {
		f.expiry.Stop()
	}
	for _, uc := range f.idle {
		uc.close()
	}
	f.idle = nil
}

// readable reports whether an idle connection has something to read, which can
// only be its end or what should not be there.
func readable(conn net.Conn) bool {
	raw := rawConn(conn)
	if raw == nil {
		return false
	}
	ready := false
	err := raw.Control(func(fd uintptr) { ready = poll(fd, unix.POLLIN) })
	return ready || err != nil
}

// untilHangup returns nil as soon as the other end has closed the connection
// or its half of it, whatever waits to be read, and an error at conn's read
// deadline or if nobody can tell. Nothing is read.
func untilHangup(conn net.Conn) error {
	raw := rawConn(conn)
	if raw == nil {
		return errors.ErrUnsupported
	}
	return raw.Read(func(fd uintptr) bool { return poll(fd, hangup) })
}

// hungUp reports whether untilHangup would return nil at once.
func hungUp(conn net.Conn) bool {
	over := false
	if raw := rawConn(conn); raw != nil {
		_ = raw.Control(func(fd uintptr) { over = poll(fd, hangup) })
	}
	return over
}

// hangup is the other end's FIN. Other systems than Linux only tell of a
// reset, so that a client that is gone is found when it is written to.
var hangup = func() int16 {
	if runtime.GOOS == "linux" {
		return 0x2000 // POLLRDHUP
	}
	return unix.POLLHUP
}()

// poll reports whether fd has one of the events, or has failed.
func poll(fd uintptr, events int16) bool {
	fds := []unix.PollFd{{Fd: int32(fd), Events: events}}
	for {
		n, err := unix.Poll(fds, 0)
		if err != unix.EINTR {
			return n > 0 || err != nil
		}
	}
}

// rawConn returns the descriptor under conn, also under TLS; nil if it has none.
func rawConn(conn net.Conn) syscall.RawConn {
	for outer, ok := conn.(interface{ NetConn() net.Conn }); ok; outer, ok = conn.(interface{ NetConn() net.Conn }) {
		conn = outer.NetConn()
	}
	if conn, ok := conn.(syscall.Conn); ok {
		if raw, err := conn.SyscallConn(); err == nil {
			return raw
		}
	}
	return nil
}
