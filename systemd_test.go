//go:build linux

package main

import (
	"bytes"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"wswarden/proxy"
)

// manager is what wswarden takes for systemd.
type manager struct {
	t       *testing.T
	address string
	hears   chan string
	told    []string // what a test has looked at
}

func newManager(t *testing.T) *manager {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Net: "unixgram", Name: filepath.Join(t.TempDir(), "notify")})
	if err != nil {
		t.Fatal(err)
	}
	m := &manager{t: t, address: conn.LocalAddr().String(), hears: make(chan string, 1<<16)}
	heard := make(chan struct{})
	go func() { // who does not hear keeps who tells
		defer close(heard)
		for buf := make([]byte, 4096); ; {
			n, err := conn.Read(buf)
			if err != nil {
				return
			}
			m.hears <- string(buf[:n])
		}
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-heard
	})
	return m
}

// want reads up to a notification with all of these lines or beginnings of lines.
func (m *manager) want(lines ...string) {
	m.t.Helper()
	giveUp := time.After(longest)
	for {
		select {
		case told := <-m.hears:
			m.told = append(m.told, told)
			if !slices.ContainsFunc(lines, func(line string) bool { return !strings.Contains("\n"+told, "\n"+line) }) {
				return
			}
		case <-giveUp:
			m.t.Fatalf("waited in vain for %q; systemd was told %q", lines, m.told)
		}
	}
}

// wantNot fails the test if such a line was told up to now.
func (m *manager) wantNot(line string) {
	m.t.Helper()
	for _, told := range m.told {
		if strings.Contains("\n"+told, "\n"+line) {
			m.t.Errorf("systemd was told %q", told)
		}
	}
}

// activate has a command be started as by systemd, with sockets of these names.
func activate(t *testing.T, cmd *exec.Cmd, sockets []net.Listener, names ...string) {
	t.Helper()
	for _, ln := range sockets {
		file, err := ln.(interface{ File() (*os.File, error) }).File()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() })
		cmd.ExtraFiles = append(cmd.ExtraFiles, file)
	}
	// The process id is part of it, and known only in the process.
	cmd.Args = append([]string{"sh", "-c", `LISTEN_PID=$$ exec "$0" "$@"`}, append([]string{cmd.Path}, cmd.Args[1:]...)...)
	cmd.Path = "/bin/sh"
	cmd.Env = append(cmd.Environ(), fmt.Sprint("LISTEN_FDS=", len(sockets)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
}

// systemd knows at any time which process to watch, to reload and to stop, and how that
// one is, though one replaces the other.
func TestNotifications(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+echoing(t)+" }\nadmin: { address: \"\" }\ndrain: { timeout: 30s, spread: 0s }\n",
		func(cmd *exec.Cmd) {
			cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.address, "WATCHDOG_USEC=40000")
		})
	m.want("READY=1")
	m.wantNot("MAINPID=")
	m.want("WATCHDOG=1", "STATUS=Serving, 0 sessions")
	f := &fleet{t: t, url: "ws://" + l.address}
	conn, _, err := f.dialer.Dial(f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	m.want("WATCHDOG=1", "STATUS=Serving, 1 sessions")

	l.signal(syscall.SIGHUP)
	m.want("RELOADING=1", "MONOTONIC_USEC=")
	m.want("READY=1")

	good, err := os.ReadFile(l.file)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, l.file, "nonsense")
	l.signal(syscall.SIGUSR2)
	m.want("RELOADING=1", "MONOTONIC_USEC=")
	m.want("READY=1") // as it goes on
	m.wantNot("MAINPID=")
	writeFile(t, l.file, string(good))

	go func() { _, _, _ = conn.ReadMessage(); _ = conn.Close() }()
	before := l.pid
	l.replace()
	m.want("READY=1", fmt.Sprint("MAINPID=", l.pid))
	m.want("WATCHDOG=1", "STATUS=Serving, 0 sessions")
	m.wantNot("STOPPING=1")
	m.wantNot(fmt.Sprint("MAINPID=", before))
	l.replace()
	m.want("READY=1", fmt.Sprint("MAINPID=", l.pid))
	m.want("WATCHDOG=1")

	l.end()
	m.want("STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000")
}

// The sockets that a socket unit opens are served, in their order where several have one
// name, and successors have them, too. They are never shut down: systemd has them.
func TestSocketActivation(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "socket")
	unix, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	unix.(*net.UnixListener).SetUnlinkOnClose(false)
	sockets := []net.Listener{nil, unix, nil}
	for i := range sockets {
		if sockets[i] == nil {
			if sockets[i], err = proxy.ListenAlone("tcp", "127.0.0.1:0"); err != nil {
				t.Fatal(err)
			}
		}
		t.Cleanup(func() { _ = sockets[i].Close() })
	}
	base := "upstream: { url: " + echoing(t) + " }\nadmin: { address: \"\" }\ndrain: { spread: 0s }\n"
	all := base + "listeners: [{ address: systemd:web }, { address: systemd:web#2 }, { address: systemd:local }]\n"
	l := generations(t, all, func(cmd *exec.Cmd) { activate(t, cmd, sockets, "web", "local", "web") })
	if want := sockets[0].Addr().String(); l.address != want {
		t.Errorf("the first listener is %s, want %s", l.address, want)
	}
	wantServed := func() {
		t.Helper()
		for _, ln := range sockets {
			if code := status(t, ln.Addr().Network(), ln.Addr().String()); code != http.StatusBadRequest {
				t.Errorf("%s: status %d", ln.Addr(), code)
			}
		}
	}
	wantServed()
	l.replace()
	wantServed()
	writeFile(t, l.file, base+"listeners: [{ address: systemd:local }]\n")
	l.signal(syscall.SIGHUP)
	l.want(`"msg":"configuration reloaded"`, `"why":"SIGHUP"`)
	before := l.pid
	l.signal(syscall.SIGUSR2)
	l.want("wait in vain", `"names":["web","web#2"]`)
	l.succeed(before)
	writeFile(t, l.file, all)
	l.signal(syscall.SIGHUP)
	l.want(`"msg":"configuration reloaded"`, `"why":"SIGHUP"`)
	wantServed()
	l.end()
	for _, ln := range sockets {
		conn, err := net.Dial(ln.Addr().Network(), ln.Addr().String())
		if err != nil {
			t.Errorf("%s is gone: %v", ln.Addr(), err)
			continue
		}
		_ = conn.Close()
	}
}

// What is wrong with a socket is said in one line, with the names that there are.
func TestMistakesOfSocketActivation(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		addresses string
		names     []string
		want      string
	}{
		"no sockets":   {"{ address: systemd:web }", nil, "systemd has passed on no socket"},
		"another name": {"{ address: systemd:web }", []string{"wswarden.socket", "api", "api"}, "wswarden.socket, api, api#2"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "wswarden.yaml")
			writeFile(t, file, "upstream: { url: http://127.0.0.1:5000 }\nadmin: { address: \"\" }\nlisteners: ["+row.addresses+"]\n")
			cmd := command(t, "serve", "--config", file)
			if row.names != nil {
				var sockets []net.Listener
				for range row.names {
					sockets = append(sockets, listen(t))
				}
				activate(t, cmd, sockets, row.names...)
			}
			var stderr bytes.Buffer
			cmd.Stderr = &stderr
			_ = cmd.Run()
			if code := cmd.ProcessState.ExitCode(); code != exitUsage || !strings.Contains(stderr.String(), "systemd:web") || !strings.Contains(stderr.String(), row.want) {
				t.Errorf("exit code %d, %s", code, stderr.String())
			}
		})
	}
}
