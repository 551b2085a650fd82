//go:build !race

package policies_test

import (
	"fmt"
	"runtime"
	"testing"

	"wswarden/policies"
)

// live returns the bytes that are in use after a collection.
func live() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A subscription takes at most 200 bytes, all in all, and its topic, whether there
// are few or many, and also where the table has just grown.
func TestTrackerMemory(t *testing.T) {
	const most = 200
	for _, n := range []int{1, 2, 5, 20, 29, 1000, 100_000} {
		for told, format := range map[identity]string{
			topicTells:    `subscribe topic="17225%05d"`,
			idTells:       `subscribe topic="17225%05d" id=%[1]d request=%[1]d`,
			upstreamTells: `subscribe topic="17225%05d" request=%[1]d`,
		} {
			const topic = len(`"1722500001"`)
			a := newApp(t, told)
			trackers := make([]policies.Tracker, max(1, 1000/n)) // many, for what is not theirs weighs little then
			before := live()
			for i := range n {
				r := a.says(format, i)
				for j := range trackers {
					trackers[j].Add(r)
				}
			}
			if told == upstreamTells {
				for i := range n {
					r := a.says("ack id=%q request=%d", fmt.Sprintf("0x%030x", i), i)
					for j := range trackers {
						trackers[j].Ack(r)
					}
				}
			}
			each := float64(live()-before) / float64(n*len(trackers))
			t.Logf("%6d subscriptions, identity %d: %5.1f bytes each, of which %d are the topic", n, told, each, topic)
			limit := float64(most + topic)
			if told == upstreamTells {
				limit += 34 // what upstream has called it
			}
			if each > limit {
				t.Errorf("%d subscriptions, identity %d: %.1f bytes each, more than %.0f", n, told, each, limit)
			}
			runtime.KeepAlive(trackers)
		}
	}
}

// Memory follows what is tracked now, not what ever was.
func TestTrackerChurn(t *testing.T) {
	a := newApp(t, requestTold)
	var tracker policies.Tracker
	churn := func(cycles, standing int) {
		for i := range cycles {
			tracker.Add(a.says("subscribe topic=%d request=%d", i, i))
			switch {
			case i < standing:
			case i%3 == 0:
				tracker.Reject(a.says("reject request=%d", i-standing))
			case i%3 == 1:
				tracker.Remove(a.says("unsubscribe topic=%d", i-standing))
			default:
				tracker.Evict(nil)
			}
			if tracker.Len() > standing {
				tracker.Pop()
			}
		}
	}
	before := live()
	churn(1000, 20)
	early := live() - before
	churn(100_000, 20)
	late := live() - before
	t.Logf("20 subscriptions after 1,000 cycles: %d bytes; after 100,000: %d", early, late)
	if late > early+16<<10 {
		t.Errorf("from %d bytes to %d", early, late)
	}
	for i := range 20_000 {
		tracker.Add(a.says("subscribe topic=%d request=%d", i, i))
	}
	for tracker.Len() > 20 {
		tracker.Pop()
	}
	if after := live() - before; after > early+16<<10 {
		t.Errorf("20 subscriptions that were 20,000: %d bytes, other than %d", after, early)
	}
	for tracker.Len() > 0 {
		tracker.Pop()
	}
	for i := range 100_000 { // what was refused is remembered until then
		tracker.Remove(a.says("unsubscribe topic=%d", i))
	}
	if empty := live() - before; empty > 2<<10 {
		t.Errorf("no subscriptions: %d bytes", empty)
	}
	runtime.KeepAlive(&tracker)
}

// A record about what is tracked, or about nothing, costs no allocation.
func TestTrackerAllocatesNothing(t *testing.T) {
	for _, n := range []int{3, 300} {
		a := newApp(t, requestTold)
		var tracker policies.Tracker
		for i := range n {
			tracker.Add(a.says("subscribe topic=%d request=%d", i, i))
		}
		limit := policies.Subscriptions{Max: 1000}
		for _, message := range []string{"ack topic=2 request=2", "reject request=2", "unsubscribe topic=1000"} {
			r := a.says("%s", message)
			if n := testing.AllocsPerRun(100, func() {
				switch message[0] {
				case 'a':
					tracker.Ack(r)
				case 'r':
					tracker.Reject(r)
				default:
					tracker.Remove(r)
				}
			}); n != 0 {
				t.Errorf("%s: %v allocations", message, n)
			}
		}
		r := a.says("subscribe topic=2 request=1000")
		if n := testing.AllocsPerRun(100, func() { limit.Judge(&tracker, r); tracker.On(r.Topic.Hash()) }); n != 0 {
			t.Errorf("a judgement: %v allocations", n)
		}
		total := 0
		if n := testing.AllocsPerRun(100, func() {
			for range tracker.All() {
				total++
			}
		}); n != 0 {
			t.Errorf("a list of all: %v allocations", n)
		}
	}
}

func BenchmarkTracker(b *testing.B) {
	for _, standing := range []int{10, 1000, 100_000} {
		b.Run(fmt.Sprint(standing), func(b *testing.B) {
			a := newApp(new(testing.T), topicTells)
			var tracker policies.Tracker
			for i := range standing {
				tracker.Add(a.says("subscribe topic=%d", i))
			}
			subscribe := *a.says(`subscribe topic="new"`)
			b.ReportAllocs()
			for b.Loop() {
				tracker.Add(&subscribe)
				tracker.Remove(&subscribe)
			}
		})
	}
}
