package quota_test

import (
	"math/rand/v2"
	"net/netip"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"wswarden/policies"
	"wswarden/proxy/quota"
)

const second = time.Second

func TestRates(t *testing.T) {
	t.Parallel()
	r := quota.NewRates(policies.Pace{Rate: 10, Burst: 3})
	take := func(key uint64, now policies.Moment, want time.Duration) {
		t.Helper()
		if got := r.Take(key, now); got != want {
			t.Errorf("key %d at %s: wait %s, want %s", key, now, got, want)
		}
	}
	for range 3 {
		take(1, 100*second, 0)
	}
	take(1, 100*second, second/10) // the burst is over
	take(1, 100*second, second/10) // being refused costs nothing
	take(2, 100*second, 0)         // another key
	take(65, 100*second, 0)        // another one of the same shard
	take(1, 100*second+second/10, 0)
	take(1, 100*second+second/10, second/10)
	if n := r.Len(); n != 3 {
		t.Errorf("%d entries, want 3", n)
	}
}

func TestRatesOff(t *testing.T) {
	t.Parallel()
	r := quota.NewRates(policies.Pace{})
	for range 100 {
		if wait := r.Take(1, second); wait != 0 {
			t.Fatalf("wait %s", wait)
		}
	}
	if n := r.Len(); n != 0 {
		t.Errorf("%d entries", n)
	}
}

// What is forgotten owed nothing: however keys come, the answers are those of a
// memory that has no end.
func TestRatesForgetNoDebt(t *testing.T) {
	t.Parallel()
	for _, pace := range []policies.Pace{
		{Rate: 100, Burst: 1},
		{Rate: 10, Burst: 20},
		{Rate: 1, Burst: 5},
		{Rate: 0.01, Burst: 3},
	} {
		const keys = 200
		r := quota.NewRates(pace)
		owed := map[uint64]policies.Moment{}
		paces := []policies.Pace{pace, {Rate: pace.Rate * 7, Burst: pace.Burst}, {Rate: pace.Rate / 5, Burst: pace.Burst + 3}}
		now, refused := policies.Moment(1), 0
		for range 20_000 {
			// As much in all as the pace allows to so many, but half of it by a few.
			now += time.Duration(rand.ExpFloat64() * float64(second) / float64(pace.Rate) / keys)
			if rand.IntN(500) == 0 {
				now += rand.N(3 * pace.MaxDebt())
			}
			if rand.IntN(300) == 0 {
				pace = paces[rand.IntN(len(paces))]
				r.Change(pace, now)
				for key := range owed {
					owed[key] = min(owed[key], now+pace.MaxDebt())
				}
			}
			key := rand.N[uint64](keys)
			if rand.IntN(2) == 0 {
				key %= 5
			}
			after, want := pace.Take(owed[key], now)
			owed[key] = after
			if got := r.Take(key, now); got != want {
				t.Fatalf("%+v: key %d at %s: wait %s, want %s", pace, key, now, got, want)
			}
			if want > 0 {
				refused++
			}
		}
		if refused == 0 || refused > 19_000 {
			t.Errorf("%+v: %d refused: this tests nothing", pace, refused)
		}
	}
}

// With another pace, what is owed stays owed, but nobody owes more than it lets
// anybody owe.
func TestRatesChange(t *testing.T) {
	t.Parallel()
	const now = 100 * second
	loose, strict := policies.Pace{Rate: 10, Burst: 20}, policies.Pace{Rate: 0.01, Burst: 2}
	for _, tt := range []struct {
		name          string
		before, after policies.Pace
		taken         int           // before
		left          int           // may be taken at once
		wait          time.Duration // after that
	}{
		{"nothing was taken", strict, loose, 0, 20, second / 10},
		{"the same pace", loose, loose, 15, 5, second / 10},
		{"stricter, all was taken: two seconds of two hundred", loose, strict, 20, 1, 2 * second},
		{"stricter, little was taken", loose, strict, 5, 1, second / 2},
		{"stricter in how many come at once", loose, policies.Pace{Rate: 10, Burst: 5}, 3, 2, second / 10},
		{"less at once than was taken", loose, policies.Pace{Rate: 10, Burst: 5}, 20, 0, second / 10},
		{"looser: minutes of debt are two seconds", strict, loose, 2, 0, second / 10},
		{"looser, for one as well", strict, loose, 1, 0, second / 10},
		{"looser in how many come at once", loose, policies.Pace{Rate: 10, Burst: 30}, 20, 10, second / 10},
		{"off", strict, policies.Pace{}, 2, 100, 0},
		{"on", policies.Pace{}, loose, 100, 20, second / 10},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := quota.NewRates(tt.before)
			for range tt.taken {
				r.Take(1, now)
			}
			for range 2 { // the second time, nothing changes
				r.Change(tt.after, now)
			}
			for i := range tt.left {
				if wait := r.Take(1, now); wait != 0 {
					t.Fatalf("take %d: wait %s", i, wait)
				}
			}
			if wait := r.Take(1, now); wait != tt.wait {
				t.Errorf("wait %s, want %s", wait, tt.wait)
			}
		})
	}
}

