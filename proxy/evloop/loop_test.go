package evloop

import (
	"errors"
	"math"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// Every letter is read once, and those of one sender in their order.
func TestDo(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		run(t, l)
		const writers, letters = 8, 1000
		var got [writers][]int // the loop's
		var wg sync.WaitGroup
		for w := range writers {
			wg.Go(func() {
				for i := range letters {
					if err := l.Do(func() { got[w] = append(got[w], i) }); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		call(t, l, func() {
			for w := range got {
				if len(got[w]) != letters || !slices.IsSorted(got[w]) {
					t.Errorf("writer %d: %d letters, sorted %v", w, len(got[w]), slices.IsSorted(got[w]))
				}
			}
		})
	})
}

// A letter wakes a loop that has nothing to wait for.
func TestDoWakes(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		run(t, l)
		for range 200 {
			call(t, l, func() {})
		}
	})
}

// A letter written while letters are read comes after them.
func TestDoInsideLetter(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		var order []string
		do := func(f func()) {
			if err := l.Do(f); err != nil {
				t.Error(err)
			}
		}
		do(func() {
			order = append(order, "outer")
			do(func() { order = append(order, "inner") })
		})
		do(func() { order = append(order, "second") })
		turn(t, l)
		if want := []string{"outer", "second", "inner"}; !slices.Equal(order, want) {
			t.Errorf("called %v", order)
		}
	})
}

func TestStop(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		read := 0
		for range 3 {
			if err := l.Do(func() { read++ }); err != nil {
				t.Fatal(err)
			}
		}
		if err := l.Stop(); err != nil {
			t.Fatal(err)
		}
		if err := l.Run(); err != nil {
			t.Fatal(err)
		}
		if read != 3 {
			t.Errorf("%d letters read, want 3", read)
		}
	})
}

func TestDoAfterClose(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		turn(t, l)
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		if err := l.Do(func() { t.Error("called") }); err != ErrClosed {
			t.Errorf("Do: %v", err)
		}
		if err := l.Stop(); err != ErrClosed {
			t.Errorf("Stop: %v", err)
		}
		if err := l.Close(); err != nil {
			t.Errorf("Close: %v", err)
		}
	})
}

// Senders need not know that the loop is closing. What was taken before Stop
// is read.
func TestDoWhileClosing(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		begun := make(chan struct{}, 8)
		var wg sync.WaitGroup
		for range cap(begun) {
			wg.Go(func() {
				for i := 0; ; i++ {
					err := l.Do(func() {})
					if errors.Is(err, ErrClosed) {
						return
					}
					if err != nil {
						t.Error(err)
						return
					}
					if i == 0 {
						begun <- struct{}{}
					}
				}
			})
		}
		done := make(chan error, 1)
		go func() { done <- l.Run() }()
		for range cap(begun) {
			receiveFrom(t, begun, "a first letter")
		}
		read := false
		if err := errors.Join(l.Do(func() { read = true }), l.Stop()); err != nil {
			t.Fatal(err)
		}
		if err := receiveFrom(t, done, "the loop's end"); err != nil {
			t.Fatal(err)
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		wg.Wait()
		if !read {
			t.Error("a letter from before Stop was not read")
		}
	})
}

// An idle loop blocks: it does not go round in search of work.
func TestIdleLoopWaits(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		fd, peer := unixPair(t)
		p := settled(t, l, fd) // stays writable: no news
		turns := &counted{poller: l.poller}
		l.poller = turns
		run(t, l)
		for range 5 {
			call(t, l, func() {})
		}
		calls := make(chan int, 1)
		call(t, l, func() { p.do = func() { calls <- p.calls } })
		write(t, peer, "x")
		if n := receiveFrom(t, calls, "data"); n != 1 {
			t.Errorf("%d calls, want 1", n)
		}
		call(t, l, func() {
			if turns.waits > 10 { // a letter may take two turns: it can come behind its wake
				t.Errorf("%d turns for 7 letters and one event", turns.waits)
			}
		})
		call(t, l, p.Close)
	})
}

