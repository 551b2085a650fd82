package quota

import (
	"hash/maphash"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"wswarden/policies"
)

// Rates holds many to one pace, each by itself: those with the same key share what
// they may. All goroutines may use it.
//
// What it remembers is bounded: a million entries at most, and one whose debt is
// worked off leaves soon. A flood of addresses makes older entries leave before
// that. What is forgotten admits and never refuses, so that the flood keeps nobody
// out. Nor does it help who has sent it: for one debt to be forgotten, half a
// million other addresses at least must have been admitted since, and with each of
// these the sender spent what it might have had from it anyhow. It takes more
// addresses than that, each used again sooner than the pace allows, to come out
// ahead; against those helps a limit for all together.
type Rates struct {
	turn   atomic.Int64 // that of the shards, a Duration
	sweep  atomic.Int64 // the Moment to look at all shards
	shards [shards]rateShard
}

// rateShard has the debts of some keys in two generations: those that have taken
// something since the last turn, and those that did in the turn before and not
// since. A debt of the older generation is worked off when its turn is over.
type rateShard struct {
	mu         sync.Mutex
	pace       policies.Pace
	turn       time.Duration   // how long a generation is young
	next       policies.Moment // the turn's end
	young, old map[uint64]policies.Moment
	_          [8]byte // a shard has a cache line of its own
}

// full is how many entries a generation of a shard has at most: all shards
// together, two times half a million.
const full = 1 << 19 / shards

// NewRates returns a Rates in which nobody owes anything.
func NewRates(p policies.Pace) *Rates {
	r := new(Rates)
	r.Change(p, 0)
	return r
}

// Change has all keep to another pace from now on, and forgets nobody's debt: it is
// worked off at the moment at which it would have been, but no later than that of
// one who owes all that the new pace lets anybody owe. So who is refused by a strict
// pace need not wait for long once it is a loose one, and who has taken little of a
// loose pace may take what a strict one leaves. A pace that is off forgets all. One
// Change at a time.
func (r *Rates) Change(p policies.Pace, now policies.Moment) {
	turn := max(time.Second, p.MaxDebt())
	for i := range r.shards {
		r.shards[i].change(p, turn, now)
	}
	r.turn.Store(int64(turn))
	r.sweep.Store(int64(now)) // it may have been far off
}

// Take asks whether it may happen once more under key, and returns how long to
// wait until it may: zero if it may now. A refused take changes nothing. Keys are
// spread evenly and nobody can guess them, as those of AddressKey.
func (r *Rates) Take(key uint64, now policies.Moment) (wait time.Duration) {
	r.sweepAt(now)
	s := &r.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.pace.On() {
		return 0
	}
	s.turnAt(now)

	owed, isYoung := s.young[key]
	isOld := false
	if !isYoung {
		owed, isOld = s.old[key]
	}
	after, wait := s.pace.Take(owed, now)
	if wait > 0 {
		return wait
	}
	if isOld {
		delete(s.old, key)
	}
	if !isYoung && len(s.young) >= full {
		s.turnOver(now + s.turn)
	}
	if s.young == nil {
		s.young = make(map[uint64]policies.Moment)
	}
	s.young[key] = after
	return 0
}

// Return takes back a Take under key that was of no use.
func (r *Rates) Return(key uint64) {
	s := &r.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	if owed, ok := s.young[key]; ok {
		s.young[key] = s.pace.Return(owed)
	}
}

// Len returns how many entries there are, also of those who owe nothing any more.
func (r *Rates) Len() (n int) {
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		n += len(s.young) + len(s.old)
		s.mu.Unlock()
	}
	return n
}

// sweepAt looks at all shards once a turn, so that what a flood has left goes even
// if only one client comes after it.
func (r *Rates) sweepAt(now policies.Moment) {
	due := r.sweep.Load()
	if int64(now) < due || !r.sweep.CompareAndSwap(due, int64(now)+r.turn.Load()) {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.turnAt(now)
		s.mu.Unlock()
	}
}

func (s *rateShard) change(p policies.Pace, turn time.Duration, now policies.Moment) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnAt(now) // by the old pace
	s.pace, s.turn, s.next = p, turn, min(s.next, now+turn)
	most := now + p.MaxDebt()
	for _, debts := range []map[uint64]policies.Moment{s.young, s.old} {
		for key, owed := range debts {
			debts[key] = min(owed, most)
		}
	}
}

// turnAt ends the generation's turn when it is over, and the one after that when
// that is over as well.
func (s *rateShard) turnAt(now policies.Moment) {
	if now < s.next {
		return
	}
	if now >= s.next+s.turn {
		s.young = nil
	}
	s.turnOver(now + s.turn)
}

// turnOver makes the young generation the old one, and forgets that. A map is left to
// the collector, as it would keep its size if it were emptied.
func (s *rateShard) turnOver(next policies.Moment) {
	s.young, s.old, s.next = nil, s.young, next
}

// addressSeed differs in every process, so that nobody can choose addresses that
// share a key or a shard.
var addressSeed = maphash.MakeSeed()

// AddressKey returns the key of an address for Rates, which it shares with all of
// its Group.
func AddressKey(addr netip.Addr) uint64 {
	bytes := Group(addr).As16()
	return maphash.Bytes(addressSeed, bytes[:])
}

// Group returns what stands for all addresses that one client may use as it
// likes: of IPv6, its network of 64 bits, without a zone; of IPv4, the address
// itself, also where it was written as IPv6.
func Group(addr netip.Addr) netip.Addr {
	addr = addr.Unmap()
	if !addr.Is6() {
		return addr
	}
	network, _ := addr.Prefix(64) // an IPv6 address has 64 bits
	return network.Addr()
}
