package tracing

import (
	"context"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// carrier holds the two headers of a trace context: https://www.w3.org/TR/trace-context/
type carrier struct {
	parent, state string
}

const traceparent, tracestate = "traceparent", "tracestate"

func (c *carrier) Keys() []string { return []string{traceparent, tracestate} }

func (c *carrier) Get(key string) string {
	if key == traceparent {
		return c.parent
	}
	return c.state
}

func (c *carrier) Set(key, value string) {
	if key == traceparent {
		c.parent = value
	} else {
		c.state = value
	}
}

// extract reads what a client has sent; it is not valid if that is malformed. Then a new
// trace begins, of which the client's tracestate tells nothing (§3.3.1).
func extract(traceparent, tracestate string) trace.SpanContext {
	c := carrier{strings.Trim(traceparent, " \t"), shortened(tracestate)}
	return trace.SpanContextFromContext(propagation.TraceContext{}.Extract(context.Background(), &c))
}

func inject(context trace.SpanContext) (traceparent, tracestate string) {
	var c carrier
	propagation.TraceContext{}.Inject(contextWith(context), &c)
	return c.parent, c.state
}

func contextWith(parent trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(context.Background(), parent)
}

const (
	maxState  = 512
	maxMember = 128
)

// shortened bounds what a session keeps: of more than 512 bytes, members that are long
// go first, then the last ones, which are the oldest (§3.3.1.5).
func shortened(tracestate string) string {
	if len(tracestate) <= maxState {
		return tracestate
	}
	members := slices.DeleteFunc(strings.Split(tracestate, ","), func(m string) bool { return len(m) > maxMember })
	for n := len(members); ; n-- {
		if text := strings.Join(members[:n], ","); len(text) <= maxState {
			return text
		}
	}
}
