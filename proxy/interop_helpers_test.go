package proxy_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wswarden/config"
	"wswarden/proxy"
)

// interopPatience bounds every wait. A test that meets it has failed.
const interopPatience = 60 * time.Second

// interopWarden starts wswarden in front of upstream for the time of the test
// and returns the address that clients connect to. adjust, which may be nil,
// changes the configuration.
func interopWarden(t *testing.T, upstream string, adjust func(*config.Config)) string {
	t.Helper()
	cfg := config.Default()
	cfg.Listeners = []config.Listener{{Address: "127.0.0.1:0"}}
	cfg.Upstream.URL = "http://" + upstream
	cfg.Admin.Address = ""
	cfg.Drain.Spread = 0
	cfg.Drain.Timeout = 5 * time.Second
	cfg.Policies[0].Release.Grace = 500 * time.Millisecond
	if adjust != nil {
		adjust(cfg)
	}
	server, err := proxy.New(cfg, slog.New(slog.DiscardHandler), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := interopWait(t, ended, "the end of wswarden"); err != nil {
			t.Errorf("wswarden ended with: %v", err)
		}
	})
	return server.Addrs()[0].String()
}

// interopWait returns what comes out of c.
func interopWait[T any](t *testing.T, c <-chan T, what string) T {
	t.Helper()
	var v T
	select {
	case v = <-c:
	case <-time.After(interopPatience):
		t.Fatalf("waited in vain for %s", what)
	}
	return v
}

// interopListen opens a listener for the time of the test.
func interopListen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// interopWire is one end of a connection on which a test speaks by itself, byte
// by byte or frame by frame.
type interopWire struct {
	t *testing.T
	*net.TCPConn
	r    *bufio.Reader
	role ws.State // what this end is: ws.StateClientSide masks
}

func newInteropWire(t *testing.T, conn net.Conn, role ws.State) *interopWire {
	_ = conn.SetDeadline(time.Now().Add(interopPatience))
	t.Cleanup(func() { _ = conn.Close() })
	return &interopWire{t: t, TCPConn: conn.(*net.TCPConn), r: bufio.NewReader(conn), role: role}
}

func interopDial(t *testing.T, address string) *interopWire {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return newInteropWire(t, conn, ws.StateClientSide)
}

func interopAccept(t *testing.T, ln net.Listener) *interopWire {
	t.Helper()
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(interopPatience))
	conn, err := ln.Accept()
	if err != nil {
		t.Fatalf("accept as upstream: %v", err)
	}
	return newInteropWire(t, conn, ws.StateServerSide)
}

// text writes s as it is.
func (w *interopWire) text(s string) {
	w.t.Helper()
	if _, err := io.WriteString(w, s); err != nil {
		w.t.Fatalf("write: %v", err)
	}
}

// send writes frames, masked if this end is a client.
func (w *interopWire) send(frames ...ws.Frame) {
	w.t.Helper()
	w.text(string(interopBytes(w.role, frames...)))
}

// interopReadFrame reads one frame of a length that a test may expect.
func interopReadFrame(r io.Reader) (f ws.Frame, err error) {
	if f.Header, err = ws.ReadHeader(r); err != nil {
		return f, err
	}
	if f.Header.Length > 128<<20 {
		return f, fmt.Errorf("frame of %d bytes", f.Header.Length)
	}
	f.Payload = make([]byte, f.Header.Length)
	_, err = io.ReadFull(r, f.Payload)
	return f, err
}

// interopBytes returns frames as role sends them.
func interopBytes(role ws.State, frames ...ws.Frame) []byte {
	var b bytes.Buffer
	for _, f := range frames {
		if role == ws.StateClientSide {
			f = ws.MaskFrame(f)
		}
		ws.MustWriteFrame(&b, f)
	}
	return b.Bytes()
}

// frame reads a frame and unmasks it. Its mask must be there if, and only if, a
// client has sent it.
func (w *interopWire) frame() ws.Frame {
	w.t.Helper()
	f, err := interopReadFrame(w.r)
	if err != nil {
		w.t.Fatalf("read frame: %v", err)
	}
	if f.Header.Masked != w.role.ServerSide() {
		w.t.Fatalf("frame masked: %v, read as %v", f.Header.Masked, w.role)
	}
	return ws.UnmaskFrameInPlace(f)
}

// want reads a frame and compares it.
func (w *interopWire) want(opcode ws.OpCode, payload string) {
	w.t.Helper()
	f := w.frame()
	if f.Header.OpCode != opcode || string(f.Payload) != payload {
		w.t.Fatalf("got a frame with opcode %x and payload %.40q, want %x and %.40q", f.Header.OpCode, f.Payload, opcode, payload)
	}
}

// wantEnd reads the end of the connection, which must come without a reset and
// with nothing before it.
func (w *interopWire) wantEnd() {
	w.t.Helper()
	if rest, err := io.ReadAll(w.r); err != nil || len(rest) > 0 {
		w.t.Fatalf("instead of the end of the connection: %d bytes (%.40q), error %v", len(rest), rest, err)
	}
}

// interopKey is the key of the handshakes that tests make, taken from RFC 6455
// §1.3, and interopProof is the answer to it.
const (
	interopKey   = "dGhlIHNhbXBsZSBub25jZQ=="
	interopProof = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
)

// interopRequest returns a handshake with further header lines.
func interopRequest(lines ...string) string {
	return "GET /interop HTTP/1.1\r\nHost: interop.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n" + interopLines(lines)
}

// interopAnswer returns the 101 to interopRequest with further header lines.
func interopAnswer(lines ...string) string {
	return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: " + interopProof + "\r\n" + interopLines(lines)
}

func interopLines(lines []string) string {
	var b strings.Builder
	for _, line := range lines {
		b.WriteString(line + "\r\n")
	}
	return b.String() + "\r\n"
}

// request reads a request as upstream.
func (w *interopWire) request() *http.Request {
	w.t.Helper()
	r, err := http.ReadRequest(w.r)
	if err != nil {
		w.t.Fatalf("read request: %v", err)
	}
	return r
}

// response reads a response with its body, unless it is a 101.
func (w *interopWire) response() (*http.Response, string) {
	w.t.Helper()
	r, err := http.ReadResponse(w.r, nil)
	if err != nil {
		w.t.Fatalf("read response: %v", err)
	}
	if r.StatusCode == http.StatusSwitchingProtocols {
		return r, ""
	}
	defer r.Body.Close()
	body, err := io.ReadAll(r.Body)
	if err != nil {
		w.t.Fatalf("read body: %v", err)
	}
	return r, string(body)
}

// interopSession starts wswarden and opens one session through it. Both ends
// are the test's own.
func interopSession(t *testing.T, adjust func(*config.Config)) (client, upstream *interopWire) {
	t.Helper()
	ln := interopListen(t)
	client = interopDial(t, interopWarden(t, ln.Addr().String(), adjust))
	client.text(interopRequest())
	upstream = interopAccept(t, ln)
	upstream.request()
	upstream.text(interopAnswer())
	if r, body := client.response(); r.StatusCode != http.StatusSwitchingProtocols {
		t.Fatalf("handshake answered with %s: %s", r.Status, body)
	}
	return client, upstream
}
