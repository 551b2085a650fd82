package quota

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"
)

// Whatever comes after whatever: there never are more holders than a limit
// allows, and in the end no seat is left. Holders of a replica that has died, or
// stood still for longer than a lease, no longer count. Until nobody is left under
// a limit, there may be one more for each that was seated without asking, or came
// back when its lease had expired: for these the others do not go.

func TestAnyOrderMemory(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := NewMemory(propertyTakeover)
	t.Cleanup(func() { _ = m.Close() })
	w.replicas = []*worldReplica{{store: m}}
	w.steps(5000, nil)
	w.settles()
	if n := m.Keys(); n != 0 {
		t.Errorf("%d keys have seats in the end", n)
	}
}

// With time that passes by leaps only.
func TestAnyOrderMiniredis(t *testing.T) {
	t.Parallel()
	mini := miniredis.RunT(t)
	w := newWorld(t)
	w.lease, w.clock = time.Hour, time.Now().Truncate(time.Second)
	mini.SetTime(w.clock)
	w.opens("redis://" + mini.Addr())
	pass := func(d time.Duration) {
		w.mu.Lock()
		w.clock = w.clock.Add(d)
		w.mu.Unlock()
		mini.SetTime(w.clock)
		mini.FastForward(d)
	}
	w.steps(1500, func() {
		if w.rng.IntN(10) == 0 {
			w.sync()
			pass(time.Duration(w.rng.Int64N(int64(w.lease / 4))))
		}
	})
	// Those that have died expire, and then those that stood in for them.
	for range 16 {
		w.sync()
		pass(w.lease / 4)
	}
	w.settlesEmpty()
}

// With a Redis that has scripts and a clock of its own.
func TestAnyOrderRedis(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	w := newWorld(t)
	w.lease = time.Second
	w.opens(server.url())
	synced := time.Now()
	w.steps(1500, func() {
		if time.Since(synced) > w.lease/5 {
			w.sync()
			synced = time.Now()
		}
	})
	w.settlesEmpty()
}

const propertyTakeover = 20 * time.Millisecond

// world is where any thing may happen to several replicas.
type world struct {
	t     *testing.T
	rng   *rand.Rand
	url   string
	lease time.Duration // zero: the store is in memory

	client   *redis.Client
	replicas []*worldReplica

	mu      sync.Mutex
	clock   time.Time      // zero: it is the computer's
	holders []*holder      // those that have asked, until they have left
	more    map[string]int // how many more than a limit there may be, by key
	n       int
}

// worldReplica is a replica whose writer is the test's.
type worldReplica struct {
	store   Store
	redis   *Redis // nil: the store is in memory
	do      chan func(context.Context)
	stalled bool
}

// holder is a Holder that is told apart by the world.
type holder struct {
	w       *world
	n       int
	replica *worldReplica
	limits  []Limit
	done    chan struct{}
	lease   *Lease

	// Guarded by the world's mu.
	told, there bool
	lost        bool      // its replica has died, or was too late to renew it
	until       time.Time // when its lease expires, unless it is renewed
}

func newWorld(t *testing.T) *world {
	seed := rand.Uint64()
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("seed %d", seed)
		}
	})
	return &world{t: t, rng: rand.New(rand.NewPCG(seed, 0)), more: make(map[string]int)}
}

func (h *holder) Superseded() {
	h.w.mu.Lock()
	defer h.w.mu.Unlock()
	if h.told {
		h.w.t.Errorf("%d was told twice", h.n)
	}
	h.told = true
}

// now is the world's time; mu is held.
func (w *world) now() time.Time {
	if w.clock.IsZero() {
		return time.Now()
	}
	return w.clock
}

func (w *world) lockedNow() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now()
}

// opens starts three replicas on a Redis.
func (w *world) opens(url string) {
	w.url = url
	o, err := redis.ParseURL(url)
	must(w.t, err)
	w.client = redis.NewClient(o)
	w.t.Cleanup(func() {
		for _, r := range w.replicas {
			w.resume(r)
			w.dies(r)
		}
		_ = w.client.Close()
	})
	for range 3 {
		w.replicas = append(w.replicas, w.open())
	}
}

func (w *world) open() *worldReplica {
	options := replicaOptions(w.t, w.url)
	options.Lease, options.Takeover = w.lease, propertyTakeover
	options.Registerer = prometheus.NewRegistry()
	r, err := openRedis(options)
	must(w.t, err)
	r.now = w.lockedNow
	must(w.t, r.connect(w.t.Context()))
	ctx, stop := context.WithCancel(context.Background())
	r.stop = stop
	replica := &worldReplica{store: r, redis: r, do: make(chan func(context.Context))}
	go func() {
		defer close(r.ended)
		for {
			select {
			case <-ctx.Done():
				return
			case <-r.wake:
				r.whileUp(ctx, r.flush)
			case f := <-replica.do:
				f(ctx)
			}
		}
	}()
	return replica
}

