package proxy

import (
	"sync/atomic"
	"time"

	"wswarden/policies"
	"wswarden/proxy/evloop"
)

// lag measures, once a second, how late a loop serves what is due: a timer of its own
// stands for all that waits. The loop writes, anybody reads.
type lag struct {
	loop    *evloop.Loop
	timer   evloop.Timer
	due     policies.Moment
	counts  []atomic.Uint64 // by lagBuckets, and one more for what is above
	seconds atomic.Uint64   // in nanoseconds, all together
}

const lagInterval = time.Second

func newLag(loop *evloop.Loop) *lag {
	return &lag{loop: loop, counts: make([]atomic.Uint64, len(lagBuckets)+1)}
}

// begin is called on the loop.
func (l *lag) begin() {
	l.timer.Owner = l
	l.again()
}

func (l *lag) again() {
	l.due = evloop.Now() + lagInterval
	l.loop.Set(&l.timer, l.due)
}

// Expired is called by the loop.
func (l *lag) Expired() {
	late := max(0, evloop.Now()-l.due)
	bucket := 0
	for bucket < len(lagBuckets) && late.Seconds() > lagBuckets[bucket] {
		bucket++
	}
	l.counts[bucket].Add(1)
	l.seconds.Add(uint64(late))
	l.again()
}

// end is called on the loop.
func (l *lag) end() { l.loop.Cancel(&l.timer) }

// read returns a histogram's count, sum in seconds, and cumulative buckets.
func (l *lag) read() (count uint64, sum float64, buckets map[float64]uint64) {
	buckets = make(map[float64]uint64, len(lagBuckets))
	for i := range l.counts {
		count += l.counts[i].Load()
		if i < len(lagBuckets) {
			buckets[lagBuckets[i]] = count
		}
	}
	return count, time.Duration(l.seconds.Load()).Seconds(), buckets
}
