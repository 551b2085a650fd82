//go:build linux

package faults

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// newCables starts a scene whose links are cables. They are numbered so that no two in
// this process have the same addresses.
func newCables(t *testing.T, number int, policy string, way bool) (s *scene, clients, upstreams *cable) {
	t.Helper()
	s = emptyScene(t)
	s.secure = way == secure
	clients, upstreams = newCable(t, 2*number), newCable(t, 2*number+1)
	var ln net.Listener
	must(t, upstreams.there(func() (err error) {
		ln, err = net.Listen("tcp", upstreams.far+":0")
		return err
	}))
	s.serve(t, ln)
	s.warden = start(t, s.configuration(ln.Addr().String(), policy))
	_, port, _ := net.SplitHostPort(s.warden.address)
	s.client = &link{address: net.JoinHostPort(clients.near, port)}
	s.dial = func(address string) (conn net.Conn, err error) {
		err = clients.there(func() error {
			conn, err = net.DialTimeout("tcp", address, patience)
			return err
		})
		return conn, err
	}
	return s, clients, upstreams
}

// cable leads from this process's network namespace to another one.
type cable struct {
	name      string
	near, far string // addresses of its ends
	calls     chan func() error
	results   chan error
}

func newCable(t *testing.T, number int) *cable {
	t.Helper()
	c := &cable{
		name: fmt.Sprint("far", number),
		near: fmt.Sprintf("10.99.%d.1", number), far: fmt.Sprintf("10.99.%d.2", number),
		calls: make(chan func() error), results: make(chan error),
	}
	thread := make(chan int)
	go func() {
		// The thread is never unlocked: it ends with its goroutine, and its namespace
		// with the last socket in it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		thread <- unix.Gettid()
		c.results <- err
		for call := range c.calls {
			c.results <- call()
		}
		close(c.results)
	}()
	tid := <-thread
	must(t, <-c.results)
	t.Cleanup(func() { close(c.calls); <-c.results })
	near := fmt.Sprint("near", number)
	must(t, ip("link", "add", near, "type", "veth", "peer", "name", c.name, "netns", strconv.Itoa(tid)))
	must(t, ip("addr", "add", c.near+"/30", "dev", near))
	must(t, ip("link", "set", near, "up"))
	must(t, c.there(func() error { return ip("addr", "add", c.far+"/30", "dev", c.name) }))
	must(t, c.set("up"))
	return c
}

// there runs a function in the other namespace.
func (c *cable) there(f func() error) error {
	c.calls <- f
	return <-c.results
}

// set takes the other end up or down: this one's system sees nothing of it.
func (c *cable) set(state string) error {
	return c.there(func() error { return ip("link", "set", c.name, state) })
}

func ip(args ...string) error {
	if out, err := exec.Command("ip", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}

// inProcess has the test run itself again in a process of its own, in namespaces of its
// own, beside all other tests. It reports whether this is the inner run.
func inProcess(t *testing.T, namespaces uintptr) bool {
	t.Helper()
	const inside = "WSWARDEN_FAULTS_INSIDE"
	t.Parallel()
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=300s")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: namespaces, Pdeathsig: syscall.SIGKILL}
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		skip(t, "no namespaces: %v: run the tests as root", err)
		return false
	}
	err := cmd.Wait()
	t.Logf("in a process of its own:\n%s", &out)
	if err != nil {
		t.Error(err)
	}
	return false
}
