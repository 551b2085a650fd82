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
	pace   policies.Pace
	turn   time.Duration // how long a generation is young
	sweep  atomic.Int64  // the Moment to look at all shards
	shards [shards]rateShard
}

// rateShard has the debts of some keys in two generations: those that have taken
// something since the last turn, and those that did in the turn before and not
// since. A debt of the older generation is worked off when its turn is over.
type rateShard struct {
	mu         sync.Mutex
	next       policies.Moment // the turn's end
	young, old map[uint64]policies.Moment
	_          [32]byte // a shard has a cache line of its own
}

// full is how many entries a generation of a shard has at most: all shards
// together, two times half a million.
const full = 1 << 19 / shards

// NewRates returns a Rates in which nobody owes anything.
func NewRates(p policies.Pace) *Rates {
	return &Rates{pace: p, turn: max(time.Second, p.MaxDebt())}
}

// Take asks whether it may happen once more under key, and returns how long to
// wait until it may: zero if it may now. A refused take changes nothing. Keys are
// spread evenly and nobody can guess them, as those of AddressKey.
func (r *Rates) Take(key uint64, now policies.Moment) (wait time.Duration) {
	if !r.pace.On() {
		return 0
	}
	r.sweepAt(now)
	s := &r.shards[key%shards]
	s.mu.Lock()
	defer s.mu.Unlock()
	s.turnAt(now, r.turn)

	owed, isYoung := s.young[key]
	isOld := false
	if !isYoung {
		owed, isOld = s.old[key]
	}
	after, wait := r.pace.Take(owed, now)
	if wait > 0 {
		return wait
	}
	if isOld {
		delete(s.old, key)
	}
	if !isYoung && len(s.young) >= full {
		s.turn(now + r.turn)
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
		s.young[key] = r.pace.Return(owed)
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
	if int64(now) < due || !r.sweep.CompareAndSwap(due, int64(now+r.turn)) {
		return
	}
	for i := range r.shards {
		s := &r.shards[i]
		s.mu.Lock()
		s.turnAt(now, r.turn)
		s.mu.Unlock()
	}
}

// turnAt ends the generation's turn when it is over, and the one after that when
// that is over as well.
func (s *rateShard) turnAt(now policies.Moment, turn time.Duration) {
	if now < s.next {
		return
	}
	if now >= s.next+turn {
		s.young = nil
	}
	s.turn(now + turn)
}

// turn makes the young generation the old one, and forgets that. A map is left to
// the collector, as it would keep its size if it were emptied.
func (s *rateShard) turn(next policies.Moment) {
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
