package policies

import "time"

// Breaker keeps clients from waiting for an address of upstream's that does not
// answer.
type Breaker struct {
	// Failures in a row to connect after which it opens. Zero: never.
	Failures int
	// RetryAfter is for how long it stays open before it lets one trial through.
	RetryAfter time.Duration
	// Trial is how long a trial may take. One that has not reported by then, nor
	// within RetryAfter, has been given up, and makes room for another.
	Trial time.Duration
}

// Circuit is what a Breaker knows of one address. The zero Circuit is closed. Its
// methods get the rules with each call, so that they may change at any time.
type Circuit struct {
	state    circuitState
	failures int    // in a row
	since    Moment // of the present state
}

type circuitState uint8

const (
	// circuitClosed: all may connect. So many failures in a row open it.
	circuitClosed circuitState = iota
	// circuitOpen: nobody may connect, until Admits finds that it is time for a trial.
	circuitOpen
	// circuitTrial: one is trying. That it is connected closes the circuit, a failure
	// opens it again, and after a while without either Admits lets another one try.
	circuitTrial
)

// Open reports whether nobody may connect but for a trial.
func (c *Circuit) Open(b *Breaker) bool { return c.state != circuitClosed && b.Failures > 0 }

// Failures returns how many dials have failed since the last that did not.
func (c *Circuit) Failures() int { return c.failures }

// Wait returns how long it is until there may be a trial; zero if there may be one
// now, or if it takes none to connect.
func (c *Circuit) Wait(b *Breaker, now Moment) time.Duration {
	if !c.Open(b) {
		return 0
	}
	wait := b.RetryAfter
	if c.state == circuitTrial {
		wait = max(wait, b.Trial)
	}
	return max(0, wait-(now-c.since))
}

// Admits reports whether one may connect now. If the circuit is open, that one is the
// trial.
func (c *Circuit) Admits(b *Breaker, now Moment) bool {
	if !c.Open(b) {
		return true
	}
	if c.Wait(b, now) > 0 {
		return false
	}
	c.enter(circuitTrial, now)
	return true
}

// Connected is told of every dial that was successful, and reports whether that has
// closed the circuit. It may have begun before the circuit was opened: it proves the
// same.
func (c *Circuit) Connected(now Moment) (closed bool) {
	closed = c.state != circuitClosed
	c.failures = 0
	c.enter(circuitClosed, now)
	return closed
}

// Failed is told of every dial that was not, and reports whether that has opened the
// circuit, which is not so of a trial: it was open.
func (c *Circuit) Failed(b *Breaker, now Moment) (opened bool) {
	c.failures++
	switch {
	case c.state == circuitTrial:
		c.enter(circuitOpen, now)
	case c.state == circuitClosed && b.Failures > 0 && c.failures >= b.Failures:
		c.enter(circuitOpen, now)
		return true
	}
	return false // one that was begun before it opened does not keep it open for longer
}

func (c *Circuit) enter(state circuitState, now Moment) { c.state, c.since = state, now }

// Health is what the answers of one address to health checks tell. The zero Health is
// up.
type Health struct {
	down bool
	row  int // answers that speak against what it is, one after the other
}

// recovery is how many good answers in a row it takes to be up again.
const recovery = 2

// Down reports whether the address is not well.
func (h *Health) Down() bool { return h.down }

// Answered is told of each check, and reports whether the address has gone down, or
// come up again, with this one. It goes down with so many failures in a row, one at
// least.
func (h *Health) Answered(good bool, failures int) (changed bool) {
	if good != h.down {
		h.row = 0
		return false
	}
	if h.row++; good && h.row < recovery || !good && h.row < failures {
		return false
	}
	h.down, h.row = !h.down, 0
	return true
}

// Losses tells the end of a few sessions from that of all there are at an address. The
// zero Losses knows of none.
type Losses struct {
	since Moment // the window began
	most  int    // losses in it that are no wave
	count int
}

const (
	// lossWindow is the time in which losses are one wave.
	lossWindow = time.Second
	// defaultLosses is how many there may be where no number is given.
	defaultLosses = 5
	// lossShare of the sessions there are may end in a window: an application that ends
	// many sessions in this way does not end nearly all.
	lossShare = 20
)

// Wave is told of each session whose connection broke without a close frame, and of how
// many there were before, and reports whether that is one of a wave: more of them within a
// second than the limit, and than a twentieth of the sessions. A limit of zero is one of 5.
func (l *Losses) Wave(limit, sessions int, now Moment) bool {
	if limit <= 0 {
		limit = defaultLosses
	}
	if l.count == 0 || now-l.since >= lossWindow {
		*l = Losses{since: now, most: max(limit, sessions/lossShare)}
	}
	l.count++
	return l.count > l.most
}
