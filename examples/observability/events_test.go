package observability

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/alicebob/miniredis/v2"
	"github.com/coder/websocket"
)

// scene is wswarden with all that it has to do with.
type scene struct {
	*wswarden
	t        *testing.T
	upstream *httptest.Server
	redis    *miniredis.Miniredis
}

// Passengers are pinged at once, the crew hardly ever. Of guests it is only observed
// what the rules for passengers would do.
const configuration = `
listeners: [{ address: "127.0.0.1:0" }]
upstream: { url: %q }
admin: { address: "ADMIN", token_file: "TOKEN" }
drain: { timeout: 1m, spread: 0s }
store: { kind: redis, url: "redis://%s" }
policies:
  - name: passengers
    match: { path: /passengers/** }
    heartbeat: { interval: 500ms, timeout: 500ms }
    upstream_heartbeat: { interval: 50ms, timeout: 10s }
    dialect: rac
    subscriptions: { max: 1 }
    connections: { max: 1000 }
    release:
      grace: 500ms
      webhook: { url: %q }
  - name: guests
    match: { path: /guests/** }
    mode: observe
    heartbeat: { interval: 50ms, timeout: 50ms }
    idle: { timeout: 300ms }
    dialect: rac
    subscriptions: { max: 1 }
  - name: crew
    release: { grace: 1m }
`

// open sets the scene.
func open(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, upstream: httptest.NewServer(http.HandlerFunc(serve)), redis: miniredis.RunT(t)}
	t.Cleanup(s.upstream.Close)
	refusing := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
	}))
	t.Cleanup(refusing.Close)
	s.wswarden = startWswarden(t, fmt.Sprintf(configuration, s.upstream.URL, s.redis.Addr(), refusing.URL))
	return s
}

// serve is upstream: an echo, apart from a path on which it hangs up and one that
// has no WebSocket.
func serve(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/passengers/lost":
		panic(http.ErrAbortHandler)
	case "/passengers/refused":
		w.WriteHeader(http.StatusUnauthorized)
		return
	case "/plain":
		_, _ = io.WriteString(w, "plain")
		return
	}
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return
	}
	defer func() { _ = conn.CloseNow() }()
	for {
		kind, message, err := conn.Read(r.Context())
		if err != nil || conn.Write(r.Context(), kind, message) != nil {
			return
		}
	}
}

// client begins a session that lives: it answers pings, and hands on what it reads.
func (s *scene) client(path string) (conn *websocket.Conn, messages <-chan string) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	conn, _, err := websocket.Dial(ctx, "ws://"+s.address+path, nil)
	if err != nil {
		cancel()
		s.t.Fatal(err)
	}
	read, ended := make(chan string, 10_000), make(chan struct{})
	go func() {
		defer close(ended)
		defer close(read)
		for {
			_, message, err := conn.Read(ctx)
			if err != nil {
				return
			}
			read <- string(message)
		}
	}()
	s.t.Cleanup(func() {
		cancel()
		_ = conn.CloseNow()
		<-ended
	})
	return conn, read
}

// request asks wswarden, by a connection of its own that stays open, and returns the
// status. Headers are lines.
func (s *scene) request(path, headers string) int {
	s.t.Helper()
	conn, err := net.Dial("tcp", s.address)
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = conn.Close() })
	_, _ = fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\n%s\r\n", path, headers)
	answer, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		s.t.Fatal(err)
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"

// want asks several times.
func (s *scene) want(times, status int, path, headers string) {
	s.t.Helper()
	for range times {
		if got := s.request(path, headers); got != status {
			s.t.Fatalf("%s: status %d, want %d", path, got, status)
		}
	}
}

// happen makes one of each thing that the metrics tell of happen, and as many of
// those that an alert is for as it takes. Two sessions are left, and no upstream.
func (s *scene) happen() {
	s.t.Helper()
	s.want(1, http.StatusOK, "/plain", "")
	s.want(20, http.StatusForbidden, "/passengers/x", upgrade+"Origin: https://elsewhere.example\r\n")
	s.want(10, http.StatusUnauthorized, "/passengers/refused", upgrade)
	s.want(10, http.StatusBadGateway, "/passengers/lost", upgrade)
	s.want(15, http.StatusSwitchingProtocols, "/passengers/zombie", upgrade) // nobody reads from now on
	s.want(1, http.StatusSwitchingProtocols, "/crew", upgrade)
	s.want(1, http.StatusSwitchingProtocols, "/guests/x", upgrade+"Origin: https://elsewhere.example\r\n")

	// One subscription is allowed, and 600 are a few more.
	leaves, answers := s.client("/passengers/leaves")
	for i := range 601 {
		subscribe := fmt.Sprintf(`{"type":"subscribe:offers","payload":{"pnr":"%d"}}`, i)
		if err := leaves.Write(s.t.Context(), websocket.MessageText, []byte(subscribe)); err != nil {
			s.t.Fatal(err)
		}
	}
	for refused := 0; refused < 600; {
		answer, ok := <-answers
		if !ok {
			s.t.Fatal("the session ended at a limit that refuses")
		}
		if strings.Contains(answer, "ERROR") {
			refused++
		}
	}
	if err := leaves.Close(websocket.StatusNormalClosure, ""); err != nil {
		s.t.Fatal(err)
	}
	s.client("/passengers/stays")
	guest, echoes := s.client("/guests/x")
	for i := range 2 {
		if err := guest.Write(s.t.Context(), websocket.MessageText, []byte(fmt.Sprintf(`{"type":"subscribe:offers","payload":{"pnr":"%d"}}`, i))); err != nil {
			s.t.Fatal(err)
		}
		<-echoes
	}
	// wswarden sees by itself that this is another file, and no good one.
	if err := os.WriteFile(s.file, []byte("drain: { timeout: 5 }\n"), 0o600); err != nil {
		s.t.Fatal(err)
	}

	s.redis.Close()
	s.client("/passengers/counted-here")
	_ = s.upstream.Listener.Close()
	s.want(1, http.StatusBadGateway, "/crew", upgrade)
}