// A debt that a strict pace would have kept for hours leaves with a loose one.
func TestRatesChangeLeave(t *testing.T) {
	t.Parallel()
	r := quota.NewRates(policies.Pace{Rate: 0.0001, Burst: 2})
	for key := range uint64(1000) {
		r.Take(key, 100*second)
	}
	r.Change(policies.Pace{Rate: 10, Burst: 20}, 101*second)
	for _, now := range []policies.Moment{102, 104, 106} {
		r.Take(7, now*second)
	}
	if n := r.Len(); n != 1 {
		t.Errorf("%d entries, want 1", n)
	}
}

// While the pace changes to and fro, no debt is forgotten: all of these paces let
// anybody owe twenty seconds.
func TestRatesChangeConcurrently(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, now = 4, 3000, 500 * second
	paces := []policies.Pace{{Rate: 1, Burst: 20}, {Rate: 2, Burst: 40}, {Rate: 0.5, Burst: 10}}
	r := quota.NewRates(paces[0])
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				if r.Take(1, now) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	for i := range rounds / 10 {
		r.Change(paces[i%len(paces)], now)
	}
	wg.Wait()
	if n := taken.Load(); n < 10 || n > 40 {
		t.Errorf("%d taken", n)
	}
	r.Change(paces[1], now)
	for r.Take(1, now) == 0 {
	}
	if wait := r.Take(1, now+20*second); wait != 0 {
		t.Errorf("after twenty seconds it waits %s", wait)
	}
	if wait := r.Take(2, now); wait != 0 {
		t.Errorf("another key waits %s", wait)
	}
}

// A debt that is worked off leaves, also of shards to which nobody comes any more.
func TestRatesLeave(t *testing.T) {
	t.Parallel()
	const keys = 10_000
	r := quota.NewRates(policies.Pace{Rate: 10, Burst: 20}) // two seconds
	for key := range uint64(keys) {
		r.Take(key, 100*second)
	}
	wantLen := func(now policies.Moment, want int) {
		t.Helper()
		r.Take(7, now)
		if n := r.Len(); n != want {
			t.Errorf("at %s: %d entries, want %d", now, n, want)
		}
	}
	wantLen(101*second, keys)
	wantLen(102*second, keys) // they are old now
	wantLen(104*second, 1)
	for key := range uint64(keys) {
		r.Take(key, 105*second)
	}
	wantLen(200*second, 1) // both turns have been missed
}

