package proxy

import (
	"math"
	"time"

	"wswarden/policies"
	"wswarden/proxy/report"
)

// met is what a session has met of its policy's rules, whether something was done or
// not: sets as report.Record has them.
type met struct {
	causes   uint32
	refusals uint16
	limits   uint16
	// Seats that there were when it got its own, under each kind of limit.
	ofPolicy, ofAddress, ofIdentity uint32
}

// among notes how many seats there are under a limit.
func (m *met) among(limit policies.Refusal, seats int) {
	switch n := uint32(seats); limit {
	case policies.RefusedMax:
		m.ofPolicy = n
	case policies.RefusedPerIP:
		m.ofAddress = n
	case policies.RefusedPerIdentity:
		m.ofIdentity = n
	}
}

// needs is what a session has come to of what its policy may limit. It is small, as
// there are as many as sessions: what is more is told as the most that there can be.
type needs struct {
	silence       uint32 // the longest without a data message that has passed, in milliseconds
	message       uint32 // the client's longest, in bytes
	subscriptions uint32 // the most at a time

	// The client's messages and their bytes in the second under way, and in its busiest.
	second                  uint32
	messages, bytes         uint32
	mostMessages, mostBytes uint32

	tooLong bool // the message under way is, and nothing is done about it
}

func small(n int64) uint32 { return uint32(min(n, math.MaxUint32)) }

// sent counts a piece of the client's messages.
func (n *needs) sent(now policies.Moment, messages uint32, bytes int) {
	if second := uint32(now / time.Second); second != n.second {
		n.second, n.messages, n.bytes = second, 0, 0
	}
	n.messages += messages
	n.bytes = small(int64(n.bytes) + int64(bytes))
	n.mostMessages, n.mostBytes = max(n.mostMessages, n.messages), max(n.mostBytes, n.bytes)
}

// ownCauses are those of ends that a rule makes for what a session is.
const ownCauses = 1<<policies.HeartbeatTimeout | 1<<policies.UpstreamTimeout | 1<<policies.IdleTimeout |
	1<<policies.NoFirstMessage | 1<<policies.MaxAge | 1<<policies.Stalled | 1<<policies.InvalidUTF8 | 1<<policies.ProtocolError

// record is what is known of the session so far. It is called on the loop.
func (s *session) record() (r report.Record) {
	now, f, n, m := s.worker.loop.Now(), &s.facts, &s.needs, &s.admission.met
	r.Causes, r.Refusals, r.Limits = m.causes, m.refusals, m.limits
	until := now
	if s.cause != policies.NoCause {
		until = s.ending.at
		r.Causes |= 1 << s.cause & ownCauses
	}
	if s.gone {
		r.Ended = now
	}
	r.Needed = [report.Measures]uint32{
		report.Subscriptions:    n.subscriptions,
		report.MessageBytes:     n.message,
		report.MessagesInSecond: n.mostMessages,
		report.BytesInSecond:    n.mostBytes,
		report.Silence:          n.silence,
		report.OfPolicy:         m.ofPolicy,
		report.OfAddress:        m.ofAddress,
		report.OfIdentity:       m.ofIdentity,
	}
	r.Raise(report.Silence, report.Millis(until-max(f.Opened, f.Message)))
	r.Raise(report.Age, report.Millis(until-f.Opened))
	if f.ClientMessage != policies.Never {
		r.Raise(report.FirstMessage, report.Millis(f.ClientMessage-f.Opened))
	}
	return r
}
