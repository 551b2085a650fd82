package config

import (
	"net/url"
	"strings"
)

// Tracing says where spans of sessions are sent.
type Tracing struct {
	// Endpoint is the http or https URL of a collector that takes OTLP/HTTP. What
	// does not end in /v1/traces gets that behind it. Empty: off.
	Endpoint string `mapstructure:"otlp_endpoint"`
	// SampleRatio, from 0 to 1, is the part of the sessions that are traced, by
	// chance, where the client's traceparent has not decided it.
	SampleRatio float64 `mapstructure:"sample_ratio"`
}

func (v *validator) tracing(t Tracing) {
	const key, example = "tracing.otlp_endpoint", public("http://127.0.0.1:4318")
	if t.Endpoint == "" {
		return
	}
	shown := shownURL(key, t.Endpoint)
	u, err := url.Parse(t.Endpoint)
	switch {
	case shown == "" || err != nil:
		v.wrong(key, "is not an http:// or https:// URL (nor shown, as it may hold a key); write that of a collector, such as %s", example)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		v.wrong(key, "%s is not an http:// or https:// URL; write that of a collector, such as %s", plain(shown), example)
	case u.User != nil:
		v.wrong(key, "%s has a user (not shown), which is not supported; leave it out, and give the collector's headers in OTEL_EXPORTER_OTLP_HEADERS", plain(shown))
	case strings.ContainsAny(t.Endpoint, "?#"):
		v.wrong(key, "has a query or fragment (not shown, as it may hold a key), which no collector's URL has; leave it out")
	case !validPort(u.Port()):
		v.wrong(key, "%s has no port from 1 to 65535; write one such as %s", plain(shown), example)
	}
}
