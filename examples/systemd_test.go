//go:build linux

package examples

import (
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

// unit is a file of systemd's: values by section and key, the last one where there are
// several.
type unit map[string]string

func readUnit(t *testing.T, name string) unit {
	t.Helper()
	u, section := unit{}, ""
	for _, line := range instructions(read(t, name)) {
		if key, value, is := strings.Cut(line, "="); is {
			u[section+key] = value
		} else {
			section = strings.Trim(line, "[]") + "."
		}
	}
	return u
}

// analyze runs systemd-analyze, which needs no systemd that runs.
func analyze(t *testing.T, args ...string) (string, error) {
	t.Helper()
	program, err := exec.LookPath("systemd-analyze")
	if err != nil {
		skip(t, "systemd-analyze is not installed (Debian: apt-get install --no-install-recommends systemd): nothing says whether systemd understands its files")
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// units returns copies of the files, for a program that is there.
func units(t *testing.T, change ...string) (service, socket string) {
	t.Helper()
	dir := folder(t)
	program := filepath.Join(os.Getenv(imagesVar), "wswarden/root/wswarden")
	text := strings.NewReplacer(append(change, "/usr/local/bin/wswarden", program)...).Replace(read(t, "systemd/wswarden.service"))
	return write(t, dir+"/wswarden.service", text), write(t, dir+"/wswarden.socket", read(t, "systemd/wswarden.socket"))
}

func TestSystemdVerifies(t *testing.T) {
	t.Parallel()
	service, socket := units(t)
	if out, err := analyze(t, "verify", "--man=no", service, socket); err != nil || out != "" {
		t.Errorf("%v\n%s", err, out)
	}
	service, socket = units(t, "ProtectHome=", "ProtectHmoe=")
	if out, _ := analyze(t, "verify", "--man=no", service, socket); !strings.Contains(out, "ProtectHmoe") {
		t.Errorf("a key that is not known passes: %s", out)
	}
}

// What is left to gain: a network of its own, and Internet sockets, are what it is for.
func TestSystemdIsHardened(t *testing.T) {
	t.Parallel()
	service, _ := units(t)
	out, err := analyze(t, "security", "--offline=true", "--threshold=12", "--no-pager", service) // tenths
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	t.Log(lines[len(lines)-1])
}

// What belongs together says the same.
func TestSystemdHangsTogether(t *testing.T) {
	t.Parallel()
	service, socket := readUnit(t, "systemd/wswarden.service"), readUnit(t, "systemd/wswarden.socket")
	var file struct{ Listeners []struct{ Address string } }
	if err := yaml.Unmarshal([]byte(read(t, "systemd/wswarden.yaml")), &file); err != nil {
		t.Fatal(err)
	}
	if want := "systemd:" + socket["Socket.FileDescriptorName"]; file.Listeners[0].Address != want {
		t.Errorf("wswarden listens on %s, want %s", file.Listeners[0].Address, want)
	}
	stop, err := time.ParseDuration(service["Service.TimeoutStopSec"])
	if drain := drainOf(t, "systemd/wswarden.yaml"); err != nil || stop < drain+5*time.Second {
		t.Errorf("TimeoutStopSec %s (%v) is too short for drain.timeout %s", stop, err, drain)
	}
	if service["Unit.Requires"] != "wswarden.socket" || service["Service.Type"] != "notify" {
		t.Errorf("it requires %q and is of type %q", service["Unit.Requires"], service["Service.Type"])
	}
}

// notices are what services tell systemd.
type notices struct {
	t    *testing.T
	conn *net.UnixConn
}

func listenForNotices(t *testing.T, name string) notices {
	t.Helper()
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: name, Net: "unixgram"})
	if err == nil {
		err = os.Chmod(name, 0o777)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	return notices{t, conn}
}

// want waits for a notice.
func (n notices) want(notice string) {
	n.t.Helper()
	_ = n.conn.SetReadDeadline(time.Now().Add(longest))
	buffer := make([]byte, 4<<10)
	for said := ""; ; {
		size, err := n.conn.Read(buffer)
		if err != nil {
			n.t.Fatalf("systemd does not hear %s, but:\n%s", notice, said)
		}
		for line := range strings.Lines(string(buffer[:size])) {
			if strings.TrimSpace(line) == notice {
				return
			}
		}
		said += string(buffer[:size]) + "\n"
	}
}

// The service as systemd starts it, with the socket that it holds.
func TestSystemdRuns(t *testing.T) {
	needNamespaces(t)
	service, socket := readUnit(t, "systemd/wswarden.service"), readUnit(t, "systemd/wswarden.socket")
	dir := folder(t)
	file := write(t, dir+"/etc/wswarden.yaml", read(t, "systemd/wswarden.yaml"))
	if err := os.Mkdir(dir+"/run", 0o755); err != nil {
		t.Fatal(err)
	}
	heard := listenForNotices(t, dir+"/run/notify")
	var plain net.ListenConfig
	plain.SetMultipathTCP(false) // as systemd does it
	ln, err := plain.Listen(t.Context(), "tcp", ":"+socket["Socket.ListenStream"])
	if err != nil {
		t.Fatal(err)
	}
	passed, err := ln.(*net.TCPListener).File()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _, _ = ln.Close(), passed.Close() })

	command := strings.Fields(service["Service.ExecStart"])
	c := of(t, "wswarden",
		mount{dir + "/etc", "/etc/wswarden"},
		mount{dir + "/run", "/run/systemd"},
		mount{filepath.Join(os.Getenv(imagesVar), "wswarden/root/wswarden"), command[0]})
	c.Args = command
	wantChecked(t, c)
	c.Sockets = []*os.File{passed}
	c.Env = []string{
		atOnce,
		"LISTEN_FDNAMES=" + socket["Socket.FileDescriptorName"],
		"NOTIFY_SOCKET=/run/systemd/notify",
		"WATCHDOG_USEC=200000", // less than WatchdogSec, so that it is seen
	}
	serveUpstream(t, "127.0.0.1:5000")
	early, err := net.Dial("tcp", "127.0.0.1:"+socket["Socket.ListenStream"]) // before wswarden is there
	if err != nil {
		t.Fatal(err)
	}
	p := c.start(t)
	heard.want("READY=1")
	client := dialOver(t, early)
	client.wantEcho("hello")
	heard.want("WATCHDOG=1")

	write(t, file, strings.Replace(read(t, file), "interval: 30s", "interval: 20s", 1))
	if out, err := c.run(t, strings.Fields(service["Service.ExecReload"])...); err != nil {
		t.Errorf("reload: %v\n%s", err, out)
	}
	write(t, file, strings.Replace(read(t, file), "interval: 20s", "interval: 20", 1))
	if out, err := c.run(t, strings.Fields(service["Service.ExecReload"])...); err == nil || !strings.Contains(out, "has no unit") {
		t.Errorf("a configuration that is wrong is reloaded: %v\n%s", err, out)
	}

	p.signal(syscall.SIGTERM)
	heard.want("STOPPING=1")
	client.wantClose(1012)
	p.wantExit(0)
	if conn, err := net.Dial("tcp", ln.Addr().String()); err != nil {
		t.Errorf("the port has gone with the service: %v", err)
	} else {
		_ = conn.Close()
	}
}