// The worst: every handshake comes from another address, and each counts for hours.
// What is kept is bounded, whoever comes is served, and who has taken all that he
// may is refused until half a million others have come.
func TestRatesUnderFlood(t *testing.T) {
	const addresses, most = 1_000_000, 64 << 20
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	now := 100 * second
	r := quota.NewRates(policies.Pace{Rate: 0.001, Burst: 2})
	victim := quota.AddressKey(netip.MustParseAddr("192.0.2.1"))
	r.Take(victim, now)
	r.Take(victim, now)
	for i := range uint64(addresses) {
		if wait := r.Take(quota.AddressKey(address(i)), now); wait > 0 {
			t.Fatalf("address %d comes for the first time and waits %s", i, wait)
		}
		if i < 480_000 && i%1000 == 0 && r.Take(victim, now) == 0 {
			t.Fatalf("after %d addresses a debt is forgotten", i)
		}
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	heap := int64(after.HeapAlloc) - int64(before.HeapAlloc)
	n := r.Len()
	t.Logf("%d entries in %.1f MiB", n, float64(heap)/(1<<20))
	if heap > most {
		t.Errorf("%d addresses take %d bytes, more than %d", addresses, heap, most)
	}
	if n < addresses/2 || n > 1<<20 {
		t.Errorf("%d entries", n)
	}
	if wait := r.Take(victim, now+time.Hour); wait != 0 {
		t.Errorf("the victim waits %s", wait)
	}
	if r.Take(victim, now+5*time.Hour); r.Len() != 1 {
		t.Errorf("%d entries are left", r.Len())
	}
}

// address returns the i-th address, each of another group.
func address(i uint64) netip.Addr {
	bytes := [16]byte{0x20, 0x01, 0x0d, 0xb8, byte(i >> 24), byte(i >> 16), byte(i >> 8), byte(i)}
	return netip.AddrFrom16(bytes)
}

// However many goroutines ask, each key gets its burst, and not one more, also
// while generations turn.
func TestRatesConcurrently(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, keys, burst = 8, 4000, 50, 20
	r := quota.NewRates(policies.Pace{Rate: 1000, Burst: burst})
	var clock atomic.Int64
	var taken [keys]atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				key := rand.N[uint64](keys)
				now := policies.Moment(clock.Add(int64(time.Millisecond) / keys))
				if r.Take(key, now) == 0 {
					taken[key].Add(1)
				}
			}
		})
	}
	wg.Wait()
	most := burst + clock.Load()/int64(time.Millisecond) + 1
	for key := range taken {
		if n := taken[key].Load(); n > most || n < burst {
			t.Errorf("key %d took %d, and may take %d", key, n, most)
		}
	}
}

func TestRatesExact(t *testing.T) {
	t.Parallel()
	const goroutines, each, burst = 8, 100, 250
	r := quota.NewRates(policies.Pace{Rate: 1, Burst: burst})
	var taken atomic.Int64
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				if r.Take(1, 500*second) == 0 {
					taken.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if n := taken.Load(); n != burst {
		t.Errorf("%d taken, want %d", n, burst)
	}
}

func TestGroup(t *testing.T) {
	t.Parallel()
	tests := []struct{ addr, group string }{
		{"192.0.2.1", "192.0.2.1"},
		{"::ffff:192.0.2.1", "192.0.2.1"}, // IPv4 in IPv6
		{"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::"},
		{"2001:db8:1:2::", "2001:db8:1:2::"},
		{"2001:db8:1:3::1", "2001:db8:1:3::"},
		{"fe80::1%eth0", "fe80::"},
		{"::1", "::"},
	}
	for _, tt := range tests {
		addr, group := netip.MustParseAddr(tt.addr), netip.MustParseAddr(tt.group)
		if got := quota.Group(addr); got != group {
			t.Errorf("%s: %s, want %s", addr, got, group)
		}
		if quota.AddressKey(addr) != quota.AddressKey(group) {
			t.Errorf("%s: the key is not that of %s", addr, group)
		}
	}
	if got := quota.Group(netip.Addr{}); got.IsValid() {
		t.Errorf("no address: %s", got)
	}
	keys := map[uint64]bool{}
	for i := range uint64(10_000) {
		keys[quota.AddressKey(address(i))] = true
	}
	if len(keys) != 10_000 {
		t.Errorf("10000 networks have %d keys", len(keys))
	}
}

func BenchmarkRatesTake(b *testing.B) {
	pace := policies.Pace{Rate: 10, Burst: 20}
	for _, bench := range []struct {
		name string
		keys uint64
	}{{"1_address", 1}, {"1000_addresses", 1000}, {"1000000_addresses", 1_000_000}} {
		b.Run(bench.name, func(b *testing.B) {
			r := quota.NewRates(pace)
			now, i := 100*second, uint64(0)
			b.ReportAllocs()
			for b.Loop() {
				r.Take(quota.AddressKey(address(i%bench.keys)), now)
				now += 100
				i++
			}
		})
	}
}

func BenchmarkRatesTakeParallel(b *testing.B) {
	r := quota.NewRates(policies.Pace{Rate: 10, Burst: 20})
	var clock atomic.Int64
	clock.Store(int64(100 * second))
	b.RunParallel(func(pb *testing.PB) {
		i := rand.Uint64()
		for pb.Next() {
			i++
			r.Take(quota.AddressKey(address(i&0xfffff)), policies.Moment(clock.Add(100)))
		}
	})
}
