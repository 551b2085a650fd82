//go:build linux

package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
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
	"golang.org/x/sys/unix"
)

// lineage is processes of wswarden that serve one after the other, with one log.
type lineage struct {
	t       *testing.T
	cmd     *exec.Cmd // the first
	pid     int       // of the one that serves
	address string    // of the first listener
	file    string    // with the configuration
	start   []string  // the log up to where it serves
	lines   chan string

	mu    sync.Mutex
	ended map[string]map[string]int // sessions, by policy and cause
}

// adopt has processes whose parent has ended become children of this one, so that it
// learns how they end.
var adopt = sync.OnceValue(func() error { return unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) })

// generations starts the first process, with a configuration.
func generations(t *testing.T, text string, prepare ...func(*exec.Cmd)) *lineage {
	t.Helper()
	if err := adopt(); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "wswarden.yaml")
	writeFile(t, file, text)
	l := &lineage{t: t, cmd: command(t, "serve", "--config", file), file: file, lines: make(chan string, 1<<16), ended: map[string]map[string]int{}}
	r, w, err := os.Pipe() // not the command's: that would be closed at the end of the first
	if err != nil {
		t.Fatal(err)
	}
	l.cmd.Stderr = w
	l.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // successors are of this group, too
	for _, f := range prepare {
		f(l.cmd)
	}
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	l.pid = l.cmd.Process.Pid
	read := make(chan struct{})
	go func() { defer close(read); l.read(r) }()
	t.Cleanup(func() {
		_ = syscall.Kill(-l.cmd.Process.Pid, syscall.SIGKILL)
		_ = l.cmd.Wait()
		for err := error(nil); err == nil || err == syscall.EINTR; {
			_, err = syscall.Wait4(-l.cmd.Process.Pid, nil, 0, nil)
		}
		<-read
	})
	var serving struct{ Listeners []string }
	for line := ""; !strings.Contains(line, `"msg":"serving"`); l.start = append(l.start, line) {
		line = l.want("")
	}
	if err := json.Unmarshal([]byte(l.start[len(l.start)-1]), &serving); err != nil {
		t.Fatal(err)
	}
	l.address = serving.Listeners[0]
	return l
}

func writeFile(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// read reads the log to its end: that of the last process which has it.
func (l *lineage) read(log io.ReadCloser) {
	defer log.Close()
	defer close(l.lines)
	for lines := bufio.NewScanner(log); lines.Scan(); {
		var line struct{ Msg, Policy, Cause string }
		if json.Unmarshal(lines.Bytes(), &line) == nil && line.Msg == "session ended" {
			l.mu.Lock()
			if l.ended[line.Policy] == nil {
				l.ended[line.Policy] = map[string]int{}
			}
			l.ended[line.Policy][line.Cause]++
			l.mu.Unlock()
			continue
		}
		l.lines <- lines.Text()
	}
}

// want reads the log up to a line with all parts, and returns it.
func (l *lineage) want(parts ...string) string {
	l.t.Helper()
	var seen []string
	giveUp := time.After(longest)
	for {
		select {
		case line, more := <-l.lines:
			if !more {
				l.t.Fatalf("the log ends without a line of %q:\n%s", parts, strings.Join(seen, "\n"))
			}
			if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
				return line
			}
			seen = append(seen, line)
		case <-giveUp:
			l.t.Fatalf("waited in vain for a line of %q:\n%s", parts, strings.Join(seen, "\n"))
		}
	}
}

// before returns the first line with that part from before it served; empty: there is none.
func (l *lineage) before(part string) string {
	i := slices.IndexFunc(l.start, func(line string) bool { return strings.Contains(line, part) })
	if i < 0 {
		return ""
	}
	return l.start[i]
}

func (l *lineage) signal(s syscall.Signal) {
	l.t.Helper()
	if err := syscall.Kill(l.pid, s); err != nil {
		l.t.Fatal(err)
	}
}

// replace has a successor take over, and waits until the process before has ended as it
// is to.
func (l *lineage) replace() {
	l.t.Helper()
	before := l.pid
	l.signal(syscall.SIGUSR2)
	l.succeed(before)
}

