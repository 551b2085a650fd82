package evloop

import (
	"cmp"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"
)

// alarm is a timer that does what the test says.
type alarm struct {
	Timer
	expired func()
}

func (a *alarm) Expired() { a.expired() }

func newAlarm(expired func()) *alarm {
	a := &alarm{expired: expired}
	a.Owner = a
	return a
}

// clocked returns a loop with a clock of the test's own, which stands at zero.
// advance moves it and takes a turn.
func clocked(t *testing.T) (l *Loop, advance func(to time.Duration)) {
	l, _ = manual(t)
	now := time.Duration(0)
	l.clock = func() time.Duration { return now }
	l.now = now
	return l, func(to time.Duration) {
		t.Helper()
		now = to
		turn(t, l)
	}
}

func TestTimers(t *testing.T) {
	const ms = time.Millisecond
	tests := []struct {
		name string
		do   func(l *Loop, a, b, c *alarm)
		at   map[time.Duration]string // who has expired by then
	}{
		{"in the order of their moments", func(l *Loop, a, b, c *alarm) {
			l.Set(&c.Timer, 30*ms)
			l.Set(&a.Timer, 10*ms)
			l.Set(&b.Timer, 20*ms)
		}, map[time.Duration]string{9 * ms: "", 10 * ms: "a", 19 * ms: "a", 50 * ms: "abc"}},
		{"late ones too", func(l *Loop, a, b, c *alarm) {
			l.Set(&b.Timer, 20*ms)
			l.Set(&c.Timer, 30*ms)
			l.Set(&a.Timer, 10*ms)
		}, map[time.Duration]string{100 * ms: "abc", 200 * ms: "abc"}},
		{"moved later", func(l *Loop, a, b, _ *alarm) {
			l.Set(&a.Timer, 10*ms)
			l.Set(&b.Timer, 20*ms)
			l.Set(&a.Timer, 30*ms)
		}, map[time.Duration]string{10 * ms: "", 20 * ms: "b", 30 * ms: "ba", 40 * ms: "ba"}},
		{"moved earlier", func(l *Loop, a, b, _ *alarm) {
			l.Set(&a.Timer, 10*ms)
			l.Set(&b.Timer, 20*ms)
			l.Set(&b.Timer, 5*ms)
		}, map[time.Duration]string{5 * ms: "b", 10 * ms: "ba", 20 * ms: "ba"}},
		{"cancelled", func(l *Loop, a, b, c *alarm) {
			l.Set(&a.Timer, 10*ms)
			l.Set(&b.Timer, 20*ms)
			l.Set(&c.Timer, 30*ms)
			l.Cancel(&a.Timer)
			l.Cancel(&a.Timer)
		}, map[time.Duration]string{50 * ms: "bc"}},
		{"cancelled, never set", func(l *Loop, a, b, _ *alarm) {
			l.Cancel(&a.Timer)
			l.Set(&b.Timer, 10*ms)
		}, map[time.Duration]string{50 * ms: "b"}},
		{"cancelled and set anew", func(l *Loop, a, _, _ *alarm) {
			l.Set(&a.Timer, 10*ms)
			l.Cancel(&a.Timer)
			l.Set(&a.Timer, 20*ms)
		}, map[time.Duration]string{10 * ms: "", 20 * ms: "a"}},
		{"due already", func(l *Loop, a, _, _ *alarm) {
			l.Set(&a.Timer, -time.Hour)
		}, map[time.Duration]string{1 * ms: "a", 2 * ms: "a"}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			l, advance := clocked(t)
			var got []byte
			note := func(name byte) *alarm { return newAlarm(func() { got = append(got, name) }) }
			test.do(l, note('a'), note('b'), note('c'))
			for _, at := range slices.Sorted(maps.Keys(test.at)) {
				advance(at)
				want := []byte(test.at[at])
				if !slices.Equal(got, want) {
					t.Fatalf("at %v: %q, want %q", at, got, want)
				}
			}
		})
	}
}

