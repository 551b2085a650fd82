package proxy

import (
	"context"
	"time"

	"wswarden/policies"
	"wswarden/proxy/evloop"
)

// scan visits the sessions of a worker in the turns of its loop, for a short time in
// each, so that no frame waits for an operator's question.
//
// It goes from the last session to the first: one that is removed leaves its place to
// the last one, which has been visited, so that none is left out. That one is not to
// be visited again.
type scan struct {
	worker *worker
	at     int // the sessions from here on have been visited
	moved  map[*session]struct{}
}

// present is when something is told, and, by the wall's clock, when the moment 0 was.
type present struct {
	now   policies.Moment
	began time.Time
}

const (
	// scanTime bounds the time that a scan takes of a turn.
	scanTime = 200 * time.Microsecond
	// scanStep is how much work is done between two looks at the clock: a session is
	// one, and so is one of its subscriptions.
	scanStep = 32
)

// scanWorker has visit called on the worker's loop for each of its sessions; visit
// returns how much work that was beside the visit. After each turn in which it was,
// pause is called by the caller's goroutine. It stops when pause returns false, or when
// ctx is done. Of the two, one runs at a time.
func scanWorker(ctx context.Context, w *worker, visit func(*session) int, pause func() bool) {
	c := &scan{worker: w, at: -1}
	turn := make(chan bool, 1)
	for {
		if w.loop.Do(func() { turn <- c.step(visit) }) != nil {
			return // the loop has ended, and with it all sessions
		}
		more := <-turn
		if !more {
			pause()
			return
		}
		if !pause() || ctx.Err() != nil {
			_ = w.loop.Do(c.end)
			return
		}
	}
}

// step is called on the loop. It returns whether there is more to visit.
func (c *scan) step(visit func(*session) int) bool {
	w := c.worker
	if c.at < 0 {
		c.at = len(w.sessions)
		w.scans[c] = struct{}{}
	}
	w.present = present{evloop.Now(), w.server.beginning()}
	until := w.present.now + scanTime
	for work := 0; c.at > 0; {
		if c.at = min(c.at, len(w.sessions)); c.at == 0 {
			break
		}
		c.at--
		s := w.sessions[c.at]
		if _, visited := c.moved[s]; visited {
			continue
		}
		before := work / scanStep
		if work += 1 + visit(s); work/scanStep > before && evloop.Now() >= until {
			return true
		}
	}
	c.end()
	return false
}

// end is called on the loop.
func (c *scan) end() { delete(c.worker.scans, c) }

// removed notes that a session is gone, to whose place the last one moves, from there.
func (c *scan) removed(s, last *session, from int) {
	delete(c.moved, s)
	if from >= c.at && int(s.place) < c.at {
		if c.moved == nil {
			c.moved = make(map[*session]struct{})
		}
		c.moved[last] = struct{}{}
	}
}
