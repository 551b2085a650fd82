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
type row struct {
	first, last *seat
	n           int
}

// seat is a place in a row.
type seat struct {
	lease      *Lease
	key        string
	row        *row // nil: not seated yet, or given back
	prev, next *seat
}

// Lease is a holder's right to be there. It is made by a Store, which alone
// changes it.
type Lease struct {
	holder Holder
	seats  []seat
	shared *shared // nil: it is known to this process only

	ending     bool
	superseded bool // the holder was told
	given      bool
	tookOver   bool
	gone       chan struct{} // closed when the lease is given back; nil: nobody waits for that
	waits      chan struct{} // closed when it is superseded; nil: it waits for nobody
	goesFor    *Lease        // the last one for whose sake it may have to go
}

// NewMemory returns an empty store. Takeover bounds how long Admit waits for those
// whose seat was taken over; it is above zero.
func NewMemory(takeover time.Duration) *Memory {
	return &Memory{takeover: takeover, rows: make(map[string]*row)}
}

// Admit is Store's.
func (m *Memory) Admit(ctx context.Context, holder Holder, limits []Limit, evict bool) (*Lease, error) {
	l := newLease(holder, limits)
	before, err := m.seat(l, limits, evict)
	if err != nil {
		return nil, err
	}
	if err := m.await(ctx, l, before); err != nil {
		return nil, err
	}
	return l, nil
}

func newLease(holder Holder, limits []Limit) *Lease {
	l := &Lease{holder: holder, seats: make([]seat, len(limits))}
	for i, limit := range limits {
		l.seats[i] = seat{lease: l, key: limit.Key}
	}
	return l
}

// seat seats l, and returns those that it has to wait for.
func (m *Memory) seat(l *Lease, limits []Limit, evict bool) (before []*Lease, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	// First all is decided, then all is done.
	for i, limit := range limits {
		r := m.rows[limit.Key]
		if r == nil {
			continue
		}
		excess := r.n + 1 - limit.Max
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
	}
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

// TookOver reports whether somebody had to go for the lease: Admit has waited. It may
// be called by whom Admit has returned to. A nil lease has not.
func (l *Lease) TookOver() bool { return l != nil && l.tookOver }

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
	s.row = nil
	if r.n == 0 {
		delete(m.rows, s.key)
	}
}

func (l *Lease) seatIn(r *row) bool {
	for i := range l.seats {
		if l.seats[i].row == r {
			return true
		}
	}
	return false
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

func (r *row) toFront(s *seat) {
	r.unlink(s)
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
