package quota

import (
	"fmt"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// nobody is a Holder that is never told.
type nobody struct{}

func (nobody) Superseded() {}

// benchLimits are those of one session: of all, of its address, of its identity.
func benchLimits(i int64) []Limit {
	return []Limit{
		{"{policy}all", 1 << 30},
		{fmt.Sprintf("{policy}ip:%d", i%5000), 1 << 30},
		{fmt.Sprintf("{policy}id:%d", i), 3},
	}
}

// An admission under three limits, and the lease given back.
func BenchmarkAdmit(b *testing.B) {
	benchmarkStores(b, func(s Store, limits []Limit) (*Lease, error) {
		return s.Admit(b.Context(), nobody{}, limits, true)
	})
}

// A seat under three limits, given back.
func BenchmarkSeat(b *testing.B) {
	benchmarkStores(b, func(s Store, limits []Limit) (*Lease, error) {
		return s.Seat(nobody{}, limits), nil
	})
}

func benchmarkStores(b *testing.B, ask func(Store, []Limit) (*Lease, error)) {
	bench := func(b *testing.B, store Store) {
		var n atomic.Int64
		b.ReportAllocs()
		before := cpu(b)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				l, err := ask(store, benchLimits(n.Add(1)))
				if err != nil {
					b.Error(err)
					return
				}
				store.Give(l)
			}
		})
		b.ReportMetric(float64((cpu(b)-before).Nanoseconds())/float64(b.N)/1e3, "µs-cpu/op")
	}
	b.Run("memory", func(b *testing.B) { bench(b, NewMemory(time.Second)) })
	b.Run("redis", func(b *testing.B) {
		server := startRedis(b)
		b.SetParallelism(16)
		store := newReplica(b, server.url(), nil)
		before := server.cpu(b)
		bench(b, store)
		b.ReportMetric(float64((server.cpu(b)-before).Nanoseconds())/float64(b.N)/1e3, "µs-redis/op")
		up, _ := store.state()
		if !up {
			b.Error("Redis has failed")
		}
	})
}

// One renewal of the leases of 10,000 sessions.
func BenchmarkRenew(b *testing.B) {
	const sessions = 10_000
	server := startRedis(b)
	r := newReplica(b, server.url(), func(o *RedisOptions) { o.Lease = time.Hour })
	for i := range int64(sessions) {
		if _, err := r.Admit(b.Context(), nobody{}, benchLimits(i), false); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	own, theirs := cpu(b), server.cpu(b)
	for range b.N {
		must(b, r.renewAll(b.Context()))
	}
	b.ReportMetric(float64((cpu(b)-own).Microseconds())/float64(b.N)/1e3, "ms-cpu/op")
	b.ReportMetric(float64((server.cpu(b)-theirs).Microseconds())/float64(b.N)/1e3, "ms-redis/op")
}

// cpu is what this process has used.
func cpu(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	must(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// cpu is what Redis has used.
func (s *redisServer) cpu(b *testing.B) (used time.Duration) {
	b.Helper()
	for line := range strings.Lines(s.client.Info(b.Context(), "cpu").Val()) {
		for _, name := range []string{"used_cpu_sys:", "used_cpu_user:"} {
			if value, ok := strings.CutPrefix(line, name); ok {
				var seconds float64
				_, _ = fmt.Sscan(value, &seconds)
				used += time.Duration(seconds * float64(time.Second))
			}
		}
	}
	return used
}
