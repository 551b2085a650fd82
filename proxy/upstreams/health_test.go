package upstreams

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wswarden/config"
)

// checked returns what a health check of an address says; empty if all is well.
func (h *house) checked(m member) string {
	if err := h.check(h.t.Context(), m); err != nil {
		return err.Error()
	}
	return ""
}

// asking makes a Pool with a health path, whose own checks come only once in an hour.
func asking(t *testing.T, url string, change func(*config.Upstream)) (*house, member) {
	h := build(t, func(u *config.Upstream) {
		u.URL = url
		u.Health.Timeout = 10 * second
		if change != nil {
			change(u)
		}
	})
	if h.config.Health.Path == "" {
		h.config.Health.Path = "/healthz" // without a goroutine that asks for it
	}
	return h, h.members[0]
}

func TestHealthAnswers(t *testing.T) {
	t.Parallel()
	const head = "HTTP/1.1 200 OK\r\n"
	for _, tt := range []struct {
		name, answer, want string
	}{
		{"200", head + "Content-Length: 2\r\n\r\nok", ""},
		{"204", "HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"a redirect is good, and not followed", "HTTP/1.1 302 Found\r\nLocation: /bad\r\n\r\n", ""},
		{"399", "HTTP/1.1 399 Odd\r\n\r\n", ""},
		{"400", "HTTP/1.1 400 Bad Request\r\n\r\n", "status 400"},
		{"503", "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n", "status 503"},
		{"interim responses come before it", "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\n\r\n" + head + "\r\n", ""},
		{"nothing but interim responses", strings.Repeat("HTTP/1.1 100 Continue\r\n\r\n", 100), "too many interim responses"},
		{"101", "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n", "status 101"},
		{"nothing", "", "unexpected EOF"},
		{"no HTTP", "SSH-2.0-OpenSSH_9\r\n", `malformed HTTP response "SSH-2.0-OpenSSH_9"`},
		{"half a head", head + "Content-Length: 2\r\n", "unexpected EOF"},
		{"a head without end", head + strings.Repeat("X-More: 0123456789\r\n", 10_000), "unexpected EOF"},
		{"a body without end", head + "\r\n" + strings.Repeat("more", 100_000), ""},
		{"a body that is cut off", head + "Content-Length: 1000\r\n\r\nless", ""},
		{"HTTP/1.0", "HTTP/1.0 200 OK\r\n\r\n", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			ln := serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
				_, _ = http.ReadRequest(bufio.NewReader(conn))
				_, _ = io.WriteString(conn, tt.answer)
			})
			h, address := asking(t, "http://"+ln.Addr().String(), nil)
			if got := h.checked(address); got != tt.want {
				t.Errorf("%q, want %q", got, tt.want)
			}
		})
	}
}

// serve has each connection handled, which is closed then.
func serve(t *testing.T, network, address string, handle func(net.Conn)) net.Listener {
	t.Helper()
	ln, err := net.Listen(network, address)
	if err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			handle(conn)
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-ended
	})
	return ln
}

// A server that says nothing is given up when the timeout is over, or when the Pool is
// closed.
func TestHealthTimeout(t *testing.T) {
	t.Parallel()
	asked := make(chan struct{}, 1)
	ln := serve(t, "tcp", "127.0.0.1:0", func(conn net.Conn) {
		_, _ = http.ReadRequest(bufio.NewReader(conn))
		asked <- struct{}{}
		_, _ = conn.Read(make([]byte, 1)) // until it is closed
	})
	url := "http://" + ln.Addr().String()
	h, address := asking(t, url, func(u *config.Upstream) { u.Health.Timeout = 300 * time.Millisecond })
	if got := h.checked(address); got != "no answer in time" {
		t.Errorf("%q", got)
	}
	<-asked
	patient := build(t, func(u *config.Upstream) { u.URL, u.Health.Path, u.Health.Timeout = url, "/", time.Hour })
	<-asked
	patient.Close()
	if patient.at(ln.Addr().String()).Down() {
		t.Error("a check that was not answered, for wswarden's own sake, counts")
	}
	patient.wantLog()

	nobody, address := asking(t, "http://127.0.0.1:1", nil)
	if got := nobody.checked(address); !strings.Contains(got, "connection refused") {
		t.Errorf("%q", got)
	}
}

