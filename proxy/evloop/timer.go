package evloop

import "time"

// Timer calls Expired of its owner once, at a moment that can be moved. The
// zero Timer, given an owner, is ready for use.
type Timer struct {
	// Owner is told, on the loop's goroutine.
	Owner interface{ Expired() }

	at    time.Duration
	place int // in the queue, plus one; zero: not set
}

// Set has t expire at the moment at, instead of any earlier wish.
func (l *Loop) Set(t *Timer, at time.Duration) { l.timers.set(t, at) }

// Cancel has t not expire.
func (l *Loop) Cancel(t *Timer) {
	if t.place != 0 {
		l.timers.remove(t.place - 1)
	}
}

// timerQueue is a binary heap in which every timer knows its place, so that
// moving one costs no search.
type timerQueue []*Timer

func (q timerQueue) next() (at time.Duration, any bool) {
	if len(q) == 0 {
		return 0, false
	}
	return q[0].at, true
}

// expire tells the owners of all timers that are due. A timer set again by its
// owner waits for the next call, however early it is due.
func (q *timerQueue) expire(now time.Duration) {
	for due := q.countDue(now, 0); due > 0 && len(*q) > 0 && (*q)[0].at <= now; due-- {
		t := (*q)[0]
		q.remove(0)
		t.Owner.Expired()
	}
}

// countDue counts the timers due at or below a place of the heap.
func (q timerQueue) countDue(now time.Duration, place int) int {
	if place >= len(q) || q[place].at > now {
		return 0
	}
	return 1 + q.countDue(now, 2*place+1) + q.countDue(now, 2*place+2)
}

func (q *timerQueue) set(t *Timer, at time.Duration) {
	t.at = at
	if t.place == 0 {
		*q = append(*q, t)
		t.place = len(*q)
	}
	q.down(q.up(t.place - 1))
}

func (q *timerQueue) remove(i int) {
	last := len(*q) - 1
	(*q)[i].place = 0
	moved := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	if i < last {
		q.put(moved, i)
		q.down(q.up(i))
	}
}

func (q timerQueue) put(t *Timer, i int) {
	q[i] = t
	t.place = i + 1
}

func (q timerQueue) up(i int) int {
	for i > 0 {
		parent := (i - 1) / 2
		if q[parent].at <= q[i].at {
			break
		}
		q.swap(i, parent)
		i = parent
	}
	return i
}

func (q timerQueue) down(i int) {
	for {
		least := i
		for child := 2*i + 1; child <= 2*i+2 && child < len(q); child++ {
			if q[child].at < q[least].at {
				least = child
			}
		}
		if least == i {
			return
		}
		q.swap(i, least)
		i = least
	}
}

func (q timerQueue) swap(i, j int) {
	a, b := q[i], q[j]
	q.put(b, i)
	q.put(a, j)
}
