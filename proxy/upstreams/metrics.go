package upstreams

import "github.com/prometheus/client_golang/prometheus"

// collector shows the addresses of the latest Pool, and those that still have sessions.
type collector struct{ *book }

var (
	upDesc = prometheus.NewDesc("wswarden_upstream_address_up",
		"0 if nobody is sent to the address, as health checks have found it down or its breaker is open, 1 otherwise.",
		[]string{"address"}, nil)
	sessionsDesc = prometheus.NewDesc("wswarden_upstream_address_sessions",
		"Sessions at the address, with handshakes that are under way.", []string{"address"}, nil)
	openDesc = prometheus.NewDesc("wswarden_upstream_breaker_open",
		"1 if the address's breaker is open, 0 otherwise.", []string{"address"}, nil)
)

// Describe implements prometheus.Collector.
func (c collector) Describe(descs chan<- *prometheus.Desc) {
	descs <- upDesc
	descs <- sessionsDesc
	descs <- openDesc
}

// Collect implements prometheus.Collector.
func (c collector) Collect(metrics chan<- prometheus.Metric) {
	for _, a := range c.shown() {
		up, open := 1.0, 0.0
		if a.Down() {
			up = 0
		}
		if a.open.Load() {
			open = 1
		}
		metrics <- prometheus.MustNewConstMetric(upDesc, prometheus.GaugeValue, up, a.label)
		metrics <- prometheus.MustNewConstMetric(sessionsDesc, prometheus.GaugeValue, float64(a.Sessions()), a.label)
		metrics <- prometheus.MustNewConstMetric(openDesc, prometheus.GaugeValue, open, a.label)
	}
}

// shown returns the addresses that are in use: by the configuration, or by sessions.
func (b *book) shown() (all []*Address) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.latest.built != b.version {
		b.latest.build()
	}
	for _, a := range b.addresses {
		if a.used || a.Sessions() > 0 {
			all = append(all, a)
		}
	}
	return all
}
