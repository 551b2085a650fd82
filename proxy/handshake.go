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
	key       []byte
	origin    []byte   // empty if there is none (RFC 6455 §10.2)
	protocols []string // the subprotocols asked for
	deflate   bool     // permessage-deflate is offered
	alone     bool     // in a way that has each message compressed alone, if that is needed
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
			case equalFold(name, fasthttp.HeaderSecWebSocketProtocol):
				for protocol := range bytes.SplitSeq(value, []byte(",")) {
					if protocol = bytes.TrimSpace(protocol); len(protocol) > 0 {
						w.protocols = append(w.protocols, string(protocol))
					}
				}
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

// firstProtocol is the first subprotocol asked for; empty if there is none.
func (w *wish) firstProtocol() string {
	if len(w.protocols) == 0 {
		return ""
	}
	return w.protocols[0]
}

// requestOf returns what a policy's match looks at. The path is compared decoded and
// cleaned, so that no spelling of it slips past a policy.
func requestOf(ctx *fasthttp.RequestCtx, head *requestHead, from peer, w *wish) *policies.Request {
	r := &policies.Request{
		Host:         string(ctx.Host()),
		Path:         string(ctx.Path()),
		Origin:       string(w.origin),
		Subprotocols: w.protocols,
		Header: func(name string) (values []string) {
			eachHeader(&ctx.Request.Header, name, func(value []byte) {
				if head.passes([]byte(name), from) { // what upstream does not get means nothing
					values = append(values, string(value))
				}
			})
			return values
		},
	}
	if c := clientOf(ctx.Conn()); c != nil {
		r.Listener = c.listener.settings.Load().Known()
	}
	return r
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
		tellWhen(ctx, err)
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
	if c := clientOf(ctx.Conn()); c != nil {
		c.admitted = o.admission
	}
	o.admission.passes()
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
	from := newPeer(ctx, setup.TrustedProxies)
	kind := setup.match(requestOf(ctx, &head, from, &wish))
	if kind == nil {
		s.unmatched.Inc()
		return nil, errNoPolicy
	}
	head.alone = kind.policy.OneByOne()
	o := &opening{
		server:   s,
		accept:   acceptKey(wish.key),
		protocol: wish.firstProtocol(),
		offered:  wish.deflate && (wish.alone || !head.alone),
		alone:    head.alone,
	}
	o.admission, err = s.admission(ctx, setup, kind, &head, &wish, from)
	o.admission.trace = s.trace(ctx, o.admission, from)
	if err != nil {
		return o, err
	}
	o.via = setup.upstream
	if o.addresses, err = o.via.pool.Pick(o.via.stickyKey(ctx, &head, from), o.via.DialTimeout); err != nil {
		o.admission.leave()
		err = s.forwarder.notPicked(err)
		refused, _ := errors.AsType[*refusal](err)
		o.admission.trace.Refused(time.Now(), refused.status, refused.reason)
		return nil, err
	}
	if kind.policy.Mode != policies.ModeObserve {
		head.traceparent, head.tracestate = o.admission.trace.Header()
		head.session = api.ID(o.admission.id).String()
	}
	header := o.via.proxyHeader(ctx)
	o.header = len(header)
	o.request = head.appendTo(append(make([]byte, 0, len(header)+len(h.RawHeaders())+256), header...), from, true)
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
	defer o.admission.passed()
	if !s.enter() {
		o.admission.leave()
		o.admission.trace.Refused(time.Now(), 0, errDraining.reason)
		return
	}
	var err error
	if o.client, o.fromClient, err = detachHijacked(client); err == nil {
		if err = o.admission.worker.loop.Do(o.begin); err != nil {
			o.client.close()
		}
	}
	if err != nil {
		s.log.Error("session not opened", "error", err)
		o.admission.trace.Refused(time.Now(), 0, "not opened")
		o.admission.leave()
		s.leave()
	}
}
