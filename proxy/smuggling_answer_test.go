package proxy_test

import "strings"

const (
	// poison is a response that nobody asked for.
	poison = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	status = "HTTP/1.1 200 OK\r\n"
)

// malformedAnswer: upstream's response is none, and the request behind is served all
// the same, from another connection.
var malformedAnswer = outcome{upstream: []string{got, lastSeen}, client: []string{"502", lastOK}}

// answered: upstream's response reaches the client so, and the request behind is served.
func answered(response string) outcome {
	return outcome{upstream: []string{got, lastSeen}, client: []string{response, lastOK}}
}

// cutShort: what upstream has sent of a body may reach the client, but not its end, nor
// a response to the request behind.
var cutShort = outcome{upstream: []string{got}, client: []string{}}

func heading(method string) string { return method + " /case-NNN HTTP/1.1\r\nHost: h\r\n\r\n" }

// What upstream answers: response splitting, and the poisoning of a connection that
// other clients' requests go by. RFC 9112 §6.3 and §7, RFC 9110 §15.
var answerAttempts = []attempt{
	{name: "length", want: answered("200 hello"), answer: status + "Content-Length: 5\r\n\r\nhello"},
	{name: "two lengths", source: "RFC 9112 §6.3", want: malformedAnswer, answer: status + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nhello"},
	{name: "the same length twice", source: "RFC 9112 §6.3", want: malformedAnswer, answer: status + "Content-Length: 5\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "list of lengths", source: "RFC 9112 §6.3", want: malformedAnswer, answer: status + "Content-Length: 5, 5\r\n\r\nhello"},
	{name: "signed length", source: "RFC 9110 §8.6", want: malformedAnswer, answer: status + "Content-Length: +5\r\n\r\nhello"},
	{name: "hex length", source: "RFC 9110 §8.6", want: malformedAnswer, answer: status + "Content-Length: 0x5\r\n\r\nhello"},
	{name: "negative length", source: "RFC 9110 §8.6", want: malformedAnswer, answer: status + "Content-Length: -1\r\n\r\nhello"},
	{name: "length past 64 bits", source: "RFC 9110 §8.6", want: malformedAnswer, answer: status + "Content-Length: 18446744073709551621\r\n\r\nhello"},
	{name: "length with space around", source: "RFC 9110 §5.5", want: answered("200 hello"), answer: status + "Content-Length: \t5\t \r\n\r\nhello"},
	{name: "length with leading zeros", source: "RFC 9110 §8.6", want: answered("200 0123456789"), answer: status + "Content-Length: 0010\r\n\r\n0123456789"},
	{name: "length with a space before the colon", source: "RFC 9112 §5.1", want: answered("200 hello"), answer: status + "Content-Length : 5\r\n\r\nhello"},
	{name: "length and chunked", source: "CL.TE, RFC 9112 §6.3", want: malformedAnswer,
		answer: status + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison},
	{name: "chunked and length", source: "TE.CL, RFC 9112 §6.3", want: malformedAnswer,
		answer: status + "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n" + poison},
	{name: "chunked twice", source: "TE.TE, RFC 9112 §6.1", want: malformedAnswer, answer: status + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n"},
	{name: "two encodings", source: "TE.TE, RFC 9112 §6.1", want: malformedAnswer, answer: status + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"},
	{name: "unknown encoding", source: "TE.TE, RFC 9112 §6.1", want: malformedAnswer, answer: status + "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"},
	{name: "chunked not alone", source: "TE.TE, RFC 9112 §6.1", want: malformedAnswer, answer: status + "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"},
	{name: "identity and length", source: "RFC 9112 §6.1", want: malformedAnswer, answer: status + "Transfer-Encoding: identity\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "encoding with a vertical tab", source: "TE.TE", want: malformedAnswer, answer: status + "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"},
	{name: "encoding with a space before the colon", source: "RFC 9112 §5.1", want: answered("200 "), answer: status + "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n"},
	{name: "encoding in HTTP/1.0", source: "RFC 9112 §6.1", want: malformedAnswer, answer: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\nhello" + poison},

	{name: "chunks", want: answered("200 hello"), answer: status + "Transfer-Encoding: chunked\r\n\r\n5;a=\"b\"\r\nhello\r\n0;c\r\n\r\n"},
	{name: "trailer", source: "RFC 9112 §7.1.2", want: answered("200 hello"), answer: status + "Trailer: X-Sum\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n"},
	{name: "trailer with a length", source: "RFC 9110 §6.5.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 5\r\n\r\n"},
	{name: "trailer with a cookie", source: "RFC 9110 §6.5.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nSet-Cookie: a=b\r\n\r\n"},
	{name: "trailer with an encoding", source: "RFC 9110 §6.5.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n"},
	{name: "response in the place of trailers", source: "RFC 9112 §7.1.2", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n" + poison},
	{name: "size with 0x", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nhello\r\n0\r\n\r\n"},
	{name: "signed size", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n+5\r\nhello\r\n0\r\n\r\n"},
	{name: "empty size", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n\r\nhello\r\n0\r\n\r\n"},
	{name: "size with an underscore", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n1_0\r\n0123456789abcdef\r\n0\r\n\r\n"},
	{name: "size past 64 bits", source: "overflow", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n10000000000000005\r\nhello\r\n0\r\n\r\n"},
	{name: "bare LF behind the size", source: "RFC 9112 §2.2", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\nhello\r\n0\r\n\r\n"},
	{name: "bare LF in an extension", source: "TERM.EXT", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5;a\nhello\r\n0\r\n\r\n"},
	{name: "bare CR in an extension", source: "EXT.TERM", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5;a\rb\r\nhello\r\n0\r\n\r\n"},
	{name: "junk behind the size", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5 x\r\nhello\r\n0\r\n\r\n"},
	{name: "chunk longer than its size", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n4\r\nhello\r\n0\r\n\r\n"},
	{name: "bare LF behind a chunk", source: "RFC 9112 §7.1", want: cutShort, answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\n0\r\n\r\n"},

	{name: "another response behind one with a length", source: "response queue poisoning", want: answered("200 hello"),
		answer: status + "Content-Length: 5\r\n\r\nhello" + poison},
	{name: "another response behind one with chunks", source: "response queue poisoning", want: answered("200 hello"),
		answer: status + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n" + poison},
	{name: "another response behind an empty one", source: "response queue poisoning", want: answered("200 "), answer: status + "Content-Length: 0\r\n\r\n" + poison},
	{name: "204 with a length and a body", source: "RFC 9110 §15.3.5", want: answered("204 "), answer: "HTTP/1.1 204 No Content\r\nContent-Length: 52\r\n\r\n" + poison},
	{name: "204 with chunks", source: "RFC 9112 §6.1", want: answered("204 "),
		answer: "HTTP/1.1 204 No Content\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "204 with a body", source: "RFC 9112 §6.3", want: answered("204 "), answer: "HTTP/1.1 204 No Content\r\n\r\n" + poison},
	{name: "304 with a body", source: "RFC 9110 §15.4.5", want: answered("304 "), answer: "HTTP/1.1 304 Not Modified\r\nContent-Length: 45\r\n\r\n" + poison},
	{name: "304 with chunks", source: "RFC 9110 §15.4.5", want: answered("304 "),
		answer: "HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"},
	{name: "HEAD with a body", source: "RFC 9110 §9.3.2", request: heading("HEAD"), answer: status + "Content-Length: 45\r\n\r\n" + poison,
		want: outcome{upstream: []string{"HEAD /case-NNN ", lastSeen}, client: []string{"200 ", lastOK}}},
	{name: "HEAD with chunks", source: "RFC 9110 §9.3.2", request: heading("HEAD"), answer: status + "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + poison,
		want: outcome{upstream: []string{"HEAD /case-NNN ", lastSeen}, client: []string{"200 ", lastOK}}},
	{name: "HEAD with a length only", source: "RFC 9110 §9.3.2", request: heading("HEAD"), answer: status + "Content-Length: 45\r\n\r\n",
		want: outcome{upstream: []string{"HEAD /case-NNN ", lastSeen}, client: []string{"200 ", lastOK}}},

	{name: "interim responses", source: "RFC 9110 §15.2", want: answered("200 hello"),
		answer: "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + status + "Content-Length: 5\r\n\r\nhello"},
	{name: "interim response with a length", source: "RFC 9112 §6.3, it has no body", want: answered("200 poison"),
		answer: "HTTP/1.1 103 Early Hints\r\nContent-Length: 45\r\n\r\n" + poison},
	{name: "flood of interim responses", source: "RFC 9110 §15.2", want: malformedAnswer,
		answer: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 1000) + poison},
	{name: "101 to a plain request", source: "RFC 9110 §15.2.2", want: malformedAnswer,
		answer: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n" + poison},
	{name: "101 with a length", source: "RFC 9110 §15.2.2", want: malformedAnswer,
		answer: "HTTP/1.1 101 Switching Protocols\r\nContent-Length: 5\r\n\r\nhello" + poison},

	{name: "folded line", source: "RFC 9112 §5.2", want: answered("200 hello"), answer: status + "A: b\r\n Content-Length: 0\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "fold in the first line", source: "RFC 9112 §2.2", want: malformedAnswer, answer: status + " Content-Length: 5\r\n\r\nhello"},
	{name: "bare LF behind a line", source: "RFC 9112 §2.2", want: answered("200 hello"), answer: status + "A: b\nContent-Length: 5\r\n\r\nhello"},
	{name: "bare LF behind the status", source: "RFC 9112 §2.2", want: answered("200 hello"), answer: "HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello"},
	{name: "bare LF at the end", source: "RFC 9112 §2.2", want: malformedAnswer, answer: status + "Content-Length: 5\r\n\nhello\r\n\r\n"},
	{name: "bare CR in a value", source: "RFC 9112 §2.2", want: malformedAnswer, answer: status + "A: b\rContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "NUL in a value", source: "RFC 9110 §5.5", want: malformedAnswer, answer: status + "A: b\x00\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "space in a name", source: "RFC 9110 §5.1", want: answered("200 hello"), answer: status + "Foo Bar: b\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "name is no token", source: "RFC 9110 §5.1", want: malformedAnswer, answer: status + "Foo(Bar): b\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no name", source: "RFC 9110 §5.1", want: malformedAnswer, answer: status + ": b\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no colon", source: "RFC 9112 §5", want: malformedAnswer, answer: status + "Foo\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "empty line before", source: "RFC 9112 §2.2", want: answered("200 hello"), answer: "\r\n" + status + "Content-Length: 5\r\n\r\nhello"},
	{name: "CR in the reason", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1 200 OK\rContent-Length: 0\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "NUL in the reason", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1 200 O\x00K\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no reason", source: "RFC 9112 §4", want: answered("200 hello"), answer: "HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello"},
	{name: "no space behind the status", source: "RFC 9112 §4", want: answered("200 hello"), answer: "HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status of four digits", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1 2000 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status below 100", source: "RFC 9110 §15", want: malformedAnswer, answer: "HTTP/1.1 099 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "status above 599", source: "RFC 9110 §15", want: answered("700 hello"), answer: "HTTP/1.1 700 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "signed status", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "two spaces before the status", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "tab before the status", source: "RFC 9112 §4", want: malformedAnswer, answer: "HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "HTTP/2.0", source: "RFC 9112 §2.3", want: malformedAnswer, answer: "HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
	{name: "HTTP/0.9", source: "RFC 9112 §2.3", want: malformedAnswer, answer: "hello" + poison},
	{name: "http/1.1", source: "RFC 9112 §2.3", want: malformedAnswer, answer: "http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"},
}
