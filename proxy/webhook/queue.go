package webhook

import (
	"container/heap"
	"sync"
	"time"
)

// What a queue holds at most: reports that are due, that wait for their next
// attempt and that are being attempted, all together.
const (
	maxReports = 16384
	maxBytes   = 32 << 20
)

// maxWorkers is how many attempts a URL has at a time.
const maxWorkers = 4

// queue holds the reports for one URL.
type queue struct {
	reporter *Reporter
	losses   losses

	// The mutex is never held for longer than it takes to move a report: event
	// loops take it.
	mu      sync.Mutex
	due     []*delivery // the first is the next
	waiting waiting
	timer   *time.Timer // for the first of waiting; nil: never needed
	workers int
	reports int
	bytes   int
	closing bool
}

// delivery is a report on its way.
type delivery struct {
	hook     *Hook
	report   *Report
	size     int       // as it counts in the queue
	id       string    // empty before the first attempt
	attempts int       // that have been made
	at       time.Time // of the next one, if it is waiting
}

// put makes a new delivery due, if there is room.
func (q *queue) put(d *delivery) {
	q.mu.Lock()
	closing := q.closing
	full := q.reports == maxReports || q.bytes+d.size > maxBytes
	if !closing && !full {
		q.reports++
		q.bytes += d.size
		q.reporter.metrics.queued.Inc()
		q.ready(d)
	}
	q.mu.Unlock()
	switch {
	case closing:
		q.lost(d, droppedShutdown, "shut down")
	case full:
		q.lost(d, droppedQueueFull, "queue full")
	}
}

// ready makes a delivery due and sees to it that somebody makes it. It is called
// with the mutex held.
func (q *queue) ready(d *delivery) {
	q.due = append(q.due, d)
	if q.workers < maxWorkers {
		q.workers++
		q.reporter.workers.Go(q.work)
	}
}

// work makes deliveries until none is due.
func (q *queue) work() {
	for d := q.next(); d != nil; d = q.next() {
		q.deliver(d)
	}
}

// next takes the next delivery that is due; nil, and the worker is one less, if
// there is none.
func (q *queue) next() *delivery {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.due) == 0 {
		q.due = nil // and with it what a crowd has left
		q.workers--
		return nil
	}
	d := q.due[0]
	q.due[0] = nil
	q.due = q.due[1:]
	return d
}

// deliver makes one attempt and decides what follows.
func (q *queue) deliver(d *delivery) {
	r := q.reporter
	if r.ctx.Err() != nil {
		q.drop(d, droppedShutdown, "shut down")
		return
	}
	a := r.attempt(d)
	d.attempts++
	d.hook.tally.attempts[a.result].Inc()
	switch {
	case a.result == accepted:
		d.hook.tally.reports[delivered].Inc()
		q.remove(d)
	case a.result == refused:
		q.drop(d, rejected, a.reason)
	case a.result == aborted:
		q.drop(d, droppedShutdown, "shut down")
	case d.attempts >= d.hook.conf.Attempts:
		q.drop(d, droppedAttempts, a.reason)
	case !q.wait(d, a.after+r.jitter(backoff(d.attempts))):
		q.drop(d, droppedShutdown, a.reason)
	}
}

// wait lets a delivery wait for its next attempt; false if there is none, for the
// end has come.
func (q *queue) wait(d *delivery, delay time.Duration) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.closing {
		return false
	}
	d.at = time.Now().Add(delay)
	heap.Push(&q.waiting, d)
	if q.waiting[0] == d {
		q.arm(delay)
	}
	return true
}

// arm sets the timer. It is called with the mutex held.
func (q *queue) arm(delay time.Duration) {
	if q.timer == nil {
		q.timer = time.AfterFunc(delay, q.wake)
		return
	}
	q.timer.Reset(delay)
}

// wake makes due what has waited for long enough. The timer calls it, now and
// then once too often, which does no harm.
func (q *queue) wake() {
	q.mu.Lock()
	defer q.mu.Unlock()
	now := time.Now()
	for len(q.waiting) > 0 && !q.waiting[0].at.After(now) {
		q.ready(heap.Pop(&q.waiting).(*delivery))
	}
	if len(q.waiting) > 0 {
		q.arm(q.waiting[0].at.Sub(now))
	}
}

// close takes nothing more, and makes due all that waits.
func (q *queue) close() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.timer != nil {
		q.timer.Stop()
	}
	q.closing = true
	for len(q.waiting) > 0 {
		q.ready(heap.Pop(&q.waiting).(*delivery))
	}
}

// drop gives a delivery up.
func (q *queue) drop(d *delivery, why outcome, reason string) {
	q.lost(d, why, reason)
	q.remove(d)
}

// remove makes room for another, once it is counted what became of this one.
func (q *queue) remove(d *delivery) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.reports--
	q.bytes -= d.size
	q.reporter.metrics.queued.Dec()
}

// lost counts and tells.
func (q *queue) lost(d *delivery, why outcome, reason string) {
	d.hook.tally.reports[why].Inc()
	q.losses.add(loss{d.hook.policy, why, reason})
}

// waiting is a heap whose first delivery is the next one to be attempted.
type waiting []*delivery

func (w waiting) Len() int           { return len(w) }
func (w waiting) Less(i, j int) bool { return w[i].at.Before(w[j].at) }
func (w waiting) Swap(i, j int)      { w[i], w[j] = w[j], w[i] }
func (w *waiting) Push(x any)        { *w = append(*w, x.(*delivery)) }
func (w *waiting) Pop() any {
	last := len(*w) - 1
	d := (*w)[last]
	(*w)[last] = nil
	*w = (*w)[:last]
	return d
}
