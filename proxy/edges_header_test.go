package proxy_test

import (
	"bufio"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pires/go-proxyproto"

	"wswarden/config"
)

// proxyText is a PROXY header of version 2.
func proxyText(t *testing.T, source, destination net.Addr) string {
	t.Helper()
	header := proxyproto.HeaderProxyFromAddrs(2, source, destination)
	if !header.TransportProtocol.IsUnix() { // for which the library forgets their length
		if err := header.SetTLVs([]proxyproto.TLV{{Type: proxyproto.PP2_TYPE_AUTHORITY, Value: []byte("example.com")}}); err != nil {
			t.Fatal(err)
		}
	}
	b, err := header.Format()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func tcpAddr(s string) *net.TCPAddr { return net.TCPAddrFromAddrPort(netip.MustParseAddrPort(s)) }

var loopback = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}

// behindProxy has the first listener want PROXY headers.
func behindProxy(c *config.Config) {
	c.Listeners[0].ProxyProtocol, c.TrustedProxies = true, loopback
}

// A PROXY header says who the client is: to upstream, for limits and in the log. However
// it arrives, what is behind it is read.
func TestProxyHeaders(t *testing.T) {
	t.Parallel()
	const there = "198.51.100.1:80"
	v1 := func(text string) string { return "PROXY " + text + "\r\n" }
	for name, c := range map[string]struct{ header, client string }{
		"v1, TCP4":          {v1("TCP4 192.0.2.7 198.51.100.1 1234 80"), "192.0.2.7"},
		"v1, TCP6":          {v1("TCP6 2001:db8::7 2001:db8::1 1234 80"), "2001:db8::7"},
		"v1, unknown":       {v1("UNKNOWN"), "127.0.0.1"},
		"v1, unknown, more": {v1("UNKNOWN 192.0.2.7 198.51.100.1 1234 80"), "127.0.0.1"},
		"v2, TCP4":          {proxyText(t, tcpAddr("192.0.2.7:1234"), tcpAddr(there)), "192.0.2.7"},
		"v2, TCP6":          {proxyText(t, tcpAddr("[2001:db8::7]:1234"), tcpAddr("[2001:db8::1]:80")), "2001:db8::7"},
		"v2, mapped":        {"\r\n\r\n\x00\r\nQUIT\n\x21\x21\x00\x24" + strings.Repeat("\x00", 10) + "\xff\xff\xc0\x00\x02\x07" + strings.Repeat("\x00", 15) + "\x01\x04\xd2\x00\x50", "192.0.2.7"},
		"v2, local":         {"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00", "127.0.0.1"},
		"v2, unix":          {proxyText(t, &net.UnixAddr{Net: "unix", Name: "/a"}, &net.UnixAddr{Net: "unix", Name: "/b"}), "127.0.0.1"},
		"v2, UDP":           {proxyText(t, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 7), Port: 1}, &net.UDPAddr{IP: net.IPv4(192, 0, 2, 8), Port: 2}), "127.0.0.1"},
	} {
		for _, secured := range []bool{false, true} {
			for _, how := range []string{"at once", "byte by byte"} {
				if how != "at once" && strings.HasPrefix(name, "v1") {
					continue // of which the PROXY protocol says that it comes at once
				}
				kind := map[bool]string{false: "plain", true: "TLS"}[secured]
				t.Run(name+", "+kind+", "+how, func(t *testing.T) {
					t.Parallel()
					ca := newEdgeCA(t)
					ln, server := edgeListen(t, "http", nil)
					e := startEdge(t, func(cfg *config.Config) {
						behindProxy(cfg)
						cfg.Upstream.URL = server
						cfg.Policies[0].Connections.PerIP = 1
						if secured {
							cfg.Listeners[0].TLS = ca.listener(t, "edge")
						}
					})
					connect := func(header string) *edgePeer {
						conn := net.Conn(&ahead{Conn: edgeDial(t, e.address(), nil), header: header, slowly: how != "at once"})
						if secured {
							conn = tls.Client(conn, &tls.Config{RootCAs: ca.pool(), ServerName: "localhost"})
						}
						return &edgePeer{t: t, conn: conn, br: bufio.NewReader(conn), masks: true}
					}
					client := connect(c.header)
					first := strings.Repeat("first", 2000) // in the same write, and more than is read ahead of a header
					client.send([]byte(interopRequest("X-Forwarded-For: 203.0.113.1")), client.frame(text, first))
					upstream := edgeAccept(t, ln)
					want := c.client
					if want == "127.0.0.1" { // who is in front, and trusted
						want = "203.0.113.1, 127.0.0.1"
					}
					if got := strings.Join(upstream.request().Header["X-Forwarded-For"], "|"); got != want {
						t.Errorf("upstream is told %q, want %q", got, want)
					}
					upstream.agree()
					upstream.want(text, first)
					client.wantStatus(http.StatusSwitchingProtocols)

					second := connect(c.header)
					second.send([]byte(interopRequest()))
					if want == c.client {
						second.wantStatus(http.StatusTooManyRequests)
						third := connect(proxyText(t, tcpAddr("192.0.2.99:1234"), tcpAddr(there)))
						third.send([]byte(interopRequest()))
						upstream2 := edgeAccept(t, ln)
						upstream2.request()
						upstream2.agree()
						third.wantStatus(http.StatusSwitchingProtocols)
						edgeBye(third, upstream2)
						e.wantLog(1, `msg="session ended"`, "address=192.0.2.99 ")
					} else {
						upstream2 := edgeAccept(t, ln)
						upstream2.request()
						upstream2.agree()
						second.wantStatus(http.StatusSwitchingProtocols)
						edgeBye(second, upstream2)
					}
					edgeAlive(client, upstream)
					edgeBye(client, upstream)
					said, _, _ := strings.Cut(want, ",")
					e.wantLog(1, `msg="session ended"`, "address="+said+" ")
				})
			}
		}
	}
}

