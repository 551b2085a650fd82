package evloop

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestMain fails when the tests leave goroutines or descriptors behind.
func TestMain(m *testing.M) {
	// Go's own poller opens its descriptors with the first socket.
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close()
	}
	goroutines, descriptors := runtime.NumGoroutine(), countDescriptors()
	code := m.Run()
	if code == 0 && !within(func() bool {
		return runtime.NumGoroutine() <= goroutines && countDescriptors() <= descriptors
	}) {
		fmt.Fprintf(os.Stderr, "left behind: goroutines %d → %d, descriptors %d → %d\n",
			goroutines, runtime.NumGoroutine(), descriptors, countDescriptors())
		code = 1
	}
	os.Exit(code)
}

func countDescriptors() int {
	entries, err := os.ReadDir("/dev/fd")
	if err != nil {
		panic(err)
	}
	return len(entries)
}

// patience is for what must happen: it only bounds how long a failure takes.
const patience = 10 * time.Second

func within(done func() bool) bool {
	for end := time.Now().Add(patience); !done(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			return false
		}
	}
	return true
}

// onBoth runs a test on each poller. The loop is not running: turn moves it.
func onBoth(t *testing.T, test func(t *testing.T, l *Loop)) {
	for _, poller := range []struct {
		name string
		open func() (*Loop, error)
	}{{"system", New}, {"portable", NewPortable}} {
		t.Run(poller.name, func(t *testing.T) {
			l, err := poller.open()
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := l.Close(); err != nil {
					t.Error("close:", err)
				}
			})
			test(t, l)
		})
	}
}

// turn takes l through one turn, which does not wait for anything.
func turn(t *testing.T, l *Loop) {
	t.Helper()
	if err := l.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); err != nil {
		t.Fatal(err)
	}
	l.stopped, l.mail.closed = false, false
}

// until takes turns until done.
func until(t *testing.T, l *Loop, what string, done func() bool) {
	t.Helper()
	if !within(func() bool { turn(t, l); return done() }) {
		t.Fatal("never came: " + what)
	}
}

// manual returns a loop without a system below it: no turn waits, and asked is
// until when the last one would have.
func manual(t *testing.T) (l *Loop, asked *time.Duration) {
	t.Helper()
	p := &stub{}
	l, err := newLoop(func() (poller, error) { return p, nil })
	if err != nil {
		t.Fatal(err)
	}
	return l, &p.asked
}

type stub struct {
	poller
	asked time.Duration
	err   error
}

func (p *stub) add(*Socket) error { return nil }
func (p *stub) wake()             {}
func (p *stub) wait(until time.Duration) ([]*Socket, bool, error) {
	p.asked = until
	return nil, true, p.err
}

// run serves l on a goroutine of its own until the test ends.
func run(t *testing.T, l *Loop) {
	done := make(chan error, 1)
	go func() { done <- l.Run() }()
	t.Cleanup(func() {
		if err := l.Stop(); err != nil {
			t.Error(err)
		}
		if err := receiveFrom(t, done, "the loop's end"); err != nil {
			t.Error(err)
		}
	})
}

// call has a running loop call f, and waits for it.
func call(t *testing.T, l *Loop, f func()) {
	t.Helper()
	done := make(chan struct{})
	if err := l.Do(func() { f(); close(done) }); err != nil {
		t.Fatal(err)
	}
	receiveFrom(t, done, "the letter's answer")
}

func receiveFrom[T any](t *testing.T, c <-chan T, what string) (v T) {
	t.Helper()
	select {
	case v = <-c:
	case <-time.After(patience):
		t.Fatal("never came: " + what)
	}
	return v
}

// probe is a socket whose handler counts its calls and does what the test says.
type probe struct {
	Socket
	calls int
	do    func()
}

func (p *probe) Ready() {
	p.calls++
	if p.do != nil {
		p.do()
	}
}

// drain reads what there is, by small pieces, and reports the end.
func (p *probe) drain(into *[]byte) (ended bool, err error) {
	var buf [8]byte
	for p.Open() && p.Readable() {
		n, err := p.Read(buf[:])
		*into = append(*into, buf[:n]...)
		switch {
		case err == io.EOF:
			return true, nil
		case err != nil:
			return true, err
		case n == 0:
			return false, nil
		}
	}
	return false, nil
}

func add(t *testing.T, l *Loop, fd int) *probe {
	t.Helper()
	p := &probe{}
	if err := l.Add(&p.Socket, fd, p); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return p
}

// settled adds fd and lets the news pass that it is writable.
func settled(t *testing.T, l *Loop, fd int) *probe {
	t.Helper()
	p := add(t, l, fd)
	until(t, l, "writable", func() bool { return p.Writable() })
	p.calls = 0
	return p
}

// peer is a connection's other end. Its calls block, within patience.
type peer interface {
	net.Conn
	CloseWrite() error
}

func unixPair(t testing.TB) (fd int, other peer) {
	t.Helper()
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	unix.CloseOnExec(fds[0])
	unix.CloseOnExec(fds[1])
	f := os.NewFile(uintptr(fds[1]), "peer")
	c, err := net.FileConn(f) // duplicates it
	if err := errors.Join(err, f.Close(), unix.SetNonblock(fds[0], true)); err != nil {
		t.Fatal(err)
	}
	return fds[0], kept(t, c)
}

func tcpPair(t testing.TB) (fd int, other peer) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	c, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	own, err := ln.Accept()
	if err != nil {
		t.Fatal(err)
	}
	raw, err := own.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var dupErr error
	err = raw.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr, own.Close()); err != nil {
		t.Fatal(err)
	}
	return fd, kept(t, c)
}

func kept(t testing.TB, c net.Conn) peer {
	t.Helper()
	t.Cleanup(func() { _ = c.Close() })
	if err := c.SetDeadline(time.Now().Add(2 * patience)); err != nil {
		t.Fatal(err)
	}
	return c.(peer)
}

var pairs = []struct {
	name string
	open func(testing.TB) (int, peer)
}{{"unix", unixPair}, {"tcp", tcpPair}}

func write(t *testing.T, w io.Writer, text string) {
	t.Helper()
	if _, err := io.WriteString(w, text); err != nil {
		t.Fatal(err)
	}
}

func wantRead(t *testing.T, s *Socket, size int, want string, wantErr error) {
	t.Helper()
	buf := make([]byte, size)
	n, err := s.Read(buf)
	if string(buf[:n]) != want || !errors.Is(err, wantErr) {
		t.Fatalf("read %q, %v; want %q, %v", buf[:n], err, want, wantErr)
	}
}
