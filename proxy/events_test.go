package proxy

import (
	"context"
	"testing"
	"time"

	"wswarden/proxy/admin/api"
)

func startEvents(t *testing.T) *events {
	e := newEvents()
	t.Cleanup(e.close)
	return e
}

// next returns the next event; not ok: there will be none.
func next(t *testing.T, events <-chan api.Event) (e api.Event, ok bool) {
	t.Helper()
	select {
	case e, ok = <-events:
		return e, ok
	case <-time.After(10 * time.Second):
		t.Fatal("no event comes")
		return e, false
	}
}

func TestEventsReachAllWhoWatch(t *testing.T) {
	e := startEvents(t)
	if e.watched() {
		t.Error("watched by nobody")
	}
	ctx, cancel := context.WithCancel(t.Context())
	first, second := e.watch(ctx, 0), e.watch(t.Context(), 0)
	if !e.watched() {
		t.Error("not watched")
	}
	for id := range api.ID(3) {
		e.tell(&api.Event{Kind: api.EventOpened, Session: id})
	}
	for id := range api.ID(3) {
		for _, events := range []<-chan api.Event{first, second} {
			if got, _ := next(t, events); got.Session != id {
				t.Errorf("session %v, want %v", got.Session, id)
			}
		}
	}
	cancel()
	if _, ok := next(t, first); ok {
		t.Error("who has gone is told more")
	}
}

// Who comes late is told of the latest endings, however many there were.
func TestEndingsAreReplayed(t *testing.T) {
	for _, c := range []struct{ ended, replay, want int }{{0, 10, 0}, {5, 10, 5}, {5, 3, 3}, {5, 0, 0}, {700, 256, 256}, {700, 9, 9}} {
		e := startEvents(t)
		all := e.watch(t.Context(), 0)
		for id := range c.ended {
			e.tell(&api.Event{Kind: api.EventEnded, Session: api.ID(id)})
			next(t, all)
		}
		late := e.watch(t.Context(), c.replay)
		e.tell(&api.Event{Kind: api.EventOpened})
		for i := range c.want {
			if got, _ := next(t, late); got.Session != api.ID(c.ended-c.want+i) {
				t.Errorf("%+v: session %d, want %d", c, got.Session, c.ended-c.want+i)
			}
		}
		if got, _ := next(t, late); got.Kind != api.EventOpened {
			t.Errorf("%+v: %s, want what happens now", c, got.Kind)
		}
	}
}

// Who does not read misses events, and is told how many; others miss none.
func TestSlowWatcherIsToldWhatItMissed(t *testing.T) {
	const more = 500
	e := startEvents(t)
	slow, quick := e.watch(t.Context(), 0), e.watch(t.Context(), 0)
	for id := range api.ID(watcherQueue + more) {
		e.tell(&api.Event{Kind: api.EventOpened, Session: id})
		if got, _ := next(t, quick); got.Session != id {
			t.Fatalf("session %v, want %v", got.Session, id)
		}
	}
	e.watch(t.Context(), 0) // all have been handed on when this comes back
	for range watcherQueue {
		next(t, slow)
	}
	e.tell(&api.Event{Kind: api.EventSubscribed})
	if got, _ := next(t, slow); got.Kind != api.EventLost || got.Lost != more {
		t.Errorf("%s of %d, want %s of %d", got.Kind, got.Lost, api.EventLost, more)
	}
	if got, _ := next(t, slow); got.Kind != api.EventSubscribed {
		t.Errorf("%s, want the event behind", got.Kind)
	}
}

// The end of it all ends watching, too.
func TestWatchingEndsWithTheServer(t *testing.T) {
	e := newEvents()
	events := e.watch(context.Background(), 0)
	e.close()
	if _, ok := next(t, events); ok {
		t.Error("an event")
	}
	late := e.watch(context.Background(), 0)
	if _, ok := next(t, late); ok {
		t.Error("an event for one who comes too late")
	}
}
