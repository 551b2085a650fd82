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

// Set has t expire at the moment at, instead of any earlier wish. A moment that
// has come is the next turn's: a timer that its owner sets again and again
// keeps no other from its turn.
func (l *Loop) Set(t *Timer, at time.Duration) { l.timers.set(t, max(at, l.now+1)) }

// Advance has t expire at the moment at, unless it does so earlier already.
func (l *Loop) Advance(t *Timer, at time.Duration) {
	if t.place == 0 || t.at > at {
		l.Set(t, at)
	}
}

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

// expire tells the owners of all timers that are due.
func (q *timerQueue) expire(now time.Duration) {
	for len(*q) > 0 && (*q)[0].at <= now {
		t := (*q)[0]
		q.remove(0)
		t.Owner.Expired()
	}
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
