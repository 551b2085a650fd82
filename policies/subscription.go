package policies

import (
	"slices"

	"wswarden/policies/dialects"
)

// Subscription is one that a Tracker keeps. It is valid until the next change.
type Subscription struct {
	rule     *dialects.SubscribeKind
	text     []byte // what was captured, and behind it the ID that upstream gave
	keys     keys
	rings    [rings]link
	captured int32 // how much of text
	identity part  // what tells it from others
	waiting  uint8 // requests for it that upstream has not answered, or stuck
	live     bool
	refused  bool
	doubtful bool // what upstream says of its ID may be about something else
}

// Live reports whether upstream has confirmed the subscription. Where a dialect
// has no acks, none ever is.
func (s *Subscription) Live() bool { return s.live }

// AppendUnsubscribe appends the message that undoes the subscription; false if
// there is none, or it needs an ID that upstream has yet to give.
func (s *Subscription) AppendUnsubscribe(dst []byte) ([]byte, bool) {
	captured, id := s.text[:s.captured], s.text[s.captured:]
	if len(id) == 0 {
		id = nil
	}
	return s.rule.AppendUnsubscribe(dst, captured, id)
}

// AppendTopic appends the topic as text, for logs and people.
func (s *Subscription) AppendTopic(dst []byte) []byte {
	return s.rule.AppendTopic(dst, s.text[:s.captured])
}

// stuck is a number of requests that answers do not change any more.
const stuck = 255

// renew puts s, which was made of a newer record, in the old one's place.
func (s *Subscription) renew(old *Subscription, captured []byte) {
	s.rings, s.live, s.doubtful = old.rings, old.live, old.doubtful
	if old.waiting < stuck {
		s.waiting = max(s.waiting, old.waiting+1)
	} else {
		s.waiting = stuck
	}
	id := old.text[old.captured:]
	s.text = slices.Concat(captured, id)
	if len(id) > 0 {
		s.keys.set(byID, old.keys.hash[byID])
	}
}

// rank says how well a subscription fits what is sought among those that agree.
type rank uint8

const (
	unfit rank = iota
	poor
	fair
	good // none can fit better
)

func goodIf(ok bool) rank {
	if ok {
		return good
	}
	return unfit
}

func isCounted(s *Subscription) rank { return goodIf(!s.refused) }
func isRefused(s *Subscription) rank { return goodIf(s.refused) }

// awaitsAck ranks subscriptions for an ack.
func awaitsAck(s *Subscription) rank {
	switch {
	case s.refused:
		return poor
	case s.waiting == 0:
		return unfit
	case s.live:
		return fair
	default:
		return good
	}
}

// answered counts an answer to a request.
func (s *Subscription) answered() {
	if s.waiting > 0 && s.waiting < stuck {
		s.waiting--
	}
}

func identityOf(r *dialects.Record) part {
	switch {
	case r.Rule.Assigned():
		return byRequest
	case r.ID.Usable():
		return byID
	default:
		return byTopic
	}
}
