package proxy

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"wswarden/proxy/upstreams"
)

// series returns a metric's values by that of its one label, empty if it has none.
func series(t *testing.T, registry prometheus.Gatherer, name string) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
		for _, m := range family.GetMetric() {
			label := ""
			if labels := m.GetLabel(); len(labels) > 0 {
				label = labels[0].GetValue()
			}
			values[label] = m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return values
}

func wantSeries(t *testing.T, registry prometheus.Gatherer, name string, want map[string]float64) {
	t.Helper()
	if got := series(t, registry, name); !maps.Equal(got, want) {
		t.Errorf("%s: %v, want %v", name, got, want)
	}
}

func metered(upstream string, dialTimeout time.Duration) (*forwarder, *prometheus.Registry) {
	registry := prometheus.NewRegistry()
	return forwarderTo(upstream, dialTimeout, patience, registry), registry
}

// A request counts as its client was answered, whoever's answer that is.
func TestHTTPRequestsAreCounted(t *testing.T) {
	refused := startUpstream(t, func(*wire, int) {})
	for _, test := range []struct {
		name, request string
		upstream      string // what it answers; empty: nothing
		status, code  string
	}{
		{"upstream's", get, "200 OK", "200", "200"},
		{"upstream's refusal", get, "404 Not Found", "404", "404"},
		{"upstream's failure", get, "502 Bad Gateway", "502", "502"},
		{"a status of a later RFC", get, "425 Too Early", "425", "425"},
		{"a status that nobody knows", get, "299 Fine", "299", "other"},
		{"a status that cannot be", get, "999 Fine", "999", "other"},
		{"an upgrade that nobody asked for", get, "101 Switching Protocols", "502", "502"},
		{"to a client that reads to the end", "GET / HTTP/1.0\r\nHost: h\r\n\r\n", "200 OK", "200", "200"},
		{"no answer", get, "", "502", "502"},
		{"an ambiguous request", "GET / HTTP/1.1\r\nHost: h\r\nHost: h\r\n\r\n", "200 OK", "400", "400"},
		{"a bad chunk", "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "200 OK", "400", "400"},
		{"no request at all", "GET /\r\nHost: h\r\n\r\n", "200 OK", "400", "400"},
		{"a head too large", "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", headLimit) + "\r\n\r\n", "200 OK", "431", "431"},
		{"CONNECT", "CONNECT h:80 HTTP/1.1\r\nHost: h:80\r\n\r\n", "200 OK", "501", "501"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			upstream := refused
			if test.upstream != "" {
				upstream = startUpstream(t, answerAll("HTTP/1.1 "+test.upstream+"\r\nContent-Length: 0\r\n\r\n"))
			}
			f, registry := metered(upstream, patience)
			address := startServer(t, f, f.serve)
			want := map[string]float64{"200": 0, "400": 0, "502": 0, "504": 0}
			wantSeries(t, registry, "wswarden_http_requests_total", want)
			for range 2 {
				c := dialWire(t, address)
				c.send(test.request)
				c.mustHead("HTTP/1.1 " + test.status + " ")
				want[test.code]++
				wantSeries(t, registry, "wswarden_http_requests_total", want)
				_ = c.Close()
			}
		})
	}
}

// A connection that is kept, and then closed by its client, is no request more.
func TestClosedConnectionsAreNotCounted(t *testing.T) {
	f, registry := metered(startUpstream(t, answerAll("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")), patience)
	closed := make(chan struct{}, 2)
	address := startServer(t, f, f.serve, func(s *fasthttp.Server) {
		s.ConnState = func(_ net.Conn, state fasthttp.ConnState) {
			if state == fasthttp.StateClosed {
				closed <- struct{}{}
			}
		}
	})
	dialWire(t, address).leave(t)
	c := dialWire(t, address)
	for range 3 {
		c.send(get)
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	}
	c.leave(t)
	for range cap(closed) {
		select {
		case <-closed:
		case <-time.After(patience):
			t.Fatal("a connection stays open")
		}
	}
	wantSeries(t, registry, "wswarden_http_requests_total", map[string]float64{"200": 3, "400": 0, "502": 0, "504": 0})
	// And one connection to upstream was enough.
	wantSeries(t, registry, "wswarden_upstream_dials_total", map[string]float64{"connected": 1, "refused": 0, "timeout": 0, "unresolved": 0, "exhausted": 0, "held_back": 0})
}

