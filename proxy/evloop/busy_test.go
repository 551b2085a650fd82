package evloop

import (
	"testing"
	"time"
)

// idler is a poller without a system below it, to which waiting takes time.
type idler struct {
	stub
	waits func(until time.Duration)
}

func (p *idler) wait(until time.Duration) ([]*Socket, bool, error) {
	p.waits(until)
	return p.stub.wait(until)
}

// The clock is the test's own: it moves where the test says, and nowhere else.
func TestBusy(t *testing.T) {
	const wait, work = time.Hour, time.Second
	now := time.Minute
	p := &idler{waits: func(until time.Duration) {
		switch until {
		case noWait:
			now += work // asking takes time as well
		case forever:
			now += wait
		default:
			now = until
		}
	}}
	l, err := newLoop(func() (poller, error) { return p, nil })
	if err != nil {
		t.Fatal(err)
	}
	l.clock = func() time.Duration { return now }
	l.now = now
	want := func(what string, want time.Duration) {
		t.Helper()
		if got := l.Busy(); got != want {
			t.Errorf("%s: busy for %s, want %s", what, got, want)
		}
	}
	do := func(f func()) {
		t.Helper()
		if err := l.Do(f); err != nil {
			t.Fatal(err)
		}
	}
	want("before it began", 0)
	turn(t, l)
	want("nothing done", 0)

	do(func() { now += work; want("at work", 0) })
	turn(t, l)
	want("a letter read", work)

	l.Set(&newAlarm(func() { now += work }).Timer, now+10*wait)
	turn(t, l)
	want("a timer waited for, and expired", 2*work)

	s := &probe{do: func() { now += work }}
	if err := l.Add(&s.Socket, -1, s); err != nil {
		t.Fatal(err)
	}
	s.Again()
	turn(t, l)
	want("readiness asked for without waiting, and a socket served", 4*work)
	turn(t, l)
	want("nothing done any more", 4*work)

	do(func() { now += work; do(func() { now += work }); _ = l.Stop() })
	turn(t, l)
	want("the last letters, behind the end", 6*work)
}

// Whoever watches a loop sees it work for more and more time, but for no more than
// there was.
func TestBusyFromElsewhere(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		began := Now()
		run(t, l)
		last := time.Duration(0)
		for range 200 {
			call(t, l, func() {})
			got := l.Busy()
			if passed := Now() - began; got < last || got > passed {
				t.Fatalf("busy for %s, then for %s; %s have passed", last, got, passed)
			}
			last = got
		}
		if last == 0 {
			t.Error("200 letters took no time")
		}
	})
}
