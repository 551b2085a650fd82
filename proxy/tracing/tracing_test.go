package tracing

import (
	"bytes"
	"maps"
	"net/netip"
	"strings"
	"testing"
	"time"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"wswarden/proxy/admin/api"
)

const (
	clientTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "00f067aa0ba902b7"
	clientParent = "00-" + clientTrace + "-" + clientSpan + "-01"
)

var noon = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)

func after(d time.Duration) time.Time { return noon.Add(d) }

func aHandshake() Handshake {
	return Handshake{
		Traceparent: clientParent,
		Tracestate:  "rojo=00f067aa0ba902b7,congo=t61rcWkgMzE",
		Began:       noon,
		Session:     0xccdb8a82f9ca75cf,
		Policy:      "passengers",
		Client:      netip.MustParseAddr("::ffff:10.1.2.3"),
		Scheme:      "http",
		Host:        "example.com:8080",
		Path:        "/passengers/7",
	}
}

func anEnding() *api.Ending {
	return &api.Ending{
		Cause: "heartbeat_timeout", Side: "client", ClientCode: 1001, UpstreamCode: 1001,
		ClientToUpstream: api.Flow{Messages: 3, Bytes: 300}, UpstreamToClient: api.Flow{Messages: 1 << 40, Bytes: 1 << 50},
		Subscriptions: 20, Unsubscribed: 19, Ping: 0.025, Release: 1.5, ReleaseOutcome: "reset",
	}
}

// The spans of a session whose client takes part in a trace.
func TestSession(t *testing.T) {
	var parent, state string
	c := traced(t, 1, func(tracer *Tracer) {
		tr := tracer.Handshake(aHandshake())
		parent, state = tr.Header()
		tr = tr.Opened(after(5 * time.Millisecond))
		tr.Ended(after(time.Hour), after(time.Hour+2*time.Second), "0123456789abcdef", anEnding())
	})
	handshake, session, release := c.span(t, "handshake"), c.span(t, "session"), c.span(t, "release")

	for _, row := range []struct {
		span       *tracepb.Span
		parent     []byte
		kind       tracepb.Span_SpanKind
		begin, end time.Duration
		attributes map[string]string
	}{
		{handshake, unhex(t, clientSpan), tracepb.Span_SPAN_KIND_SERVER, 0, 5 * time.Millisecond, map[string]string{
			"http.request.method": "GET", "http.response.status_code": "101", "network.protocol.version": "1.1",
			"url.scheme": "http", "url.path": "/passengers/7", "server.address": "example.com", "server.port": "8080",
		}},
		{session, handshake.SpanId, tracepb.Span_SPAN_KIND_INTERNAL, 5 * time.Millisecond, time.Hour + 2*time.Second, map[string]string{
			"wswarden.identity": "0123456789abcdef",
			"wswarden.cause":    "heartbeat_timeout", "wswarden.side": "client",
			"wswarden.client.close_code": "1001", "wswarden.upstream.close_code": "1001", "wswarden.ping_seconds": "0.025",
			"wswarden.client_to_upstream.messages": "3", "wswarden.client_to_upstream.bytes": "300",
			"wswarden.upstream_to_client.messages": "1099511627776", "wswarden.upstream_to_client.bytes": "1125899906842624",
			"wswarden.subscriptions": "20", "wswarden.unsubscribed": "19",
		}},
		{release, session.SpanId, tracepb.Span_SPAN_KIND_INTERNAL, time.Hour, time.Hour + 1500*time.Millisecond, map[string]string{
			"wswarden.identity":        "0123456789abcdef",
			"wswarden.release.outcome": "reset", "wswarden.subscriptions": "20", "wswarden.unsubscribed": "19",
		}},
	} {
		s := row.span
		if !bytes.Equal(s.TraceId, unhex(t, clientTrace)) || !bytes.Equal(s.ParentSpanId, row.parent) {
			t.Errorf("%s: trace %x below %x, want %s below %x", s.Name, s.TraceId, s.ParentSpanId, clientTrace, row.parent)
		}
		if s.Kind != row.kind || s.TraceState != state {
			t.Errorf("%s: kind %v, state %s", s.Name, s.Kind, s.TraceState)
		}
		begin, end := time.Unix(0, int64(s.StartTimeUnixNano)), time.Unix(0, int64(s.EndTimeUnixNano))
		if !begin.Equal(after(row.begin)) || !end.Equal(after(row.end)) {
			t.Errorf("%s: from %v to %v", s.Name, begin.Sub(noon), end.Sub(noon))
		}
		if s.Status.GetCode() != tracepb.Status_STATUS_CODE_UNSET {
			t.Errorf("%s: status %v", s.Name, s.Status)
		}
		want := row.attributes
		want["wswarden.session"], want["wswarden.policy"], want["client.address"] = "ccdb8a82f9ca75cf", "passengers", "10.1.2.3"
		if got := attributes(s.Attributes); !maps.Equal(got, want) {
			t.Errorf("%s:\ngot  %v\nwant %v", s.Name, got, want)
		}
	}

	if want := "00-" + clientTrace + "-" + hexOf(handshake.SpanId) + "-01"; parent != want || state != aHandshake().Tracestate {
		t.Errorf("upstream gets %s and %s, want %s", parent, state, want)
	}
	about := attributes(c.resources[0].Attributes)
	if about["service.name"] != "wswarden" || about["service.version"] != "v1.2.3" || about["host.name"] == "" {
		t.Errorf("they come from %v", about)
	}
}

