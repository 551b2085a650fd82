//go:build linux

package main

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// status asks a wswarden for a plain HTTP resource.
func status(t *testing.T, network, address string) int {
	t.Helper()
	conn, err := net.Dial(network, address)
	if err != nil {
		t.Error(err)
		return 0
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longest))
	_, _ = io.WriteString(conn, "GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
	var code int
	if _, err := fmt.Fscanf(conn, "HTTP/1.1 %d", &code); err != nil {
		t.Errorf("%s %s: %v", network, address, err)
	}
	return code
}

// wantClosed fails the test if somebody listens there.
func wantClosed(t *testing.T, network, address string) {
	t.Helper()
	if conn, err := net.Dial(network, address); err == nil {
		_ = conn.Close()
		t.Errorf("%s still takes connections", address)
	}
}

// A successor that does not get ready changes nothing: the log tells why, and the process
// that was there goes on, and can be replaced later.
func TestReplacementFails(t *testing.T) {
	t.Parallel()
	path, err := binary()
	if err != nil {
		t.Fatal(err)
	}
	program := filepath.Join(t.TempDir(), "program")
	if err := os.Symlink(path, program); err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(t.TempDir(), "socket")
	good := fmt.Sprintf("listeners: [{ address: 127.0.0.1:0 }, { address: \"unix:%s\" }]\nupstream: { url: %s }\nadmin: { address: \"\" }\n", socket, echoing(t))
	l := generations(t, good, func(cmd *exec.Cmd) { cmd.Path, cmd.Args[0] = program, program })
	wantServing := func() {
		t.Helper()
		for network, address := range map[string]string{"tcp": l.address, "unix": socket} {
			if code := status(t, network, address); code != http.StatusBadRequest { // an upstream of WebSockets alone says so
				t.Errorf("status %d", code)
			}
		}
	}
	fails := func(why string) {
		t.Helper()
		l.want(`"msg":"replacement failed`, why)
		wantServing()
	}

	writeFile(t, l.file, good+"drain: { timeout: 5 }\n")
	l.signal(syscall.SIGUSR2)
	l.want("wswarden: ", "drain.timeout") // what the successor says of its own
	fails("exit status 2")

	// One that has the listeners, but no store: it waits for that one as long as it may.
	// Meanwhile there is no other one.
	store := listen(t)
	writeFile(t, l.file, good+"store: { kind: redis, url: redis://"+store.Addr().String()+", on_failure: deny, connect_timeout: 300ms, timeout: 100ms }\n")
	l.signal(syscall.SIGUSR2)
	if _, err := store.Accept(); err != nil {
		t.Fatal(err)
	}
	l.signal(syscall.SIGUSR2)
	l.want("replacement refused: one is under way")
	fails("exit status 1")

	// Another program than wswarden has its name.
	swap := func(to string) {
		t.Helper()
		if err := os.Symlink(to, program+".new"); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(program+".new", program); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, l.file, good)
	swap("/bin/true")
	l.signal(syscall.SIGUSR2)
	fails("exited")
	swap("/no/such/program")
	l.signal(syscall.SIGUSR2)
	fails("no such file or directory")

	swap(path)
	l.replace()
	wantServing()
	l.end()
	wantClosed(t, "tcp", l.address)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket's file is left")
	}
}

