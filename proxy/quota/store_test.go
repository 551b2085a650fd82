package quota

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
)

// Every store behaves the same, with one replica or with several.
func TestStores(t *testing.T) {
	t.Parallel()
	t.Run("memory", func(t *testing.T) {
		t.Parallel()
		testStore(t, func(t *testing.T, takeover time.Duration) *house {
			m := NewMemory(takeover)
			t.Cleanup(func() { _ = m.Close() })
			return newHouse(t, nil, m)
		})
	})
	t.Run("miniredis", func(t *testing.T) {
		t.Parallel()
		url := "redis://" + miniredis.RunT(t).Addr()
		testStore(t, redisHouse(t, url, false, 2))
	})
	t.Run("redis-server", func(t *testing.T) {
		t.Parallel()
		url := startRedis(t).url()
		for name, replicas := range map[string]int{"one replica": 1, "two replicas": 2} {
			t.Run(name, func(t *testing.T) { testStore(t, redisHouse(t, url, false, replicas)) })
		}
	})
	t.Run("cluster", func(t *testing.T) {
		t.Parallel()
		url, _ := startCluster(t)
		testStore(t, redisHouse(t, url, true, 2))
	})
}

// redisHouse opens houses on a Redis.
func redisHouse(t *testing.T, url string, cluster bool, replicas int) func(*testing.T, time.Duration) *house {
	client, _, err := newClient(t.Context(), &RedisOptions{URL: url, Cluster: cluster, Timeout: patience, ConnectTimeout: patience})
	must(t, err)
	t.Cleanup(func() { _ = client.Close() })
	return func(t *testing.T, takeover time.Duration) *house {
		h := newHouse(t, client)
		for range replicas {
			h.stores = append(h.stores, newReplica(t, url, func(o *RedisOptions) {
				o.Cluster, o.Takeover = cluster, takeover
			}))
		}
		return h
	}
}

