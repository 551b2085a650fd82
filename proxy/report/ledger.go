package report

import (
	"slices"
	"sync"
	"time"

	"wswarden/policies"
)

const (
	// Span is for how long sessions that have ended are remembered.
	Span = 2 * time.Hour
	// most is how many of a policy's they are, at most: 3.5 MiB.
	most = 1 << 16
	// chunk is how many are made room for, and forgotten, at a time.
	chunk = 256
)

// Ledger remembers sessions that have ended, and handshakes that were refused, by the
// name of their policy. The zero Ledger is ready; any goroutine may use it.
//
// Its lock is held for the copy of a Record, now and then for the making of room, and
// by a Report for that of a list of chunks: what is in these never changes.
type Ledger struct {
	mu   sync.Mutex
	past map[string]*past
}

// past is what is remembered of a policy.
type past struct {
	chunks [][]Record // the oldest first; in the last there may be room
	minutes
}

// Add remembers a session that has ended.
func (l *Ledger) Add(policy string, r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.of(policy)
	last := len(p.chunks) - 1
	if last < 0 || len(p.chunks[last]) == chunk {
		l.forget(r.Ended - Span)
		if len(p.chunks) == most/chunk {
			for _, old := range p.chunks[0] {
				p.at(old.Ended).forgotten++
			}
			p.chunks = slices.Delete(p.chunks, 0, 1)
		}
		p.chunks = append(p.chunks, make([]Record, 0, chunk))
		l.past[policy] = p
		last = len(p.chunks) - 1
	}
	p.chunks[last] = append(p.chunks[last], r)
}

// Refuse remembers that a handshake was refused. One that would have been, but was
// not, has a session with a Record.
func (l *Ledger) Refuse(policy string, why policies.Refusal, at policies.Moment) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.of(policy).at(at).refused[why]++
}

// Forget forgets all of a policy.
func (l *Ledger) Forget(policy string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.past, policy)
}

// of returns what is remembered of a policy. The caller has the lock.
func (l *Ledger) of(policy string) *past {
	p := l.past[policy]
	if p == nil {
		p = new(past)
		if l.past == nil {
			l.past = make(map[string]*past)
		}
		l.past[policy] = p
	}
	return p
}

// forget lets go of all that was over before a moment, of every policy: some may be
// gone, and never have a session again. The caller has the lock.
func (l *Ledger) forget(before policies.Moment) {
	for name, p := range l.past {
		old := 0
		for old < len(p.chunks) && p.chunks[old][len(p.chunks[old])-1].Ended < before {
			old++
		}
		p.chunks = slices.Delete(p.chunks, 0, old)
		if len(p.chunks) == 0 && p.newest < minuteOf(before) {
			delete(l.past, name)
		}
	}
}

// between returns the sessions of a policy that have ended from one moment to another,
// and what else is known of that time. They are not to be changed.
func (l *Ledger) between(policy string, from, to policies.Moment) (sample, minute) {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := sample{from: from, to: to}
	p := l.past[policy]
	if p == nil {
		return s, minute{}
	}
	s.parts = slices.Clone(p.chunks)
	return s, p.sum(from, to)
}

// minute is how often something happened in one, or in several.
type minute struct {
	number    int64 // since the process began, from 1; 0: there was none
	forgotten int   // sessions that ended then
	refused   [refusals]int
}

// refusals is how many kinds there may be: the bits of Record.Refusals.
const refusals = 16

// minutes are those of Span that count something.
type minutes struct {
	ring   []minute // by number; empty: nothing was counted
	newest int64
}

func minuteOf(at policies.Moment) int64 { return int64(at/time.Minute) + 1 }

// at returns the minute of a moment, to be counted in; what is older than the Span is
// told to nobody.
func (m *minutes) at(moment policies.Moment) *minute {
	if m.ring == nil {
		m.ring = make([]minute, Span/time.Minute+1)
	}
	number := minuteOf(moment)
	slot := &m.ring[number%int64(len(m.ring))]
	switch {
	case slot.number > number:
		return new(minute)
	case slot.number < number:
		*slot = minute{number: number}
		m.newest = max(m.newest, number)
	}
	return slot
}

// sum adds up whole minutes, the first and the last of which may reach beyond.
func (m *minutes) sum(from, to policies.Moment) (sum minute) {
	for i := range m.ring {
		slot := &m.ring[i]
		if slot.number < minuteOf(from) || slot.number > minuteOf(to) {
			continue
		}
		sum.forgotten += slot.forgotten
		for why, n := range slot.refused {
			sum.refused[why] += n
		}
	}
	return sum
}
