package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// edgeDial connects to an address, with TLS if there is a configuration for that.
func edgeDial(t *testing.T, to net.Addr, secure *tls.Config) net.Conn {
	t.Helper()
	conn, err := net.Dial(to.Network(), to.String())
	if err == nil && secure != nil {
		secure = secure.Clone()
		if secure.ServerName == "" {
			secure.ServerName = "localhost"
		}
		client := tls.Client(conn, secure)
		_ = conn.SetDeadline(time.Now().Add(longest))
		err, conn = client.Handshake(), client
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { edgeClose(conn) })
	return conn
}

// edgeClose closes the connection below TLS, too, without a word.
func edgeClose(conn net.Conn) {
	if secure, ok := conn.(interface{ NetConn() net.Conn }); ok {
		conn = secure.NetConn()
	}
	_ = conn.Close()
}

// edgeReset resets a connection of TCP.
func edgeReset(conn net.Conn) {
	if secure, ok := conn.(*tls.Conn); ok {
		conn = secure.NetConn()
	}
	_ = conn.(*net.TCPConn).SetLinger(0)
	_ = conn.Close()
}

// edgePeer is an end of any kind of connection that does what the test says. It belongs
// to one goroutine.
type edgePeer struct {
	t     *testing.T
	conn  net.Conn
	br    *bufio.Reader
	masks bool
}

// client connects to the first listener.
func (e *edge) client(secure *tls.Config) *edgePeer {
	e.t.Helper()
	return e.clientBy(e.address(), secure)
}

// clientBy connects to another one.
func (e *edge) clientBy(listener net.Addr, secure *tls.Config) *edgePeer {
	e.t.Helper()
	conn := edgeDial(e.t, listener, secure)
	return &edgePeer{t: e.t, conn: conn, br: bufio.NewReader(conn), masks: true}
}

// edgeAccept takes a connection as upstream.
func edgeAccept(t *testing.T, ln net.Listener) *edgePeer {
	t.Helper()
	var conn net.Conn
	accepted := make(chan error, 1)
	go func() {
		var err error
		conn, err = ln.Accept()
		accepted <- err
	}()
	select {
	case err := <-accepted:
		if err != nil {
			t.Fatalf("no connection to upstream: %v", err)
		}
	case <-time.After(longest):
		t.Fatal("no connection to upstream")
	}
	t.Cleanup(func() { edgeClose(conn) })
	return &edgePeer{t: t, conn: conn, br: bufio.NewReader(conn)}
}

func (p *edgePeer) frame(first byte, payload string) []byte { return encode(p.masks, first, payload) }

func (p *edgePeer) send(parts ...[]byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(longest))
	if _, err := p.conn.Write(bytes.Join(parts, nil)); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// say sends a text message.
func (p *edgePeer) say(message string) { p.t.Helper(); p.send(p.frame(text, message)) }

// read returns the next frame's first byte and its payload.
func (p *edgePeer) read() (first byte, payload string, err error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	frame, err := interopReadFrame(p.br)
	if err != nil {
		return 0, "", err
	}
	if frame.Header.Masked == p.masks {
		return 0, "", fmt.Errorf("masked by the wrong side")
	}
	if frame.Header.Masked {
		for i := range frame.Payload {
			frame.Payload[i] ^= frame.Header.Mask[i%4]
		}
	}
	first = byte(frame.Header.OpCode) | frame.Header.Rsv<<4
	if frame.Header.Fin {
		first |= 0x80
	}
	return first, string(frame.Payload), nil
}

func (p *edgePeer) want(first byte, payload string) {
	p.t.Helper()
	gotFirst, got, err := p.read()
	if err != nil || gotFirst != first || got != payload {
		p.t.Fatalf("read %#x %.200q (%v), want %#x %.200q", gotFirst, got, err, first, payload)
	}
}

func (p *edgePeer) wantClose(code uint16, reason string) {
	p.t.Helper()
	p.want(closing, string([]byte{byte(code >> 8), byte(code)})+reason)
}

func (p *edgePeer) sendClose(code uint16) {
	p.t.Helper()
	p.send(p.frame(closing, string([]byte{byte(code >> 8), byte(code)})))
}

