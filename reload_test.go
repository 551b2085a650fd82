package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"wswarden/config"
	"wswarden/proxy"
)

// configured is wswarden running with a configuration in a file.
type configured struct {
	*process
	folder string // of wswarden.yaml, as Kubernetes mounts a ConfigMap
	mounts int
}

// serveFile starts wswarden with these lines in its file, behind two others.
func serveFile(t *testing.T, lines string) *configured {
	t.Helper()
	c := &configured{process: &process{t: t, upstream: listen(t)}, folder: t.TempDir()}
	c.mount(lines)
	if err := os.Symlink("..data/wswarden.yaml", filepath.Join(c.folder, "wswarden.yaml")); err != nil {
		t.Fatal(err)
	}
	c.process = start(t, c.upstream, []string{"--config", filepath.Join(c.folder, "wswarden.yaml")})
	return c
}

// mount does what Kubernetes does when a ConfigMap is another: it swaps the link to
// the folder with the files.
func (c *configured) mount(lines string) {
	c.t.Helper()
	c.mounts++
	stamp := fmt.Sprint("..2026_11_23_", c.mounts)
	at := func(name string) string { return filepath.Join(c.folder, name) }
	text := "upstream: { url: http://" + c.upstream.Addr().String() + " }\nlisteners: [{ address: 127.0.0.1:0 }]\n" + lines
	before, _ := os.Readlink(at("..data"))
	if err := errors.Join(
		os.Mkdir(at(stamp), 0o700),
		os.WriteFile(filepath.Join(at(stamp), "wswarden.yaml"), []byte(text), 0o600),
		os.Symlink(stamp, at("..data_tmp")),
		os.Rename(at("..data_tmp"), at("..data")),
	); err != nil {
		c.t.Fatal(err)
	}
	if before != "" {
		_ = os.RemoveAll(at(before))
	}
}

// wantLine reads the log up to a line with all parts, and returns it.
func (p *process) wantLine(parts ...string) string {
	p.t.Helper()
	for p.log.Scan() {
		line := p.log.Text()
		if !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(line, part) }) {
			return line
		}
	}
	p.t.Fatalf("the log ends without a line of %q", parts)
	return ""
}

// wantEcho sends a frame to the client and reads it there.
func wantEcho(t *testing.T, client, upstream net.Conn) {
	t.Helper()
	const frame = "\x81\x02hi"
	got := make([]byte, len(frame))
	_, _ = io.WriteString(upstream, frame)
	if _, err := io.ReadFull(client, got); err != nil || string(got) != frame {
		t.Fatalf("client read %q (%v), want %q", got, err, frame)
	}
}

// SIGHUP has the configuration read again. One that cannot be used is told of with
// its line, and sessions live on; they do under another one, by its rules.
func TestSIGHUP(t *testing.T) {
	t.Parallel()
	c := serveFile(t, "")
	client, upstream := c.open()

	c.mount("policies: [{ idle: { timeout: 5 } }]\n")
	c.signal(syscall.SIGHUP)
	if line := c.wantLine(`"why":"SIGHUP"`, "wswarden.yaml:3:"); !strings.Contains(line, "policies[0].idle.timeout") {
		t.Errorf("the key is not named: %s", line)
	}
	wantEcho(t, client, upstream)

	c.mount("policies: [{ idle: { timeout: 100ms } }]\n")
	c.signal(syscall.SIGHUP)
	c.wantLine(`"why":"SIGHUP"`, `"level":"INFO"`)
	c.wantLine(`"session ended"`, `"cause":"idle"`)
}

