package quota_test

import (
	"math/rand/v2"
	"sync"
	"testing"

	"wswarden/proxy/quota"
)

func TestTopics(t *testing.T) {
	t.Parallel()
	var topics quota.Topics
	take := func(key uint64, max int, want bool) {
		t.Helper()
		if got := topics.Take(key, max); got != want {
			t.Errorf("topic %d with a limit of %d: taken %v, want %v", key, max, got, want)
		}
	}
	wantLen := func(want int) {
		t.Helper()
		if n := topics.Len(); n != want {
			t.Errorf("%d topics, want %d", n, want)
		}
	}
	wantLen(0)
	take(7, 2, true)
	take(7, 2, true)
	take(7, 2, false) // the limit
	take(8, 2, true)  // another topic
	take(71, 2, true) // another one of the same shard
	wantLen(3)
	take(7, 3, true) // the limit is the caller's
	take(7, 0, true) // zero is none
	if n := topics.Sessions(7); n != 4 {
		t.Errorf("%d sessions, want 4", n)
	}
	take(7, 4, false)
	topics.Give(7)
	take(7, 4, true) // what was given back can be taken
	for range 4 {
		topics.Give(7)
	}
	wantLen(2) // at zero, a topic goes
	topics.Give(8)
	topics.Give(71)
	wantLen(0)
	topics.Give(9) // never taken: none is less than none
	take(9, 1, true)
	take(9, 1, false)
}

// However many goroutines take and give, a topic never has more sessions than
// its limit, and in the end there is none.
func TestTopicsConcurrently(t *testing.T) {
	t.Parallel()
	const goroutines, rounds, keys, limit = 8, 2000, 100, 3
	var topics quota.Topics
	var holders [keys]struct {
		sync.Mutex
		n, most int
	}
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range rounds {
				key := rand.N[uint64](keys)
				if !topics.Take(key, limit) {
					continue
				}
				h := &holders[key]
				h.Lock()
				h.n++
				h.most = max(h.most, h.n)
				h.Unlock()

				h.Lock()
				h.n--
				h.Unlock()
				topics.Give(key)
			}
		})
	}
	wg.Wait()
	for key := range holders {
		if most := holders[key].most; most > limit {
			t.Errorf("topic %d had %d sessions, with a limit of %d", key, most, limit)
		}
	}
	if n := topics.Len(); n != 0 {
		t.Errorf("%d topics are left", n)
	}
}

// The limit is exact: of many that want the same topic, as many get it as may.
func TestTopicsExact(t *testing.T) {
	t.Parallel()
	const goroutines, each, limit = 8, 100, 250
	var topics quota.Topics
	var wg sync.WaitGroup
	for range goroutines {
		wg.Go(func() {
			for range each {
				topics.Take(1, limit)
			}
		})
	}
	wg.Wait()
	if n := topics.Sessions(1); n != limit {
		t.Errorf("%d sessions, want %d", n, limit)
	}
}

func BenchmarkTopics(b *testing.B) {
	var topics quota.Topics
	b.RunParallel(func(pb *testing.PB) {
		key := rand.Uint64()
		for pb.Next() {
			topics.Take(key, 0)
			topics.Give(key)
		}
	})
}
