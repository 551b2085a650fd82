package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/pires/go-proxyproto"
	"github.com/valyala/fasthttp"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/evloop"
	"wswarden/proxy/upstreams"
)

// upstream is the server in front of which one configuration stands.
type upstream struct {
	config.Upstream
	pool   *upstreams.Pool
	secure *certificates // nil: no server has TLS
	tune   func(fd int) error
	edges  *edges
}

// newUpstream makes ready what a valid configuration names, but for the pool: see
// Server.use.
func newUpstream(cfg *config.Config, edges *edges, log *slog.Logger) (*upstream, error) {
	u := &upstream{Upstream: cfg.Upstream, edges: edges}
	u.tune = func(fd int) error { return tuneSocket(fd, cfg, spreadKeepIdle()) }
	secure := false
	for _, text := range cfg.Upstream.Servers() {
		server, _ := config.ServerOf(text)
		secure = secure || server.TLS
	}
	if !secure {
		return u, nil
	}
	load := func() (*tls.Config, error) {
		certs, roots, err := cfg.Upstream.TLS.Load()
		if err != nil {
			return nil, err
		}
		return &tls.Config{
			Certificates:                certs,
			RootCAs:                     roots,
			ServerName:                  cfg.Upstream.TLS.ServerName,
			MinVersion:                  tls.VersionTLS12,
			NextProtos:                  protocols,
			ClientSessionCache:          tls.NewLRUClientSessionCache(0), // sessions are of the certificate that began them
			DynamicRecordSizingDisabled: true,
		}, nil
	}
	var err error
	u.secure, err = newCertificates(log, load, cfg.Upstream.TLS.CA, cfg.Upstream.TLS.Cert, cfg.Upstream.TLS.Key)
	return u, err
}

// tlsFor returns how to speak to a server that has TLS.
func (u *upstream) tlsFor(server config.Server) *tls.Config {
	c := u.secure.current().Clone()
	if host, _, err := net.SplitHostPort(server.Address); err == nil && c.ServerName == "" {
		c.ServerName = host
	}
	return c
}

// connect makes a connection to an address of upstream's, with all that comes ahead of a
// request: header is a PROXY header, perhaps empty. It is a *net.TCPConn, a *net.UnixConn
// or an *evloop.TLS.
func (u *upstream) connect(ctx context.Context, to *upstreams.Address, header []byte) (net.Conn, error) {
	dialer := net.Dialer{KeepAlive: -1}
	network, address := to.Target()
	if network == "tcp" {
		dialer.Control = func(_, _ string, c syscall.RawConn) (err error) {
			controlErr := c.Control(func(fd uintptr) { err = u.tune(int(fd)) })
			return errors.Join(controlErr, err)
		}
	}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	if len(header) > 0 {
		if _, err := conn.Write(header); err != nil {
			return nil, errors.Join(err, conn.Close())
		}
	}
	if !to.Server.TLS {
		return conn, nil
	}
	secure := evloop.Client(conn, u.tlsFor(to.Server))
	err = secure.HandshakeContext(ctx)
	if !errors.Is(err, context.Canceled) { // for the client's sake
		u.edges.secured(sideUpstream, err == nil)
	}
	if err != nil {
		_ = conn.Close()
		return nil, fmt.Errorf("TLS: %w", err)
	}
	return secure, nil
}

// Pauses between attempts at a unix socket whose queue is full.
const (
	leastRetryPause = 5 * time.Millisecond
	mostRetryPause  = 200 * time.Millisecond
)

// connectPatiently is connect, and goes on trying while a unix socket's queue is full.
func (u *upstream) connectPatiently(ctx context.Context, to *upstreams.Address, header []byte) (net.Conn, error) {
	for pause := leastRetryPause; ; pause = min(2*pause, mostRetryPause) {
		conn, err := u.connect(ctx, to, header)
		if !isFull(err) {
			return conn, wantOfPorts(err, to)
		}
		select {
		case <-ctx.Done():
			return nil, err
		case <-time.After(pause/2 + rand.N(pause)):
		}
	}
}

