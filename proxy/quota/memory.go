package quota

import (
	"context"
	"sync"
	"time"
)

// Memory is the Store of a single replica.
type Memory struct {
	takeover time.Duration
	// changed is told of each lease that begins to end, or is given back; mu is
	// held. Nil: nobody wants to know.
	changed func(*Lease)

	mu   sync.Mutex // held for a few steps in maps and lists, never for anything else
	rows map[string]*row
}

// row are the seats under one key, in the order in which they are to be taken
// over: those of leases that are ending, then by age, the oldest first. Who is
// taken over keeps its seat until it goes, so a row may be longer than its limit:
// the newcomer waits for as many as it is too long by. Whoever of those that are
// there came last has waited until it was one of as many as may be.
//
// There may be more than that who are not ending: by Seat, or since the limit was
// lowered. The newcomer does not wait for these but for one, in whose place it
// comes; to have them all go would end the sessions that were to stay.
type row struct {
	first, last *seat
	n           int
	ending      int // of these n
}

// kept is how many seats are those of leases that are not ending.
func (r *row) kept() int { return r.n - r.ending }

// NewMemory returns an empty store. Takeover bounds how long Admit waits for those
// whose seat was taken over; it is above zero.
func NewMemory(takeover time.Duration) *Memory {
	return &Memory{takeover: takeover, rows: make(map[string]*row)}
}

// Admit is Store's.
func (m *Memory) Admit(ctx context.Context, holder Holder, limits []Limit, evict bool) (*Lease, error) {
	l := newLease(holder, limits)
	before, err := m.admit(l, limits, evict)
	if err != nil {
		return nil, err
	}
	if err := m.await(ctx, l, before); err != nil {
		return nil, err
	}
	return l, nil
}

// admit seats l, and returns those that it has to wait for.
func (m *Memory) admit(l *Lease, limits []Limit, evict bool) (before []*Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// First all is decided, then all is done.
	for i, limit := range limits {
		r := m.rows[limit.Key]
		if r == nil {
			continue
		}
		excess := r.n + 1 - max(limit.Max, r.kept())
		for _, goes := range before {
			if goes.seatIn(r) {
				excess-- // who has to go for another limit's sake goes here as well
			}
		}
		for s := r.first; s != nil && excess > 0; s = s.next {
			if s.lease.goesFor == l {
				continue
			}
			if !s.lease.ending && !evict {
				return nil, &FullError{Index: i, Limit: limit}
			}
			s.lease.goesFor = l
			before = append(before, s.lease)
			excess--
		}
	}
	for _, goes := range before {
		m.supersede(goes)
	}
	m.add(l)
	return before, nil
}

// add seats l, whatever the limits.
func (m *Memory) add(l *Lease) {
	for i := range l.seats {
		s := &l.seats[i]
		r := m.rows[s.key]
		if r == nil {
			r = new(row)
			m.rows[s.key] = r
		}
		r.append(s)
		if l.ending {
			r.toFront(s)
		}
		s.among = int32(r.kept())
	}
}

// Seat is Store's. It does not block.
func (m *Memory) Seat(holder Holder, limits []Limit) *Lease {
	l := newLease(holder, limits)
	m.mu.Lock()
	defer m.mu.Unlock()
	m.add(l)
	return l
}

// Reseat is Store's. It does not block.
func (m *Memory) Reseat(instead *Lease, holder Holder, limits []Limit) *Lease {
	l := newLease(holder, limits)
	m.mu.Lock()
	defer m.mu.Unlock()
	if instead != nil {
		m.give(instead)
	}
	m.add(l)
	return l
}

// supersede has the holder told that it has to go, and is waited for.
func (m *Memory) supersede(l *Lease) {
	if l.gone == nil {
		l.gone = make(chan struct{})
	}
	m.end(l)
	if !l.superseded {
		l.superseded = true
		if l.waits != nil {
			close(l.waits)
		}
		l.holder.Superseded()
	}
}

// await returns when all of before are given back. If they are not in time, or l is
// superseded itself, it is given back instead: as long as those before are there, it
// never was.
func (m *Memory) await(ctx context.Context, l *Lease, before []*Lease) error {
	if len(before) == 0 {
		return nil
	}
	waits := make(chan struct{})
	m.mu.Lock()
	if l.waits = waits; l.superseded {
		close(waits)
	}
	m.mu.Unlock()
	timer := time.NewTimer(m.takeover)
	defer timer.Stop()
	for _, goes := range before {
		var err error
		select {
		case <-goes.gone:
			continue
		case <-waits:
			err = ErrSuperseded
		case <-timer.C:
			err = ErrTakeover
		case <-ctx.Done():
			err = ctx.Err()
		}
		m.Give(l)
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if l.waits = nil; l.superseded {
		m.give(l)
		return ErrSuperseded
	}
	l.tookOver = true
	return nil
}

// End is Store's.
func (m *Memory) End(l *Lease) {
	if l == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end(l)
}

func (m *Memory) end(l *Lease) {
	if l.ending || l.given {
		return
	}
	l.ending = true
	for i := range l.seats {
		if s := &l.seats[i]; s.row != nil {
			s.row.toFront(s)
		}
	}
	m.tell(l)
}

// tell tells that l has changed.
func (m *Memory) tell(l *Lease) {
	if m.changed != nil {
		m.changed(l)
	}
}

// Give is Store's.
func (m *Memory) Give(l *Lease) {
	if l == nil {
		return
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.give(l)
}

func (m *Memory) give(l *Lease) {
	if l.given {
		return
	}
	l.given = true
	for i := range l.seats {
		m.remove(&l.seats[i])
	}
	if l.gone != nil {
		close(l.gone)
	}
	m.tell(l)
}

// Close is Store's.
func (m *Memory) Close() error { return nil }

// Len returns how many seats there are under the key.
func (m *Memory) Len(key string) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	if r := m.rows[key]; r != nil {
		return r.n
	}
	return 0
}

// Keys returns how many keys have a seat.
func (m *Memory) Keys() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.rows)
}

// Seats returns how many seats there are under all keys.
func (m *Memory) Seats() (n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, r := range m.rows {
		n += r.n
	}
	return n
}

// remove takes a seat out of its row.
func (m *Memory) remove(s *seat) {
	r := s.row
	if r == nil {
		return
	}
	r.unlink(s)
	if s.lease.ending {
		r.ending--
	}
	s.row = nil
	if r.n == 0 {
		delete(m.rows, s.key)
	}
}

func (r *row) append(s *seat) {
	s.row, s.prev, s.next = r, r.last, nil
	if r.last == nil {
		r.first = s
	} else {
		r.last.next = s
	}
	r.last = s
	r.n++
}

// toFront has s be the first, as its lease begins to end.
func (r *row) toFront(s *seat) {
	r.unlink(s)
	r.ending++
	s.prev, s.next = nil, r.first
	if r.first == nil {
		r.last = s
	} else {
		r.first.prev = s
	}
	r.first = s
	r.n++
}

func (r *row) unlink(s *seat) {
	if s.prev == nil {
		r.first = s.next
	} else {
		s.prev.next = s.next
	}
	if s.next == nil {
		r.last = s.prev
	} else {
		s.next.prev = s.prev
	}
	s.prev, s.next = nil, nil
	r.n--
}
