package proxy

import (
	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/wsframe"
)

// subscribed is what a session whose application's dialect is known keeps of it.
type subscribed struct {
	dialect  *dialects.Dialect
	tracker  policies.Tracker
	release  release
	identity string // as the client has told it
}

// subscribe decides on a record that makes a subscription, and counts it if it may
// pass. What must reach upstream ahead of it is in the worker's frames.
func (s *session) subscribe(r *dialects.Record, opcode wsframe.Opcode) policies.Admission {
	limits, tracker := &s.policy.Subscriptions, &s.subscribed.tracker
	observes := s.policy.Observes(limits.Mode)
	a := limits.Judge(tracker, r)
	switch {
	case observes && a.Refuse && a.Limit == policies.NoLimit: // nobody knows what upstream makes of it
		return policies.Admission{}
	case observes:
		s.wouldExceed(a)
		a = policies.Admission{}
	default:
		s.hit(a.Limit)
	}
	if a.Refuse || a.End {
		return a
	}
	// The seat on the topic is taken first: nothing is evicted for a newcomer that
	// cannot have one.
	topic := r.Topic.Hash()
	seated := limits.MaxPerTopic > 0 && !tracker.On(topic)
	if seated && !s.worker.server.topics.Take(topic, limits.MaxPerTopic) {
		a = limits.TopicFull()
		if !observes {
			s.hit(a.Limit)
			return a
		}
		s.wouldExceed(a)
		a = policies.Admission{}
		s.worker.server.topics.Take(topic, 0)
	}
	if a.Evict && !s.evict(opcode) {
		if seated {
			s.worker.server.topics.Give(topic)
		}
		return policies.Admission{Refuse: true, Reason: a.Reason}
	}
	change := tracker.Add(r)
	if seated {
		change.Joined = 0
	}
	s.moved(change)
	if change.Count > 0 {
		s.subscribedTo(r.Topic)
	}
	return policies.Admission{}
}

// wouldExceed notes what would have become of a subscription.
func (s *session) wouldExceed(a policies.Admission) {
	action := actionRefuse
	switch {
	case a.End:
		action = actionEnd
	case a.Evict:
		action = actionEvict
	}
	s.wouldHit(a.Limit, action, policies.SubscriptionLimit)
}

// evict undoes the oldest subscription that can be undone, behind the records that
// have passed so far.
func (s *session) evict(opcode wsframe.Opcode) bool {
	w := s.worker
	text, change, ok := s.subscribed.tracker.Evict(w.text[:0])
	if w.text = text; !ok {
		return false
	}
	s.flushRecords(opcode)
	w.frames = wsframe.Append(w.frames, wsframe.Client, wsframe.Text, newMask(), text)
	s.moved(change)
	s.kind().evicted.Inc()
	return true
}

// moved counts a change, and takes and gives back the session's seats on topics.
// Nobody is asked: a topic that is joined here is one that upstream has let the client
// join.
func (s *session) moved(c policies.Change) {
	if c.Count != 0 {
		s.tally.subscriptions.Add(int64(c.Count))
		s.needs.subscriptions = max(s.needs.subscriptions, uint32(s.subscribed.tracker.Len()))
	}
	if s.policy.Subscriptions.MaxPerTopic == 0 {
		return
	}
	if c.Joined != 0 {
		s.worker.server.topics.Take(c.Joined, 0)
	}
	if c.Left != 0 {
		s.worker.server.topics.Give(c.Left)
	}
}

// answered takes in what upstream says of a subscription.
func (s *session) answered(r *dialects.Record) {
	tracker := &s.subscribed.tracker
	switch r.Kind {
	case dialects.Ack:
		change := tracker.Ack(r)
		s.moved(change)
		// What upstream had refused, it confirms after all.
		limits := &s.policy.Subscriptions
		switch limit := limits.Max; {
		case change.Count <= 0 || limit <= 0 || tracker.Len() <= limit:
		case s.policy.Observes(limits.Mode):
			s.wouldHit(policies.LimitSubscriptionsMax, actionEnd, policies.SubscriptionLimit)
		default:
			s.hit(policies.LimitSubscriptionsMax)
			s.end(policies.Verdict{Cause: policies.SubscriptionLimit, Code: s.policy.Subscriptions.CloseCode}, "")
		}
	case dialects.Reject:
		s.moved(tracker.Reject(r))
	case dialects.Released:
		s.moved(tracker.Remove(r))
	}
}

// forgetSubscriptions counts those that are left, and gives back every seat.
func (s *session) forgetSubscriptions() {
	if s.subscribed == nil {
		return
	}
	tracker, r := &s.subscribed.tracker, &s.subscribed.release
	r.subscriptions = tracker.Len()
	for i := range r.ends {
		if r.undone(i) {
			r.unsubscribed++
		}
	}
	for s.policy.Subscriptions.MaxPerTopic > 0 && tracker.Len() > 0 {
		s.moved(tracker.Pop())
	}
	s.tally.subscriptions.Add(-int64(tracker.Len()))
}

// identityLimit bounds what is kept of an identity, in bytes.
const identityLimit = 256

// identify notes who the client says it is.
func (s *session) identify(r *dialects.Record) {
	if r.Identity.Usable() {
		w := s.worker
		w.text = r.Identity.AppendText(w.text[:0])
		s.subscribed.identity = string(w.text[:min(len(w.text), identityLimit)])
	}
}

// refuse has the client told that its subscription does not pass.
func (s *session) refuse(r *dialects.Record, reason string) {
	s.kind().refused.Inc()
	w := s.worker
	ok := false
	if w.text, ok = r.Rule.AppendRefusal(w.text[:0], r, reason); ok && !s.client.bidden {
		w.answers = wsframe.Append(w.answers, wsframe.Server, wsframe.Text, [4]byte{}, w.text)
	}
}

// answer sends the refusals of a message, at once: there may be very many.
func (s *session) answer() {
	if w := s.worker; len(w.answers) > 0 {
		s.client.written(false, s.client.out.addMessages(&s.client.socket, w.answers))
		w.answers = w.answers[:0]
	}
}

// overhear reads a message of upstream's.
func (s *session) overhear(opcode wsframe.Opcode, compressed bool, payload []byte) {
	w := s.worker
	if compressed {
		content, err := s.upstream.inflate(payload)
		if err != nil {
			s.sawData(&s.upstream)
			return
		}
		payload = content
	}
	data := false
	w.reader.Begin(s.subscribed.dialect, dialects.UpstreamToClient, opcode == wsframe.Binary, payload)
	for r := w.reader.Next(); r != nil && s.cause == policies.NoCause; r = w.reader.Next() {
		data = data || r.Kind != dialects.Heartbeat
		s.answered(r)
	}
	if data {
		s.sawData(&s.upstream)
	}
}
