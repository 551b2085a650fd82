package proxy

import (
	"context"
	"sync"
	"sync/atomic"
	"time"

	"wswarden/proxy/admin"
	"wswarden/proxy/admin/api"
)

// events hands what happens to those who watch. A loop that tells of something
// never waits: what does not fit a queue is lost, counted, and the watchers are told
// how many they have missed.
type events struct {
	queue    chan *api.Event
	lost     atomic.Uint64
	watching atomic.Int32 // watchers; without any, only endings are told
	stopped  chan struct{}
	done     chan struct{}

	mu       sync.Mutex
	watchers map[*watcher]struct{}
	ended    []*api.Event // the latest, in a ring
	next     int          // in it
}

// watcher is somebody who watches.
type watcher struct {
	events chan api.Event
	lost   uint64 // since the last that it has got
}

func newEvents() *events {
	e := &events{
		queue:    make(chan *api.Event, 4096),
		stopped:  make(chan struct{}),
		done:     make(chan struct{}),
		watchers: make(map[*watcher]struct{}),
		ended:    make([]*api.Event, admin.MaxReplay),
	}
	go e.run()
	return e
}

// watched reports whether anybody watches, so that it is of use to tell of more than
// endings.
func (e *events) watched() bool { return e.watching.Load() > 0 }

// tell never waits. The event is not the caller's any more.
func (e *events) tell(event *api.Event) {
	select {
	case e.queue <- event:
	default:
		e.lost.Add(1)
	}
}

// lostDelay is how soon who has missed events, and has read on, is told so although
// nothing else happens.
const lostDelay = 100 * time.Millisecond

// run hands on what is told until close, and what was told before.
func (e *events) run() {
	defer close(e.done)
	var missed uint64
	handOn := func(event *api.Event) (behind bool) {
		lost := e.lost.Load()
		behind = e.handOn(event, lost-missed)
		missed = lost
		return behind
	}
	again := time.NewTimer(lostDelay)
	defer again.Stop()
	for {
		behind := false
		select {
		case event := <-e.queue:
			behind = handOn(event)
		case <-again.C:
			behind = e.tellLost()
		case <-e.stopped:
			for len(e.queue) > 0 {
				handOn(<-e.queue)
			}
			return
		}
		if behind {
			again.Reset(lostDelay)
		}
	}
}

// handOn gives an event to all, before which so many were lost. It reports whether one
// of them has missed some and does not know.
func (e *events) handOn(event *api.Event, lost uint64) (behind bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Kind == api.EventEnded {
		e.ended[e.next%len(e.ended)] = event
		e.next++
	}
	for w := range e.watchers {
		w.lost += lost
		if !w.tellLost() || !w.give(event) {
			w.lost++ // this one, too
			behind = true
		}
	}
	return behind
}

// tellLost tells those who have missed events and have room again. It reports whether
// there are others.
func (e *events) tellLost() (behind bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for w := range e.watchers {
		behind = !w.tellLost() || behind
	}
	return behind
}

// tellLost reports whether the watcher knows how many it has missed.
func (w *watcher) tellLost() bool {
	if w.lost > 0 && !w.give(w.missed()) {
		return false
	}
	w.lost = 0
	return true
}

func (w *watcher) missed() *api.Event {
	return &api.Event{Kind: api.EventLost, Time: time.Now(), Lost: w.lost}
}

// give is called by one goroutine at a time.
func (w *watcher) give(event *api.Event) bool {
	if len(w.events) >= watcherQueue {
		return false
	}
	w.events <- *event
	return true
}

// watcherQueue is how many events a watcher may be behind. There is room for one more:
// at the end, what it has missed.
const watcherQueue = 1024

// watch returns what happens from now on, behind the latest replay endings. It goes
// on until ctx is done, or until close, when the channel is closed.
func (e *events) watch(ctx context.Context, replay int) <-chan api.Event {
	w := &watcher{events: make(chan api.Event, watcherQueue+1)}
	e.watching.Add(1)
	e.mu.Lock()
	for i := max(0, e.next-min(replay, len(e.ended))); i < e.next; i++ {
		w.events <- *e.ended[i%len(e.ended)]
	}
	e.watchers[w] = struct{}{}
	e.mu.Unlock()
	go func() {
		select {
		case <-ctx.Done():
		case <-e.done:
		}
		e.mu.Lock()
		delete(e.watchers, w)
		if w.lost > 0 {
			w.events <- *w.missed()
		}
		e.mu.Unlock()
		e.watching.Add(-1)
		close(w.events)
	}()
	return w.events
}

// close ends all watching, once what was told before is handed on. What is told later
// is lost.
func (e *events) close() {
	close(e.stopped)
	<-e.done
}
