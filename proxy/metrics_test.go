package proxy_test

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	tracecollector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// metrics returns what a scraper gets, by name and labels.
func (w *warden) metrics() map[string]float64 {
	w.t.Helper()
	response, err := http.Get("http://" + w.server.AdminAddr().String() + "/metrics")
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	all := make(map[string]float64)
	for line := range strings.Lines(string(text)) {
		if i := strings.LastIndexByte(line, ' '); i > 0 && strings.HasPrefix(line, "wswarden_") {
			all[line[:i]], _ = strconv.ParseFloat(strings.TrimSpace(line[i:]), 64)
		}
	}
	return all
}

// wantMetrics waits until the metrics are these.
func (w *warden) wantMetrics(want map[string]float64) {
	w.t.Helper()
	var got map[string]float64
	deadline := time.Now().Add(longest)
	for wrong := true; wrong; {
		got, wrong = w.metrics(), false
		for name, value := range want {
			wrong = wrong || got[name] != value
		}
		if wrong && time.Now().After(deadline) {
			for _, name := range slices.Sorted(maps.Keys(want)) {
				if got[name] != want[name] {
					w.t.Errorf("%s is %v, want %v", name, got[name], want[name])
				}
			}
			return
		}
	}
}

// What a session does is counted while it lives, and what it was when it has ended.
func TestMetricsOfSessions(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{
		Name:          "p",
		Dialect:       "rac",
		Heartbeat:     policies.Heartbeat{Interval: 10 * time.Millisecond, Timeout: longest, Liveness: policies.LivenessPong},
		Subscriptions: policies.Subscriptions{Max: 1},
		Messages:      policies.Messages{Rate: 0.001, Burst: 3, OnExcess: policies.ExcessDrop},
		Connections:   policies.Connections{Max: 1},
		Release:       policies.Release{Unsubscribe: true},
	})
	before := w.metrics()
	for _, name := range []string{
		`wswarden_sessions_live{policy="p"}`, `wswarden_sessions_opened_total{policy="p"}`,
		`wswarden_sessions_ended_total{cause="client_close",policy="p"}`,
		`wswarden_limit_hits_total{limit="subscriptions.max",mode="enforce",policy="p"}`,
		`wswarden_upstream_dials_total{outcome="refused"}`,
	} {
		if value, found := before[name]; !found || value != 0 {
			t.Errorf("%s is %v (%v) at the beginning, want 0: a rate needs it", name, value, found)
		}
	}
	client, upstream := w.open()
	w.dial().wantRefused(policies.RefusedMax)
	mark := client.wantPing()
	sent := [][]byte{client.frame(pong, mark), client.frame(text, subscribe(`"a"`)), client.frame(text, subscribe(`"b"`)), client.frame(text, "x"), client.frame(text, "dropped")}
	client.send(sent...)
	upstream.want(text, subscribe(`"a"`))
	upstream.want(text, "x")
	upstream.send(upstream.frame(textBegins, "12"), upstream.frame(goesEnd, "345"))
	w.wantMetrics(map[string]float64{
		`wswarden_sessions_live{policy="p"}`:                                                     1,
		`wswarden_sessions_opened_total{policy="p"}`:                                             1,
		`wswarden_subscriptions_live{policy="p"}`:                                                1,
		`wswarden_messages_total{direction="client_to_upstream",policy="p"}`:                     4,
		`wswarden_bytes_total{direction="client_to_upstream",policy="p"}`:                        float64(len(slices.Concat(sent...))),
		`wswarden_messages_total{direction="upstream_to_client",policy="p"}`:                     1,
		`wswarden_bytes_total{direction="upstream_to_client",policy="p"}`:                        9,
		`wswarden_limit_hits_total{limit="subscriptions.max",mode="enforce",policy="p"}`:         1,
		`wswarden_limit_hits_total{limit="messages.rate",mode="enforce",policy="p"}`:             1,
		`wswarden_limit_hits_total{limit="connections.max",mode="enforce",policy="p"}`:           1,
		`wswarden_limit_hits_total{limit="messages.bytes_per_second",mode="enforce",policy="p"}`: 0,
		`wswarden_messages_dropped_total{policy="p"}`:                                            1,
		`wswarden_ping_round_trip_seconds_count{policy="p",side="client"}`:                       1,
		`wswarden_upstream_dials_total{outcome="connected"}`:                                     1,
		`wswarden_upstream_handshakes_total{outcome="switched"}`:                                 1,
		`wswarden_upstream_up`: 1,
	})
	client.send(client.closeFrame(1000, ""))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.leave(1000, "")
	client.reset()
	w.wantEnd(policies.ClientClose, 1000)
	w.wantMetrics(map[string]float64{
		`wswarden_sessions_live{policy="p"}`:                                       0,
		`wswarden_subscriptions_live{policy="p"}`:                                  0,
		`wswarden_sessions_ended_total{cause="client_close",policy="p"}`:           1,
		`wswarden_session_duration_seconds_count{policy="p"}`:                      1,
		`wswarden_release_seconds_count{outcome="closed",policy="p"}`:              1,
		`wswarden_subscriptions_released_total{outcome="unsubscribed",policy="p"}`: 1,
		`wswarden_subscriptions_released_total{outcome="left",policy="p"}`:         0,
	})
}

