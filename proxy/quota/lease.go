package quota

import "math"

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

// seat is a place in a row.
type seat struct {
	lease      *Lease
	key        string
	row        *row // nil: not seated yet, or given back
	prev, next *seat
	among, max int32 // see Lease.Among; the limit
}

func newLease(holder Holder, limits []Limit) *Lease {
	l := &Lease{holder: holder, seats: make([]seat, len(limits))}
	for i, limit := range limits {
		l.seats[i] = seat{lease: l, key: limit.Key, max: int32(min(limit.Max, math.MaxInt32))}
	}
	return l
}

// TookOver reports whether somebody had to go for the lease: Admit has waited. It may
// be called by whom Admit has returned to. A nil lease has not.
func (l *Lease) TookOver() bool { return l != nil && l.tookOver }

// Among returns how many seats there are under the i-th limit that was asked for
// together with the lease's own, as it was when the lease was seated: of all
// replicas, or, where the store could not be asked, of this one. Leases that are
// ending do not count, nor those that had to go for this one. It may be called by
// whom Admit or Seat has returned to. A nil lease is among none.
func (l *Lease) Among(i int) int {
	if l == nil {
		return 0
	}
	return int(l.seats[i].among)
}

// Exceeds reports whether there were more under the i-th limit than it allows when the
// lease was seated, by Among. A nil lease exceeds none.
func (l *Lease) Exceeds(i int) bool { return l != nil && l.seats[i].among > l.seats[i].max }

// Seats returns how many it has. A nil lease has none.
func (l *Lease) Seats() int {
	if l == nil {
		return 0
	}
	return len(l.seats)
}

// Under reports whether the lease was made with a seat under the key. A nil lease has
// none.
func (l *Lease) Under(key string) bool {
	if l == nil {
		return false
	}
	for i := range l.seats { // not by value: what else is in a seat is the store's
		if l.seats[i].key == key {
			return true
		}
	}
	return false
}

func (l *Lease) seatIn(r *row) bool {
	for i := range l.seats {
		if l.seats[i].row == r {
			return true
		}
	}
	return false
}
