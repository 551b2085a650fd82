package proxy

import (
	"bytes"
	"net/netip"
	"strconv"

	"github.com/valyala/fasthttp"
)

// A request head goes upstream as the lines that came, in their order and
// spelling, and not as a parsed and rebuilt header. Lines are only dropped
// (hop-by-hop, and what an untrusted peer says about where it comes from),
// rewritten in place (X-Forwarded-For, Connection, TE) or added at the end.
//
// So that upstream's parser sees what fasthttp's saw, everything that two
// parsers could read in two ways is refused first: see checkRequestHead.

// refusal is a request that is answered without asking upstream.
type refusal struct {
	status int
	reason string
}

func (r *refusal) Error() string { return r.reason }

func malformed(reason string) *refusal {
	return &refusal{fasthttp.StatusBadRequest, reason}
}

var (
	errLineEnd      = malformed("header line does not end in CRLF")
	errFolded       = malformed("folded header line")
	errHeaderName   = malformed("malformed header name")
	errHost         = malformed("missing, repeated or malformed Host")
	errTarget       = malformed("request target and Host differ")
	errScheme       = malformed("request target is not of HTTP")
	errFraming      = malformed("ambiguous body length")
	errEncoding     = malformed("unsupported Transfer-Encoding")
	errFragment     = malformed("fragment in the request target")
	errHandshake    = malformed("handshake with a body")
	errVersion      = &refusal{fasthttp.StatusHTTPVersionNotSupported, "unsupported HTTP version"}
	errConnect      = &refusal{fasthttp.StatusNotImplemented, "CONNECT is not supported"}
	errRequestChunk = malformed("malformed chunk or trailer")
)

// peer is the other end of a client connection: the client, or a proxy that
// stands in front of wswarden.
type peer struct {
	addr    netip.Addr // not valid on a unix socket
	trusted bool       // what it says in X-Forwarded-* is believed
	proto   string     // "http" or "https"
}

func newPeer(ctx *fasthttp.RequestCtx, trusted []netip.Prefix) peer {
	p := peer{proto: "http"}
	if ctx.IsTLS() {
		p.proto = "https"
	}
	p.addr = addressOf(ctx.RemoteAddr())
	p.trusted = isTrusted(p.addr, trusted) || isUnix(ctx.RemoteAddr()) // its file's mode says who may
	return p
}

func isTrusted(addr netip.Addr, trusted []netip.Prefix) bool {
	for _, prefix := range trusted {
		if prefix.Contains(addr) {
			return true
		}
	}
	return false
}

// requestHead is a head that passed checkRequestHead. It is valid as long as
// the fasthttp request that it was made from.
type requestHead struct {
	header *fasthttp.RequestHeader

	chunked        bool
	hasHost        bool // only an HTTP/1.0 request may come without
	forwardedFor   int  // lines
	forwardedProto bool
	forwardedHost  bool
	wantsTrailers  bool // TE: trailers
	namesHeaders   bool // Connection names more than the usual options

	// alone is set for a handshake under a policy that needs messages one by one.
	alone bool

	// For upstream: the session's id, and what replaces the client's trace context.
	// Empty: nothing.
	session                 string
	traceparent, tracestate string
}

// sessionHeader tells both peers the session's id, as it is in logs.
const sessionHeader = "X-Wswarden-Session"