// The request is one that the server's own clients could make.
func TestHealthRequest(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "app.sock")
	for _, tt := range []struct {
		name, network, address, url, path, proxy string
		want                                     string // its beginning
	}{
		{"by address", "tcp", "127.0.0.1:0", "http://ADDRESS", "/healthz?full=1", "",
			"GET /healthz?full=1 HTTP/1.1\r\nHost: ADDRESS\r\n"},
		{"over a unix socket", "unix", socket, "unix:" + socket, "/a%20b", "",
			"GET /a%20b HTTP/1.1\r\nHost: localhost\r\n"},
		{"behind PROXY v1", "tcp", "127.0.0.1:0", "http://ADDRESS", "/", config.ProxyV1,
			"PROXY UNKNOWN\r\nGET / HTTP/1.1\r\n"},
		{"behind PROXY v2", "tcp", "127.0.0.1:0", "http://ADDRESS", "/", config.ProxyV2,
			"\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00GET / HTTP/1.1\r\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got := make(chan string, 1)
			ln := serve(t, tt.network, tt.address, func(conn net.Conn) {
				var request []byte
				for buf := make([]byte, 4096); !bytes.Contains(request, []byte("\r\nAccept: */*\r\n\r\n")); {
					n, err := conn.Read(buf)
					if request = append(request, buf[:n]...); err != nil {
						break
					}
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\n\r\n")
				got <- string(request)
			})
			fill := strings.NewReplacer("ADDRESS", ln.Addr().String()).Replace
			h, address := asking(t, fill(tt.url), func(u *config.Upstream) { u.ProxyProtocol = tt.proxy })
			h.config.Health.Path = tt.path
			if said := h.checked(address); said != "" {
				t.Error(said)
			}
			request := <-got
			if !strings.HasPrefix(request, fill(tt.want)) || !strings.Contains(request, "\r\nUser-Agent: wswarden\r\nConnection: close\r\n") {
				t.Errorf("%q, want %q", request, fill(tt.want))
			}
		})
	}
}

func TestHostHeader(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"http://app":            "app",
		"http://app:80":         "app",
		"https://app":           "app",
		"https://app:80":        "app:80",
		"http://app:443":        "app:443",
		"http://app:5080":       "app:5080",
		"http://[2001:db8::80]": "[2001:db8::80]",
		"unix:/run/app:80":      "localhost",
	} {
		if s, _ := config.ServerOf(url); hostHeader(s) != want {
			t.Errorf("%s: %q, want %q", url, hostHeader(s), want)
		}
	}
}

func TestHealthOverTLS(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		asked.Store(r.TLS.ServerName + " " + r.Host)
	}))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, 0)
	server.StartTLS()
	defer server.Close()
	roots := x509.NewCertPool()
	roots.AddCert(server.Certificate())
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())

	h := build(t, func(u *config.Upstream) { u.URL = "https://example.com:" + port })
	h.zone.set("example.com", answer{addrs: "127.0.0.1"})
	h.pick("")
	address := h.members[0]
	h.config.Health.Path, h.config.Health.Timeout = "/", 10*second
	if got := h.checked(address); !strings.Contains(got, "certificate") {
		t.Errorf("a certificate of nobody's is good: %q", got)
	}
	for _, c := range []struct {
		*tls.Config
		want string
	}{
		{&tls.Config{RootCAs: roots}, "example.com example.com:" + port},
		{&tls.Config{RootCAs: roots, ServerName: "www.example.com"}, "www.example.com example.com:" + port},
	} {
		h.Pool.options.TLS = func(s config.Server) *tls.Config {
			if s != address.server {
				t.Errorf("asked for %+v", s)
			}
			return c.Config
		}
		if got := h.checked(address); got != "" || asked.Load() != c.want {
			t.Errorf("%q; the server was asked for %v, want %s", got, asked.Load(), c.want)
		}
	}
}

