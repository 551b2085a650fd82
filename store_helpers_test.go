package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
	"github.com/redis/go-redis/v9"
)

// eventually waits for what must come.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(longest); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// since is how long ago that was, as it is to be read.
func since(moment time.Time) time.Duration { return time.Since(moment).Round(time.Millisecond) }

var portsGiven atomic.Uint32

// portsFrom is above the privileged ports, and far enough below those that systems
// give to clients: nobody takes the port of a server that has stopped.
var portsFrom = 10_000 + rand.Uint32N(18_000)

// freeAddress returns one that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	for range 1000 {
		address := fmt.Sprintf("127.0.0.1:%d", portsFrom+portsGiven.Add(1))
		if ln, err := net.Listen("tcp", address); err == nil {
			_ = ln.Close()
			return address
		}
	}
	t.Fatal("no port is free")
	return ""
}

// redisServer is a redis-server of the test's own, which keeps nothing.
type redisServer struct {
	t       *testing.T
	path    string
	address string
	process *exec.Cmd
	client  *redis.Client // for looking into it
}

// newRedis prepares a redis-server. Where there is none the test is skipped, but
// not in CI.
func newRedis(t *testing.T) *redisServer {
	t.Helper()
	path, err := exec.LookPath("redis-server")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("redis-server is not installed")
		}
		t.Skip("redis-server is not installed (Debian: apt-get install redis-server): a store for several replicas is not tested")
	}
	s := &redisServer{t: t, path: path, address: freeAddress(t)}
	s.client = redis.NewClient(&redis.Options{Addr: s.address, Protocol: 2, DisableIdentity: true, MaxRetries: -1})
	t.Cleanup(func() { _ = s.client.Close() })
	return s
}

// start starts it, empty.
func (s *redisServer) start() {
	s.t.Helper()
	_, port, _ := net.SplitHostPort(s.address)
	process := exec.Command(s.path, "--port", port, "--bind", "127.0.0.1", "--dir", s.t.TempDir(),
		"--save", "", "--appendonly", "no", "--daemonize", "no")
	if err := process.Start(); err != nil {
		s.t.Fatal(err)
	}
	s.process = process
	s.t.Cleanup(func() {
		_ = process.Process.Kill()
		_ = process.Wait()
	})
	eventually(s.t, "redis-server", func() bool {
		info, err := s.client.Info(context.Background(), "server").Result()
		return err == nil && strings.Contains(info, fmt.Sprintf("process_id:%d\r", process.Process.Pid))
	})
}

func startRedis(t *testing.T) *redisServer {
	t.Helper()
	s := newRedis(t)
	s.start()
	return s
}

func (s *redisServer) signal(signal syscall.Signal) {
	s.t.Helper()
	if err := s.process.Process.Signal(signal); err != nil {
		s.t.Fatal(err)
	}
}

// seats returns the leases that Redis counts under all limits.
func (s *redisServer) seats() []string {
	s.t.Helper()
	return s.members("wswarden:*:lease")
}

// ages returns the same leases, as Redis keeps them by age.
func (s *redisServer) ages() []string {
	s.t.Helper()
	return s.members("wswarden:*:age")
}

func (s *redisServer) members(pattern string) (all []string) {
	s.t.Helper()
	ctx := context.Background()
	keys, err := s.client.Keys(ctx, pattern).Result()
	for _, key := range keys {
		if err == nil {
			var names []string
			names, err = s.client.ZRange(ctx, key, 0, -1).Result()
			all = append(all, names...)
		}
	}
	if err != nil {
		s.t.Fatal(err)
	}
	slices.Sort(all)
	return all
}

// upstreamServer answers every message of the RAC backend's clients, and keeps
// what it has seen.
type upstreamServer struct {
	*httptest.Server
	mu         sync.Mutex
	events     []string // "who: what", in their order
	handshakes int
	live, most int // connections
}

func startUpstream(t *testing.T) *upstreamServer {
	u := new(upstreamServer)
	u.Server = httptest.NewServer(u)
	t.Cleanup(u.Close)
	return u
}

func (u *upstreamServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	who := r.URL.Query().Get("who")
	u.mu.Lock()
	u.handshakes++
	u.live++
	u.most = max(u.most, u.live)
	u.events = append(u.events, who+": handshake")
	u.mu.Unlock()
	defer func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.live--
	}()
	conn, err := upgrader.Upgrade(w, r, nil)
	if err != nil {
		return
	}
	defer conn.Close()
	for {
		_, message, err := conn.ReadMessage()
		if err != nil {
			u.saw(who, err.Error())
			return
		}
		u.saw(who, string(message))
		// It says "subscribed", too, to who says "subscribe:offers".
		answer := strings.Replace(string(message), "subscribe:offers", "subscribed", 1)
		if err := conn.WriteMessage(websocket.TextMessage, []byte(answer)); err != nil {
			return
		}
	}
}

func (u *upstreamServer) saw(who, what string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.events = append(u.events, who+": "+what)
}

// counts returns how many handshakes and live connections there are, and the most
// that there were at once.
func (u *upstreamServer) counts() (handshakes, live, most int) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.handshakes, u.live, u.most
}

func (u *upstreamServer) seen() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	return slices.Clone(u.events)
}

// replica is one of several processes that share a store.
type replica struct {
	t       *testing.T
	cmd     *exec.Cmd
	address string
	admin   string
	ended   chan struct{} // its log has come to its end

	mu  sync.Mutex
	log []string
}

