package proxy

import (
	"testing"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
)

// Who has missed the last events of all is told so, though nothing else happens.
func TestSlowWatcherIsToldWithoutAnotherEvent(t *testing.T) {
	const more = 500
	e := startEvents(t)
	slow, quick := e.watch(t.Context(), 0), e.watch(t.Context(), 0)
	for id := range api.ID(watcherQueue + more) {
		e.tell(&api.Event{Kind: api.EventEnded, Session: id})
		next(t, quick)
	}
	e.watch(t.Context(), 0) // not before the last one is handed on to both
	for range watcherQueue {
		next(t, slow)
	}
	if got, _ := next(t, slow); got.Kind != api.EventLost || got.Lost != more {
		t.Errorf("%s of %d, want %s of %d", got.Kind, got.Lost, api.EventLost, more)
	}
}

// What was told before the end reaches who watches.
func TestEventsBeforeTheEndReachTheirWatchers(t *testing.T) {
	const told = 500
	e := newEvents()
	events := e.watch(t.Context(), 0)
	for id := range api.ID(told) {
		e.tell(&api.Event{Kind: api.EventEnded, Session: id})
	}
	e.close()
	for id := range api.ID(told) {
		if got, ok := next(t, events); !ok || got.Session != id {
			t.Fatalf("session %v, %v, want %v", got.Session, ok, id)
		}
	}
	if _, ok := next(t, events); ok {
		t.Error("an event after the end")
	}
}

// A scan whose reader takes his time keeps none of the sessions that end meanwhile.
func TestScanKeepsNoSessionThatHasEnded(t *testing.T) {
	c := newCrew(t, 10*scanStep)
	spin := func(*session) int {
		for until := evloop.Now() + scanTime; evloop.Now() < until; {
		}
		return scanStep
	}
	scanWorker(t.Context(), c.worker, spin, func() bool {
		noted := make(chan int)
		_ = c.loop.Do(func() {
			for range 1000 {
				c.remove(c.sessions[0])
				c.hire()
			}
			for scan := range c.scans {
				noted <- len(scan.moved)
			}
			close(noted)
		})
		if n, ok := <-noted; !ok || n > 10*scanStep {
			t.Errorf("%d sessions are noted, of %d", n, 10*scanStep)
		}
		return false
	})
}
