//go:build linux

package examples

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// atOnce is a setting by which a drain keeps no test waiting.
const atOnce = "WSWARDEN_DRAIN_SPREAD=0s"

// upstream is the application: it sends back what it gets.
type upstream struct {
	server *http.Server
	done   chan struct{}
}

func serveUpstream(t *testing.T, address string) *upstream {
	t.Helper()
	needNamespaces(t) // or else the port may be somebody's
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	u := &upstream{done: make(chan struct{})}
	u.server = &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !websocket.IsWebSocketUpgrade(r) {
			return // 200
		}
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		for {
			kind, data, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, data) != nil {
				return
			}
		}
	})}
	go func() {
		defer close(u.done)
		_ = u.server.Serve(ln)
	}()
	t.Cleanup(u.stop)
	return u
}

func (u *upstream) stop() {
	_ = u.server.Close()
	<-u.done
}

// client is one of wswarden's.
type client struct {
	t    *testing.T
	conn *websocket.Conn
}

// dial begins a session.
func dial(t *testing.T, address string) *client {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	return dialOver(t, conn)
}

// dialOver begins a session over a connection.
func dialOver(t *testing.T, over net.Conn) *client {
	t.Helper()
	dialer := websocket.Dialer{HandshakeTimeout: longest, NetDial: func(string, string) (net.Conn, error) { return over, nil }}
	conn, response, err := dialer.Dial("ws://"+over.RemoteAddr().String()+"/", nil)
	if err != nil {
		t.Fatalf("%v, %+v", err, response)
	}
	t.Cleanup(func() { _ = conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(longest))
	return &client{t, conn}
}

func (c *client) say(message string) {
	c.t.Helper()
	if err := c.conn.WriteMessage(websocket.TextMessage, []byte(message)); err != nil {
		c.t.Fatal(err)
	}
}

func (c *client) wantEcho(message string) {
	c.t.Helper()
	c.say(message)
	c.want(message)
}

// want reads messages until there is one with this in it.
func (c *client) want(part string) {
	c.t.Helper()
	for {
		_, data, err := c.conn.ReadMessage()
		if err != nil {
			c.t.Fatalf("no message with %s: %v", part, err)
		}
		if strings.Contains(string(data), part) {
			return
		}
	}
}

// wantClose waits for a close, answers it, and goes.
func (c *client) wantClose(code int) {
	c.t.Helper()
	for {
		if _, _, err := c.conn.ReadMessage(); err != nil {
			if !websocket.IsCloseError(err, code) {
				c.t.Errorf("closed by %v, want %d", err, code)
			}
			_ = c.conn.Close()
			return
		}
	}
}

// get asks as a probe or Prometheus does, and returns the status; 0: nobody answers.
func get(t *testing.T, url, token string) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	if host, found := strings.CutPrefix(url, "http://wswarden:"); found {
		r.URL.Host, r.Host = "127.0.0.1:"+strings.SplitN(host, "/", 2)[0], "wswarden:"+strings.SplitN(host, "/", 2)[0]
	}
	asker := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longest}
	answer, err := asker.Do(r)
	if err != nil {
		return 0
	}
	_ = answer.Body.Close()
	return answer.StatusCode
}

// eventually waits until a condition holds.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longest); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

var effective = regexp.MustCompile(`CapEff:\t0+\n`)

// wantNobody checks that a container's process has no right, and is the first of its
// system.
func wantNobody(t *testing.T, p *process) {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	status := string(text)
	if !effective.MatchString(status) {
		t.Errorf("it has capabilities:\n%s", status)
	}
	for _, want := range []string{`(?m)^NSpid:.*\t1$`, `(?m)^NoNewPrivs:\t1$`} {
		if !regexp.MustCompile(want).MatchString(status) {
			t.Errorf("its status has no %s:\n%s", want, status)
		}
	}
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.FromSlash(name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
