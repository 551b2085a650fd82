package evloop

import (
	"errors"
	"io"
	"net"
	"testing"

	"golang.org/x/sys/unix"
)

// The end of a stream is told, however it comes, and behind the last byte.
func TestEnd(t *testing.T) {
	ends := []struct {
		name string
		end  func(peer) error
	}{{"close", peer.Close}, {"close write", peer.CloseWrite}}
	onBoth(t, func(t *testing.T, l *Loop) {
		for _, pair := range pairs {
			for _, end := range ends {
				// The data and the end in one event, so that no second one follows.
				t.Run(pair.name+" "+end.name+" with data", func(t *testing.T) {
					fd, peer := pair.open(t)
					p := settled(t, l, fd)
					write(t, peer, "last words")
					if err := end.end(peer); err != nil {
						t.Fatal(err)
					}
					wantEnd(t, l, p, "last words")
				})
				t.Run(pair.name+" "+end.name+" alone", func(t *testing.T) {
					fd, peer := pair.open(t)
					p := settled(t, l, fd)
					if err := end.end(peer); err != nil {
						t.Fatal(err)
					}
					wantEnd(t, l, p, "")
				})
				t.Run(pair.name+" "+end.name+" before the data is read", func(t *testing.T) {
					fd, peer := pair.open(t)
					p := settled(t, l, fd)
					write(t, peer, "last words")
					p.do = func() {
						p.do = nil
						if err := end.end(peer); err != nil {
							t.Error(err)
						}
						p.calls-- // reads in wantEnd's turns
					}
					until(t, l, "data", func() bool { return p.do == nil })
					wantRead(t, &p.Socket, 100, "last words", nil)
					wantEnd(t, l, p, "")
				})
				t.Run(pair.name+" "+end.name+" before it is added", func(t *testing.T) {
					fd, peer := pair.open(t)
					write(t, peer, "last words")
					if err := end.end(peer); err != nil {
						t.Fatal(err)
					}
					wantEnd(t, l, add(t, l, fd), "last words")
				})
			}
		}
	})
}

// wantEnd reads in p's handler, and nowhere else, until the end.
func wantEnd(t *testing.T, l *Loop, p *probe, want string) {
	t.Helper()
	var got []byte
	ended := false
	p.do = func() {
		end, err := p.drain(&got)
		if err != nil {
			t.Error(err)
		}
		ended = ended || end
	}
	until(t, l, "end", func() bool { return ended })
	if string(got) != want {
		t.Fatalf("read %q, want %q", got, want)
	}
	wantRead(t, &p.Socket, 10, "", io.EOF)
}

// A read that leaves nothing but the end to be told keeps the socket readable.
func TestShortReadWithHangup(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := unixPair(t)
		p := settled(t, l, fd)
		write(t, peer, "hello")
		_ = peer.Close()
		turn(t, l)
		wantRead(t, &p.Socket, 100, "hello", nil)
		if !p.Readable() {
			t.Error("the end would be lost")
		}
		wantRead(t, &p.Socket, 100, "", io.EOF)
		turn(t, l)
		calls := p.calls
		turn(t, l)
		if p.calls != calls {
			t.Error("called for nothing new")
		}
	})
}

func TestBrokenByReset(t *testing.T) {
	reset := func(t *testing.T, peer peer) {
		t.Helper()
		tcp := peer.(*net.TCPConn)
		if err := errors.Join(tcp.SetLinger(0), tcp.Close()); err != nil {
			t.Fatal(err)
		}
	}
	onBoth(t, func(t *testing.T, l *Loop) {
		t.Run("while idle", func(t *testing.T) {
			fd, peer := tcpPair(t)
			p := settled(t, l, fd)
			reset(t, peer)
			until(t, l, "break", func() bool { return p.Broken() })
			if p.calls == 0 || !p.Readable() || !p.Writable() {
				t.Errorf("%d calls, readable %v, writable %v", p.calls, p.Readable(), p.Writable())
			}
			wantRead(t, &p.Socket, 10, "", unix.ECONNRESET)
			if _, err := p.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
				t.Errorf("write: %v", err)
			}
		})
		// A session that holds back, since its other side takes no more, must
		// still hear of it.
		t.Run("while reading is paused", func(t *testing.T) {
			fd, peer := tcpPair(t)
			p := settled(t, l, fd)
			write(t, peer, "unread")
			until(t, l, "data", func() bool { return p.Readable() })
			p.calls = 0
			reset(t, peer)
			until(t, l, "break", func() bool { return p.Broken() && p.calls > 0 })
		})
		t.Run("no call follows", func(t *testing.T) {
			fd, peer := tcpPair(t)
			p := settled(t, l, fd)
			reset(t, peer)
			until(t, l, "break", func() bool { return p.Broken() })
			turn(t, l)
			calls := p.calls
			for range 10 {
				turn(t, l)
			}
			if p.calls != calls {
				t.Errorf("%d calls more", p.calls-calls)
			}
		})
		t.Run("by both ends' goodbye", func(t *testing.T) {
			fd, peer := tcpPair(t)
			p := settled(t, l, fd)
			if err := p.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			if p.Broken() {
				t.Error("broken by one direction's end")
			}
			if err := peer.CloseWrite(); err != nil {
				t.Fatal(err)
			}
			until(t, l, "break", func() bool { return p.Broken() })
			wantRead(t, &p.Socket, 10, "", io.EOF)
		})
	})
}

func TestReset(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := tcpPair(t)
		p := settled(t, l, fd)
		p.Reset()
		if p.Open() {
			t.Error("still open")
		}
		if _, err := peer.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("peer reads %v, want a reset", err)
		}
		p.Reset()
		p.Close()
	})
}

func TestClose(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		for _, pair := range pairs {
			t.Run(pair.name, func(t *testing.T) {
				fd, peer := pair.open(t)
				p := settled(t, l, fd)
				if n, err := p.Write([]byte("bye")); n != 3 || err != nil {
					t.Fatal(n, err)
				}
				p.Close()
				p.Close()
				if p.Open() {
					t.Error("still open")
				}
				wantClosed(t, &p.Socket)
				got, err := io.ReadAll(peer)
				if string(got) != "bye" || err != nil {
					t.Errorf("peer reads %q, %v", got, err)
				}
				_, _ = peer.Write([]byte("too late"))
				p.Again()
				turn(t, l)
				if p.calls != 0 {
					t.Error("called after Close")
				}
			})
		}
	})
}

func TestCloseWrite(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		for _, pair := range pairs {
			t.Run(pair.name, func(t *testing.T) {
				fd, peer := pair.open(t)
				p := settled(t, l, fd)
				if n, err := p.Write([]byte("question")); n != 8 || err != nil {
					t.Fatal(n, err)
				}
				if err := p.CloseWrite(); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(peer)
				if string(got) != "question" || err != nil {
					t.Errorf("peer reads %q, %v", got, err)
				}
				write(t, peer, "answer")
				until(t, l, "answer", func() bool { return p.Readable() })
				wantRead(t, &p.Socket, 100, "answer", nil)
				if _, err := p.Write([]byte("x")); !errors.Is(err, unix.EPIPE) {
					t.Errorf("write: %v", err)
				}
			})
		}
	})
}
