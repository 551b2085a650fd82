package proxy

import (
	"errors"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"wswarden/proxy/upstreams"
)

// dialOutcome is what has become of a wish to connect to upstream, however many
// addresses were tried for it.
type dialOutcome uint8

const (
	dialConnected dialOutcome = iota
	// dialRefused: upstream did not want the connection, or there is no way to it.
	dialRefused
	// dialTimeout: upstream did not take the connection in time.
	dialTimeout
	// dialUnresolved: upstream's name has no address.
	dialUnresolved
	// dialExhausted: wswarden itself has no descriptor or memory left for it, which says
	// nothing of upstream.
	dialExhausted
	// dialHeldBack: the breakers of all addresses are open, and none was dialled.
	dialHeldBack

	dialOutcomes // how many there are
)

var dialOutcomeNames = [dialOutcomes]string{"connected", "refused", "timeout", "unresolved", "exhausted", "held_back"}

// dialOutcomeOf returns that of the answer of a net.Dialer, or of a Pool that has no
// address to dial.
func dialOutcomeOf(err error) dialOutcome {
	var name *net.DNSError
	var open *upstreams.OpenError
	switch {
	case err == nil:
		return dialConnected
	case errors.As(err, &open):
		return dialHeldBack
	case isShortage(err):
		return dialExhausted
	case errors.As(err, &name):
		return dialUnresolved
	case timedOut(err):
		return dialTimeout
	default:
		return dialRefused
	}
}

// dials counts the connections to upstream, of plain HTTP and of sessions. It may be
// used from any goroutine, and takes no lock.
type dials struct {
	counts [dialOutcomes]prometheus.Counter
	up     prometheus.Gauge
}

func newDials(registry prometheus.Registerer) *dials {
	register := promauto.With(registry)
	d := &dials{up: register.NewGauge(prometheus.GaugeOpts{
		Name: "wswarden_upstream_up",
		Help: "0 if the last dial to upstream, for clients or for /readyz, has failed, 1 otherwise.",
	})}
	d.up.Set(1)
	all := register.NewCounterVec(prometheus.CounterOpts{
		Name: "wswarden_upstream_dials_total",
		Help: "Dials to upstream, for sessions and for plain HTTP, by outcome.",
	}, []string{"outcome"})
	for outcome, name := range dialOutcomeNames {
		d.counts[outcome] = all.WithLabelValues(name)
	}
	return d
}

// count counts a dial that has come to an end.
func (d *dials) count(outcome dialOutcome) {
	d.counts[outcome].Inc()
	d.note(outcome)
}

// note takes in a dial that is no client's.
func (d *dials) note(outcome dialOutcome) {
	switch outcome {
	case dialConnected:
		d.up.Set(1)
	case dialExhausted:
	default:
		d.up.Set(0)
	}
}

// handshakeOutcome is what has become of a handshake that upstream was asked for.
type handshakeOutcome uint8

const (
	// handshakeSwitched: there is a session.
	handshakeSwitched handshakeOutcome = iota
	// handshakeRefused: upstream has answered with another status than 101.
	handshakeRefused
	// handshakeMalformed: upstream's answer is none, or none to what was asked.
	handshakeMalformed
	// handshakeLost: upstream has closed the connection without an answer.
	handshakeLost
	// handshakeTimeout: upstream has not answered in time.
	handshakeTimeout

	handshakeOutcomes // how many there are
)

var handshakeOutcomeNames = [handshakeOutcomes]string{"switched", "refused", "malformed", "lost", "timeout"}

// upstreamHandshakes counts the handshakes that were sent to upstream. It may be used
// from any goroutine, and takes no lock.
type upstreamHandshakes [handshakeOutcomes]prometheus.Counter

func newUpstreamHandshakes(registry prometheus.Registerer) *upstreamHandshakes {
	all := promauto.With(registry).NewCounterVec(prometheus.CounterOpts{
		Name: "wswarden_upstream_handshakes_total",
		Help: "WebSocket handshakes that were sent to upstream, by outcome.",
	}, []string{"outcome"})
	u := new(upstreamHandshakes)
	for outcome, name := range handshakeOutcomeNames {
		u[outcome] = all.WithLabelValues(name)
	}
	return u
}

// count counts a handshake that has come to an end.
func (u *upstreamHandshakes) count(outcome handshakeOutcome) { u[outcome].Inc() }

// httpRequests counts plain HTTP requests by the status of their answer. It may be used
// from any goroutine, and takes no lock.
type httpRequests struct {
	counts [600]atomic.Uint64 // by status; the first: those that IANA does not list
}

var httpRequestsDesc = prometheus.NewDesc("wswarden_http_requests_total",
	"Plain HTTP requests, by the status that the client was answered with.", []string{"code"}, nil)

func newHTTPRequests(registry prometheus.Registerer) *httpRequests {
	r := new(httpRequests)
	registry.MustRegister(r)
	return r
}

func (r *httpRequests) count(status int) {
	if http.StatusText(status) == "" {
		status = 0
	}
	r.counts[status].Add(1)
}

// Describe implements prometheus.Collector.
func (r *httpRequests) Describe(descs chan<- *prometheus.Desc) { descs <- httpRequestsDesc }

// Collect implements prometheus.Collector. Of the many statuses that there are, those
// are there from the start that alerts are made of: a rate needs the zero before.
func (r *httpRequests) Collect(metrics chan<- prometheus.Metric) {
	for status := range r.counts {
		n := r.counts[status].Load()
		switch status {
		case http.StatusOK, http.StatusBadRequest, http.StatusBadGateway, http.StatusGatewayTimeout:
		default:
			if n == 0 {
				continue
			}
		}
		code := "other"
		if status > 0 {
			code = strconv.Itoa(status)
		}
		metrics <- prometheus.MustNewConstMetric(httpRequestsDesc, prometheus.CounterValue, float64(n), code)
	}
}
