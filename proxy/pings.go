package proxy

import (
	"time"

	"wswarden/policies"
)

// Servers there are that end a connection on which too many pings wait for their
// answer, and without a close frame: what the client has there stays. An endpoint
// may answer only the latest of several pings (RFC 6455 §5.5.3). So upstream gets
// few of a client's pings at a time, and of those beyond them the latest.

const (
	// pingsAtOnce is how many of a client's pings upstream has to answer at a time.
	pingsAtOnce = 16
	// pingPatience is how long upstream has for that. After it, more are passed on.
	pingPatience = 5 * time.Second
)

// pings are those of a client that upstream has yet to answer.
type pings struct {
	unanswered int
	passed     policies.Moment // the last one
	latest     []byte          // the frame that is passed on next; nil: none
}

// mayPing decides on a ping of the client's. One that may not be passed on now is
// kept in place of the one before it.
func (s *session) mayPing(frame []byte) bool {
	if s.observes() {
		return true
	}
	now := s.worker.loop.Now()
	if s.pings == nil {
		s.pings = new(pings)
	}
	p := s.pings
	if p.unanswered >= pingsAtOnce {
		if now < p.passed+pingPatience {
			p.latest = append(p.latest[:0], frame...)
			return false
		}
		p.unanswered = 0
	}
	p.unanswered++
	p.passed, p.latest = now, nil
	return true
}

// pingAnswered notes a pong of upstream's that is not for wswarden.
func (s *session) pingAnswered() {
	p := s.pings
	if p == nil || p.unanswered == 0 {
		return
	}
	p.unanswered--
	if p.latest != nil && !s.upstream.sealed {
		frame := p.latest
		p.unanswered++
		p.passed, p.latest = s.worker.loop.Now(), nil
		s.upstream.written(false, s.upstream.out.addControl(&s.upstream.socket, frame))
	}
}