// dies has a replica end without a word.
func (w *world) dies(r *worldReplica) {
	w.mu.Lock()
	for _, h := range w.holders {
		h.lost = h.lost || h.replica == r
	}
	w.mu.Unlock()
	r.redis.local.mu.Lock()
	r.redis.closed = true
	r.redis.local.mu.Unlock()
	r.redis.stop()
	<-r.redis.ended
	r.redis.disconnect()
}

// stall has a replica stand still until resume.
func (w *world) stall(r *worldReplica) {
	if !r.stalled {
		r.stalled = true
		r.redis.local.mu.Lock()
	}
}

func (w *world) resume(r *worldReplica) {
	if r.stalled {
		r.stalled = false
		r.redis.local.mu.Unlock()
	}
}

// sync has all replicas renew their leases, and hear of each other.
func (w *world) sync() {
	w.each(w.renew)
	w.each(func(ctx context.Context, r *Redis) {
		r.remind()
		r.whileUp(ctx, r.flush)
	})
	for range 2 { // what is heard is answered
		w.each(func(ctx context.Context, r *Redis) { r.whileUp(ctx, r.greet) })
		w.each(func(ctx context.Context, r *Redis) { r.whileUp(ctx, r.flush) })
	}
}

// each has the writers that do not stand still do something, all at once.
func (w *world) each(do func(context.Context, *Redis)) {
	var wg sync.WaitGroup
	for _, r := range w.replicas {
		if !r.stalled {
			wg.Go(func() {
				done := make(chan struct{})
				r.do <- func(ctx context.Context) {
					defer close(done)
					do(ctx, r.redis)
				}
				<-done
			})
		}
	}
	wg.Wait()
}

