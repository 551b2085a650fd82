package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"
)

// fillTime is how long broadcasts take to fill the system's buffers between
// wswarden and a client that reads nothing. Only then can it be seen to stall.
const fillTime = 5 * time.Second

// enoughHeap is where the direct backend has shown what it can do.
const enoughHeap = 1 << 30

// demo is the two sides, and wswarden in one of them.
type demo struct {
	out            io.Writer
	direct, warded *side
	wswarden       *child
	peak           uint64 // of wswarden's heap, in bytes
	began          time.Time
}

// side is one backend and the fleet that uses it.
type side struct {
	backend *child
	fleet   *fleet
	empty   health // the backend before its first client
}

// demonstrate prints what happens on both sides, and the verdict. It returns
// nil if the direct backend has leaked and wswarden left nothing in the other.
func demonstrate(ctx context.Context, o options, out io.Writer) error {
	plain, err := start(roleBackend, o.ping.String())
	if err != nil {
		return err
	}
	defer plain.stop()
	behind, err := start(roleBackend, o.ping.String())
	if err != nil {
		return err
	}
	defer behind.stop()
	wswarden, err := start(roleWswarden, behind.addr, o.admin)
	if err != nil {
		return err
	}
	defer wswarden.stop()

	d := demo{out: out, wswarden: wswarden}
	if d.direct, err = newSide(plain, plain.addr, o); err != nil {
		return err
	}
	if d.warded, err = newSide(behind, wswarden.addr, o); err != nil {
		return err
	}
	return d.run(ctx, o)
}

func newSide(backend *child, addr string, o options) (*side, error) {
	empty, err := backend.measure()
	return &side{backend, newFleet(addr, o), empty}, err
}

// run lets the fleets come and go, then leave, then gives wswarden the time
// that it needs for those who did not say goodbye.
func (d *demo) run(ctx context.Context, o options) error {
	policy, err := readPolicy()
	if err != nil {
		return err
	}
	printHeader(d.out, o, policy.Subscriptions.Max, d.wswarden.admin)
	d.began = time.Now()

	busy, leave := context.WithCancel(ctx)
	defer leave()
	var fleets sync.WaitGroup
	fleets.Go(func() { d.direct.fleet.run(busy) })
	fleets.Go(func() { d.warded.fleet.run(busy) })
	err = d.watch(ctx, o.duration, func(direct, _ row) bool { return direct.heap > enoughHeap })
	leave()
	fleets.Wait()
	if err != nil {
		return err
	}

	left := time.Now()
	if err := d.watch(ctx, supervisionTime(policy), func(_, warded row) bool { return warded.sockets+warded.stale == 0 }); err != nil {
		return err
	}
	return d.conclude(time.Since(left), policy.Subscriptions.Max)
}

// watch prints a line a second for the given time, or until a line was enough.
func (d *demo) watch(ctx context.Context, span time.Duration, enough func(direct, warded row) bool) error {
	second := time.NewTicker(time.Second)
	defer second.Stop()
	for until := time.Now().Add(span); time.Now().Before(until); {
		select {
		case <-ctx.Done():
			return errors.New("interrupted, so there is no verdict")
		case <-d.wswarden.gone:
			return errors.New("wswarden has ended")
		case <-second.C:
		}
		direct, err := d.direct.row()
		if err != nil {
			return err
		}
		warded, err := d.warded.row()
		if err != nil {
			return err
		}
		own, err := d.wswarden.measure()
		if err != nil {
			return err
		}
		d.peak = max(d.peak, own.Heap)
		printRows(d.out, time.Since(d.began), direct, warded)
		if enough(direct, warded) {
			break
		}
	}
	return nil
}

// row is one side at one moment. A socket is a zombie, and a subscription
// stale, if no client that behaves has it.
type row struct {
	sockets, live, zombies, stale int
	queued, heap                  uint64
}

func (s *side) row() (row, error) {
	h, err := s.backend.measure()
	live, held := int(s.fleet.live.Load()), int(s.fleet.subscriptions.Load())
	return row{
		sockets: h.Clients,
		live:    live,
		zombies: max(h.Clients-live, 0), // a client may come between the two counts
		stale:   max(h.Subscriptions-held, 0),
		queued:  h.Queued,
		heap:    h.Heap,
	}, err
}

// conclude prints what is left some time after the last client has left, and
// returns the verdict.
func (d *demo) conclude(waited time.Duration, limit int) error {
	direct, err := d.direct.outcome()
	if err != nil {
		return err
	}
	warded, err := d.warded.outcome()
	if err != nil {
		return err
	}
	own, err := d.wswarden.measure()
	if err != nil {
		return err
	}
	printOutcome(d.out, waited, direct, warded)
	printCost(d.out, d.peak, own)
	return verdict(d.out, direct, warded, limit)
}

// outcome is what a side has come to when no client that behaves is left.
type outcome struct {
	left  health
	grown uint64 // bytes that the backend's heap has grown by
	fleet *fleet
}

func (s *side) outcome() (outcome, error) {
	h, err := s.backend.measure()
	return outcome{h, h.Heap - min(s.empty.Heap, h.Heap), s.fleet}, err
}

// clean reports whether the backend holds nothing for clients any more.
func (o outcome) clean() bool {
	return o.left.Clients+o.left.Subscriptions+o.left.Timers == 0
}

// verdict is nil if wswarden has stopped a leak that is real, has let no client
// hold more PNRs than the limit, and has turned none away.
func verdict(out io.Writer, direct, warded outcome, limit int) error {
	if why := warded.fleet.refused.last.Load(); why != nil {
		return fmt.Errorf("%d times a client could not connect through wswarden: %w", warded.fleet.refused.Load(), *why)
	}
	zombies, stale := direct.left.Clients, direct.left.Subscriptions
	switch {
	case !warded.clean():
		return fmt.Errorf("behind wswarden %d zombies, %d subscriptions and %d timers are left",
			warded.left.Clients, warded.left.Subscriptions, warded.left.Timers)
	case warded.left.MostPNRs > limit:
		return fmt.Errorf("behind wswarden a client held %d PNRs, and the limit is %d", warded.left.MostPNRs, limit)
	case zombies == 0:
		return errors.New("the direct backend holds no zombie either, so this run proves nothing")
	default:
		fmt.Fprintf(out, "\nVerdict: %d zombies and %d stale subscriptions cost the direct backend %s MB.\n"+
			"Behind wswarden none is left, and no client held more than %d PNRs.\n",
			zombies, stale, megabytes(direct.grown), warded.left.MostPNRs)
		return nil
	}
}
