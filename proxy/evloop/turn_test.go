package evloop

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// One that moves in the turn in which it is ready is told in its new place.
func TestMoveInsideTurn(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fdA, peerA := unixPair(t)
		fdB, peerB := unixPair(t)
		a, b := settled(t, l, fdA), settled(t, l, fdB)
		to := &probe{}
		a.do = func() { b.Move(&to.Socket, to) }
		b.do = func() { a.Move(&to.Socket, to) }
		t.Cleanup(to.Close)
		write(t, peerA, "x")
		write(t, peerB, "x")
		turn(t, l)
		turn(t, l)
		if a.calls+b.calls != 1 || to.calls != 1 {
			t.Errorf("calls: %d, %d, and %d in the new place", a.calls, b.calls, to.calls)
		}
		wantRead(t, &to.Socket, 10, "x", nil)
	})
}

// Two that always have more to do take turns, and others come in between.
func TestAgainIsFair(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		const pieces = 200
		var order []string
		busy := func(name string) (begin func()) {
			fd, peer := unixPair(t)
			p := settled(t, l, fd)
			p.do = func() {
				order = append(order, name)
				if n, err := p.Read(make([]byte, 1)); n != 1 || err != nil {
					return
				}
				p.Again()
				p.Again() // counts once
			}
			return func() { write(t, peer, strings.Repeat("x", pieces)) }
		}
		beginA, beginB := busy("a"), busy("b")
		fd, peer := unixPair(t)
		third := settled(t, l, fd)
		beginA()
		beginB()
		turn(t, l)
		turn(t, l)
		write(t, peer, "x")
		turn(t, l)
		if third.calls != 1 {
			t.Error("the busy two keep a third from its turn")
		}
		until(t, l, "all pieces", func() bool { return len(order) >= 2*pieces })
		for i := 2; i < 2*pieces; i++ {
			if order[i] != order[i-2] || order[i] == order[i-1] {
				t.Fatalf("turns at %d: %v", i, order[i-2:i+1])
			}
		}
	})
}

// Nobody is called after Close, though it was ready in the same turn, and
// whoever gets its descriptor does not get its news.
func TestCloseInsideTurn(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		t.Run("both ready", func(t *testing.T) {
			fdA, peerA := unixPair(t)
			fdB, peerB := unixPair(t)
			a, b := settled(t, l, fdA), settled(t, l, fdB)
			fresh := &probe{}
			spare, _ := unixPair(t)
			replace := func(other *probe, fd int) func() {
				return func() {
					other.Close()
					moved, err := unix.FcntlInt(uintptr(spare), unix.F_DUPFD_CLOEXEC, fd)
					if err != nil || moved != fd {
						t.Errorf("descriptor %d, %v; want %d again", moved, err, fd)
					}
					if err := errors.Join(l.Add(&fresh.Socket, moved, fresh), unix.Close(spare)); err != nil {
						t.Error(err)
					}
				}
			}
			t.Cleanup(fresh.Close)
			a.do, b.do = replace(b, fdB), replace(a, fdA)
			write(t, peerA, "x")
			write(t, peerB, "x")
			turn(t, l)
			if a.calls+b.calls != 1 || fresh.calls != 0 {
				t.Errorf("calls: %d, %d, and %d of the new one", a.calls, b.calls, fresh.calls)
			}
			turn(t, l)
			if a.calls+b.calls != 1 || fresh.calls != 1 || fresh.Readable() || !fresh.Writable() {
				t.Errorf("calls: %d, %d, and %d of the new one, readable %v, writable %v",
					a.calls, b.calls, fresh.calls, fresh.Readable(), fresh.Writable())
			}
		})
		t.Run("both wish for a turn", func(t *testing.T) {
			fdA, _ := unixPair(t)
			fdB, _ := unixPair(t)
			a, b := settled(t, l, fdA), settled(t, l, fdB)
			a.do, b.do = b.Close, a.Close
			a.Again()
			b.Again()
			turn(t, l)
			turn(t, l)
			if a.calls != 1 || b.calls != 0 {
				t.Errorf("calls: %d, %d", a.calls, b.calls)
			}
		})
		t.Run("itself", func(t *testing.T) {
			fd, peer := unixPair(t)
			p := settled(t, l, fd)
			p.do = func() { p.Again(); p.Close() }
			write(t, peer, "x")
			turn(t, l)
			turn(t, l)
			if p.calls != 1 {
				t.Errorf("%d calls", p.calls)
			}
		})
	})
}

// More sockets may be ready than one wait can tell of.
func TestManyReady(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		const many = 300
		got := 0
		for range many {
			fd, peer := unixPair(t)
			p := add(t, l, fd)
			p.do = func() {
				var b []byte
				_, _ = p.drain(&b)
				got += len(b)
			}
			write(t, peer, "x")
		}
		until(t, l, "every byte", func() bool { return got == many })
		turn(t, l)
		if got != many {
			t.Errorf("%d bytes, want %d", got, many)
		}
	})
}

// Echoes over a running loop: all that matters at once.
func TestEcho(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		run(t, l)
		const connections, size = 20, 300_000
		results := make(chan error, connections)
		for i := range connections {
			fd, peer := tcpPair(t)
			e := &echo{t: t}
			call(t, l, func() {
				if err := l.Add(&e.Socket, fd, e); err != nil {
					t.Error(err)
				}
			})
			t.Cleanup(func() { call(t, l, e.Close) })
			go func() {
				message := bytes.Repeat([]byte{byte(i), 1, 2, 3, 5, 8, 13}, size/7)
				go func() {
					_, _ = peer.Write(message)
					_ = peer.CloseWrite()
				}()
				got, err := io.ReadAll(peer)
				if err == nil && !bytes.Equal(got, message) {
					err = errors.New("the echo differs")
				}
				results <- err
			}()
		}
		for range connections {
			if err := receiveFrom(t, results, "echo"); err != nil {
				t.Error(err)
			}
		}
	})
}

// echo writes back what it reads, a bounded amount in each turn.
type echo struct {
	Socket
	t       *testing.T
	waiting []byte
	ended   bool
}

func (e *echo) Ready() {
	var buf [4096]byte
	for range 4 {
		if len(e.waiting) == 0 && e.Readable() && !e.ended {
			n, err := e.Read(buf[:])
			if err != nil && err != io.EOF {
				e.t.Error(err)
			}
			e.ended = err != nil
			e.waiting = append(e.waiting, buf[:n]...)
		}
		if len(e.waiting) > 0 && e.Writable() {
			n, err := e.Write(e.waiting)
			if err != nil {
				e.t.Error(err)
			}
			e.waiting = e.waiting[n:]
		}
	}
	switch {
	case len(e.waiting) == 0 && e.ended:
		e.Close()
	case len(e.waiting) == 0 && e.Readable(), len(e.waiting) > 0 && e.Writable():
		e.Again()
	}
}

// A timer that is due judges by all that has arrived, however many sockets that is.
func TestTimersComeBehindAllSockets(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		const sockets = 700 // more than a poller tells of at once
		behind := 0
		var all []*probe
		for range sockets {
			fd, peer := unixPair(t)
			p := settled(t, l, fd)
			write(t, peer, "x")
			all = append(all, p)
		}
		l.Set(&newAlarm(func() {
			for _, p := range all {
				if p.calls == 0 {
					behind++
				}
			}
		}).Timer, l.Now())
		turn(t, l)
		if behind > 0 {
			t.Errorf("%d of %d sockets had not been served when the timer expired", behind, sockets)
		}
	})
}
