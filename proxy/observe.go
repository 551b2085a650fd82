package proxy

import (
	"context"
	"log/slog"
	"slices"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// What rules would have done that only observe is counted and told, and nothing else.
// Events and the log are told once for each session and rule.

// What a rule would have done.
const (
	actionEnd          = "end"
	actionTurnAway     = "refuse_handshake"
	actionPingClient   = "ping_client"
	actionPingUpstream = "ping_upstream"
	actionRefuse       = "refuse" // a subscription
	actionEvict        = "evict"
	actionDrop         = "drop"
	actionDelay        = "delay"
)

// ruleProtocol stands for what no policy can switch off, as long as it does not only
// observe.
const ruleProtocol = "protocol"

// observes reports whether the session's policy touches nothing at all.
func (s *session) observes() bool { return s.policy.Mode == policies.ModeObserve }

// spare notes a verdict that is not to be carried out.
func (s *session) spare(v policies.Verdict) {
	s.facts.Spare(v, s.worker.loop.Now())
	switch v.Action {
	case policies.PingClient:
		s.kind().wouldPing.client.Inc()
		s.admission.tellWouldHave(v.Rule(), actionPingClient, policies.NoCause)
	case policies.PingUpstream:
		s.kind().wouldPing.upstream.Inc()
		s.admission.tellWouldHave(v.Rule(), actionPingUpstream, policies.NoCause)
	case policies.End:
		s.wouldEnd(v.Rule(), v.Cause)
	}
}

// wouldEnd notes that a rule would have ended the session.
func (s *session) wouldEnd(rule string, cause policies.Cause) {
	a := s.admission
	if a.met.causes>>cause&1 == 0 {
		a.met.causes |= 1 << cause
		a.kind.wouldEnd[cause].Inc()
	}
	a.tellWouldHave(rule, actionEnd, cause)
}

// wouldHit notes that the session has met a limit, and what would have been done about
// it: cause is that of the end with actionEnd.
func (s *session) wouldHit(limit policies.Limit, action string, cause policies.Cause) {
	if limit == policies.NoLimit {
		return
	}
	s.admission.met.limits |= 1 << limit
	s.kind().wouldHit[limit].Inc()
	if action == actionEnd {
		s.wouldEnd(limit.String(), cause)
	} else {
		s.admission.tellWouldHave(limit.String(), action, policies.NoCause)
	}
}

// wouldTurnAway notes that the handshake would have been refused.
func (a *admission) wouldTurnAway(why policies.Refusal) {
	a.met.refusals |= 1 << why
	a.kind.wouldTurnAway[why].Inc()
	if limit := why.Limit(); limit != policies.NoLimit {
		a.met.limits |= 1 << limit
		a.kind.wouldHit[limit].Inc()
	}
	a.tellWouldHave(why.Rule(), actionTurnAway, policies.NoCause)
}

// tellWouldHave tells of what a rule would have done, the first time.
func (a *admission) tellWouldHave(rule, action string, cause policies.Cause) {
	if slices.Contains(a.spared, rule) {
		return
	}
	a.spared = append(a.spared, rule)
	server := a.worker.server
	if server.events.watched() {
		server.events.tell(a.event(api.EventWouldHave, func(e *api.Event) {
			e.Rule, e.Action, e.Cause = rule, action, cause.String()
			if isLimit(rule) {
				e.Limit = rule
			}
		}))
	}
	if !server.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	about := append(a.about(), slog.String("rule", rule), slog.String("action", action))
	if cause != policies.NoCause {
		about = append(about, slog.String("cause", cause.String()))
	}
	server.log.LogAttrs(context.Background(), slog.LevelInfo, "would have", about...)
}

func isLimit(rule string) bool {
	return slices.ContainsFunc(policies.Limits(), func(l policies.Limit) bool { return l.String() == rule })
}

// about says in a line of the log which session it is about.
func (a *admission) about() []slog.Attr {
	about := []slog.Attr{
		slog.String("session", api.ID(a.id).String()),
		slog.String("policy", a.kind.policy.Name),
		slog.String("address", a.clientText()),
	}
	if id := a.identityText(); id != "" {
		about = append(about, slog.String("identity", id))
	}
	return about
}
