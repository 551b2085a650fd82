package proxy

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"iter"
	"net"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
)

// isHandshake reports whether a request asks for a WebSocket, well-formed or
// not.
func isHandshake(h *fasthttp.RequestHeader) bool {
	upgrade, _ := field(h.AllInOrder(), fasthttp.HeaderUpgrade)
	return hasToken(upgrade, "websocket")
}

// field returns the value of the header lines with a name, in any spelling of
// it, joined to one list (RFC 9110 §5.3), and the number of lines. fasthttp finds
// only the one spelling, as names are to be passed on as they came.
func field(lines iter.Seq2[[]byte, []byte], name string) (value []byte, n int) {
	for key, v := range lines {
		if !equalFold(key, name) {
			continue
		}
		if n++; n == 1 {
			value = v
		} else {
			value = append(append(bytes.Clone(value), ", "...), v...)
		}
	}
	return value, n
}

// checkHandshake returns a *refusal for an opening handshake that RFC 6455
// §4.2.1 does not allow.
func checkHandshake(h *fasthttp.RequestHeader) error {
	connection, _ := field(h.AllInOrder(), fasthttp.HeaderConnection)
	version, versions := field(h.AllInOrder(), fasthttp.HeaderSecWebSocketVersion)
	key, keys := field(h.AllInOrder(), fasthttp.HeaderSecWebSocketKey)
	switch {
	case !h.IsGet():
		return malformed("handshake with another method than GET")
	case !h.IsHTTP11():
		return malformed("handshake below HTTP/1.1")
	case !hasToken(connection, "upgrade"):
		return malformed("handshake without Connection: Upgrade")
	case versions != 1:
		return malformed("handshake needs one Sec-WebSocket-Version")
	case string(version) != "13":
		return &refusal{fasthttp.StatusUpgradeRequired, "WebSocket version not supported, use 13"}
	case keys != 1 || !validKey(key):
		return malformed("handshake needs one Sec-WebSocket-Key of 16 bytes in base64")
	}
	return nil
}

func validKey(key []byte) bool {
	var raw [18]byte
	if len(key) != 24 {
		return false
	}
	n, err := base64.StdEncoding.Decode(raw[:], key)
	return err == nil && n == 16
}

// handshake admits a client, makes the same handshake with upstream, and hands
// both connections to an event loop. The client's own request goes upstream, so
// that it is upstream's own answer, and its proof of having read the request,
// that the client gets.
func (s *Server) handshake(ctx *fasthttp.RequestCtx) {
	if !s.enter() {
		refuse(ctx, &refusal{fasthttp.StatusServiceUnavailable, "draining"})
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, s.retryAfter())
		return
	}
	if !s.admit(ctx) {
		s.leave()
	}
}

// admit returns false when the request has been answered without a session.
func (s *Server) admit(ctx *fasthttp.RequestCtx) bool {
	h := &ctx.Request.Header
	head, err := checkRequestHead(h, true)
	if err == nil {
		err = checkHandshake(h)
	}
	if err != nil {
		refuse(ctx, err)
		if ctx.Response.StatusCode() == fasthttp.StatusUpgradeRequired { // RFC 6455 §4.4
			ctx.Response.Header.Set(fasthttp.HeaderSecWebSocketVersion, "13")
		}
		return false
	}
	policy := s.policyFor(ctx)
	if policy == nil {
		refuse(ctx, &refusal{fasthttp.StatusNotFound, "no policy for this WebSocket"})
		return false
	}
	from := newPeer(ctx, s.config.TrustedProxies)
	o := &opening{policy: policy, address: head.clientAddress(from, s.config.TrustedProxies)}

	up, err := s.forwarder.dial()
	if err != nil {
		s.forwarder.fail(ctx, err)
		return false
	}
	var buf [1024]byte
	if err := s.forwarder.roundTripHead(ctx, up, head.appendTo(buf[:0], from, true)); err != nil {
		up.close()
		s.forwarder.fail(ctx, err)
		return false
	}
	answer := &ctx.Response.Header
	if answer.StatusCode() != fasthttp.StatusSwitchingProtocols {
		s.forwarder.respond(ctx, up)
		return false
	}
	if o.deflate, err = checkAnswer(h, answer); err != nil {
		up.close()
		s.forwarder.fail(ctx, err)
		return false
	}
	o.head = append([]byte(nil), answer.Header()...)
	o.fromUpstream, _ = up.br.Peek(up.br.Buffered())
	o.fromUpstream = bytes.Clone(o.fromUpstream)
	conn := up.Conn
	up.releaseReader()

	// Without a response of fasthttp's own, nothing keeps the handler from
	// being called: no Connection: close, and no client that has gone.
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(client net.Conn) { s.begin(o, client, conn) })
	return true
}

