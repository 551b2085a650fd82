package proxy_test

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
)

// edgeTLS is wswarden with TLS on both sides, between peers that the test plays.
type edgeTLS struct {
	*edge
	ca       *edgeCA
	secure   *tls.Config // the clients'
	upstream net.Listener
}

func startEdgeTLS(t *testing.T, version uint16, adjust func(*config.Config)) *edgeTLS {
	t.Helper()
	e := &edgeTLS{ca: newEdgeCA(t)}
	e.secure = e.ca.client(version)
	server := ""
	e.upstream, server = edgeListen(t, "https", &tls.Config{
		Certificates: []tls.Certificate{e.ca.issue(t).load(t)}, MinVersion: version, MaxVersion: version,
	})
	e.edge = startEdge(t, func(c *config.Config) {
		c.Upstream.URL, c.Upstream.TLS.CA = server, edgeFile(t, "ca.pem", e.ca.pem)
		c.Listeners[0].TLS = e.ca.listener(t, "edge")
		adjust(c)
	})
	return e
}

func (e *edgeTLS) session() (client, upstream *edgePeer) {
	e.t.Helper()
	return e.open(e.secure, e.upstream)
}

// eachTLS runs a test with both versions that there are.
func eachTLS(t *testing.T, test func(t *testing.T, version uint16)) {
	t.Parallel()
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			t.Parallel()
			test(t, version)
		})
	}
}

func withPolicy(policy policies.Policy) func(*config.Config) {
	return func(c *config.Config) { c.Policies[0] = policy }
}

// However the connection of one peer breaks, the other is told.
func TestTLSConnectionLost(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, withPolicy(policies.Policy{}))
		n := 0
		for name, lose := range map[string]func(net.Conn){
			"reset":          edgeReset,
			"end below TLS":  edgeClose,
			"end of TLS":     func(c net.Conn) { _ = c.Close() },
			"half of TLS":    func(c net.Conn) { _ = c.(*tls.Conn).CloseWrite() },
			"half below TLS": func(c net.Conn) { _ = c.(*tls.Conn).NetConn().(*net.TCPConn).CloseWrite() },
			"no TLS":         func(c net.Conn) { _, _ = c.(*tls.Conn).NetConn().Write([]byte("GET / HTTP/1.1\r\n\r\n")) },
			"a half record and an end": func(c net.Conn) {
				_, _ = c.(*tls.Conn).NetConn().Write([]byte{0x17, 3, 3, 0, 100, 1, 2, 3})
				edgeClose(c)
			},
		} {
			client, upstream := e.session()
			lose(client.conn)
			upstream.wantClose(1001, policies.ClientLost.String())
			upstream.sendClose(1001)
			edgeClose(upstream.conn)
			edgeClose(client.conn)
			n++
			if got := e.wantLog(n, "msg=\"session ended\""); !strings.Contains(got[n-1], "cause=client_lost ") {
				t.Errorf("client, %s: %s", name, got[n-1])
			}

			client, upstream = e.session()
			lose(upstream.conn)
			client.wantClose(1014, policies.UpstreamLost.String())
			client.sendClose(1014)
			client.wantEnd()
			edgeClose(client.conn)
			edgeClose(upstream.conn)
			n++
			if got := e.wantLog(n, "msg=\"session ended\""); !strings.Contains(got[n-1], "cause=upstream_lost ") {
				t.Errorf("upstream, %s: %s", name, got[n-1])
			}
		}
	})
}

// What is on its way when a peer closes arrives ahead of the close frames, and those ahead
// of the end of TLS.
func TestTLSClosing(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, withPolicy(policies.Policy{}))
		client, upstream := e.session()
		client.send(client.frame(text, "last"), client.frame(closing, "\x03\xe8"))
		upstream.want(text, "last")
		upstream.wantClose(1000, "")
		upstream.send(upstream.frame(text, "yet another"), upstream.frame(closing, "\x03\xe8"))
		_ = upstream.conn.Close()
		client.want(text, "yet another")
		client.wantClose(1000, "")
		client.wantEnd()
		edgeClose(client.conn)
		e.wantEnded(1, policies.ClientClose)
	})
}

// A peer that takes nothing is ended for that, and the other is told.
func TestTLSStalled(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		for _, stalls := range []string{"client", "upstream"} {
			t.Run(stalls, func(t *testing.T) {
				t.Parallel()
				e := startEdgeTLS(t, version, withPolicy(policies.Policy{
					Stall: policies.Stall{Timeout: soon}, Release: policies.Release{Grace: time.Second},
				}))
				client, upstream := e.session()
				flooding, stalled, code := upstream, client, uint16(1001)
				if stalls == "upstream" {
					flooding, stalled, code = client, upstream, 1008
				}
				flood := bytes.Repeat(flooding.frame(text, strings.Repeat("flood...", 128)), 64)
				stopped := make(chan struct{})
				go func() {
					defer close(stopped)
					_ = flooding.conn.SetWriteDeadline(time.Now().Add(longest))
					for {
						if _, err := flooding.conn.Write(flood); err != nil {
							return
						}
					}
				}()
				flooding.wantClose(code, policies.Stalled.String())
				edgeClose(flooding.conn)
				<-stopped
				e.wantEnded(1, policies.Stalled) // by a reset, as the other never reads
				edgeClose(stalled.conn)
			})
		}
	})
}

