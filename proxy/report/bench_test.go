package report

import (
	"math/rand/v2"
	"testing"
	"time"

	"wswarden/policies"
)

// crowd are sessions that have come to all kinds of things.
func crowd(n int) []Record {
	random := rand.New(rand.NewPCG(1, 2))
	all := make([]Record, n)
	for i := range all {
		all[i] = Record{Ended: time.Minute, Causes: random.Uint32(), Limits: uint16(random.Uint32())}
		for m := range all[i].Needed {
			all[i].Needed[m] = random.Uint32N(3_600_000)
		}
	}
	return all
}

// 100,000 sessions, more than half of which have ended.
func BenchmarkReport(b *testing.B) {
	p := policies.Default()
	var l Ledger
	all := crowd(100_000)
	for _, r := range all[:most] {
		l.Add(p.Name, r)
	}
	live := all[most:]
	for i := range live {
		live[i].Ended = 0
	}
	for b.Loop() {
		if t := l.Report(&p, settingsOf(&p), 0, 0, time.Hour, live); t.Sessions != len(all) {
			b.Fatalf("%d sessions", t.Sessions)
		}
	}
}

func BenchmarkAdd(b *testing.B) {
	var l Ledger
	for b.Loop() {
		l.Add("passengers", Record{Ended: time.Minute})
	}
}

// As many loops as there are processors, and somebody who asks for one report after
// the other.
func BenchmarkAddBesideReports(b *testing.B) {
	p := policies.Default()
	var l Ledger
	for _, r := range crowd(most) {
		l.Add(p.Name, r)
	}
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			select {
			case <-stop:
				return
			default:
				l.between(p.Name, 0, time.Hour)
			}
		}
	}()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			l.Add(p.Name, Record{Ended: time.Minute})
		}
	})
	close(stop)
	<-stopped
}
