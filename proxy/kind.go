package proxy

import (
	"context"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/quota"
	"wswarden/proxy/webhook"
)

// kind is what the sessions of one policy have in common beside it.
type kind struct {
	*metrics
	policy   *policies.Policy
	settings map[string]any    // of the policy, as they may be shown
	since    policies.Moment   // the policy is as it is
	gone     policies.Moment   // no configuration has it any more; 0: one has
	tallies  []tally           // by worker
	dialect  *dialects.Dialect // nil: unknown
	webhook  *webhook.Hook     // nil: off

	limitPrefix string
	perIP       *quota.Rates // nil: no limit
	total       *quota.Rates // nil: no limit
}

// leaves reports whether sessions of a policy that is gone are to end.
func (k *kind) leaves() bool {
	return k.gone != policies.Never && k.policy.OnReload == policies.OnReloadEnforce
}

// kind returns what s has in common with others.
func (s *session) kind() *kind { return s.admission.kind }

// tally returns where a worker counts what its sessions of this kind do.
func (k *kind) tally(w *worker) *tally { return &k.tallies[w.number] }

// reportPatience bounds what webhooks can add to the time of a drain.
const reportPatience = 5 * time.Second

// lastReports gives the webhooks the time of one attempt to take what is left.
func (s *Server) lastReports() {
	var longest time.Duration
	for _, k := range s.setup().all() {
		if k.webhook != nil {
			longest = max(longest, k.policy.Release.Webhook.Timeout)
		}
	}
	ctx, cancel := context.WithTimeout(context.Background(), min(longest, reportPatience))
	defer cancel()
	s.reporter.Close(ctx)
}
