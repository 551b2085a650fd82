package webhook

import (
	"bufio"
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"wswarden/policies"
)

func TestDelivered(t *testing.T) {
	for _, scheme := range []string{"http", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := &script{answers: []http.HandlerFunc{status(204)}}
			server := httptest.NewUnstartedServer(s)
			f := start(t)
			if scheme == "https" {
				server.StartTLS()
				roots := server.Client().Transport.(*http.Transport).TLSClientConfig
				f.client.Transport.(*http.Transport).DialTLSContext = dialer(f.ctx, &tls.Dialer{Config: roots})
			} else {
				server.Start()
			}
			defer server.Close()
			f.newID = func() string { return "ID" }

			report := aReport()
			want := string(report.encode("ID"))
			f.hook(strings.Replace(server.URL, "://", "://who:secret@", 1)+"/path?q=1", 1).Send(report)
			f.settle()
			if len(s.requests()) != 1 {
				t.Fatalf("%d requests", len(s.requests()))
			}
			got := s.requests()[0]
			if got.body != want {
				t.Errorf("body %s\nwant %s", got.body, want)
			}
			for name, value := range map[string]string{
				"Content-Type":    "application/json",
				"Idempotency-Key": "ID",
				"User-Agent":      "wswarden",
				"Authorization":   "Basic d2hvOnNlY3JldA==",
				"Accept-Encoding": "",
			} {
				if got.header.Get(name) != value {
					t.Errorf("%s: %q, want %q", name, got.header.Get(name), value)
				}
			}
			f.wantOutcomes(map[string]int{"delivered": 1})
			if n := f.attempts("accepted"); n != 1 {
				t.Errorf("%d attempts accepted", n)
			}
		})
	}
}

func TestEveryReportHasAnIDOfItsOwn(t *testing.T) {
	s := &script{answers: []http.HandlerFunc{status(200)}}
	server := httptest.NewServer(s)
	defer server.Close()
	f := start(t)
	hook := f.hook(server.URL, 1)
	const reports = 50
	for range reports {
		hook.Send(aReport()) // the same session's, for all that can be seen
	}
	f.settle()
	ids := map[string]bool{}
	for _, r := range s.requests() {
		ids[r.header.Get("Idempotency-Key")] = true
	}
	if len(ids) != reports {
		t.Errorf("%d ids for %d reports", len(ids), reports)
	}
}

// What each answer means for the report and for the next attempt, of which there
// are two at most.
func TestAnswers(t *testing.T) {
	for _, test := range []struct {
		codes    []int
		result   string
		outcome  string
		attempts int
	}{
		{[]int{200, 201, 202, 204, 299}, "accepted", "delivered", 1},
		{[]int{300, 301, 302, 303, 304, 307, 308}, "refused", "rejected", 1},
		{[]int{400, 401, 403, 404, 405, 409, 410, 413, 415, 422, 425, 451}, "refused", "rejected", 1},
		{[]int{408, 429}, "busy", "dropped_attempts", 2},
		{[]int{500, 501, 502, 503, 504, 599}, "server_error", "dropped_attempts", 2},
		{[]int{600, 999}, "server_error", "dropped_attempts", 2},
	} {
		for _, code := range test.codes {
			t.Run(http.StatusText(code), func(t *testing.T) {
				s := &script{answers: []http.HandlerFunc{func(w http.ResponseWriter, _ *http.Request) {
					w.Header().Set("Location", "/elsewhere")
					w.WriteHeader(code)
				}}}
				server := httptest.NewServer(s)
				defer server.Close()
				f := impatient(t)
				f.hook(server.URL, 2).Send(aReport())
				f.settle()
				f.wantOutcomes(map[string]int{test.outcome: 1})
				if n := f.attempts(test.result); n != test.attempts {
					t.Errorf("%d attempts %s, want %d", n, test.result, test.attempts)
				}
				if n := len(s.requests()); n != test.attempts {
					t.Errorf("%d requests, want %d", n, test.attempts)
				}
			})
		}
	}
}

