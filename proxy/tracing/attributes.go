package tracing

import (
	"net"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"wswarden/proxy/admin/api"
)

// What OpenTelemetry's conventions have no name for is called as in the log.
const (
	sessionKey  = attribute.Key("wswarden.session")
	policyKey   = attribute.Key("wswarden.policy")
	identityKey = attribute.Key("wswarden.identity")
	reasonKey   = attribute.Key("wswarden.reason")

	causeKey         = attribute.Key("wswarden.cause")
	sideKey          = attribute.Key("wswarden.side")
	clientCodeKey    = attribute.Key("wswarden.client.close_code")
	upstreamCodeKey  = attribute.Key("wswarden.upstream.close_code")
	pingKey          = attribute.Key("wswarden.ping_seconds")
	outcomeKey       = attribute.Key("wswarden.release.outcome")
	subscriptionsKey = attribute.Key("wswarden.subscriptions")
	unsubscribedKey  = attribute.Key("wswarden.unsubscribed")

	upMessagesKey   = attribute.Key("wswarden.client_to_upstream.messages")
	upBytesKey      = attribute.Key("wswarden.client_to_upstream.bytes")
	downMessagesKey = attribute.Key("wswarden.upstream_to_client.messages")
	downBytesKey    = attribute.Key("wswarden.upstream_to_client.bytes")
)

const statusSwitched = 101

var switched = semconv.HTTPResponseStatusCode(statusSwitched)

// add adds a text, but no empty one. What a client sends may not be UTF-8, of which
// one byte would have the whole batch refused.
func add(list []attribute.KeyValue, key attribute.Key, text string) []attribute.KeyValue {
	if text == "" {
		return list
	}
	return append(list, key.String(strings.ToValidUTF8(text, "\ufffd")))
}

func addNumber[N uint16 | uint64 | int](list []attribute.KeyValue, key attribute.Key, n N) []attribute.KeyValue {
	return append(list, key.Int64(int64(n)))
}

// ids returns what is on every span.
func (tr *Trace) ids() []attribute.KeyValue {
	list := make([]attribute.KeyValue, 0, 4)
	if tr.session != 0 {
		list = append(list, sessionKey.String(tr.session.String()))
	}
	list = add(list, policyKey, tr.policy)
	list = add(list, identityKey, tr.identity)
	if tr.client.IsValid() {
		list = append(list, semconv.ClientAddress(tr.client.Unmap().String()))
	}
	return slices.Clip(list)
}

// attributes are those of an HTTP server's span.
func (h *Handshake) attributes(ids []attribute.KeyValue) []attribute.KeyValue {
	list := slices.Grow(ids, 8)
	list = append(list, semconv.HTTPRequestMethodGet, semconv.NetworkProtocolVersion("1.1"))
	list = add(list, semconv.URLSchemeKey, h.Scheme)
	if path, _, _ := strings.Cut(h.Path, "?"); path != "" {
		list = add(list, semconv.URLPathKey, path)
	}
	host, digits, err := net.SplitHostPort(h.Host)
	if err != nil {
		host = strings.Trim(h.Host, "[]")
	}
	list = add(list, semconv.ServerAddressKey, host)
	if port, err := strconv.ParseUint(digits, 10, 16); err == nil {
		list = addNumber(list, semconv.ServerPortKey, port)
	}
	return list
}

// refuse notes how a handshake has failed. What is the client's mistake is no error of
// a server's span.
func refuse(span trace.Span, status int, reason string) {
	var list []attribute.KeyValue
	if status != 0 {
		list = append(list, semconv.HTTPResponseStatusCode(status))
	}
	list = add(list, reasonKey, reason)
	if status == 0 || status >= 500 {
		span.SetStatus(codes.Error, "")
		if reason == "" {
			reason = strconv.Itoa(status)
		}
		list = add(list, semconv.ErrorTypeKey, reason)
	}
	span.SetAttributes(list...)
}

func endingAttributes(ids []attribute.KeyValue, e *api.Ending) []attribute.KeyValue {
	list := slices.Grow(ids, 11)
	list = add(list, causeKey, e.Cause)
	list = add(list, sideKey, e.Side)
	if e.ClientCode != 0 {
		list = addNumber(list, clientCodeKey, e.ClientCode)
	}
	if e.UpstreamCode != 0 {
		list = addNumber(list, upstreamCodeKey, e.UpstreamCode)
	}
	if e.Ping > 0 {
		list = append(list, pingKey.Float64(float64(e.Ping)))
	}
	list = addNumber(list, upMessagesKey, e.ClientToUpstream.Messages)
	list = addNumber(list, upBytesKey, e.ClientToUpstream.Bytes)
	list = addNumber(list, downMessagesKey, e.UpstreamToClient.Messages)
	list = addNumber(list, downBytesKey, e.UpstreamToClient.Bytes)
	list = addNumber(list, subscriptionsKey, e.Subscriptions)
	return addNumber(list, unsubscribedKey, e.Unsubscribed)
}

func releaseAttributes(ids []attribute.KeyValue, e *api.Ending) []attribute.KeyValue {
	list := slices.Grow(ids, 3)
	list = add(list, outcomeKey, e.ReleaseOutcome)
	list = addNumber(list, subscriptionsKey, e.Subscriptions)
	return addNumber(list, unsubscribedKey, e.Unsubscribed)
}
