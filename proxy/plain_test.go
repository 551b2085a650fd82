package proxy

import (
	"bytes"
	"fmt"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

const get = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// answerAll answers every request that has no body with response.
func answerAll(response string) func(*wire, int) {
	return func(c *wire, _ int) {
		for {
			if _, err := c.head(); err != nil {
				return
			}
			c.send(response)
		}
	}
}

const smuggled = "GET /smuggled HTTP/1.1\r\nHost: h\r\n\r\n"

// A chunk that is bad further on has let a part of the request through:
// upstream never sees the end of it, nor what follows.
func TestBadChunkBehindGoodOnes(t *testing.T) {
	for _, bad := range []string{"zz\r\n", "5\nhello\r\n", "3\r\nhello\r\n", "0\r\nBad Name: 1\r\n\r\n"} {
		t.Run(bad, func(t *testing.T) {
			t.Parallel()
			good := make(chan struct{})
			upstream := startUpstream(t, func(c *wire, _ int) {
				c.mustHead("POST / HTTP/1.1\r\n")
				c.expect("5\r\nhello\r\n")
				close(good)
				if got, _ := io.ReadAll(c.br); bytes.Contains(got, []byte("0\r\n")) || bytes.Contains(got, []byte("smuggled")) {
					t.Errorf("upstream got %q", got)
				}
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n")
			<-good
			c.send(bad + smuggled)
			c.mustHead("HTTP/1.1 400 ")
			c.expect("malformed chunk or trailer\n")
			c.expectEnd()
		})
	}
}

func TestRefusedRequests(t *testing.T) {
	for _, test := range []struct{ name, request, status, reason string }{
		{"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "501", "CONNECT is not supported"},
		{"unknown version", "GET / HTTP/1.2\r\nHost: h\r\n\r\n", "505", "unsupported HTTP version"},
		{"HTTP/2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "400", "malformed request"},
		{"large head", "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", headLimit) + "\r\n\r\n", "431", "request head is too large"},
		{"reason", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n", "400", "ambiguous body length"},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := dialWire(t, startPlain(t, "127.0.0.1:1", patience))
			c.send(test.request)
			head := c.mustHead("HTTP/1.1 " + test.status + " ")
			if !strings.Contains(head, "Connection: close\r\n") {
				t.Errorf("connection stays open: %q", head)
			}
			c.expect(test.reason)
		})
	}
}

func TestRequestReachesUpstreamAsItWasSent(t *testing.T) {
	upstream := startUpstream(t, func(c *wire, _ int) {
		c.expect(lines("GET /a//b?c HTTP/1.1", "x-b: 2", "HOST: h", "X-a:  1",
			"X-Forwarded-For: 127.0.0.1", "X-Forwarded-Proto: http", "X-Forwarded-Host: h"))
		c.send("HTTP/1.1 204 No Content\r\n\r\n")
		c.expectEnd()
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send(lines("GET /a//b?c HTTP/1.1", "x-b: 2", "HOST: h", "Connection: x-c", "X-a:  1", "X-C: 1", "X-Forwarded-For: 1.2.3.4"))
	c.mustHead("HTTP/1.1 204 No Content\r\n")
}

func TestForwardedForIsBelievedFromTrustedProxies(t *testing.T) {
	upstream := startUpstream(t, func(c *wire, _ int) {
		if head := c.mustHead("GET "); !strings.Contains(head, "\r\nX-Forwarded-For: 1.2.3.4, 127.0.0.1\r\n") {
			t.Errorf("got %q", head)
		}
		c.send("HTTP/1.1 204 No Content\r\n\r\n")
		c.expectEnd()
	})
	c := dialWire(t, startPlain(t, upstream, patience, netip.MustParsePrefix("127.0.0.0/8")))
	c.send(lines("GET / HTTP/1.1", "Host: h", "X-Forwarded-For: 1.2.3.4"))
	c.mustHead("HTTP/1.1 204 No Content\r\n")
}

// What upstream answers is what the client gets, but for hop-by-hop headers and
// the order of those that fasthttp keeps apart.
func TestResponses(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	for _, test := range []struct{ name, request, response, want string }{
		{"length", get, ok + "Content-Length: 2\r\n\r\nhi", ok + "Content-Length: 2\r\n\r\nhi"},
		{"empty", get, ok + "Content-Length: 0\r\n\r\n", ok + "Content-Length: 0\r\n\r\n"},
		{"chunked", get, ok + "transfer-encoding: chunked\r\n\r\n2;x=y\r\nhi\r\n1\r\n!\r\n0\r\n\r\n",
			ok + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n"},
		{"trailer", get, ok + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n",
			ok + "Transfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n"},
		{"order and case", get, ok + "x-B: 2\r\nDate: then\r\nX-a: 1\r\nx-B: 3\r\nset-cookie: b=1\r\nSet-Cookie: a=1; Path=/\r\nContent-Length: 0\r\n\r\n",
			ok + "Content-Length: 0\r\nx-B: 2\r\nDate: then\r\nX-a: 1\r\nx-B: 3\r\nSet-Cookie: b=1\r\nSet-Cookie: a=1; Path=/\r\n\r\n"},
		{"hop-by-hop", get, ok + "connection: keep-alive, x-hop\r\nkeep-alive: timeout=5\r\nX-Hop: 1\r\nProxy-Connection: x\r\nproxy-authenticate: x\r\nUpgrade: h2c\r\nTE: x\r\nX-End: 1\r\nContent-Length: 0\r\n\r\n",
			ok + "Content-Length: 0\r\nX-End: 1\r\n\r\n"},
		{"reason phrase", get, "HTTP/1.1 299 Very Fine\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 299 Very Fine\r\nContent-Length: 0\r\n\r\n"},
		{"refusal with a body", get, "HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic\r\nContent-Length: 2\r\n\r\nno",
			"HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nWWW-Authenticate: Basic\r\n\r\nno"},
		{"upgrade required", get, "HTTP/1.1 426 Upgrade Required\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nContent-Length: 0\r\n\r\n",
			"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"},
		{"interim", get, "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + ok + "Content-Length: 2\r\n\r\nhi",
			ok + "Content-Length: 2\r\n\r\nhi"},
		{"204", get, "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n", "HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n"},
		{"304", get, "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n", "HTTP/1.1 304 Not Modified\r\nContent-Length: 5\r\nEtag: x\r\n\r\n"},
		{"HEAD", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", ok + "Content-Length: 5\r\n\r\n", ok + "Content-Length: 5\r\n\r\n"},
		{"HEAD, chunked", "HEAD / HTTP/1.1\r\nHost: h\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n", ok + "Transfer-Encoding: chunked\r\n\r\n"},
		{"HTTP/1.0 keeps alive", "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", ok + "Content-Length: 2\r\n\r\nhi", ok + "Content-Length: 2\r\nConnection: keep-alive\r\n\r\nhi"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			c := dialWire(t, startPlain(t, startUpstream(t, answerAll(test.response)), patience))
			for range 2 { // the second on the same connections
				c.send(test.request)
				c.expect(test.want)
			}
		})
	}
}

// A body that ends with upstream's connection gets chunks, or, for a client
// that knows none, ends with the client's.
func TestResponseUntilClose(t *testing.T) {
	for _, test := range []struct{ name, request, response, want string }{
		{"HTTP/1.1", get, "HTTP/1.1 200 OK\r\n\r\nhi", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		{"old upstream", get, "HTTP/1.0 200 OK\r\n\r\nhi", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n"},
		{"old client", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nX-A: 1\r\n\r\nhi", "HTTP/1.1 200 OK\r\nX-A: 1\r\nConnection: close\r\n\r\nhi"},
		{"old client, chunks", "GET / HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
			"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nhi"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			upstream := startUpstream(t, func(c *wire, _ int) {
				if head := c.mustHead("GET / HTTP/1.1\r\n"); !strings.Contains(head, "Host:") {
					t.Errorf("no Host: %q", head)
				}
				c.send(test.response)
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send(test.request)
			c.expect(test.want)
			_ = c.CloseWrite()
			c.expectEnd()
		})
	}
}

func TestUpstreamFailures(t *testing.T) {
	for _, test := range []struct {
		name   string
		serve  func(*wire, int) // nil: nobody listens
		status string
		reason string
	}{
		{"down", nil, "502 Bad Gateway", "upstream is not reachable"},
		{"no answer", func(c *wire, _ int) { _, _ = c.head() }, "502 Bad Gateway", "upstream closed the connection without an answer"},
		{"half a head", func(c *wire, _ int) { _, _ = c.head(); c.send("HTTP/1.1 200 OK\r\nA: 1\r\n") }, "502 Bad Gateway", "upstream's answer is malformed"},
		{"no HTTP", func(c *wire, _ int) { _, _ = c.head(); c.send("SSH-2.0-x\r\n\r\n") }, "502 Bad Gateway", "upstream's answer is malformed"},
		{"two lengths", answerAll("HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n12"), "502 Bad Gateway", "upstream's answer is malformed"},
		{"unasked upgrade", answerAll("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: Upgrade\r\nX-Left: 1\r\n\r\n"), "502 Bad Gateway", "upstream's answer is malformed"},
		{"slow", func(c *wire, _ int) { c.mustHead("GET "); c.send("HTTP/1.1 200 OK\r\n"); c.expectEnd() }, "504 Gateway Timeout", "upstream did not answer in time"},
		{"silent", func(c *wire, _ int) { c.mustHead("GET "); c.expectEnd() }, "504 Gateway Timeout", "upstream did not answer in time"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address, limit := "127.0.0.1:1", patience
			if test.serve != nil {
				address = startUpstream(t, test.serve)
			}
			if strings.HasPrefix(test.status, "504") {
				limit = 50 * time.Millisecond
			}
			c := dialWire(t, startPlain(t, address, limit))
			c.send(get)
			c.expect("HTTP/1.1 " + test.status + "\r\nContent-Type: text/plain; charset=utf-8\r\n" +
				fmt.Sprintf("Content-Length: %d\r\n\r\n%s\n", len(test.reason)+1, test.reason))
		})
	}
}

func TestDialTimeout(t *testing.T) {
	f := forwarderTo("127.0.0.1:1", time.Nanosecond, patience, prometheus.NewRegistry())
	c := dialWire(t, startServer(t, f, f.serve))
	c.send(get)
	c.mustHead("HTTP/1.1 504 Gateway Timeout\r\n")
	c.expect("upstream did not take the connection in time\n")
}

// The time for a request's head does not count for its body.
func TestSlowHeadAndSlowBody(t *testing.T) {
	const headLimit = 50 * time.Millisecond
	upstream := startUpstream(t, func(c *wire, _ int) {
		c.mustHead("POST ")
		c.expect("1\r\na\r\n1\r\nb\r\n0\r\n\r\n")
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		c.expectEnd()
	})
	f := forwarderTo(upstream, patience, patience, prometheus.NewRegistry())
	address := startServer(t, f, f.serve, func(s *fasthttp.Server) { s.ReadTimeout = headLimit })

	slow := dialWire(t, address)
	slow.send("GET / HTTP/1.1\r\nHost:")
	slow.mustHead("HTTP/1.1 408 Request Timeout\r\n")
	slow.expect("request did not arrive in time\n")
	slow.expectEnd()

	upload := dialWire(t, address)
	upload.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	for _, chunk := range []string{"1\r\na\r\n", "1\r\nb\r\n", "0\r\n\r\n"} {
		time.Sleep(2 * headLimit) // what is tested is that nothing happens
		upload.send(chunk)
	}
	upload.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
}