// succeed waits for the end of a replacement.
func (l *lineage) succeed(before int) {
	l.t.Helper()
	var taken struct{ Pid, From int }
	if err := json.Unmarshal([]byte(l.want(`"msg":"listeners taken over"`)), &taken); err != nil || taken.From != before {
		l.t.Fatalf("%+v, %v, want it from %d", taken, err, before)
	}
	l.want(`"msg":"drained"`)
	l.want(`"msg":"the process before this one has ended"`)
	if status := l.wait(before); status.ExitStatus() != exitOK {
		l.t.Errorf("process %d: exit code %d", before, status.ExitStatus())
	}
	l.pid = taken.Pid
}

// wait waits for the end of one of the processes.
func (l *lineage) wait(pid int) (status syscall.WaitStatus) {
	l.t.Helper()
	if pid == l.cmd.Process.Pid {
		_ = l.cmd.Wait()
		return l.cmd.ProcessState.Sys().(syscall.WaitStatus)
	}
	for {
		if _, err := syscall.Wait4(pid, &status, 0, nil); err != syscall.EINTR {
			if err != nil {
				l.t.Errorf("wait for process %d: %v", pid, err)
			}
			return status
		}
	}
}

// end ends the last process.
func (l *lineage) end() {
	l.t.Helper()
	l.signal(syscall.SIGTERM)
	if status := l.wait(l.pid); status.ExitStatus() != exitOK {
		l.t.Errorf("exit code %d", status.ExitStatus())
	}
	for range l.lines {
	}
}

// echoing is an upstream that says what it hears.
func echoing(t *testing.T) (url string) {
	t.Helper()
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer conn.Close()
		for {
			kind, message, err := conn.ReadMessage()
			if err != nil || conn.WriteMessage(kind, message) != nil {
				return
			}
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// fleet is clients that are there all the time: whoever is closed comes back at once.
type fleet struct {
	t      *testing.T
	dialer websocket.Dialer
	url    string
	over   atomic.Bool
	opened atomic.Int64
	echoes atomic.Int64
	moved  atomic.Int64 // sessions that ended by the drain
}

// stay keeps one session, with an echo in each interval, through all replacements.
func (f *fleet) stay(interval time.Duration, ready func()) {
	for !f.over.Load() {
		conn, _, err := f.dialer.Dial(f.url+"/stay", nil)
		if err != nil {
			f.t.Errorf("a client that comes back: %v", err)
			return
		}
		f.opened.Add(1)
		err = f.talk(conn, interval, func() { ready(); ready = func() {} })
		_ = conn.Close()
		if !f.over.Load() || err != nil {
			if !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
				f.t.Errorf("a session has ended with %v, and not for the drain", err)
				return
			}
			f.moved.Add(1)
		}
	}
}

// talk echoes until the end of the session, or, with nil, of the fleet.
func (f *fleet) talk(conn *websocket.Conn, interval time.Duration, ready func()) error {
	for n := 0; !f.over.Load(); n++ {
		_ = conn.SetReadDeadline(time.Now().Add(longest))
		text := strconv.Itoa(n)
		sent := conn.WriteMessage(websocket.TextMessage, []byte(text))
		_, got, err := conn.ReadMessage()
		switch {
		case err != nil:
			return err // the server's close comes first, whatever came of writing
		case sent != nil || string(got) != text:
			return fmt.Errorf("sent %s (%v), got %s", text, sent, got)
		}
		f.echoes.Add(1)
		ready()
		time.Sleep(interval)
	}
	return nil
}

// come opens one session after the other.
func (f *fleet) come() {
	for !f.over.Load() {
		conn, _, err := f.dialer.Dial(f.url+"/come", nil)
		if err != nil {
			f.t.Errorf("a new client: %v", err)
			return
		}
		f.opened.Add(1)
		_ = conn.SetReadDeadline(time.Now().Add(longest))
		sent := conn.WriteMessage(websocket.TextMessage, []byte("hello"))
		if _, got, err := conn.ReadMessage(); err == nil && string(got) != "hello" || err != nil && !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
			f.t.Errorf("a new client: sent hello (%v), got %q, %v", sent, got, err)
		}
		_ = conn.WriteControl(websocket.CloseMessage, websocket.FormatCloseMessage(websocket.CloseNormalClosure, ""), time.Now().Add(longest))
		_ = conn.Close()
	}
}

