package proxy_test

import "strings"

const (
	upgrading = "GET /case-NNN HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n"
	got       = "GET /case-NNN "

	settings = "HTTP2-Settings: AAMAAABkAAQCAAAAAAIAAAAA\r\n"
	preface  = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
)

// agreed is upstream's 101 to what asks for a WebSocket.
var agreed = interopAnswer()

// What asks for another protocol, for another treatment of the connection, or for a
// word from upstream before the body.
var upgradeAttempts = []attempt{
	{name: "upgrade to HTTP/2", source: "h2c smuggling, RFC 7540 §3.2", want: forwarded(got),
		request: head + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" + settings + "\r\n"},
	{name: "upgrade to HTTP/2 with the preface behind", source: "h2c smuggling", want: outcome{upstream: []string{got}, client: []string{ok, "400"}},
		request: head + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" + settings + "\r\n" + preface + canary},
	{name: "upgrade to HTTP/2 without the settings in Connection", source: "h2c smuggling", want: forwarded(got),
		request: head + "Upgrade: h2c\r\nConnection: Upgrade\r\n" + settings + "\r\n"},
	{name: "upgrade to HTTP/2 with a body", source: "h2c smuggling", want: forwarded(posted + canary),
		request: post + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" + settings + "Content-Length: 37\r\n\r\n" + canary},
	{name: "upgrade to HTTP/2 that upstream agrees to", source: "h2c smuggling", want: outcome{upstream: []string{got, lastSeen}, client: []string{"502", lastOK}},
		request: head + "Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\n" + settings + "\r\n",
		answer:  "HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"},
	{name: "upgrade to TLS", source: "RFC 2817 §3", want: forwarded(got), request: head + "Upgrade: TLS/1.0\r\nConnection: Upgrade\r\n\r\n"},
	{name: "upgrade for CGI", source: "RFC 3875 §4.1.18", request: head + "Up_grade: 1\r\nSec_WebSocket_Key: x\r\n\r\n", want: forwarded(got)},

	{name: "no Connection", source: "RFC 6455 §4.2.1", request: head + "Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "Connection names another", source: "RFC 6455 §4.2.1", request: head + "Upgrade: websocket\r\nConnection: x-upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "wrong version", source: "websocket smuggling: 426 taken for a 101", want: turnedDown("426"),
		request: head + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 777\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "version twice", source: "RFC 6455 §4.2.1", request: upgrading + "Sec-WebSocket-Version: 8\r\n\r\n" + canary},
	{name: "list of versions", source: "RFC 6455 §4.2.1", want: turnedDown("426"),
		request: head + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13, 8\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "no key", source: "RFC 6455 §4.2.1", request: head + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n" + canary},
	{name: "key twice", source: "RFC 6455 §4.2.1", request: upgrading + "Sec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "short key", source: "RFC 6455 §4.2.1", request: head + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAA\r\n\r\n" + canary},
	{name: "origin twice", source: "RFC 6454 §7.3", request: upgrading + "Origin: http://h\r\nOrigin: http://other\r\n\r\n" + canary},
	{name: "by POST", source: "RFC 6455 §4.2.1", request: post + "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "in HTTP/1.0", source: "RFC 9110 §7.8", request: "GET /case-NNN HTTP/1.0\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "with a length", source: "upgrade and CL", request: upgrading + "Content-Length: 37\r\n\r\n" + canary},
	{name: "with chunks", source: "upgrade and TE", request: upgrading + "Transfer-Encoding: chunked\r\n\r\n25\r\n" + canary + "\r\n0\r\n\r\n"},
	{name: "with a length of 0", source: "upgrade and CL", want: forwardedAndClosed(got), request: upgrading + "Content-Length: 0\r\n\r\n" + canary},
	{name: "with a fragment", source: "RFC 6455 §3", request: "GET /case-NNN#f HTTP/1.1\r\n" + upgrading[len("GET /case-NNN HTTP/1.1\r\n"):] + "\r\n" + canary},

	{name: "two upgrades in a line", source: "RFC 9110 §7.8", want: forwardedAndClosed(got),
		request: head + "Upgrade: h2c, websocket\r\nConnection: Upgrade, HTTP2-Settings\r\n" + settings + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + interopKey + "\r\n\r\n" + canary},
	{name: "two upgrades in two lines", source: "RFC 9110 §7.8", want: forwardedAndClosed(got), request: upgrading + "Upgrade: h2c\r\n\r\n" + canary},
	{name: "refused by upstream, a request behind", source: "websocket smuggling", want: forwardedAndClosed(got), request: upgrading + "\r\n" + canary},
	{name: "refused by upstream with a body, a request behind", source: "websocket smuggling", request: upgrading + "\r\n" + canary,
		answer: "HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n",
		want:   outcome{upstream: []string{got}, client: []string{"403 no"}}},
	{name: "agreed to with a wrong proof, a request behind", source: "websocket smuggling", request: upgrading + "\r\n" + canary,
		answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: AAAA\r\n\r\n",
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to without Upgrade, a request behind", source: "websocket smuggling", request: upgrading + "\r\n" + canary,
		answer: "HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: " + interopProof + "\r\n\r\n",
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to in HTTP/1.0, a request behind", source: "websocket smuggling", request: upgrading + "\r\n" + canary,
		answer: "HTTP/1.0 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " + interopProof + "\r\n\r\n",
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},

	{name: "agreed to with a CR in a value, a request behind", source: "response splitting", request: upgrading + "\r\n" + canary,
		answer: strings.Replace(agreed, "\r\n\r\n", "\r\nA: b\rSet-Cookie: c=d\r\n\r\n", 1),
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to with a NUL in a value, a request behind", source: "RFC 9110 §5.5", request: upgrading + "\r\n" + canary,
		answer: strings.Replace(agreed, "\r\n\r\n", "\r\nA: b\x00\r\n\r\n", 1),
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to with a folded line, a request behind", source: "RFC 9112 §5.2", request: upgrading + "\r\n" + canary,
		answer: strings.Replace(agreed, "\r\n\r\n", "\r\nA: b\r\n c\r\n\r\n", 1),
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to with a bare LF, a request behind", source: "RFC 9112 §2.2", request: upgrading + "\r\n" + canary,
		answer: strings.Replace(agreed, "\r\nUpgrade", "\nUpgrade", 1),
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},
	{name: "agreed to with a CR in the reason, a request behind", source: "response splitting", request: upgrading + "\r\n" + canary,
		answer: strings.Replace(agreed, "Protocols", "Protocols\rA: b", 1),
		want:   outcome{upstream: []string{got}, client: []string{"502"}}},

	{name: "Connection names the length", source: "hop-by-hop abuse", want: forwarded(posted + canary),
		request: post + "Connection: Content-Length\r\nContent-Length: 37\r\n\r\n" + canary},
	{name: "Connection names the encoding", source: "hop-by-hop abuse", want: forwarded(posted + canary),
		request: post + "Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n" + canary + "\r\n0\r\n\r\n"},
	{name: "Connection names all that matters", source: "hop-by-hop abuse", want: forwarded(got),
		request: head + "Connection: Host, Cookie, Authorization, X-Forwarded-For, close-not\r\nCookie: a=b\r\n\r\n"},
	{name: "Connection: close", source: "RFC 9112 §9.6", want: forwardedAndClosed(got), request: head + "Connection: close\r\n\r\n" + canary},
	{name: "Connection: close among others", source: "RFC 9112 §9.6", want: forwardedAndClosed(got), request: head + "Connection: a, CLOSE ,b\r\n\r\n" + canary},
	{name: "Connection: close in another line", source: "RFC 9112 §9.6", want: forwardedAndClosed(got),
		request: head + "Connection: keep-alive\r\nConnection: close\r\n\r\n" + canary},
	{name: "HTTP/1.0", source: "RFC 9112 §9.3", want: forwardedAndClosed(got), request: "GET /case-NNN HTTP/1.0\r\nHost: h\r\n\r\n" + canary},
	{name: "HTTP/1.0 keeps alive", source: "RFC 9112 §9.3", want: forwarded(got), request: "GET /case-NNN HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n"},
	{name: "requests in a row", source: "RFC 9112 §9.3.2", want: forwarded(got, posted+"hello", "GET /case-NNN/2 "),
		request: head + "\r\n" + post + "Content-Length: 5\r\n\r\nhello" + "GET /case-NNN/2 HTTP/1.1\r\nHost: h\r\n\r\n"},

	{name: "Expect with a body", source: "RFC 9110 §10.1.1", request: post + "Expect: 100-continue\r\nContent-Length: 37\r\n\r\n" + canary,
		want: outcome{upstream: []string{posted + canary, lastSeen}, client: []string{"100 ", ok, lastOK}}},
	{name: "Expect with chunks", source: "RFC 9110 §10.1.1", request: post + "Expect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n25\r\n" + canary + "\r\n0\r\n\r\n",
		want: outcome{upstream: []string{posted + canary, lastSeen}, client: []string{"100 ", ok, lastOK}}},
	{name: "Expect without a body", source: "0.CL by Expect, RFC 9110 §10.1.1", request: head + "Expect: 100-continue\r\n\r\n",
		want: outcome{upstream: []string{got, lastSeen}, client: []string{"100 ", ok, lastOK}}},
	{name: "Expect in upper case", source: "RFC 9110 §10.1.1", request: post + "Expect: 100-CONTINUE\r\nContent-Length: 37\r\n\r\n" + canary,
		want: outcome{upstream: []string{posted + canary, lastSeen}, client: []string{"100 ", ok, lastOK}}},
	{name: "Expect in HTTP/1.0", source: "RFC 9110 §10.1.1", want: forwardedAndClosed(posted + "hello"),
		request: "POST /case-NNN HTTP/1.0\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "Expect that is unknown", source: "RFC 9110 §10.1.1", want: forwarded(posted + "hello"),
		request: post + "Expect: y 100-continue\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "Expect twice", source: "0.CL by Expect", request: post + "Expect: x\r\nExpect: 100-continue\r\nContent-Length: 37\r\n\r\n" + canary,
		want: forwarded(posted + canary)},
	{name: "Expect folded", source: "CL.0 by Expect", request: post + "Expect:\r\n 100-continue\r\nContent-Length: 37\r\n\r\n" + canary},
	{name: "Expect with an upgrade", source: "websocket smuggling", request: upgrading + "Expect: 100-continue\r\n\r\n" + canary,
		want: outcome{upstream: []string{got}, client: []string{"100 ", ok}}},
	{name: "Expect with length and chunked", source: "RFC 9112 §6.3", want: turnedDown("400"),
		request: post + "Expect: 100-continue\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
}
