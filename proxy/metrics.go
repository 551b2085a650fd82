package proxy

import (
	"runtime"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

// metrics are the counters of one policy. They are there from the start: a rate
// needs the zero before the first event, and counting needs no lock.
type metrics struct {
	ended    map[policies.Cause]prometheus.Counter
	duration prometheus.Observer
	released map[releaseOutcome]prometheus.Observer
	pings    struct{ client, upstream prometheus.Observer }

	refused      prometheus.Counter // subscriptions
	evicted      prometheus.Counter // subscriptions
	unsubscribed prometheus.Counter // subscriptions that were left
	left         prometheus.Counter // and that upstream was not told of
	dropped      prometheus.Counter // messages

	hits       map[policies.Limit]prometheus.Counter
	turnedAway map[policies.Refusal]prometheus.Counter // handshakes

	// What rules would have done that only observe.
	wouldHit      map[policies.Limit]prometheus.Counter
	wouldTurnAway map[policies.Refusal]prometheus.Counter
	wouldEnd      map[policies.Cause]prometheus.Counter
	wouldPing     struct{ client, upstream prometheus.Counter }

	// What the log has been told of each.
	toldHits     map[policies.Limit]*told
	toldRefusals map[policies.Refusal]*told
	toldFailures *told // of upstream
}

var (
	// A zombie of a mobile network lives minutes, a browser's tab days.
	durationBuckets = []float64{1, 10, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600}
	// From the same machine to a train in a tunnel.
	pingBuckets    = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	releaseBuckets = []float64{.001, .01, .1, .5, 1, 2.5, 5, 10}
	// A millisecond is what operators' questions may cost.
	lagBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}
)

// vectors are the counters of all policies.
type vectors struct {
	all []interface{ DeletePartialMatch(prometheus.Labels) int }

	ended, wouldEnd, turnedAway, wouldTurnAway, wouldPing, hits *prometheus.CounterVec
	refused, evicted, releasedSubscriptions, dropped            *prometheus.CounterVec
	duration, pings, release                                    *prometheus.HistogramVec
}

func newVectors(registry prometheus.Registerer) *vectors {
	register, v := promauto.With(registry), new(vectors)
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		vector := register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"policy"}, labels...))
		v.all = append(v.all, vector)
		return vector
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		vector := register.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, append([]string{"policy"}, labels...))
		v.all = append(v.all, vector)
		return vector
	}
	v.ended = counter("wswarden_sessions_ended_total", "Sessions that have ended, by cause.", "cause")
	v.duration = histogram("wswarden_session_duration_seconds", "How long sessions have lived that have ended.", durationBuckets)
	v.pings = histogram("wswarden_ping_round_trip_seconds", "Time from a ping of wswarden's to its pong, by the side that was asked.", pingBuckets, "side")
	v.release = histogram("wswarden_release_seconds", "Time from the beginning of a session's end until upstream let go of it, by how it did.", releaseBuckets, "outcome")
	v.refused = counter("wswarden_subscriptions_refused_total", "Subscriptions that were not passed on to upstream.")
	v.evicted = counter("wswarden_subscriptions_evicted_total", "Subscriptions that were undone for a newer one.")
	v.releasedSubscriptions = counter("wswarden_subscriptions_released_total", "Subscriptions that a session had left at its end: unsubscribed, or left to upstream.", "outcome")
	v.dropped = counter("wswarden_messages_dropped_total", "Messages of clients that were dropped for their rate.")
	v.turnedAway = counter("wswarden_handshakes_refused_total", "Handshakes that a policy has refused, by reason.", "reason")
	v.hits = counter("wswarden_limit_hits_total", "How often a limit was met, by its key; by mode, whether something was done about it (enforce) or would have been (observe).", "limit", "mode")
	v.wouldEnd = counter("wswarden_would_have_ended_total", "Sessions that a rule would have ended that only observes, by cause.", "cause")
	v.wouldTurnAway = counter("wswarden_would_have_refused_total", "Handshakes that a rule would have refused that only observes, by reason.", "reason")
	v.wouldPing = counter("wswarden_would_have_pinged_total", "Pings that a rule would have sent that only observes, by the side that they are for.", "side")
	return v
}

// of returns the counters of a policy.
func (v *vectors) of(policy string) *metrics {
	m := &metrics{
		ended:         make(map[policies.Cause]prometheus.Counter),
		wouldEnd:      make(map[policies.Cause]prometheus.Counter),
		duration:      v.duration.WithLabelValues(policy),
		released:      make(map[releaseOutcome]prometheus.Observer),
		refused:       v.refused.WithLabelValues(policy),
		evicted:       v.evicted.WithLabelValues(policy),
		unsubscribed:  v.releasedSubscriptions.WithLabelValues(policy, "unsubscribed"),
		left:          v.releasedSubscriptions.WithLabelValues(policy, "left"),
		dropped:       v.dropped.WithLabelValues(policy),
		hits:          make(map[policies.Limit]prometheus.Counter),
		wouldHit:      make(map[policies.Limit]prometheus.Counter),
		turnedAway:    make(map[policies.Refusal]prometheus.Counter),
		wouldTurnAway: make(map[policies.Refusal]prometheus.Counter),
		toldHits:      make(map[policies.Limit]*told),
		toldRefusals:  make(map[policies.Refusal]*told),
		toldFailures:  new(told),
	}
	m.pings.client = v.pings.WithLabelValues(policy, sideClient)
	m.pings.upstream = v.pings.WithLabelValues(policy, sideUpstream)
	m.wouldPing.client = v.wouldPing.WithLabelValues(policy, sideClient)
	m.wouldPing.upstream = v.wouldPing.WithLabelValues(policy, sideUpstream)
	for _, cause := range policies.Causes() {
		m.ended[cause] = v.ended.WithLabelValues(policy, cause.String())
		if cause.Observable() {
			m.wouldEnd[cause] = v.wouldEnd.WithLabelValues(policy, cause.String())
		}
	}
	for how := releaseClosed; how < releaseOutcomes; how++ {
		m.released[how] = v.release.WithLabelValues(policy, how.String())
	}
	for _, why := range policies.Refusals() {
		m.turnedAway[why] = v.turnedAway.WithLabelValues(policy, why.String())
		if why.Observable() {
			m.wouldTurnAway[why] = v.wouldTurnAway.WithLabelValues(policy, why.String())
		}
		m.toldRefusals[why] = new(told)
	}
	for _, limit := range policies.Limits() {
		m.hits[limit] = v.hits.WithLabelValues(policy, limit.String(), string(policies.ModeEnforce))
		m.wouldHit[limit] = v.hits.WithLabelValues(policy, limit.String(), string(policies.ModeObserve))
		m.toldHits[limit] = new(told)
	}
	return m
}

