package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/proxy/evloop"
)

// clientConn is a client's connection as long as it is HTTP's: over TCP or a unix socket.
type clientConn struct {
	net.Conn
	listener *listener

	headed        bool     // a PROXY header comes first, and has yet to be read
	remote, local net.Addr // what it says; nil: nothing
	early         []byte   // read together with it

	admitted *admission // to a session that has not taken it over yet
	closed   func()     // is called by Close; nil: nobody wants to know
	last     bool       // what is written next is the last, and is followed by Close
	detached bool       // it is a session's
	heard    bool       // something was read
}

// secureConn is one with TLS.
type secureConn struct {
	*evloop.TLS
	client *clientConn
}

// clientOf returns the connection that a request has come by; nil if it is none of a
// listener's.
func clientOf(conn net.Conn) *clientConn {
	switch c := conn.(type) {
	case *clientConn:
		return c
	case *secureConn:
		return c.client
	}
	return nil
}

// certificateOf returns what a client's certificate, which is valid, says of it; nil if
// there is none.
func certificateOf(ctx *fasthttp.RequestCtx) *tls.ConnectionState {
	if c, ok := ctx.Conn().(*secureConn); ok {
		state := c.ConnectionState()
		if len(state.PeerCertificates) > 0 {
			return &state
		}
	}
	return nil
}

// Read reads what comes behind a PROXY header.
func (c *clientConn) Read(p []byte) (int, error) {
	if c.headed {
		if err := c.readHeader(); err != nil {
			return 0, err
		}
	}
	if len(c.early) > 0 {
		c.heard = true
		n := copy(p, c.early)
		if c.early = c.early[n:]; len(c.early) == 0 {
			c.early = nil
		}
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.heard = c.heard || n > 0
	return n, err
}

// readHeader reads the PROXY header that a connection has to begin with.
func (c *clientConn) readHeader() error {
	br := bufio.NewReader(c.Conn)
	if _, err := br.Peek(1); err != nil { // of those who only look whether somebody listens
		_ = c.Conn.Close()
		return err
	}
	header, err := proxyproto.Read(br)
	if err != nil {
		if !errors.Is(err, io.EOF) && !timedOut(err) {
			c.listener.edges.refuseHeader(c.listener, headerMalformed, c.Conn.RemoteAddr(), err)
		}
		_ = c.Conn.Close()
		return err
	}
	c.headed = false
	if from, tcp := header.SourceAddr.(*net.TCPAddr); tcp && header.Command.IsProxy() {
		c.remote, c.local = from, header.DestinationAddr
	}
	if n := br.Buffered(); n > 0 {
		c.early, _ = br.Peek(n)
	}
	return nil
}

// RemoteAddr returns the client's address, as a PROXY header says it.
func (c *clientConn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.Conn.RemoteAddr()
}

// LocalAddr returns the address that the client has connected to, as a PROXY header says
// it: that is of the same family as the client's.
func (c *clientConn) LocalAddr() net.Addr {
	if c.local != nil {
		return c.local
	}
	return c.Conn.LocalAddr()
}

// Write has the last bytes leave together with the end of the stream.
func (c *clientConn) Write(b []byte) (n int, err error) {
	if c.last {
		n = c.writeLast(b)
	}
	if n < len(b) {
		var more int
		more, err = c.Conn.Write(b[n:])
		n += more
	}
	return n, err
}

// Close gives back what was admitted, too.
func (c *clientConn) Close() error {
	if c.closed != nil {
		c.closed()
	}
	if c.admitted != nil {
		c.admitted.leave()
		c.admitted.passed()
		c.admitted.trace.Refused(time.Now(), 0, policies.ClientLost.String())
	}
	return c.Conn.Close()
}

// Handshake is called by fasthttp, once, before it reads.
func (c *secureConn) Handshake() error {
	err := c.TLS.Handshake()
	if err == nil {
		c.client.listener.edges.secured(sideClient, true)
	}
	return err
}

// Close does nothing once the connection is a session's, of whose stream it would be a
// part.
func (c *secureConn) Close() error {
	if c.client.detached {
		return nil
	}
	if c.client.heard && !c.ConnectionState().HandshakeComplete {
		c.client.listener.edges.secured(sideClient, false)
	}
	return c.TLS.Close()
}

// SyscallConn returns the descriptor.
func (c *clientConn) SyscallConn() (syscall.RawConn, error) {
	return c.Conn.(syscall.Conn).SyscallConn()
}

// SetLinger does nothing on a unix socket, which does not know resets.
func (c *clientConn) SetLinger(seconds int) error {
	if conn, ok := c.Conn.(*net.TCPConn); ok {
		return conn.SetLinger(seconds)
	}
	return nil
}

// CloseWrite ends the stream to the client.
func (c *clientConn) CloseWrite() error {
	return c.Conn.(interface{ CloseWrite() error }).CloseWrite()
}

// SetLinger is that of the connection below.
func (c *secureConn) SetLinger(seconds int) error { return c.client.SetLinger(seconds) }

// CloseWrite ends the stream of records, and the one below.
func (c *secureConn) CloseWrite() error {
	return errors.Join(c.TLS.CloseWrite(), c.client.CloseWrite())
}
