package proxy

import (
	"bytes"
	"encoding/base64"
	"errors"
	"net"
	"strings"
	"time"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/tracing"
)

// isHandshake reports whether a request asks for a WebSocket, well-formed or
// not.
func isHandshake(h *fasthttp.RequestHeader) bool {
	for rest := h.RawHeaders(); len(rest) > 2; {
		line, name, value := cutLine(rest)
		rest = rest[len(line):]
		if kindOf(name) == upgradeHeader && hasToken(value, "websocket") {
			return true
		}
	}
	return false
}

// wish is what a handshake says of the WebSocket that it asks for. fasthttp
// would find names in one spelling only, as it has to pass them on as they came.
type wish struct {
	key      []byte
	origin   []byte // empty if there is none (RFC 6455 §10.2)
	protocol []byte // the first subprotocol asked for; empty if there is none
	deflate  bool   // permessage-deflate is offered
	alone    bool   // in a way that has each message compressed alone, if that is needed
}

// readWish returns a *refusal for an opening handshake that RFC 6455 §4.2.1 does
// not allow.
func readWish(h *fasthttp.RequestHeader) (w wish, refused error) {
	var version []byte
	var versions, keys, origins int
	var upgrade bool
	for rest := h.RawHeaders(); len(rest) > 2; {
		line, name, value := cutLine(rest)
		rest = rest[len(line):]
		switch kindOf(name) {
		case connectionHeader:
			upgrade = upgrade || hasToken(value, "upgrade")
		case extensionsHeader:
			w.deflate = w.deflate || hasToken(value, deflateExtension)
			w.alone = w.alone || offersAlone(value)
		case keptHeader:
			switch {
			case equalFold(name, fasthttp.HeaderSecWebSocketKey):
				w.key = value
				keys++
			case equalFold(name, fasthttp.HeaderSecWebSocketVersion):
				version = value
				versions++
			case equalFold(name, fasthttp.HeaderOrigin):
				w.origin = value
				origins++
			case equalFold(name, fasthttp.HeaderSecWebSocketProtocol) && len(w.protocol) == 0:
				first, _, _ := bytes.Cut(value, []byte(","))
				w.protocol = bytes.TrimSpace(first)
			}
		}
	}
	switch {
	case !h.IsGet():
		return w, malformed("handshake with another method than GET")
	case !h.IsHTTP11():
		return w, malformed("handshake below HTTP/1.1")
	case !upgrade:
		return w, malformed("handshake without Connection: Upgrade")
	case versions != 1:
		return w, malformed("handshake needs one Sec-WebSocket-Version")
	case string(version) != "13":
		return w, errUpgradeVersion
	case origins > 1:
		return w, malformed("handshake with more than one Origin")
	case keys != 1 || !validKey(w.key):
		return w, malformed("handshake needs one Sec-WebSocket-Key of 16 bytes in base64")
	}
	return w, nil
}

var (
	errUpgradeVersion = &refusal{fasthttp.StatusUpgradeRequired, "WebSocket version not supported, use 13"}
	errNoPolicy       = &refusal{fasthttp.StatusNotFound, "no policy for this WebSocket"}
	errDraining       = &refusal{fasthttp.StatusServiceUnavailable, "draining"}
)

func validKey(key []byte) bool {
	var raw [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], key)
	return err == nil && n == 16
}

// handshake admits a client and hands it to an event loop, which makes the same
// handshake with upstream. The client's own request goes there, so that it is
// upstream's own answer, and its proof of having read the request, that the
// client gets.
func (s *Server) handshake(ctx *fasthttp.RequestCtx) {
	if !s.ready() {
		refuse(ctx, errDraining)
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, s.retryAfter())
		return
	}
	o, err := s.admit(ctx)
	var not *notAdmitted
	switch {
	case errors.As(err, &not):
		o.admission.trace.Refused(time.Now(), not.why.Status(), not.why.String())
		s.turnAway(ctx, not, o)
		return
	case err != nil:
		refuse(ctx, err)
		if err == errUpgradeVersion { // RFC 6455 §4.4, RFC 9110 §15.5.22
			ctx.Response.Header.Set(fasthttp.HeaderSecWebSocketVersion, "13")
			ctx.Response.Header.Set(fasthttp.HeaderUpgrade, "websocket")
		}
		return
	}
	// Without a response of fasthttp's own, no Connection: close keeps the
	// handler from being called. A client that has gone still can, where the
	// answers to earlier requests wait for it: then its connection gives back what
	// was admitted.
	if c, ok := ctx.Conn().(*clientConn); ok {
		c.admitted = o.admission
	}
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(client net.Conn) { s.begin(o, client) })
}

