package proxy

import (
	"context"
	"sync"
	"sync/atomic"

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

// run hands on what is told until close.
func (e *events) run() {
	defer close(e.done)
	var missed uint64
	for {
		select {
		case event := <-e.queue:
			lost := e.lost.Load()
			e.handOn(event, lost-missed)
			missed = lost
		case <-e.stopped:
			return
		}
	}
}

// handOn gives an event to all, before which so many were lost.
func (e *events) handOn(event *api.Event, lost uint64) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if event.Kind == api.EventEnded {
		e.ended[e.next%len(e.ended)] = event
		e.next++
	}
	for w := range e.watchers {
		if w.lost += lost; w.lost > 0 && !w.give(&api.Event{Kind: api.EventLost, Time: event.Time, Lost: w.lost}) {
			w.lost++ // this one, too
			continue
		}
		w.lost = 0
		if !w.give(event) {
			w.lost++
		}
	}
}

func (w *watcher) give(event *api.Event) bool {
	select {
	case w.events <- *event:
		return true
	default:
		return false
	}
}

// watcherQueue is how many events a watcher may be behind.
const watcherQueue = 1024

// watch returns what happens from now on, behind the latest replay endings. It goes
// on until ctx is done, or until close, when the channel is closed.
func (e *events) watch(ctx context.Context, replay int) <-chan api.Event {
	w := &watcher{events: make(chan api.Event, watcherQueue)}
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
		e.mu.Unlock()
		e.watching.Add(-1)
		close(w.events)
	}()
	return w.events
}

// close ends all watching. What is told later is lost.
func (e *events) close() {
	close(e.stopped)
	<-e.done
}