// ahead writes a PROXY header ahead of all else.
type ahead struct {
	net.Conn
	header string
	slowly bool
}

func (a *ahead) Write(b []byte) (int, error) {
	header := a.header
	a.header = ""
	if a.slowly {
		for i := range len(header) {
			if _, err := io.WriteString(a.Conn, header[i:i+1]); err != nil {
				return 0, err
			}
		}
		header = ""
	}
	n, err := a.Conn.Write(append([]byte(header), b...))
	return max(0, n-len(header)), err
}

// CloseWrite and NetConn are for edgeClose.
func (a *ahead) NetConn() net.Conn { return a.Conn }

// What does not begin with a PROXY header, or with one that is wrong, is closed and
// counted, and nothing of it reaches upstream.
func TestProxyHeadersRefused(t *testing.T) {
	t.Parallel()
	const request = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		behindProxy(c)
		c.Upstream.URL = server
	})
	for _, leave := range []func(net.Conn){edgeClose, edgeReset} { // who only looks whether somebody listens is not refused
		leave(edgeDial(t, e.address(), nil))
	}
	signature := "\r\n\r\n\x00\r\nQUIT\n"
	for name, header := range map[string]string{
		"none":                     "",
		"no address":               "PROXY TCP4 elsewhere 198.51.100.1 1 2\r\n",
		"an address out of range":  "PROXY TCP4 256.0.0.1 198.51.100.1 1 2\r\n",
		"a port out of range":      "PROXY TCP4 192.0.2.7 198.51.100.1 65536 2\r\n",
		"the other family":         "PROXY TCP4 2001:db8::7 2001:db8::1 1 2\r\n",
		"too little":               "PROXY TCP4 192.0.2.7 198.51.100.1 1\r\n",
		"another protocol":         "PROXY UDP4 192.0.2.7 198.51.100.1 1 2\r\n",
		"in lower case":            "proxy TCP4 192.0.2.7 198.51.100.1 1 2\r\n",
		"without CR":               "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\n",
		"too long":                 "PROXY TCP4 " + strings.Repeat("1", 200) + "\r\n",
		"version 1 in version 2":   signature + "\x11\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x04\xd2\x00\x50",
		"another command":          signature + "\x22\x11\x00\x0c\xc0\x00\x02\x07\xc0\x00\x02\x08\x04\xd2\x00\x50",
		"shorter than its address": signature + "\x21\x11\x00\x04\xc0\x00\x02\x07",
	} {
		conn := edgeDial(t, e.address(), nil)
		if _, err := io.WriteString(conn, header+request); err != nil {
			t.Fatal(err)
		}
		_ = conn.SetReadDeadline(time.Now().Add(longest))
		if answer, err := io.ReadAll(conn); len(answer) > 0 {
			t.Errorf("%s: answered %q, %v", name, answer, err)
		}
		_ = conn.Close()
	}
	e.until("all refused", func() bool {
		return e.metric(`wswarden_proxy_headers_refused_total{reason="malformed"}`) == "13"
	})
	e.wantLog(1, "connection refused for its PROXY header", "reason=malformed", "address=127.0.0.1:")

	e.reload(func(c *config.Config) { c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("192.0.2.0/24")} })
	conn := edgeDial(t, e.address(), nil)
	_, _ = io.WriteString(conn, "PROXY TCP4 192.0.2.7 198.51.100.1 1 2\r\n"+request)
	if answer, _ := io.ReadAll(conn); len(answer) > 0 {
		t.Errorf("who is not trusted is answered %q", answer)
	}
	e.wantMetric(`wswarden_proxy_headers_refused_total{reason="untrusted"}`, "1")
	e.wantLog(1, "connection refused for its PROXY header", "reason=untrusted", "address=127.0.0.1:")
	_ = ln.(*net.TCPListener).SetDeadline(time.Unix(1, 0))
	if _, err := ln.Accept(); err == nil {
		t.Error("upstream was connected to")
	}
}

