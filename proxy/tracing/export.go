package tracing

import (
	"context"
	"errors"
	"log/slog"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// gate lets no more spans into the SDK's queue than it has room for: that drops what is
// too much, but does not tell how much it was.
type gate struct {
	sdk.SpanProcessor
	exporter *exporter
}

// OnEnd is called on event loops.
func (g *gate) OnEnd(span sdk.ReadOnlySpan) {
	if g.exporter.waiting.Add(1) > maxSpans {
		g.exporter.waiting.Add(-1)
		g.exporter.losses.spans.Add(1)
		return
	}
	g.SpanProcessor.OnEnd(span)
}

// exporter sends batches. The SDK calls it from one goroutine.
type exporter struct {
	sdk.SpanExporter
	losses  *losses
	waiting atomic.Int64 // spans, with those of the batch under way

	aborted context.Context
	abort   context.CancelFunc // gives up the batch under way, and all that follow
	closed  chan struct{}      // nothing more is sent
}

func newExporter(otlp sdk.SpanExporter, losses *losses) *exporter {
	e := &exporter{SpanExporter: otlp, losses: losses, closed: make(chan struct{})}
	e.aborted, e.abort = context.WithCancel(context.Background())
	return e
}

// ExportSpans returns no error: it has told it.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.aborted, cancel)()

	err := e.SpanExporter.ExportSpans(ctx, spans)
	e.waiting.Add(int64(-len(spans)))
	if err != nil {
		e.losses.spans.Add(uint64(len(spans)))
	}
	if e.losses.spans.Load() > 0 {
		e.losses.tell(err)
	}
	return nil
}

func (e *exporter) Shutdown(ctx context.Context) error {
	defer close(e.closed)
	return e.SpanExporter.Shutdown(ctx)
}

// losses tells the log of spans that were dropped, and of the SDK's other errors: of the
// first at once, of those that follow at most once in lossInterval.
type losses struct {
	log   *slog.Logger
	now   func() time.Time
	spans atomic.Uint64 // not told yet; event loops do no more than count them

	mu   sync.Mutex
	next time.Time // when a line may be written
	last error     // since the last line
}

const (
	lossInterval = time.Minute
	// maxReason is what a line has of an error's text, which may hold a collector's
	// whole answer.
	maxReason = 300
)

var errQueueFull = errors.New("the collector is too slow, and the queue is full")

// tell writes a line, unless it is too early. A nil err: spans did not fit the queue.
func (l *losses) tell(err error) {
	if err == nil {
		err = errQueueFull
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = err
	if now := l.now(); !now.Before(l.next) {
		l.next = now.Add(lossInterval)
		l.write()
	}
}

// tellAll writes what has not been told.
func (l *losses) tellAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.spans.Load() > 0 {
		l.write()
	}
}

func (l *losses) write() {
	if l.last == nil {
		l.last = errQueueFull
	}
	err := l.last
	if e, ok := errors.AsType[*url.Error](err); ok {
		err = e.Err // without the URL, in which there may be a secret
	}
	reason := err.Error()
	if len(reason) > maxReason {
		reason = reason[:maxReason] + "..."
	}
	l.last = nil
	l.log.Warn("tracing fails", "spans_dropped", l.spans.Swap(0), "error", reason)
}