// A file that changes is read again: here it says that more is to be logged.
func TestFileChanges(t *testing.T) {
	t.Parallel()
	c := serveFile(t, "log: { level: info }\n")
	client, upstream := c.open()
	c.mount("log: { level: loud }\n")
	c.wantLine(`"why":"file changed"`, "wswarden.yaml:3:")
	c.mount("log: { level: debug }\n")
	c.wantLine(`"why":"file changed"`, `"level":"INFO"`)
	wantEcho(t, client, upstream)

	conn, err := net.Dial("tcp", c.address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_, _ = io.WriteString(conn, "nonsense\r\n\r\n")
	c.wantLine(`"level":"DEBUG"`)
}

// A pipe in the place of the file is refused and not waited for: another file is taken
// up, and the process ends when it is told to.
func TestPipeInPlaceOfFile(t *testing.T) {
	t.Parallel()
	c := serveFile(t, "")
	file := filepath.Join(c.folder, "wswarden.yaml")
	if err := errors.Join(os.Remove(file), syscall.Mkfifo(file, 0o600)); err != nil {
		t.Fatal(err)
	}
	c.wantLine(`"why":"file changed"`, "is not a file but a pipe")
	if err := errors.Join(os.Remove(file), os.Symlink("..data/wswarden.yaml", file)); err != nil {
		t.Fatal(err)
	}
	c.wantLine(`"why":"file changed"`, `"level":"INFO"`)
	c.signal(syscall.SIGTERM)
	if state := c.wantExit(); state.ExitCode() != exitOK {
		t.Errorf("%s, want exit code 0", state)
	}
}

// Reading that never comes back, as on a mount that does not answer, keeps nobody from
// ending.
func TestReadingWithoutEnd(t *testing.T) {
	t.Parallel()
	cfg, err := config.FromFlags("http://127.0.0.1:5000", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg.Admin.Address = ""
	server, err := proxy.New(cfg, slog.New(slog.DiscardHandler), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	reading, answer := make(chan struct{}), make(chan struct{})
	defer close(answer)
	server.ReloadFrom(func(*config.Config) (*config.Loaded, error) {
		close(reading)
		<-answer
		return nil, errors.New("answered too late")
	}, nil)
	ctx, end := context.WithCancel(t.Context())
	defer end()
	r := &reloader{hangups: make(chan os.Signal, 1)}
	r.hangups <- syscall.SIGHUP
	go func() {
		<-reading
		end()
	}()
	if err := r.run(ctx, server); err != nil {
		t.Error(err)
	}
}

// Without a file, the environment is read again.
func TestSIGHUPWithoutFile(t *testing.T) {
	t.Parallel()
	p := serve(t)
	client, upstream := p.open()
	p.signal(syscall.SIGHUP)
	p.wantLine(`"why":"SIGHUP"`, `"level":"INFO"`)
	wantEcho(t, client, upstream)
}

// A slip in the environment is told of once, and nothing else comes of it.
func TestUnknownVariables(t *testing.T) {
	t.Parallel()
	cmd := command(t, "serve", "--upstream", "http://127.0.0.1:5000", "--listen", listen(t).Addr().String())
	cmd.Env = append(os.Environ(), "WSWARDEN_ADMIN_ADDRESS=", "WSWARDEN_DRAIN_TIMOUT=7s", "WSWARDEN_PORT=tcp://10.0.0.1:80")
	out, _ := cmd.CombinedOutput() // it ends, as the address is taken
	if got := strings.Count(string(out), "WSWARDEN_"); got != 2 || !strings.Contains(string(out), `"level":"WARN"`) || !strings.Contains(string(out), "did you mean WSWARDEN_DRAIN_TIMEOUT?") {
		t.Errorf("the log is %s", out)
	}
}

// SIGHUP ends no process, be it one that does not serve yet, or no more.
func TestSIGHUPOutOfTime(t *testing.T) {
	t.Parallel()
	store := listen(t)
	cmd := command(t, "serve", "--upstream", "http://127.0.0.1:5000", "--listen", "127.0.0.1:0")
	cmd.Env = append(os.Environ(), "WSWARDEN_ADMIN_ADDRESS=", "WSWARDEN_STORE_KIND=redis",
		"WSWARDEN_STORE_URL=redis://"+store.Addr().String(), "WSWARDEN_STORE_ON_FAILURE=deny", "WSWARDEN_STORE_CONNECT_TIMEOUT=300ms")
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Accept(); err != nil { // it waits for an answer now
		t.Fatal(err)
	}
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait()
	if cmd.ProcessState.ExitCode() != exitFailed {
		t.Errorf("%s, want exit code 1 for want of a store", cmd.ProcessState)
	}

	p := serve(t, "WSWARDEN_DRAIN_SPREAD=0s")
	client, upstream := p.open()
	p.signal(syscall.SIGTERM)
	p.wantLog("draining", nil)
	p.signal(syscall.SIGHUP)
	_ = client.Close()
	_ = upstream.Close()
	if state := p.wantExit(); state.ExitCode() != exitOK {
		t.Errorf("%s, want exit code 0", state)
	}
}
