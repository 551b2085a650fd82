package proxy

import (
	"context"
	"sync"
	"time"

	"wswarden/proxy/admin/api"
)

// Ready implements admin.Source.
func (o operator) Ready(ctx context.Context) api.Readiness {
	if !o.ready() {
		return api.Readiness{Checks: map[string]string{"admission": "draining"}}
	}
	checks := map[string]string{"admission": "ok", "upstream": "ok"}
	if err := o.probe.upstream(ctx, o.Server); err != nil {
		checks["upstream"] = "not reachable: " + dialOutcomeNames[dialOutcomeOf(err)] // who asks needs no token
		return api.Readiness{Checks: checks}
	}
	return api.Readiness{Ready: true, Checks: checks}
}

// probe finds out whether upstream can be reached, once for all who ask at a time.
type probe struct {
	mu   sync.Mutex
	at   time.Time
	last error
}

// probeAge is how long an answer is good for.
const probeAge = time.Second

// upstream asks for what health checks have found, or if there are none, connects to
// upstream and closes the connection at once.
func (p *probe) upstream(ctx context.Context, s *Server) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if time.Since(p.at) < probeAge {
		return p.last
	}
	u := s.setup().upstream
	err := u.pool.Ready(ctx)
	if err == nil && u.Health.Path == "" {
		err = u.reach()
		s.forwarder.dials.note(dialOutcomeOf(err))
	}
	if ctx.Err() != nil {
		return ctx.Err() // who asks has gone: nothing is known
	}
	p.at, p.last = time.Now(), err
	return err
}
