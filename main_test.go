package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const longest = 30 * time.Second

// binary builds wswarden once and returns its path.
var binary = sync.OnceValues(func() (string, error) {
	path := filepath.Join(scratch, "wswarden")
	if out, err := exec.Command("go", "build", "-o", path, ".").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build: %w: %s", err, out)
	}
	return path, nil
})

var scratch string // for the binary

func TestMain(m *testing.M) {
	code := 1
	var err error
	if scratch, err = os.MkdirTemp("", "wswarden"); err == nil {
		code = m.Run()
		_ = os.RemoveAll(scratch)
	}
	os.Exit(code)
}

func command(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), longest)
	t.Cleanup(cancel)
	return exec.CommandContext(ctx, path, args...)
}

// process is wswarden running, in front of an upstream that the test plays.
type process struct {
	t        *testing.T
	cmd      *exec.Cmd
	upstream net.Listener
	address  string
	log      *bufio.Scanner
	stderr   io.Closer
}

// serve starts wswarden with these settings in its environment.
func serve(t *testing.T, settings ...string) *process {
	t.Helper()
	upstream := listen(t)
	return start(t, upstream, []string{"--upstream", "http://" + upstream.Addr().String(), "--listen", "127.0.0.1:0"}, settings...)
}

// start starts wswarden with flags and with settings in its environment.
func start(t *testing.T, upstream net.Listener, flags []string, settings ...string) *process {
	t.Helper()
	p := &process{t: t, upstream: upstream, cmd: command(t, append([]string{"serve"}, flags...)...)}
	p.cmd.Env = append(append(os.Environ(), "WSWARDEN_ADMIN_ADDRESS="), settings...)
	stderr, err := p.cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		_ = p.cmd.Wait()
	})
	p.log, p.stderr = bufio.NewScanner(stderr), stderr
	var line struct{ Listeners []string }
	p.wantLog("serving", &line)
	p.address = line.Listeners[0]
	return p
}

// wantLog reads the log up to a message, and its line into v unless that is nil.
func (p *process) wantLog(message string, v any) {
	p.t.Helper()
	for p.log.Scan() {
		var line struct{ Msg string }
		if err := json.Unmarshal(p.log.Bytes(), &line); err != nil {
			p.t.Fatalf("log line %q: %v", p.log.Text(), err)
		}
		if line.Msg != message {
			continue
		}
		if v != nil {
			if err := json.Unmarshal(p.log.Bytes(), v); err != nil {
				p.t.Fatalf("log line %q: %v", p.log.Text(), err)
			}
		}
		return
	}
	p.t.Fatalf("the log ends without %q", message)
}

