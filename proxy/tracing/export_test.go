package tracing

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/proto"
)

func TestEndpoints(t *testing.T) {
	for path, want := range map[string]string{
		"": "/v1/traces", "/": "/v1/traces", "/otlp": "/otlp/v1/traces", "/otlp/": "/otlp/v1/traces",
		"/v1/traces": "/v1/traces", "/otlp/v1/traces": "/otlp/v1/traces",
	} {
		c := newCollector(t)
		tracer, _ := newTracer(t, c.URL+path, 1)
		tracer.Handshake(aHandshake()).Opened(noon)
		flush(t, tracer)
		if len(c.requests) != 1 || c.requests[0].URL.Path != want {
			t.Errorf("%q: %d requests, want one for %s", path, len(c.requests), want)
		}
	}
	for _, endpoint := range []string{"", "127.0.0.1:4318", "grpc://a", "http://", "http://a b"} {
		if tracer, err := New(endpoint, 1, "", slog.New(slog.DiscardHandler)); err == nil {
			tracer.Close(t.Context())
			t.Errorf("%q is accepted", endpoint)
		}
	}
}

// OpenTelemetry's own variables say what the configuration has no keys for.
func TestEnvironment(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "api-key=secret")
	t.Setenv("OTEL_SERVICE_NAME", "passengers")
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=test")
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1") // which is a key's
	t.Setenv("OTEL_TRACES_SAMPLER", "always_off")                 // likewise
	c := traced(t, 1, func(tracer *Tracer) { tracer.Handshake(aHandshake()).Opened(noon) })
	if got := c.requests[0].Header.Get("Api-Key"); got != "secret" {
		t.Errorf("the header is %q", got)
	}
	if about := attributes(c.resources[0].Attributes); about["service.name"] != "passengers" || about["deployment.environment.name"] != "test" {
		t.Errorf("they come from %v", about)
	}
}

// Collectors of which nothing good comes. Each is told of the same session.
func TestCollectorsThatFail(t *testing.T) {
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_ = closed.Close()
	answers := func(status int) http.HandlerFunc {
		return func(w http.ResponseWriter, r *http.Request) {
			http.Error(w, strings.Repeat("no ", 1000), status)
		}
	}
	hangs := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body) // so that net/http sees the client go
		<-r.Context().Done()
	}
	breaks := func(w http.ResponseWriter, r *http.Request) { panic(http.ErrAbortHandler) }
	for _, row := range []struct {
		name    string
		handler http.HandlerFunc // nil: nobody listens
		stuck   bool             // it does not come to an end by itself
		tells   string
	}{
		{"nobody", nil, false, "connection refused"},
		{"400", answers(400), false, "400 Bad Request"},
		{"401", answers(401), false, "401 Unauthorized"},
		{"404", answers(404), false, "404 Not Found"},
		{"500", answers(500), false, "500 Internal Server Error"},
		{"breaks", breaks, false, "EOF"},
		{"429, come again", answers(429), true, "context canceled"},
		{"503, come again", answers(503), true, "context canceled"},
		{"hangs", hangs, true, "context canceled"},
	} {
		t.Run(row.name, func(t *testing.T) {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			endpoint := "http://" + closed.Addr().String()
			if row.handler != nil {
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if row.stuck {
						cancel() // the time that Close has
					}
					row.handler(w, r)
				}))
				defer s.Close()
				endpoint = s.URL
			}
			tracer, told := newTracer(t, endpoint, 1)
			tr := tracer.Handshake(aHandshake())
			tr = tr.Opened(noon)
			tr.Ended(noon, noon, "", anEnding())
			tracer.Close(ctx)

			lines := told.lines(t)
			if len(lines) != 1 || lines[0].SpansDropped != 3 || lines[0].Level != "WARN" || !strings.Contains(lines[0].Error, row.tells) || len(lines[0].Error) > 310 {
				t.Errorf("the log says %+v, want 3 spans for %s", lines, row.tells)
			}
			tr = tracer.Handshake(aHandshake()) // after the end nothing happens
			tr = tr.Opened(noon)
			tr.Ended(noon, noon, "", anEnding())
		})
	}
}

// Who closes without any time waits for nothing: a span whose arrival is not confirmed
// counts as dropped, and may have arrived.
func TestCloseAtOnce(t *testing.T) {
	c := newCollector(t)
	tracer, told := newTracer(t, c.URL, 1)
	tracer.Handshake(aHandshake()).Opened(noon)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tracer.Close(ctx)
	if arrived, dropped := c.count(), told.dropped(t); dropped > 1 || arrived+dropped == 0 {
		t.Errorf("%d spans have arrived, %d are told of", arrived, dropped)
	}
}

