package proxy_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
)

// Plain requests to several servers use connections again, whichever server it is.
func TestPoolOfSeveralServers(t *testing.T) {
	t.Parallel()
	const servers = 3
	var connections atomic.Int64
	var urls []string
	for range servers {
		ln, server := edgeListen(t, "http", nil)
		edgeServe(t, ln, func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte("ok")) },
			func(_ net.Conn, s http.ConnState) {
				if s == http.StateNew {
					connections.Add(1)
				}
			})
		urls = append(urls, server)
	}
	e := startEdge(t, func(c *config.Config) { c.Upstream.URLs = urls })
	client, target := e.browser(nil)
	for range 50 {
		r, err := client.Get(target.String())
		if err != nil {
			t.Fatal(err)
		}
		_ = r.Body.Close()
	}
	if n := connections.Load(); n > servers {
		t.Errorf("%d connections to %d servers", n, servers)
	}
	client.CloseIdleConnections()
	e.end()
}

// A client with TLS that leaves while upstream refuses its handshake at length is missed.
func TestRefusalOverTLSIsWatched(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Drain.Timeout = time.Second
		c.Listeners[0].TLS = ca.listener(t, "edge")
	})
	client := e.client(ca.client(tls.VersionTLS13))
	client.send([]byte(interopRequest()))
	upstream := edgeAccept(t, ln)
	upstream.request()
	upstream.send([]byte("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"))
	_ = client.conn.SetReadDeadline(time.Now().Add(longest))
	if _, err := client.br.ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	edgeClose(client.conn)
	_ = upstream.conn.SetReadDeadline(time.Now().Add(longest))
	if _, err := io.Copy(io.Discard, upstream.br); os.IsTimeout(err) {
		t.Error("upstream is not told that the client has gone")
	}
	edgeClose(upstream.conn)
}

// Where a policy only observes, a client with TLS that has ended its stream, and reads
// slowly, gets all that upstream sends before it closes. Where its last record is cut
// depends on the size: there are many.
func TestObservedTailOverTLS(t *testing.T) {
	t.Parallel()
	e := startEdgeTLS(t, tls.VersionTLS13, withPolicy(policies.Policy{Mode: policies.ModeObserve}))
	type pair struct {
		client *edgePeer
		frame  []byte
	}
	var pairs []pair
	for total := 200_000; total < 700_000; total += 1_500 {
		client, upstream := e.session()
		secure := client.conn.(*tls.Conn)
		_ = secure.NetConn().(*net.TCPConn).SetReadBuffer(64 << 10)
		if err := secure.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if _, err := upstream.conn.Read(make([]byte, 1)); err != io.EOF {
			t.Fatal(err)
		}
		frame := upstream.frame(text, string(make([]byte, total)))
		go func() {
			_, _ = upstream.conn.Write(frame)
			_ = upstream.conn.Close()
		}()
		pairs = append(pairs, pair{client, frame})
	}
	for _, p := range pairs { // by now those who write wait for them
		_ = p.client.conn.SetReadDeadline(time.Now().Add(longest))
		if n, err := io.Copy(io.Discard, p.client.br); int(n) != len(p.frame) || err != nil {
			t.Errorf("%d of %d bytes, %v", n, len(p.frame), err)
		}
	}
}

// What health checks find before the server runs is of no matter yet.
func TestDownFromTheStart(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "http", nil)
	edgeServe(t, ln, func(http.ResponseWriter, *http.Request) {})
	for range 3 {
		e := startEdge(t, func(c *config.Config) {
			c.Upstream.URLs = []string{server, "http://127.0.0.1:1"}
			c.Upstream.Health = config.Health{Path: "/", Interval: 300 * time.Millisecond, Timeout: 300 * time.Millisecond, Failures: 1}
		})
		e.wantLog(1, "address down")
		e.end()
	}
}

// gather is a connection whose writes are kept, to be sent in one flight.
type gather struct {
	net.Conn
	kept *bytes.Buffer // nil: they are not
}

func (g *gather) Write(p []byte) (int, error) {
	if g.kept != nil {
		return g.kept.Write(p)
	}
	return g.Conn.Write(p)
}

// What a client with TLS sends in one flight with its handshake is relayed, though the end
// of its stream is in it, too.
func TestEndBehindHandshakeOverTLS(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, func(*config.Config) {})
		flight := &gather{Conn: edgeDial(t, e.address(), nil)}
		client := tls.Client(flight, forLocalhost(e.secure))
		if err := client.Handshake(); err != nil {
			t.Fatal(err)
		}
		flight.kept = new(bytes.Buffer)
		_, _ = client.Write([]byte(interopRequest()))
		_, _ = client.Write(encode(true, text, "last words"))
		_ = client.CloseWrite()
		_ = flight.SetWriteDeadline(time.Time{}) // which that has set
		if _, err := flight.Conn.Write(flight.kept.Bytes()); err != nil {
			t.Fatal(err)
		}
		upstream := edgeAccept(t, e.upstream)
		upstream.request()
		upstream.agree()
		upstream.want(text, "last words")
		upstream.wantClose(1001, "client_lost")
		edgeClose(upstream.conn)
		e.wantEnded(1, policies.ClientLost)
		edgeClose(client)
	})
}

// A handshake that fails behind a PROXY header is counted, in however many pieces both come.
func TestFailedTLSBehindHeaderIsCounted(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	e := startEdge(t, func(c *config.Config) {
		behindProxy(c)
		c.Listeners[0].TLS = ca.listener(t, "edge")
		c.Upstream.URL = "http://127.0.0.1:1"
	})
	for i, parts := range [][]string{{"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\n", "no TLS"}, {"PROXY TCP4 192.0.2.1 192.0.2.2 1 2\r\nno TLS"}} {
		conn := edgeDial(t, e.address(), nil)
		for _, part := range parts {
			_, _ = io.WriteString(conn, part)
		}
		_, _ = io.ReadAll(conn)
		edgeClose(conn)
		e.wantMetric(`wswarden_tls_handshakes_total{outcome="failed",side="client"}`, strconv.Itoa(i+1))
	}
}
