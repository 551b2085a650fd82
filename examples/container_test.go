//go:build linux

package examples

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// container is a process as an engine starts it: the first one of its system, nobody by
// name, without a capability, and with an image for its root.
type container struct {
	Root     string // folder; empty: that of this machine
	ReadOnly bool
	Mounts   []mount
	Args     []string
	Env      []string // all of it
	// Sockets are passed on as systemd does it.
	Sockets []*os.File `json:"-"`
}

// mount shows a file or folder of this machine, read only.
type mount struct{ Source, Target string }

// folder returns one for a test whose files containers may read.
func folder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp(os.Getenv(imagesVar), "test")
	if err == nil {
		err = os.Chmod(dir, 0o755)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir // which goes with the images
}

// write writes a file that containers may read, and returns its name.
func write(t *testing.T, name, text string) string {
	t.Helper()
	err := os.MkdirAll(filepath.Dir(name), 0o755)
	if err == nil {
		err = os.WriteFile(name, []byte(text), 0o644)
	}
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// rootOf returns an image's root for one container, with mount points, as an engine
// makes them.
func rootOf(t *testing.T, name string, mounts []mount) string {
	t.Helper()
	root := filepath.Join(folder(t), "root")
	if out, err := exec.Command("cp", "-al", filepath.Join(os.Getenv(imagesVar), name, "root"), root).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, m := range append(mounts, mount{"/proc", "/proc"}) {
		info, err := os.Stat(m.Source)
		if err != nil {
			t.Fatal(err)
		}
		target := filepath.Join(root, m.Target)
		if info.IsDir() {
			err = os.MkdirAll(target, 0o755)
		} else {
			write(t, target, "")
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	return root
}

// command returns the container's process, which has not been started.
func (c container) command(t *testing.T) *exec.Cmd {
	t.Helper()
	needNamespaces(t)
	if len(c.Sockets) > 0 {
		c.Env = append(c.Env, fmt.Sprintf("LISTEN_FDS=%d", len(c.Sockets)))
	}
	spec, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe")
	cmd.Env = []string{containerVar + "=" + string(spec)}
	cmd.ExtraFiles = c.Sockets
	cmd.SysProcAttr = containment()
	return cmd
}

// containment makes nobody of a process, who for a moment may mount.
func containment() *syscall.SysProcAttr {
	ids := func(self int) []syscall.SysProcIDMap {
		return []syscall.SysProcIDMap{{ContainerID: nobody, HostID: self, Size: 1}}
	}
	uid := 0
	if text, err := os.ReadFile("/proc/self/uid_map"); err == nil && strings.Contains(string(text), fmt.Sprint(nobody)) {
		uid = nobody // the tests run as root, and may be anybody
	}
	return &syscall.SysProcAttr{
		Cloneflags:  unix.CLONE_NEWUSER | unix.CLONE_NEWNS | unix.CLONE_NEWPID,
		UidMappings: ids(uid),
		GidMappings: ids(uid),
		Credential:  &syscall.Credential{Uid: nobody, Gid: nobody, NoSetGroups: true},
		AmbientCaps: []uintptr{unix.CAP_SYS_ADMIN, unix.CAP_SYS_CHROOT},
		Pdeathsig:   unix.SIGKILL,
	}
}

// become turns this process into a container's. It returns only if it cannot.
func become(spec string) error {
	var c container
	if err := json.Unmarshal([]byte(spec), &c); err != nil {
		return err
	}
	runtime.LockOSThread() // whose capabilities are given back, and which executes
	for i, variable := range c.Env {
		if strings.HasPrefix(variable, "LISTEN_FDS=") {
			c.Env = append(c.Env[:i:i], append(c.Env[i:], fmt.Sprintf("LISTEN_PID=%d", os.Getpid()))...)
			break
		}
	}
	if c.Root != "" {
		if err := c.enterRoot(); err != nil {
			return err
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil {
		return fmt.Errorf("give capabilities back: %w", err)
	}
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	return fmt.Errorf("run %s: %w", c.Args[0], unix.Exec(c.Args[0], c.Args, c.Env))
}

func (c container) enterRoot() error {
	if err := bind(c.Root, c.Root, c.ReadOnly); err != nil {
		return err
	}
	for _, m := range c.Mounts {
		if err := bind(m.Source, filepath.Join(c.Root, m.Target), true); err != nil {
			return err
		}
	}
	if err := unix.Mount("proc", filepath.Join(c.Root, "proc"), "proc", unix.MS_NOSUID|unix.MS_NODEV|unix.MS_NOEXEC, ""); err != nil && !errors.Is(err, unix.EPERM) {
		return fmt.Errorf("mount proc: %w", err) // where it is not allowed, it has to do without
	}
	if err := unix.Chroot(c.Root); err != nil {
		return err
	}
	return unix.Chdir("/")
}

// bind mounts a file or folder elsewhere.
func bind(source, target string, readOnly bool) error {
	if err := unix.Mount(source, target, "", unix.MS_BIND, ""); err != nil {
		return fmt.Errorf("mount %s: %w", target, err)
	}
	if !readOnly {
		return nil
	}
	var fs unix.Statfs_t
	if err := unix.Statfs(target, &fs); err != nil {
		return err
	}
	// What is locked must stay as it is, and these have the same bits here and there.
	flags := uintptr(fs.Flags) & (unix.MS_NOSUID | unix.MS_NODEV | unix.MS_NOEXEC | unix.MS_NOATIME | unix.MS_NODIRATIME)
	if fs.Flags&unix.ST_RELATIME != 0 {
		flags |= unix.MS_RELATIME
	}
	if err := unix.Mount("", target, "", flags|unix.MS_BIND|unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
		return fmt.Errorf("make %s read-only: %w", target, err)
	}
	return nil
}

// process is a container that runs.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	log  chan string   // lines of standard error
	done chan struct{} // closed when it has ended
}

// start runs the container until the end of the test at the latest.
func (c container) start(t *testing.T) *process {
	t.Helper()
	cmd := c.command(t)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	p := &process{t, cmd, make(chan string, 10000), make(chan struct{})}
	go p.read(stderr)
	t.Cleanup(p.kill)
	return p
}

func (p *process) read(stderr io.Reader) {
	for lines := bufio.NewScanner(stderr); lines.Scan(); {
		select {
		case p.log <- lines.Text():
		default: // nobody has read so many
		}
	}
	close(p.log)
	_ = p.cmd.Wait()
	close(p.done)
}

func (p *process) kill() {
	_ = p.cmd.Process.Kill()
	<-p.done
	if p.t.Failed() {
		for line := range p.log {
			p.t.Log(line)
		}
	}
}

// wantLog waits for a line of the log with this message.
func (p *process) wantLog(message string) (line map[string]any) {
	p.t.Helper()
	var said strings.Builder
	deadline := time.NewTimer(longest)
	defer deadline.Stop()
	for {
		select {
		case text, open := <-p.log:
			if !open {
				p.t.Fatalf("the log ends without %q:\n%s", message, &said)
			}
			fmt.Fprintln(&said, text)
			line = nil
			if json.Unmarshal([]byte(text), &line) == nil && line["msg"] == message {
				return line
			}
		case <-deadline.C:
			p.t.Fatalf("no %q in the log:\n%s", message, &said)
		}
	}
}

func (p *process) signal(s os.Signal) {
	p.t.Helper()
	if err := p.cmd.Process.Signal(s); err != nil {
		p.t.Fatal(err)
	}
}

// wantExit waits for the end of the process.
func (p *process) wantExit(code int) {
	p.t.Helper()
	select {
	case <-p.done:
	case <-time.After(longest):
		p.t.Fatal("it does not end")
	}
	if got := p.cmd.ProcessState; got.ExitCode() != code {
		p.t.Errorf("%s, want exit code %d", got, code)
	}
}

// exec returns another command in a container like this one, as docker exec runs it.
func (c container) exec(t *testing.T, args ...string) *exec.Cmd {
	t.Helper()
	c.Args, c.Sockets = args, nil
	return c.command(t)
}

// run runs another command, and returns what it says.
func (c container) run(t *testing.T, args ...string) (string, error) {
	t.Helper()
	out, err := c.exec(t, args...).CombinedOutput()
	return string(out), err
}