// leave closes a client's connection.
func (c *wire) leave(t *testing.T) {
	t.Helper()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
}

// Each dial has one outcome, and the last tells whether upstream is up.
func TestDialsAreCounted(t *testing.T) {
	nobody := listen(t)
	_ = nobody.Close()
	for _, test := range []struct {
		outcome, upstream string
		timeout           time.Duration
		up                float64
	}{
		{"connected", startUpstream(t, answerAll("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")), patience, 1},
		{"refused", nobody.Addr().String(), patience, 0},
		{"timeout", nobody.Addr().String(), time.Nanosecond, 0},
		{"unresolved", "no..name:80", patience, 0},
	} {
		t.Run(test.outcome, func(t *testing.T) {
			f, registry := metered(test.upstream, test.timeout)
			address := startServer(t, f, f.serve)
			want := map[string]float64{"connected": 0, "refused": 0, "timeout": 0, "unresolved": 0, "exhausted": 0, "held_back": 0}
			wantSeries(t, registry, "wswarden_upstream_dials_total", want)
			wantSeries(t, registry, "wswarden_upstream_up", map[string]float64{"": 1})
			for range 2 {
				c := dialWire(t, address)
				c.send(get)
				c.mustHead("HTTP/1.1 ")
				want[test.outcome]++
				wantSeries(t, registry, "wswarden_upstream_dials_total", want)
				wantSeries(t, registry, "wswarden_upstream_up", map[string]float64{"": test.up})
			}
			f.dials.count(dialConnected)
			wantSeries(t, registry, "wswarden_upstream_up", map[string]float64{"": 1})
		})
	}
}

// What a name's lookup fails for is the name, even if it is for its time.
func TestDialOutcomes(t *testing.T) {
	for _, test := range []struct {
		err  error
		want dialOutcome
	}{
		{nil, dialConnected},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsNotFound: true}}, dialUnresolved},
		{&net.OpError{Op: "dial", Err: &net.DNSError{IsTimeout: true}}, dialUnresolved},
		{&net.OpError{Op: "dial", Err: &net.AddrError{}}, dialRefused},
		{&dialError{fmt.Errorf("dial upstream: %w", &net.OpError{Op: "dial", Err: lateError{}})}, dialTimeout},
		{errors.New("no route to host"), dialRefused},
		{&upstreams.OpenError{}, dialHeldBack},
		{&net.OpError{Op: "dial", Err: os.NewSyscallError("socket", syscall.EMFILE)}, dialExhausted},
	} {
		if got := dialOutcomeOf(test.err); got != test.want {
			t.Errorf("%v: %s, want %s", test.err, dialOutcomeNames[got], dialOutcomeNames[test.want])
		}
	}
}

type lateError struct{}

func (lateError) Error() string { return "i/o timeout" }
func (lateError) Timeout() bool { return true }

func TestUpstreamHandshakesAreCounted(t *testing.T) {
	registry := prometheus.NewRegistry()
	u := newUpstreamHandshakes(registry)
	want := map[string]float64{"switched": 0, "refused": 0, "malformed": 0, "lost": 0, "timeout": 0}
	wantSeries(t, registry, "wswarden_upstream_handshakes_total", want)
	for outcome, name := range map[handshakeOutcome]string{
		handshakeSwitched: "switched", handshakeRefused: "refused", handshakeMalformed: "malformed",
		handshakeLost: "lost", handshakeTimeout: "timeout",
	} {
		u.count(outcome)
		want[name]++
		wantSeries(t, registry, "wswarden_upstream_handshakes_total", want)
	}
}

// Counting must not allocate: it is done for each request.
func TestCountingAllocatesNothing(t *testing.T) {
	registry := prometheus.NewRegistry()
	requests, d, u := newHTTPRequests(registry), newDials(registry), newUpstreamHandshakes(registry)
	if n := testing.AllocsPerRun(100, func() {
		for _, status := range []int{0, 200, 299, 502, 1000, -1} {
			requests.count(status)
		}
		d.count(dialTimeout)
		u.count(handshakeSwitched)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	got := slices.Sorted(maps.Keys(series(t, registry, "wswarden_http_requests_total")))
	if want := []string{"200", "400", "502", "504", "other"}; !slices.Equal(got, want) {
		t.Errorf("codes %v, want %v", got, want)
	}
}
