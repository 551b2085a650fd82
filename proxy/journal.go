package proxy

import (
	"context"
	"log/slog"
	"sync/atomic"
	"time"
)

// journal is a slog.Handler that hands records to another one on a goroutine of
// its own: a log that nobody reads holds up no event loop, no client and no
// drain. What does not fit its queue is dropped, counted and told.
type journal struct {
	slog.Handler
	*journalQueue
}

type journalQueue struct {
	entries chan journalEntry
	dropped atomic.Uint64 // since the log was last told
	lost    atomic.Uint64 // in all
	closing chan struct{}
	done    chan struct{}
}

type journalEntry struct {
	handler slog.Handler
	record  slog.Record
}

// journalPatience bounds the wait for a log that takes nothing any more.
const journalPatience = time.Second

func newJournal(handler slog.Handler) *journal {
	q := &journalQueue{
		entries: make(chan journalEntry, 4096),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
	}
	go q.run()
	return &journal{handler, q}
}

// Handle never blocks.
func (j *journal) Handle(_ context.Context, r slog.Record) error {
	select {
	case j.entries <- journalEntry{j.Handler, r}:
	default:
		j.dropped.Add(1)
		j.lost.Add(1)
	}
	return nil
}

func (j *journal) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &journal{j.Handler.WithAttrs(attrs), j.journalQueue}
}

func (j *journal) WithGroup(name string) slog.Handler {
	return &journal{j.Handler.WithGroup(name), j.journalQueue}
}

// close returns when everything is written, or when the log has had its time.
// What comes later is dropped.
func (q *journalQueue) close() {
	close(q.closing)
	select {
	case <-q.done:
	case <-time.After(journalPatience):
	}
}

func (q *journalQueue) run() {
	defer close(q.done)
	for {
		select {
		case e := <-q.entries:
			q.write(e)
			continue
		default:
		}
		select {
		case e := <-q.entries:
			q.write(e)
		case <-q.closing:
			if len(q.entries) == 0 {
				return
			}
		}
	}
}

func (q *journalQueue) write(e journalEntry) {
	_ = e.handler.Handle(context.Background(), e.record)
	if n := q.dropped.Swap(0); n > 0 {
		r := slog.NewRecord(time.Now(), slog.LevelWarn, "log too slow, records dropped", 0)
		r.AddAttrs(slog.Uint64("records", n))
		_ = e.handler.Handle(context.Background(), r)
	}
}