// A timer that its owner sets again waits for the next turn, however early it
// is due, and keeps no other from its own.
func TestTimerSetByExpired(t *testing.T) {
	for name, again := range map[string]time.Duration{
		"due now": 10 * time.Second, "due before all others": -time.Hour, "due later": 20 * time.Second,
	} {
		t.Run(name, func(t *testing.T) {
			l, advance := clocked(t)
			calls, others := 0, 0
			var a *alarm
			a = newAlarm(func() {
				calls++
				l.Set(&a.Timer, again)
			})
			l.Set(&a.Timer, time.Second)
			for i := range time.Duration(5) {
				l.Set(&newAlarm(func() { others++ }).Timer, (2+i)*2*time.Second) // the last one at the present moment
			}
			advance(12 * time.Second)
			if calls != 1 || others != 5 {
				t.Errorf("in one turn: %d calls, want 1; %d of the others, want 5", calls, others)
			}
			advance(30 * time.Second)
			if calls != 2 {
				t.Errorf("in the next turn: %d calls, want 2", calls)
			}
			l.Cancel(&a.Timer)
		})
	}
}

// An owner may cancel, move and set others that are due in the same turn.
func TestTimersByExpired(t *testing.T) {
	l, advance := clocked(t)
	var got []string
	note := func(name string) *alarm { return newAlarm(func() { got = append(got, name) }) }
	cancelled, moved, set := note("cancelled"), note("moved"), note("set")
	first := newAlarm(func() {
		got = append(got, "first")
		l.Cancel(&cancelled.Timer)
		l.Set(&moved.Timer, 30*time.Second)
		l.Set(&set.Timer, 20*time.Second)
	})
	l.Set(&first.Timer, 1*time.Second)
	l.Set(&cancelled.Timer, 2*time.Second)
	l.Set(&moved.Timer, 3*time.Second)
	l.Set(&note("last").Timer, 4*time.Second)
	for at, want := range []string{10: "first last", 20: "first last set", 30: "first last set moved"} {
		if want == "" {
			continue
		}
		advance(time.Duration(at) * time.Second)
		if strings.Join(got, " ") != want {
			t.Errorf("after %d s: %v, want %s", at, got, want)
		}
	}
}

// 10,000 timers, set, moved and cancelled at random, against a plain list.
func TestRandomTimers(t *testing.T) {
	const many = 10_000
	l, advance := clocked(t)
	r := rand.New(rand.NewPCG(7, 8))
	reference := map[int]time.Duration{} // the moments of those that are set
	var got []int
	timers := make([]*alarm, many)
	for i := range timers {
		timers[i] = newAlarm(func() { got = append(got, i) })
	}
	for now := time.Duration(0); now < 50*time.Second; {
		for range 2000 {
			i := r.IntN(many)
			if r.IntN(4) == 0 {
				l.Cancel(&timers[i].Timer)
				delete(reference, i)
				continue
			}
			at := now + 1 + time.Duration(r.Int64N(int64(20*time.Second)))
			l.Set(&timers[i].Timer, at)
			reference[i] = at
		}
		now += time.Duration(r.Int64N(int64(2 * time.Second)))
		got = got[:0]
		advance(now)
		var want []int
		for i, at := range reference {
			if at <= now {
				want = append(want, i)
			}
		}
		slices.SortFunc(want, func(i, j int) int { return cmp.Compare(reference[i], reference[j]) })
		if !slices.Equal(got, want) {
			t.Fatalf("at %v: %d expired, %d should have, or in another order", now, len(got), len(want))
		}
		for _, i := range want {
			delete(reference, i)
		}
		if at, any := l.timers.next(); any != (len(reference) > 0) || any && at != slices.Min(slices.Collect(maps.Values(reference))) {
			t.Fatalf("at %v: next is %v, %v", now, at, any)
		}
	}
	if len(reference) == 0 {
		t.Error("nothing was left to the end: the test is too tame")
	}
	for i := range timers {
		l.Cancel(&timers[i].Timer)
	}
	if len(l.timers) != 0 {
		t.Errorf("%d timers left", len(l.timers))
	}
}

// A loop that waits wakes for its timers, not before their moment.
func TestTimersOfRunningLoop(t *testing.T) {
	onBoth(t, func(t *testing.T, l *Loop) {
		type expiry struct{ wanted, came time.Duration }
		expiries := make(chan expiry, 3)
		run(t, l)
		call(t, l, func() {
			for _, delay := range []time.Duration{5 * time.Millisecond, 0, 2 * time.Millisecond} {
				at := l.Now() + delay
				l.Set(&newAlarm(func() { expiries <- expiry{at, l.Now()} }).Timer, at)
			}
		})
		last := time.Duration(0)
		for range cap(expiries) {
			e := receiveFrom(t, expiries, "a timer")
			if e.came < e.wanted || e.wanted < last {
				t.Errorf("expired at %v, set to %v, after one set to %v", e.came, e.wanted, last)
			}
			last = e.wanted
		}
	})
}
