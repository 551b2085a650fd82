package quota

import (
	"context"
	"slices"
	"strings"
	"time"
)

// Replicas tell each other, each in a channel of its own:
//
//	over <lease> <replica>   your lease was taken over; that replica waits for it
//	                         to be given back
//	here <lease>             the lease that you wait for is still held
//	gone <lease>             it was given back, or never heard of
//	hello                    to itself: the channel works
//
// A message may be lost, so "over" is said again while there is no "gone".

// message is one for a replica.
type message struct{ replica, text string }

// absence is a lease of another replica that is waited for.
type absence struct {
	lease *Lease    // stands for it, and is given back with it
	until time.Time // when it has expired, unless "here" is heard
	// doubted is since when it seems to have expired. Zero: it does not. It may be
	// this replica that stood still, and "here" may be in the inbox.
	doubted time.Time
}

// maxOutbox is how many messages may wait for being sent. Those beyond are lost.
const maxOutbox = 10_000

func channelOf(replica string) string { return "wswarden:replica:" + replica }

// listen reads the inbox until it is closed.
func (r *Redis) listen() {
	defer close(r.heard)
	ctx, cancel := context.WithTimeout(context.Background(), r.options.ConnectTimeout)
	_ = r.inbox.Subscribe(ctx, channelOf(r.replica)) // what fails is tried again by itself
	cancel()
	for m := range r.inbox.Channel() {
		r.receive(m.Payload)
	}
}

func (r *Redis) receive(text string) {
	word, rest, _ := strings.Cut(text, " ")
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	switch word {
	case "over":
		name, replica, _ := strings.Cut(rest, " ")
		r.receiveOver(name, replica)
	case "here":
		if a := r.absent[rest]; a != nil {
			a.until, a.doubted = r.now().Add(r.options.Lease), time.Time{}
		}
	case "gone":
		if a := r.absent[rest]; a != nil {
			r.gone(rest, a)
		} else {
			r.early[rest] = r.now()
		}
	case "hello":
		select {
		case r.hello <- struct{}{}:
		default:
		}
	}
}

func (r *Redis) receiveOver(name, replica string) {
	l := r.leases[name]
	if l == nil {
		r.send(replica, "gone "+name)
		return
	}
	r.local.supersede(l)
	if !slices.Contains(l.shared.waiting, replica) {
		l.shared.waiting = append(l.shared.waiting, replica)
	}
	r.send(replica, "here "+name)
}

// miss returns what stands for a lease of another replica that has to go; nil if
// it is gone already. local.mu is held.
func (r *Redis) miss(p predecessor) *Lease {
	if _, ok := r.early[p.name]; ok {
		return nil
	}
	a := r.absent[p.name]
	if a == nil {
		a = &absence{lease: &Lease{gone: make(chan struct{})}}
		r.absent[p.name] = a
	}
	if until := r.now().Add(p.left); until.After(a.until) {
		a.until = until
	}
	return a.lease
}

func (r *Redis) gone(name string, a *absence) {
	delete(r.absent, name)
	r.local.give(a.lease)
}

// remind asks again for what is still waited for, and no longer waits for what has
// expired.
func (r *Redis) remind() {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	now := r.now()
	for name, a := range r.absent {
		switch {
		case !now.After(a.until):
		case a.doubted.IsZero():
			a.doubted = now
		case now.Sub(a.doubted) > r.options.Timeout:
			r.gone(name, a)
			continue
		}
		r.send(replicaOf(name), "over "+name+" "+r.replica)
	}
	// An answer that came before it was waited for: the admission that it belongs
	// to has ended meanwhile.
	for name, at := range r.early {
		if now.Sub(at) > r.options.Timeout+time.Second {
			delete(r.early, name)
		}
	}
}

// send never blocks. local.mu is held.
func (r *Redis) send(replica, text string) {
	if len(r.outbox) < maxOutbox && !r.closed {
		r.outbox = append(r.outbox, message{replica, text})
		r.signal()
	}
}
