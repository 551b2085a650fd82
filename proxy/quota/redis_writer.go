package quota

import (
	"context"
	_ "embed"
	"slices"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// One goroutine, the writer, tells Redis what happens to leases after they were
// admitted, so that nothing overtakes anything: a lease that was given back is not
// renewed behind that.

//go:embed update.lua
var updateSource string

var updateScript = redis.NewScript(updateSource)

const (
	// maxSeats is about how many seats one request is about, so that Redis is not
	// kept from others for long.
	maxSeats = 500
	// maxMessages is how many messages go into one pipeline.
	maxMessages = 500
	// maxQueue is how many leases may wait for the writer. Beyond, all are left to
	// the next renewal, or to expire.
	maxQueue = 1 << 16
	// retryEvery is how long Redis is left alone after it has failed.
	retryEvery = 500 * time.Millisecond
	// remindEvery is how often, at least, other replicas are asked again.
	remindEvery = time.Second
)

// write is the writer, until ctx is done.
func (r *Redis) write(ctx context.Context) {
	defer close(r.ended)
	renewal := time.NewTicker(r.options.Lease / 3)
	defer renewal.Stop()
	reminder := time.NewTicker(min(r.options.Lease/3, remindEvery))
	defer reminder.Stop()
	retry := time.NewTicker(min(retryEvery, r.options.Timeout))
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-r.wake:
			r.whileUp(ctx, r.flush)
		case <-renewal.C:
			r.whileUp(ctx, r.renewAll)
		case <-reminder.C:
			r.remind()
		case <-retry.C:
			if up, _ := r.state(); !up && r.restore(ctx) == nil {
				r.options.Log.Info("store can be reached again", "address", r.address)
			}
		}
	}
}

// whileUp does what only makes sense while Redis can be asked.
func (r *Redis) whileUp(ctx context.Context, do func(context.Context) error) {
	up, failures := r.state()
	if !up {
		return
	}
	if err := do(ctx); err != nil && ctx.Err() == nil {
		r.fail(failures, err)
	}
}

// changed is Memory's: the lease is ending, given back or, alone, admitted.
func (r *Redis) changed(l *Lease) {
	if l.shared == nil || r.closed {
		return
	}
	if l.given {
		r.forget(l)
	}
	known := l.shared.seated || l.given && l.shared.asked
	if l.shared.queued || !known {
		return
	}
	if len(r.queue) >= maxQueue {
		for _, l := range r.queue {
			l.shared.queued = false
		}
		r.queue = nil
	}
	l.shared.queued = true
	r.queue = append(r.queue, l)
	r.signal()
}

// signal wakes the writer.
func (r *Redis) signal() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// restore brings Redis up to date, and then into use.
func (r *Redis) restore(ctx context.Context) error {
	if err := r.within(ctx, r.load); err != nil {
		return err
	}
	if err := r.within(ctx, r.greet); err != nil {
		return err
	}
	if err := r.renewAll(ctx); err != nil {
		return err
	}
	if err := r.flush(ctx); err != nil {
		return err
	}
	r.local.mu.Lock()
	r.up = true
	r.metrics.up.Set(1)
	r.local.mu.Unlock()
	r.signal() // for what has come meanwhile
	return nil
}

// load has Redis ready for admissions: with the scripts, and the time known.
func (r *Redis) load(ctx context.Context) error {
	t, err := r.client.Time(ctx).Result()
	if err != nil {
		return err
	}
	r.skew.Store(t.Sub(r.now()).Microseconds())
	for _, script := range []*redis.Script{admitScript, updateScript} {
		if err := script.Load(ctx, r.client).Err(); err != nil {
			return err
		}
	}
	return nil
}