func TestHandshakesRefused(t *testing.T) {
	for _, row := range []struct {
		status int
		reason string
		failed bool
		want   map[string]string
	}{
		{403, "origin", false, map[string]string{"http.response.status_code": "403", "wswarden.reason": "origin"}},
		{401, "", false, map[string]string{"http.response.status_code": "401"}},
		{503, "max", true, map[string]string{"http.response.status_code": "503", "wswarden.reason": "max", "error.type": "max"}},
		{500, "", true, map[string]string{"http.response.status_code": "500", "error.type": "500"}},
		{0, "client_lost", true, map[string]string{"wswarden.reason": "client_lost", "error.type": "client_lost"}},
	} {
		c := traced(t, 1, func(tracer *Tracer) {
			tr := tracer.Handshake(Handshake{Began: noon})
			tr.Refused(after(time.Second), row.status, row.reason)
			// nothing follows, whatever is called
			tr.Refused(after(time.Minute), 500, "late")
			tr.Opened(after(time.Minute))
			tr.Ended(after(time.Minute), after(time.Minute), "", anEnding())
		})
		s := c.span(t, "handshake")
		row.want["http.request.method"], row.want["network.protocol.version"] = "GET", "1.1"
		if got := attributes(s.Attributes); c.count() != 1 || !maps.Equal(got, row.want) {
			t.Errorf("%d %s: %d spans, %v", row.status, row.reason, c.count(), got)
		}
		if failed := s.Status.GetCode() == tracepb.Status_STATUS_CODE_ERROR; failed != row.failed {
			t.Errorf("%d %s: failed is %t", row.status, row.reason, failed)
		}
		if s.EndTimeUnixNano != uint64(after(time.Second).UnixNano()) {
			t.Errorf("%d %s: ended at %d", row.status, row.reason, s.EndTimeUnixNano)
		}
	}
}

// What a client may write spoils neither its span nor those sent along with it.
func TestTextOfClients(t *testing.T) {
	for _, row := range []struct{ host, path, address, port, shown string }{
		{"[::1]:8080", "/a?token=secret", "::1", "8080", "/a"},
		{"[::1]", "?token=secret", "::1", "", ""},
		{"example.com", "/\xff", "example.com", "", "/\ufffd"},
		{"\xff:1", "/a", "\ufffd", "1", "/a"},
		{"a:b:c", "/a", "a:b:c", "", "/a"},
		{"a:99999", "", "a", "", ""},
		{"", "/" + strings.Repeat("ä", 5000), "", "", "/" + strings.Repeat("ä", 1023)},
	} {
		c := traced(t, 1, func(tracer *Tracer) {
			tracer.Handshake(Handshake{Began: noon, Host: row.host, Path: row.path}).Opened(noon)
		})
		got := attributes(c.span(t, "handshake").Attributes)
		if got["server.address"] != row.address || got["server.port"] != row.port || got["url.path"] != row.shown {
			t.Errorf("%s and %.20s: %v", row.host, row.path, got)
		}
	}
}

// Without a tracer there are no traces, and nothing is allocated.
func TestOff(t *testing.T) {
	var tracer *Tracer
	h, e := aHandshake(), anEnding()
	if n := testing.AllocsPerRun(100, func() {
		tr := tracer.Handshake(h)
		if parent, state := tr.Header(); tr != nil || parent != "" || state != "" {
			t.Error("a trace without a tracer")
		}
		tr.Refused(noon, 403, "origin")
		tr = tr.Opened(noon)
		tr.Ended(noon, noon, "", e)
		tracer.Close(t.Context())
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

// A handshake that nobody ends leaves nothing to wait for.
func TestAbandoned(t *testing.T) {
	c := traced(t, 1, func(tracer *Tracer) {
		tracer.Handshake(aHandshake())
		tr := tracer.Handshake(aHandshake())
		tr.Opened(noon)
	})
	if c.count() != 1 {
		t.Errorf("%d spans", c.count())
	}
}
