package proxy

import (
	"fmt"
	"runtime"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// An idle connection that upstream closes as the next request arrives is made
// good once, and only if a second execution does no harm.
func TestRetryOnStaleConnection(t *testing.T) {
	for _, test := range []struct {
		name, request string
		first         string // upstream's bytes before it closes
		want          string
		connections   int
	}{
		{"GET", get, "", "200", 2},
		{"DELETE", "DELETE / HTTP/1.1\r\nHost: h\r\n\r\n", "", "200", 2},
		{"POST", "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n", "", "502", 1},
		{"PUT with a body", "PUT / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\nhi", "", "502", 1},
		{"answer begun", get, "HTTP/1.1 2", "502", 1},
	} {
		t.Run(test.name, func(t *testing.T) {
			connections := make(chan int, 9)
			upstream := startUpstream(t, func(c *wire, nth int) {
				connections <- nth
				c.mustHead("")
				c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
				if nth > 1 {
					c.expectEnd()
				} else if _, err := c.head(); err == nil {
					c.send(test.first)
				}
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			c.send(get)
			c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			c.send(test.request)
			c.mustHead("HTTP/1.1 " + test.want + " ")
			if n := len(connections); n != test.connections {
				t.Errorf("%d connections, want %d", n, test.connections)
			}
		})
	}
}

func TestFreshConnectionIsNotRetried(t *testing.T) {
	connections := make(chan int, 9)
	upstream := startUpstream(t, func(c *wire, nth int) {
		connections <- nth
		_, _ = c.head()
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send(get)
	c.mustHead("HTTP/1.1 502 ")
	if n := len(connections); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A connection that upstream has closed, or on which it has said something
// unasked, is not used again, so that not even a POST meets it.
func TestClosedIdleConnectionIsNotUsed(t *testing.T) {
	for name, extra := range map[string]string{"closed": "", "unasked": "HTTP/1.1 200 OK\r\n\r\n"} {
		t.Run(name, func(t *testing.T) {
			over := make(chan struct{})
			upstream := startUpstream(t, func(c *wire, nth int) {
				c.mustHead("POST ")
				c.send(fmt.Sprintf("HTTP/1.1 20%d OK\r\nContent-Length: 0\r\n\r\n", nth))
				if nth == 1 {
					<-over
					c.send(extra)
				}
				if extra != "" || nth > 1 {
					c.expectEnd()
				}
			})
			f := forwarderTo(upstream, patience, patience, prometheus.NewRegistry())
			c := dialWire(t, startServer(t, f, f.serve))
			post := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n"
			c.send(post)
			c.mustHead("HTTP/1.1 201 ")
			f.mu.Lock()
			idle := f.idle[0].Conn
			f.mu.Unlock()
			close(over)
			for !readable(idle) {
				runtime.Gosched()
			}
			c.send(post)
			c.mustHead("HTTP/1.1 202 ")
		})
	}
}

func TestIdleConnectionsAreBounded(t *testing.T) {
	f := forwarderTo(startUpstream(t, func(c *wire, _ int) { c.expectEnd() }), patience, patience, prometheus.NewRegistry())
	defer f.close()
	for range idleLimit + 3 {
		uc, err := f.dialOne()
		if err != nil {
			t.Fatal(err)
		}
		f.keep(uc)
	}
	if n := len(f.idle); n != idleLimit {
		t.Errorf("%d idle connections, want %d", n, idleLimit)
	}
	for _, uc := range f.idle[:10] {
		uc.idleSince = time.Now().Add(-idleTimeout)
	}
	f.expire()
	if n := len(f.idle); n != idleLimit-10 {
		t.Errorf("%d idle connections after expiry, want %d", n, idleLimit-10)
	}
}

// A 1xx is an answer begun: the request is not sent again.
func TestNoRetryAfterInterimResponse(t *testing.T) {
	connections := make(chan int, 9)
	upstream := startUpstream(t, func(c *wire, nth int) {
		connections <- nth
		c.mustHead("GET ")
		c.send("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
		if _, err := c.head(); err == nil {
			c.send("HTTP/1.1 102 Processing\r\n\r\n")
		}
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send(get)
	c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	c.send(get)
	c.mustHead("HTTP/1.1 502 ")
	if n := len(connections); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// A 204 must have no body, but what says that it has one may send it: the connection
// is not used again.
func TestConnectionOfA204WithABody(t *testing.T) {
	for _, test := range []struct {
		framing string
		want    int // connections
	}{
		{"", 1},
		{"Content-Length: 0\r\n", 1},
		{"Content-Length: 5\r\n", 2},
		{"Transfer-Encoding: chunked\r\n", 2},
	} {
		t.Run(test.framing, func(t *testing.T) {
			connections := make(chan int, 9)
			upstream := startUpstream(t, func(c *wire, nth int) {
				connections <- nth
				for {
					if _, err := c.head(); err != nil {
						return
					}
					c.send("HTTP/1.1 204 No Content\r\n" + test.framing + "\r\n")
				}
			})
			c := dialWire(t, startPlain(t, upstream, patience))
			for range 2 {
				c.send(get)
				c.expect("HTTP/1.1 204 No Content\r\n\r\n")
			}
			if n := len(connections); n != test.want {
				t.Errorf("%d connections, want %d", n, test.want)
			}
		})
	}
}
