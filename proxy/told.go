package proxy

import (
	"sync/atomic"
	"time"

	"wswarden/proxy/evloop"
)

// told is what the log has been told of what can happen very often: one line in a
// second.
type told struct {
	last   atomic.Int64 // moment; 0: never
	untold atomic.Uint64
}

// tell reports whether it is time for a line, and how many there were without one
// since the last. It may be called from any goroutine.
func (t *told) tell() (untold uint64, now bool) {
	at := int64(evloop.Now())
	last := t.last.Load()
	if last != 0 && at-last < int64(time.Second) || !t.last.CompareAndSwap(last, at) {
		t.untold.Add(1)
		return 0, false
	}
	return t.untold.Swap(0), true
}
