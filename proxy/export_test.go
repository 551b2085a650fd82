package proxy

import (
	"context"
	"log/slog"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
	"wswarden/proxy/quota"
)

// NewPortable is New on poll(2), which the tests run on Linux too.
func NewPortable(cfg *config.Config, log *slog.Logger, options Options) (*Server, error) {
	return newServer(cfg, log, options, evloop.NewPortable)
}

// LimitedKeys returns how many addresses, identities and policies have a seat.
func (s *Server) LimitedKeys() int { return s.store.(*quota.Memory).Keys() }

// Seats returns how many seats they have.
func (s *Server) Seats() int { return s.store.(*quota.Memory).Seats() }

// Kill ends all sessions of a policy, or of all if it is empty, as an operator would,
// and returns how many.
func (s *Server) Kill(policy string) int {
	return operator{s}.End(context.Background(), api.Filter{Policy: policy}, 0, "")
}

// ForgetEnded forgets what is remembered for reports.
func (s *Server) ForgetEnded() {
	for _, k := range s.setup().all() {
		s.ledger.Forget(k.policy.Name)
	}
}

// ForgetAtOnce has what is counted of a policy that is gone not be kept any longer than
// it has sessions.
func (s *Server) ForgetAtOnce() { s.forgetAtOnce = true }

// Press has the server take memory for as short as that.
func (s *Server) Press(step policies.Step) { s.press(step) }

// TopicSeats returns how many topics have a session, where they are counted.
func (s *Server) TopicSeats() int { return s.topics.Len() }