// A listener that has been passed on can be closed, opened and passed on as any other:
// a reload closes it for all, the end of a replaced process for nobody.
func TestListenersOfSuccessors(t *testing.T) {
	t.Parallel()
	socket, address := filepath.Join(t.TempDir(), "socket"), freeAddress(t)
	base := "upstream: { url: " + echoing(t) + " }\nadmin: { address: \"\" }\ndrain: { spread: 0s }\n"
	few := base + "listeners: [{ address: 127.0.0.1:0 }]\n"
	all := base + fmt.Sprintf("listeners: [{ address: 127.0.0.1:0 }, { address: %s }, { address: \"unix:%s\" }]\n", address, socket)
	l := generations(t, all)
	reload := func(text string) {
		t.Helper()
		writeFile(t, l.file, text)
		l.signal(syscall.SIGHUP)
		l.want(`"msg":"configuration reloaded"`, `"why":"SIGHUP"`)
	}
	wantOpen := func(open bool) {
		t.Helper()
		for network, address := range map[string]string{"tcp": address, "unix": socket} {
			if open {
				if code := status(t, network, address); code != http.StatusBadRequest {
					t.Errorf("%s: status %d", address, code)
				}
				continue
			}
			wantClosed(t, network, address)
		}
		if code := status(t, "tcp", l.address); code != http.StatusBadRequest {
			t.Errorf("status %d", code)
		}
	}
	wantOpen(true)
	reload(few) // of its own
	wantOpen(false)
	reload(all)
	wantOpen(true)
	l.replace()
	wantOpen(true)
	reload(few) // that it was passed
	wantOpen(false)
	l.replace() // what is closed is not passed on
	wantOpen(false)
	reload(all)
	wantOpen(true)

	writeFile(t, l.file, few)
	l.replace() // not wanted by the successor
	wantOpen(false)
	if _, err := os.Lstat(socket); err == nil {
		t.Error("the socket's file is left")
	}
	writeFile(t, l.file, all)
	l.replace() // new in the successor
	wantOpen(true)
	l.end()
}

// The socket of a listener that was closed is another process's as soon as that has it: no
// successor takes it for its own, nor removes it.
func TestSocketOfAnotherProcess(t *testing.T) {
	t.Parallel()
	socket := filepath.Join(t.TempDir(), "socket")
	without := "upstream: { url: " + echoing(t) + " }\nadmin: { address: \"\" }\nlisteners: [{ address: 127.0.0.1:0 }]\n"
	with := strings.Replace(without, "}]", fmt.Sprintf("}, { address: \"unix:%s\" }]", socket), 1)
	l := generations(t, with)
	writeFile(t, l.file, without)
	l.signal(syscall.SIGHUP)
	l.want(`"msg":"configuration reloaded"`, `"why":"SIGHUP"`)
	another, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer another.Close()

	writeFile(t, l.file, with)
	l.signal(syscall.SIGUSR2)
	l.want("wswarden: ", "address already in use") // what the successor says of its own
	l.want(`"msg":"replacement failed`)
	writeFile(t, l.file, without)
	l.replace()
	l.end()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatalf("the other process cannot be reached: %v", err)
	}
	_ = conn.Close()
}

// The first process of a container is the container: it stays, as nothing would be left
// for the successor. It obeys all other signals.
func TestFirstProcessOfContainer(t *testing.T) {
	t.Parallel()
	l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+echoing(t)+" }\nadmin: { address: \"\" }\ndrain: { timeout: 10m, spread: 10m }\n",
		func(cmd *exec.Cmd) {
			if os.Geteuid() != 0 {
				if os.Getenv("CI") == "true" {
					t.Fatal("only root can make a process the first one")
				}
				t.Skip("only root can make a process the first one (run the tests as root): SIGUSR2 in a container is not tested")
			}
			cmd.SysProcAttr.Cloneflags = syscall.CLONE_NEWPID
		})
	f := &fleet{t: t, url: "ws://" + l.address}
	conn, _, err := f.dialer.Dial(f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	l.signal(syscall.SIGUSR2)
	l.want("replacement refused", "roll out a new container")
	l.signal(syscall.SIGHUP)
	l.want(`"msg":"configuration reloaded"`)
	l.signal(syscall.SIGTERM)
	l.want(`"msg":"draining"`)
	ended := make(chan struct{})
	go func() { // the first can come before it is done with the one before
		for tick := time.NewTicker(20 * time.Millisecond); ; {
			select {
			case <-ended:
				tick.Stop()
				return
			case <-tick.C:
				_ = l.cmd.Process.Signal(syscall.SIGTERM)
			}
		}
	}()
	state := l.wait(l.pid)
	close(ended)
	if !state.Exited() || state.ExitStatus() == 0 {
		t.Errorf("%+v, want it to end at once with a code that is not 0", state)
	}
}

