package proxy

import (
	"errors"
	"io"

	"github.com/valyala/fasthttp"
)

// fail answers a request that upstream did not answer. The client learns what
// happened, the log why.
func (f *forwarder) fail(ctx *fasthttp.RequestCtx, err error) {
	status, reason := fasthttp.StatusBadGateway, "upstream's answer is malformed"
	var dial *dialError
	isTimeout := timedOut(err)
	switch isDial := errors.As(err, &dial); {
	case isDial && isTimeout:
		status, reason = fasthttp.StatusGatewayTimeout, "upstream did not take the connection in time"
	case isDial:
		reason = "upstream is not reachable"
	case isTimeout:
		status, reason = fasthttp.StatusGatewayTimeout, "upstream did not answer in time"
	case errors.Is(err, errNoAnswer):
		reason = "upstream closed the connection without an answer"
	}
	f.log.Warn("request failed", "status", status, "reason", reason, "error", err)
	if stream := ctx.RequestBodyStream(); stream != nil {
		ctx.SetConnectionClose()
	}
	answer(ctx, status, reason)
}

// refuse answers a request that upstream never got, or not to its end, because
// of the client, and ends the connection.
func refuse(ctx *fasthttp.RequestCtx, err error) {
	status, reason := fasthttp.StatusBadRequest, "malformed request"
	var refused *refusal
	var small *fasthttp.ErrSmallBuffer
	switch {
	case errors.As(err, &refused):
		status, reason = refused.status, refused.reason
	case errors.As(err, &small):
		status, reason = fasthttp.StatusRequestHeaderFieldsTooLarge, "request head is too large"
	case timedOut(err):
		status, reason = fasthttp.StatusRequestTimeout, "request did not arrive in time"
	case errors.Is(err, io.ErrUnexpectedEOF):
		reason = "request is not complete"
	default:
		// fasthttp wraps what is wrong in what it was doing.
		if inner := errors.Unwrap(err); inner != nil {
			reason += ": " + inner.Error()
		}
	}
	ctx.SetConnectionClose()
	answer(ctx, status, reason)
}

func timedOut(err error) bool {
	var timeout interface{ Timeout() bool }
	return errors.As(err, &timeout) && timeout.Timeout()
}

// answer sets a response of wswarden's own, in place of whatever was there.
func answer(ctx *fasthttp.RequestCtx, status int, reason string) {
	h := &ctx.Response.Header
	closing := h.ConnectionClose()
	for _, name := range h.PeekKeys() {
		h.DelBytes(name)
	}
	if closing {
		h.SetConnectionClose()
	}
	h.SetProtocol([]byte("HTTP/1.1"))
	h.SetStatusMessage(nil)
	ctx.SetStatusCode(status)
	ctx.SetContentType("text/plain; charset=utf-8")
	ctx.SetBodyString(reason + "\n")
}

// dropHopByHop removes what upstream said to wswarden alone, RFC 9110 §7.6.1.
// A 426 is of no use without its Upgrade.
func dropHopByHop(h *fasthttp.ResponseHeader) {
	var options []byte
	for name, value := range h.All() {
		if kindOf(name) == connectionHeader {
			options = append(append(options, value...), ',')
		}
	}
	upgrade := h.StatusCode() == fasthttp.StatusUpgradeRequired
	var drop [][]byte
	for name := range h.All() {
		switch kindOf(name) {
		case hopByHop, connectionHeader, teHeader:
			drop = append(drop, name)
		case upgradeHeader:
			if !upgrade {
				drop = append(drop, name)
			}
		case plainHeader:
			if len(options) > 0 && hasToken(options, string(name)) {
				drop = append(drop, name)
			}
		}
	}
	for _, name := range drop {
		h.DelBytes(name)
	}
	if upgrade {
		h.Set(fasthttp.HeaderConnection, "Upgrade")
	}
}