// isFull reports whether a unix socket has as many waiting as it takes.
func isFull(err error) bool { return errors.Is(err, syscall.EAGAIN) }

// stickyKey returns what decides on a request's address; empty: nothing.
func (u *upstream) stickyKey(ctx *fasthttp.RequestCtx, head *requestHead, from peer) string {
	if u.Sticky.From == "" {
		return ""
	}
	id, _ := identityOf(ctx, head, from, &policies.Identity{From: policies.IdentitySource(u.Sticky.From), Name: u.Sticky.Name})
	if !id.known() {
		return ""
	}
	return id.key()
}

// proxyHeader returns what tells upstream of the client's connection; empty: nothing.
func (u *upstream) proxyHeader(ctx *fasthttp.RequestCtx) []byte {
	if u.ProxyProtocol == "" {
		return nil
	}
	from, to := ctx.RemoteAddr(), ctx.LocalAddr()
	if client := addressOf(from); client.IsValid() {
		if own := addressOf(to); client.Is4() != own.Is4() || !own.IsValid() { // it came by one more proxy
			nowhere := netip.IPv6Unspecified()
			if client.Is4() {
				nowhere = netip.IPv4Unspecified()
			}
			to = net.TCPAddrFromAddrPort(netip.AddrPortFrom(nowhere, 0))
		}
	}
	text, err := proxyproto.HeaderProxyFromAddrs(u.proxyVersion(), from, to).Format()
	if err != nil { // of a unix socket, which version 1 does not know
		text, _ = proxyproto.HeaderProxyFromAddrs(u.proxyVersion(), nil, nil).Format()
	}
	return text
}

// errHeldBack is what a client is told while no address of upstream's answers.
var errHeldBack = &refusal{fasthttp.StatusServiceUnavailable, "upstream is not reachable, and is left alone for now"}

// heldBack is a refusal by upstream's breaker.
type heldBack struct{ wait time.Duration }

func (e *heldBack) Error() string { return errHeldBack.reason }
func (e *heldBack) Unwrap() error { return errHeldBack }

// tellWhen tells a client that is refused when to come back, if that is known.
func tellWhen(ctx *fasthttp.RequestCtx, err error) {
	if e, ok := errors.AsType[*heldBack](err); ok {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, retryWithin(e.wait))
	}
}

// connectAny connects to the first of the addresses that can be reached.
func (u *upstream) connectAny(addresses []*upstreams.Address, header []byte) (conn net.Conn, at *upstreams.Address, err error) {
	until := time.Now().Add(u.DialTimeout)
	for i, address := range addresses {
		limit := time.Until(until) / time.Duration(len(addresses)-i)
		if limit <= 0 { // no address is to blame
			return nil, nil, errors.Join(err, context.DeadlineExceeded)
		}
		ctx, cancel := context.WithTimeout(context.Background(), limit)
		conn, err = u.connectPatiently(ctx, address, header)
		cancel()
		if err == nil {
			address.Connected()
			return conn, address, nil
		}
		if !isShortage(err) {
			address.Failed(err)
		}
	}
	return nil, nil, err
}

// reach reports whether an address can be connected to. A server with PROXY headers is
// told that it is nobody's connection.
func (u *upstream) reach() error {
	addresses, err := u.pool.Pick("", u.DialTimeout)
	if err != nil {
		return err
	}
	var header []byte
	if u.ProxyProtocol != "" {
		header, _ = proxyproto.HeaderProxyFromAddrs(u.proxyVersion(), nil, nil).Format()
	}
	conn, _, err := u.connectAny(addresses, header)
	if err == nil {
		_ = conn.Close()
	}
	return err
}

func (u *upstream) proxyVersion() byte {
	if u.ProxyProtocol == config.ProxyV2 {
		return 2
	}
	return 1
}