// open begins a session and returns both of its ends.
func (p *process) open() (client, upstream net.Conn) {
	p.t.Helper()
	client, err := net.Dial("tcp", p.address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = client.Close() })
	_ = client.SetDeadline(time.Now().Add(longest))
	_, _ = io.WriteString(client, "GET / HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
	upstream, err = p.upstream.Accept()
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(func() { _ = upstream.Close() })
	if _, err := http.ReadRequest(bufio.NewReader(upstream)); err != nil {
		p.t.Fatal(err)
	}
	_, _ = io.WriteString(upstream, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
	r, err := http.ReadResponse(bufio.NewReader(client), nil)
	if err != nil || r.StatusCode != http.StatusSwitchingProtocols {
		p.t.Fatalf("handshake: %v, %v", r, err)
	}
	return client, upstream
}

func (p *process) signal(s syscall.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wantExit waits for the end of the process; its log must have been read as far
// as a test is interested in it.
func (p *process) wantExit() *os.ProcessState {
	p.t.Helper()
	for p.log.Scan() {
	}
	_ = p.cmd.Wait()
	return p.cmd.ProcessState
}

func listen(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln
}

// The first signal drains: sessions are told, and the process exits with 0.
func TestSignalDrains(t *testing.T) {
	t.Parallel()
	for _, s := range []syscall.Signal{syscall.SIGTERM, syscall.SIGINT} {
		t.Run(s.String(), func(t *testing.T) {
			t.Parallel()
			p := serve(t, "WSWARDEN_DRAIN_SPREAD=100ms")
			client, upstream := p.open()
			p.signal(s)
			want := append([]byte{0x88, 2 + 15, 0x03, 0xf4}, "service restart"...)
			got := make([]byte, len(want))
			if _, err := io.ReadFull(client, got); err != nil || !bytes.Equal(got, want) {
				t.Errorf("client read %q (%v), want a close frame with 1012", got, err)
			}
			_ = client.Close()
			_ = upstream.Close()
			var ended struct{ Cause string }
			p.wantLog("session ended", &ended)
			if ended.Cause != "drain" {
				t.Errorf("session ended for %s", ended.Cause)
			}
			if state := p.wantExit(); state.ExitCode() != 0 {
				t.Errorf("%s, want exit code 0", state)
			}
		})
	}
}

// The second signal does not wait for a session that does not end.
func TestSecondSignalEndsAtOnce(t *testing.T) {
	t.Parallel()
	p := serve(t, "WSWARDEN_DRAIN_TIMEOUT=10m", "WSWARDEN_POLICIES_0_RELEASE_GRACE=10m")
	p.open()
	p.signal(syscall.SIGTERM)
	p.wantLog("draining", nil)
	// Repeated, as the first can come before the process is done with taking note
	// of the one before it.
	exited := make(chan struct{})
	go func() {
		for {
			select {
			case <-exited:
				return
			case <-time.After(20 * time.Millisecond):
				_ = p.cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}()
	state := p.wantExit()
	close(exited)
	if status := state.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGTERM {
		t.Errorf("%s, want an end by SIGTERM", state)
	}
}

// When nobody reads the log any more, sessions go on, and so does all else.
func TestLogWithoutReader(t *testing.T) {
	t.Parallel()
	p := serve(t, "WSWARDEN_DRAIN_SPREAD=0s")
	client, upstream := p.open()
	_ = p.stderr.Close()
	_ = p.upstream.Close()
	for range 2 { // each of which is a line
		response, err := http.Get("http://" + p.address)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
		if response.StatusCode != http.StatusBadGateway {
			t.Errorf("status %d", response.StatusCode)
		}
	}
	if _, err := upstream.Write([]byte{0x81, 1, 'x'}); err != nil {
		t.Fatal(err)
	}
	got := make([]byte, 3)
	if _, err := io.ReadFull(client, got); err != nil {
		t.Error("the session has ended:", err)
	}
	_, _ = client.Close(), upstream.Close()
	p.signal(syscall.SIGTERM)
	if state := p.wantExit(); state.ExitCode() != 0 {
		t.Errorf("%s, want exit code 0", state)
	}
}

// What keeps wswarden from starting is said in one message that names the place,
// and the exit code is 2.
func TestMistakesAtStart(t *testing.T) {
	t.Parallel()
	taken := listen(t).Addr().String()
	file := func(text string) []string {
		path := filepath.Join(t.TempDir(), "wswarden.yaml")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return []string{"serve", "--config", path}
	}
	const upstream = "upstream: { url: http://127.0.0.1:5000 }\n"
	tests := map[string]struct {
		args []string
		want []string // parts of the message
	}{
		"listener in use":       {[]string{"serve", "--upstream", "http://127.0.0.1:5000", "--listen", taken}, []string{taken, "address already in use"}},
		"listener nowhere":      {[]string{"serve", "--upstream", "http://127.0.0.1:5000", "--listen", "8080"}, []string{"--listen", "8080"}},
		"admin address in use":  {file(upstream + "listeners: [{ address: 127.0.0.1:0 }]\nadmin: { address: " + taken + " }\n"), []string{"admin.address", taken}},
		"upstream of nonsense":  {[]string{"serve", "--upstream", "ws:/nonsense"}, []string{"--upstream", "ws:/nonsense"}},
		"no upstream":           {[]string{"serve"}, []string{"--upstream", "--config"}},
		"both ways":             {[]string{"serve", "--upstream", "http://127.0.0.1:5000", "--config", "x"}, []string{"--config", "--upstream"}},
		"no such file":          {[]string{"serve", "--config", "no-such-file.yaml"}, []string{"no-such-file.yaml"}},
		"unknown key":           {file(upstream + "drain: { timeuot: 5s }\n"), []string{"wswarden.yaml:2", "timeuot"}},
		"duration without unit": {file(upstream + "drain:\n  timeout: 5\n"), []string{"wswarden.yaml:3", "drain.timeout", "5"}},
		"unknown command":       {[]string{"wait"}, []string{"wait"}},
		"unknown flag":          {[]string{"serve", "--upstraem", "x"}, []string{"--upstraem"}},
		"argument":              {[]string{"serve", "now"}, []string{"now"}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cmd := command(t, tt.args...)
			var stdout, stderr bytes.Buffer
			cmd.Stdout, cmd.Stderr = &stdout, &stderr
			err := cmd.Run()
			var exit *exec.ExitError
			if !errors.As(err, &exit) || exit.ExitCode() != 2 {
				t.Errorf("%v, want exit code 2", err)
			}
			message := stderr.String()
			t.Logf("%s", message)
			if stdout.Len() > 0 || !strings.HasPrefix(message, "wswarden: ") || strings.Count(message, "\n") != 1 {
				t.Errorf("stdout %q, stderr %q, want one line on stderr", stdout.String(), message)
			}
			for _, part := range tt.want {
				if !strings.Contains(message, part) {
					t.Errorf("the message does not name %s", part)
				}
			}
		})
	}
}

func TestVersion(t *testing.T) {
	t.Parallel()
	for _, arg := range []string{"version", "--version"} {
		out, err := command(t, arg).Output()
		if err != nil || !strings.HasPrefix(string(out), "wswarden ") || !strings.Contains(string(out), " go1.") || strings.Count(string(out), "\n") != 1 {
			t.Errorf("%s: %q, %v", arg, out, err)
		}
	}
}
