package proxy

import (
	"runtime"
	"strconv"
	"time"

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

	// What the log has been told of each.
	toldHits     map[policies.Limit]*told
	toldRefusals map[policies.Refusal]*told
	toldFailures *told // of upstream
}

// The modes of a policy.
const modeEnforce = "enforce"

var (
	// A zombie of a mobile network lives minutes, a browser's tab days.
	durationBuckets = []float64{1, 10, 60, 300, 1800, 3600, 4 * 3600, 12 * 3600, 24 * 3600, 3 * 24 * 3600}
	// From the same machine to a train in a tunnel.
	pingBuckets    = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10}
	releaseBuckets = []float64{.001, .01, .1, .5, 1, 2.5, 5, 10}
	// A millisecond is what operators' questions may cost.
	lagBuckets = []float64{.0001, .00025, .0005, .001, .0025, .005, .01, .025, .05, .1, .25, 1}
)

// newMetrics registers the counters and returns them for each policy.
func (s *Server) newMetrics() map[*policies.Policy]*metrics {
	register, list := promauto.With(s.registry), s.config.Policies
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return register.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, append([]string{"policy"}, labels...))
	}
	histogram := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return register.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: help, Buckets: buckets}, append([]string{"policy"}, labels...))
	}
	ended := counter("wswarden_sessions_ended_total", "Sessions that have ended, by cause.", "cause")
	duration := histogram("wswarden_session_duration_seconds", "How long sessions have lived that have ended.", durationBuckets)
	pings := histogram("wswarden_ping_round_trip_seconds", "Time from a ping of wswarden's to its pong, by the side that was asked.", pingBuckets, "side")
	release := histogram("wswarden_release_seconds", "Time from the beginning of a session's end until upstream let go of it, by how it did.", releaseBuckets, "outcome")
	refused := counter("wswarden_subscriptions_refused_total", "Subscriptions that were not passed on to upstream.")
	evicted := counter("wswarden_subscriptions_evicted_total", "Subscriptions that were undone for a newer one.")
	releasedSubscriptions := counter("wswarden_subscriptions_released_total", "Subscriptions that a session had left at its end: unsubscribed, or left to upstream.", "outcome")
	dropped := counter("wswarden_messages_dropped_total", "Messages of clients that were dropped for their rate.")
	turnedAway := counter("wswarden_handshakes_refused_total", "Handshakes that a policy has refused, by reason.", "reason")
	hits := counter("wswarden_limit_hits_total", "How often a limit was met, by its key; by mode, whether something was done about it (enforce) or would have been (observe).", "limit", "mode")

	all := make(map[*policies.Policy]*metrics, len(list))
	for i := range list {
		name := list[i].Name
		m := &metrics{
			ended:        make(map[policies.Cause]prometheus.Counter),
			duration:     duration.WithLabelValues(name),
			released:     make(map[releaseOutcome]prometheus.Observer),
			refused:      refused.WithLabelValues(name),
			evicted:      evicted.WithLabelValues(name),
			unsubscribed: releasedSubscriptions.WithLabelValues(name, "unsubscribed"),
			left:         releasedSubscriptions.WithLabelValues(name, "left"),
			dropped:      dropped.WithLabelValues(name),
			hits:         make(map[policies.Limit]prometheus.Counter),
			turnedAway:   make(map[policies.Refusal]prometheus.Counter),
			toldHits:     make(map[policies.Limit]*told),
			toldRefusals: make(map[policies.Refusal]*told),
			toldFailures: new(told),
		}
		m.pings.client = pings.WithLabelValues(name, sideClient)
		m.pings.upstream = pings.WithLabelValues(name, sideUpstream)
		for _, cause := range policies.Causes() {
			m.ended[cause] = ended.WithLabelValues(name, cause.String())
		}
		for how := releaseClosed; how < releaseOutcomes; how++ {
			m.released[how] = release.WithLabelValues(name, how.String())
		}
		for _, why := range policies.Refusals() {
			m.turnedAway[why] = turnedAway.WithLabelValues(name, why.String())
			m.toldRefusals[why] = new(told)
		}
		for _, limit := range policies.Limits() {
			m.hits[limit] = hits.WithLabelValues(name, limit.String(), modeEnforce)
			m.toldHits[limit] = new(told)
		}
		all[&list[i]] = m
	}
	return all
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
	loaded := float64(time.Now().UnixMilli()) / 1000
	gauge("wswarden_config_loaded_timestamp_seconds", "When the configuration in use was loaded.", func() float64 { return loaded })
	gauge("wswarden_config_last_reload_successful", "1 if the latest configuration that was read is the one in use.", func() float64 { return 1 })
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
	for i := range t.config.Policies {
		policy := &t.config.Policies[i]
		sum := t.kinds[policy].sum()
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
		for _, k := range t.kinds {
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