// What upstream makes of handshakes is counted, too.
func TestMetricsOfUpstream(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	answer := func(answer string) {
		t.Helper()
		client := w.dial()
		upstream := w.accept()
		upstream.request()
		upstream.send([]byte(answer))
		upstream.end()
		client.response()
		client.end()
	}
	answer("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n")
	answer("HTTP/1.1 101 Switching Protocols\r\n\r\n")
	answer("")
	_ = w.upstream.Close()
	if r := w.dial().response(); r.StatusCode != http.StatusBadGateway {
		t.Errorf("without upstream: %s", r.Status)
	}
	w.wantMetrics(map[string]float64{
		`wswarden_upstream_handshakes_total{outcome="refused"}`:   1,
		`wswarden_upstream_handshakes_total{outcome="malformed"}`: 1,
		`wswarden_upstream_handshakes_total{outcome="lost"}`:      1,
		`wswarden_upstream_dials_total{outcome="connected"}`:      3,
		`wswarden_upstream_dials_total{outcome="refused"}`:        1,
		`wswarden_upstream_up`:                                    0,
	})
}

// A session is one trace, of which the client and upstream have heard.
func TestSessionIsTraced(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	spans := make(map[string]*tracepb.Span)
	collector := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		var request tracecollector.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		for _, resource := range request.ResourceSpans {
			for _, scope := range resource.ScopeSpans {
				for _, span := range scope.Spans {
					spans[span.Name] = span
				}
			}
		}
	}))
	defer collector.Close()
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Tracing.Endpoint = collector.URL
		c.Tracing.SampleRatio = 1
	})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	client := w.ask("/?token=secret", "Traceparent: 00-"+trace+"-"+parent+"-01", "tracestate: a=1", "tracestate: b=2")
	upstream := w.accept()
	request := upstream.request()
	forUpstream := strings.Split(request.Header.Get("traceparent"), "-")
	if len(request.Header["Traceparent"]) != 1 || len(forUpstream) != 4 || forUpstream[1] != trace || forUpstream[2] == parent || forUpstream[3] != "01" {
		t.Errorf("upstream got %q", request.Header["Traceparent"])
	}
	if got := request.Header["Tracestate"]; len(got) != 1 || strings.ReplaceAll(got[0], " ", "") != "a=1,b=2" {
		t.Errorf("upstream got tracestate %q", got)
	}
	upstream.agree(request)
	client.response()
	w.bye(client, upstream)
	w.drain()
	w.wantDrained()

	mu.Lock()
	defer mu.Unlock()
	for name, parent := range map[string]string{
		"handshake": parent,
		"session":   forUpstream[2],
		"release":   fmt.Sprintf("%x", spans["session"].GetSpanId()),
	} {
		if s := spans[name]; s == nil {
			t.Errorf("no span %s", name)
		} else if fmt.Sprintf("%x", s.TraceId) != trace || fmt.Sprintf("%x", s.ParentSpanId) != parent || strings.Contains(s.String(), "secret") {
			t.Errorf("%s: %v, want parent %s", name, s, parent)
		}
	}
}

// Without tracing, what a client says of its trace is none of wswarden's business.
func TestTraceparentPasses(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client := w.ask("/", "traceparent: whatever", "tracestate: a=1")
	upstream := w.accept()
	request := upstream.request()
	if request.Header.Get("traceparent") != "whatever" || request.Header.Get("tracestate") != "a=1" {
		t.Errorf("upstream got %q", request.Header)
	}
	upstream.agree(request)
	client.response()
}
