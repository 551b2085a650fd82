package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// The next event is sent when the one before has been read: no buffer fills.
func TestEventsAreDeliveredAtOnce(t *testing.T) {
	for name, framing := range map[string]string{"chunked": "Transfer-Encoding: chunked\r\n", "until close": "", "length": "Content-Length: 33\r\n"} {
		t.Run(name, func(t *testing.T) {
			read := make(chan struct{})
			upstream := startUpstream(t, func(c *wire, _ int) {
				c.mustHead("GET ")
				c.send("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n" + framing + "\r\n")
				for i := range 3 {
					<-read
					event := fmt.Sprintf("data: %d\n\n\n\n", i)
					if name == "chunked" {
						event = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
					}
					c.send(event)
				}
				<-read
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send(get)
			c.mustHead("HTTP/1.1 200 OK\r\n") // before the first event
			for i := range 3 {
				read <- struct{}{}
				event := fmt.Sprintf("data: %d\n\n\n\n", i)
				if name != "length" {
					event = fmt.Sprintf("%x\r\n%s\r\n", len(event), event)
				}
				c.expect(event)
			}
			read <- struct{}{}
		})
	}
}

func TestClientGoingAwayClosesUpstream(t *testing.T) {
	const post = "POST / HTTP/1.1\r\nHost: h\r\n"
	for _, test := range []struct {
		name, request, response, received string
	}{
		{"before the response", get, "", ""},
		{"in a silent chunked body", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "2\r\nhi\r\n"},
		{"in a silent body with a length", get, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "hi"},
		{"with a request waiting", get + get, "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "hi"},
		{"HTTP/1.0", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\n\r\nhi", "hi"},
		{"after a small upload", post + "Content-Length: 2\r\n\r\nhi", "", ""},
		{"in an upload with a length", post + "Content-Length: 100000\r\n\r\n" + strings.Repeat("x", 9000), "", ""},
		{"in a chunk", post + "Transfer-Encoding: chunked\r\n\r\n9\r\nhi", "", ""},
		{"between chunks", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "", ""},
		{"before the trailers", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n", "", ""},
		{"in an upload that is answered already", post + "Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhi", "hi"},
	} {
		t.Run(test.name, func(t *testing.T) {
			started, ended := make(chan struct{}), make(chan []byte, 1)
			upstream := startUpstream(t, func(c *wire, _ int) {
				_, _ = c.head()
				c.send(test.response)
				close(started)
				rest, err := io.ReadAll(c.br)
				if isTimeout(err) {
					t.Error("upstream connection stays open")
				}
				ended <- rest
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send(test.request)
			<-started
			if test.response != "" {
				c.mustHead("HTTP/1.1 200 OK\r\n")
				c.expect(test.received)
			}
			_ = c.Close()
			if rest := <-ended; bytes.HasSuffix(rest, []byte("0\r\n\r\n")) {
				t.Errorf("upstream got a complete request: %q", rest)
			}
		})
	}
}

// A body that upstream breaks off never looks complete.
func TestUpstreamDyingInBody(t *testing.T) {
	for _, test := range []struct{ name, request, response string }{
		{"length", get, "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhi"},
		{"chunked", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"},
		{"in a chunk", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhi"},
		{"before the trailers", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n"},
		{"bad chunk", get, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\nzz\r\n0\r\n\r\n"},
		{"chunked, old client", "GET / HTTP/1.0\r\n\r\n", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			upstream := startUpstream(t, func(c *wire, _ int) {
				c.mustHead("GET ")
				c.send(test.response)
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send(test.request)
			response, err := http.ReadResponse(c.br, nil)
			if err != nil {
				if errors.Is(err, net.ErrClosed) || isTimeout(err) {
					t.Fatal(err)
				}
				return // the reset overtook the head
			}
			if body, err := io.ReadAll(response.Body); err == nil || isTimeout(err) {
				t.Errorf("got %q and %v, want a broken body", body, err)
			}
		})
	}
}

func TestUpstreamResetUntilClose(t *testing.T) {
	for _, request := range []string{get, "GET / HTTP/1.0\r\n\r\n"} {
		upstreamMayReset := make(chan struct{})
		upstream := startUpstream(t, func(c *wire, _ int) {
			c.mustHead("GET ")
			c.send("HTTP/1.1 200 OK\r\n\r\nhi")
			<-upstreamMayReset
			_ = c.SetLinger(0)
		})
		c := dialWire(t, startPlain(t, upstream, patience))
		c.send(request)
		response, err := http.ReadResponse(c.br, nil)
		if err != nil {
			t.Fatal(err)
		}
		close(upstreamMayReset)
		if body, err := io.ReadAll(response.Body); err == nil || isTimeout(err) {
			t.Errorf("%.20q: got %q and %v, want a broken body", request, body, err)
		}
	}
}

// Upstream refuses an upload after its head: the client, still sending, gets
// the answer, in whatever framing, and the end of the connection.
func TestEarlyAnswer(t *testing.T) {
	for name, test := range map[string]struct{ response, want string }{
		"length":  {"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno", "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"},
		"chunked": {"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n", "HTTP/1.1 413 Too Large\r\nConnection: close\r\n\r\nno"},
		"204":     {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			upstream := startUpstream(t, func(c *wire, _ int) {
				c.mustHead("POST ")
				c.send(test.response)
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10000000\r\n\r\n" + strings.Repeat("x", 1<<20))
			c.expect(test.want)
			_, _ = io.WriteString(c, smuggled)
			_ = c.CloseWrite()
			c.expectEnd()
		})
	}
}

// Both directions of one exchange move on their own.
func TestRequestAndResponseStreamTogether(t *testing.T) {
	upstream := startUpstream(t, func(c *wire, _ int) {
		c.mustHead("POST ")
		c.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
		for range 3 {
			c.expect("4\r\nping\r\n")
			c.send("4\r\npong\r\n")
		}
		c.expect("0\r\nX-Sum: 1\r\n\r\n")
		c.send("0\r\n\r\n")
		c.expectEnd()
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n4\r\nping\r\n")
	c.mustHead("HTTP/1.1 200 OK\r\n")
	for i := range 3 {
		c.expect("pong")
		if i < 2 {
			c.send("4;ext=1\r\nping\r\n")
		}
	}
	c.send("0\r\nX-Sum: 1\r\n\r\n")
	_, _ = io.Copy(io.Discard, c.br)
}

func TestExpectContinue(t *testing.T) {
	for _, name := range []string{"Expect", "expect", "EXPECT"} {
		t.Run(name, func(t *testing.T) {
			upstream := startUpstream(t, func(c *wire, _ int) {
				if head := c.mustHead("PUT "); strings.Count(head, "\r\n"+name+": 100-continue\r\n") != 1 || strings.Count(strings.ToLower(head), "expect") != 1 {
					t.Errorf("got %q", head)
				}
				c.send("HTTP/1.1 100 Continue\r\n\r\n")
				c.expect("hello")
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				c.expectEnd()
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send("PUT / HTTP/1.1\r\nHost: h\r\n" + name + ": 100-continue\r\nContent-Length: 5\r\n\r\n")
			c.expect("HTTP/1.1 100 Continue\r\n\r\n")
			c.send("hello")
			c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		})
	}
}

// The seam of a WebSocket handshake that upstream refuses.
func TestRespond(t *testing.T) {
	upstream := startUpstream(t, answerAll("HTTP/1.1 401 Unauthorized\r\nX-why: token\r\nContent-Length: 2\r\n\r\nno"))
	f := forwarderTo(upstream, patience, patience, prometheus.NewRegistry())
	c := dialWire(t, startServer(t, f, func(ctx *fasthttp.RequestCtx) {
		head, err := checkRequestHead(&ctx.Request.Header, true)
		if err != nil {
			t.Error(err)
		}
		uc, err := f.dialOne()
		if err != nil {
			t.Error(err)
			return
		}
		_, err = uc.Write(head.appendTo(nil, newPeer(ctx, nil), true))
		if err = errors.Join(err, uc.readHead(&ctx.Response.Header)); err != nil {
			t.Error(err)
			return
		}
		f.respond(ctx, uc)
	}))
	for range 2 {
		c.send(browserHandshake)
		c.expect("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\nX-why: token\r\n\r\nno")
	}
}
