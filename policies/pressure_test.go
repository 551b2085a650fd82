package policies_test

import (
	"math"
	"testing"
	"time"

	"wswarden/policies"
)

func TestPressureStep(t *testing.T) {
	t.Parallel()
	tests := []struct {
		heap, live int64
		want       policies.Step
	}{
		{1000, 0, 0}, {1000, 699, 0},
		{1000, 700, 1}, {1000, 749, 1},
		{1000, 750, 2}, {1000, 799, 2},
		{1000, 800, 3}, {1000, 849, 3},
		{1000, 850, 4}, {1000, 899, 4},
		{1000, 900, 5}, {1000, 949, 5},
		{1000, 950, 6}, {1000, 999, 6},
		{1000, 1000, 7}, {1000, 1001, 7}, {1000, math.MaxInt64, 7},
		{512 << 20, 512<<20 - 1, 6}, {512 << 20, 512 << 20, 7},
		{math.MaxInt64, math.MaxInt64 / 2, 0}, {math.MaxInt64, math.MaxInt64, 7},
		{0, 0, 0}, {0, math.MaxInt64, 0}, // off
	}
	for _, tt := range tests {
		got := policies.Pressure{Heap: tt.heap}.Step(tt.live)
		if got != tt.want || got.Full() != (tt.want == 7) {
			t.Errorf("%d of %d: step %d, full %v, want %d", tt.live, tt.heap, got, got.Full(), tt.want)
		}
	}
}

func TestPressureNext(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name    string
		current policies.Step
		live    int64
		want    policies.Step
	}{
		{"nothing", 0, 699, 0},
		{"up", 0, 700, 1},
		{"up by several at once", 1, 1000, 7},
		{"it stays", 3, 820, 3},
		{"a little below: it stays", 3, 775, 3},
		{"far enough below: down", 3, 774, 2},
		{"far below: down by one", 6, 100, 5},
		{"below the first: none", 1, 674, 0},
		{"just below the first: it stays", 1, 675, 1},
		{"full until there is room", 7, 975, 7},
		{"full no more", 7, 974, 6},
		{"a step that there is not", 200, 1000, 7},
		{"the same, with room", 200, 10, 6},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := (policies.Pressure{Heap: 1000}).Next(tt.current, tt.live); got != tt.want {
				t.Errorf("after step %d, with %d of 1000: step %d, want %d", tt.current, tt.live, got, tt.want)
			}
		})
	}
	if got := (policies.Pressure{}).Next(7, 1000); got != 0 {
		t.Errorf("switched off: step %d, want 0", got)
	}
}

// A value that swings around where a step begins does not make it swing.
func TestPressureNextDoesNotFlap(t *testing.T) {
	t.Parallel()
	p := policies.Pressure{Heap: 1000}
	for begins := int64(700); begins <= 1000; begins += 50 {
		step := p.Next(0, begins)
		for i := range int64(100) {
			if next := p.Next(step, begins-i%25); next != step {
				t.Errorf("around %d: step %d, then %d", begins, step, next)
			}
		}
	}
}

// Under pressure idle sessions go first, then old ones; at 100 % a tenth of both
// limits is left.
func TestPressureShrinksLimits(t *testing.T) {
	t.Parallel()
	const limit = 420 * second
	left := []struct{ idle, lifetime time.Duration }{
		{420 * second, 420 * second},
		{366 * second, 420 * second},
		{312 * second, 357 * second},
		{258 * second, 294 * second},
		{204 * second, 231 * second},
		{150 * second, 168 * second},
		{96 * second, 105 * second},
		{42 * second, 42 * second},
		{42 * second, 42 * second}, // no step, but none is zero
	}
	for step, want := range left {
		f := policies.Facts{Opened: 100 * second, Pressure: policies.Step(step)}
		for _, rule := range []struct {
			name  string
			check check
			left  time.Duration
			cause policies.Cause
		}{
			{"idle", policies.Idle{Timeout: limit, CloseCode: 4000}.Check, want.idle, policies.IdleTimeout},
			{"lifetime", policies.Lifetime{Max: limit, CloseCode: 4000}.Check, want.lifetime, policies.MaxAge},
		} {
			due := 100*second + rule.left
			if v, next := rule.check(&f, due-second); v != nothing || !near(next, due) {
				t.Errorf("step %d: %s: %+v, due at %s, want %s", step, rule.name, v, next, due)
			}
			if v, _ := rule.check(&f, due+second); v != ends(rule.cause, 4000) {
				t.Errorf("step %d: %s: %+v when it is due", step, rule.name, v)
			}
		}
	}
}

// near allows what a float rounds.
func near(a, b time.Duration) bool { return (a - b).Abs() <= time.Microsecond }

// Jitter is a part of what is left of the limit.
func TestPressureAndJitter(t *testing.T) {
	t.Parallel()
	f := policies.Facts{Opened: 100 * second, Pressure: 7, Spread: 128}
	_, due := policies.Lifetime{Max: 1000 * second, Jitter: 0.1}.Check(&f, 100*second)
	if want := 195 * second; !near(due, want) {
		t.Errorf("due at %s, want %s", due, want)
	}
}

// What is off stays off, and what is on never becomes so: it leaves time.
func TestPressureNeverSwitches(t *testing.T) {
	t.Parallel()
	for step := range policies.Step(8) {
		f := policies.Facts{Opened: 100 * second, Pressure: step}
		for name, off := range map[string]check{"idle": policies.Idle{}.Check, "lifetime": policies.Lifetime{Jitter: 1}.Check} {
			if v, next := off(&f, 900*second); v != nothing || next != policies.Never {
				t.Errorf("step %d: %s is off: %+v, %s", step, name, v, next)
			}
		}
		for _, limit := range []time.Duration{1, 2, 9, 10, 11, second, math.MaxInt64 / 4} {
			for name, on := range map[string]check{"idle": policies.Idle{Timeout: limit}.Check, "lifetime": policies.Lifetime{Max: limit}.Check} {
				if v, next := on(&f, f.Opened); v != nothing || next <= f.Opened || next > f.Opened+limit {
					t.Errorf("step %d: %s of %s: %+v, %s", step, name, limit, v, next)
				}
			}
		}
	}
}

// Only idle and lifetime shrink: whoever is alive and of use is not called dead.
func TestPressureTouchesNothingElse(t *testing.T) {
	t.Parallel()
	p := policies.Default()
	p.UpstreamHeartbeat.Interval = 30 * second
	p.FirstMessage.Timeout = 15 * second
	waiting := policies.Facts{Opened: 100 * second, ClientPing: 100 * second, UpstreamPing: 100 * second, ClientWaits: 100 * second}
	pressed := waiting
	pressed.Pressure = 7
	for now := 100 * second; now < 150*second; now += second {
		v, next := p.Check(&waiting, now)
		if got, due := p.Check(&pressed, now); got != v || due != next {
			t.Errorf("at %s: %+v and %s under pressure, %+v and %s without", now, got, due, v, next)
		}
	}
}