// A collector that hangs while sessions come and go: nobody waits, what is kept is
// bounded, and what is dropped is counted.
func TestQueueIsBounded(t *testing.T) {
	hung, release := make(chan struct{}, 100), make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hung <- struct{}{}
		<-release
	}))
	defer s.Close()
	defer close(release)
	tracer, told := newTracer(t, s.URL, 1)

	before := heap()
	const goroutines, each = 4, 2_000
	var all sync.WaitGroup
	for range goroutines {
		all.Go(func() {
			for range each {
				tr := tracer.Handshake(aHandshake())
				_, _ = tr.Header()
				tr = tr.Opened(noon)
				tr.Ended(noon, noon, "", anEnding())
			}
		})
	}
	all.Wait()
	<-hung
	if waiting := tracer.exporter.waiting.Load(); waiting != maxSpans {
		t.Errorf("%d spans wait, want %d", waiting, maxSpans)
	}
	const most = 8 << 20
	if grown := heap() - before; grown > most {
		t.Errorf("they take %d bytes", grown)
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	tracer.Close(ctx)
	if got := told.dropped(t); got != 3*goroutines*each {
		t.Errorf("%d spans are told of, want %d", got, 3*goroutines*each)
	}
	if lines := told.lines(t); len(lines) > 2 { // of the first at once, of all others at the end
		t.Errorf("the log says %+v", lines)
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// A collector that was down gets what comes later.
func TestCollectorThatRecovers(t *testing.T) {
	var mu sync.Mutex
	down, spans := true, 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if down {
			w.WriteHeader(http.StatusInternalServerError)
			return
		}
		body, _ := io.ReadAll(r.Body)
		var request collectorpb.ExportTraceServiceRequest
		if err := proto.Unmarshal(body, &request); err != nil {
			t.Error(err)
		}
		spans += len(request.ResourceSpans[0].ScopeSpans[0].Spans)
	}))
	defer s.Close()
	tracer, told := newTracer(t, s.URL, 1)
	tracer.Handshake(aHandshake()).Opened(noon)
	if err := tracer.processor.ForceFlush(t.Context()); err != nil {
		t.Error(err)
	}
	mu.Lock()
	down = false
	mu.Unlock()
	tracer.Handshake(aHandshake()).Opened(noon)
	flush(t, tracer)
	if spans != 1 || told.dropped(t) != 1 {
		t.Errorf("%d spans arrived, %d are told of; want one each", spans, told.dropped(t))
	}
}

// Of losses the log is told at once, then once in a minute, and of the rest at the end.
func TestLosses(t *testing.T) {
	told := new(logged)
	now := noon
	l := &losses{log: slog.New(slog.NewJSONHandler(told, nil)), now: func() time.Time { return now }}
	lose := func(at time.Duration, spans uint64, err error) {
		now = after(at)
		l.spans.Add(spans)
		l.tell(err)
	}
	lose(0, 5, errors.New("first"))
	lose(time.Second, 5, errors.New("too early"))
	lose(59*time.Second, 7, nil)
	lose(60*time.Second, 1, errors.New("second"))
	lose(61*time.Second, 0, errors.New("of the SDK"))
	lose(120*time.Second, 0, errors.New("third"))
	lose(121*time.Second, 4, nil)
	l.tellAll()
	l.tellAll()
	want := []line{
		{"tracing fails", "WARN", "first", 5},
		{"tracing fails", "WARN", "second", 13},
		{"tracing fails", "WARN", "third", 0},
		{"tracing fails", "WARN", errQueueFull.Error(), 4},
	}
	got := told.lines(t)
	if len(got) != len(want) {
		t.Fatalf("got %+v", got)
	}
	for i := range want {
		if got[i] != want[i] {
			t.Errorf("line %d: got %+v, want %+v", i+1, got[i], want[i])
		}
	}
}

// The SDK's own errors go to the log, and not to standard error.
func TestErrorsOfTheSDK(t *testing.T) {
	c := newCollector(t)
	tracer, told := newTracer(t, c.URL, 1)
	otel.Handle(errors.New("something odd"))
	otel.Handle(errors.New("something else"))
	flush(t, tracer)
	if lines := told.lines(t); len(lines) != 1 || lines[0].Error != "something odd" || lines[0].SpansDropped != 0 {
		t.Errorf("the log says %+v", lines)
	}
}

// A variable that cannot be read is told, but not its value.
func TestVariablesAreNotShown(t *testing.T) {
	t.Setenv("OTEL_EXPORTER_OTLP_HEADERS", "secret")
	c := newCollector(t)
	tracer, told := newTracer(t, c.URL, 1)
	flush(t, tracer)
	lines := told.lines(t)
	if len(lines) == 0 || lines[0].Msg != "tracing: parse headers" || lines[0].Level != "ERROR" || lines[0].Error == "" {
		t.Errorf("the log says %+v", lines)
	}
	if strings.Contains(told.text.String(), "secret") {
		t.Errorf("the log says %s", told.text.String())
	}
}

// A collector that takes a part of a batch says so.
func TestPartialSuccess(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, _ := proto.Marshal(&collectorpb.ExportTraceServiceResponse{
			PartialSuccess: &collectorpb.ExportTracePartialSuccess{RejectedSpans: 1, ErrorMessage: "too old"}})
		w.Header().Set("Content-Type", "application/x-protobuf")
		_, _ = w.Write(answer)
	}))
	defer s.Close()
	tracer, told := newTracer(t, s.URL, 1)
	tracer.Handshake(aHandshake()).Opened(noon)
	flush(t, tracer)
	if lines := told.lines(t); len(lines) != 1 || !strings.Contains(lines[0].Error, "too old") {
		t.Errorf("the log says %+v", lines)
	}
}
