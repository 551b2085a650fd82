package evloop

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// A socket that gets another handler keeps what it was ready for.
func TestMove(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := unixPair(t)
		old := settled(t, l, fd)
		write(t, peer, "first")
		until(t, l, "data", func() bool { return old.Readable() })
		old.calls = 0
		old.Again() // goes with the old one
		to := &probe{}
		old.Move(&to.Socket, to)
		t.Cleanup(to.Close)
		if old.Open() || !to.Open() {
			t.Errorf("open: old %v, new %v", old.Open(), to.Open())
		}
		old.Close()
		wantClosed(t, &old.Socket)
		turn(t, l)
		if old.calls != 0 || to.calls != 1 || !to.Readable() || !to.Writable() {
			t.Errorf("calls: old %d, new %d, readable %v, writable %v", old.calls, to.calls, to.Readable(), to.Writable())
		}
		wantRead(t, &to.Socket, 100, "first", nil)
		write(t, peer, "second")
		turn(t, l)
		if old.calls != 0 || to.calls != 2 {
			t.Errorf("calls: old %d, new %d", old.calls, to.calls)
		}
		wantRead(t, &to.Socket, 100, "second", nil)
		if n, err := to.Write([]byte("answer")); n != 6 || err != nil {
			t.Errorf("write: %d, %v", n, err)
		}
	})
}

// A detached descriptor is the caller's, and news of it are nobody's.
func TestDetach(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := unixPair(t)
		p := settled(t, l, fd)
		p.Again()
		got, _, err := p.Detach()
		if got != fd || err != nil || p.Open() {
			t.Fatalf("descriptor %d, %v, open %v; want %d", got, err, p.Open(), fd)
		}
		p.Close()
		wantClosed(t, &p.Socket)
		write(t, peer, "x")
		turn(t, l)
		if p.calls != 0 {
			t.Error("called after Detach")
		}
		again := add(t, l, fd) // on the same loop once more
		until(t, l, "data", func() bool { return again.Readable() })
		wantRead(t, &again.Socket, 10, "x", nil)
	})
}

func TestConnect(t *testing.T) {
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	address := ln.Addr().(*net.TCPAddr).AddrPort()
	nothing := func(int) error { return nil }
	onBoth(t, func(t *testing.T, l *Loop) {
		t.Run("accepted", func(t *testing.T) {
			p := &probe{}
			prepared := -1
			if err := l.Connect(&p.Socket, address, func(fd int) error { prepared = fd; return nil }, p); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(p.Close)
			if prepared != int(p.fd) {
				t.Errorf("prepared descriptor %d, connected %d", prepared, p.fd)
			}
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			peer := kept(t, conn)
			until(t, l, "connection", func() bool { return p.Writable() && p.calls > 0 })
			if n, err := p.Write([]byte("hello")); n != 5 || err != nil {
				t.Fatalf("write: %d, %v", n, err)
			}
			buf := make([]byte, 5)
			if _, err := io.ReadFull(peer, buf); string(buf) != "hello" || err != nil {
				t.Fatalf("peer reads %q, %v", buf, err)
			}
			write(t, peer, "answer")
			until(t, l, "answer", func() bool { return p.Readable() })
			wantRead(t, &p.Socket, 100, "answer", nil)
		})
		t.Run("refused", func(t *testing.T) {
			gone, err := net.Listen("tcp4", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			address := gone.Addr().(*net.TCPAddr).AddrPort()
			_ = gone.Close()
			p := &probe{}
			if err := l.Connect(&p.Socket, address, nothing, p); err != nil {
				if !errors.Is(err, unix.ECONNREFUSED) || p.Open() {
					t.Fatalf("%v, open %v", err, p.Open())
				}
				return
			}
			t.Cleanup(p.Close)
			until(t, l, "refusal", func() bool { return p.Broken() && p.calls > 0 })
			wantRead(t, &p.Socket, 10, "", unix.ECONNREFUSED)
		})
		t.Run("not prepared", func(t *testing.T) {
			before := countDescriptors()
			failure := errors.New("no such option")
			var p probe
			if err := l.Connect(&p.Socket, address, func(int) error { return failure }, &p); !errors.Is(err, failure) {
				t.Errorf("error %v", err)
			}
			if p.Open() || countDescriptors() != before {
				t.Errorf("open %v, descriptors %d, before %d", p.Open(), countDescriptors(), before)
			}
		})
	})
}