func testStore(t *testing.T, open func(*testing.T, time.Duration) *house) {
	const evict, reject = true, false
	for _, tt := range []struct {
		name     string
		takeover time.Duration // zero: beyond patience
		run      func(t *testing.T, h *house, limit func(name string, max int) Limit)
	}{
		{"reject", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 2)
			a := h.comes(t.Context(), 0, "a", reject, seat).in()
			h.comes(t.Context(), 1, "b", reject, seat).in()
			h.comes(t.Context(), 0, "c", reject, seat).out(fullAt(0))
			h.comes(t.Context(), 1, "d", reject, seat).out(fullAt(0))
			h.comes(t.Context(), 1, "another key", reject, limit("other", 2)).in()
			a.leaves()
			h.settles()
			h.comes(t.Context(), 1, "e", reject, seat).in()
			h.comes(t.Context(), 0, "f", reject, seat).out(fullAt(0))
			a.leaves() // a second time, which does nothing
			h.settles()
			h.comes(t.Context(), 0, "g", reject, seat).out(fullAt(0))
			a.stays()
		}},
		{"nil is no lease", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			h.stores[0].End(nil)
			h.stores[0].Give(nil)
			none := &visit{house: h, name: "none", limits: []Limit{limit("seat", 1)}}
			none.isAmong(0).exceedsNone()
		}},
		{"the oldest goes first", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 3)
			a := h.comes(t.Context(), 0, "a", evict, seat).in()
			b := h.comes(t.Context(), 1, "b", evict, seat).in()
			c := h.comes(t.Context(), 0, "c", evict, seat).in()
			for i, oldest := range []*visit{a, b, c} {
				next := h.comes(t.Context(), i, "next", evict, seat)
				oldest.isTold()
				next.waits()
				oldest.leaves()
				next.after(oldest)
				next.stays()
			}
		}},
		{"who is ending keeps nobody out", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 2)
			old := h.comes(t.Context(), 0, "old", reject, seat).in()
			ending := h.comes(t.Context(), 0, "ending", reject, seat).in()
			h.stores[0].End(ending.lease)
			h.settles()
			b := h.comes(t.Context(), 1, "b", reject, seat)
			ending.isTold()
			b.waits()
			h.comes(t.Context(), 1, "c", reject, seat).out(fullAt(0))
			ending.leaves()
			b.after(ending)
			old.stays()
		}},
		{"who is ending goes before the oldest", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 2)
			old := h.comes(t.Context(), 0, "old", evict, seat).in()
			ending := h.comes(t.Context(), 1, "ending", evict, seat).in()
			h.stores[1%len(h.stores)].End(ending.lease)
			h.settles()
			b := h.comes(t.Context(), 0, "b", evict, seat)
			ending.isTold().leaves()
			b.in()
			old.stays()
		}},
		{"under every limit or none", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one, two := limit("all", 3), limit("one", 1), limit("two", 1)
			h.comes(t.Context(), 0, "a", reject, all, one).in()
			h.comes(t.Context(), 1, "b", reject, all, one).out(fullAt(1))
			h.comes(t.Context(), 1, "c", reject, all, two).in()
			h.comes(t.Context(), 0, "d", reject, two, all).out(fullAt(0))
			h.comes(t.Context(), 0, "e", reject, all).in() // the refused ones have no seat
			h.comes(t.Context(), 1, "f", reject, limit("three", 1), all).out(fullAt(1))
		}},
		{"who goes for one limit goes for the others", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one := limit("all", 2), limit("one", 1)
			old := h.comes(t.Context(), 0, "old", evict, all, limit("other", 1)).in()
			same := h.comes(t.Context(), 1, "same", evict, all, one).in()
			// Both limits are full, and same's going helps both.
			next := h.comes(t.Context(), 0, "next", evict, one, all)
			same.isTold().leaves()
			next.in()
			old.stays()
		}},
		{"two go for two limits", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one := limit("all", 2), limit("one", 1)
			old := h.comes(t.Context(), 0, "old", evict, all, limit("other", 1)).in()
			same := h.comes(t.Context(), 1, "same", evict, all, one).in()
			next := h.comes(t.Context(), 1, "next", evict, all, one) // first all's oldest, then one's
			old.isTold()
			same.isTold()
			next.waits()
			old.leaves()
			next.waits()
			same.leaves()
			next.after(old)
			next.after(same)
			h.settles()
			h.comes(t.Context(), 0, "another", reject, limit("other", 1)).in()
		}},
		{"who was taken over counts until it goes", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one := limit("all", 2), limit("one", 1)
			slow := h.comes(t.Context(), 0, "slow", evict, all).in()
			same := h.comes(t.Context(), 1, "same", evict, all, one).in()
			x := h.comes(t.Context(), 0, "x", evict, all)
			slow.isTold()
			next := h.comes(t.Context(), 1, "next", evict, one, all)
			same.isTold().leaves()
			h.settles()
			x.waits().stays()
			next.waits()
			h.comes(t.Context(), 0, "full", reject, all).out(fullAt(0))
			slow.leaves()
			x.after(slow)
			next.after(slow)
			next.after(same)
		}},
		{"a limit that was lowered: one goes for each newcomer", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			a := h.comes(t.Context(), 0, "a", evict, limit("seat", 3)).in()
			b := h.comes(t.Context(), 1, "b", evict, limit("seat", 3)).in()
			c := h.comes(t.Context(), 0, "c", evict, limit("seat", 3)).in()
			h.comes(t.Context(), 1, "d", reject, limit("seat", 1)).out(fullAt(0))
			e := h.comes(t.Context(), 0, "e", evict, limit("seat", 1))
			a.isTold()
			h.settles()
			f := h.comes(t.Context(), 1, "f", evict, limit("seat", 1)) // a goes for e already
			b.isTold()
			c.stays()
			e.waits()
			a.leaves()
			e.after(a)
			f.waits()
			b.leaves()
			f.after(b)
			c.stays()
			e.stays()
			e.isAmong(3)
			f.isAmong(3)
			f.exceeds(0)
			// Until there are as few as may be, those who go go for nobody.
			c.leaves()
			e.leaves()
			h.settles()
			h.comes(t.Context(), 0, "g", reject, limit("seat", 1)).out(fullAt(0))
			f.leaves()
			h.settles()
			h.comes(t.Context(), 1, "h", reject, limit("seat", 1)).in().isAmong(1)
		}},
		{"who is ending goes, and one more, where there are too many", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			var all []*visit
			for i := range 4 {
				all = append(all, h.comes(t.Context(), i, fmt.Sprint(i), reject, limit("seat", 4)).in())
			}
			h.stores[3%len(h.stores)].End(all[3].lease)
			h.settles()
			h.comes(t.Context(), 0, "refused", reject, limit("seat", 2)).out(fullAt(0))
			next := h.comes(t.Context(), 1, "next", evict, limit("seat", 2))
			all[0].isTold().leaves()
			all[3].isTold()
			next.waits()
			all[3].leaves()
			next.after(all[0])
			next.after(all[3])
			all[1].stays()
			all[2].stays()
			next.isAmong(3)
		}},
		{"how many there are", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one, two := limit("all", 3), limit("one", 1), limit("two", 2)
			a := h.comes(t.Context(), 0, "a", evict, all, two).in().isAmong(1, 1).exceedsNone()
			b := h.comes(t.Context(), 1, "b", evict, all, two).in().isAmong(2, 2).exceedsNone()
			c := h.comes(t.Context(), 0, "c", evict, one, all).in().isAmong(1, 3).exceedsNone()
			// Those that go do not count, for whichever limit's sake.
			d := h.comes(t.Context(), 1, "d", evict, all, one)
			a.isTold().leaves()
			c.isTold().leaves()
			d.in().isAmong(2, 1).exceedsNone()
			b.stays()
		}},
		{"seated, full or not", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			all, one := limit("all", 3), limit("one", 1)
			a := h.comes(t.Context(), 0, "a", reject, one, all).in()
			h.sits(1, "b", one, all).isAmong(2, 2).exceeds(0)
			h.sits(0, "c", all).isAmong(3).exceedsNone()
			h.sits(1, "d", all, one).isAmong(4, 3).exceeds(0)
			h.sits(0, "e", limit("another", 1), all, one).isAmong(1, 5, 4).exceeds(1)
			h.sits(1, "no limit").exceedsNone()
			h.comes(t.Context(), 1, "f", reject, all).out(fullAt(0))
			h.comes(t.Context(), 0, "g", reject, limit("another", 1)).out(fullAt(0))
			a.stays()
			a.leaves()
			h.settles()
			h.sits(1, "h", one).isAmong(4)
		}},
		{"who is ending is not among those who are seated", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			a := h.sits(0, "a", seat).exceedsNone()
			h.stores[0].End(a.lease)
			h.settles()
			b := h.sits(1, "b", seat).isAmong(1).exceedsNone()
			a.stays() // it goes for nobody
			h.comes(t.Context(), 0, "c", reject, seat).out(fullAt(0))
			b.stays()
		}},
		{"who was seated is superseded", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			a := h.sits(0, "a", seat)
			b := h.sits(1, "b", seat).exceeds(0)
			c := h.comes(t.Context(), 0, "c", evict, seat)
			a.isTold().leaves()
			c.after(a)
			c.isAmong(2).exceeds(0)
			h.settles()
			d := h.comes(t.Context(), 1, "d", evict, seat)
			b.isTold().leaves()
			d.after(b)
			c.stays()
		}},
		{"seated while another one waits", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			a := h.comes(t.Context(), 0, "a", evict, seat).in()
			b := h.comes(t.Context(), 1, "b", evict, seat)
			a.isTold()
			h.settles()
			c := h.sits(0, "c", seat).isAmong(2).exceeds(0)
			b.waits().stays()
			a.leaves()
			b.after(a)
			c.stays()
			h.settles()
			d := h.comes(t.Context(), 0, "d", evict, seat)
			b.isTold().leaves()
			d.after(b)
			c.stays()
		}},
		{"the seat is kept for who does not go", 20 * time.Millisecond, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			stubborn := h.comes(t.Context(), 0, "stubborn", evict, seat).in()
			h.comes(t.Context(), 1, "b", evict, seat).out(ErrTakeover)
			stubborn.isTold()
			h.settles()
			h.comes(t.Context(), 0, "c", reject, seat).out(ErrTakeover)
			h.comes(t.Context(), 1, "d", evict, seat).out(ErrTakeover)
			stubborn.leaves()
			h.goneFrom(seat.Key)
			h.comes(t.Context(), 1, "e", reject, seat).in()
		}},
		{"superseded while it waits", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			a := h.comes(t.Context(), 0, "a", evict, seat).in()
			b := h.comes(t.Context(), 1, "b", evict, seat)
			a.isTold()
			c := h.comes(t.Context(), 0, "c", evict, seat)
			b.isTold().out(ErrSuperseded) // it never was there
			d := h.comes(t.Context(), 1, "d", evict, seat)
			c.isTold().out(ErrSuperseded)
			d.waits()
			a.leaves()
			d.in()
		}},
		{"the caller's context", 0, func(t *testing.T, h *house, limit func(string, int) Limit) {
			seat := limit("seat", 1)
			ctx, cancel := context.WithCancel(t.Context())
			a := h.comes(t.Context(), 0, "a", evict, seat).in()
			b := h.comes(ctx, 1, "b", evict, seat)
			a.isTold()
			cancel()
			b.out(context.Canceled)
			h.settles()
			c := h.comes(t.Context(), 0, "c", reject, seat).waits()
			b.stays() // it has gone by itself
			a.leaves()
			c.in()
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			takeover := tt.takeover
			if takeover == 0 {
				takeover = 2 * patience
			}
			h := open(t, takeover)
			tag := "{" + t.Name() + "}"
			tt.run(t, h, func(name string, max int) Limit { return Limit{Key: tag + name, Max: max} })
			h.ends()
		})
	}
}

// goneFrom waits until nobody has a seat under the key.
func (h *house) goneFrom(key string) {
	h.t.Helper()
	eventually(h.t, "the seats to be free", func() bool { return h.len(key) == 0 })
}

// len is how many seats there are under the key.
func (h *house) len(key string) int {
	if h.redis == nil {
		return h.stores[0].(*Memory).Len(key)
	}
	ctx := context.Background()
	return int(max(h.redis.ZCard(ctx, rowOf(key)).Val(), h.redis.ZCard(ctx, agesOf(key)).Val()))
}
