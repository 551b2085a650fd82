package proxy

import (
	"context"
	"fmt"
	"log/slog"
	"net/netip"
	"sync/atomic"
	"time"

	"wswarden/policies"
)

// record is all that is told of a session when it has ended.
type record struct {
	id       uint64
	policy   string
	address  netip.Addr
	cause    policies.Cause
	code     uint16
	duration time.Duration
}

// journal writes records to the log on a goroutine of its own, so that a slow
// log holds up no event loop. What does not fit its queue is counted and told.
type journal struct {
	log     *slog.Logger
	queue   chan record
	dropped atomic.Uint64
	done    chan struct{}
}

func newJournal(log *slog.Logger) *journal {
	j := &journal{log: log, queue: make(chan record, 4096), done: make(chan struct{})}
	go j.run()
	return j
}

// write may be called from any goroutine, and not after close.
func (j *journal) write(r record) {
	if !j.log.Enabled(context.Background(), slog.LevelInfo) {
		return
	}
	select {
	case j.queue <- r:
	default:
		j.dropped.Add(1)
	}
}

// close returns when everything is written.
func (j *journal) close() {
	close(j.queue)
	<-j.done
}

func (j *journal) run() {
	defer close(j.done)
	for r := range j.queue {
		j.log.LogAttrs(context.Background(), slog.LevelInfo, "session ended",
			slog.String("session", fmt.Sprintf("%016x", r.id)),
			slog.String("policy", r.policy),
			slog.String("client", r.address.String()),
			slog.String("cause", r.cause.String()),
			slog.Int("close_code", int(r.code)),
			slog.String("duration", r.duration.Round(time.Millisecond).String()),
		)
		if n := j.dropped.Swap(0); n > 0 {
			j.log.Warn("log too slow: session records dropped", "records", n)
		}
	}
}