// switched is a server that is well or not, as it is told.
type switched struct {
	*httptest.Server
	ill atomic.Bool
}

func newSwitched(t *testing.T) *switched {
	s := new(switched)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if s.ill.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *switched) label() string { return s.Listener.Addr().String() }

// often asks every few milliseconds.
func often(urls ...string) func(*config.Upstream) {
	return func(u *config.Upstream) {
		u.URLs = urls
		u.Health.Path, u.Health.Interval, u.Health.Timeout = "/", 2*time.Millisecond, 10*second
	}
}

// Health checks send sessions away from an address and back, tell the log, /readyz and
// metrics, and have its sessions end when they can go elsewhere.
func TestHealthCourse(t *testing.T) {
	t.Parallel()
	one, two := newSwitched(t), newSwitched(t)
	h := build(t, often(one.URL, two.URL))
	if h.at(one.label()).Down() || h.Ready(t.Context()) != nil {
		t.Error("down before it was asked")
	}

	one.ill.Store(true)
	if failing := <-h.failing; failing != h.at(one.label()) || !failing.Down() {
		t.Errorf("%s fails, want %s", failing, one.label())
	}
	if err := h.Ready(t.Context()); err != nil {
		t.Error(err)
	}
	enter(h.at(two.label()), 5)
	if got := h.pick(""); got != two.label()+" "+one.label() {
		t.Errorf("picked %s", got)
	}
	if m := h.metrics(); m["address_up "+one.label()] != 0 || m["address_up "+two.label()] != 1 || m["breaker_open "+one.label()] != 0 {
		t.Errorf("metrics %v", m)
	}
	h.awaitLog("WARN upstream's address down address=" + one.label() + " failures=3 error=status 503")

	// The other one as well: its sessions have nowhere to go, nor is there a choice.
	two.ill.Store(true)
	until(t, h.at(two.label()).Down)
	all := []string{one.label(), two.label()}
	err := h.Ready(t.Context())
	if err == nil || err.Error() != "health checks fail: "+strings.Join(all, ", ") {
		t.Errorf("%v", err)
	}
	if got := h.pick(""); got != one.label()+" "+two.label() {
		t.Errorf("picked %s", got)
	}
	h.awaitLog("WARN upstream's address down address=" + two.label() + " failures=3 error=status 503")

	// When there is one again, they can.
	one.ill.Store(false)
	if failing := <-h.failing; failing != h.at(two.label()) {
		t.Errorf("%s fails, want %s", failing, two.label())
	}
	two.ill.Store(false)
	until(t, func() bool { return !h.at(two.label()).Down() })
	h.awaitLog("INFO upstream's address up address="+one.label(), "INFO upstream's address up address="+two.label())

	// And again.
	two.ill.Store(true)
	if failing := <-h.failing; failing != h.at(two.label()) {
		t.Errorf("%s fails, want %s", failing, two.label())
	}
	h.reload(func(u *config.Upstream) { u.URLs = []string{one.URL, two.URL} })
	if h.at(two.label()).Down() {
		t.Error("there are no checks any more, and it is still down")
	}
	h.reload(func(u *config.Upstream) { often(one.URL, two.URL)(u); u.Health.Failures = 1 })
	if failing := <-h.failing; failing != h.at(two.label()) {
		t.Errorf("%s fails, want %s", failing, two.label())
	}
}

