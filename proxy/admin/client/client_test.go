package client

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wswarden/proxy/admin/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	long  = 30 * time.Second
	token = "a-token-that-is-long-enough"
)

// serve returns a client of a server that answers so.
func serve(t *testing.T, timeout time.Duration, answer http.HandlerFunc) *Client {
	t.Helper()
	server := httptest.NewServer(answer)
	t.Cleanup(server.Close)
	return connect(t, Options{Address: server.URL, Token: token, Timeout: timeout})
}

func connect(t *testing.T, o Options) *Client {
	t.Helper()
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAddress(t *testing.T) {
	t.Parallel()
	for address, want := range map[string]string{
		"127.0.0.1:9090":            "http://127.0.0.1:9090",
		":9090":                     "http://127.0.0.1:9090",
		"0.0.0.0:9090":              "http://127.0.0.1:9090",
		"[::]:9090":                 "http://[::1]:9090",
		"[::1]:9090":                "http://[::1]:9090",
		"warden:9090":               "http://warden:9090",
		"http://warden":             "http://warden",
		"https://gateway/warden/?x": "https://gateway/warden/",
		"9090":                      "",
		"":                          "",
		"warden":                    "",
		"http://":                   "",
		"ftp://warden":              "",
		"http://u:p@warden":         "",
		"127.0.0.1:port":            "",
	} {
		c, err := New(Options{Address: address, Timeout: long})
		switch {
		case err != nil && (want != "" || !strings.Contains(err.Error(), "127.0.0.1:9090")):
			t.Errorf("%q: %v", address, err)
		case err == nil && c.base.String() != want:
			t.Errorf("%q: %s, want %q", address, c.base, want)
		}
	}
}

// What is asked is what the API understands. Only the hash of an identity is sent.
func TestRequests(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	filter := api.Filter{Policy: "p", Identity: api.HashIdentity("alice"), IdleFor: time.Minute}
	const filtered = "identity_hash=2bd806c97f0e00af&idle_for=1m0s&"
	for want, ask := range map[string]func(c *Client) error{
		"GET /v1/sessions?" + filtered + "limit=7&policy=p&sort=-age": func(c *Client) error {
			_, err := c.Sessions(ctx, filter, "-age", 7)
			return err
		},
		"GET /v1/sessions/00000000000000ff?": func(c *Client) error {
			_, err := c.Session(ctx, 255)
			return err
		},
		"DELETE /v1/sessions/00000000000000ff?code=1012&reason=go+away": func(c *Client) error {
			_, err := c.EndOne(ctx, 255, 1012, "go away")
			return err
		},
		"DELETE /v1/sessions?" + filtered + "policy=p": func(c *Client) error {
			_, err := c.End(ctx, filter, 0, "")
			return err
		},
		"GET /v1/topics?" + filtered + "limit=3&policy=p": func(c *Client) error {
			_, err := c.Topics(ctx, filter, 3)
			return err
		},
		"GET /v1/report?policy=p&window=30m0s": func(c *Client) error {
			_, err := c.Report(ctx, "p", 30*time.Minute)
			return err
		},
		"GET /v1/report?window=1h0m0s": func(c *Client) error {
			_, err := c.Report(ctx, "", time.Hour)
			return err
		},
		"POST /v1/reload?": func(c *Client) error {
			_, err := c.Reload(ctx)
			return err
		},
		"POST /v1/drain?": func(c *Client) error {
			_, err := c.Drain(ctx)
			return err
		},
		"GET /readyz?verbose=": func(c *Client) error {
			_, err := c.Ready(ctx)
			return err
		},
		"GET /healthz?": func(c *Client) error { return c.Live(ctx) },
	} {
		var got, bearer string
		c := serve(t, long, func(w http.ResponseWriter, r *http.Request) {
			got, bearer = r.Method+" "+r.URL.Path+"?"+r.URL.RawQuery, r.Header.Get("Authorization")
			_, _ = io.WriteString(w, "{}")
		})
		if err := ask(c); err != nil || got != want || bearer != "Bearer "+token {
			t.Errorf("%v, asked %s with %q, want %s", err, got, bearer, want)
		}
	}
}

// Every error is one line, names what it is about, and says what to do.
func TestErrors(t *testing.T) {
	t.Parallel()
	says := func(status int, text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, text)
		}
	}
	breaks := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
	}
	hangs := func(text string) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, text)
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
		}
	}
	const short = 50 * time.Millisecond
	for name, tt := range map[string]struct {
		timeout time.Duration
		answer  http.HandlerFunc
		want    []string
	}{
		"wrong token":        {long, says(401, `{"error":"the token is wrong"}`), []string{"does not know this token", "--token-file"}},
		"401 of others":      {long, says(401, ``), []string{"does not know this token", "--token-file"}},
		"foreign Host":       {long, says(403, `{"error":"Host evil is not allowed"}`), []string{"Host evil", "--admin"}},
		"control characters": {long, says(500, `{"error":"a\u001b[2J\nb"}`), []string{"a [2J b"}},
		"wrong field":        {long, says(400, `{"error":"\"x\" is no state","field":"state"}`), []string{"state: ", "is no state"}},
		"another server":     {long, says(404, `<html>`), []string{"404", "--admin"}},
		"another JSON":       {long, says(500, `[]`), []string{"500", "--admin"}},
		"redirect":           {long, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/login", http.StatusFound) }, []string{"302", "--admin"}},
		"no JSON":            {long, says(200, `hello`), []string{"cannot be read", "--admin"}},
		"breaks off":         {long, breaks(`{"sessions":[`), []string{"broken off"}},
		"breaks off at once": {long, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, []string{"broken off"}},
		"hangs":              {short, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, []string{"has not answered for 50ms", "--timeout"}},
		"hangs in the midst": {short, hangs(`{"sessions":[`), []string{"has not answered for 50ms", "--timeout"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := serve(t, tt.timeout, tt.answer)
			_, err := c.Sessions(context.Background(), api.Filter{}, "", 1)
			wantError(t, err, tt.want...)
			for _, err = range c.AllSessions(context.Background(), api.Filter{}) {
			}
			wantError(t, err, tt.want...)
		})
	}
}

