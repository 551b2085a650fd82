package proxy

import (
	"bufio"
	"errors"
	"net/netip"
	"strings"
	"testing"

	"github.com/valyala/fasthttp"
)

var (
	testTrusted = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	direct      = peer{addr: netip.MustParseAddr("192.0.2.7"), proto: "http"}
	fromProxy   = peer{addr: netip.MustParseAddr("10.0.0.1"), proto: "http", trusted: true}
)

// readRequestHead reads raw as the server does.
func readRequestHead(t testing.TB, raw string) *fasthttp.RequestHeader {
	t.Helper()
	h := new(fasthttp.RequestHeader)
	h.DisableNormalizing()
	if err := h.Read(bufio.NewReader(strings.NewReader(raw))); err != nil {
		t.Fatalf("fasthttp refuses %q: %v", raw, err)
	}
	return h
}

// rewrite returns a checked head as upstream gets it.
func rewrite(t *testing.T, raw string, p peer, handshake bool) string {
	t.Helper()
	head, err := checkRequestHead(readRequestHead(t, raw), handshake)
	if err != nil {
		t.Fatalf("%q is refused: %v", raw, err)
	}
	return string(head.appendTo(nil, p, handshake))
}

// lines joins header lines and ends the head.
func lines(line ...string) string { return strings.Join(append(line, "", ""), "\r\n") }

