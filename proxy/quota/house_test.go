package quota

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

// house is where guests come and go: one or more replicas of a store, and a ledger
// of who is there, which never may be more than the limits say.
type house struct {
	t      testing.TB
	stores []Store
	redis  redis.UniversalClient // nil: the store is in memory

	mu     sync.Mutex
	there  map[string]int // by key
	most   map[string]int // the highest limit that there was
	sat    map[string]int // how many have sat down, whatever the limit
	visits []*visit
	moves  int // how often somebody has come in or left
}

// visit is one guest's. It is the Holder of its lease.
type visit struct {
	*house
	name   string
	store  Store
	limits []Limit
	told   chan struct{} // closed when it has to go
	done   chan struct{} // closed when Admit has returned
	lease  *Lease
	err    error
	there  bool // in the ledger
	// entered and left are the moves with which it did.
	entered, left int
}

func newHouse(t testing.TB, client redis.UniversalClient, stores ...Store) *house {
	return &house{t: t, stores: stores, redis: client, there: make(map[string]int), most: make(map[string]int), sat: make(map[string]int)}
}

// Superseded is Holder's. A second call panics.
func (v *visit) Superseded() { close(v.told) }

// comes has a guest ask the store's n-th replica for admission.
func (h *house) comes(ctx context.Context, n int, name string, evict bool, limits ...Limit) *visit {
	v := &visit{
		house: h, name: name, store: h.stores[n%len(h.stores)], limits: limits,
		told: make(chan struct{}), done: make(chan struct{}),
	}
	h.enlist(v)
	go func() {
		defer close(v.done)
		v.lease, v.err = v.store.Admit(ctx, v, limits, evict)
		if v.err == nil {
			v.enter()
		}
	}()
	return v
}

// sits has the store's n-th replica seat a guest.
func (h *house) sits(n int, name string, limits ...Limit) *visit {
	v := &visit{house: h, name: name, store: h.stores[n%len(h.stores)], limits: limits, told: make(chan struct{}), done: make(chan struct{})}
	h.enlist(v)
	h.mu.Lock()
	for _, l := range limits {
		h.sat[l.Key]++
	}
	h.mu.Unlock()
	v.lease = v.store.Seat(v, limits)
	v.enter()
	close(v.done)
	return v
}

func (h *house) enlist(v *visit) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.visits = append(h.visits, v)
	for _, l := range v.limits {
		h.most[l.Key] = max(h.most[l.Key], l.Max)
	}
}

func (v *visit) enter() {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.there = true
	v.moves++
	v.entered = v.moves
	for _, l := range v.limits {
		if v.house.there[l.Key]++; v.house.there[l.Key] > v.most[l.Key]+v.sat[l.Key] {
			v.t.Errorf("%s makes %d under %s, where %d may be, and %d sat down", v.name, v.house.there[l.Key], l.Key, v.most[l.Key], v.sat[l.Key])
		}
	}
}

// leaves has the guest go, and then give its lease back.
func (v *visit) leaves() {
	v.quits()
	v.store.Give(v.lease)
}

// quits takes it out of the ledger only.
func (v *visit) quits() {
	v.mu.Lock()
	defer v.mu.Unlock()
	if !v.there {
		return
	}
	v.there = false
	v.moves++
	v.left = v.moves
	for _, l := range v.limits {
		v.house.there[l.Key]--
	}
}

// in waits until the guest is admitted.
func (v *visit) in() *visit {
	v.t.Helper()
	v.answered()
	if v.err != nil {
		v.t.Fatalf("%s: %v", v.name, v.err)
	}
	return v
}

// out waits until the guest is refused.
func (v *visit) out(want error) {
	v.t.Helper()
	v.answered()
	if v.lease != nil {
		v.t.Errorf("%s has got a lease", v.name)
	}
	full, isFull := errors.AsType[*FullError](v.err)
	wantFull, wantsFull := errors.AsType[*FullError](want)
	switch {
	case isFull != wantsFull:
		v.t.Fatalf("%s: %v, want %v", v.name, v.err, want)
	case isFull:
		if full.Index != wantFull.Index || full.Limit != v.limits[full.Index] {
			v.t.Fatalf("%s: limit %d, %+v, want limit %d", v.name, full.Index, full.Limit, wantFull.Index)
		}
	case !errors.Is(v.err, want):
		v.t.Fatalf("%s: %v, want %v", v.name, v.err, want)
	}
}

func (v *visit) answered() {
	v.t.Helper()
	wait(v.t, v.done, v.name+" to be answered")
}

// after: v came in when the other had left.
func (v *visit) after(other *visit) {
	v.t.Helper()
	v.in()
	v.mu.Lock()
	defer v.mu.Unlock()
	if other.left == 0 || v.entered < other.left {
		v.t.Errorf("%s came in before %s had left", v.name, other.name)
	}
}

// isTold waits until the guest is told to go.
func (v *visit) isTold() *visit {
	v.t.Helper()
	wait(v.t, v.told, v.name+" to be told")
	return v
}

