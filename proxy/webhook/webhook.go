// Package webhook tells HTTP servers of the sessions that have ended.
//
// Each URL has a queue of its own (queue.go): in memory, bounded by the number of
// its reports and by their bytes, and served by a few goroutines that exist only
// while there is something to send. A report is attempted (attempt.go) until it is
// delivered, refused for good, or its attempts are used up; while it waits for its
// next attempt it holds up no other. What is not delivered is counted and logged
// (metrics.go).
//
// Delivery is at least once: a server may see a report again after an answer that
// was lost, and knows it by its id, which is also the Idempotency-Key. The order of
// reports is not kept.
package webhook

import (
	"context"
	"crypto/rand"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"wswarden/policies"
)

// Reporter delivers reports. Its methods may be called from any goroutine.
type Reporter struct {
	client  *http.Client
	metrics metrics
	log     *slog.Logger
	ctx     context.Context // of all attempts; it ends when Close gives up
	cancel  context.CancelFunc
	workers sync.WaitGroup

	// The outside, for tests.
	newID  func() string
	jitter jitter

	mu      sync.Mutex
	queues  map[string]*queue // by URL
	closing bool
}

// New makes a Reporter. It holds no goroutine while it has nothing to send, but
// for those of connections kept for reuse. Its metrics are registered with
// registerer, where there may be no other Reporter's. The log must not block:
// event loops write to it.
func New(log *slog.Logger, registerer prometheus.Registerer) *Reporter {
	ctx, cancel := context.WithCancel(context.Background())
	return &Reporter{
		client:  newClient(ctx),
		metrics: newMetrics(registerer),
		log:     log,
		ctx:     ctx,
		cancel:  cancel,
		newID:   rand.Text,
		jitter:  fullJitter,
		queues:  make(map[string]*queue),
	}
}

// Hook is a policy's webhook. A nil Hook is one that is off.
type Hook struct {
	queue  *queue
	conf   policies.Webhook
	policy string // its name in metrics and logs
	tally  tally
}

// Hook returns the webhook of a policy; nil if it has none. It is kept and used
// for all of the policy's reports. Hooks with the same URL share a queue.
func (r *Reporter) Hook(policy string, conf policies.Webhook) *Hook {
	if conf.URL == "" {
		return nil
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	q := r.queues[conf.URL]
	if q == nil {
		q = &queue{reporter: r, losses: losses{log: r.log}, closing: r.closing}
		r.queues[conf.URL] = q
	}
	return &Hook{queue: q, conf: conf, policy: policy, tally: r.metrics.tally(policy)}
}

// Send takes the report for delivery, or drops it if there is no room. It never
// waits for anything slow, and may be called on an event loop.
func (h *Hook) Send(report *Report) {
	if h == nil {
		return
	}
	h.queue.put(&delivery{hook: h, report: report, size: report.bytes()})
}

// Close gives each report that is left one last attempt, at once and until ctx
// is done, and drops what is not delivered by then, and what is sent later. When
// it returns there is nothing left of the Reporter.
func (r *Reporter) Close(ctx context.Context) {
	r.mu.Lock()
	r.closing = true
	queues := slices.Collect(maps.Values(r.queues))
	r.mu.Unlock()

	for _, q := range queues {
		q.close()
	}
	giveUp := context.AfterFunc(ctx, r.cancel)
	r.workers.Wait()
	giveUp()
	r.cancel()
	r.client.CloseIdleConnections()
	for _, q := range queues {
		q.losses.tell()
	}
}