// probe asks all the time whether new sessions are admitted, as a load balancer does.
func (f *fleet) probe(url string) {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longest}
	for ; !f.over.Load(); time.Sleep(5 * time.Millisecond) {
		response, err := client.Get(url)
		if err != nil {
			f.t.Errorf("a probe: %v", err)
			continue
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != http.StatusOK {
			f.t.Errorf("a probe: %s, %s", response.Status, body)
		}
	}
}

// setting returns a number of the environment, or another one.
func setting(t *testing.T, name string, other int) int {
	t.Helper()
	text := os.Getenv(name)
	if text == "" {
		return other
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return n
}

// Whoever comes while wswarden is replaced is served by the one or by the other, and
// whoever is there already ends by the drain only. WSWARDEN_TEST_SESSIONS and
// WSWARDEN_TEST_REPLACEMENTS have more of it.
func TestReplacementLosesNobody(t *testing.T) {
	t.Parallel()
	sessions, replacements := setting(t, "WSWARDEN_TEST_SESSIONS", 200), setting(t, "WSWARDEN_TEST_REPLACEMENTS", 2)
	spread := max(100*time.Millisecond, time.Duration(sessions)*time.Millisecond)
	admin := freeAddress(t)
	l := generations(t, fmt.Sprintf(`
listeners: [{ address: 127.0.0.1:0 }]
upstream: { url: %s }
admin: { address: %s }
drain: { timeout: 30s, spread: %s }
policies: [{ name: stay, match: { path: /stay } }, { name: come, match: { path: /come } }]
`, echoing(t), admin, spread))
	f := &fleet{t: t, url: "ws://" + l.address, dialer: websocket.Dialer{HandshakeTimeout: longest}}
	var there, clients sync.WaitGroup
	there.Add(sessions)
	for range sessions {
		clients.Go(func() { f.stay(100*time.Millisecond, there.Done) })
	}
	there.Wait()
	for range 2 {
		clients.Go(f.come)
	}
	clients.Go(func() { f.probe("http://" + admin + "/readyz") })
	began := time.Now()
	for range replacements {
		l.replace()
	}
	took := time.Since(began)
	f.over.Store(true)
	clients.Wait()
	l.end()
	t.Logf("%d replacements of %d sessions in %s: %d sessions opened, %d echoes, %d sessions ended by the drain of %d",
		replacements, sessions, took.Round(time.Millisecond), f.opened.Load(), f.echoes.Load(), f.moved.Load(), replacements*sessions)
	if got := l.ended["stay"]; got["drain"] != replacements*sessions || int(f.moved.Load()) != replacements*sessions || got["client_lost"] != sessions || len(got) != 2 {
		t.Errorf("sessions ended with %v, want %d each time for the drain only, and at last for their clients", got, sessions)
	}
	total := 0
	for policy, causes := range l.ended {
		for cause, n := range causes {
			total += n
			if cause != "drain" && cause != "client_close" && cause != "client_lost" {
				t.Errorf("%d sessions of %s ended with %s", n, policy, cause)
			}
		}
	}
	if int64(total) != f.opened.Load() {
		t.Errorf("%d sessions have ended, of %d", total, f.opened.Load())
	}
}

// A plain request that takes longer than a replacement gets all of its answer from the
// process that it has come to.
func TestRequestOutlivesReplacement(t *testing.T) {
	t.Parallel()
	goOn := make(chan struct{})
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "one")
		w.(http.Flusher).Flush()
		<-goOn
		_, _ = io.WriteString(w, "two")
	}))
	t.Cleanup(upstream.Close)
	l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+upstream.URL+" }\nadmin: { address: \"\" }\ndrain: { timeout: 20s, spread: 0s }\n")
	response, err := http.Get("http://" + l.address)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	first := make([]byte, 3)
	if _, err := io.ReadFull(response.Body, first); err != nil {
		t.Fatal(err)
	}
	before := l.pid
	l.signal(syscall.SIGUSR2)
	l.want(`"msg":"draining"`)
	close(goOn)
	rest, err := io.ReadAll(response.Body)
	if err != nil || string(first)+string(rest) != "onetwo" {
		t.Errorf("%s%s, %v", first, rest, err)
	}
	l.want(`"msg":"the process before this one has ended"`)
	if status := l.wait(before); status.ExitStatus() != exitOK {
		t.Errorf("exit code %d", status.ExitStatus())
	}
}
