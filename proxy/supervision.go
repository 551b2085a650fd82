package proxy

import (
	"wswarden/policies"
	"wswarden/proxy/report"
)

// supervise asks the policy what to do, does it, and sets the timer to the
// moment at which to ask again.
func (s *session) supervise() {
	now := s.worker.loop.Now()
	every := s.policy.Stall.LookEvery()
	if every > 0 && now >= s.looked+every {
		s.look(now)
	}
	if s.resumeAt != 0 && now >= s.resumeAt {
		s.resume()
	}
	s.facts.Pressure = s.worker.pressure
	for s.cause == policies.NoCause {
		if s.drainAt != 0 && now >= s.drainAt {
			by := s.worker.drainDeadline
			if by == policies.Never { // its policy, or its address, is gone, and not wswarden
				by = now + s.policy.Release.Grace
			}
			var verdict policies.Verdict
			verdict, s.ending.reason = s.whyLeaving()
			s.finish(verdict, by)
			return
		}
		verdict, next := s.policy.Check(&s.facts, now)
		if verdict.Observe {
			s.spare(verdict)
			continue
		}
		switch verdict.Action {
		case policies.PingClient:
			s.facts.ClientPingQueued = true
			s.client.ping()
		case policies.PingUpstream:
			s.facts.UpstreamPingQueued = true
			s.upstream.ping()
		case policies.End:
			if s.excused(verdict.Cause, now) {
				continue
			}
			if verdict.Urgent {
				s.end(verdict, "")
			} else {
				s.finish(verdict, now+s.policy.Release.Grace)
			}
			return
		default:
			next = policies.Earlier(next, policies.Earlier(s.drainAt, s.resumeAt))
			if every > 0 {
				next = policies.Earlier(next, s.looked+every)
			}
			if next == policies.Never {
				s.worker.loop.Cancel(&s.timer)
			} else {
				s.worker.loop.Set(&s.timer, next)
			}
			return
		}
	}
}

// unheard reports whether the client is not read from: it sends too fast, or has to
// wait for a seat.
func (s *session) unheard() bool { return s.resumeAt != 0 || s.waiting }

// pause has the client not read from until the moment at.
func (s *session) pause(at policies.Moment) {
	if at > s.worker.loop.Now() && !s.finishing {
		s.resumeAt = at
		s.recheck()
	}
}

// resume has the client read from again.
func (s *session) resume() {
	if s.resumeAt != 0 {
		s.resumeAt = 0
		s.client.socket.Again()
	}
}

// recheck has the policy asked again at the end of this turn: something has
// happened that can make its answer come earlier.
func (s *session) recheck() {
	if s.cause == policies.NoCause && !s.finishing {
		s.worker.loop.Set(&s.timer, s.worker.loop.Now())
	}
}

// sawFrame notes a sign of life.
func (s *session) sawFrame(d *side) {
	if d.isClient() {
		s.facts.ClientFrame = s.worker.loop.Now()
	} else {
		s.facts.UpstreamFrame = s.worker.loop.Now()
	}
}

// sawPong notes the answer to a ping of ours.
func (s *session) sawPong(d *side) {
	now, observer := s.worker.loop.Now(), s.kind().pings.upstream
	if d.isClient() {
		s.facts.ClientPong, observer = now, s.kind().pings.client
	}
	if took, ok := d.trips.answered(now); ok {
		observer.Observe(took.Seconds())
	}
}

// sawData notes that bytes of a data message have passed.
func (s *session) sawData(d *side) {
	now := s.worker.loop.Now()
	s.needs.silence = max(s.needs.silence, small(report.Millis(now-max(s.facts.Opened, s.facts.Message))))
	s.facts.Message = now
	if s.facts.ClientMessage == 0 && d.isClient() {
		s.facts.ClientMessage = now
	}
}

// pinged notes that a ping of ours is written: its timeout runs from now on.
func (s *session) pinged(d *side) {
	d.trips.sent = s.worker.loop.Now()
	if d.isClient() {
		s.facts.ClientPing, s.facts.ClientPingQueued = s.worker.loop.Now(), false
		outstanding, acked := d.socket.Outstanding()
		s.pingAcked, s.pingEnd = acked, acked+outstanding
	} else {
		s.facts.UpstreamPing, s.facts.UpstreamPingQueued = s.worker.loop.Now(), false
	}
	s.recheck()
}

// excused has a peer that could not answer a ping, or whose answer may still lie
// unread behind what the other one takes slowly, be waited for anew.
func (s *session) excused(cause policies.Cause, now policies.Moment) bool {
	switch {
	case cause == policies.HeartbeatTimeout && (s.client.socket.Readable() || s.pingUnderWay()):
		s.facts.ClientPing = now
	case cause == policies.HeartbeatTimeout && s.client.backlog && s.facts.ClientFrame >= s.facts.ClientPing:
		s.facts.ClientPong = s.facts.ClientFrame // it may lie in what was read then
	case cause == policies.UpstreamTimeout && s.upstream.socket.Readable():
		s.facts.UpstreamPing = now
	default:
		return false
	}
	return true
}

// pingUnderWay reports whether the client has not been able to answer: its system
// still takes, slowly, the bytes ahead of the ping. Slow is not dead. A system
// that takes nothing, or has taken the ping, is no excuse.
func (s *session) pingUnderWay() bool {
	_, acked := s.client.socket.Outstanding()
	progress := acked > s.pingAcked && acked < s.pingEnd
	s.pingAcked = acked
	return progress
}

// look asks the system what it holds for each peer: a peer that takes nothing
// is noticed there first.
func (s *session) look(now policies.Moment) {
	s.looked = now
	lookAt := func(d *side, since *policies.Moment) {
		outstanding, acked := d.socket.Outstanding()
		switch {
		case outstanding == 0:
			*since = policies.Never
		case *since == policies.Never || acked != d.acked:
			*since = now
		}
		d.acked = acked
	}
	lookAt(&s.client, &s.facts.ClientQueued)
	lookAt(&s.upstream, &s.facts.UpstreamQueued)
}

// waits notes whether bytes wait for a peer, and since when none was taken.
func (s *session) waits(d *side, waiting, took bool) {
	since := &s.facts.UpstreamWaits
	if d.isClient() {
		since = &s.facts.ClientWaits
	}
	switch {
	case !waiting:
		*since = 0
	case *since == 0:
		*since = s.worker.loop.Now()
		s.recheck()
	case took:
		*since = s.worker.loop.Now()
	}
}
