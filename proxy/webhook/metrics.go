package webhook

import (
	"log/slog"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// outcome is what became of a report.
type outcome uint8

const (
	delivered        outcome = iota // a 2xx answer
	rejected                        // an answer that another attempt would not change
	droppedQueueFull                // no room when it was sent
	droppedAttempts                 // the last attempt failed
	droppedShutdown                 // wswarden ended
	outcomes                        // how many there are
)

var outcomeWords = [outcomes]string{"delivered", "rejected", "dropped_queue_full", "dropped_attempts", "dropped_shutdown"}

// result is what came of one attempt.
type result uint8

const (
	accepted        result = iota // 2xx
	refused                       // any answer that is not listed here
	busy                          // 408 or 429
	serverError                   // 5xx
	timedOut                      // no answer in time
	connectionError               // no connection, or one that broke, or no HTTP
	aborted                       // cut short by the shutdown
	results                       // how many there are
)

var resultWords = [results]string{"accepted", "refused", "busy", "server_error", "timeout", "connection_error", "aborted"}

type metrics struct {
	reports  *prometheus.CounterVec
	attempts *prometheus.CounterVec
	queued   prometheus.Gauge
}

func newMetrics(registerer prometheus.Registerer) metrics {
	register := promauto.With(registerer)
	return metrics{
		reports: register.NewCounterVec(prometheus.CounterOpts{
			Name: "wswarden_webhook_reports_total",
			Help: "Reports of ended sessions by what became of them.",
		}, []string{"policy", "outcome"}),
		attempts: register.NewCounterVec(prometheus.CounterOpts{
			Name: "wswarden_webhook_attempts_total",
			Help: "Attempts to deliver a report by what came of them.",
		}, []string{"policy", "outcome"}),
		queued: register.NewGauge(prometheus.GaugeOpts{
			Name: "wswarden_webhook_queue_reports",
			Help: "Reports whose delivery is not yet decided.",
		}),
	}
}

// Forget removes what was counted of a policy that is gone.
func (r *Reporter) Forget(policy string) {
	labels := prometheus.Labels{"policy": policy}
	r.metrics.reports.DeletePartialMatch(labels)
	r.metrics.attempts.DeletePartialMatch(labels)
}

// tally holds the counters of one policy. They all exist from the start: a rate
// needs the zero before the first one, and counting needs no lock.
type tally struct {
	reports  [outcomes]prometheus.Counter
	attempts [results]prometheus.Counter
}

func (m metrics) tally(policy string) (t tally) {
	for i, word := range outcomeWords {
		t.reports[i] = m.reports.WithLabelValues(policy, word)
	}
	for i, word := range resultWords {
		t.attempts[i] = m.attempts.WithLabelValues(policy, word)
	}
	return t
}

// losses tells the log of reports that were not delivered: of the first at once,
// of those that follow at most once in lossInterval. A loss that comes too soon
// after a line is told by the next one.
type losses struct {
	log *slog.Logger

	mu    sync.Mutex
	next  time.Time // when a line may be written
	count int       // since the last line
	last  loss
}

type loss struct {
	policy  string
	outcome outcome
	reason  string
}

const lossInterval = 10 * time.Second

// add may be called on an event loop.
func (l *losses) add(what loss) {
	l.mu.Lock()
	l.count++
	l.last = what
	now := time.Now()
	early := now.Before(l.next)
	if !early {
		l.next = now.Add(lossInterval)
	}
	l.mu.Unlock()
	if !early {
		l.tell()
	}
}

// tell writes what has not been told.
func (l *losses) tell() {
	l.mu.Lock()
	count, last := l.count, l.last
	l.count = 0
	l.mu.Unlock()
	if count > 0 {
		l.log.Warn("webhook reports not delivered",
			"policy", last.policy, "outcome", outcomeWords[last.outcome], "reason", last.reason, "reports", count)
	}
}
