package upstreams

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"time"

	"wswarden/policies"
)

// Tries is how many addresses Pick returns at most: with more, each would get too little
// of the time that there is for a dial.
const Tries = 5

// OpenError is the answer of Pick while the breakers of all addresses are open, and of
// Ready while those of all are that are well.
type OpenError struct {
	// RetryAfter is when the first of them lets a trial through. It is zero or more.
	RetryAfter time.Duration
}

// Error implements error.
func (e *OpenError) Error() string {
	return fmt.Sprintf("no address of upstream's answers; the next trial is in %s", e.RetryAfter)
}

var errNoServer = errors.New("upstream has no address")

// Pick returns the addresses that a handshake is to try, in this order: one at least,
// Tries at most.
//
// Without a key, those with the fewest sessions come first, by chance among equals. With
// one, the order is that of the key alone (rendezvous hashing): the same in all replicas,
// and as long as an address stays, so do its keys, whatever becomes of others. Either way
// those come last that health checks have found down, so that when all are, it is as if
// none were; and behind the others those of the family, IPv4 or IPv6, that a name's
// resolver does not prefer.
//
// An address whose breaker is open is not among them, but for one trial each time that
// breaker.retry_after is over. The trial comes first, or with a key, where the key has it:
// no other key is sent to an address that is not its own for that. A trial that nobody
// hears of, as its client has gone, makes room for another when a dial would be over. If
// no address is left, the error is an *OpenError.
//
// Pick may block for timeout, at most, while a name is looked up that has never had an
// answer. The error is that of the lookup then. With an answer from before it waits for
// patience at most.
func (p *Pool) Pick(key string, timeout time.Duration) ([]*Address, error) {
	members, err := p.await(context.Background(), timeout)
	if len(members) == 0 {
		return nil, err
	}
	now := p.book.now()
	var keyHash uint64
	if key != "" {
		keyHash = hash(key)
	}
	var closed shortlist
	var trial ranked
	for _, m := range members {
		due := m.open.Load() && m.wait(now) == 0
		if m.open.Load() && !due {
			continue
		}
		r := ranked{m.Address, m.rank(key != "", keyHash, due)}
		switch {
		case !due:
			closed.add(r)
		case trial.Address == nil || r.rank < trial.rank:
			trial = r
		}
	}
	order := make([]*Address, 0, Tries)
	if trial.Address != nil && (closed.n == 0 || trial.rank < closed.best[0].rank) && trial.admits(now) {
		order = append(order, trial.Address)
	}
	for _, r := range closed.best[:min(closed.n, Tries-len(order))] {
		order = append(order, r.Address)
	}
	if len(order) == 0 {
		return nil, &OpenError{RetryAfter: soonest(members, now)}
	}
	return order, nil
}

// soonest returns how long it is until one of the breakers lets a trial through.
func soonest(members []member, now policies.Moment) time.Duration {
	wait := members[0].wait(now)
	for _, m := range members[1:] {
		wait = min(wait, m.wait(now))
	}
	return wait
}

// ranked is an address that may be tried: the lower the rank, the sooner.
type ranked struct {
	*Address
	rank uint64
}

const (
	unwellRank = 1 << 63
	secondRank = 1 << 62
	lowRanks   = secondRank - 1
)

func (m member) rank(sticky bool, keyHash uint64, due bool) (rank uint64) {
	switch {
	case sticky:
		rank = mix(keyHash^m.hash) & lowRanks
	case due:
		rank = uint64(rand.Uint32())
	default:
		sessions := min(uint64(max(0, m.Sessions())), 1<<29)
		rank = (sessions+1)<<32 | uint64(rand.Uint32())
	}
	if m.unwell.Load() {
		rank |= unwellRank
	}
	if m.second {
		rank |= secondRank
	}
	return rank
}

// shortlist keeps the best, in order.
type shortlist struct {
	best [Tries]ranked
	n    int
}

func (l *shortlist) add(r ranked) {
	i := l.n
	if l.n < Tries {
		l.n++
	} else if i--; r.rank >= l.best[i].rank {
		return
	}
	for ; i > 0 && r.rank < l.best[i-1].rank; i-- {
		l.best[i] = l.best[i-1]
	}
	l.best[i] = r
}

// hash is the same in every process: replicas agree on where a key goes.
func hash(s string) uint64 {
	h := fnv.New64a()
	_, _ = io.WriteString(h, s)
	return mix(h.Sum64())
}

// mix has each bit depend on all of them (the last step of MurmurHash3, by Austin
// Appleby, in the public domain).
func mix(h uint64) uint64 {
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	h ^= h >> 33
	h *= 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}