// startReplica starts wswarden with the keys of a configuration that go beyond
// listeners, admin, upstream and drain.
func startReplica(t *testing.T, upstream *upstreamServer, config string) *replica {
	t.Helper()
	r := &replica{t: t, admin: freeAddress(t), ended: make(chan struct{})}
	file := filepath.Join(t.TempDir(), "wswarden.yaml")
	config += fmt.Sprintf("listeners: [{address: \"127.0.0.1:0\"}]\nadmin: {address: %q}\nupstream: {url: %q}\ndrain: {timeout: 1s, spread: 0s}\n",
		r.admin, upstream.URL)
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	r.cmd = command(t, "serve", "--config", file)
	stderr, err := r.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := r.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = r.cmd.Process.Kill()
		<-r.ended
		_ = r.cmd.Wait()
	})
	go r.readLog(stderr)
	eventually(t, "the process to serve", func() bool {
		serving := r.logged("serving")
		if len(serving) == 0 {
			select {
			case <-r.ended:
				t.Fatalf("wswarden does not start: %q", r.logged(""))
			default:
			}
			return false
		}
		var line struct{ Listeners []string }
		if err := json.Unmarshal([]byte(serving[0]), &line); err != nil {
			t.Fatal(err)
		}
		r.address = line.Listeners[0]
		return true
	})
	return r
}

func (r *replica) readLog(stderr io.Reader) {
	defer close(r.ended)
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		r.mu.Lock()
		r.log = append(r.log, lines.Text())
		r.mu.Unlock()
	}
}

// logged returns the lines whose message begins so.
func (r *replica) logged(message string) (lines []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, line := range r.log {
		if message == "" || strings.Contains(line, `"msg":"`+message) {
			lines = append(lines, line)
		}
	}
	return lines
}

func (r *replica) signal(s syscall.Signal) {
	r.t.Helper()
	if err := r.cmd.Process.Signal(s); err != nil {
		r.t.Fatal(err)
	}
}

// stop has it stand still, and returns when the last of its threads does.
func (r *replica) stop() {
	r.t.Helper()
	r.signal(syscall.SIGSTOP)
	eventually(r.t, "every thread to stop", func() bool {
		stats, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", r.cmd.Process.Pid))
		if err != nil || len(stats) == 0 {
			return true // another system than Linux
		}
		return !slices.ContainsFunc(stats, func(name string) bool {
			stat, err := os.ReadFile(name)
			_, state, _ := strings.Cut(string(stat), ") ")
			return err == nil && !strings.HasPrefix(state, "T")
		})
	})
}

// exitCode waits for its end.
func (r *replica) exitCode() int {
	<-r.ended
	_ = r.cmd.Wait()
	return r.cmd.ProcessState.ExitCode()
}

// metric returns the value of a metric without labels, as it is written.
func (r *replica) metric(name string) string {
	r.t.Helper()
	response, err := http.Get("http://" + r.admin + "/metrics")
	if err != nil {
		r.t.Fatal(err)
	}
	defer response.Body.Close()
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		if value, ok := strings.CutPrefix(lines.Text(), name+" "); ok {
			return value
		}
	}
	r.t.Fatalf("there is no metric %s", name)
	return ""
}

// visit is a client's handshake, and the session that it has become.
type visit struct {
	*websocket.Conn // nil unless the status is 101
	at              *replica
	status          int
	retryAfter      string
	took            time.Duration
}

// visit makes a handshake for an identity; who is a name for upstream. Any
// goroutine may call it.
func (r *replica) visit(identity, who string) *visit {
	r.t.Helper()
	v := &visit{at: r}
	began := time.Now()
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	defer cancel()
	conn, response, err := websocket.DefaultDialer.DialContext(ctx, fmt.Sprintf("ws://%s/?id=%s&who=%s", r.address, identity, who), nil)
	v.took = time.Since(began)
	if response == nil {
		r.t.Errorf("handshake: %v", err)
		return v
	}
	v.status, v.retryAfter = response.StatusCode, response.Header.Get("Retry-After")
	if err == nil {
		v.Conn = conn
		_ = conn.SetReadDeadline(time.Now().Add(longest))
		r.t.Cleanup(func() { _ = conn.Close() })
	}
	return v
}

// want checks the status: a refusal says when to come again.
func (v *visit) want(status int) *visit {
	v.at.t.Helper()
	if v.status != status {
		v.at.t.Fatalf("handshake answered with %d, want %d", v.status, status)
	}
	if _, err := strconv.Atoi(v.retryAfter); status != http.StatusSwitchingProtocols && err != nil {
		v.at.t.Errorf("%d with Retry-After %q, want a number of seconds", status, v.retryAfter)
	}
	return v
}

// wantAlive has a message go to upstream and back.
func (v *visit) wantAlive() {
	v.at.t.Helper()
	if err := v.WriteMessage(websocket.TextMessage, []byte(`{"type":"ping"}`)); err != nil {
		v.at.t.Errorf("session does not go on: %v", err)
	}
	if _, _, err := v.ReadMessage(); err != nil {
		v.at.t.Errorf("session does not go on: %v", err)
	}
}

// wantClose reads up to the close frame, and answers it.
func (v *visit) wantClose(code int, reason string) {
	v.at.t.Helper()
	for {
		if _, _, err := v.ReadMessage(); err != nil {
			if closed, ok := err.(*websocket.CloseError); !ok || closed.Code != code || closed.Text != reason {
				v.at.t.Errorf("session ends with %v, want %d %s", err, code, reason)
			}
			return
		}
	}
}
