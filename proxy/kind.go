package proxy

import (
	"context"
	"fmt"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/quota"
	"wswarden/proxy/webhook"
)

// kind is what the sessions of one policy have in common beside it.
type kind struct {
	*metrics
	policy  *policies.Policy
	tallies []tally           // by worker
	dialect *dialects.Dialect // nil: unknown
	webhook *webhook.Hook     // nil: off

	limitPrefix string
	perIP       *quota.Rates // nil: no limit
	total       *quota.Rates // nil: no limit
}

// kind returns what s has in common with others.
func (s *session) kind() *kind { return s.admission.kind }

// tally returns where a worker counts what its sessions of this kind do.
func (k *kind) tally(w *worker) *tally { return &k.tallies[w.number] }

// prepareKinds makes ready what the policies name.
func (s *Server) prepareKinds() error {
	s.kinds = make(map[*policies.Policy]*kind)
	counters := s.newMetrics()
	for i := range s.config.Policies {
		policy := &s.config.Policies[i]
		dialect, err := s.config.Dialect(policy.Dialect)
		if err != nil {
			return fmt.Errorf("policies[%d].dialect: %w", i, err)
		}
		k := &kind{
			metrics: counters[policy],
			policy:  policy,
			tallies: make([]tally, s.loops),
			dialect: dialect,
			webhook: s.reporter.Hook(policy.Name, policy.Release.Webhook),

			limitPrefix: limitPrefix(policy.Name),
		}
		if pace := policy.Handshakes.PerIP(); pace.On() {
			k.perIP = quota.NewRates(pace)
		}
		if pace := policy.Handshakes.Total(); pace.On() {
			k.total = quota.NewRates(pace)
		}
		s.kinds[policy] = k
	}
	return nil
}

// reportPatience bounds what webhooks can add to the time of a drain.
const reportPatience = 5 * time.Second

// lastReports gives the webhooks the time of one attempt to take what is left.
func (s *Server) lastReports() {
	var longest time.Duration
	for _, k := range s.kinds {
		if k.webhook != nil {
			longest = max(longest, k.policy.Release.Webhook.Timeout)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(longest, reportPatience))
	defer cancel()
	s.reporter.Close(ctx)
}
