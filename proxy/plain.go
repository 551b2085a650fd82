package proxy

import (
	"errors"
	"io"
	"log/slog"
	"net"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"
)

// Plain HTTP is what is no WebSocket handshake: it is passed to upstream as it
// is. The refusal of a handshake by upstream goes back the same way: see
// answered, which reads its head and leaves the rest to respond.

const (
	// headLimit bounds a request's and a response's head, in bytes.
	headLimit = 16 << 10

	// headTimeout bounds the time a client takes for a request's head, and
	// clientIdleTimeout its time between two requests.
	headTimeout       = 10 * time.Second
	clientIdleTimeout = 60 * time.Second

	// progressTimeout bounds the time in which a peer that is to send or take
	// a part of a body does not send or take a single byte. It does not apply
	// to upstream's response: a stream of events may be silent for hours.
	progressTimeout = 60 * time.Second

	// lingerTimeout bounds the time in which the rest of a request that has
	// been answered already is read and dropped.
	lingerTimeout = 5 * time.Second
)

// configureServer sets the options that plain HTTP and handshakes rely on.
func configureServer(s *fasthttp.Server) {
	s.DisableHeaderNamesNormalizing = true
	s.NoDefaultServerHeader = true
	s.NoDefaultDate = true
	s.NoDefaultContentType = true
	s.DisablePreParseMultipartForm = true
	s.CloseOnShutdown = true
	s.SecureErrorLogMessage = true // its errors would carry the head otherwise
	s.ReadBufferSize = headLimit

	// The handler gets a body when its first 8 KiB are there, or all of it.
	// Longer ones are streamed: fasthttp's limit is none then.
	s.StreamRequestBody = true

	// ReadTimeout would count until the end of the body: HeaderReceived gives
	// its first 8 KiB a time of their own, and the forwarder gives one to each
	// of the other pieces, as it does to those of a response.
	s.ReadTimeout = headTimeout
	s.WriteTimeout = progressTimeout
	s.IdleTimeout = clientIdleTimeout
	s.HeaderReceived = func(h *fasthttp.RequestHeader) fasthttp.RequestConfig {
		spellExpect(h)
		return fasthttp.RequestConfig{ReadTimeout: progressTimeout}
	}
}

// spellExpect has fasthttp find an Expect, which it looks for in one spelling only. What
// upstream gets is made of the lines as they came.
func spellExpect(h *fasthttp.RequestHeader) {
	if len(h.Peek(fasthttp.HeaderExpect)) > 0 {
		return
	}
	eachHeader(h, fasthttp.HeaderExpect, func(value []byte) { h.SetBytesV(fasthttp.HeaderExpect, value) })
}

// forwarder passes plain HTTP requests to upstream. Its methods may be called
// from any goroutine.
type forwarder struct {
	setup    func() *setup // the one in use
	log      *slog.Logger
	dials    *dials
	requests *httpRequests

	mu     sync.Mutex
	idle   []*upstreamConn // the one used last comes last
	expiry *time.Timer     // runs while there are idle connections
	closed bool

	late late // see relayAndClose and passOn
}

// newForwarder makes a forwarder to the upstream of the configuration in use, that
// registers its metrics.
func newForwarder(setup func() *setup, log *slog.Logger, registry prometheus.Registerer) *forwarder {
	return &forwarder{
		setup:    setup,
		log:      log,
		dials:    newDials(registry),
		requests: newHTTPRequests(registry),
	}
}

// refuse is fasthttp's ErrorHandler: it answers what could not be read as a request.
func (f *forwarder) refuse(ctx *fasthttp.RequestCtx, err error) {
	refuse(ctx, err)
	f.requests.count(ctx.Response.StatusCode())
}

// serve answers a request with upstream's response to it.
func (f *forwarder) serve(ctx *fasthttp.RequestCtx) {
	f.forward(ctx)
	f.requests.count(ctx.Response.StatusCode())
}

func (f *forwarder) forward(ctx *fasthttp.RequestCtx) {
	head, err := checkRequestHead(&ctx.Request.Header, false)
	if err != nil {
		refuse(ctx, err)
		return
	}
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	setup := f.setup()
	from := newPeer(ctx, setup.TrustedProxies)
	request := head.appendTo((*buffer)[:0], from, false)

	body := newRequestBody(ctx, head.chunked)
	if body != nil {
		// A body that starts with a bad chunk never reaches upstream.
		if request, err = body.appendFirst(request); err != nil {
			refuse(ctx, err)
			return
		}
	}

	upstream := setup.upstream
	addresses, err := upstream.pool.Pick(upstream.stickyKey(ctx, &head, from), upstream.DialTimeout)
	if err != nil {
		err = f.notPicked(err)
		refuse(ctx, err)
		tellWhen(ctx, err)
		return
	}
	header := upstream.proxyHeader(ctx)
	var uc *upstreamConn
	if len(header) == 0 {
		uc = f.idleConn(addresses[0])
	}
	for {
		if uc == nil {
			if uc, err = f.dial(upstream, addresses, header); err != nil {
				f.fail(ctx, err)
				return
			}
		}
		x := newExchange(ctx, uc, body)
		if err = x.roundTripHead(request, upstream.HandshakeTimeout); err == nil {
			if uc.reused {
				uc.address.Connected() // as good as a new connection, which a breaker may wait for
			}
			f.relay(x)
			return
		}
		x.stop()
		uc.close()
		if x.clientErr != nil {
			refuse(ctx, x.clientErr)
			return
		}
		if !mayRetry(ctx, uc, body, err) {
			f.fail(ctx, err)
			return
		}
		uc = nil
	}
}

