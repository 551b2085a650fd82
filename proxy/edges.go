package proxy

import (
	"log/slog"
	"net"
	"slices"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"
)

// edges counts what happens before a request, or a connection to upstream, is there.
type edges struct {
	log        *slog.Logger
	waits      *prometheus.CounterVec // connections that are not accepted for now, by listener
	expiry     *prometheus.GaugeVec   // of certificates, by listener
	refused    map[string]prometheus.Counter
	told       map[string]*told
	handshakes map[string]map[bool]prometheus.Counter // TLS handshakes, by side
}

// Why a PROXY header is refused, and with it its connection.
const (
	headerMalformed = "malformed"
	headerUntrusted = "untrusted"
)

func newEdges(registry prometheus.Registerer, log *slog.Logger) *edges {
	register := promauto.With(registry)
	e := &edges{
		log: log,
		waits: register.NewCounterVec(prometheus.CounterOpts{
			Name: "wswarden_listener_waits_total",
			Help: "How often a listener has paused as descriptors or memory were short; connections wait in the backlog meanwhile.",
		}, []string{"listener"}),
		expiry: register.NewGaugeVec(prometheus.GaugeOpts{
			Name: "wswarden_tls_certificate_expiry_timestamp_seconds",
			Help: "When a listener's certificate expires.",
		}, []string{"listener"}),
		refused: make(map[string]prometheus.Counter), told: make(map[string]*told),
		handshakes: make(map[string]map[bool]prometheus.Counter),
	}
	refused := register.NewCounterVec(prometheus.CounterOpts{
		Name: "wswarden_proxy_headers_refused_total",
		Help: "Connections closed for their PROXY header, or as they may not send one, by reason.",
	}, []string{"reason"})
	for _, reason := range []string{headerMalformed, headerUntrusted} {
		e.refused[reason], e.told[reason] = refused.WithLabelValues(reason), new(told)
	}
	handshakes := register.NewCounterVec(prometheus.CounterOpts{
		Name: "wswarden_tls_handshakes_total",
		Help: "TLS handshakes with clients and with upstream, by outcome.",
	}, []string{"side", "outcome"})
	for _, side := range []string{sideClient, sideUpstream} {
		e.handshakes[side] = map[bool]prometheus.Counter{
			true:  handshakes.WithLabelValues(side, "completed"),
			false: handshakes.WithLabelValues(side, "failed"),
		}
	}
	return e
}

// forget drops what is told of listeners, by their names, that are gone or have no TLS any
// more.
func (e *edges) forget(known []string, now []*listenerSettings) {
	for _, name := range known {
		is := func(s *listenerSettings) bool { return s.Known() == name }
		if !slices.ContainsFunc(now, is) {
			e.waits.DeleteLabelValues(name)
		}
		if !slices.ContainsFunc(now, func(s *listenerSettings) bool { return is(s) && s.secure != nil }) {
			e.expiry.DeleteLabelValues(name)
		}
	}
}

// refuseHeader counts a connection that is closed for its PROXY header, and has it in the
// log: one in a second of each reason.
func (e *edges) refuseHeader(l *listener, reason string, from net.Addr, err error) {
	e.refused[reason].Inc()
	if untold, now := e.told[reason].tell(); now {
		e.log.Warn("connection refused for its PROXY header", "listener", l.Addr().String(), "address", from.String(),
			"reason", reason, "error", err.Error(), "others_since", untold)
	}
}

// secured counts a TLS handshake.
func (e *edges) secured(side string, completed bool) { e.handshakes[side][completed].Inc() }
