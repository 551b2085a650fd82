package tracing

import (
	"net/netip"
	"time"

	"go.opentelemetry.io/otel/trace"

	"wswarden/proxy/admin/api"
)

// Handshake is what is known of one at its beginning. What is empty is left out.
type Handshake struct {
	// Traceparent and Tracestate are the client's headers; the values of several lines
	// are joined by commas. A session keeps them: they may not lie in a buffer.
	Traceparent, Tracestate string
	// Began is when the request was read.
	Began time.Time

	Session api.ID
	Policy  string
	// Identity is its hash, as in logs.
	Identity string
	// Client is who asks, as the log says it.
	Client netip.Addr
	// Scheme is http or https, Host the header, and Path that of the target, without
	// its query.
	Scheme, Host, Path string
}

// Trace is that of one session, or of a handshake that comes to nothing. A nil *Trace
// takes every call. It is used by one goroutine at a time, as the session is.
type Trace struct {
	tracer  trace.Tracer      // of a trace that is not sampled: nil
	context trace.SpanContext // that of the request to upstream

	session  api.ID
	policy   string
	identity string
	client   netip.Addr

	handshake trace.Span // nil: it is over
	opened    time.Time
}

// Handshake begins a trace, or goes on with the client's. It is nil if t is.
func (t *Tracer) Handshake(h Handshake) *Trace {
	if t == nil {
		return nil
	}
	parent := extract(h.Traceparent, h.Tracestate)
	_, span := t.tracer.Start(contextWith(parent), "handshake",
		trace.WithTimestamp(h.Began),
		trace.WithSpanKind(trace.SpanKindServer))
	switch {
	case span.IsRecording():
		tr := &Trace{tracer: t.tracer, context: span.SpanContext(), handshake: span,
			session: h.Session, policy: h.Policy, identity: h.Identity, client: h.Client}
		span.SetAttributes(h.attributes(tr.ids())...)
		return tr
	case parent.IsValid(): // it is passed on as it came: no span of ours comes in between
		return &Trace{context: parent}
	default: // upstream is told what was decided here
		return &Trace{context: span.SpanContext()}
	}
}

// Header returns the values of traceparent and tracestate for the request to upstream,
// instead of the client's; the latter is empty if there is none, and both are of a nil
// *Trace: then the client's are passed on.
func (tr *Trace) Header() (traceparent, tracestate string) {
	if tr == nil {
		return "", ""
	}
	return inject(tr.context)
}

// Refused ends the trace of a handshake that was answered with another status than 101,
// or not at all: 0. The reason is a word as in metrics, such as per_ip_rate; empty: the
// answer is upstream's own.
func (tr *Trace) Refused(at time.Time, status int, reason string) {
	if tr == nil || tr.handshake == nil {
		return
	}
	refuse(tr.handshake, status, reason)
	tr.handshake.End(trace.WithTimestamp(at))
	tr.handshake = nil
}

// Opened ends the handshake: the client gets its 101. It returns what the session is to
// keep until Ended: nil if it is not traced.
func (tr *Trace) Opened(at time.Time) *Trace {
	if tr == nil || tr.handshake == nil {
		return nil
	}
	tr.handshake.SetAttributes(switched)
	tr.handshake.End(trace.WithTimestamp(at))
	tr.handshake, tr.opened = nil, at
	return tr
}

// Ended ends the trace of a session of which nothing is left. Its end began at the
// moment ending. An empty identity is that of the handshake.
func (tr *Trace) Ended(ending, ended time.Time, identity string, e *api.Ending) {
	if tr == nil || tr.opened.IsZero() {
		return
	}
	if identity != "" {
		tr.identity = identity
	}
	ids := tr.ids()
	within, session := tr.tracer.Start(contextWith(tr.context), "session",
		trace.WithTimestamp(tr.opened), trace.WithAttributes(endingAttributes(ids, e)...))
	_, release := tr.tracer.Start(within, "release",
		trace.WithTimestamp(ending), trace.WithAttributes(releaseAttributes(ids, e)...))
	release.End(trace.WithTimestamp(ending.Add(e.Release.Duration())))
	session.End(trace.WithTimestamp(ended))
	tr.opened = time.Time{}
}
