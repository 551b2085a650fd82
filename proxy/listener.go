package proxy

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"time"

	"wswarden/config"
	"wswarden/proxy/evloop"
)

// listener is one address that clients come by. It outlasts a shortage of descriptors or
// memory: fasthttp would take it for its end. Connections wait in the backlog until
// sessions end.
type listener struct {
	net.Listener
	configured string // the address as the configuration has it
	raw        syscall.RawConn
	log        *slog.Logger
	edges      *edges
	settings   atomic.Pointer[listenerSettings] // those in use
}

// listenerSettings are what can change about a listener while it is open.
type listenerSettings struct {
	config.Listener
	trusted []netip.Prefix // who may send a PROXY header
	secure  *certificates  // nil: without TLS
}

// use puts settings into use, and returns those before; nil: there were none.
func (l *listener) use(s *listenerSettings) *listenerSettings {
	l.edges.waits.WithLabelValues(s.Known()) // counted from zero
	before := l.settings.Swap(s)
	if s.secure != nil {
		expiry := l.edges.expiry.WithLabelValues(s.Known())
		s.secure.follow(func(c *tls.Config) {
			if l.settings.Load() == s { // handshakes may be under way with those before
				expiry.Set(float64(c.Certificates[0].Leaf.NotAfter.Unix()))
			}
		})
	}
	return before
}

const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 500 * time.Millisecond
)

// Accept returns the next connection.
func (l *listener) Accept() (net.Conn, error) {
	for pause := shortestPause; ; {
		conn, err := l.Listener.Accept()
		switch {
		case err == nil:
			if conn := l.prepare(conn); conn != nil {
				return conn, nil
			}
			continue
		case !isShortage(err):
			return nil, err
		}
		l.edges.waits.WithLabelValues(l.settings.Load().Known()).Inc()
		if pause == shortestPause {
			l.log.Error("connections have to wait", "listener", l.Addr().String(), "error", err)
		}
		time.Sleep(pause)
		pause = min(2*pause, longestPause)
	}
}

// prepare makes what is asked of an accepted connection part of it; nil: it is closed, as
// it may not come by this listener.
func (l *listener) prepare(conn net.Conn) net.Conn {
	settings := l.settings.Load()
	client := &clientConn{Conn: conn, listener: l, headed: settings.ProxyProtocol}
	if client.headed && !isTrusted(addressOf(conn.RemoteAddr()), settings.trusted) && !isUnix(conn.RemoteAddr()) {
		l.edges.refuseHeader(l, headerUntrusted, conn.RemoteAddr(), errors.New("not in trusted_proxies"))
		_ = conn.Close()
		return nil
	}
	if settings.secure != nil {
		return &secureConn{TLS: evloop.Server(client, settings.secure.server), client: client}
	}
	return client
}

// addressOf returns an address of TCP; another one is not valid.
func addressOf(addr net.Addr) netip.Addr {
	if tcp, ok := addr.(*net.TCPAddr); ok {
		return tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	return netip.Addr{}
}

func isUnix(addr net.Addr) bool {
	_, ok := addr.(*net.UnixAddr)
	return ok
}

// isShortage reports whether accept(2), or a dial, may succeed once sessions have ended.
func isShortage(err error) bool {
	if errors.Is(err, errNoPort) {
		return true
	}
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