func TestRequestHeadKeepsTargetOrderAndSpelling(t *testing.T) {
	got := rewrite(t, lines(
		"PoST //a/../b%2f%zz?q=1&&r=[é] HTTP/1.1",
		"x-FIRST:1",
		"hOsT:   Example.com:80  ",
		"X-Same: a", "x-same: b", "X-Same: a",
		"Cookie: b=2; a=1", "cookie: c=3",
		"user-agent:", "Content-type: text/plain;  charset=x",
		"content-LENGTH: 3",
		"X-Bytes: \xe9\t\xff",
	), direct, false)
	want := lines(
		"PoST //a/../b%2f%zz?q=1&&r=[é] HTTP/1.1",
		"x-FIRST:1",
		"hOsT:   Example.com:80  ",
		"X-Same: a", "x-same: b", "X-Same: a",
		"Cookie: b=2; a=1", "cookie: c=3",
		"user-agent:", "Content-type: text/plain;  charset=x",
		"content-LENGTH: 3",
		"X-Bytes: \xe9\t\xff",
		"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: Example.com:80",
	)
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

// RFC 9110 §7.6.1.
func TestHopByHopRequestHeaders(t *testing.T) {
	for _, test := range []struct {
		name     string
		in, want []string
	}{
		{"connection", []string{"Connection: keep-alive"}, nil},
		{"keep-alive", []string{"keep-alive: timeout=5"}, nil},
		{"proxy-connection", []string{"Proxy-Connection: close"}, nil},
		{"proxy credentials", []string{"Proxy-Authorization: Basic eA==", "Proxy-Authenticate: Basic"}, nil},
		{"upgrade", []string{"Connection: upgrade", "Upgrade: h2c"}, nil},
		{"named", []string{"X-Hop: 1", "Connection: close, x-HOP"}, nil},
		{"named twice", []string{"Connection: a", "B: 1", "A: 1", "Connection: , b ,"}, nil},
		{"not named", []string{"Connection: X-Hop", "X-Hop2: 1", "X-Ho: 1"}, []string{"X-Hop2: 1", "X-Ho: 1"}},
		{"te", []string{"TE: gzip, deflate;q=0.5"}, nil},
		{"te trailers", []string{"te: gzip, Trailers", "A: 1"}, []string{"A: 1", "TE: trailers", "Connection: TE"}},
		{"named length", []string{"Connection: Content-Length", "Content-Length: 4"}, []string{"Content-Length: 4"}},
		{"named framing", []string{"Connection: Transfer-Encoding", "Transfer-Encoding: chunked"}, []string{"Transfer-Encoding: chunked"}},
		{"named essentials", []string{"Connection: Host, cookie, Authorization, Sec-WebSocket-Key", "Cookie: a=b", "Authorization: x", "Sec-WebSocket-Key: y"},
			[]string{"Cookie: a=b", "Authorization: x", "Sec-WebSocket-Key: y"}},
		{"end-to-end", []string{"Expect: 100-continue", "Trailer: X-T", "Via: 1.1 a", "Pragma: no-cache"},
			[]string{"Expect: 100-continue", "Trailer: X-T", "Via: 1.1 a", "Pragma: no-cache"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := rewrite(t, lines(append([]string{"PUT / HTTP/1.1", "Host: h"}, test.in...)...), direct, false)
			want := append([]string{"PUT / HTTP/1.1", "Host: h"}, test.want...)
			want = append(want, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h")
			if got != lines(want...) {
				t.Errorf("got\n%q\nwant\n%q", got, lines(want...))
			}
		})
	}
}

func TestForwardedHeaders(t *testing.T) {
	for _, test := range []struct {
		name     string
		peer     peer
		in, want []string
	}{
		{"first hop", direct, nil,
			[]string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"first hop behind a proxy", fromProxy, nil,
			[]string{"X-Forwarded-For: 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"forged", direct,
			[]string{"x-forwarded-for: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: evil", "A: 1",
				"X-Forwarded-For: 2.2.2.2", "Forwarded: for=1.1.1.1", "X-Real-IP: 1.1.1.1", "X-Forwarded-Port: 1"},
			[]string{"A: 1", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"forged for CGI", direct,
			[]string{"X_Forwarded_For: 1.1.1.1", "x-forwarded_host: evil"},
			[]string{"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"extended", fromProxy,
			[]string{"x-forwarded-FOR: 1.1.1.1", "X-forwarded-Proto: https", "Forwarded: for=1.1.1.1", "X-Forwarded-Host: site"},
			[]string{"x-forwarded-FOR: 1.1.1.1, 10.0.0.1", "X-forwarded-Proto: https", "Forwarded: for=1.1.1.1", "X-Forwarded-Host: site"}},
		{"the last line extended", fromProxy,
			[]string{"X-Forwarded-For: 1.1.1.1", "A: 1", "X-Forwarded-For: 2.2.2.2", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"},
			[]string{"X-Forwarded-For: 1.1.1.1", "A: 1", "X-Forwarded-For: 2.2.2.2, 10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"empty", fromProxy,
			[]string{"X-Forwarded-For:", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"},
			[]string{"X-Forwarded-For:10.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
		{"named by Connection", fromProxy,
			[]string{"Connection: X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host", "X-Forwarded-For: 1.1.1.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: site"},
			[]string{"X-Forwarded-For: 1.1.1.1, 10.0.0.1", "X-Forwarded-Proto: https", "X-Forwarded-Host: site"}},
		{"TLS", peer{addr: netip.MustParseAddr("2001:db8::1"), proto: "https"}, nil,
			[]string{"X-Forwarded-For: 2001:db8::1", "X-Forwarded-Proto: https", "X-Forwarded-Host: h"}},
		{"unix socket", peer{proto: "http"}, []string{"X-Forwarded-For: 1.1.1.1"},
			[]string{"X-Forwarded-Proto: http", "X-Forwarded-Host: h"}},
	} {
		t.Run(test.name, func(t *testing.T) {
			got := rewrite(t, lines(append([]string{"GET / HTTP/1.1", "Host: h"}, test.in...)...), test.peer, false)
			want := lines(append([]string{"GET / HTTP/1.1", "Host: h"}, test.want...)...)
			if got != want {
				t.Errorf("got\n%q\nwant\n%q", got, want)
			}
		})
	}
}

func TestClientAddress(t *testing.T) {
	for _, test := range []struct {
		name string
		peer peer
		xff  []string
		want string
	}{
		{"no header", direct, nil, "192.0.2.7"},
		{"untrusted peer", direct, []string{"1.1.1.1"}, "192.0.2.7"},
		{"trusted peer", fromProxy, []string{"1.1.1.1"}, "1.1.1.1"},
		{"trusted peer, no header", fromProxy, nil, "10.0.0.1"},
		{"forged entries come first", fromProxy, []string{"9.9.9.9, 1.1.1.1"}, "1.1.1.1"},
		{"chain of proxies", fromProxy, []string{"9.9.9.9, 1.1.1.1, 10.2.2.2,10.3.3.3"}, "1.1.1.1"},
		{"several lines", fromProxy, []string{"9.9.9.9", "1.1.1.1", "10.2.2.2"}, "1.1.1.1"},
		{"only proxies", fromProxy, []string{"10.9.9.9, 10.2.2.2"}, "10.9.9.9"},
		{"not an address", fromProxy, []string{"1.1.1.1, unknown, 10.2.2.2"}, "10.2.2.2"},
		{"nothing readable", fromProxy, []string{"unknown"}, "10.0.0.1"},
		{"empty entries", fromProxy, []string{"1.1.1.1, ,"}, "1.1.1.1"},
		{"port", fromProxy, []string{"1.1.1.1:5555"}, "1.1.1.1"},
		{"IPv6", fromProxy, []string{"2001:db8::1, fd00::1"}, "2001:db8::1"},
		{"IPv6 in brackets", fromProxy, []string{"[2001:db8::1]"}, "2001:db8::1"},
		{"IPv6 with a port", fromProxy, []string{"[2001:db8::1]:80"}, "2001:db8::1"},
		{"IPv4 in IPv6", fromProxy, []string{"1.1.1.1, ::ffff:10.1.1.1"}, "1.1.1.1"},
	} {
		t.Run(test.name, func(t *testing.T) {
			request := []string{"GET / HTTP/1.1", "Host: h"}
			for _, value := range test.xff {
				request = append(request, "X-Forwarded-For: "+value)
			}
			head, err := checkRequestHead(readRequestHead(t, lines(request...)), true)
			if err != nil {
				t.Fatal(err)
			}
			if got := head.clientAddress(test.peer, testTrusted).String(); got != test.want {
				t.Errorf("got %s, want %s", got, test.want)
			}
		})
	}
}

func TestHandshakeHead(t *testing.T) {
	got := rewrite(t, lines(
		"GET /ws?token=%20 HTTP/1.1", "Host: h",
		"connection: keep-alive, Upgrade, X-Hop", "UPGRADE: WebSocket", "X-Hop: 1",
		"Connection: again", "TE: trailers",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"Sec-WebSocket-Extensions: x-own",
		"sec-websocket-extensions: x-own, permessage-deflate;a=\",\"",
		"Sec-WebSocket-Protocol: a, b",
	), direct, true)
	want := lines(
		"GET /ws?token=%20 HTTP/1.1", "Host: h",
		"connection: Upgrade", "UPGRADE: websocket",
		"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
		"sec-websocket-extensions: permessage-deflate;a=\",\"",
		"Sec-WebSocket-Protocol: a, b",
		"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h",
	)
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}

func TestHandshakeWithBodyIsRefused(t *testing.T) {
	for _, line := range []string{"Content-Length: 1", "Content-Length: 00", "Transfer-Encoding: chunked"} {
		h := readRequestHead(t, lines("GET / HTTP/1.1", "Host: h", line))
		if _, err := checkRequestHead(h, true); !errors.Is(err, errHandshake) {
			t.Errorf("%s: got %v", line, err)
		}
	}
	if _, err := checkRequestHead(readRequestHead(t, lines("GET / HTTP/1.1", "Host: h", "Content-Length: 0")), true); err != nil {
		t.Errorf("Content-Length: 0: got %v", err)
	}
}

var browserHandshake = lines(
	"GET /ws HTTP/1.1", "Host: example.com", "Connection: Upgrade", "Pragma: no-cache",
	"Cache-Control: no-cache", "User-Agent: Mozilla/5.0 (X11; Linux x86_64)", "Upgrade: websocket",
	"Origin: https://example.com", "Sec-WebSocket-Version: 13", "Accept-Encoding: gzip, deflate, br",
	"Accept-Language: en-US,en;q=0.9", "Cookie: session=0123456789abcdef",
	"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
	"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits",
)

func TestRequestHeadAllocatesNothing(t *testing.T) {
	h, dst := readRequestHead(t, browserHandshake), make([]byte, 0, 2<<10)
	allocs := testing.AllocsPerRun(100, func() {
		head, err := checkRequestHead(h, true)
		if err != nil {
			t.Error(err)
		}
		dst = head.appendTo(dst[:0], direct, true)
		head.clientAddress(direct, testTrusted)
	})
	if allocs > 0 {
		t.Errorf("%v allocations", allocs)
	}
}

func BenchmarkRequestHead(b *testing.B) {
	h, dst := readRequestHead(b, browserHandshake), make([]byte, 0, 2<<10)
	b.ReportAllocs()
	for b.Loop() {
		head, _ := checkRequestHead(h, true)
		dst = head.appendTo(dst[:0], direct, true)
	}
}
