package policies

import (
	"math"
	"time"
)

// Handshakes limits how often clients may ask for a session.
type Handshakes struct {
	// PerIPRate is how many handshakes one address may make in a second, in the
	// long run. Of IPv6, a network of 64 bits counts as one address. Zero: no limit.
	PerIPRate PerSecond `mapstructure:"per_ip_rate"`
	// Burst is how many of one address may come at once. Zero: as many as in a
	// second, at least one.
	Burst int `mapstructure:"burst"`
	// TotalRate and TotalBurst are the same for all addresses together.
	TotalRate  PerSecond `mapstructure:"total_rate"`
	TotalBurst int       `mapstructure:"total_burst"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// PerIP returns the pace of one address.
func (h *Handshakes) PerIP() Pace { return newPace(h.PerIPRate, h.Burst) }

// Total returns the pace of all addresses together.
func (h *Handshakes) Total() Pace { return newPace(h.TotalRate, h.TotalBurst) }

// Pace is how often something may happen.
type Pace struct {
	// Rate in the long run. Zero: no limit.
	Rate PerSecond
	// Burst is how often it may happen at once. Zero: once.
	Burst int
}

func newPace(rate PerSecond, burst int) Pace {
	if burst <= 0 {
		burst = int(min(max(1, rate), math.MaxInt32))
	}
	return Pace{Rate: rate, Burst: burst}
}

// On reports whether there is a limit.
func (p Pace) On() bool { return p.Rate > 0 }

// Take asks whether it may happen once more, and returns how long to wait until
// it may: zero if it may now. A Moment is all that has to be kept between
// calls: the one at which all that has happened is worked off; at the beginning,
// and from that moment on, it may as well be Never. A refused take leaves it as it
// was.
//
// This is the generic cell rate algorithm (ITU-T I.371, annex A). No rounding
// adds up but that of the time for one to a whole nanosecond, which is half a
// thousandth at a rate of a million.
func (p Pace) Take(owed, now Moment) (after Moment, wait time.Duration) {
	if !p.On() {
		return owed, 0
	}
	one := p.one()
	after = max(owed, now) + one
	if wait = after - now - p.most(one); wait > 0 {
		return owed, wait
	}
	return after, 0
}

// Return undoes a take that was of no use.
func (p Pace) Return(owed Moment) Moment { return max(Never, owed-p.one()) }

// MaxDebt returns for how long a take can be of consequence.
func (p Pace) MaxDebt() time.Duration {
	if !p.On() {
		return 0
	}
	return p.most(p.one())
}

// forever can be added to a Moment several times over: 73 years.
const forever = 1 << 61

// one returns the time in which one is worked off.
func (p Pace) one() time.Duration {
	return time.Duration(max(1, math.Round(min(1e9/float64(p.Rate), forever))))
}

// most returns how much time may be owed: one for each that may come at once.
func (p Pace) most(one time.Duration) time.Duration {
	burst := time.Duration(max(1, p.Burst))
	if one > forever/burst {
		return forever
	}
	return burst * one
}