// checkRequestHead returns a *refusal for a head that fasthttp takes although
// another parser could read it differently: RFC 9112 §3.2, §5, §6.3. A
// handshake must not have a body: its bytes would be taken for frames.
func checkRequestHead(h *fasthttp.RequestHeader, handshake bool) (requestHead, error) {
	head := requestHead{header: h}
	if v := string(h.Protocol()); v != "HTTP/1.1" && v != "HTTP/1.0" {
		return head, errVersion
	}
	if string(h.Method()) == fasthttp.MethodConnect {
		return head, errConnect
	}

	var hasLength, hasBody bool
	rest := h.RawHeaders()
	for len(rest) > 2 {
		line, name, value := cutLine(rest)
		rest = rest[len(line):]
		if err := checkLine(line, name); err != nil {
			return head, err
		}
		kind := kindOf(name)
		switch kind {
		case hostHeader:
			if head.hasHost {
				return head, errHost
			}
			head.hasHost = true
		case contentLengthHeader:
			if hasLength || head.chunked {
				return head, errFraming
			}
			hasLength = true
			hasBody = string(value) != "0"
		case transferEncodingHeader:
			if hasLength || head.chunked {
				return head, errFraming
			}
			if !bytes.EqualFold(value, []byte("chunked")) || !h.IsHTTP11() {
				return head, errEncoding
			}
			head.chunked, hasBody = true, true
		case forwardedForHeader:
			head.forwardedFor++
		case forwardedProtoHeader:
			head.forwardedProto = true
		case forwardedHostHeader:
			head.forwardedHost = true
		case teHeader:
			head.wantsTrailers = head.wantsTrailers || hasToken(value, "trailers")
		case connectionHeader:
			head.namesHeaders = head.namesHeaders || namesHeaders(value)
		}
		if kind >= hostHeader && bytes.IndexByte(name, '_') >= 0 {
			return head, errHeaderName
		}
	}
	if len(rest) == 1 { // a bare LF in place of the empty line
		return head, errLineEnd
	}
	if !head.hasHost && h.IsHTTP11() {
		return head, errHost
	}
	if handshake && hasBody {
		return head, errHandshake
	}
	target := h.RequestURI()
	if bytes.HasPrefix(target, []byte("//")) && bytes.Contains(target, []byte("://")) {
		// Only fasthttp takes what is behind the slashes for a host then.
		return head, errTarget
	}
	if bytes.IndexByte(target, '#') >= 0 { // who cuts it off reads another path or query
		return head, errFragment
	}
	if !isHost(h.Host()) { // or fasthttp may take a part of it for the host
		return head, errHost
	}
	if target[0] != '/' && target[0] != '*' {
		// RFC 9112 §3.2.2 has the target win over Host, and not every
		// server does so.
		scheme, authority, _ := bytes.Cut(target, []byte("://"))
		if !equalFold(scheme, "http") && !equalFold(scheme, "https") {
			return head, errScheme
		}
		if end := bytes.IndexAny(authority, "/?#"); end >= 0 {
			authority = authority[:end]
		}
		if !bytes.EqualFold(authority, h.Host()) {
			return head, errTarget
		}
	}
	return head, nil
}

// appendTo appends the head as upstream shall get it, with the empty line that
// ends it. A handshake keeps its Connection and Upgrade, so the caller must
// have found them in it.
func (head *requestHead) appendTo(dst []byte, p peer, handshake bool) []byte {
	h := head.header
	dst = append(dst, h.Method()...)
	dst = append(dst, ' ')
	dst = append(dst, h.RequestURI()...)
	dst = append(dst, " HTTP/1.1\r\n"...)

	var connection, upgrade, extensions bool
	forwardedFor := head.forwardedFor
	rest := h.RawHeaders()
	for len(rest) > 2 {
		line, name, value := cutLine(rest)
		rest = rest[len(line):]
		switch kindOf(name) {
		case hopByHop:
			continue
		case plainHeader:
			if head.namesHeaders && connectionNames(h.RawHeaders(), name) {
				continue
			}
		case connectionHeader:
			if handshake && !connection {
				connection = true
				dst = appendLine(dst, name, "Upgrade")
			}
			continue
		case upgradeHeader:
			if handshake && !upgrade {
				upgrade = true
				dst = appendLine(dst, name, "websocket")
			}
			continue
		case teHeader:
			continue
		case contentLengthHeader: // what it was read as: not every server trims tabs
			dst = append(append(dst, name...), ": "...)
			dst = append(strconv.AppendInt(dst, int64(h.ContentLength()), 10), "\r\n"...)
			continue
		case transferEncodingHeader:
			dst = appendLine(dst, name, "chunked")
			continue
		case traceHeader:
			if head.traceparent != "" || head.namesHeaders && connectionNames(h.RawHeaders(), name) {
				continue
			}
		case expectHeader:
			if !h.IsHTTP11() { // RFC 9110 §10.1.1
				continue
			}
		case forwardedForHeader:
			if !p.trusted {
				continue
			}
			if forwardedFor--; forwardedFor == 0 && p.addr.IsValid() {
				dst = append(dst, line[:len(line)-2]...)
				if len(value) > 0 {
					dst = append(dst, ", "...)
				}
				dst = p.addr.AppendTo(dst)
				dst = append(dst, "\r\n"...)
				continue
			}
		case forwardedHeader, forwardedProtoHeader, forwardedHostHeader:
			if !p.trusted {
				continue
			}
		case extensionsHeader:
			if handshake {
				switch {
				case !head.alone:
					if offers := deflateOffers(value); len(offers) > 0 {
						dst = appendLine(dst, name, offers)
					}
				case !extensions && offersAlone(value):
					extensions = true
					dst = appendLine(dst, name, offerAlone)
				}
				continue
			}
		}
		dst = append(dst, line...)
	}

	if !head.hasHost { // RFC 9112 §3.2
		dst = append(dst, "Host: \r\n"...)
	}
	if head.wantsTrailers && !handshake { // RFC 9110 §10.1.4
		dst = append(dst, "TE: trailers\r\nConnection: TE\r\n"...)
	}
	if (!p.trusted || head.forwardedFor == 0) && p.addr.IsValid() {
		dst = append(dst, "X-Forwarded-For: "...)
		dst = p.addr.AppendTo(dst)
		dst = append(dst, "\r\n"...)
	}
	if !p.trusted || !head.forwardedProto {
		dst = appendLine(dst, "X-Forwarded-Proto", p.proto)
	}
	if (!p.trusted || !head.forwardedHost) && head.hasHost {
		dst = appendLine(dst, "X-Forwarded-Host", h.Host())
	}
	for _, own := range [...]struct{ name, value string }{
		{sessionHeader, head.session}, {"traceparent", head.traceparent}, {"tracestate", head.tracestate},
	} {
		if own.value != "" {
			dst = appendLine(dst, own.name, own.value)
		}
	}
	return append(dst, "\r\n"...)
}

