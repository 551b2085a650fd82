package proxy

import (
	"io"
	"time"

	"wswarden/policies"
)

// Where a policy only observes, each peer finds out of the other's end what it would find
// without wswarden between them: a close frame is a frame like others, the end of a stream
// is passed on behind all that came before it while the other direction goes on, and a
// reset is a reset.

// observedPatience is for how long nothing may pass, once the end of a session has begun,
// before what is left of it is reset: it is not to be there for ever.
const observedPatience = time.Minute

// transparent reports whether the session's end, if it has begun, is its peers' affair.
func (s *session) transparent() bool {
	if !s.observes() || s.finishing {
		return false
	}
	switch s.cause {
	case policies.NoCause, policies.ClientClose, policies.UpstreamClose, policies.ClientLost, policies.UpstreamLost:
		return true
	}
	return false
}

// goesOn notes that bytes pass.
func (s *session) goesOn() {
	if s.cause != policies.NoCause && s.transparent() {
		s.deadline = s.worker.loop.Now() + max(s.policy.Release.Grace, observedPatience)
		s.endBy(s.worker.drainDeadline)
	}
}

// noteClose notes a peer's close frame, which passes.
func (s *session) noteClose(d *side, frame []byte) {
	d.heard = true
	if s.cause != policies.NoCause {
		return
	}
	s.code = closeCode(frame)
	if d.isClient() {
		s.begin(policies.ClientClose)
	} else {
		s.begin(policies.UpstreamClose)
	}
}

// endedObserved notes that the peer's stream has ended: io.EOF, or that its connection is
// gone.
func (d *side) endedObserved(err error) {
	s, other := d.session, d.peer()
	if s.cause == policies.NoCause {
		cause := policies.UpstreamLost
		if d.isClient() {
			cause = policies.ClientLost
		}
		s.begin(cause)
	}
	switch {
	case err == nil: // what it has sent may still be there to be read
		return
	case err == io.EOF && !d.ceased:
		d.pass(d.held) // less than a header
		d.ceased, d.held = true, nil
		other.bidden = true
	default:
		d.ceased, d.held = true, nil
		d.discard()
		d.socket.Close()
		other.bidden, other.cut = true, true
	}
	s.settle()
}

// settleObserved passes on ends behind all that came before them, and forgets the session
// when both connections are closed.
func (s *session) settleObserved() {
	for _, d := range s.sides() {
		if !d.socket.Open() {
			continue
		}
		switch {
		case !d.bidden || !d.out.empty():
		case d.cut:
			d.socket.Reset()
		case !d.shut:
			d.shut = true
			_ = d.socket.CloseWrite()
		}
		if d.shut && d.ceased && !d.socket.Pending() {
			d.socket.Close()
		}
	}
	if !s.upstream.socket.Open() {
		s.letGo(releaseClosed)
		s.admission.leave()
		if !s.client.socket.Open() {
			s.forget()
		}
	}
}
