package quota

import (
	"fmt"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Who has to go is ending from then on, also while its replica has not heard of it
// and renews it: the next newcomer goes for another one.
func TestRedisTakenOver(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	deaf, other := newReplica(t, server.url(), nil), newReplica(t, server.url(), nil)
	h := newHouse(t, server.client, deaf, other)
	limit := Limit{"{a}", 2}
	a := h.comes(t.Context(), 0, "a", true, limit).in()
	b := h.comes(t.Context(), 0, "b", true, limit).in()
	deafen(t, server, deaf)
	waiting := func(n int) func() bool {
		return func() bool {
			must(t, deaf.renewAll(t.Context()))
			other.local.mu.Lock()
			defer other.local.mu.Unlock()
			return len(other.absent) == n
		}
	}
	c := h.comes(t.Context(), 1, "c", true, limit)
	eventually(t, "c to wait for one", waiting(1))
	d := h.comes(t.Context(), 1, "d", true, limit)
	eventually(t, "d to wait for another one as well", waiting(2))
	c.waits().stays()
	must(t, deaf.inbox.Subscribe(t.Context(), channelOf(deaf.replica)))
	a.isTold().leaves()
	b.isTold()
	c.after(a)
	d.waits()
	b.leaves()
	d.after(b)
	h.ends()
}

// It is ending under all limits for which it is taken over, not only where it was
// found first.
func TestRedisTakenOverTwice(t *testing.T) {
	t.Parallel()
	server := startRedis(t)
	deaf, other := newReplica(t, server.url(), nil), newReplica(t, server.url(), nil)
	h := newHouse(t, server.client, deaf, other)
	one, two := Limit{"{a}one", 1}, Limit{"{a}two", 1}
	a := h.comes(t.Context(), 0, "a", true, one, two).in()
	deafen(t, server, deaf)
	ending := func(limit Limit) func() bool {
		return func() bool { return server.client.ZCount(t.Context(), agesOf(limit.Key), "0", "0").Val() > 0 }
	}
	b := h.comes(t.Context(), 1, "b", true, one)
	eventually(t, "a to be ending under one limit", ending(one))
	c := h.comes(t.Context(), 1, "c", true, one, two)
	b.isTold().out(ErrSuperseded)
	eventually(t, "a to be ending under the other one", ending(two))
	d := h.comes(t.Context(), 1, "d", true, two)
	c.isTold().out(ErrSuperseded)
	d.waits()
	must(t, deaf.inbox.Subscribe(t.Context(), channelOf(deaf.replica)))
	a.isTold().leaves()
	d.after(a)
	h.ends()
}

// deafen has a replica hear of nothing any more.
func deafen(t *testing.T, server *redisServer, r *Redis) {
	must(t, r.inbox.Unsubscribe(t.Context(), channelOf(r.replica)))
	eventually(t, "nobody to listen", func() bool {
		n := server.client.PubSubNumSub(t.Context(), channelOf(r.replica)).Val()
		return n[channelOf(r.replica)] == 0
	})
}

// A seat is asked for once, and none is refused while Redis cannot be asked,
// whatever becomes of admissions then. When it is back, it knows of all.
func TestRedisSeat(t *testing.T) {
	t.Parallel()
	for _, deny := range []bool{false, true} {
		t.Run(fmt.Sprintf("deny %v", deny), func(t *testing.T) {
			t.Parallel()
			server := startRedis(t)
			h := newHouse(t, server.client)
			for range 2 {
				h.stores = append(h.stores, newReplica(t, server.url(), func(o *RedisOptions) {
					o.Deny, o.Timeout = deny, 200*time.Millisecond
				}))
			}
			limits := []Limit{{"{a}all", 10}, {"{a}ip", 2}}
			must(t, server.client.ConfigResetStat(t.Context()).Err())
			h.sits(0, "a", limits...).isAmong(1, 1)
			h.sits(1, "b", limits...).isAmong(2, 2)
			h.sits(0, "c", limits...).isAmong(3, 3).exceeds(1)
			if n := strings.Count(server.client.Info(t.Context(), "commandstats").Val(), "cmdstat_evalsha:calls=3,"); n != 1 {
				t.Error("three seats take other than three requests")
			}
			server.signal(syscall.SIGSTOP)
			h.sits(0, "d", limits...).isAmong(3, 3).exceeds(1) // of its own replica
			h.sits(1, "e", limits...).isAmong(2, 2).exceedsNone()
			server.signal(syscall.SIGCONT)
			for _, s := range h.stores {
				eventually(t, "Redis to be used", func() bool {
					up, _ := s.(*Redis).state()
					return up
				})
			}
			h.settles()
			h.sits(1, "f", limits...).isAmong(6, 6)
			h.comes(t.Context(), 0, "g", false, limits...).out(fullAt(1))
			next := h.comes(t.Context(), 1, "h", true, limits...)
			h.visits[0].isTold().leaves()
			next.after(h.visits[0])
			h.visits[1].stays()
			h.ends()
		})
	}
}
