package tracing

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	resourcepb "go.opentelemetry.io/proto/otlp/resource/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"go.uber.org/goleak"
	"google.golang.org/protobuf/proto"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// collector takes OTLP/HTTP and keeps it.
type collector struct {
	*httptest.Server

	mu        sync.Mutex
	spans     []*tracepb.Span
	resources []*resourcepb.Resource
	requests  []*http.Request
}

func newCollector(t testing.TB) *collector {
	c := new(collector)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		var request collectorpb.ExportTraceServiceRequest
		if err == nil {
			err = proto.Unmarshal(body, &request)
		}
		if err != nil || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("the collector was sent %d bytes of %s: %v", len(body), r.Header.Get("Content-Type"), err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		c.requests = append(c.requests, r)
		for _, rs := range request.ResourceSpans {
			c.resources = append(c.resources, rs.Resource)
			for _, ss := range rs.ScopeSpans {
				c.spans = append(c.spans, ss.Spans...)
			}
		}
	}))
	t.Cleanup(c.Close)
	return c
}

// span returns the only one of that name.
func (c *collector) span(t *testing.T, name string) (found *tracepb.Span) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, s := range c.spans {
		if s.Name == name {
			if found != nil {
				t.Fatalf("a second span %s", name)
			}
			found = s
		}
	}
	if found == nil {
		t.Fatalf("no span %s", name)
	}
	return found
}

func (c *collector) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.spans)
}

// attributes returns values as text.
func attributes(list []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		case *commonpb.AnyValue_DoubleValue:
			all[a.Key] = fmt.Sprint(v.DoubleValue)
		default:
			all[a.Key] = fmt.Sprintf("%T", v)
		}
	}
	return all
}

// logged is what a log has been told; its lines.
type logged struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

type line struct {
	Msg          string
	Level        string
	Error        string
	SpansDropped int `json:"spans_dropped"`
}

func (l *logged) lines(t *testing.T) (lines []line) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for text := range bytes.Lines(l.text.Bytes()) {
		var one line
		if err := json.Unmarshal(text, &one); err != nil {
			t.Fatal(err)
		}
		lines = append(lines, one)
	}
	return lines
}

// dropped returns how many spans all lines tell of.
func (l *logged) dropped(t *testing.T) (n int) {
	t.Helper()
	for _, one := range l.lines(t) {
		n += one.SpansDropped
	}
	return n
}

func newTracer(t testing.TB, endpoint string, ratio float64) (*Tracer, *logged) {
	t.Helper()
	told := new(logged)
	tracer, err := New(endpoint, ratio, "v1.2.3", slog.New(slog.NewJSONHandler(told, nil)))
	if err != nil {
		t.Fatal(err)
	}
	return tracer, told
}

// flush closes a tracer whose collector takes all.
func flush(t testing.TB, tracer *Tracer) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tracer.Close(ctx)
	if ctx.Err() != nil {
		t.Error("not everything was sent")
	}
}

// traced is a collector to which one thing was told.
func traced(t *testing.T, ratio float64, tell func(*Tracer)) *collector {
	t.Helper()
	c := newCollector(t)
	tracer, told := newTracer(t, c.URL, ratio)
	tell(tracer)
	flush(t, tracer)
	if lines := told.lines(t); len(lines) > 0 {
		t.Errorf("the log says %+v", lines)
	}
	return c
}

func unhex(t *testing.T, text string) []byte {
	t.Helper()
	raw, err := hex.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}