// mayRetry reports whether a request can be sent again on a new connection:
// the old one had been idle and was closed without a byte of response, so that
// most likely the two crossed, and a second execution does no harm, RFC 9110
// §9.2.2.
func mayRetry(ctx *fasthttp.RequestCtx, uc *upstreamConn, body *requestBody, err error) bool {
	if !uc.reused || body != nil || !errors.Is(err, errNoAnswer) {
		return false
	}
	switch string(ctx.Method()) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return false
}

// respond answers with the response whose head readHead has read into
// ctx.Response.Header, and takes uc over. The body is sent after the handler has returned.
func (f *forwarder) respond(ctx *fasthttp.RequestCtx, uc *upstreamConn) {
	x := newExchange(ctx, uc, nil)
	x.start()
	f.relay(x)
}

// relay passes on the response whose head is in ctx.Response.Header.
func (f *forwarder) relay(x *exchange) {
	ctx, uc := x.ctx, x.uc
	h := &ctx.Response.Header
	if h.StatusCode() == fasthttp.StatusSwitchingProtocols { // nobody asked
		x.stop()
		uc.close()
		f.fail(ctx, errMalformedAnswer)
		return
	}
	length := h.ContentLength() // -1: chunked, -2: until the connection ends
	// A 204 that announces a body may be followed by one, RFC 9110 §8.6.
	uc.persistent = !h.ConnectionClose() && (h.StatusCode() != fasthttp.StatusNoContent || length == 0 || length == -2)
	dropHopByHop(h)
	h.ResetConnectionClose()
	h.SetProtocol([]byte("HTTP/1.1"))

	bodiless := ctx.IsHead() || h.StatusCode() == fasthttp.StatusNoContent ||
		h.StatusCode() == fasthttp.StatusNotModified
	if bodiless {
		length = 0
	}
	switch buffered := uc.br.Buffered(); {
	case !x.bodyRead.Load(), length < 0 && !ctx.Request.Header.IsHTTP11():
		f.relayAndClose(x, newResponseBody(f, x, length))
	case bodiless:
		f.finish(x, true)
	case length >= 0 && length <= buffered:
		small, _ := uc.br.Peek(length)
		ctx.Response.SetBody(small)
		_, _ = uc.br.Discard(length)
		f.finish(x, true)
	default:
		// With a length, fasthttp would collect the body's pieces in its
		// buffer, so the body passes that by: the head has to be out first.
		ctx.Response.ImmediateHeaderFlush = length >= 0 || buffered == 0
		ctx.Response.SetBodyStream(newResponseBody(f, x, length), max(length, -1))
	}
}

// relayAndClose answers a client whose connection has to end in a way that
// fasthttp does not know. An HTTP/1.0 client reads a body without a length to
// the end of the connection, so that a reset must tell it of a failure. And a
// client that is still sending its request must not lose the response to the
// reset that closing would cause, RFC 9112 §9.6.
func (f *forwarder) relayAndClose(x *exchange, body *responseBody) {
	h := &x.ctx.Response.Header
	if body.framing != byLength {
		h.Del(fasthttp.HeaderTransferEncoding)
		h.SetContentLength(-2)
	}
	h.SetConnectionClose()
	client := clientOf(x.ctx.Conn())
	end := f.late.begin(client)
	if client != nil { // fasthttp may close it instead of calling what follows
		client.closed = func() { _ = body.Close(); end() }
	}
	x.ctx.HijackSetNoResponse(true)
	x.ctx.Hijack(func(net.Conn) {
		defer end()
		conn := x.ctx.Conn()
		defer conn.Close()
		_ = x.ctx.SetWriteDeadline(time.Now().Add(progressTimeout))
		_, err := conn.Write(h.Header())
		if err == nil {
			_, err = body.writeTo(conn)
		}
		_ = body.Close()
		if conn, ok := conn.(tcpConn); ok {
			if err != nil {
				_ = conn.SetLinger(0)
				if client != nil { // below TLS, whose close_notify would look like the end
					_ = client.Conn.Close()
				}
				return
			}
			_ = conn.CloseWrite()
			_ = conn.SetReadDeadline(time.Now().Add(lingerTimeout))
			_, _ = io.Copy(io.Discard, conn)
		}
	})
}

// tcpConn is what a TCP connection can do, and what is made around one.
type tcpConn interface {
	net.Conn
	SetLinger(seconds int) error
	CloseWrite() error
}

// finish ends an exchange. complete: the response has been read to its end.
func (f *forwarder) finish(x *exchange, complete bool) {
	x.stop()
	if complete && x.sent && !x.cut && x.clientErr == nil && x.uc.persistent && x.uc.br.Buffered() == 0 {
		f.keep(x.uc)
		return
	}
	x.uc.close()
}
