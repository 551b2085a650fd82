package dashboard_test

import (
	"math"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"wswarden/proxy/admin/api"
)

// traffic are the metrics of a crowd, which move on whenever they are read.
type traffic struct {
	*prometheus.Registry
	mu    sync.Mutex
	crowd *crowd
	// churn: sessions come and go as the metrics say. Without, the crowd stays.
	churn bool
	// speed of time: 10 makes ten seconds of one.
	speed   float64
	last    time.Time
	elapsed float64 // seconds

	live, subscriptions                                *prometheus.GaugeVec
	opened, ended, bytes, messages, limits, busy, fail *prometheus.CounterVec
	wouldEnd, wouldRefuse                              *prometheus.CounterVec
	ping, lag                                          *prometheus.HistogramVec
}

func newTraffic(c *crowd) *traffic {
	t := &traffic{Registry: prometheus.NewRegistry(), crowd: c, speed: 1, last: time.Now()}
	gauge := func(name string, labels ...string) *prometheus.GaugeVec {
		v := prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: name, Help: name}, labels)
		t.MustRegister(v)
		return v
	}
	counter := func(name string, labels ...string) *prometheus.CounterVec {
		v := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: name}, labels)
		t.MustRegister(v)
		return v
	}
	histogram := func(name string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		v := prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: name, Help: name, Buckets: buckets}, labels)
		t.MustRegister(v)
		return v
	}
	gauge("wswarden_build_info", "version", "goversion").WithLabelValues("v0.5.0", "go1.26").Set(1)
	gauge("wswarden_draining").WithLabelValues().Set(0)
	gauge("process_start_time_seconds").WithLabelValues().Set(float64(time.Now().Add(-51 * time.Hour).Unix()))
	t.live = gauge("wswarden_sessions_live", "policy")
	t.subscriptions = gauge("wswarden_subscriptions_live", "policy")
	t.opened = counter("wswarden_sessions_opened_total", "policy")
	t.ended = counter("wswarden_sessions_ended_total", "policy", "cause")
	t.fail = counter("wswarden_handshakes_refused_total", "policy", "reason")
	t.wouldEnd = counter("wswarden_would_have_ended_total", "policy", "cause")
	t.wouldRefuse = counter("wswarden_would_have_refused_total", "policy", "reason")
	t.bytes = counter("wswarden_bytes_total", "policy", "direction")
	t.messages = counter("wswarden_messages_total", "policy", "direction")
	t.limits = counter("wswarden_limit_hits_total", "policy", "limit", "mode")
	t.busy = counter("wswarden_loop_busy_seconds_total", "loop")
	t.ping = histogram("wswarden_ping_round_trip_seconds", prometheus.ExponentialBuckets(0.001, 2, 14), "policy", "side")
	t.lag = histogram("wswarden_loop_lag_seconds", prometheus.ExponentialBuckets(0.0001, 2, 12), "loop")
	return t
}

// Gather lets time pass, and tells what is then.
func (t *traffic) Gather() ([]*dto.MetricFamily, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := time.Now()
	t.pass(now.Sub(t.last).Seconds() * t.speed)
	t.last = now
	return t.Registry.Gather()
}

var endings = []struct {
	cause, side string
	code        uint16
	share       float64
}{
	{"client_close", "client", 1000, 0.46}, {"client_close", "client", 1001, 0.12}, {"heartbeat_timeout", "client", 1001, 0.16},
	{"client_lost", "client", 0, 0.1}, {"idle", "client", 1001, 0.09}, {"stalled", "client", 1008, 0.04}, {"subscription_limit", "client", 1008, 0.03},
}

var limits = []struct {
	limit, mode string
	share       float64
}{
	{"subscriptions.max", "enforce", 0.4}, {"messages.rate", "enforce", 0.35}, {"messages.rate", "observe", 0.2}, {"idle.timeout", "observe", 0.05},
}

func (t *traffic) pass(seconds float64) {
	c := t.crowd
	c.mu.Lock()
	defer c.mu.Unlock()
	t.elapsed += seconds
	wave := 1 + 0.3*math.Sin(t.elapsed/37) + 0.1*math.Sin(t.elapsed/5)
	noise := func() float64 { return 0.8 + 0.4*c.random.Float64() }
	some := func(rate float64) int { return int(rate*seconds*noise() + c.random.Float64()) }
	if len(c.sessions) == 0 {
		return
	}
	any := func() int { return c.random.IntN(len(c.sessions)) }

	for range some(34 * wave) {
		s := c.session(time.Now())
		t.opened.WithLabelValues(s.Policy).Inc()
		if t.churn {
			c.sessions = append(c.sessions, s)
			c.tell(api.Event{Kind: api.EventOpened}, s)
		}
	}
	for _, e := range endings {
		rate := 33 * e.share * wave
		if e.cause == "heartbeat_timeout" && math.Mod(t.elapsed, 140) > 120 {
			rate *= 5 // a network has gone
		}
		for range some(rate) {
			i := any()
			t.ended.WithLabelValues(c.sessions[i].Policy, e.cause).Inc()
			if c.sessions[i].Policy == observing && e.side == "client" {
				t.wouldEnd.WithLabelValues(observing, "idle").Inc()
			}
			if t.churn {
				c.end(i, e.cause, e.side, e.code)
			}
		}
	}
	for _, l := range limits {
		for range some(6 * l.share * wave) {
			s := c.sessions[any()]
			t.limits.WithLabelValues(s.Policy, l.limit, l.mode).Inc()
			kind := api.EventLimitHit
			if l.mode == "observe" {
				kind = api.EventWouldHave
			}
			if t.churn {
				c.tell(api.Event{Kind: kind, Limit: l.limit, Rule: l.limit, Action: "drop"}, s)
			}
		}
	}
	live, subs := map[string]float64{}, map[string]float64{}
	for i := range c.sessions {
		live[c.sessions[i].Policy]++
		subs[c.sessions[i].Policy] += float64(c.sessions[i].Subscriptions)
	}
	for policy, n := range live {
		t.live.WithLabelValues(policy).Set(n)
		t.subscriptions.WithLabelValues(policy).Set(subs[policy])
		t.fail.WithLabelValues(policy, "rate").Add(float64(some(0.4)))
		if policy == observing {
			t.wouldRefuse.WithLabelValues(policy, "origin").Add(float64(some(2)))
		}
		for range some(n / 600 * 3) {
			t.ping.WithLabelValues(policy, "client").Observe(0.006 + 0.018*wave*c.random.ExpFloat64())
		}
		t.bytes.WithLabelValues(policy, "client_to_upstream").Add(n * 7 * seconds * wave * noise())
		t.bytes.WithLabelValues(policy, "upstream_to_client").Add(n * 900 * seconds * wave * noise())
		t.messages.WithLabelValues(policy, "client_to_upstream").Add(math.Round(n / 30 * seconds * wave * noise()))
		t.messages.WithLabelValues(policy, "upstream_to_client").Add(math.Round(n / 9 * seconds * wave * noise()))
	}
	for _, loop := range []string{"0", "1", "2", "3"} {
		t.busy.WithLabelValues(loop).Add(seconds * 0.14 * wave * noise())
		for range some(80) {
			t.lag.WithLabelValues(loop).Observe(0.0002 * (1 + c.random.ExpFloat64()*wave))
		}
	}
}
