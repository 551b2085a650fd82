package policies

import (
	"bytes"
	"iter"
	"slices"

	"wswarden/policies/dialects"
)

// Tracker keeps one session's subscriptions in the order in which they were made.
// The zero Tracker is ready, and takes no memory before the first. It belongs to
// one goroutine.
//
// What it counts should never be less than what upstream holds, whatever a client
// does. Upstream's refusals are the weak point: with something invalid that has
// the request id of a subscription, a client makes upstream refuse the one and
// confirm the other. So
//   - a refused subscription is not counted, but remembered: a confirmation that
//     follows brings it back, unless it was undone meanwhile;
//   - one that was asked for twice stays when one of the two is refused;
//   - where several have a request id in common that upstream has yet to answer,
//     a refusal removes none of them.
//
// What upstream says of two that it does not tell apart could be about either: see
// Taken and Used.
type Tracker struct {
	table    table
	counted  place // the ring's oldest
	refused  place
	refusals int // how many are in that ring
	used     usedIDs
}

// refusedMost are remembered, the latest.
const refusedMost = 32

// Change is what a record has changed.
type Change struct {
	// Count is how many subscriptions there are more than before: 1, 0 or -1.
	Count int
	// Joined and Left are topics, as their Value's Hash: one that the session was
	// not on before, and one that it is not on any more. Zero: none.
	Joined, Left uint64
}

// Len returns how many subscriptions there are.
func (t *Tracker) Len() int { return t.table.used - t.refusals }

// All returns the subscriptions, the oldest first. The Tracker must not be changed
// meanwhile.
func (t *Tracker) All() iter.Seq[*Subscription] {
	return func(yield func(*Subscription) bool) {
		for i := range t.table.ring(t.counted) {
			if !yield(t.table.at(i)) {
				return
			}
		}
	}
}

// Topics returns the topics that there are subscriptions to, as their Value's Hash, each
// once. The Tracker must not be changed meanwhile.
func (t *Tracker) Topics() iter.Seq[uint64] {
	return func(yield func(uint64) bool) {
		for i := range t.table.ring(t.counted) {
			topic := t.table.at(i).keys.hash[byTopic]
			k := keys{given: 1 << byTopic, hash: [parts]uint64{byTopic: topic}}
			if t.table.find(&k, isCounted) == i && !yield(topic) {
				return
			}
		}
	}
}

// Has reports whether the subscription of a Subscribe record is there already.
func (t *Tracker) Has(r *dialects.Record) bool {
	k := keysOf(r)
	return t.twin(&k, identityOf(r)) != nowhere
}

// Taken reports whether a Subscribe record gives what it asks for the name of a
// subscription that is there: the client's ID; or where the topic tells them from
// others, besides the topic also the request.
func (t *Tracker) Taken(r *dialects.Record) bool {
	k, identity := keysOf(r), identityOf(r)
	if identity == byTopic {
		return k.has(byRequest) && t.table.find(&k, isCounted) != nowhere
	}
	return t.twin(&k, identity) != nowhere
}

// Used reports whether a Subscribe record has an ID of which its rule says that it
// is used once, and which one of the latest subscriptions had.
func (t *Tracker) Used(r *dialects.Record) bool {
	return r.Rule.Once() && t.used.has(r.ID.Hash())
}

// On reports whether there is a subscription to the topic, which is given as its
// Value's Hash.
func (t *Tracker) On(topic uint64) bool {
	k := keys{given: 1 << byTopic, hash: [parts]uint64{byTopic: topic}}
	return t.table.find(&k, isCounted) != nowhere
}

