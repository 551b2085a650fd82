// Package quota holds what sessions share: who has one under which limit, how
// often handshakes come, and how many sessions are on a topic. Connection limits
// are kept in this process's memory, or in Redis for several replicas.
package quota

import (
	"context"
	"errors"
	"fmt"
)

// Limit is how many leases may have a seat under a key at once.
type Limit struct {
	// Key names what is limited, such as the sessions of one address under one
	// policy. Equal keys are one limit, and have the same Max unless it was
	// changed meanwhile. Keys whose part in braces is the same, such as
	// "{passengers}ip:192.0.2.1", may be asked for together.
	Key string
	// Max is above zero.
	Max int
}

// Holder is who has a lease: a session, or what may become one.
type Holder interface {
	// Superseded tells that a newer holder has got the seat and waits for its
	// predecessor to go: the lease is to be given back soon. It is called at most
	// once, from any goroutine, perhaps before Admit has returned, perhaps after
	// Give. It must not block, and not call the Store.
	Superseded()
}

// Store seats leases under limits. All goroutines may use it.
type Store interface {
	// Admit seats a new lease under every limit, or under none. Where a limit is
	// full, the seat of a lease that is ending is taken over, or, if evict is set,
	// that of the oldest one, whose holder is told. Admit returns when those whose
	// seat was taken over have given their leases back, so that the new holder
	// never is there together with them.
	//
	// Under a limit there may be more than it allows: by Seat, or since it was
	// lowered. They stay, and nobody else gets in, or, if evict is set, the oldest
	// one goes for each newcomer. So Admit never makes more than the limit, or than
	// there were.
	//
	// The error is a *FullError, ErrTakeover, ErrSuperseded, ErrUnavailable, or
	// the context's. Then nothing has to be given back.
	Admit(ctx context.Context, holder Holder, limits []Limit, evict bool) (*Lease, error)
	// Seat seats a new lease under every limit, full or not: nobody is refused or
	// has to go, and nobody is waited for. The lease tells what Admit would have
	// met. From then on it counts as any other, and may be superseded by an Admit
	// that evicts: then it is as old as its Seat.
	//
	// It never fails: a store that cannot be asked within its timeout, whatever else
	// it does then, has this replica count alone.
	Seat(holder Holder, limits []Limit) *Lease
	// Reseat is Seat for a holder that has a lease already, under other limits: that
	// one is given back. No limit under which it had a seat counts it twice, or lets
	// somebody in meanwhile, as far as this replica knows.
	Reseat(instead *Lease, holder Holder, limits []Limit) *Lease
	// End tells that the holder is about to go: the lease no longer keeps anybody
	// out, but it is still waited for. It never blocks. A nil lease is none.
	End(*Lease)
	// Give gives a lease back: its holder is gone. It never blocks. A second call
	// does nothing. A nil lease is none.
	Give(*Lease)
	// Close frees what the store has. Nothing may be called afterwards but End and
	// Give, which then do nothing of use.
	Close() error
}

// FullError says that a limit is reached, and by whom is not to go.
type FullError struct {
	Index int // in the limits that Admit was asked for
	Limit Limit
}

func (e *FullError) Error() string {
	return fmt.Sprintf("%s: limit of %d reached", e.Limit.Key, e.Limit.Max)
}

var (
	// ErrTakeover: the one whose seat was taken over did not go in time. Its seat
	// is not free before it has.
	ErrTakeover = errors.New("the session before did not end in time")
	// ErrSuperseded: a still newer one took the seat meanwhile.
	ErrSuperseded = errors.New("superseded by a newer session")
	// ErrUnavailable: the store cannot be asked.
	ErrUnavailable = errors.New("the store cannot be reached")
)
