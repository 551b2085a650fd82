package policies_test

import (
	"math"
	"testing"
	"time"

	"wswarden/policies"
)

const ms = time.Millisecond

// charge is a step: this much comes, at this moment, and is within the limits, or
// if not, is again from the moment ready on.
type charge struct {
	at              policies.Moment
	messages, bytes int
	within          bool
	ready           policies.Moment
}

func TestMeter(t *testing.T) {
	t.Parallel()
	const day = 24 * time.Hour
	rate := policies.Messages{Rate: 10, Burst: 3}
	drop, delay := rate, rate
	drop.OnExcess, delay.OnExcess = policies.ExcessDrop, policies.ExcessDelay
	bytes := policies.Messages{BytesPerSecond: 1000}
	both := policies.Messages{Rate: 10, Burst: 100, BytesPerSecond: 1000, OnExcess: policies.ExcessDrop}
	tests := []struct {
		name   string
		limits policies.Messages
		steps  []charge
	}{
		{"no limit", policies.Messages{}, []charge{{0, 1e9, 1e18, true, 0}, {0, 1e9, 1e18, true, 0}}},
		{"a burst at once, and not one more", rate, []charge{{day, 1, 9, true, 0}, {day, 1, 9, true, 0}, {day, 1, 9, true, 0}, {day, 1, 9, false, day + 100*ms}}},
		{"a burst at the very beginning", rate, []charge{{0, 3, 0, true, 0}, {0, 1, 0, false, 100 * ms}}},
		{"more at once than a burst", rate, []charge{{day, 5, 0, false, day + 200*ms}}},
		{"what is saved is never more than a burst", rate, []charge{{day, 1, 0, true, 0}, {2 * day, 4, 0, false, 2*day + 100*ms}}},
		{"one message for each tenth of a second", rate, []charge{{day, 3, 0, true, 0},
			{day + 100*ms, 1, 0, true, 0}, {day + 200*ms, 1, 0, true, 0}, {day + 299*ms, 1, 0, false, day + 300*ms}}},
		{"a clock that stands still", rate, []charge{{day, 2, 0, true, 0}, {day, 1, 0, true, 0}, {day, 1, 0, false, day + 100*ms}}},
		{"dropped messages are not charged", drop, []charge{{day, 3, 0, true, 0},
			{day, 1, 0, false, 0}, {day, 1, 0, false, 0}, {day + 100*ms, 1, 0, true, 0}, {day + 100*ms, 1, 0, false, 0}}},
		{"delayed ones are", delay, []charge{{day, 3, 0, true, 0},
			{day, 1, 0, false, day + 100*ms}, {day, 1, 0, false, day + 200*ms}, {day + 200*ms, 0, 0, true, 0}, {day + 200*ms, 1, 0, false, day + 300*ms}}},
		{"no burst given: one second's worth", policies.Messages{Rate: 2.5}, []charge{{day, 2, 0, true, 0}, {day, 1, 0, false, day + 200*ms}}},
		{"no burst given: at least one", policies.Messages{Rate: 0.5}, []charge{{day, 1, 0, true, 0}, {day + 1999*ms, 1, 0, false, day + 2*second}}},
		{"a very low rate", policies.Messages{Rate: 1e-300}, []charge{{day, 1, 0, true, 0}, {2 * day, 1, 0, false, 2*day + 1e9*second}}},
		{"one second's bytes at once", bytes, []charge{{day, 1, 1000, true, 0}, {day, 0, 1, false, day + ms}, {day + 500*ms, 9, 499, true, 0}}},
		{"a message of two seconds", bytes, []charge{{day, 1, 600, true, 0}, {day, 0, 1400, false, day + second}}},
		{"bytes of what passes are charged", both, []charge{{day, 1, 0, true, 0}, {day, 0, 1500, false, day + 500*ms},
			{day, 1, 0, false, day + 500*ms}, {day + 501*ms, 1, 0, true, 0}}},
		{"bytes of what is dropped are not", both, []charge{{day, 1, 1500, false, 0}, {day, 1, 1000, true, 0}}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var m policies.Meter
			for i, step := range tt.steps {
				if got := m.Charge(&tt.limits, step.at, step.messages, step.bytes); got != step.within {
					t.Fatalf("step %d: within the limits: %v, want %v", i, got, step.within)
				}
				ready := m.Ready(&tt.limits, step.at)
				if early := step.ready - ready; (ready == 0) != (step.ready == 0) || early > 0 || early < -time.Microsecond {
					t.Errorf("step %d: within the limits from %s on, want %s", i, ready, step.ready)
				}
				if ready != 0 && ready < 300*day {
					after := m
					if !after.Charge(&tt.limits, ready, 0, 0) {
						t.Errorf("step %d: at %s, the limits are still exceeded", i, ready)
					}
				}
			}
		})
	}
}