// admit returns the opening for a request that may have one, a *refusal, or a
// *notAdmitted.
func (s *Server) admit(ctx *fasthttp.RequestCtx) (*opening, error) {
	h := &ctx.Request.Header
	head, err := checkRequestHead(h, true)
	if err != nil {
		return nil, err
	}
	wish, err := readWish(h)
	if err != nil {
		return nil, err
	}
	setup := s.setup()
	kind := setup.match(ctx, string(wish.origin))
	if kind == nil {
		s.unmatched.Inc()
		return nil, errNoPolicy
	}
	from := newPeer(ctx, setup.TrustedProxies)
	head.alone = kind.policy.OneByOne()
	o := &opening{
		server:   s,
		accept:   acceptKey(wish.key),
		protocol: string(wish.protocol),
		offered:  wish.deflate && (wish.alone || !head.alone),
		alone:    head.alone,
	}
	o.admission, err = s.admission(ctx, setup, kind, &head, &wish, from)
	o.admission.trace = s.trace(ctx, o.admission, from)
	if err != nil {
		return o, err
	}
	if o.addresses, err = setup.resolver.lookup(setup.Upstream.DialTimeout); err != nil {
		o.admission.leave()
		o.admission.trace.Refused(time.Now(), errUnreachable.status, errUnreachable.reason)
		s.forwarder.dials.count(dialUnresolved)
		s.log.Warn("upstream's name not resolved", "error", err)
		return nil, errUnreachable
	}
	if kind.policy.Mode != policies.ModeObserve {
		head.traceparent, head.tracestate = o.admission.trace.Header()
		head.session = api.ID(o.admission.id).String()
	}
	o.request = head.appendTo(make([]byte, 0, len(h.RawHeaders())+256), from, true)
	return o, nil
}

// trace begins the trace of a handshake; nil: there is none.
func (s *Server) trace(ctx *fasthttp.RequestCtx, a *admission, from peer) *tracing.Trace {
	if s.tracer == nil {
		return nil
	}
	joined := func(name string) string {
		var values []string
		eachHeader(&ctx.Request.Header, name, func(value []byte) { values = append(values, string(value)) })
		return strings.Join(values, ",")
	}
	return s.tracer.Handshake(tracing.Handshake{
		Traceparent: joined("traceparent"),
		Tracestate:  joined("tracestate"),
		Began:       ctx.Time(),
		Session:     api.ID(a.id),
		Policy:      a.kind.policy.Name,
		Identity:    a.identityText(),
		Client:      a.client,
		Scheme:      from.proto,
		Host:        string(ctx.Host()),
		Path:        string(ctx.Path()),
	})
}

// begin hands the client to an event loop, unless a drain has begun meanwhile:
// then its connection is closed.
func (s *Server) begin(o *opening, client net.Conn) {
	if !s.enter() {
		o.admission.leave()
		o.admission.trace.Refused(time.Now(), 0, errDraining.reason)
		return
	}
	var err error
	if o.clientFD, o.fromClient, err = detachHijacked(client); err == nil {
		if err = o.admission.worker.loop.Do(o.begin); err != nil {
			closeDescriptor(o.clientFD)
		}
	}
	if err != nil {
		s.log.Error("session not opened", "error", err)
		o.admission.trace.Refused(time.Now(), 0, "not opened")
		o.admission.leave()
		s.leave()
	}
}
