package proxy

import (
	"wswarden/policies"
	"wswarden/proxy/upstreams"
)

// When an address of upstream's fails, its sessions are ended one by one, so that their
// clients do not come back in one wave. It fails in either of two ways: health checks find
// it down, while its connections may still stand; or these break, many at once.

// leaveAddress has the sessions of an address ended that health checks find down, but for
// those that it has chosen before. It may be called from any goroutine.
func (s *Server) leaveAddress(a *upstreams.Address) {
	if !s.serving.Load() || a.Sessions() == 0 {
		return // there is none, or none yet
	}
	over := s.setup().Drain.Spread
	for _, w := range s.workers {
		_ = w.loop.Do(func() {
			for _, e := range w.sessions {
				if e.admission.address == a && !e.ends() && !e.failing && !e.observes() {
					e.failing = true
					e.drainAt = policies.Earlier(e.drainAt, w.loop.Now()+spread(over))
					e.recheck()
				}
			}
		})
	}
}

// orphaned reports whether the session outlives its connection to upstream, which has
// broken together with many others to the same address. Its client is told later.
func (s *session) orphaned() bool {
	over := s.worker.server.setup().Drain.Spread
	if s.ends() || over <= 0 || s.observes() || !s.admission.address.Lost(s.worker.loop.Now()) {
		return false
	}
	s.finishing, s.wish = true, policies.Verdict{Cause: policies.UpstreamLost}
	s.admission.end()
	s.resume()
	s.deadline = s.worker.loop.Now() + spread(over)
	s.endBy(s.worker.drainDeadline)
	return true
}

// whyLeaving returns why a session is to end when its time has come.
func (s *session) whyLeaving() (verdict policies.Verdict, reason string) {
	if s.failing && s.worker.drainDeadline == policies.Never {
		return policies.Verdict{Action: policies.End, Cause: policies.UpstreamLost}, "upstream's address has failed its health checks"
	}
	return policies.Verdict{Action: policies.End, Cause: policies.Drain, Code: s.worker.server.setup().Drain.CloseCode}, ""
}
