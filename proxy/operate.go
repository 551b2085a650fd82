package proxy

import (
	"context"
	"iter"

	"wswarden/proxy/admin/api"
)

// What operators ask for: admin.Source.

func (s *Server) Sessions(ctx context.Context, f api.Filter) iter.Seq[[]api.Session] {
	return func(func([]api.Session) bool) {}
}

func (s *Server) Session(ctx context.Context, id api.ID) (api.Detail, bool) {
	return api.Detail{}, false
}

func (s *Server) EndOne(ctx context.Context, id api.ID, code uint16, reason string) bool {
	return false
}

func (s *Server) End(ctx context.Context, f api.Filter, code uint16, reason string) int { return 0 }

func (s *Server) Topics(ctx context.Context, f api.Filter) ([]api.Topic, bool) { return nil, false }

func (s *Server) Events(ctx context.Context, replay int) <-chan api.Event { return nil }

func (s *Server) Drain() api.Draining { return api.Draining{} }

func (s *Server) Policies() []api.Policy { return nil }

func (s *Server) Ready(context.Context) api.Readiness { return api.Readiness{Ready: s.ready()} }