// renew renews a replica's leases. Those that have expired meanwhile are lost.
func (w *world) renew(ctx context.Context, r *Redis) {
	w.mu.Lock()
	now := w.now()
	var live []*holder
	for _, h := range w.holders {
		if h.replica.redis == r {
			live = append(live, h)
			if !now.Before(h.until) { // again, perhaps
				h.lost = true
				w.adds(h)
			}
		}
	}
	w.mu.Unlock()
	r.whileUp(ctx, r.renewAll)
	if up, _ := r.state(); !up {
		w.t.Error("Redis has failed")
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, h := range live {
		h.until = w.expiry(now)
	}
}

// expiry is when a lease ends that is renewed now, or, as Redis may round, just
// before that.
func (w *world) expiry(now time.Time) time.Time { return now.Add(w.lease - 2*time.Millisecond) }

// steps lets so many things happen, and in the end all go.
func (w *world) steps(n int, between func()) {
	for i := range n {
		w.step()
		if i%10 == 0 {
			w.empties()
		}
		if between != nil {
			between()
		}
		if w.t.Failed() {
			break
		}
	}
	for _, r := range w.replicas {
		w.resume(r)
	}
	for _, h := range w.holders {
		wait(w.t, h.done, fmt.Sprintf("%d to be answered", h.n))
	}
	for len(w.holders) > 0 {
		w.leaves(w.holders[0])
	}
}

// step lets something happen.
func (w *world) step() {
	r := w.replicas[w.rng.IntN(len(w.replicas))]
	const crowd = 30
	switch i := w.rng.IntN(1000); {
	case i < 10 && w.lease > 0 && !r.stalled:
		w.dies(r)
		w.replicas[slices.Index(w.replicas, r)] = w.open()
	case i < 30 && w.lease > 0 && !r.stalled:
		w.stall(r)
	case i < 100 && w.lease > 0:
		w.resume(r)
	case i < 130 && len(w.holders) < crowd && !r.stalled:
		w.sits(r)
	case i < 500 && len(w.holders) < crowd:
		w.comes(r)
	case i < 570:
		if h := w.one(func(h *holder) bool { return h.there }); h != nil {
			h.replica.store.End(h.lease)
		}
	case i < 800:
		if h := w.one(func(h *holder) bool { return h.told && h.there }); h != nil {
			w.leaves(h)
		}
	default:
		if h := w.one(func(*holder) bool { return true }); h != nil {
			w.leaves(h)
		}
	}
}

// one returns one of those that were answered and can do something.
func (w *world) one(fits func(*holder) bool) *holder {
	w.mu.Lock()
	defer w.mu.Unlock()
	var those []*holder
	for _, h := range w.holders {
		select {
		case <-h.done:
			if !h.replica.stalled && fits(h) {
				those = append(those, h)
			}
		default:
		}
	}
	if len(those) == 0 {
		return nil
	}
	return those[w.rng.IntN(len(those))]
}

// comes has a new holder ask.
func (w *world) comes(r *worldReplica) {
	h := w.newHolder(r)
	evict := w.rng.IntN(2) == 0
	go func() {
		defer close(h.done)
		var err error
		if h.lease, err = r.store.Admit(w.t.Context(), h, h.limits, evict); err == nil {
			w.enters(h)
		}
	}()
}

// sits has a new holder be seated.
func (w *world) sits(r *worldReplica) {
	h := w.newHolder(r)
	w.mu.Lock()
	w.adds(h)
	w.mu.Unlock()
	h.lease = r.store.Seat(h, h.limits)
	w.enters(h)
	close(h.done)
}

// adds has there be one more under each of its limits than these allow. mu is held.
func (w *world) adds(h *holder) {
	for _, limit := range h.limits {
		w.more[limit.Key]++
	}
}

// empties has limits be kept again under which nobody is.
func (w *world) empties() {
	w.mu.Lock()
	keys := slices.Collect(maps.Keys(w.more))
	w.mu.Unlock()
	for _, key := range keys {
		var n int64
		if m, ok := w.replicas[0].store.(*Memory); ok {
			n = int64(m.Len(key))
		} else {
			n = w.client.ZCard(context.Background(), rowOf(key)).Val()
		}
		if n == 0 {
			w.mu.Lock()
			delete(w.more, key)
			w.mu.Unlock()
		}
	}
}

// newHolder returns one under any of the limits.
func (w *world) newHolder(r *worldReplica) *holder {
	limits := []Limit{
		{Key: "{policy}", Max: 4},
		{Key: fmt.Sprintf("{policy}ip:%d", w.rng.IntN(2)), Max: 2},
		{Key: fmt.Sprintf("{policy}identity:%d", w.rng.IntN(3)), Max: 1},
	}
	w.rng.Shuffle(len(limits), func(i, j int) { limits[i], limits[j] = limits[j], limits[i] })
	limits = limits[:1+w.rng.IntN(len(limits))]
	w.mu.Lock()
	w.n++
	h := &holder{w: w, n: w.n, replica: r, limits: limits, done: make(chan struct{}), until: w.expiry(w.now())}
	w.holders = append(w.holders, h)
	w.mu.Unlock()
	return h
}

func (w *world) enters(h *holder) {
	w.mu.Lock()
	defer w.mu.Unlock()
	h.there = true
	now := w.now()
	for _, limit := range h.limits {
		var there []int
		for _, other := range w.holders {
			counts := other.there && !other.lost && (w.lease == 0 || now.Before(other.until))
			if counts && slices.Contains(other.limits, limit) {
				there = append(there, other.n)
			}
		}
		if len(there) > limit.Max+w.more[limit.Key] {
			w.t.Errorf("%d: there are %d under %s, which has a limit of %d and %d more", h.n, there, limit.Key, limit.Max, w.more[limit.Key])
		}
	}
}

func (w *world) leaves(h *holder) {
	w.mu.Lock()
	h.there = false
	i := slices.Index(w.holders, h)
	w.holders = slices.Delete(w.holders, i, i+1)
	w.mu.Unlock()
	h.replica.store.Give(h.lease)
}

// settles waits until nothing is left in the replicas' memory.
func (w *world) settles() {
	for i, r := range w.replicas {
		local, _ := r.store.(*Memory)
		if r.redis != nil {
			local = r.redis.local
		}
		eventually(w.t, fmt.Sprintf("replica %d to be empty", i), func() bool { return local.Keys() == 0 })
	}
}

// settlesEmpty waits until nothing is left anywhere.
func (w *world) settlesEmpty() {
	eventually(w.t, "all to be forgotten", func() bool {
		w.sync()
		left := 0
		for _, r := range w.replicas {
			r.redis.local.mu.Lock()
			left += len(r.redis.leases) + len(r.redis.live) + len(r.redis.absent) + len(r.redis.queue)
			r.redis.local.mu.Unlock()
		}
		return left == 0
	})
	w.settles()
	eventually(w.t, "Redis to be empty", func() bool {
		return len(w.client.Keys(context.Background(), "wswarden:*").Val()) == 0
	})
}