// greet returns when a message to itself has arrived. The first may be ahead of
// what opens the inbox, and lost.
func (r *Redis) greet(ctx context.Context) error {
	select {
	case <-r.hello:
	default:
	}
	again := time.NewTicker(r.options.Timeout / 10)
	defer again.Stop()
	for {
		if err := r.client.Publish(ctx, channelOf(r.replica), "hello").Err(); err != nil {
			return err
		}
		select {
		case <-r.hello:
			return nil
		case <-again.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// renewAll renews what is held, and in between sends what cannot wait.
func (r *Redis) renewAll(ctx context.Context) error {
	r.local.mu.Lock()
	live := slices.Clone(r.live)
	r.local.mu.Unlock()
	for len(live) > 0 {
		var err error
		if live, err = r.update(ctx, live); err != nil {
			return err
		}
		if err := r.flush(ctx); err != nil {
			return err
		}
	}
	return nil
}

// flush sends what is in the queue and in the outbox. What could not be sent stays
// in the queue.
func (r *Redis) flush(ctx context.Context) error {
	r.local.mu.Lock()
	queue, outbox := r.queue, r.outbox
	r.queue, r.outbox = nil, nil
	for _, l := range queue {
		l.shared.queued = false
		if l.given {
			for _, replica := range l.shared.waiting {
				outbox = append(outbox, message{replica, "gone " + l.shared.name})
			}
		}
	}
	r.local.mu.Unlock()
	err := r.publish(ctx, outbox) // first, as somebody waits for that
	for err == nil && len(queue) > 0 {
		var rest []*Lease
		if rest, err = r.update(ctx, queue); err == nil {
			queue = rest
		}
	}
	if err != nil {
		r.requeue(queue)
	}
	return err
}

func (r *Redis) requeue(queue []*Lease) {
	r.local.mu.Lock()
	defer r.local.mu.Unlock()
	for _, l := range queue {
		if !l.shared.queued && len(r.queue) < maxQueue {
			l.shared.queued = true
			r.queue = append(r.queue, l)
		}
	}
}

func (r *Redis) publish(ctx context.Context, messages []message) error {
	for some := range slices.Chunk(messages, maxMessages) {
		pipe := r.client.Pipeline()
		for _, m := range some {
			pipe.Publish(ctx, channelOf(m.replica), m.text)
		}
		err := r.within(ctx, func(ctx context.Context) error {
			_, err := pipe.Exec(ctx)
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// within bounds one request.
func (r *Redis) within(ctx context.Context, request func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, r.options.Timeout)
	defer cancel()
	return request(ctx)
}

// seatsUnder is what there is to be done under one limit, as the script wants it.
type seatsUnder struct {
	key     string
	renewed []any // age, name, …
	gone    []any // name, …
}

// update tells Redis how things are with the first leases of the list, about as
// many as one request should, and returns the others.
func (r *Redis) update(ctx context.Context, list []*Lease) (rest []*Lease, err error) {
	slots := make(map[string][]*seatsUnder) // by hash tag: a request must stay in one slot
	limits := make(map[string]*seatsUnder)
	r.local.mu.Lock()
	n := 0
	for ; len(list) > 0 && n < maxSeats; list = list[1:] {
		l := list[0]
		if !l.given && !l.shared.seated {
			continue
		}
		var age int64
		if !l.ending {
			age = l.shared.age
		}
		for i := range l.seats {
			s := &l.seats[i]
			k := limits[s.key]
			if k == nil {
				k = &seatsUnder{key: s.key}
				limits[s.key] = k
				slots[hashTag(s.key)] = append(slots[hashTag(s.key)], k)
			}
			if l.given {
				k.gone = append(k.gone, l.shared.name)
			} else {
				k.renewed = append(k.renewed, age, l.shared.name)
			}
			n++
		}
	}
	r.local.mu.Unlock()
	for _, slot := range slots {
		if err := r.updateSlot(ctx, slot); err != nil {
			return nil, err
		}
	}
	return list, nil
}

func (r *Redis) updateSlot(ctx context.Context, slot []*seatsUnder) error {
	keys := make([]string, 0, 2*len(slot))
	args := []any{r.options.Lease.Milliseconds()}
	for _, k := range slot {
		keys = append(keys, rowOf(k.key), agesOf(k.key))
		args = append(append(args, len(k.renewed)/2), k.renewed...)
		args = append(append(args, len(k.gone)), k.gone...)
	}
	return r.within(ctx, func(ctx context.Context) error {
		if err := updateScript.Run(ctx, r.client, keys, args...).Err(); err != redis.Nil {
			return err
		}
		return nil // it returns nothing
	})
}

// hashTag returns the part of a key by which a cluster chooses its slot.
func hashTag(key string) string {
	_, rest, _ := strings.Cut(key, "{")
	if tag, _, ok := strings.Cut(rest, "}"); ok && tag != "" {
		return tag
	}
	return key
}