// A server that misbehaves costs its own reports, and no more of wswarden than
// an attempt each.
func TestServersThatFail(t *testing.T) {
	for _, test := range []struct {
		name    string
		scheme  string
		serve   func(net.Conn) // closes the connection when it returns
		result  string
		outcome string
	}{
		{"never answers", "http", deaf, "timeout", "dropped_attempts"},
		{"never finishes its head", "http", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "HTTP/1.1 200 OK\r\nX: ")
			deaf(c)
		}, "timeout", "dropped_attempts"},
		{"has an endless head", "http", func(c net.Conn) {
			readRequest(c)
			writeEndlessly(c, "HTTP/1.1 200 OK\r\n", "X: "+strings.Repeat("x", 1000)+"\r\n")
		}, "connection_error", "dropped_attempts"},
		{"resets", "http", func(c net.Conn) {
			readRequest(c)
			_ = c.(*net.TCPConn).SetLinger(0)
		}, "connection_error", "dropped_attempts"},
		{"closes", "http", readRequest, "connection_error", "dropped_attempts"},
		{"does not speak HTTP", "http", func(c net.Conn) {
			readRequest(c)
			_, _ = io.WriteString(c, "220 mail "+strings.Repeat("x", 2*maxReason)+"\r\n")
			deaf(c)
		}, "connection_error", "dropped_attempts"},
		{"never shakes hands", "https", deaf, "timeout", "dropped_attempts"},
		{"has an endless body", "http", func(c net.Conn) {
			readRequest(c)
			writeEndlessly(c, "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n\r\n", strings.Repeat("x", 1000))
		}, "accepted", "delivered"},
	} {
		t.Run(test.name, func(t *testing.T) {
			f := impatient(t)
			ln, connections := listen(t, test.serve)
			timeout, attempts := time.Minute, 2
			if test.result == "timeout" {
				timeout = 50 * time.Millisecond
			}
			if test.outcome == "delivered" {
				attempts = 1
			}
			hook := f.Hook("p", policies.Webhook{URL: test.scheme + "://" + ln.Addr().String(), Timeout: timeout, Attempts: 2})
			hook.Send(aReport())
			f.settle()
			f.wantOutcomes(map[string]int{test.outcome: 1})
			if n := f.attempts(test.result); n != attempts {
				t.Errorf("%d attempts %s, want %d; log: %s", n, test.result, attempts, f.log.lines())
			}
			if n := connections(); n > attempts {
				t.Errorf("%d connections for %d attempts", n, attempts)
			}
			for _, line := range f.log.lines() {
				if len(line) > 2*maxReason {
					t.Errorf("a line of %d bytes: %s", len(line), line)
				}
			}
		})
	}
}

// deaf reads until the client has gone.
func deaf(c net.Conn) { _, _ = io.Copy(io.Discard, c) }

func readRequest(c net.Conn) {
	if r, err := http.ReadRequest(bufio.NewReader(c)); err == nil {
		_, _ = io.Copy(io.Discard, r.Body)
	}
}

func writeEndlessly(c net.Conn, first, then string) {
	_, err := io.WriteString(c, first)
	for err == nil {
		_, err = io.WriteString(c, then)
	}
}

// listen accepts connections until the test ends.
func listen(t *testing.T, serve func(net.Conn)) (ln net.Listener, connections func() int) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var accepted atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			accepted.Add(1)
			go func() {
				serve(c)
				_ = c.Close()
			}()
		}
	}()
	t.Cleanup(func() {
		_ = ln.Close()
		<-done
	})
	return ln, func() int { return int(accepted.Load()) }
}

func TestNobodyListens(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	f := impatient(t)
	f.hook("http://"+ln.Addr().String(), 3).Send(aReport())
	f.settle()
	f.wantOutcomes(map[string]int{"dropped_attempts": 1})
	if n := f.attempts("connection_error"); n != 3 {
		t.Errorf("%d attempts", n)
	}
}

// One connection serves reports that come one by one, whatever the answers.
func TestConnectionIsUsedAgain(t *testing.T) {
	body := func(code, size int) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(code)
			_, _ = io.WriteString(w, strings.Repeat("x", size))
		}
	}
	s := &script{answers: []http.HandlerFunc{status(200), body(200, maxAnswer-1), body(503, 1000), body(404, 1), status(204)}}
	server := httptest.NewUnstartedServer(s)
	var connections atomic.Int64
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	f := impatient(t)
	hook := f.hook(server.URL, 2)
	for range 10 {
		hook.Send(aReport())
		f.settle()
	}
	if n := connections.Load(); n != 1 {
		t.Errorf("%d connections for %d requests", n, len(s.requests()))
	}
	f.wantOutcomes(map[string]int{"delivered": 9, "rejected": 1})
}

// The environment's proxy is not asked: a report goes where the URL says.
func TestNoProxy(t *testing.T) {
	if newClient(context.Background()).Transport.(*http.Transport).Proxy != nil {
		t.Error("a proxy would be asked")
	}
}