// Pings pass through TLS, and who does not answer any is ended.
func TestTLSHeartbeat(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, withPolicy(policies.Policy{
			Heartbeat: policies.Heartbeat{Interval: soon, Timeout: time.Second, Liveness: policies.LivenessPong},
		}))
		client, upstream := e.session()
		first, payload, err := client.read()
		if first != ping || err != nil {
			t.Fatal(first, err)
		}
		client.send(client.frame(pong, payload))
		if first, _, err = client.read(); first != ping || err != nil { // the next, as the one before was answered
			t.Fatal(first, err)
		}
		client.wantClose(1001, policies.HeartbeatTimeout.String())
		upstream.wantClose(1001, policies.HeartbeatTimeout.String())
		upstream.sendClose(1001)
		edgeClose(upstream.conn)
		client.sendClose(1001)
		client.wantEnd()
		edgeClose(client.conn)
		e.wantEnded(1, policies.HeartbeatTimeout)
	})
}

// Who is not admitted is told so, to the end of the stream.
func TestTLSRefusals(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		const foreign = "Origin: https://elsewhere.example"
		for name, c := range map[string]struct {
			policy policies.Policy
			line   string
			status int
			code   uint16
		}{
			"origin":                {policies.Policy{}, foreign, http.StatusForbidden, 0},
			"origin, by a close":    {policies.Policy{RefuseWith: policies.RefuseWithClose}, foreign, http.StatusSwitchingProtocols, 1008},
			"rate":                  {policies.Policy{Handshakes: policies.Handshakes{PerIPRate: 0.001}}, "A: b", http.StatusTooManyRequests, 0},
			"connections":           {policies.Policy{Connections: policies.Connections{PerIP: 1}}, "A: b", http.StatusTooManyRequests, 0},
			"connections, by close": {policies.Policy{Connections: policies.Connections{PerIP: 1}, RefuseWith: policies.RefuseWithClose}, "A: b", http.StatusSwitchingProtocols, 1008},
		} {
			e := startEdgeTLS(t, version, withPolicy(c.policy))
			var stays, upstream *edgePeer
			if c.line != foreign {
				stays, upstream = e.session()
			}
			client := e.client(e.secure)
			client.send([]byte(interopRequest(c.line)))
			if r, body := client.response(); r.StatusCode != c.status {
				t.Errorf("%s: status %d, %s", name, r.StatusCode, body)
			}
			if c.code != 0 {
				first, payload, err := client.read()
				if err != nil || first != closing || payload[:2] != string([]byte{byte(c.code >> 8), byte(c.code)}) {
					t.Errorf("%s: %#x, %q, %v", name, first, payload, err)
				}
				client.sendClose(c.code)
			}
			client.wantEnd()
			edgeClose(client.conn)
			if stays != nil {
				edgeAlive(stays, upstream)
				edgeBye(stays, upstream)
			}
		}
	})
}

// What is no TLS, or never becomes one, is not waited for.
func TestTLSHandshakeNotMade(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	e := startEdge(t, func(c *config.Config) {
		c.Listeners[0].TLS = ca.listener(t, "edge")
		c.Listeners[0].TLS.MinVersion = config.TLS13
		c.Upstream.URL = "http://127.0.0.1:1"
		c.Drain.Timeout = soon
	})
	const failed = `wswarden_tls_handshakes_total{outcome="failed",side="client"}`
	e.wantMetric(failed, "0")
	conn := edgeDial(t, e.address(), nil)
	if _, err := conn.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	if answer, err := io.ReadAll(conn); err != nil || len(answer) > 200 {
		t.Errorf("plain HTTP: %q, %v", answer, err)
	}
	e.wantMetric(failed, "1")

	conn = edgeDial(t, e.address(), nil)
	old := ca.client(tls.VersionTLS12)
	old.ServerName = "localhost"
	if err := tls.Client(conn, old).Handshake(); err == nil {
		t.Error("TLS 1.2 is not refused")
	}
	e.wantMetric(failed, "2")

	conn = edgeDial(t, e.address(), nil)
	if err := tls.Client(conn, &tls.Config{RootCAs: newEdgeCA(t).pool(), ServerName: "localhost"}).Handshake(); err == nil {
		t.Error("a wrong root is not noticed")
	}
	e.wantMetric(failed, "3")

	edgeDial(t, e.address(), nil) // is silent
	half := edgeDial(t, e.address(), nil)
	if _, err := half.Write([]byte{0x16, 3, 1, 2, 0, 1}); err != nil {
		t.Fatal(err)
	}
	e.end() // which does not wait for them
}

// A drain ends sessions with TLS as it ends all others.
func TestTLSDrain(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, func(c *config.Config) {
			c.Policies[0] = policies.Policy{}
			c.Drain.CloseCode, c.Drain.Reason = 1012, "service restart"
		})
		var clients, upstreams []*edgePeer
		for range 10 {
			client, upstream := e.session()
			clients, upstreams = append(clients, client), append(upstreams, upstream)
		}
		e.drain()
		for i, client := range clients {
			client.wantClose(1012, "service restart")
			client.sendClose(1012)
			client.wantEnd()
			edgeClose(client.conn)
			upstreams[i].wantClose(1001, policies.Drain.String())
			upstreams[i].sendClose(1001)
			edgeClose(upstreams[i].conn)
		}
		e.end()
		e.wantEnded(len(clients), policies.Drain)
	})
}