func wantError(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil || strings.Contains(err.Error(), "\n") {
		t.Fatalf("%v, want an error in one line", err)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("%q does not say %q", err, part)
		}
	}
}

func TestUnreachable(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = ln.Close()
	err = connect(t, Options{Address: ln.Addr().String(), Timeout: long}).Live(context.Background())
	wantError(t, err, ln.Addr().String(), "connection refused", "--admin")
	if !Refused(err) {
		t.Error("it is not told as refused")
	}
	err = connect(t, Options{Address: "wswarden.invalid:9090", Timeout: long}).Live(context.Background())
	wantError(t, err, "wswarden.invalid", "--admin")
}

// What speaks something else than HTTP.
func TestStranger(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if conn, err := ln.Accept(); err == nil {
			_, _ = conn.Read(make([]byte, 1))
			_, _ = io.WriteString(conn, "220 mail.example.com\r\n")
			_ = conn.Close()
		}
	}()
	err = connect(t, Options{Address: ln.Addr().String(), Timeout: long}).Live(context.Background())
	wantError(t, err, ln.Addr().String(), "--admin")
}

func TestReadiness(t *testing.T) {
	t.Parallel()
	c := serve(t, long, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"ready":false,"checks":{"draining":"since 3s"}}`)
	})
	r, err := c.Ready(context.Background())
	if err != nil || r.Ready || r.Checks["draining"] != "since 3s" {
		t.Errorf("%v, %v", r, err)
	}
}

// All sessions come as they are streamed, however long that takes.
// Each problem of a configuration is a line, and harmless.
func TestProblems(t *testing.T) {
	t.Parallel()
	c := serve(t, long, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusUnprocessableEntity)
		_, _ = io.WriteString(w, `{"error":"refused","problems":["a.yaml:1:1: listeners: is missing","\u001b[2J\n"]}`)
	})
	_, err := c.Reload(context.Background())
	no, is := errors.AsType[*Error](err)
	if !is || no.Status != 422 || err.Error() != "refused" || !slices.Equal(no.Problems(), []string{"a.yaml:1:1: listeners: is missing", " [2J "}) {
		t.Errorf("%v, %v", err, no)
	}
}

func TestAllSessions(t *testing.T) {
	t.Parallel()
	c := serve(t, long, func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/x-ndjson" {
			t.Errorf("asked for %q", r.Header.Get("Accept"))
		}
		for i := range 3000 {
			_, _ = fmt.Fprintf(w, `{"id":"%016x","policy":"p","address":"10.0.0.1","state":"open"}`+"\n", i)
		}
	})
	n := 0
	for s, err := range c.AllSessions(context.Background(), api.Filter{}) {
		if err != nil || s.ID != api.ID(n) {
			t.Fatalf("%v, %v", s, err)
		}
		n++
	}
	if n != 3000 {
		t.Errorf("%d sessions", n)
	}
}

// Events are yielded one by one; comments and names are passed over, and the end of
// the stream is an error: it goes on for ever.
func TestEvents(t *testing.T) {
	t.Parallel()
	const first = ": hello\n\nevent: opened\nid: 1\ndata: {\"kind\":\"opened\",\ndata: \"session\":\"00000000000000ff\"}\n\n"
	const second = "data:{\"kind\":\"ended\",\"session\":\"00000000000000ff\",\"ending\":{\"cause\":\"idle\"}}\n\n"
	more := make(chan struct{})
	c := serve(t, long, func(w http.ResponseWriter, r *http.Request) {
		if got := r.URL.RawQuery; got != "kind=opened&kind=ended&policy=p&replay=3&session=00000000000000ff" {
			t.Errorf("asked for %q", got)
		}
		_, _ = io.WriteString(w, first)
		_ = http.NewResponseController(w).Flush()
		<-more
		_, _ = io.WriteString(w, second+"data: {\"ki")
	})
	var kinds []api.EventKind
	var last error
	for e, err := range c.Events(context.Background(), Watch{Kinds: []api.EventKind{"opened", "ended"}, Policy: "p", Session: "00000000000000ff", Replay: 3}) {
		if last = err; err == nil {
			kinds = append(kinds, e.Kind)
		}
		if len(kinds) == 1 {
			close(more)
		}
	}
	if !slices.Equal(kinds, []api.EventKind{"opened", "ended"}) {
		t.Errorf("%v", kinds)
	}
	wantError(t, last, "broken off")
}

// Whoever watches may be told nothing for longer than an answer may take.
func TestEventsSilence(t *testing.T) {
	t.Parallel()
	const timeout = 2 * time.Second
	c := serve(t, timeout, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-time.After(timeout + timeout/2)
		_, _ = io.WriteString(w, "data: {\"kind\":\"opened\"}\n\n")
	})
	for e, err := range c.Events(context.Background(), Watch{}) {
		if err != nil || e.Kind != api.EventOpened {
			t.Errorf("%v, %v", e, err)
		}
		break
	}
}

func TestCounters(t *testing.T) {
	t.Parallel()
	c := serve(t, long, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `# TYPE wswarden_draining gauge
wswarden_draining 1
# TYPE wswarden_sessions_live gauge
wswarden_sessions_live{policy="a"} 3
wswarden_sessions_live{policy="b"} 4
# TYPE wswarden_sessions_opened_total counter
wswarden_sessions_opened_total{policy="a"} 10
wswarden_sessions_opened_total{policy="b"} 20
# TYPE wswarden_sessions_ended_total counter
wswarden_sessions_ended_total{policy="a",cause="idle"} 1
wswarden_sessions_ended_total{policy="b",cause="idle"} 2
wswarden_sessions_ended_total{policy="b",cause="killed"} 5
`)
	})
	for policy, want := range map[string]string{
		"":  "{7 true 30 map[idle:3 killed:5]}",
		"b": "{4 true 20 map[idle:2 killed:5]}",
	} {
		got, err := c.Counters(context.Background(), policy)
		if err != nil || fmt.Sprint(got) != want {
			t.Errorf("policy %q: %v, %v, want %s", policy, got, err, want)
		}
	}
}
