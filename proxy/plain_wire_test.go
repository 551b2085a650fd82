package proxy

import (
	"bufio"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"wswarden/config"
	"wswarden/proxy/upstreams"
)

// patience is how long a test waits for what must happen.
const patience = 10 * time.Second

// startPlain serves plain HTTP in front of upstream and returns its address.
func startPlain(t testing.TB, upstream string, responseTimeout time.Duration, trusted ...netip.Prefix) string {
	t.Helper()
	f := forwarderTo(upstream, patience, responseTimeout, prometheus.NewRegistry(), trusted...)
	return startServer(t, f, f.serve)
}

func startServer(t testing.TB, f *forwarder, handler fasthttp.RequestHandler, options ...func(*fasthttp.Server)) string {
	t.Helper()
	server := &fasthttp.Server{Handler: handler, Logger: silent{}}
	configureServer(server)
	server.ErrorHandler = f.refuse
	for _, option := range options {
		option(server)
	}
	ln := listen(t)
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	t.Cleanup(func() {
		f.close()
		_ = server.Shutdown()
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return ln.Addr().String()
}

type silent struct{}

func (silent) Printf(string, ...any) {}

func listen(t testing.TB) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// startUpstream calls serve with every connection, and counts them from 1.
func startUpstream(t testing.TB, serve func(c *wire, nth int)) string {
	t.Helper()
	ln := listen(t)
	var running sync.WaitGroup
	running.Go(func() {
		for nth := 1; ; nth++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			c := newWire(t, conn)
			running.Go(func() {
				defer conn.Close()
				serve(c, nth)
			})
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		running.Wait()
	})
	return ln.Addr().String()
}

// wire is one end of a connection on which every byte counts.
type wire struct {
	t testing.TB
	*net.TCPConn
	br *bufio.Reader
}

func newWire(t testing.TB, conn net.Conn) *wire {
	_ = conn.SetDeadline(time.Now().Add(patience))
	return &wire{t, conn.(*net.TCPConn), bufio.NewReader(conn)}
}

func dialWire(t testing.TB, address string) *wire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return newWire(t, conn)
}

func (c *wire) send(s string) {
	c.t.Helper()
	if _, err := io.WriteString(c, s); err != nil {
		c.t.Errorf("send %.40q: %v", s, err)
	}
}

// expect reads exactly want.
func (c *wire) expect(want string) {
	c.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(c.br, got)
	if err != nil || string(got) != want {
		c.t.Errorf("got %q (%v), want %q", got[:n], err, want)
	}
}

// head reads up to the empty line and returns it all, or what came before err.
func (c *wire) head() (string, error) {
	var head strings.Builder
	for {
		line, err := c.br.ReadString('\n')
		head.WriteString(line)
		if err != nil || line == "\r\n" {
			return head.String(), err
		}
	}
}

// mustHead reads a head that starts with prefix.
func (c *wire) mustHead(prefix string) string {
	c.t.Helper()
	head, err := c.head()
	if err != nil || !strings.HasPrefix(head, prefix) {
		c.t.Errorf("got head %q (%v), want %q…", head, err, prefix)
	}
	return head
}

// expectEnd reads nothing but the end, or a reset.
func (c *wire) expectEnd() {
	c.t.Helper()
	rest, err := io.ReadAll(c.br)
	if len(rest) > 0 || isTimeout(err) {
		c.t.Errorf("got %q (%v), want the end of the connection", rest, err)
	}
}

func isTimeout(err error) bool {
	timeout, ok := err.(net.Error)
	return ok && timeout.Timeout()
}

// forwarderTo returns a forwarder to the upstream at an address.
func forwarderTo(address string, dialTimeout, responseTimeout time.Duration, registry prometheus.Registerer, trusted ...netip.Prefix) *forwarder {
	c := &setup{Config: &config.Config{
		Upstream:       config.Upstream{URL: "http://" + address, DialTimeout: dialTimeout, HandshakeTimeout: responseTimeout},
		TrustedProxies: trusted,
	}}
	c.upstream, _ = newUpstream(c.Config, nil, nil)
	c.upstream.pool = upstreams.New(c.Config.Upstream, nil, upstreams.Options{})
	return newForwarder(func() *setup { return c }, slog.New(slog.DiscardHandler), registry)
}

// dialOne opens a connection to upstream.
func (f *forwarder) dialOne() (*upstreamConn, error) {
	u := f.setup().upstream
	addresses, err := u.pool.Pick("", u.DialTimeout)
	if err != nil {
		return nil, err
	}
	return f.dial(u, addresses, nil)
}