// forget removes what was counted of a policy that is gone.
func (v *vectors) forget(policy string) {
	for _, vector := range v.all {
		vector.DeletePartialMatch(prometheus.Labels{"policy": policy})
	}
}

// registerGauges registers what is the server's, and not a policy's.
func (s *Server) registerGauges() {
	register := promauto.With(s.registry)
	gauge := func(name, help string, value func() float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, value)
	}
	counter := func(name, help string, value func() uint64) {
		register.NewCounterFunc(prometheus.CounterOpts{Name: name, Help: help}, func() float64 { return float64(value()) })
	}
	register.NewGaugeVec(prometheus.GaugeOpts{Name: "wswarden_build_info", Help: "Always 1: what runs is in the labels."},
		[]string{"version", "goversion"}).WithLabelValues(Version(), runtime.Version()).Set(1)
	gauge("wswarden_draining", "1 from the beginning of the drain, 0 before.", func() float64 {
		if s.ready() {
			return 0
		}
		return 1
	})
	s.unmatched = register.NewCounter(prometheus.CounterOpts{Name: "wswarden_handshakes_unmatched_total", Help: "Handshakes that no policy matches, answered with 404."})
	s.reloads.register(register)
	gauge("wswarden_pressure_step", "How short memory is: from 0, not at all, to 7, at which handshakes are refused.",
		func() float64 { return float64(s.pressure.Load()) })
	gauge("wswarden_pressure_heap_bytes", "Live heap when that was last found out; 0 where pressure.heap is off.",
		func() float64 { return float64(s.liveHeap.Load()) })
	counter("wswarden_log_records_dropped_total", "Lines that were not written, as nobody read the log.", s.journal.lost.Load)
	counter("wswarden_events_lost_total", "Events that nobody was told of, as there were too many at once.", s.events.lost.Load)
	s.registry.MustRegister(tallies{s})
}

// tallies collects what the loops count for themselves.
type tallies struct{ *Server }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

var (
	liveDesc          = describe("wswarden_sessions_live", "Sessions that there are.", "policy")
	openedDesc        = describe("wswarden_sessions_opened_total", "Sessions that have begun.", "policy")
	subscriptionsDesc = describe("wswarden_subscriptions_live", "Subscriptions that there are, confirmed by upstream or not yet.", "policy")
	messagesDesc      = describe("wswarden_messages_total", "Messages that have been received from one side for the other.", "policy", "direction")
	bytesDesc         = describe("wswarden_bytes_total", "Bytes that have been received so, as they are on the wire.", "policy", "direction")
	busyDesc          = describe("wswarden_loop_busy_seconds_total", "Time that an event loop has worked.", "loop")
	loopSessionsDesc  = describe("wswarden_loop_sessions", "Sessions that an event loop has.", "loop")
	lagDesc           = describe("wswarden_loop_lag_seconds", "How late an event loop is, once a second: what is ready waits so long.", "loop")
)

func (t tallies) Describe(descs chan<- *prometheus.Desc) {
	for _, desc := range []*prometheus.Desc{liveDesc, openedDesc, subscriptionsDesc, messagesDesc, bytesDesc, busyDesc, loopSessionsDesc, lagDesc} {
		descs <- desc
	}
}

func (t tallies) Collect(metrics chan<- prometheus.Metric) {
	send := func(desc *prometheus.Desc, kind prometheus.ValueType, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(desc, kind, value, labels...)
	}
	kinds := t.setup().all()
	for _, k := range kinds {
		policy, sum := k.policy, k.sum()
		send(liveDesc, prometheus.GaugeValue, float64(sum.live), policy.Name)
		send(openedDesc, prometheus.CounterValue, float64(sum.opened), policy.Name)
		send(subscriptionsDesc, prometheus.GaugeValue, float64(sum.subscriptions), policy.Name)
		for direction, label := range directionLabels {
			send(messagesDesc, prometheus.CounterValue, float64(sum.flows[direction].messages), policy.Name, label)
			send(bytesDesc, prometheus.CounterValue, float64(sum.flows[direction].bytes), policy.Name, label)
		}
	}
	for i, w := range t.workers {
		loop := strconv.Itoa(i)
		send(busyDesc, prometheus.CounterValue, w.loop.Busy().Seconds(), loop)
		live := int64(0)
		for _, k := range kinds {
			live += k.tally(w).live.Load()
		}
		send(loopSessionsDesc, prometheus.GaugeValue, float64(live), loop)
		count, sum, buckets := w.lag.read()
		metrics <- prometheus.MustNewConstHistogram(lagDesc, count, sum, buckets, loop)
	}
}

var directionLabels = [...]string{
	dialects.ClientToUpstream: "client_to_upstream",
	dialects.UpstreamToClient: "upstream_to_client",
}