// stays: the guest was not told to go.
func (v *visit) stays() {
	v.t.Helper()
	select {
	case <-v.told:
		v.t.Errorf("%s was told to go", v.name)
	default:
	}
}

// isAmong: there were so many under each of the guest's limits with it.
func (v *visit) isAmong(want ...int) *visit {
	v.t.Helper()
	for i := range want {
		if n := v.lease.Among(i); n != want[i] {
			v.t.Errorf("%s: among %d under limit %d, want %d", v.name, n, i, want[i])
		}
	}
	return v
}

// exceeds: the limit with that index is the first that the guest exceeds.
func (v *visit) exceeds(want int) *visit {
	v.t.Helper()
	if i := firstExceeded(v.lease); i != want {
		v.t.Errorf("%s: exceeds limit %d, want %d", v.name, i, want)
	}
	return v
}

// firstExceeded is the index of the first limit that a lease exceeds; -1: none.
func firstExceeded(l *Lease) int {
	for i := range l.Seats() {
		if l.Exceeds(i) {
			return i
		}
	}
	return -1
}

func (v *visit) exceedsNone() *visit {
	v.t.Helper()
	if i := firstExceeded(v.lease); i >= 0 {
		v.t.Errorf("%s exceeds limit %d", v.name, i)
	}
	return v
}

// waits: the guest is not admitted as yet.
func (v *visit) waits() *visit {
	v.t.Helper()
	for range 100 {
		runtime.Gosched() // so that it can do what it should not
	}
	select {
	case <-v.done:
		v.t.Errorf("%s did not wait: %v", v.name, v.err)
	default:
	}
	return v
}

func wait(t testing.TB, c <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-c:
	case <-time.After(patience):
		t.Fatalf("waited in vain for %s", what)
	}
}

// fullAt is the refusal for the limit with that index.
func fullAt(index int) error { return &FullError{Index: index} }

// settles waits until Redis knows what the replicas do.
func (h *house) settles() {
	h.t.Helper()
	if h.redis == nil {
		return
	}
	var why string
	for deadline := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if why = h.disagreement(); why == "" {
			return
		}
		if time.Now().After(deadline) {
			h.t.Fatal(why)
		}
	}
}

// disagreement tells how Redis differs from what the replicas hold.
func (h *house) disagreement() string {
	want := make(map[string]map[string]bool) // whether it is ending, by name, by key
	h.mu.Lock()
	for _, v := range h.visits {
		for _, l := range v.limits {
			want[l.Key] = make(map[string]bool)
		}
	}
	h.mu.Unlock()
	for _, s := range h.stores {
		r := s.(*Redis)
		r.local.mu.Lock()
		for name, l := range r.leases {
			for _, seat := range l.seats {
				if l.shared.seated {
					want[seat.key][name] = l.ending
				}
			}
		}
		r.local.mu.Unlock()
	}
	ctx := context.Background()
	for key, names := range want {
		row, err := h.redis.ZRange(ctx, rowOf(key), 0, -1).Result()
		if err != nil {
			return err.Error()
		}
		ages, err := h.redis.ZRangeWithScores(ctx, agesOf(key), 0, -1).Result()
		if err != nil {
			return err.Error()
		}
		if len(row) != len(names) || len(ages) != len(names) {
			return fmt.Sprintf("%s: Redis has %d and %d leases, the replicas have %d", key, len(row), len(ages), len(names))
		}
		for _, z := range ages {
			ending, ok := names[z.Member.(string)]
			if !ok || ending != (z.Score == 0) {
				return fmt.Sprintf("%s: %v is known to its replica: %v, ending: %v, and to Redis with an age of %v", key, z.Member, ok, ending, z.Score)
			}
		}
	}
	return ""
}

// ends has all leave, and checks that nothing stays behind.
func (h *house) ends() {
	h.t.Helper()
	for _, v := range h.visits {
		v.answered()
		v.leaves()
	}
	for i, s := range h.stores {
		m, ok := s.(*Memory)
		if !ok {
			r := s.(*Redis)
			m = r.local
			eventually(h.t, "all leases to be forgotten", func() bool {
				r.local.mu.Lock()
				defer r.local.mu.Unlock()
				return len(r.leases) == 0 && len(r.live) == 0 && len(r.absent) == 0
			})
		}
		eventually(h.t, fmt.Sprintf("replica %d to have no seats", i), func() bool { return m.Keys() == 0 })
	}
	h.settles()
}

// newReplica returns a Redis store that ends with the test.
func newReplica(t testing.TB, url string, change func(*RedisOptions)) *Redis {
	t.Helper()
	options := replicaOptions(t, url)
	if change != nil {
		change(&options)
	}
	r, err := NewRedis(t.Context(), options)
	must(t, err)
	t.Cleanup(func() { _ = r.Close() })
	return r
}

func replicaOptions(t testing.TB, url string) RedisOptions {
	return RedisOptions{
		URL: url, Lease: 30 * time.Second, Timeout: 2 * time.Second, ConnectTimeout: patience,
		Takeover: patience, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	}
}
