package proxy

import (
	"context"
	"log/slog"
	"time"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
)

// The sides that can make a session end, or be pinged.
const (
	sideClient   = "client"
	sideUpstream = "upstream"
	sideWswarden = "wswarden"
)

// ended is called by a worker for each session that it forgets: this is its one line in
// the log, its metrics, its event and the end of its trace.
func (s *Server) ended(e *session) {
	defer s.leave()
	ending := e.account()
	k := e.kind()
	k.ended[e.cause].Inc()
	k.duration.Observe(float64(ending.Duration))
	k.released[e.ending.outcome].Observe(float64(ending.Release))
	k.unsubscribed.Add(float64(ending.Unsubscribed))
	k.left.Add(float64(max(0, ending.Subscriptions-ending.Unsubscribed)))
	s.ledger.Add(e.policy.Name, e.record())
	s.events.tell(e.event(api.EventEnded, func(event *api.Event) { event.Ending = ending }))
	if trace := e.admission.trace; trace != nil {
		trace.Ended(s.wall(e.ending.at), s.wall(e.worker.loop.Now()), e.admission.identityText(), ending)
	}
	if s.log.Enabled(context.Background(), slog.LevelInfo) {
		s.log.LogAttrs(context.Background(), slog.LevelInfo, "session ended", e.attributes(ending)...)
	}
}

// account is what there is to tell of a session that has ended.
func (s *session) account() *api.Ending {
	e := &api.Ending{
		Cause:            s.cause.String(),
		Side:             s.culprit(),
		ClientCode:       s.code,
		UpstreamCode:     s.code,
		Duration:         api.InSeconds(s.worker.loop.Now() - s.facts.Opened),
		ClientToUpstream: s.client.flow.forAPI(),
		UpstreamToClient: s.upstream.flow.forAPI(),
		Ping:             api.InSeconds(s.client.trips.latest()),
		Release:          api.InSeconds(s.ending.took),
		ReleaseOutcome:   s.ending.outcome.String(),
	}
	if _, upstream := s.cause.Codes(); upstream != 0 {
		e.UpstreamCode = upstream
	}
	if s.subscribed != nil {
		e.Subscriptions, e.Unsubscribed = s.subscribed.release.subscriptions, s.subscribed.release.unsubscribed
	}
	return e
}

// culprit is the side that made the session end.
func (s *session) culprit() string {
	switch s.cause {
	case policies.UpstreamClose, policies.UpstreamLost, policies.UpstreamTimeout:
		return sideUpstream
	case policies.IdleTimeout, policies.MaxAge, policies.Superseded, policies.Killed, policies.Drain:
		return sideWswarden
	case policies.Stalled, policies.ProtocolError:
		if s.ending.byUpstream {
			return sideUpstream
		}
	}
	return sideClient
}

// attributes are those of a session's line in the log.
func (s *session) attributes(e *api.Ending) []slog.Attr {
	attributes := append(s.admission.about(),
		slog.String("cause", e.Cause),
		slog.String("side", e.Side),
		slog.Int("client_code", int(e.ClientCode)),
		slog.Int("upstream_code", int(e.UpstreamCode)),
		slog.String("duration", e.Duration.Duration().Round(time.Millisecond).String()),
		slog.Uint64("client_messages", e.ClientToUpstream.Messages),
		slog.Uint64("client_bytes", e.ClientToUpstream.Bytes),
		slog.Uint64("upstream_messages", e.UpstreamToClient.Messages),
		slog.Uint64("upstream_bytes", e.UpstreamToClient.Bytes))
	if s.client.trips.count > 0 {
		attributes = append(attributes, slog.String("ping", s.client.trips.latest().String()))
	}
	attributes = append(attributes,
		slog.String("release", s.ending.took.Round(time.Microsecond).String()),
		slog.String("release_outcome", e.ReleaseOutcome))
	if s.subscribed != nil {
		attributes = append(attributes,
			slog.Int("subscriptions", e.Subscriptions),
			slog.Int("unsubscribed", e.Unsubscribed))
	}
	return attributes
}

// event returns one of the session's, to which more adds what only this kind has.
func (s *session) event(kind api.EventKind, more func(*api.Event)) *api.Event {
	return s.admission.event(kind, more)
}

// event returns one of a session, or of what was to be one.
func (a *admission) event(kind api.EventKind, more func(*api.Event)) *api.Event {
	e := &api.Event{
		Kind:     kind,
		Time:     time.Now(),
		Session:  api.ID(a.id),
		Policy:   a.kind.policy.Name,
		Address:  a.client,
		Identity: a.identityText(),
	}
	if more != nil {
		more(e)
	}
	return e
}

// hit counts that the session has met a limit, and tells of it.
func (s *session) hit(limit policies.Limit) {
	if limit == policies.NoLimit {
		return
	}
	k, server := s.kind(), s.worker.server
	s.admission.met.limits |= 1 << limit
	k.hits[limit].Inc()
	if server.events.watched() {
		server.events.tell(s.event(api.EventLimitHit, func(e *api.Event) { e.Limit = limit.String() }))
	}
	if untold, now := k.toldHits[limit].tell(); now {
		about := append(s.admission.about(), slog.String("limit", limit.String()), slog.String("mode", string(policies.ModeEnforce)), slog.Uint64("others_since", untold))
		server.log.LogAttrs(context.Background(), slog.LevelInfo, "limit hit", about...)
	}
}

// subscribedTo tells that the session has a subscription more.
func (s *session) subscribedTo(topic interface{ AppendText([]byte) []byte }) {
	if events := s.worker.server.events; events.watched() {
		events.tell(s.event(api.EventSubscribed, func(e *api.Event) { e.Topic = string(topic.AppendText(nil)) }))
	}
}

// wall returns when a moment was, or will be, by the wall's clock.
func (s *Server) wall(at policies.Moment) time.Time { return s.beginning().Add(at) }

// beginning returns the time of the moment 0 by the wall's clock: the same each time,
// unless somebody has set that clock.
func (s *Server) beginning() time.Time {
	began := time.Now().Round(0).Add(-evloop.Now()) // by that clock alone
	if last := s.began.Load(); last == nil || began.Sub(*last).Abs() > time.Second {
		s.began.Store(&began)
	}
	return *s.began.Load()
}