// Upstream may be told by a PROXY header as well, ahead of TLS too, and for each client
// on a connection of its own.
func TestProxyHeadersToUpstream(t *testing.T) {
	t.Parallel()
	for _, version := range []string{config.ProxyV1, config.ProxyV2} {
		for _, kind := range []string{"http", "https", "unix"} {
			t.Run(version+" to "+kind, func(t *testing.T) {
				t.Parallel()
				ca := newEdgeCA(t)
				ln, server := edgeListen(t, "http", nil)
				if kind == "unix" {
					ln, server = edgeListen(t, kind, nil)
				}
				e := startEdge(t, func(c *config.Config) {
					behindProxy(c)
					c.Upstream.URL, c.Upstream.ProxyProtocol = server, version
					if kind == "https" {
						c.Upstream.URL = strings.Replace(server, "http:", "https:", 1)
						c.Upstream.TLS.CA = edgeFile(t, "ca.pem", ca.pem)
					}
				})
				pair := ca.issue(t).load(t)
				accept := func() (*edgePeer, *proxyproto.Header) {
					upstream := edgeAccept(t, ln)
					_ = upstream.conn.SetReadDeadline(time.Now().Add(longest))
					header, err := proxyproto.Read(upstream.br)
					if err != nil {
						t.Fatal(err)
					}
					if kind == "https" {
						conn := tls.Server(&buffered{upstream.conn, upstream.br}, &tls.Config{Certificates: []tls.Certificate{pair}})
						upstream.conn, upstream.br = conn, bufio.NewReader(conn)
					}
					return upstream, header
				}
				clients := map[string]string{
					"TCP4 192.0.2.7 198.51.100.1 1234 80":       "192.0.2.7:1234",
					"TCP6 2001:db8::7 2001:db8::1 1234 80":      "[2001:db8::7]:1234",
					"TCP6 ::ffff:192.0.2.7 ::ffff:1.2.3.4 5 80": "192.0.2.7:5",
					"UNKNOWN": "127.0.0.1:",
				}
				for text, want := range clients {
					says := func(header *proxyproto.Header) {
						t.Helper()
						source := ""
						if addr, ok := header.SourceAddr.(*net.TCPAddr); ok {
							at := addr.AddrPort()
							source = netip.AddrPortFrom(at.Addr().Unmap(), at.Port()).String()
						}
						if !header.Command.IsProxy() || !strings.HasPrefix(source, want) {
							t.Errorf("%s: upstream is told %v of %q", text, header.Command, source)
						}
						if want != "127.0.0.1:" && !strings.HasSuffix(header.DestinationAddr.String(), ":80") { // of the same family, that is
							t.Errorf("%s: upstream is told that %v was connected to", text, header.DestinationAddr)
						}
						if v := map[byte]string{1: config.ProxyV1, 2: config.ProxyV2}[header.Version]; v != version {
							t.Errorf("version %s", v)
						}
					}
					client := e.client(nil)
					client.send([]byte("PROXY " + text + "\r\n"))
					var last *edgePeer
					for range 2 { // over one connection
						client.send([]byte("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi"))
						upstream, header := accept()
						says(header)
						if body, err := io.ReadAll(upstream.request().Body); string(body) != "hi" || err != nil {
							t.Errorf("%q, %v", body, err)
						}
						upstream.send([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nho"))
						if r, body := client.response(); r.StatusCode != http.StatusOK || body != "ho" {
							t.Errorf("%s, %q", r.Status, body)
						}
						last = upstream
					}
					last.wantEnd()
					client.send([]byte(interopRequest()))
					upstream, header := accept()
					says(header)
					upstream.request()
					upstream.agree()
					client.wantStatus(http.StatusSwitchingProtocols)
					edgeAlive(client, upstream)
					edgeBye(client, upstream)
				}
				ready := make(chan int)
				go func() { status, _ := e.admin("/readyz"); ready <- status }()
				upstream, header := accept()
				if header.Command.IsProxy() && header.SourceAddr != nil {
					t.Errorf("/readyz: upstream is told of %v", header.SourceAddr)
				}
				if kind == "https" {
					_ = upstream.conn.(*tls.Conn).Handshake()
				}
				if status := <-ready; status != http.StatusOK {
					t.Errorf("/readyz: %d", status)
				}
			})
		}
	}
}

// buffered is a connection of which a part has been read already.
type buffered struct {
	net.Conn
	br *bufio.Reader
}

func (b *buffered) Read(p []byte) (int, error) { return b.br.Read(p) }
