package proxy

import (
	"bufio"
	"bytes"
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

// invite is fasthttp's ExpectHandler: a request that will be refused is refused
// before its body is asked for.
func (f *forwarder) invite(ctx *fasthttp.RequestCtx) int {
	h := &ctx.Request.Header
	if _, err := checkRequestHead(h, isHandshake(h)); err != nil {
		f.refuse(ctx, err)
		return ctx.Response.StatusCode()
	}
	return fasthttp.StatusContinue
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

// checkAnswerHead refuses the head of a response, not read yet, whose body two
// parsers could frame in two ways. Anything else that is wrong is found on reading.
func checkAnswerHead(br *bufio.Reader) error {
	end := []byte("\r\n\r\n")
	for n := 1; ; n = br.Buffered() + 1 {
		if _, err := br.Peek(n); err != nil {
			return nil
		}
		arrived, _ := br.Peek(br.Buffered())
		if head, _, complete := bytes.Cut(arrived, end); complete {
			return checkAnswerLines(head)
		}
	}
}

func checkAnswerLines(head []byte) error {
	head = bytes.TrimLeft(head, "\r\n") // of a server that ends a body so
	status, raw, _ := bytes.Cut(head, []byte("\n"))
	if statusOf(status) < 100 || hasControls(bytes.TrimSuffix(status, []byte("\r"))) {
		return errStatusLine
	}
	var length, encoding bool
	for len(raw) > 0 {
		line, name, _ := cutLine(raw)
		raw = raw[len(line):]
		if len(bytes.TrimRight(line, "\r\n")) == 0 { // the end, for some
			return errAnswerFraming
		}
		switch kindOf(bytes.TrimRight(name, " \t")) {
		case contentLengthHeader:
			length = true
		case transferEncodingHeader:
			encoding = true
		}
	}
	if encoding && (length || bytes.HasPrefix(status, []byte("HTTP/1.0"))) {
		return errAnswerFraming // RFC 9112 §6.1, §6.3
	}
	return nil
}

var (
	errStatusLine    = errors.New("malformed status line")
	errAnswerFraming = errors.New("ambiguous body length")
)

// dropHopByHop removes what upstream said to wswarden alone, RFC 9110 §7.6.1, and
// lines that are none. A 426 is of no use without its Upgrade.
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
		if !isToken(name) {
			drop = append(drop, name)
			continue
		}
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
