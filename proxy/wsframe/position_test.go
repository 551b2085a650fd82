package wsframe

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
)

// layout is what a Position should know of a stream, said plainly: every place
// by its offset.
type layout struct {
	stream  []byte
	frame   []bool // a frame boundary
	message []bool // a message boundary
	header  []bool // inside a header: a stream can not be cut there
}

func newLayout(frames []raw, sender Sender) layout {
	l := layout{frame: []bool{true}, message: []bool{true}, header: []bool{false}}
	inside := false
	for _, f := range frames {
		begin := len(l.stream)
		l.stream = f.appendTo(l.stream, sender)
		if !f.control() {
			inside = f.first&fin == 0
		}
		for i := begin + 1; i <= len(l.stream); i++ {
			end := i == len(l.stream)
			l.frame = append(l.frame, end)
			l.message = append(l.message, end && !inside)
			l.header = append(l.header, !end && i < begin+f.headerSize(sender))
		}
	}
	return l
}

// next finds the first of the places in [from, to].
func next(places []bool, from, to int) (n int, ok bool) {
	i := slices.Index(places[from:to+1], true)
	if i < 0 {
		return to - from, false
	}
	return i, true
}

// last finds the last one.
func last(places []bool, from, to int) (n int, ok bool) {
	for i := to; i >= from; i-- {
		if places[i] {
			return i - from, true
		}
	}
	return 0, false
}

func TestPosition(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for round := range 200 {
		l := newLayout(randomFrames(r, 4), Sender(round%2 == 0))
		cut := func(from int) int {
			for {
				if to := from + r.IntN(len(l.stream)-from+1); !l.header[to] || to == from {
					return to
				}
			}
		}
		var p Position
		for at := 0; at < len(l.stream); {
			checkPosition(t, l, p, at)
			to := cut(at)
			b := l.stream[at:to]
			checkSearch(t, l, p, at, b)
			// A write may end anywhere, inside a header as well.
			n := r.IntN(len(b) + 1)
			p.Skip(b, n)
			at += n
		}
		checkPosition(t, l, p, len(l.stream))
	}
}

func checkPosition(t *testing.T, l layout, p Position, at int) {
	t.Helper()
	rest, _ := next(l.frame, at, len(l.stream))
	if p.Rest() != int64(rest) || p.FrameBoundary() != l.frame[at] || p.MessageBoundary() != l.message[at] {
		t.Fatalf("at %d: rest %d, boundaries %v, %v; want %d, %v, %v", at,
			p.Rest(), p.FrameBoundary(), p.MessageBoundary(), rest, l.frame[at], l.message[at])
	}
}

func checkSearch(t *testing.T, l layout, p Position, at int, b []byte) {
	t.Helper()
	to, before := at+len(b), p
	wantN, wantOK := next(l.frame, at, to)
	if n, ok := p.NextFrame(b); n != wantN || ok != wantOK {
		t.Fatalf("next frame in [%d, %d]: %d, %v; want %d, %v", at, to, n, ok, wantN, wantOK)
	}
	wantN, wantOK = next(l.message, at, to)
	if n, ok := p.NextMessage(b); n != wantN || ok != wantOK {
		t.Fatalf("next message in [%d, %d]: %d, %v; want %d, %v", at, to, n, ok, wantN, wantOK)
	}
	wantN, wantOK = last(l.frame, at, to)
	n, message, ok := p.LastFrame(b)
	if n != wantN || ok != wantOK || message != (ok && l.message[at+n]) {
		t.Fatalf("last frame in [%d, %d]: %d, %v, %v; want %d, %v", at, to, n, message, ok, wantN, wantOK)
	}
	wantN, wantOK = last(l.message, at, to)
	if n, ok := p.LastMessage(b); n != wantN && wantOK || ok != wantOK {
		t.Fatalf("last message in [%d, %d]: %d, %v; want %d, %v", at, to, n, ok, wantN, wantOK)
	}
	if p != before {
		t.Fatal("a search moved the position")
	}
}

// A scanner's Position is the one that Skip reaches.
func TestScannerPosition(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for round := range 100 {
		sender := Sender(round%2 == 0)
		l := newLayout(randomFrames(r, 4), sender)
		s := NewScanner(sender, false)
		for at, arrived := 0, 0; at < len(l.stream); {
			arrived = min(arrived+1+r.IntN(200), len(l.stream))
			for at < arrived {
				n, err := s.Next(l.stream[at:arrived])
				if err != nil {
					t.Fatal(err)
				}
				if n == 0 {
					break
				}
				at += n
				checkPosition(t, l, s.Position, at)
			}
		}
	}
}

// A frame need not fit into memory to be counted.
func TestPositionInLongestFrame(t *testing.T) {
	frame := raw{first: bin, claims: math.MaxInt64 - MaxHeader, form: in64, payload: "begin"}.appendTo(nil, Client)
	var p Position
	p.Skip(frame, len(frame))
	if want := math.MaxInt64 - int64(len(frame)); p.Rest() != want {
		t.Errorf("rest %d, want %d", p.Rest(), want)
	}
	if n, ok := p.NextMessage(frame); n != len(frame) || ok {
		t.Errorf("next message: %d, %v", n, ok)
	}
}
