package proxy_test

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// A unix socket's file has its mode, and is gone when the listener is. What a dead
// process has left there is replaced, and nothing else.
func TestUnixListener(t *testing.T) {
	t.Parallel()
	path := edgeSocket(t)
	left, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	left.(*net.UnixListener).SetUnlinkOnClose(false)

	listenOn := func(path, mode string) *config.Config {
		return edgeConfig(func(c *config.Config) {
			c.Listeners[0].Address, c.Listeners[0].Mode = "unix:"+path, mode
			c.Upstream.URL, c.Admin.Address = "http://127.0.0.1:1", ""
		})
	}
	wantError := func(path string, parts ...string) {
		t.Helper()
		cfg := listenOn(path, "")
		_, err := proxy.New(cfg, slog.New(slog.DiscardHandler), proxy.Options{})
		if err == nil {
			t.Fatalf("listens on %s, where there is something", path)
		}
		for _, part := range append(parts, path) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("%v: nothing of %q", err, part)
			}
		}
		if _, err := os.Lstat(path); err != nil {
			t.Error("what was there:", err)
		}
	}
	wantError(path, "address already in use", "stop who has it, or use another path")
	_ = left.Close()

	file := edgeFile(t, "file", []byte("precious"))
	wantError(file, "file exists")
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Errorf("left of the file: %q", b)
	}
	wantError(filepath.Dir(file))

	mode := func(want os.FileMode) {
		t.Helper()
		if info, err := os.Stat(path); err != nil || info.Mode() != want|os.ModeSocket {
			t.Errorf("%v, %v, want %v", info, err, want)
		}
	}
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		c.Listeners[0].Address, c.Listeners[0].Mode = "unix:"+path, "0600"
		c.Upstream.URL = server
	})
	mode(0o600)
	client, upstream := e.open(nil, ln)

	// Another one is added, and then the first removed.
	second := edgeSocket(t)
	done := e.reload(func(c *config.Config) {
		c.Listeners = append(c.Listeners, config.Listener{Address: "unix:" + second})
	})
	if len(done.Listeners.Added) != 1 || len(done.Listeners.Changed)+len(done.Listeners.Removed) != 0 {
		t.Errorf("%+v", done.Listeners)
	}
	e.reload(func(c *config.Config) { c.Listeners = c.Listeners[1:] })
	gone := func(path string) {
		t.Helper()
		if _, err := os.Lstat(path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("%s is still there: %v", path, err)
		}
	}
	gone(path)
	path = second
	mode(0o660)
	edgeAlive(client, upstream)
	other, otherUpstream := e.open(nil, ln)
	edgeBye(other, otherUpstream)
	edgeBye(client, upstream)
	e.end()
	gone(second)
}

// Who comes by a unix socket is believed what it says of its client.
func TestUnixClients(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		c.Listeners[0].Address = "unix:" + edgeSocket(t)
		c.Upstream.URL = server
		c.Policies[0].Connections.PerIP = 1
	})
	client, upstream := e.open(nil, ln, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
	second := e.client(nil)
	second.send([]byte(interopRequest("X-Forwarded-For: 192.0.2.7")))
	second.wantStatus(http.StatusTooManyRequests)
	edgeBye(client, upstream)
	e.wantLog(1, `msg="session ended"`, "address=192.0.2.7 ")

	third := e.client(nil)
	third.send([]byte(interopRequest("X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")))
	upstream = edgeAccept(t, ln)
	r := upstream.request()
	if got := r.Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "192.0.2.7" {
		t.Errorf("upstream is told of %q", got)
	}
	if got := r.Header["X-Forwarded-Proto"]; len(got) != 1 || got[0] != "https" {
		t.Errorf("upstream is told of %q", got)
	}
	upstream.agree()
	third.wantStatus(http.StatusSwitchingProtocols)
	edgeBye(third, upstream)

	// Whom nothing is said of cannot be told apart, and is not counted.
	client, upstream = e.open(nil, ln)
	third, thirdUpstream := e.open(nil, ln)
	edgeBye(client, upstream)
	edgeBye(third, thirdUpstream)
}

// A unix socket of upstream's that has as many waiting as it takes is tried again.
func TestUnixUpstreamIsBusy(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "unix", nil)
	raw, err := ln.(*net.UnixListener).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	if err := raw.Control(func(fd uintptr) { _ = syscall.Listen(int(fd), 1) }); err != nil {
		t.Fatal(err)
	}
	var waiting []net.Conn
	fill := func() {
		t.Helper()
		for {
			conn, err := net.Dial("unix", ln.Addr().String())
			if err != nil {
				if !errors.Is(err, syscall.EAGAIN) {
					t.Fatal(err)
				}
				return
			}
			waiting = append(waiting, conn)
			t.Cleanup(func() { _ = conn.Close() })
		}
	}
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL, c.Upstream.DialTimeout = server, longest
	})
	const plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	for _, request := range []string{interopRequest(), plain} {
		fill()
		client := e.client(nil)
		client.send([]byte(request))
		time.Sleep(20 * time.Millisecond) // for attempts that have to fail: without it, less is tested
		for range waiting {
			edgeClose(edgeAccept(t, ln).conn)
		}
		waiting = nil
		upstream := edgeAccept(t, ln)
		upstream.request()
		if request == plain {
			upstream.send([]byte("HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"))
			client.wantStatus(http.StatusNoContent)
			continue
		}
		upstream.agree()
		client.wantStatus(http.StatusSwitchingProtocols)
		edgeAlive(client, upstream)
		edgeBye(client, upstream)
	}

	e.reload(func(c *config.Config) { c.Upstream.DialTimeout = soon })
	fill()
	for _, request := range []string{interopRequest(), plain} {
		client := e.client(nil)
		client.send([]byte(request))
		client.wantStatus(http.StatusGatewayTimeout)
	}
}

