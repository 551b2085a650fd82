package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// fleet is a crowd of users who each come back after every end. Two fleets of
// one seed do the same things in the same order.
type fleet struct {
	addr string // that clients connect to
	options

	live          atomic.Int64   // clients that are connected and behave
	subscriptions atomic.Int64   // that they hold
	sessions      atomic.Int64   // opened so far
	cutOff        tally          // clients that were ended while they behaved
	refused       tally          // attempts to connect that came to nothing
	denied        atomic.Int64   // subscriptions
	struck        []atomic.Int64 // by index of fates

	// Clients of the past are kept reachable: the garbage collector would close
	// the connections of those that went without a word, and so tell of it.
	mu   sync.Mutex
	past []*client
}

// tally counts what should not happen and keeps the last reason.
type tally struct {
	atomic.Int64
	last atomic.Pointer[error]
}

func (t *tally) add(err error) {
	t.Add(1)
	t.last.Store(&err)
}

func newFleet(addr string, o options) *fleet {
	return &fleet{addr: addr, options: o, struck: make([]atomic.Int64, len(fates))}
}

// run returns when ctx is done and all clients that still behave have left.
func (f *fleet) run(ctx context.Context) {
	var all sync.WaitGroup
	for n := range f.clients {
		all.Go(func() { f.user(ctx, n) })
	}
	all.Wait()
}

func (f *fleet) user(ctx context.Context, n int) {
	chance := rand.New(rand.NewPCG(f.seed, uint64(n)))
	p, id, pnrs := identity(n)
	sleep(ctx, time.Duration(chance.Int64N(int64(500*time.Millisecond))))

	wait, failed := p.wait, 0
	for ctx.Err() == nil {
		c, err := open(f.addr, p, id, pnrs)
		if err != nil {
			f.refused.add(err)
			if failed++; failed == p.attempts {
				return
			}
			sleep(ctx, wait)
			wait = min(time.Duration(float64(wait)*p.growth), p.longest)
			continue
		}
		wait, failed = p.wait, 0
		f.session(ctx, c, chance)
		sleep(ctx, wait)
	}
}

// session is a client's time from open to its fate.
func (f *fleet) session(ctx context.Context, c *client, chance *rand.Rand) {
	life := time.Duration((0.1 + 0.4*chance.Float64()) * float64(f.duration))
	end := pick(chance)

	f.sessions.Add(1)
	f.denied.Add(int64(len(c.pnrs) - c.held))
	f.live.Add(1)
	f.subscriptions.Add(c.subscriptions())
	lasted := c.live(ctx.Done(), life)
	f.live.Add(-1)
	f.subscriptions.Add(-c.subscriptions())

	if !lasted {
		f.cutOff.add(c.why)
		return
	}
	if ctx.Err() != nil {
		end = 0
	}
	f.struck[end].Add(1)
	fates[end].strike(c)

	f.mu.Lock()
	defer f.mu.Unlock()
	f.past = append(f.past, c)
}

// manyPNRs is what a greedy client subscribes to.
const manyPNRs = 1000

// identity makes every thirtieth user an admin, another thirtieth of them greedy,
// and a sixth TTEs.
func identity(n int) (p portal, id string, pnrs []string) {
	switch {
	case n%30 == 0:
		return admin, fmt.Sprintf("ADMIN%03d", n), nil
	case n%6 == 1:
		return tte, fmt.Sprintf("TTE%03d", n), nil
	}
	many := 1 + n%2
	if n%30 == 15 {
		many = manyPNRs
	}
	for i := range many {
		pnrs = append(pnrs, fmt.Sprintf("%05d%05d", 17225+i, n))
	}
	return passenger, fmt.Sprintf("IR%04d", n), pnrs
}

// pick chooses an index of fates by their shares, which add up to 100.
func pick(chance *rand.Rand) int {
	roll := chance.IntN(100)
	for i, f := range fates {
		if roll -= f.share; roll < 0 {
			return i
		}
	}
	return 0
}

func sleep(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}
