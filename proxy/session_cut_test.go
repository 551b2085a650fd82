//go:build linux

package proxy_test

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
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// A client whose network is cut says nothing any more, not even FIN. Its own end
// of the link is taken down, so that wswarden's system sees nothing of it
// either: only the heartbeat can find it.
func TestClientWhoseNetworkIsCut(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	const interval, timeout = time.Second, 500 * time.Millisecond
	link := newLink(t)
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Listeners[0].Address = link.near + ":0"
		c.Policies[0] = policies.Policy{
			Heartbeat: policies.Heartbeat{Interval: interval, Timeout: timeout},
			Release:   policies.Release{Grace: soon, Farewell: []string{"gone"}},
		}
	})
	conn := link.dial(w.address)
	client := newPeer(t, "client", conn)
	client.send(handshake)
	upstream := w.accept()
	upstream.agree(upstream.request())
	client.response()
	client.send(client.frame(text, "hello"))
	upstream.want(text, "hello")

	link.cut()
	cut := time.Now()
	upstream.want(text, "gone")
	upstream.wantClose(1001, "heartbeat_timeout")
	t.Logf("found %s after the cut, interval + timeout is %s", time.Since(cut).Round(time.Millisecond), interval+timeout)
	upstream.answerClose(1001)
	w.wantEnd(policies.HeartbeatTimeout, 1001)
}

// The zombie in the seat: a client's network is cut, it comes back another way one
// second later, and its old session, which nobody can know to be dead yet, is in
// the only seat. Upstream is told what the old one held before it sees the new one.
func TestZombieInTheSeat(t *testing.T) {
	if !inNamespace(t) {
		return
	}
	link := newLink(t)
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Listeners[0].Address = link.near + ":0"
		c.Policies[0] = atMost(10, policies.ExcessReject)
		c.Policies[0].Connections = byQuery(1, policies.ExcessEvictOldest)
		c.Policies[0].Heartbeat = policies.Default().Heartbeat
		c.Policies[0].Release.Grace = soon
	})
	request := bytes.Replace(handshake, []byte("/ws"), []byte("/ws?id=alice"), 1)
	zombie := newPeer(t, "client", link.dial(w.address))
	zombie.send(request)
	zombieUp := w.let(zombie)
	zombie.send(zombie.frame(text, subscribe("1")), zombie.frame(text, subscribe("2")))
	zombieUp.want(text, subscribe("1"))
	zombieUp.want(text, subscribe("2"))

	link.cut()
	time.Sleep(time.Second)
	came := time.Now()
	client := w.ask("/ws?id=alice")
	zombieUp.want(text, unsubscribe("1"))
	zombieUp.want(text, unsubscribe("2"))
	zombieUp.wantClose(1001, "superseded")
	zombieUp.answerClose(1001)
	upstream := w.let(client)
	t.Logf("the new client is in after %s", time.Since(came).Round(time.Microsecond))
	w.wantEnd(policies.Superseded, 1008)
	w.bye(client, upstream)
	w.wantNoSeats()
}

// inNamespace has the test run itself again in a network namespace of its own, to
// which the client's, at the other end of a link, belongs. Both vanish with the
// process. It reports whether this is the inner run.
func inNamespace(t *testing.T) bool {
	t.Helper()
	return inProcess(t, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET})
}

// inProcess has the test run itself again in a process of its own, beside all other
// tests that come behind it, to which it gives way. It reports whether this is the
// inner run.
func inProcess(t *testing.T, attributes *syscall.SysProcAttr) bool {
	t.Helper()
	const inside = "WSWARDEN_TEST_INSIDE_PROCESS"
	if os.Getenv(inside) != "" {
		return true
	}
	cmd := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=300s")
	cmd.Env = append(os.Environ(), inside+"=1")
	cmd.SysProcAttr = attributes
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Start(); err != nil {
		skip(t, "no process of its own: %v", err)
		return false
	}
	_ = unix.Setpriority(unix.PRIO_PROCESS, cmd.Process.Pid, 10)
	t.Parallel() // what is waited for is under way
	err := cmd.Wait()
	t.Logf("in a process of its own:\n%s", &out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// skip skips a test for want of a tool, except where it must not be missing.
func skip(t *testing.T, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

// link leads from this process's network namespace to another one.
type link struct {
	t    *testing.T
	near string                         // this end's address
	far  func(func() error) (err error) // runs a function in the other namespace
}

func newLink(t *testing.T) *link {
	l := &link{t: t, near: "10.99.0.1"}
	thread := make(chan int)
	calls, results := make(chan func() error), make(chan error)
	go func() {
		// The thread is never unlocked: it ends with its goroutine, and its
		// namespace with the last socket in it.
		runtime.LockOSThread()
		err := unix.Unshare(unix.CLONE_NEWNET)
		thread <- unix.Gettid()
		results <- err
		for call := range calls {
			results <- call()
		}
		close(results)
	}()
	tid := <-thread
	if err := <-results; err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { close(calls); <-results })
	l.far = func(f func() error) error { calls <- f; return <-results }

	if _, err := exec.LookPath("ip"); err != nil {
		skip(t, "%v", err)
	}
	l.must(ip("link", "set", "lo", "up"))
	l.must(ip("link", "add", "near", "type", "veth", "peer", "name", "far", "netns", strconv.Itoa(tid)))
	l.must(ip("addr", "add", l.near+"/30", "dev", "near"))
	l.must(ip("link", "set", "near", "up"))
	l.must(l.far(func() error { return ip("addr", "add", "10.99.0.2/30", "dev", "far") }))
	l.must(l.far(func() error { return ip("link", "set", "far", "up") }))
	return l
}

func (l *link) must(err error) {
	l.t.Helper()
	if err != nil {
		l.t.Fatal(err)
	}
}

// dial connects to this end from the other.
func (l *link) dial(address string) (conn *net.TCPConn) {
	l.t.Helper()
	l.must(l.far(func() error {
		c, err := (&net.Dialer{Timeout: longest}).Dial("tcp", address)
		if err == nil {
			conn = c.(*net.TCPConn)
		}
		return err
	}))
	return conn
}

// cut takes the other end down.
func (l *link) cut() {
	l.t.Helper()
	l.must(l.far(func() error { return ip("link", "set", "far", "down") }))
}

func ip(args ...string) error {
	cmd := exec.Command("ip", args...)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("ip %v: %w: %s", args, err, out)
	}
	return nil
}
