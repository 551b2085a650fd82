package policies

import (
	"iter"

	"wswarden/policies/dialects"
)

// A Tracker's subscriptions lie in one slice and refer to each other by their
// places in it, which start at 1. They form rings, entered at the oldest member: one
// of those that are counted, one of those that were refused, and for each part of a
// record that can name a subscription, one for each bucket of a hash table.

// part of a record that can name a subscription.
type part uint8

const (
	byTopic part = iota
	byID
	byRequest
	parts

	inOrder = parts // the ring of the counted, or of the refused
	rings   = parts + 1
)

// keys are what a record's parts hold.
type keys struct {
	hash  [parts]uint64
	given uint8 // a bit for each part
}

func keysOf(r *dialects.Record) (k keys) {
	for p, v := range [parts]dialects.Value{byTopic: r.Topic, byID: r.ID, byRequest: r.Request} {
		if v.Usable() {
			k.set(part(p), v.Hash())
		}
	}
	return k
}

func (k *keys) set(p part, hash uint64) {
	k.hash[p] = hash
	k.given |= 1 << p
}

func (k *keys) has(p part) bool { return k.given>>p&1 != 0 }

// agree reports whether the other keys hold all that these do.
func (k *keys) agree(other *keys) bool {
	for p := range parts {
		if k.has(p) && (!other.has(p) || k.hash[p] != other.hash[p]) {
			return false
		}
	}
	return k.given != 0
}

// place of a subscription in the table.
type place int32

const nowhere place = 0

type link struct{ next, prev place }

// table holds subscriptions. The zero table has room for none.
type table struct {
	slots   []Subscription
	used    int
	free    place   // the first that was given back; they are linked by next, in order
	buckets []place // for each part as many, a power of two
}

func newTable(size int) table {
	buckets := 1
	for buckets*2 <= size {
		buckets *= 2
	}
	return table{slots: make([]Subscription, 0, size), buckets: make([]place, int(parts)*buckets)}
}

func (t *table) at(i place) *Subscription { return &t.slots[i-1] }

// put takes a place for the subscription, and enters it into the buckets. There
// must be room.
func (t *table) put(s Subscription) place {
	i := t.free
	if i != nowhere {
		t.free = t.at(i).rings[inOrder].next
	} else {
		t.slots = t.slots[:len(t.slots)+1]
		i = place(len(t.slots))
	}
	t.used++
	*t.at(i) = s
	t.index(i)
	return i
}

// drop gives a place back. It must have been taken out of its ring in order.
func (t *table) drop(i place) {
	t.unindex(i)
	*t.at(i) = Subscription{}
	t.at(i).rings[inOrder].next = t.free
	t.free = i
	t.used--
}

func (t *table) index(i place) {
	k := t.at(i).keys
	for p := range parts {
		if k.has(p) {
			t.enter(t.bucket(p, k.hash[p]), p, i)
		}
	}
}

func (t *table) unindex(i place) {
	k := t.at(i).keys
	for p := range parts {
		if k.has(p) {
			t.leave(t.bucket(p, k.hash[p]), p, i)
		}
	}
}

func (t *table) bucket(p part, hash uint64) *place {
	n := len(t.buckets) / int(parts)
	return &t.buckets[int(p)*n+int(hash&uint64(n-1))]
}

// ring returns the members of a ring in order, the oldest first.
func (t *table) ring(oldest place) iter.Seq[place] {
	return func(yield func(place) bool) {
		for i := oldest; i != nowhere && yield(i); {
			if i = t.at(i).rings[inOrder].next; i == oldest {
				return
			}
		}
	}
}

// enter makes i the youngest member of a ring.
func (t *table) enter(oldest *place, r part, i place) {
	if *oldest == nowhere {
		*oldest = i
	}
	first := &t.at(*oldest).rings[r]
	if *oldest == i {
		*first = link{i, i}
		return
	}
	t.at(i).rings[r] = link{next: *oldest, prev: first.prev}
	t.at(first.prev).rings[r].next = i
	first.prev = i
}

func (t *table) leave(oldest *place, r part, i place) {
	l := t.at(i).rings[r]
	t.at(l.prev).rings[r].next = l.next
	t.at(l.next).rings[r].prev = l.prev
	switch {
	case l.next == i:
		*oldest = nowhere
	case *oldest == i:
		*oldest = l.next
	}
}

// patience is how many subscriptions of a bucket are looked at. There are more
// only if a client names very many alike, and then finds itself with too many.
const patience = 128

// find returns the subscription that agrees with the keys and ranks highest; of
// several, as a rule, the one that has had these keys for the longest time.
func (t *table) find(k *keys, rank func(*Subscription) rank) (best place) {
	if t.used == 0 || k.given == 0 {
		return nowhere
	}
	p := byTopic
	switch {
	case k.has(byID):
		p = byID
	case k.has(byRequest):
		p = byRequest
	}
	oldest := *t.bucket(p, k.hash[p])
	highest := unfit
	for i, n := oldest, patience; i != nowhere && n > 0 && highest < good; n-- {
		s := t.at(i)
		if k.agree(&s.keys) {
			if r := rank(s); r > highest {
				best, highest = i, r
			}
		}
		if i = s.rings[p].next; i == oldest {
			break
		}
	}
	return best
}