// begin hands both connections to an event loop.
func (s *Server) begin(o *opening, client, upstream net.Conn) {
	var errClient, errUpstream error
	o.clientFD, o.fromClient, errClient = detachHijacked(client)
	o.upstreamFD, errUpstream = detach(upstream)
	err := errors.Join(errClient, errUpstream)
	if err == nil {
		w := s.workers[s.next.Add(1)%uint32(len(s.workers))]
		err = w.loop.Do(func() { w.open(o) })
	}
	if err != nil {
		s.log.Error("session not opened", "error", err)
		closeDescriptor(o.clientFD)
		closeDescriptor(o.upstreamFD)
		s.leave()
	}
}

// checkAnswer checks that upstream has agreed to what the client asked for
// (RFC 6455 §4.1), and reports whether that includes permessage-deflate. Its
// Upgrade and Connection are set anew: they are for one hop.
func checkAnswer(request *fasthttp.RequestHeader, answer *fasthttp.ResponseHeader) (deflate bool, err error) {
	upgrade, _ := field(answer.All(), fasthttp.HeaderUpgrade)
	connection, _ := field(answer.All(), fasthttp.HeaderConnection)
	key, _ := field(request.AllInOrder(), fasthttp.HeaderSecWebSocketKey)
	proof, _ := field(answer.All(), fasthttp.HeaderSecWebSocketAccept)
	switch {
	case !hasToken(upgrade, "websocket"), !hasToken(connection, "upgrade"):
		return false, errNoUpgrade
	case string(proof) != acceptKey(key):
		return false, errAccept
	}
	agreed, _ := field(answer.All(), fasthttp.HeaderSecWebSocketExtensions)
	if len(agreed) == 0 {
		return false, nil
	}
	offered, _ := field(request.AllInOrder(), fasthttp.HeaderSecWebSocketExtensions)
	if !hasToken(offered, deflateExtension) || string(deflateOffers(agreed)) != string(agreed) {
		return false, errExtension
	}
	return true, nil
}

// deflateExtension is the one extension that is passed through: RFC 7692.
const deflateExtension = "permessage-deflate"

var (
	errNoUpgrade = errors.New("upstream answered 101 without Upgrade: websocket")
	errAccept    = errors.New("upstream answered with a wrong Sec-WebSocket-Accept")
	errExtension = errors.New("upstream agreed to an extension that was not offered")
)

// acceptKey is upstream's proof that it has read the handshake (RFC 6455
// §4.2.2).
func acceptKey(key []byte) string {
	hash := sha1.New()
	hash.Write(key)
	hash.Write([]byte("258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(hash.Sum(nil))
}

// policyFor returns the first policy that fits; nil if none does. The path is
// compared decoded and cleaned, so that no spelling of it slips past a policy.
func (s *Server) policyFor(ctx *fasthttp.RequestCtx) *policies.Policy {
	host, path := string(ctx.Host()), string(ctx.Path())
	for i := range s.config.Policies {
		if p := &s.config.Policies[i]; p.Match.Fits(host, path) {
			return p
		}
	}
	return nil
}