// Addresses of IPv6 are as good as others.
func TestIPv6(t *testing.T) {
	t.Parallel()
	if ln, err := net.Listen("tcp", "[::1]:0"); err != nil {
		t.Skip("IPv6 is not tested, as this machine has no ::1:", err)
	} else {
		_ = ln.Close()
	}
	for _, kind := range []string{"http", "https"} {
		ca := newEdgeCA(t)
		ln, err := net.Listen("tcp", "[::1]:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = ln.Close() })
		url := kind + "://" + ln.Addr().String()
		if kind == "https" {
			ln = tls.NewListener(ln, &tls.Config{Certificates: []tls.Certificate{ca.issue(t).load(t)}})
		}
		e := startEdge(t, func(c *config.Config) {
			c.Listeners[0].Address = "[::1]:0"
			c.Upstream.URL = url
			if kind == "https" {
				c.Upstream.TLS.CA = edgeFile(t, "ca.pem", ca.pem)
			}
		})
		client := e.client(nil)
		client.send([]byte(interopRequest()))
		upstream := edgeAccept(t, ln)
		if got := upstream.request().Header["X-Forwarded-For"]; len(got) != 1 || got[0] != "::1" {
			t.Errorf("upstream is told of %q", got)
		}
		upstream.agree()
		client.wantStatus(http.StatusSwitchingProtocols)
		edgeAlive(client, upstream)
		edgeBye(client, upstream)
		e.wantLog(1, `msg="session ended"`, "address=::1 ")
		if kind == "https" {
			continue
		}
		if status, body := e.admin("/readyz"); status != http.StatusOK {
			t.Errorf("/readyz: %d, %s", status, body)
		}
	}
}

// A policy may be for those who come by one listener, ask for a subprotocol, or send a
// header.
func TestMatchOfTheEdges(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "http", nil)
	ca := newEdgeCA(t)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Listeners = []config.Listener{
			{Address: "127.0.0.1:0", Name: "public", TLS: ca.listener(t, "edge")},
			{Address: "unix:" + edgeSocket(t), Name: "inside"},
			{Address: "127.0.0.1:0", Name: "inside"},
		}
		policy := func(name string, match policies.Match) policies.Policy {
			p := policies.Default()
			p.Name, p.Match = name, match
			return p
		}
		c.Policies = []policies.Policy{
			policy("chat-inside", policies.Match{Listener: []string{"inside"}, Subprotocol: []string{"chat.*"}}),
			policy("chat", policies.Match{Subprotocol: []string{"chat.*", "talk"}}),
			policy("portal", policies.Match{Header: []policies.HeaderMatch{{Name: "x-portal", Value: "pass*"}, {Name: "X-Area"}}}),
			policy("public", policies.Match{Listener: []string{"public"}}),
		}
	})
	addrs := e.server.Addrs()
	secure := ca.client(tls.VersionTLS13)
	const public, unix, inside = 0, 1, 2
	ended := 0
	for _, c := range []struct {
		by    int
		lines []string
		want  string // empty: no policy fits
	}{
		{public, nil, "public"},
		{unix, nil, ""},
		{inside, nil, ""},
		{unix, []string{"Sec-WebSocket-Protocol: other, chat.v1"}, "chat-inside"},
		{inside, []string{"Sec-WebSocket-Protocol: other", "Sec-WebSocket-Protocol: chat.v1"}, "chat-inside"},
		{public, []string{"Sec-WebSocket-Protocol: chat.v1"}, "chat"},
		{inside, []string{"Sec-WebSocket-Protocol: talk"}, "chat"},
		{inside, []string{"Sec-WebSocket-Protocol: chat"}, ""},
		{inside, []string{"X-PORTAL: passenger", "x-area:"}, "portal"},
		{inside, []string{"X-Portal: other", "X-Portal: passenger", "X-Area: 1"}, "portal"},
		{inside, []string{"X-Portal: passenger"}, ""},
		{public, []string{"X-Portal: Passenger", "X-Area: 1"}, "public"},
	} {
		var client *edgePeer
		if c.by == public {
			client = e.clientBy(addrs[c.by], secure)
		} else {
			client = e.clientBy(addrs[c.by], nil)
		}
		if c.want == "" {
			client.send([]byte(interopRequest(c.lines...)))
			client.wantStatus(http.StatusNotFound)
			continue
		}
		upstream := client.open(ln, c.lines...)
		edgeBye(client, upstream)
		ended++
		if line := e.wantLog(ended, `msg="session ended"`)[ended-1]; !strings.Contains(line, "policy="+c.want+" ") {
			t.Errorf("%d, %q: want %s: %s", c.by, c.lines, c.want, line)
		}
	}
	e.reload(func(c *config.Config) { c.Listeners[2].Name = "public" })
	client := e.clientBy(addrs[inside], nil)
	upstream := client.open(ln)
	edgeBye(client, upstream)
	if line := e.wantLog(ended+1, `msg="session ended"`)[ended]; !strings.Contains(line, "policy=public ") {
		t.Error(line)
	}
}