// passes reports whether upstream gets a header line of that name.
func (head *requestHead) passes(name []byte, p peer) bool {
	switch kindOf(name) {
	case plainHeader, traceHeader:
		return !head.namesHeaders || !connectionNames(head.header.RawHeaders(), name)
	case hopByHop, connectionHeader, upgradeHeader, teHeader:
		return false
	case forwardedHeader, forwardedForHeader, forwardedProtoHeader, forwardedHostHeader:
		return p.trusted
	default:
		return true
	}
}

// hosts returns the hosts that a request can be believed to be for: its own, and,
// if the peer is trusted, those in X-Forwarded-Host.
func (head *requestHead) hosts(p peer) []string {
	hosts := []string{string(head.header.Host())}
	if !p.trusted || !head.forwardedHost {
		return hosts
	}
	eachHeader(head.header, fasthttp.HeaderXForwardedHost, func(value []byte) {
		for host := range bytes.SplitSeq(value, []byte(",")) {
			hosts = append(hosts, string(bytes.TrimSpace(host)))
		}
	})
	return hosts
}

// clientAddress returns the address that a request can be believed to come
// from: the peer's, or, if the peer is trusted, the last one in
// X-Forwarded-For that no trusted proxy has. An entry that is not an address
// ends the search: the proxy that reported it is as far as belief goes.
func (head *requestHead) clientAddress(p peer, trusted []netip.Prefix) netip.Addr {
	client := p.addr
	if !p.trusted || head.forwardedFor == 0 {
		return client
	}
	var list []byte
	eachHeader(head.header, fasthttp.HeaderXForwardedFor, func(value []byte) {
		list = append(append(list, ','), value...)
	})
	for len(list) > 0 {
		last := bytes.LastIndexByte(list, ',')
		entry := bytes.TrimSpace(list[last+1:])
		list = list[:max(last, 0)]
		if len(entry) == 0 {
			continue
		}
		addr, ok := parseForwarded(string(entry))
		if !ok {
			break
		}
		client = addr
		if !isTrusted(addr, trusted) {
			break
		}
	}
	return client
}

// parseForwarded reads an entry of X-Forwarded-For. Some proxies add a port,
// or put an IPv6 address in brackets.
func parseForwarded(entry string) (netip.Addr, bool) {
	addr, err := netip.ParseAddr(entry)
	if err != nil {
		var withPort netip.AddrPort
		if withPort, err = netip.ParseAddrPort(entry); err == nil {
			addr = withPort.Addr()
		} else if n := len(entry); n > 2 && entry[0] == '[' && entry[n-1] == ']' {
			addr, err = netip.ParseAddr(entry[1 : n-1])
		}
	}
	return addr.Unmap().WithZone(""), err == nil
}