// Add counts the subscription of a Subscribe record that Judge lets pass. One that
// is there already keeps its place, and becomes what the newer record says.
func (t *Tracker) Add(r *dialects.Record) (c Change) {
	var buffer [256]byte
	captured := r.Rule.AppendCaptured(buffer[:0], r)
	s := Subscription{rule: r.Rule, keys: keysOf(r), identity: identityOf(r), captured: int32(len(captured)), waiting: 1}
	if r.Rule.Once() {
		t.used.add(s.keys.hash[byID])
	}
	topic := s.keys.hash[byTopic]
	if !t.On(topic) {
		c.Joined = topic
	}
	i := t.twin(&s.keys, s.identity)
	if t.shareRequest(&s.keys, i) {
		s.waiting = stuck
	}
	if i == nowhere {
		s.text = bytes.Clone(captured)
		t.reserve()
		t.table.enter(&t.counted, inOrder, t.table.put(s))
		c.Count = 1
		return c
	}
	t.table.unindex(i)
	old := t.table.at(i)
	left := old.keys.hash[byTopic]
	s.renew(old, captured)
	*old = s
	t.table.index(i)
	c.Left = t.left(left)
	return c
}

// shareRequest reports whether the request is that of another subscription that
// waits for its answer, and if so has that wait for ever.
func (t *Tracker) shareRequest(k *keys, twin place) bool {
	if !k.has(byRequest) {
		return false
	}
	request := keys{given: 1 << byRequest, hash: k.hash}
	i := t.table.find(&request, func(s *Subscription) rank {
		return goodIf(!s.refused && s.waiting > 0 && (twin == nowhere || s != t.table.at(twin)))
	})
	if i == nowhere {
		return false
	}
	t.table.at(i).waiting = stuck
	return true
}

// Remove removes what an Unsubscribe or Released record is about.
func (t *Tracker) Remove(r *dialects.Record) (c Change) {
	k := keysOf(r)
	doubted := r.Kind == dialects.Released && k.has(byID)
	if i := t.table.find(&k, func(s *Subscription) rank { return goodIf(!s.refused && !(doubted && s.doubtful)) }); i != nowhere {
		c = t.remove(i)
	}
	for i := t.table.find(&k, isRefused); i != nowhere; i = t.table.find(&k, isRefused) {
		t.forget(i)
	}
	t.shrink()
	return c
}

// Doubt takes in a client's record that is no Subscribe. If upstream will answer it by
// the name of a subscription, such answers do not remove that one any more; and where
// IDs are used once, none gets that name later.
func (t *Tracker) Doubt(r *dialects.Record) {
	if r.Kind == dialects.Subscribe || !r.Answer.Usable() {
		return
	}
	name := r.Answer.Hash()
	if r.Once && !t.used.has(name) {
		t.used.add(name)
	}
	// All that agree are looked at, for none fits.
	k := keys{given: 1 << byID, hash: [parts]uint64{byID: name}}
	t.table.find(&k, func(s *Subscription) rank {
		s.doubtful = true
		return unfit
	})
	k = keys{given: 1 << byRequest, hash: [parts]uint64{byRequest: name}}
	t.table.find(&k, func(s *Subscription) rank {
		if s.waiting > 0 {
			s.waiting = stuck
		}
		return unfit
	})
}

// Reject removes what a Reject record is about. One that names a request has
// nothing to say about a subscription whose request is answered.
func (t *Tracker) Reject(r *dialects.Record) (c Change) {
	k := keysOf(r)
	i := t.table.find(&k, func(s *Subscription) rank {
		switch {
		case s.doubtful && k.has(byID):
			return unfit
		case s.waiting > 0 && !s.refused:
			return good
		case s.refused || k.has(byRequest):
			return unfit
		default:
			return poor
		}
	})
	if i == nowhere {
		return Change{}
	}
	s := t.table.at(i)
	if s.waiting > 0 {
		s.answered()
		if s.waiting > 0 || s.live {
			return Change{}
		}
	}
	t.table.leave(&t.counted, inOrder, i)
	t.table.enter(&t.refused, inOrder, i)
	s.refused, s.live = true, false
	t.refusals++
	c = Change{Count: -1, Left: t.left(s.keys.hash[byTopic])}
	if t.refusals > refusedMost {
		t.forget(t.refused)
	}
	return c
}