// counted counts how often a poller is asked to wait.
type counted struct {
	poller
	waits int
}

func (p *counted) wait(until time.Duration) ([]*Socket, bool, error) {
	p.waits++
	return p.poller.wait(until)
}

// What a loop waits for: its next timer, and nothing while there is work.
func TestWaitsUntil(t *testing.T) {
	l, asked := manual(t)
	want := func(when string, until time.Duration) {
		t.Helper()
		turn(t, l)
		if *asked != until {
			t.Errorf("%s: waits until %v, want %v", when, *asked, until)
		}
	}
	now := time.Second
	l.clock = func() time.Duration { return now }
	want("nothing to do", forever)
	timer := newAlarm(func() {})
	l.Set(&timer.Timer, 3*time.Second)
	want("a timer", 3*time.Second)
	l.Set(&timer.Timer, time.Second)
	want("a timer that is due", noWait)
	now += time.Millisecond
	want("its turn", noWait)
	want("it has expired", forever)
	p := &probe{}
	if err := l.Add(&p.Socket, 0, p); err != nil {
		t.Fatal(err)
	}
	l.Set(&timer.Timer, 3*time.Second)
	p.Again()
	want("a wish for a turn", noWait)
	want("it has come true", 3*time.Second)
	if p.calls != 1 {
		t.Errorf("%d calls", p.calls)
	}
}

// A timeout of poll(2) reaches the moment that is waited for.
func TestMilliseconds(t *testing.T) {
	for until, want := range map[time.Duration]int{
		noWait: 0, forever: -1, 1: 0, Now() + 2*time.Hour: 3_600_000, math.MaxInt64: 3_600_000,
	} {
		if got := milliseconds(until); got != want {
			t.Errorf("%v: %d, want %d", until, got, want)
		}
	}
	for i := range time.Duration(100) {
		before := Now()
		until := before + i*100*time.Microsecond
		got := time.Duration(milliseconds(until)) * time.Millisecond
		if Now()+got < until || got >= until-before+time.Millisecond {
			t.Errorf("%v from now: %v", until-before, got)
		}
	}
}

func TestNow(t *testing.T) {
	before := Now()
	onBoth(t, func(t *testing.T, l *Loop) {
		if l.Now() <= 0 || l.Now() < before || l.Now() > Now() {
			t.Errorf("a new loop's moment: %v, at %v", l.Now(), Now())
		}
		now := 7 * time.Second
		l.clock = func() time.Duration { return now }
		turn(t, l)
		if l.Now() != now {
			t.Errorf("%v, want %v", l.Now(), now)
		}
	})
}

// A poller that fails ends the loop with its error.
func TestPollerFails(t *testing.T) {
	failure := errors.New("out of order")
	if _, err := newLoop(func() (poller, error) { return nil, failure }); !errors.Is(err, failure) || !strings.Contains(err.Error(), "open poller") {
		t.Errorf("open: %v", err)
	}
	l, err := newLoop(func() (poller, error) { return &stub{err: failure}, nil })
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Run(); !errors.Is(err, failure) || !strings.Contains(err.Error(), "wait for readiness") {
		t.Errorf("run: %v", err)
	}
}

// A loop that is closed has left no descriptor.
func TestNothingLeft(t *testing.T) {
	before := countDescriptors()
	t.Run("loops", func(t *testing.T) {
		onBoth(t, func(t *testing.T, l *Loop) {
			run(t, l)
			for i := range 20 {
				fd, _ := pairs[i%len(pairs)].open(t)
				p := &probe{}
				call(t, l, func() {
					if err := l.Add(&p.Socket, fd, p); err != nil {
						t.Error(err)
					}
				})
				t.Cleanup(func() { call(t, l, p.Close) })
			}
		})
	})
	if after := countDescriptors(); after != before {
		t.Errorf("%d descriptors, %d before", after, before)
	}
}
