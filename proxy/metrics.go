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

	turnedAway map[policies.Refusal]prometheus.Counter // handshakes
	told       map[policies.Refusal]*told
}

// newMetrics registers the counters and returns them for each policy.
func (s *Server) newMetrics() map[*policies.Policy]*metrics {
	register, list := promauto.With(s.registry), s.config.Policies
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"policy"}, labels...))
	}
	ended := counter("wswarden_sessions_ended_total", "Sessions that have ended, by cause.", "cause")
	refused := counter("wswarden_subscriptions_refused_total", "Subscriptions that were not passed on to upstream.")
	evicted := counter("wswarden_subscriptions_evicted_total", "Subscriptions that were undone for a newer one.")
	dropped := counter("wswarden_messages_dropped_total", "Messages of clients that were dropped for their rate.")
	turnedAway := counter("wswarden_handshakes_refused_total", "Handshakes that a policy has refused, by reason.", "reason")
	register.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wswarden_pressure_step",
		Help: "How short memory is: from 0, not at all, to 7, at which handshakes are refused.",
	}, func() float64 { return float64(s.pressure.Load()) })
	register.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "wswarden_pressure_heap_bytes",
		Help: "Live heap when that was last found out; 0 where pressure.heap is off.",
	}, func() float64 { return float64(s.liveHeap.Load()) })
	all := make(map[*policies.Policy]*metrics, len(list))
	for i := range list {
		name := list[i].Name
		m := &metrics{
			ended:   make(map[policies.Cause]prometheus.Counter),
			refused: refused.WithLabelValues(name),
			evicted: evicted.WithLabelValues(name),
			dropped: dropped.WithLabelValues(name),

			turnedAway: make(map[policies.Refusal]prometheus.Counter),
			told:       make(map[policies.Refusal]*told),
		}
		for _, cause := range policies.Causes() {
			m.ended[cause] = ended.WithLabelValues(name, cause.String())
		}
		for _, why := range policies.Refusals() {
			m.turnedAway[why] = turnedAway.WithLabelValues(name, why.String())
			m.told[why] = new(told)
		}
		all[&list[i]] = m
	}
	return all
}