// Sessions are to leave an address that is down as long as there is another way, those
// too that have come while there was none.
func TestWhoseSessionsLeave(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a, "http://"+b)
	want := func(when, want string) {
		t.Helper()
		var failing []*Address
		h.Pool.options.Failing = func(a *Address) { failing = append(failing, a) }
		h.tellFailing(h.members)
		if got := join(failing); got != want {
			t.Errorf("%s: %q fails, want %q", when, got, want)
		}
	}
	want("all is well", "")
	down(h.at(a))
	want("down", a)
	want("down for another round", a)
	down(h.at(b))
	want("both down", "")
	h.at(b).answered(nil, 1)
	h.at(b).answered(nil, 1)
	want("the other one is up again", a)
	fail(h.at(b), 5)
	want("the other one's breaker is open", "")
	h.advance(h.config.Breaker.RetryAfter)
	want("the other one is due for a trial, which nobody makes", a)
}

// What a name has come to mean is asked, too, and a name that is not found is not ready.
func TestHealthOfNames(t *testing.T) {
	t.Parallel()
	one := newSwitched(t)
	one.ill.Store(true)
	_, port, _ := net.SplitHostPort(one.label())
	h := build(t, func(u *config.Upstream) {
		often("http://app:" + port)(u)
	})
	if err := h.Ready(t.Context()); err == nil || err.Error() != "no such host" {
		t.Errorf("%v", err)
	}
	h.zone.set("app", answer{addrs: "127.0.0.1"})
	h.advance(retryEvery)
	until(t, func() bool { return len(h.Addresses()) == 1 && h.Addresses()[0].Down() })
}

func TestReadyNamesSome(t *testing.T) {
	t.Parallel()
	h := of(t, several(30)...)
	for _, address := range h.Addresses() {
		down(address)
	}
	if err := h.Ready(t.Context()); err != nil {
		t.Errorf("%v, without health checks", err)
	}
	h.config.Health.Path = "/"
	err := h.Ready(t.Context())
	if err == nil || !strings.HasSuffix(err.Error(), "10.1.0.9:80, and 20 others") {
		t.Errorf("%v", err)
	}
}

// Where breakers send clients away, nobody is ready, however well the addresses are: until
// a client may try one of them.
func TestReadyAsksBreakers(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a, "http://"+b)
	h.config.Health.Path = "/"
	want := func(want string) {
		t.Helper()
		got := ""
		if err := h.Ready(t.Context()); err != nil {
			got = err.Error()
		}
		if got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
	fail(h.at(a), 5)
	want("")
	h.advance(second)
	fail(h.at(b), 5)
	want((&OpenError{RetryAfter: 4 * second}).Error())
	down(h.at(a))
	want((&OpenError{RetryAfter: 5 * second}).Error())
	h.advance(5 * second)
	want("")
	if got := h.pick(""); got != b {
		t.Errorf("picked %s for the trial", got)
	}
	want((&OpenError{RetryAfter: 5 * second}).Error())
	h.at(b).Connected()
	want("")
}

// Sidecars do not keep step.
func TestSpread(t *testing.T) {
	t.Parallel()
	var all []time.Duration
	for range 1000 {
		all = append(all, spread(10*second))
	}
	if least, most := slices.Min(all), slices.Max(all); least < 8*second || least > 9*second || most > 12*second || most < 11*second {
		t.Errorf("%s to %s", least, most)
	}
	for _, interval := range []time.Duration{1, 2, 1<<63 - 1} {
		if got := spread(interval); got <= 0 {
			t.Errorf("%s for %s", got, interval)
		}
	}
}

// An address is the same under another name, but is asked for by that one.
func TestHealthByTheNameInUse(t *testing.T) {
	t.Parallel()
	var asked atomic.Value
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { asked.Store(r.Host) }))
	defer server.Close()
	_, port, _ := net.SplitHostPort(server.Listener.Addr().String())
	h := build(t, often("http://before:"+port))
	h.zone.set("before", answer{addrs: "127.0.0.1"})
	h.zone.set("after", answer{addrs: "127.0.0.1"})
	h.advance(retryEvery)
	until(t, func() bool { return asked.Load() == "before:"+port })
	same := h.at("127.0.0.1:" + port)
	h.reload(often("http://after:" + port))
	until(t, func() bool { return asked.Load() == "after:"+port })
	if h.at("127.0.0.1:"+port) != same {
		t.Error("another address")
	}
}
