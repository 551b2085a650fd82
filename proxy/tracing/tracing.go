// Package tracing tells an OpenTelemetry collector of sessions, in three spans:
//
//	handshake             from the request until it is answered; a child of the client's span
//	├─ (upstream's own)   as the request to upstream names the handshake for its parent
//	└─ session            from the 101 until nothing is left of it
//	   └─ release         from the beginning of its end until upstream has let go
//
// A span is sent when it ends. So it is the handshake that all hang on: it is there from
// the beginning, whereas a session may last for days, and ends with the process at the
// latest. The session is its child, and not linked from a trace of its own, so that one
// id, which upstream has too, leads to everything. The attribute wswarden.session is on
// all three, and leads there from a line of the log.
//
// Nothing here waits for a collector. What it does not take in time is dropped, counted,
// and told in the log.
package tracing

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

const (
	// maxSpans that wait for the collector, about 2 KiB each.
	maxSpans = 2048
	// maxBatch is how many go out in one request, at once when there are so many,
	// else after batchDelay.
	maxBatch   = 512
	batchDelay = 5 * time.Second
	// attemptTimeout is for one request, exportTimeout for all attempts with one batch.
	attemptTimeout = 10 * time.Second
	exportTimeout  = 30 * time.Second
	// maxText bounds an attribute's text, of which clients write some.
	maxText = 1024
)

// Tracer begins traces. A nil *Tracer traces nothing. Its methods may be called by any
// goroutine; they never wait, but for Close.
type Tracer struct {
	tracer    trace.Tracer
	processor sdk.SpanProcessor
	exporter  *exporter
	transport *http.Transport
}

// New returns a Tracer for the collector at an http or https URL, to which /v1/traces is
// added unless it ends so. ratio, from 0 to 1, is the part of the sessions that are
// traced, by chance, where the client has not decided it. The log may not block.
//
// What the environment says in OpenTelemetry's own variables of the collector's headers
// (OTEL_EXPORTER_OTLP_HEADERS) and of the service (OTEL_SERVICE_NAME,
// OTEL_RESOURCE_ATTRIBUTES) applies.
//
// The OpenTelemetry SDK tells its errors in one place for the whole process: the last
// New counts.
func New(endpoint string, ratio float64, version string, log *slog.Logger) (*Tracer, error) {
	u, err := url.Parse(endpoint)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("tracing: %q is not an http:// or https:// URL", endpoint)
	}
	if !strings.HasSuffix(u.Path, "/v1/traces") {
		u = u.JoinPath("v1/traces")
	}
	losses := &losses{log: log, now: time.Now}
	otel.SetErrorHandler(otel.ErrorHandlerFunc(losses.tell))
	otel.SetLogger(logr.FromSlogHandler(sdkLog{log.Handler()}))

	// A transport of its own, as the library's is never closed.
	transport := &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: attemptTimeout}).DialContext,
		TLSHandshakeTimeout: attemptTimeout,
		ForceAttemptHTTP2:   true,
		IdleConnTimeout:     90 * time.Second,
	}
	otlp, err := otlptracehttp.New(context.Background(),
		otlptracehttp.WithEndpointURL(u.String()),
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: attemptTimeout}),
		otlptracehttp.WithMaxResponseSize(64<<10))
	if err != nil {
		return nil, fmt.Errorf("tracing: %w", err)
	}
	about, err := resource.New(context.Background(),
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName("wswarden"), semconv.ServiceVersion(version)),
		resource.WithFromEnv()) // last, so that it wins
	if err != nil {
		losses.tell(err) // it has what could be found
	}

	exporter := newExporter(otlp, losses)
	processor := &gate{exporter: exporter, SpanProcessor: sdk.NewBatchSpanProcessor(exporter,
		sdk.WithMaxQueueSize(maxSpans),
		sdk.WithMaxExportBatchSize(maxBatch),
		sdk.WithBatchTimeout(batchDelay),
		sdk.WithExportTimeout(exportTimeout))}
	limits := sdk.NewSpanLimits()
	limits.AttributeValueLengthLimit = maxText
	provider := sdk.NewTracerProvider(
		sdk.WithResource(about),
		sdk.WithSpanProcessor(processor),
		sdk.WithSampler(sdk.ParentBased(sdk.TraceIDRatioBased(ratio))),
		sdk.WithRawSpanLimits(limits))
	return &Tracer{
		tracer:    provider.Tracer("wswarden", trace.WithInstrumentationVersion(version), trace.WithSchemaURL(semconv.SchemaURL)),
		processor: processor,
		exporter:  exporter,
		transport: transport,
	}, nil
}

// Close sends what waits, as long as ctx allows, drops the rest, and leaves nothing
// running. It is called once; traces that are not over are lost.
func (t *Tracer) Close(ctx context.Context) {
	if t == nil {
		return
	}
	stop := context.AfterFunc(ctx, t.exporter.abort)
	defer stop()
	_ = t.processor.Shutdown(ctx) // which returns with ctx, though it is not done
	<-t.exporter.closed
	t.exporter.abort()
	t.transport.CloseIdleConnections()
	t.exporter.losses.tellAll()
}