// Ack makes live what an Ack record is about, with the ID that upstream may have
// given it. It brings back what was refused, so that there can be more than Judge
// has let pass.
func (t *Tracker) Ack(r *dialects.Record) (c Change) {
	k := keysOf(r)
	i := t.table.find(&k, awaitsAck)
	if i == nowhere && k.has(byID) {
		k.given &^= 1 << byID
		i = t.table.find(&k, func(s *Subscription) rank {
			if s.identity == byID {
				return unfit
			}
			return awaitsAck(s)
		})
		if i != nowhere {
			t.assign(i, r.ID)
		}
	}
	if i == nowhere {
		return Change{}
	}
	s := t.table.at(i)
	if s.refused {
		return t.bringBack(i)
	}
	s.live = true
	s.answered()
	return Change{}
}

// assign gives a subscription upstream's ID, which from now on tells it from others
// if its request has done so.
func (t *Tracker) assign(i place, id dialects.Value) {
	t.table.unindex(i)
	s := t.table.at(i)
	s.text = slices.Concat(s.text[:s.captured], id.Raw)
	s.keys.set(byID, id.Hash())
	if s.identity == byRequest {
		s.identity = byID
	}
	t.table.index(i)
}

// bringBack counts a subscription again that was refused.
func (t *Tracker) bringBack(i place) (c Change) {
	s := t.table.at(i)
	if twin := t.twin(&s.keys, s.identity); twin != nowhere {
		t.table.at(twin).live = true
		t.forget(i)
		return Change{}
	}
	topic := s.keys.hash[byTopic]
	if !t.On(topic) {
		c.Joined = topic
	}
	t.table.leave(&t.refused, inOrder, i)
	t.table.enter(&t.counted, inOrder, i)
	s.refused, s.live = false, true
	t.refusals--
	c.Count = 1
	return c
}

// Evict removes the oldest subscription that can be undone, and appends the message
// that undoes it; false if none can be.
func (t *Tracker) Evict(dst []byte) ([]byte, Change, bool) {
	for i, n := t.counted, t.Len(); n > 0; n-- {
		s := t.table.at(i)
		if message, ok := s.AppendUnsubscribe(dst); ok {
			c := t.remove(i)
			t.shrink()
			return message, c, true
		}
		i = s.rings[inOrder].next
	}
	return dst, Change{}, false
}

// Pop removes the oldest subscription. There must be one.
func (t *Tracker) Pop() Change {
	c := t.remove(t.counted)
	t.shrink()
	return c
}

func (t *Tracker) remove(i place) Change {
	topic := t.table.at(i).keys.hash[byTopic]
	t.table.leave(&t.counted, inOrder, i)
	t.table.drop(i)
	return Change{Count: -1, Left: t.left(topic)}
}

// forget removes one that was refused.
func (t *Tracker) forget(i place) {
	t.table.leave(&t.refused, inOrder, i)
	t.table.drop(i)
	t.refusals--
}

// left returns the topic if the session is not on it any more.
func (t *Tracker) left(topic uint64) uint64 {
	if t.On(topic) {
		return 0
	}
	return topic
}

// twin returns the subscription that is the same to upstream. One that upstream
// will give an ID is like no other before.
func (t *Tracker) twin(k *keys, identity part) place {
	if identity == byRequest {
		return nowhere
	}
	same := keys{given: 1 << identity, hash: k.hash}
	return t.table.find(&same, func(s *Subscription) rank { return goodIf(!s.refused && s.identity == identity) })
}

// reserve makes room for one more.
func (t *Tracker) reserve() {
	if n := t.table.used; n == cap(t.table.slots) {
		t.resize(max(n+1, n+n/2))
	}
}

// shrink gives room back once most of it is free.
func (t *Tracker) shrink() {
	switch n := t.table.used; {
	case n == 0:
		*t = Tracker{used: t.used}
	case n < cap(t.table.slots)/2:
		t.resize(n + n/2)
	}
}

func (t *Tracker) resize(size int) {
	old := *t
	t.table, t.counted, t.refused = newTable(size), nowhere, nowhere
	for i := range old.table.ring(old.counted) {
		t.table.enter(&t.counted, inOrder, t.table.put(*old.table.at(i)))
	}
	for i := range old.table.ring(old.refused) {
		t.table.enter(&t.refused, inOrder, t.table.put(*old.table.at(i)))
	}
}
