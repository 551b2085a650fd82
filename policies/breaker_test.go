package policies_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"wswarden/policies"
)

// Steps of a circuit: what happens, and what has to come of it.
type (
	circuitStep func(t *testing.T, c *policies.Circuit, b *policies.Breaker, now policies.Moment)
	circuitAt   struct {
		at    time.Duration // since the beginning
		steps []circuitStep
	}
)

func fails(t *testing.T, c *policies.Circuit, b *policies.Breaker, now policies.Moment) {
	t.Helper()
	if c.Failed(b, now) {
		t.Errorf("at %s it has opened", now-1)
	}
}

func opens(t *testing.T, c *policies.Circuit, b *policies.Breaker, now policies.Moment) {
	t.Helper()
	if !c.Failed(b, now) {
		t.Errorf("at %s it has not opened", now-1)
	}
}

func connects(t *testing.T, c *policies.Circuit, _ *policies.Breaker, now policies.Moment) {
	t.Helper()
	if c.Connected(now) {
		t.Errorf("at %s it has closed", now-1)
	}
}

func closes(t *testing.T, c *policies.Circuit, _ *policies.Breaker, now policies.Moment) {
	t.Helper()
	if !c.Connected(now) {
		t.Errorf("at %s it has not closed", now-1)
	}
}

func admits(t *testing.T, c *policies.Circuit, b *policies.Breaker, now policies.Moment) {
	t.Helper()
	if wait := c.Wait(b, now); wait != 0 || !c.Admits(b, now) {
		t.Errorf("at %s nobody is admitted; wait %s", now-1, wait)
	}
}

func keepsOut(wait time.Duration) circuitStep {
	return func(t *testing.T, c *policies.Circuit, b *policies.Breaker, now policies.Moment) {
		t.Helper()
		if got := c.Wait(b, now); c.Admits(b, now) || got != wait || !c.Open(b) {
			t.Errorf("at %s: wait %s, want %s; open %v", now-1, got, wait, c.Open(b))
		}
	}
}

func changes(after policies.Breaker) circuitStep {
	return func(_ *testing.T, _ *policies.Circuit, b *policies.Breaker, _ policies.Moment) { *b = after }
}

func TestCircuit(t *testing.T) {
	t.Parallel()
	type steps = []circuitStep
	breaker := policies.Breaker{Failures: 3, RetryAfter: 5 * second, Trial: 2 * second}
	slow := policies.Breaker{Failures: 3, RetryAfter: 5 * second, Trial: 8 * second}
	off := policies.Breaker{RetryAfter: 5 * second, Trial: 2 * second}
	tests := []struct {
		name    string
		breaker policies.Breaker
		course  []circuitAt
	}{
		{"it is closed at first", breaker, []circuitAt{
			{0, steps{admits, connects, admits}},
		}},
		{"so many failures in a row open it", breaker, []circuitAt{
			{0, steps{fails, fails, admits, opens, keepsOut(5 * second)}},
			{4 * second, steps{keepsOut(second)}},
		}},
		{"one success between them keeps it closed", breaker, []circuitAt{
			{0, steps{fails, fails, connects, fails, fails, admits, opens}},
		}},
		{"off, it never opens", off, []circuitAt{
			{0, steps{fails, fails, fails, fails, admits}},
		}},
		{"one trial when its time has come", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{5 * second, steps{admits, keepsOut(5 * second)}},
			{6 * second, steps{keepsOut(4 * second), closes, admits, admits}},
		}},
		{"a trial that fails opens it again, without a word", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{5 * second, steps{admits}},
			{6 * second, steps{fails, keepsOut(5 * second)}},
			{11 * second, steps{admits, closes, fails, fails, opens}},
		}},
		{"a trial that does not report makes room for another", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{5 * second, steps{admits}},
			{10*second - 1, steps{keepsOut(1)}},
			{10 * second, steps{admits, keepsOut(5 * second), closes}},
		}},
		{"but not before it may be over", slow, []circuitAt{
			{0, steps{fails, fails, opens}},
			{5 * second, steps{admits, keepsOut(8 * second)}},
			{13 * second, steps{admits}},
		}},
		{"dials from before fail: it is open for no longer", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{2 * second, steps{fails, fails, keepsOut(3 * second)}},
		}},
		{"a dial from before is connected: it closes", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{second, steps{closes, admits, fails, fails, opens}},
		}},
		{"switched off while open, it admits", breaker, []circuitAt{
			{0, steps{fails, fails, opens, keepsOut(5 * second), changes(off), admits, admits}},
		}},
		{"a shorter wait applies at once", breaker, []circuitAt{
			{0, steps{fails, fails, opens}},
			{2 * second, steps{keepsOut(3 * second), changes(policies.Breaker{Failures: 9, RetryAfter: second}), admits}},
		}},
		{"a lower limit applies with the next failure", breaker, []circuitAt{
			{0, steps{fails, fails, changes(policies.Breaker{Failures: 1, RetryAfter: second}), admits, opens}},
		}},
		{"the longest wait there is", policies.Breaker{Failures: 1, RetryAfter: 1<<63 - 1}, []circuitAt{
			{0, steps{opens}},
			{1 << 62, steps{keepsOut(1<<62 - 1)}},
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var c policies.Circuit
			b := tt.breaker
			for _, moment := range tt.course {
				for _, step := range moment.steps {
					step(t, &c, &b, 1+moment.at)
				}
			}
		})
	}
}

