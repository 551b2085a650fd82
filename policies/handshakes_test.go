package policies_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"wswarden/policies"
)

func TestHandshakesPace(t *testing.T) {
	t.Parallel()
	tests := []struct {
		rate      policies.PerSecond
		burst     int
		want      policies.Pace
		remembers time.Duration
	}{
		{0, 0, policies.Pace{Burst: 1}, 0},
		{0, 20, policies.Pace{Burst: 20}, 0},
		{10, 20, policies.Pace{Rate: 10, Burst: 20}, 2 * second},
		{10, 0, policies.Pace{Rate: 10, Burst: 10}, second}, // as many as in a second
		{2.5, 0, policies.Pace{Rate: 2.5, Burst: 2}, 800 * time.Millisecond},
		{0.1, 0, policies.Pace{Rate: 0.1, Burst: 1}, 10 * second}, // at least one
		{1e300, 0, policies.Pace{Rate: 1e300, Burst: math.MaxInt32}, math.MaxInt32},
	}
	for _, tt := range tests {
		perIP := policies.Handshakes{PerIPRate: tt.rate, Burst: tt.burst, TotalRate: 7, TotalBurst: 7}
		total := policies.Handshakes{TotalRate: tt.rate, TotalBurst: tt.burst, PerIPRate: 7, Burst: 7}
		for _, got := range []policies.Pace{perIP.PerIP(), total.Total()} {
			if got != tt.want || got.On() != (tt.rate > 0) || got.MaxDebt() != tt.remembers {
				t.Errorf("rate %v, burst %d: %+v, on %v, at most %s; want %+v, %s",
					tt.rate, tt.burst, got, got.On(), got.MaxDebt(), tt.want, tt.remembers)
			}
		}
	}
}

// Ten in a second, three at once.
func TestPaceTake(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	p := policies.Pace{Rate: 10, Burst: 3}
	owed := policies.Never
	take := func(now policies.Moment, want time.Duration) {
		t.Helper()
		after, wait := p.Take(owed, now)
		if wait != want {
			t.Errorf("at %s: wait %s, want %s", now, wait, want)
		}
		if wait > 0 && after != owed {
			t.Errorf("at %s: refused, and yet %s is owed instead of %s", now, after, owed)
		}
		owed = after
	}
	take(1000*ms, 0)
	take(1000*ms, 0)
	take(1000*ms, 0) // the burst
	take(1000*ms, 100*ms)
	take(1000*ms, 100*ms) // being refused costs nothing
	take(1060*ms, 40*ms)
	take(1100*ms-1, 1)
	take(1100*ms, 0) // whoever waits as told is served
	take(1100*ms, 100*ms)
	take(1350*ms, 0) // two and a half are worked off
	take(1350*ms, 0)
	take(1350*ms, 50*ms)
	take(9000*ms, 0) // never more than the burst
	take(9000*ms, 0)
	take(9000*ms, 0)
	take(9000*ms, 100*ms)
}

func TestPaceOff(t *testing.T) {
	t.Parallel()
	for _, p := range []policies.Pace{{}, {Burst: 3}, {Rate: -1, Burst: 1}, {Rate: policies.PerSecond(math.NaN())}} {
		for range 10 {
			if owed, wait := p.Take(7, second); p.On() || owed != 7 || wait != 0 {
				t.Errorf("%+v: on %v, owes %s, waits %s", p, p.On(), owed, wait)
			}
		}
	}
}

// A client that comes as soon as it may gets what the rate says, however long it
// goes on: a year's worth at a time, after 50 years too.
func TestPaceInTheLongRun(t *testing.T) {
	t.Parallel()
	const year = 365 * 24 * time.Hour
	for _, rate := range []policies.PerSecond{0.001, 0.07, 0.5, 1, 3, 10, 7777, 1e5, 1e6} {
		for _, burst := range []int{1, 20, 100_000} {
			for _, began := range []policies.Moment{1, year, 50 * year} {
				t.Run(fmt.Sprintf("%v/s_%d_after_%s", rate, burst, began), func(t *testing.T) {
					t.Parallel()
					const takes = 200_000
					p := policies.Pace{Rate: rate, Burst: burst}
					owed, now := policies.Never, began
					var wait time.Duration
					for n := 0; n < takes; {
						if owed, wait = p.Take(owed, now); wait == 0 {
							n++
						}
						now += wait
					}
					got, want := float64(now-began)/1e9, float64(takes-burst)/float64(rate)
					if math.Abs(got-want) > want*0.0005+1e-9 {
						t.Errorf("%d took %g s, want %g s", takes, got, want)
					}
				})
			}
		}
	}
}

// In no stretch of time there are more than the burst and what the rate gives.
func TestPaceInAnyStretch(t *testing.T) {
	t.Parallel()
	for range 200 {
		p := policies.Pace{Rate: policies.PerSecond(math.Pow(10, rand.Float64()*6-3)), Burst: 1 + rand.IntN(20)}
		one := float64(second) / float64(p.Rate)
		owed, now := policies.Never, policies.Moment(1)
		var taken []policies.Moment
		for range 300 {
			now += time.Duration(rand.ExpFloat64() * one)
			after, wait := p.Take(owed, now)
			if wait == 0 {
				taken = append(taken, now)
			} else if _, then := p.Take(owed, now+wait); then != 0 {
				t.Fatalf("%+v: told to wait %s, and then %s again", p, wait, then)
			} else if _, before := p.Take(owed, now+wait-1); before != 1 {
				t.Fatalf("%+v: told to wait %s, which is too long", p, wait)
			}
			owed = after
		}
		for i := range taken {
			for j := i; j < len(taken); j++ {
				most := float64(p.Burst) + float64(taken[j]-taken[i])/math.Round(one) + 1e-6
				if n := j - i + 1; float64(n) > most {
					t.Fatalf("%+v: %d in %s", p, n, taken[j]-taken[i])
				}
			}
		}
	}
}

// No rate and no burst makes a number run over.
func TestPaceExtremes(t *testing.T) {
	t.Parallel()
	const late = 100 * 365 * 24 * time.Hour
	for _, rate := range []policies.PerSecond{math.SmallestNonzeroFloat64, 1e-12, 1e-9, 0.001, 1e9, 1e300, policies.PerSecond(math.Inf(1))} {
		for _, burst := range []int{-1, 0, 1, 1000, math.MaxInt32, math.MaxInt} {
			p := policies.Pace{Rate: rate, Burst: burst}
			for _, now := range []policies.Moment{0, 1, second, late} {
				owed := policies.Never
				for n := range 100 {
					after, wait := p.Take(owed, now)
					if wait < 0 || after < owed || after < now {
						t.Fatalf("%+v at %s: owes %s after %s, waits %s", p, now, after, owed, wait)
					}
					if wait > 0 && n < min(burst, 1) {
						t.Fatalf("%+v at %s: the first is refused for %s", p, now, wait)
					}
					owed = after
				}
			}
		}
	}
}

func BenchmarkPaceTake(b *testing.B) {
	p := policies.Pace{Rate: 10, Burst: 20}
	owed, now := policies.Never, policies.Moment(1)
	for b.Loop() {
		owed, _ = p.Take(owed, now)
		now += 50 * time.Millisecond
	}
}
