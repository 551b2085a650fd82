package proxy

import (
	"math/rand/v2"
	"slices"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/quota"
	"wswarden/proxy/wsframe"
)

// move has the session live under its policy's new values from now on. Its timers go on
// counting from what has happened. What is returned remains to be done; nil: nothing.
func (s *session) move(k *kind) *seating {
	before, after := s.policy, k.policy
	a := s.admission
	unread := [2]bool{s.client.reading == nil, s.upstream.reading == nil}
	if a.kind.since != k.since { // what was met before is not of these rules
		a.met.causes, a.met.limits, a.met.refusals, a.spared, s.facts.Told = 0, 0, 0, nil, 0
	}
	if before.Observes(before.Messages.Mode) || before.Messages != after.Messages {
		s.meter = policies.Meter{} // what was owed is not of these rates
	}
	s.policy, a.kind = after, k
	s.read()
	for i, d := range s.sides() {
		d.goOn(unread[i], before.Mode != after.Mode)
	}
	if s.resumeAt != 0 {
		if s.resumeAt = s.meter.Ready(&after.Messages, s.worker.loop.Now()); after.Observes(after.Messages.Mode) || s.resumeAt == policies.Never {
			s.resumeAt = s.worker.loop.Now()
			s.resume()
		}
	}
	s.moveTopics(before.Subscriptions.MaxPerTopic > 0, after.Subscriptions.MaxPerTopic > 0)
	if a.kind.dialect == nil && s.subscribed != nil { // what becomes of them is not seen
		for s.subscribed.tracker.Len() > 0 {
			s.moved(s.subscribed.tracker.Pop())
		}
	}
	if !s.observes() && (s.client.opaque || s.upstream.opaque) {
		s.ending.byUpstream = s.upstream.opaque
		s.end(policies.Verdict{Cause: policies.ProtocolError}, "")
		return nil
	}
	if after.OnReload == policies.OnReloadEnforce && !after.Observes(after.Subscriptions.Mode) {
		s.shrink(after.Subscriptions.Max)
	}
	// Its address may not be asked for its health any more.
	s.failing = s.failing && !s.observes() && s.admission.address.Down()
	if s.worker.drainDeadline == policies.Never && !s.failing {
		s.drainAt = policies.Never
	}
	s.recheck()
	return s.reseat()
}

// goOn settles what becomes of a message of the peer's that is under way: it passes in
// the way in which it has begun to. unread: so far, none was read; changed: now they are
// held back, or not any more.
func (d *side) goOn(unread, changed bool) {
	if d.reading == nil || d.opaque {
		return
	}
	if unread && d.context {
		d.reading.lose() // those to come may refer to those before
	}
	switch changed = changed && d.isClient(); {
	case changed && d.stage == holding: // nothing is held back any more
		r := d.reading
		begun := d.in.AppendMerged(nil, r.opcode, r.compressed, r.payload)
		d.skip()
		d.pass(begun)
	case (unread || changed) && d.stage == passing && !d.in.MessageBoundary():
		d.skip()
	}
}

// moveTopics takes seats on the session's topics, or gives them back, where they have
// begun to be counted or are not any more.
func (s *session) moveTopics(before, after bool) {
	if s.subscribed == nil || before == after {
		return
	}
	for topic := range s.subscribed.tracker.Topics() {
		if after {
			s.worker.server.topics.Take(topic, 0)
		} else {
			s.worker.server.topics.Give(topic)
		}
	}
}

// shrink undoes the oldest subscriptions that are too many.
func (s *session) shrink(limit int) {
	if s.subscribed == nil || limit <= 0 || s.upstream.out.opaque {
		return
	}
	var frames []byte
	for w := s.worker; s.subscribed.tracker.Len() > limit; {
		text, change, ok := s.subscribed.tracker.Evict(w.text[:0])
		if w.text = text; !ok {
			break
		}
		frames = wsframe.Append(frames, wsframe.Client, wsframe.Text, newMask(), text)
		s.moved(change)
		s.kind().evicted.Inc()
	}
	if len(frames) > 0 {
		s.hit(policies.LimitSubscriptionsMax)
		s.upstream.written(false, s.upstream.out.addMessages(&s.upstream.socket, frames))
	}
}

// tune sets anew what depends on the configuration, and nothing else: each socket has
// six other options, which have not changed.
func (s *session) tune(cfg *config.Config) {
	for _, d := range s.sides() {
		_ = d.socket.Control(func(fd int) error { return setUserTimeout(fd, cfg) })
	}
}

// seating is what a session is to have instead of its leases, as other limits apply to it
// than when it began. A store may have to be waited for: that is not done on the loop.
type seating struct {
	admission *admission
	opened    policies.Moment // whose session is older, is seated first
	instead   *quota.Lease
	limits    []quota.Limit // none: it needs no lease
	claim     *claim        // to get a seat of its own; nil: there is none
	identity  quota.Limit   // the claim's
}

// reseat returns what there is to do; nil: nothing.
func (s *session) reseat() *seating {
	a, rule := s.admission, &s.policy.Connections
	limits, _ := a.kind.limits(a.client, a.identity)
	todo := &seating{admission: a, opened: s.facts.Opened, instead: a.lease, limits: limits}
	same := a.lease.Seats() == len(limits) && !slices.ContainsFunc(limits, func(l quota.Limit) bool { return !a.lease.Under(l.Key) })
	if c := a.identified; c != nil {
		limited := rule.PerIdentity > 0 && rule.Identity.From == policies.FromMessage
		switch {
		case limited && c.lease == nil:
			todo.claim, todo.identity = c, a.kind.identityLimit(c.identity)
		case !limited && c.lease != nil:
			s.worker.server.store.Give(c.lease)
			c.lease = nil
		}
	}
	if same && todo.claim == nil {
		return nil
	}
	if same {
		todo.instead, todo.limits = nil, nil
	}
	return todo
}

// take is not called on the loop.
func (t *seating) take() {
	a := t.admission
	store := a.worker.server.store
	var lease, claimed *quota.Lease
	replaces := t.instead != nil || len(t.limits) > 0
	if replaces && len(t.limits) == 0 {
		store.Give(t.instead)
	} else if replaces {
		lease = store.Reseat(t.instead, a, t.limits)
	}
	if t.claim != nil {
		claimed = store.Seat(t.claim, []quota.Limit{t.identity})
	}
	seated := func() {
		ends := a.session.cause != policies.NoCause
		if ends || a.identified != t.claim || t.claim == nil || t.claim.lease != nil {
			store.Give(claimed)
		} else {
			t.claim.lease = claimed
		}
		switch {
		case ends:
			store.Give(lease)
		case replaces:
			store.Give(a.lease) // it may be another one by now
			a.lease = lease
		}
	}
	if a.worker.loop.Do(seated) != nil {
		store.Give(lease)
		store.Give(claimed)
	}
}

// spread returns a part of d by chance.
func spread(d time.Duration) time.Duration { return time.Duration(rand.Int64N(int64(d) + 1)) }