// Whatever happens, and in whatever order: nobody is admitted within RetryAfter of what
// has opened the circuit, no second trial while one may be under way, and somebody is in
// the end.
func TestCircuitHolds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(300) {
		random := rand.New(rand.NewPCG(seed, 7))
		b := policies.Breaker{
			Failures:   1 + random.IntN(4),
			RetryAfter: time.Duration(1 + random.IntN(50)),
			Trial:      time.Duration(random.IntN(50)),
		}
		var c policies.Circuit
		var row int
		var open bool
		var until policies.Moment // nobody is admitted before
		var trial bool
		now := policies.Moment(1)
		for i := range 200 {
			now += policies.Moment(random.IntN(20))
			what := random.IntN(4)
			switch what {
			case 0:
				if got := c.Connected(now); got != open {
					t.Fatalf("seed %d, step %d: closed %v, was open %v", seed, i, got, open)
				}
				row, open, trial = 0, false, false
			case 1, 2:
				row++
				opens := !open && row >= b.Failures
				if got := c.Failed(&b, now); got != opens {
					t.Fatalf("seed %d, step %d: opened %v, want %v", seed, i, got, opens)
				}
				if opens || trial {
					open, trial, until = true, false, now+b.RetryAfter
				}
			case 3:
				want := !open || now >= until
				if got := c.Admits(&b, now); got != want {
					t.Fatalf("seed %d, step %d: admitted %v, want %v", seed, i, got, want)
				}
				if open && want {
					trial, until = true, now+max(b.RetryAfter, b.Trial)
				}
			}
			if c.Open(&b) != open || c.Failures() != row {
				t.Fatalf("seed %d, step %d: open %v, %d failures; want %v, %d", seed, i, c.Open(&b), c.Failures(), open, row)
			}
			if got, want := c.Wait(&b, now), max(0, until-now); open && got != want || !open && got != 0 {
				t.Fatalf("seed %d, step %d: wait %s, want %s", seed, i, got, want)
			}
		}
	}
}

func TestHealth(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name     string
		failures int
		answers  string // + is good, - is not
		want     string // u is up, d is down; capital: just so
	}{
		{"up at first", 3, "+", "u"},
		{"down after so many failures in a row", 3, "---", "uuD"},
		{"a good answer between them", 3, "--+--", "uuuuu"},
		{"up after two good answers in a row", 3, "---++", "uuDdU"},
		{"a bad answer between them", 3, "---+-+-++", "uuDdddddU"},
		{"one failure is enough", 1, "-++-", "DdUD"},
		{"none would be, too", 0, "-", "D"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var h policies.Health
			got := ""
			for _, answer := range tt.answers {
				changed := h.Answered(answer == '+', tt.failures)
				word := map[bool]string{false: "u", true: "d"}[h.Down()]
				if changed {
					word = map[bool]string{false: "U", true: "D"}[h.Down()]
				}
				got += word
			}
			if got != tt.want {
				t.Errorf("%s: %s, want %s", tt.answers, got, tt.want)
			}
		})
	}
}

func TestLosses(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for _, tt := range []struct {
		name            string
		limit, sessions int
		at              []time.Duration
		want            string // w is one of a wave
	}{
		{"as many as may be", 3, 0, []time.Duration{0, 0, 0}, "..."},
		{"one more", 3, 0, []time.Duration{0, 0, 0, 0, 0}, "...ww"},
		{"across a second", 3, 0, []time.Duration{0, 0, 0, 999 * ms, 1000 * ms}, "...w."},
		{"one by one", 1, 0, []time.Duration{0, 1000 * ms, 2000 * ms, 2999 * ms}, "...w"},
		{"it is over, and begins anew", 2, 0, []time.Duration{0, 0, 0, 5000 * ms, 5000 * ms, 5001 * ms}, "..w..w"},
		{"no limit: five", 0, 0, []time.Duration{0, 0, 0, 0, 0, 0}, ".....w"},
		{"loops that are a little apart", 2, 0, []time.Duration{500 * ms, 499 * ms, 498 * ms}, "..w"},
		{"a few of many", 1, 100, []time.Duration{0, 0, 0, 0, 0, 0}, ".....w"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var l policies.Losses
			got := ""
			for _, at := range tt.at {
				got += map[bool]string{false: ".", true: "w"}[l.Wave(tt.limit, tt.sessions, 1+at)]
			}
			if got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}