// SIGUSR2 while wswarden drains starts nothing, and systemd knows that it does, whoever
// has asked for it.
func TestReplacementWhileDraining(t *testing.T) {
	t.Parallel()
	for name, drain := range map[string]func(l *lineage, admin string){
		"by SIGTERM": func(l *lineage, _ string) { l.signal(syscall.SIGTERM) },
		"by the admin API": func(l *lineage, admin string) {
			if code, _, stderr := operate("drain", "--admin", admin); code != exitOK {
				l.t.Errorf("drain: %d, %s", code, stderr)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			m := newManager(t)
			l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+echoing(t)+" }\nadmin: { address: 127.0.0.1:0 }\ndrain: { timeout: 30s, spread: 0s }\npolicies: [{ release: { grace: 30s } }]\n",
				func(cmd *exec.Cmd) { cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.address) })
			var serving struct{ Admin string }
			if err := json.Unmarshal([]byte(l.before(`"msg":"serving"`)), &serving); err != nil {
				t.Fatal(err)
			}
			f := &fleet{t: t, url: "ws://" + l.address}
			conn, _, err := f.dialer.Dial(f.url, nil)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			drain(l, serving.Admin)
			l.want(`"msg":"draining"`)
			m.want("STOPPING=1", "EXTEND_TIMEOUT_USEC=40000000")
			m.want("STATUS=Draining, 1 sessions")
			l.signal(syscall.SIGUSR2)
			l.want("replacement refused: wswarden drains")
			_, _, _ = conn.ReadMessage() // answers the close
			_ = conn.Close()
			if status := l.wait(l.pid); status.ExitStatus() != exitOK {
				t.Errorf("exit code %d", status.ExitStatus())
			}
		})
	}
}

// A drain that begins while a successor starts ends the successor. Nobody is told that
// wswarden goes on.
func TestDrainWhileReplacing(t *testing.T) {
	t.Parallel()
	m := newManager(t)
	config := "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: " + echoing(t) + " }\nadmin: { address: \"\" }\ndrain: { spread: 0s }\n"
	l := generations(t, config, func(cmd *exec.Cmd) { cmd.Env = append(cmd.Environ(), "NOTIFY_SOCKET="+m.address) })
	m.want("READY=1")
	store := listen(t) // which the successor waits for
	writeFile(t, l.file, config+"store: { kind: redis, url: redis://"+store.Addr().String()+", on_failure: deny, connect_timeout: 10s, timeout: 100ms }\n")
	l.signal(syscall.SIGUSR2)
	if _, err := store.Accept(); err != nil {
		t.Fatal(err)
	}
	m.want("RELOADING=1")
	m.told = nil
	l.signal(syscall.SIGTERM)
	l.want("replacement given up")
	if status := l.wait(l.pid); status.ExitStatus() != exitOK {
		t.Errorf("exit code %d", status.ExitStatus())
	}
	conn, err := net.Dial("unixgram", m.address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = io.WriteString(conn, "that was all")
	m.want("that was all")
	m.wantNot("READY=1")
}

// As long as the process before still drains there is no third one. What systemd sends to
// both when it stops them cuts that drain no shorter.
func TestPredecessorDrains(t *testing.T) {
	t.Parallel()
	l := generations(t, "listeners: [{ address: 127.0.0.1:0 }]\nupstream: { url: "+echoing(t)+" }\nadmin: { address: \"\" }\ndrain: { timeout: 20s, spread: 0s }\npolicies: [{ release: { grace: 20s } }]\n")
	f := &fleet{t: t, url: "ws://" + l.address}
	conn, _, err := f.dialer.Dial(f.url, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	before := l.pid
	l.signal(syscall.SIGUSR2)
	var taken struct{ Pid int }
	if err := json.Unmarshal([]byte(l.want(`"msg":"listeners taken over"`)), &taken); err != nil {
		t.Fatal(err)
	}
	l.want(`"msg":"draining"`)
	l.pid = taken.Pid
	l.signal(syscall.SIGUSR2)
	l.want("replacement refused: the process before this one still drains")

	if err := syscall.Kill(-before, syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	l.want(`"msg":"drained"`) // the successor
	if _, _, err := conn.ReadMessage(); !websocket.IsCloseError(err, websocket.CloseServiceRestart) {
		t.Errorf("the session ends with %v", err)
	}
	_ = conn.Close()
	if status := l.wait(before); status.ExitStatus() != exitOK {
		t.Errorf("exit code %d", status.ExitStatus())
	}
}
