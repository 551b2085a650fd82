package proxy

import (
	"time"

	"wswarden/policies"
	"wswarden/proxy/webhook"
	"wswarden/proxy/wsframe"
)

// release is what upstream was sent at the end of a session's subscriptions, and
// how much of it upstream did not take.
type release struct {
	ends     []int // where each one's unsubscribe ends in what was sent; 0: it has none
	sent     int   // bytes, with what follows the unsubscribes; 0: nothing could be sent
	notTaken int   // bytes

	// For the log.
	subscriptions int // that were left
	unsubscribed  int // of them
}

// farewell returns what upstream is to be sent ahead of its close frame: an
// unsubscribe for each subscription, in their order, and the policy's messages.
func (s *session) farewell() (frames []byte) {
	if s.observes() {
		return nil
	}
	add := func(text []byte) {
		frames = wsframe.Append(frames, wsframe.Client, wsframe.Text, newMask(), text)
	}
	if s.subscribed != nil && s.policy.Release.Unsubscribe {
		w, r := s.worker, &s.subscribed.release
		for sub := range s.subscribed.tracker.All() {
			end, ok := 0, false
			if w.text, ok = sub.AppendUnsubscribe(w.text[:0]); ok {
				add(w.text)
				end = len(frames)
			}
			r.ends = append(r.ends, end)
		}
	}
	for _, text := range s.policy.Release.Farewell {
		add([]byte(text))
	}
	return frames
}

// released notes how many bytes upstream is sent at the end.
func (s *session) released(n int) {
	if s.subscribed != nil {
		s.subscribed.release.sent = n
	}
}

// notTaken notes how many bytes upstream did not take.
func (s *session) notTaken(n int) {
	if s.subscribed != nil {
		r := &s.subscribed.release
		r.notTaken = max(r.notTaken, min(n, r.sent))
	}
}

// undone reports whether the unsubscribe of the i-th subscription was taken.
func (r *release) undone(i int) bool {
	return i < len(r.ends) && r.ends[i] > 0 && r.ends[i] <= r.sent-r.notTaken
}

// ending is how a session ends, beside its cause.
type ending struct {
	at     policies.Moment // it began to
	reason string          // for the client; empty: the cause's word

	byUpstream bool // upstream has broken the protocol, or takes no bytes

	// How upstream let go of it, and how long that took.
	outcome releaseOutcome
	took    time.Duration
}

// releaseOutcome is how upstream lets go of a session that ends.
type releaseOutcome uint8

const (
	_             releaseOutcome = iota
	releaseClosed                // it has closed its connection
	releaseLost                  // its connection broke
	releaseReset                 // wswarden had to reset it

	releaseOutcomes
)

func (r releaseOutcome) String() string {
	return [releaseOutcomes]string{releaseClosed: "closed", releaseLost: "lost", releaseReset: "reset"}[r]
}

// letGo notes how upstream let go of the session. The first call counts.
func (s *session) letGo(how releaseOutcome) {
	if s.ending.outcome != 0 {
		return
	}
	s.ending.outcome = how
	if s.ending.at != 0 {
		s.ending.took = s.worker.loop.Now() - s.ending.at
	}
}

// closedBy is how a peer lets go whose stream has ended: of a session that was to
// go on, and without a close frame, it is lost.
func (s *session) closedBy(d *side) releaseOutcome {
	if d.heard || s.cause != policies.NoCause {
		return releaseClosed
	}
	return releaseLost
}

// report tells the policy's webhook of a session that has ended.
func (s *session) report() {
	if s.kind().webhook == nil || s.observes() {
		return
	}
	closed := time.Now()
	r := &webhook.Report{
		Session:   s.admission.id,
		Policy:    s.policy.Name,
		Client:    s.admission.client,
		Cause:     s.cause,
		CloseCode: s.code,
		Opened:    closed.Add(s.facts.Opened - s.worker.loop.Now()),
		Closed:    closed,
	}
	if s.subscribed != nil {
		r.Identity = s.subscribed.identity
		i := 0
		for sub := range s.subscribed.tracker.All() {
			s.worker.text = sub.AppendTopic(s.worker.text[:0])
			r.Add(s.worker.text, stateOf(sub, s.subscribed), s.subscribed.release.undone(i))
			i++
		}
	}
	s.kind().webhook.Send(r)
}

// stateOf is how a subscription stood at the end. In a dialect that knows no
// confirmation it is live once it is sent.
func stateOf(sub *policies.Subscription, in *subscribed) webhook.State {
	if sub.Live() || !in.dialect.Acks() {
		return webhook.Live
	}
	return webhook.Pending
}