// wantEnd reads the end of the stream: of TLS too, if there is any.
func (p *edgePeer) wantEnd() {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	if n, err := io.Copy(io.Discard, p.br); n != 0 || err != nil {
		p.t.Fatalf("%d bytes and %v, want the end of the stream", n, err)
	}
}

func (p *edgePeer) request() *http.Request {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	r, err := http.ReadRequest(p.br)
	if err != nil {
		p.t.Fatalf("read request: %v", err)
	}
	return r
}

// agree accepts a handshake, and sends frames right behind.
func (p *edgePeer) agree(frames ...[]byte) {
	p.t.Helper()
	p.send(append([][]byte{[]byte(interopAnswer())}, frames...)...)
}

func (p *edgePeer) response() (*http.Response, string) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	r, err := http.ReadResponse(p.br, nil)
	if err != nil {
		p.t.Fatalf("read response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		p.t.Fatalf("read body: %v", err)
	}
	return r, string(body)
}

// wantStatus reads the head of a response, and what is behind it unless it is a 101.
func (p *edgePeer) wantStatus(want int) *http.Response {
	p.t.Helper()
	r, body := p.response()
	if r.StatusCode != want {
		p.t.Fatalf("status %d (%.200s), want %d", r.StatusCode, body, want)
	}
	return r
}

// open begins a session between a client and an upstream that the test plays.
func (e *edge) open(secure *tls.Config, ln net.Listener, lines ...string) (client, upstream *edgePeer) {
	e.t.Helper()
	client = e.client(secure)
	return client, client.open(ln, lines...)
}

// open makes a handshake, with an upstream that accepts it.
func (p *edgePeer) open(ln net.Listener, lines ...string) (upstream *edgePeer) {
	p.t.Helper()
	p.send([]byte(interopRequest(lines...)))
	upstream = edgeAccept(p.t, ln)
	upstream.request()
	upstream.agree()
	p.wantStatus(http.StatusSwitchingProtocols)
	return upstream
}

// edgeAlive checks that a session relays in both directions.
func edgeAlive(client, upstream *edgePeer) {
	client.t.Helper()
	client.say("from the client")
	upstream.want(text, "from the client")
	upstream.say("from upstream")
	client.want(text, "from upstream")
}

// edgeBye ends a session from the client's side, to its last byte.
func edgeBye(client, upstream *edgePeer) {
	client.t.Helper()
	client.sendClose(1000)
	upstream.wantClose(1000, "")
	upstream.sendClose(1000)
	edgeClose(upstream.conn)
	client.wantClose(1000, "")
	client.wantEnd()
	edgeClose(client.conn)
}

// edgeListen listens as upstream: with TLS, or on a unix socket. It returns what to write
// into upstream.url.
func edgeListen(t *testing.T, kind string, secure *tls.Config) (ln net.Listener, server string) {
	t.Helper()
	network, address := "tcp", "127.0.0.1:0"
	if kind == "unix" {
		network, address = kind, edgeSocket(t)
	}
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	switch kind {
	case "unix":
		return ln, "unix:" + address
	case "https":
		return tls.NewListener(ln, secure), "https://" + ln.Addr().String()
	}
	return ln, "http://" + ln.Addr().String()
}

// edgeSocket returns a path that is short enough for a socket's.
func edgeSocket(t *testing.T) string {
	t.Helper()
	folder, err := os.MkdirTemp("", "edge")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(folder) })
	return filepath.Join(folder, "s")
}

// edgeServe answers requests as upstream.
func edgeServe(t *testing.T, ln net.Listener, handler http.HandlerFunc, state ...func(net.Conn, http.ConnState)) {
	server := &http.Server{Handler: handler, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, 0)}
	for _, state := range state {
		server.ConnState = state
	}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close(); <-served })
}

// browser returns a client of plain HTTP, and the URL of wswarden for it.
func (e *edge) browser(secure *tls.Config) (*http.Client, *url.URL) {
	to := e.address()
	transport := &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, to.Network(), to.String())
		},
	}
	target := &url.URL{Scheme: "http", Host: "localhost"}
	if secure != nil {
		transport.TLSClientConfig, target.Scheme = secure, "https"
	}
	e.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport, Timeout: longest}, target
}
