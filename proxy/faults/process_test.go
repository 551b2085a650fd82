//go:build linux

package faults

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/gobwas/ws"
	"golang.org/x/sys/unix"

	"wswarden/config"
	"wswarden/proxy"
)

// Parts that have to be processes of their own are this program in another role.
const (
	role        = "WSWARDEN_FAULTS_ROLE"
	roleWarden  = "wswarden" // as main.go runs it, its log on standard error
	roleEcho    = "echo"     // an upstream that sends back what it gets
	theArgument = "WSWARDEN_FAULTS_ARGUMENT"
)

// play does what this process is there for, unless that is the tests.
func play() (played bool, err error) {
	switch argument := os.Getenv(theArgument); os.Getenv(role) {
	case roleWarden:
		return true, runWarden(argument)
	case roleEcho:
		return true, runEcho(argument)
	}
	return false, nil
}

// process is a part that can be killed and stopped.
type process struct {
	*os.Process
	said  []string     // its first line: where it serves
	ended func() error // waits for its end
}

// startProcess runs a part until the end of the test at the latest.
func startProcess(t *testing.T, as, argument string, stderr *os.File, environment ...string) *process {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(append(os.Environ(), role+"="+as, theArgument+"="+argument), environment...)
	cmd.Stderr = stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{Process: cmd.Process, ended: sync.OnceValue(cmd.Wait)}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = p.ended()
	})
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		t.Fatalf("%s does not start: %v", as, err)
	}
	p.said = strings.Fields(line)
	return p
}

// stop has it stand still, until SIGCONT, and returns when it does.
func (p *process) stop(t *testing.T) {
	t.Helper()
	must(t, p.Signal(syscall.SIGSTOP))
	must(t, unix.Waitid(unix.P_PID, p.Pid, nil, unix.WSTOPPED, nil))
}

// startWarden runs wswarden as a process.
func startWarden(t *testing.T, configuration string, stderr *os.File, environment ...string) (*warden, *process) {
	t.Helper()
	p := startProcess(t, roleWarden, configuration, stderr, environment...)
	w := &warden{address: p.said[0], admin: p.said[1]}
	w.stop = func() error {
		return errors.Join(p.Signal(syscall.SIGTERM), p.ended())
	}
	return w, p
}

func runWarden(configuration string) error {
	cfg, err := config.Parse("faults.yaml", []byte(configuration))
	if err != nil {
		return err
	}
	useResolver()
	if err := useClock(); err != nil {
		return err
	}
	server, err := proxy.New(cfg, slog.New(slog.NewJSONHandler(os.Stderr, nil)), proxy.Options{})
	if err != nil {
		return err
	}
	signal.Ignore(syscall.SIGPIPE) // or a log whose reader is gone would be the end
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fmt.Println(server.Addrs()[0], server.AdminAddr())
	return server.Run(ctx)
}

func runEcho(address string) error {
	ln, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	for {
		conn, err := ln.Accept()
		if err != nil {
			return err
		}
		go echo(conn)
	}
}

// echo sends back every frame of a session.
func echo(conn net.Conn) {
	defer conn.Close()
	if _, err := ws.Upgrade(conn); err != nil {
		return
	}
	br := bufio.NewReader(conn)
	for {
		h, err := ws.ReadHeader(br)
		if err != nil {
			return
		}
		body := make([]byte, h.Length)
		if _, err := io.ReadFull(br, body); err != nil {
			return
		}
		ws.Cipher(body, h.Mask, 0)
		switch h.Masked = false; h.OpCode {
		case ws.OpPing:
			h.OpCode = ws.OpPong
		case ws.OpPong:
			continue
		}
		if err := ws.WriteFrame(conn, ws.Frame{Header: h, Payload: body}); err != nil || h.OpCode == ws.OpClose {
			return
		}
	}
}

// memory returns how many bytes of a process are in memory.
func (p *process) memory(t *testing.T) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	kilobytes, err := strconv.Atoi(strings.Fields(rss)[0])
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// descriptors returns how many it has open.
func (p *process) descriptors(t *testing.T) int {
	t.Helper()
	n, err := countDescriptors(p.Pid)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func countDescriptors(pid int) (int, error) {
	entries, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	return len(entries), err
}