// Who may not have charged so much can ask which limit it was, charged or not.
func TestMeterExceeded(t *testing.T) {
	t.Parallel()
	type limits = policies.Messages
	const rate, volume = policies.LimitMessagesRate, policies.LimitMessagesBytesPerSecond
	tests := []struct {
		name            string
		limits          limits
		messages, bytes int
		want            policies.Limit
	}{
		{"no limit", limits{}, 1e9, 1e9, policies.NoLimit},
		{"within", limits{Rate: 10, BytesPerSecond: 1000}, 10, 1000, policies.NoLimit},
		{"the rate alone", limits{Rate: 10}, 11, 0, rate},
		{"bytes alone", limits{BytesPerSecond: 1000}, 1, 1001, volume},
		{"the rate, within bytes", limits{Rate: 10, BytesPerSecond: 1000}, 11, 1000, rate},
		{"bytes, within the rate", limits{Rate: 10, BytesPerSecond: 1000}, 10, 1001, volume},
		{"both, the rate for longer", limits{Rate: 10, BytesPerSecond: 1000}, 21, 2000, rate},
		{"both, bytes for longer", limits{Rate: 10, BytesPerSecond: 1000}, 20, 2100, volume},
		{"both for as long", limits{Rate: 10, BytesPerSecond: 1000}, 20, 2000, rate},
		{"bytes of a message that has begun to pass", limits{Rate: 10, BytesPerSecond: 1000}, 0, 2000, volume},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			for _, onExcess := range []policies.Excess{policies.ExcessClose, policies.ExcessDelay, policies.ExcessDrop} {
				tt.limits.OnExcess = onExcess
				var m policies.Meter
				within := m.Charge(&tt.limits, second, tt.messages, tt.bytes)
				if within != (tt.want == policies.NoLimit) {
					t.Errorf("%s: within the limits: %v", onExcess, within)
				}
				if within {
					continue
				}
				charged := m
				if got := m.Exceeded(&tt.limits, tt.messages, tt.bytes); got != tt.want {
					t.Errorf("%s: exceeded %q, want %q", onExcess, got, tt.want)
				}
				if m != charged {
					t.Errorf("%s: a question has changed what is owed", onExcess)
				}
			}
		})
	}
}

func TestMeterLimited(t *testing.T) {
	t.Parallel()
	for limited, limits := range map[bool][]policies.Messages{
		true:  {{Rate: 0.1}, {BytesPerSecond: 1}},
		false: {{}, {MaxBytes: 1, Burst: 1, ValidateUTF8: true, OnExcess: policies.ExcessClose}},
	} {
		for _, m := range limits {
			if m.Limited() != limited {
				t.Errorf("%+v: limited %v, want %v", m, !limited, limited)
			}
		}
	}
}

// Over very many charges, the rate is what passes, whether it is one whose
// reciprocal is no number of nanoseconds or one that is above a clock's tick.
func TestMeterDoesNotDrift(t *testing.T) {
	t.Parallel()
	for _, rate := range []int64{3, 7, 999_999_937, 3_000_000_000, 7e12, math.MaxInt64} {
		limits := policies.Messages{BytesPerSecond: rate, OnExcess: policies.ExcessDrop}
		size := int(max(1, rate/1_000_000_007))
		var m policies.Meter
		const start = 1000 * time.Hour
		m.Charge(&limits, start, 1, int(min(rate, math.MaxInt64)))
		step := time.Duration(max(1, float64(size)/float64(rate)*1e9/3)) // about three tries for each that passes
		now, passed := policies.Moment(start), 0.0
		for range 200_000 {
			now += step
			if m.Charge(&limits, now, 1, size) {
				passed += float64(size)
			}
		}
		want := math.Min(float64(now-start)/1e9*float64(rate), 200_000*float64(size))
		if math.Abs(passed-want) > want*1e-6+float64(size) {
			t.Errorf("%d bytes a second: %.0f have passed, want %.0f", rate, passed, want)
		}
	}
}

// The largest of everything overflows nothing: it only waits.
func TestMeterExtremes(t *testing.T) {
	t.Parallel()
	for _, limits := range []policies.Messages{
		{BytesPerSecond: 1}, {BytesPerSecond: math.MaxInt64}, {Rate: math.MaxFloat64, Burst: math.MaxInt},
		{Rate: math.SmallestNonzeroFloat64}, {Rate: 1, Burst: math.MaxInt, BytesPerSecond: 1},
	} {
		var m policies.Meter
		for range 10 {
			m.Charge(&limits, 1<<61, math.MaxInt, math.MaxInt)
			if ready := m.Ready(&limits, 1<<61); ready != 0 && ready <= 1<<61 {
				t.Errorf("%+v: ready at %d", limits, ready)
			}
		}
	}
}

func TestMeterAllocatesNothing(t *testing.T) {
	limits := policies.Messages{Rate: 10, BytesPerSecond: 1000, OnExcess: policies.ExcessDrop}
	var m policies.Meter
	if n := testing.AllocsPerRun(100, func() { m.Charge(&limits, second, 1, 10); m.Exceeded(&limits, 1, 10); m.Ready(&limits, second) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
