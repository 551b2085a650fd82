package evloop

import (
	"bytes"
	"io"
	"net"
	"runtime"
	"testing"
)

func TestReadiness(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := unixPair(t)
		p := add(t, l, fd)
		wantCalls := func(when string, calls int, readable, writable bool) {
			t.Helper()
			turn(t, l)
			if p.calls != calls || p.Readable() != readable || p.Writable() != writable {
				t.Fatalf("%s: %d calls, readable %v, writable %v; want %d, %v, %v",
					when, p.calls, p.Readable(), p.Writable(), calls, readable, writable)
			}
			p.calls = 0
		}
		wantCalls("new", 1, false, true)
		wantCalls("nothing has happened", 0, false, true)
		write(t, peer, "hello")
		wantCalls("data has come", 1, true, true)
		wantCalls("data is left", 0, true, true)
		wantRead(t, &p.Socket, 100, "hello", nil)
		wantCalls("a short read took all", 0, false, true)
		wantRead(t, &p.Socket, 100, "", nil)
		write(t, peer, "again")
		wantCalls("data has come anew", 1, true, true)
		wantRead(t, &p.Socket, 5, "again", nil)
		wantCalls("a full read may have left some", 0, true, true)
		wantRead(t, &p.Socket, 5, "", nil)
		wantCalls("nothing was left", 0, false, true)
		write(t, peer, "more")
		wantCalls("data has come after a read in vain", 1, true, true)
		wantRead(t, &p.Socket, 2, "mo", nil)
		wantRead(t, &p.Socket, 3, "re", nil)
		wantCalls("the rest was short", 0, false, true)
	})
}

func TestWritableAfterFull(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		for _, pair := range pairs {
			t.Run(pair.name, func(t *testing.T) {
				fd, peer := pair.open(t)
				p := settled(t, l, fd)
				sent := fill(t, p)
				if pair.name == "unix" { // TCP makes room of its own accord
					if n, err := p.Write([]byte("x")); n != 0 || err != nil {
						t.Fatalf("write to a full socket: %d, %v", n, err)
					}
				}
				p.calls = 0
				got := make([]byte, sent)
				if _, err := io.ReadFull(peer, got); err != nil {
					t.Fatal(err)
				}
				until(t, l, "room", func() bool { return p.Writable() && p.calls > 0 })
				for i := range got {
					if got[i] != filling[i%len(filling)] {
						t.Fatalf("byte %d differs", i)
					}
				}
				if n, err := p.Write([]byte("x")); n != 1 || err != nil {
					t.Fatalf("write: %d, %v", n, err)
				}
			})
		}
	})
}

var filling = bytes.Repeat([]byte("0123456789abcdef"), 4096)

// fill writes until there is no more room, and returns how much that was.
func fill(t *testing.T, p *probe) (sent int) {
	t.Helper()
	for p.Writable() {
		n, err := p.Write(filling[sent%len(filling):])
		if err != nil {
			t.Fatal(err)
		}
		sent += n
	}
	return sent
}

// What a peer that does not read leaves behind shows, and no more once it reads.
func TestOutstanding(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := tcpPair(t)
		p := settled(t, l, fd)
		sent := fill(t, p)
		if runtime.GOOS != "linux" {
			if bytes, acknowledged := p.Outstanding(); bytes != 0 || acknowledged != 0 {
				t.Errorf("%d, %d on a system that cannot tell", bytes, acknowledged)
			}
			return
		}
		until(t, l, "a full account", func() bool {
			bytes, acknowledged := p.Outstanding()
			if bytes == 0 {
				t.Fatal("nothing outstanding of a full socket")
			}
			// Linux counts the handshake for one.
			return acknowledged > 1 && acknowledged+bytes-uint64(sent) <= 1
		})
		if _, err := io.ReadFull(peer, make([]byte, sent)); err != nil {
			t.Fatal(err)
		}
		until(t, l, "the last acknowledgement", func() bool {
			bytes, _ := p.Outstanding()
			return bytes == 0
		})
	})
}

func TestZeroSocket(t *testing.T) {
	var s Socket
	s.Again()
	s.Close()
	s.Reset()
	if s.Open() || s.Readable() || s.Writable() || s.Broken() {
		t.Error("the zero Socket is something")
	}
	wantClosed(t, &s)
}

// wantClosed wants s to leave its descriptor alone: it may be another's by now.
func wantClosed(t *testing.T, s *Socket) {
	t.Helper()
	if n, err := s.Read(make([]byte, 1)); n != 0 || err != net.ErrClosed {
		t.Errorf("read: %d, %v", n, err)
	}
	if n, err := s.Write([]byte("x")); n != 0 || err != net.ErrClosed {
		t.Errorf("write: %d, %v", n, err)
	}
	if err := s.CloseWrite(); err != net.ErrClosed {
		t.Errorf("close write: %v", err)
	}
	if bytes, acknowledged := s.Outstanding(); bytes != 0 || acknowledged != 0 {
		t.Errorf("outstanding: %d, %d", bytes, acknowledged)
	}
}

// A descriptor that is none is refused at once, or found broken.
func TestAddNoDescriptor(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		const none = 1 << 20
		var p probe
		if err := l.Add(&p.Socket, none, &p); err != nil {
			if p.Open() {
				t.Error("open after an error")
			}
			return
		}
		turn(t, l)
		if p.calls != 1 || !p.Broken() {
			t.Errorf("%d calls, broken %v", p.calls, p.Broken())
		}
		p.Close()
	})
}
