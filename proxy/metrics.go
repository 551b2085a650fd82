package proxy

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"wswarden/policies"
)

// metrics are the counters of one policy. They are there from the start: a rate
// needs the zero before the first event, and counting needs no lock.
type metrics struct {
	ended   map[policies.Cause]prometheus.Counter
	refused prometheus.Counter // subscriptions
	evicted prometheus.Counter // subscriptions
	dropped prometheus.Counter // messages
}

// newMetrics registers the counters and returns them for each policy.
func newMetrics(registerer prometheus.Registerer, list []policies.Policy) map[*policies.Policy]*metrics {
	register := promauto.With(registerer)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"policy"}, labels...))
	}
	ended := counter("wswarden_sessions_ended_total", "Sessions that have ended, by cause.", "cause")
	refused := counter("wswarden_subscriptions_refused_total", "Subscriptions that were not passed on to upstream.")
	evicted := counter("wswarden_subscriptions_evicted_total", "Subscriptions that were undone for a newer one.")
	dropped := counter("wswarden_messages_dropped_total", "Messages of clients that were dropped for their rate.")
	all := make(map[*policies.Policy]*metrics, len(list))
	for i := range list {
		name := list[i].Name
		m := &metrics{
			ended:   make(map[policies.Cause]prometheus.Counter),
			refused: refused.WithLabelValues(name),
			evicted: evicted.WithLabelValues(name),
			dropped: dropped.WithLabelValues(name),
		}
		for _, cause := range policies.Causes() {
			m.ended[cause] = ended.WithLabelValues(name, cause.String())
		}
		all[&list[i]] = m
	}
	return all
}
