package evloop

import "testing"

// BenchmarkTurn is a turn in which the loop waits for readiness and reads a letter.
func BenchmarkTurn(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	defer l.Close()
	left := b.N
	var again func()
	again = func() {
		if left--; left < 0 {
			l.stopped = true
		} else if err := l.Do(again); err != nil {
			b.Error(err)
		}
	}
	if err := l.Do(again); err != nil {
		b.Fatal(err)
	}
	b.ResetTimer()
	if err := l.Run(); err != nil {
		b.Fatal(err)
	}
}

// BenchmarkEcho is the way of a byte to the loop and back.
func BenchmarkEcho(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	fd, peer := unixPair(b)
	e := &bounce{}
	if err := l.Add(&e.Socket, fd, e); err != nil {
		b.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- l.Run() }()
	var buf [1]byte
	for b.Loop() {
		if _, err := peer.Write(buf[:]); err != nil {
			b.Fatal(err)
		}
		if _, err := peer.Read(buf[:]); err != nil {
			b.Fatal(err)
		}
	}
	_ = l.Do(e.Close)
	_ = l.Stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}

// bounce writes back what it reads.
type bounce struct {
	Socket
	buf [64]byte
}

func (e *bounce) Ready() {
	if e.Readable() {
		if n, err := e.Read(e.buf[:]); err == nil {
			_, _ = e.Write(e.buf[:n])
		}
	}
}
