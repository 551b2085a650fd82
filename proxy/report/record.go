// Package report remembers what sessions have met and needed, so that limits can be
// chosen by what there was.
package report

import (
	"time"

	"wswarden/policies"
)

// Measure is what a limit bounds, and what a session has come to of it.
type Measure uint8

const (
	// Subscriptions is how many a session had at a time, at most.
	Subscriptions Measure = iota
	// MessageBytes is the length of a client's longest message.
	MessageBytes
	// MessagesInSecond and BytesInSecond are those of a client's busiest second.
	MessagesInSecond
	BytesInSecond
	// Silence is the longest time without a data message, in milliseconds.
	Silence
	// Age is that of the session, in milliseconds.
	Age
	// FirstMessage is the time to the client's first message, in milliseconds.
	FirstMessage
	// OfPolicy, OfAddress and OfIdentity are how many sessions there were when this
	// one began, with it.
	OfPolicy
	OfAddress
	OfIdentity

	Measures // how many there are
)

// Record is what is known of a session. The zero Record has met nothing.
type Record struct {
	// Ended is when it did; zero: it lives.
	Ended policies.Moment
	// Sets of what it has met: of policies.Cause that it has ended with, or would have,
	// of policies.Refusal that its handshake would have met, and of policies.Limit, hit
	// whether something was done or not. The bit 1<<x is that of x.
	Causes   uint32
	Refusals uint16
	Limits   uint16
	// Needed by measure. Zero is nothing, and of FirstMessage, OfPolicy, OfAddress and
	// OfIdentity: not known.
	Needed [Measures]uint32
}

// Raise notes what a session has come to of a measure, if it is more than before.
func (r *Record) Raise(m Measure, to int64) {
	if to > int64(r.Needed[m]) {
		r.Needed[m] = uint32(min(to, 1<<32-1))
	}
}

// Millis is a time as measures have it: what takes any time is not zero.
func Millis(d time.Duration) int64 { return int64((d + time.Millisecond - 1) / time.Millisecond) }

// met reports whether a session has met any of what is in the sets.
func (r *Record) met(sets *Record) bool {
	return r.Causes&sets.Causes != 0 || r.Refusals&sets.Refusals != 0 || r.Limits&sets.Limits != 0
}
