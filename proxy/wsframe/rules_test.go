package wsframe

import (
	"errors"
	"math"
	"strings"
)

const (
	text  = byte(Text)
	bin   = byte(Binary)
	more  = byte(Continuation)
	closE = byte(Close)
	ping  = byte(Ping)
	pong  = byte(Pong)
)

// rules is what a scanner lets pass and what it refuses. With an error, the
// last frame is the one that breaks the rule.
var rules = []struct {
	section, rule string
	deflate       bool
	limit         int64
	frames        []raw
	want          error
}{
	{section: "RFC 6455 §5.1", rule: "a client's frame without a mask, or a server's with one",
		frames: []raw{{first: fin | text, payload: "ok"}, {first: fin | text, payload: "bad", badMask: true}}, want: errMask},
	{section: "RFC 6455 §5.1", rule: "the same for an empty frame",
		frames: []raw{{first: fin | text, badMask: true}}, want: errMask},
	{section: "RFC 6455 §5.1", rule: "the same for a control frame",
		frames: []raw{{first: fin | ping, payload: "bad", badMask: true}}, want: errMask},

	{section: "RFC 6455 §5.2", rule: "text and binary", frames: []raw{{first: fin | text, payload: "t"}, {first: fin | bin, payload: "b"}}},
	{section: "RFC 6455 §5.2", rule: "RSV2", frames: []raw{{first: fin | rsv2 | text}}, want: ErrReserved},
	{section: "RFC 6455 §5.2", rule: "RSV3", frames: []raw{{first: fin | rsv3 | bin, payload: "x"}}, want: ErrReserved},
	{section: "RFC 6455 §5.2", rule: "RSV2 on a control frame", frames: []raw{{first: fin | rsv2 | ping}}, want: ErrReserved},
	{section: "RFC 6455 §5.2", rule: "RSV3 on a continuation",
		frames: []raw{{first: text, payload: "a"}, {first: fin | rsv3 | more, payload: "b"}}, want: ErrReserved},
	{section: "RFC 6455 §5.2", rule: "opcode 3", frames: []raw{{first: fin | 3}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode 4", frames: []raw{{first: fin | 4, payload: "x"}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode 5", frames: []raw{{first: fin | 5}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode 6", frames: []raw{{first: 6}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode 7", frames: []raw{{first: fin | 7}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode B", frames: []raw{{first: fin | 0xb}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode C", frames: []raw{{first: fin | 0xc, payload: "x"}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode D", frames: []raw{{first: fin | 0xd}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode E", frames: []raw{{first: 0xe}}, want: ErrOpcode},
	{section: "RFC 6455 §5.2", rule: "opcode F", frames: []raw{{first: fin | 0xf, payload: strings.Repeat("x", 200)}}, want: ErrOpcode},

	{section: "RFC 6455 §5.2", rule: "no payload", frames: []raw{{first: fin | text}, {first: fin | bin}}},
	{section: "RFC 6455 §5.2", rule: "125 bytes in 7 bits", frames: []raw{{first: fin | text, payload: strings.Repeat("x", 125)}}},
	{section: "RFC 6455 §5.2", rule: "126 bytes in 16 bits", frames: []raw{{first: fin | text, payload: strings.Repeat("x", 126)}}},
	{section: "RFC 6455 §5.2", rule: "65,535 bytes in 16 bits", frames: []raw{{first: fin | bin, payload: strings.Repeat("x", 65535)}}},
	{section: "RFC 6455 §5.2", rule: "65,536 bytes in 64 bits", frames: []raw{{first: fin | bin, payload: strings.Repeat("x", 65536)}}},
	{section: "RFC 6455 §5.2", rule: "no payload in 16 bits", frames: []raw{{first: fin | text, form: in16}}, want: ErrMinimal},
	{section: "RFC 6455 §5.2", rule: "125 bytes in 16 bits",
		frames: []raw{{first: fin | text, payload: strings.Repeat("x", 125), form: in16}}, want: ErrMinimal},
	{section: "RFC 6455 §5.2", rule: "125 bytes in 64 bits",
		frames: []raw{{first: fin | text, payload: strings.Repeat("x", 125), form: in64}}, want: ErrMinimal},
	{section: "RFC 6455 §5.2", rule: "65,535 bytes in 64 bits",
		frames: []raw{{first: fin | bin, claims: 65535, form: in64}}, want: ErrMinimal},
	{section: "RFC 6455 §5.2", rule: "the highest bit of a length of 64",
		frames: []raw{{first: fin | bin, claims: 1 << 63, form: in64}}, want: ErrLength},
	{section: "RFC 6455 §5.2", rule: "every bit of a length of 64",
		frames: []raw{{first: fin | bin, claims: math.MaxUint64, form: in64}}, want: ErrLength},
	{section: "RFC 6455 §5.2", rule: "the longest payload whose frame can be counted",
		frames: []raw{{first: fin | bin, claims: math.MaxInt64 - MaxHeader, form: in64, payload: "begin"}}},
	{section: "RFC 6455 §5.2", rule: "a payload whose frame cannot be counted",
		frames: []raw{{first: fin | bin, claims: math.MaxInt64 - MaxHeader + 1, form: in64, payload: "begin"}}, want: ErrLength},
	{section: "RFC 6455 §5.2", rule: "the longest payload there is",
		frames: []raw{{first: fin | bin, claims: math.MaxInt64, form: in64, payload: "begin"}}, want: ErrLength},

	{section: "RFC 6455 §5.4", rule: "a message in three fragments",
		frames: []raw{{first: text, payload: "a"}, {first: more, payload: "b"}, {first: fin | more, payload: "c"}, {first: fin | text, payload: "next"}}},
	{section: "RFC 6455 §5.4", rule: "a message of empty fragments",
		frames: []raw{{first: bin}, {first: more}, {first: fin | more}, {first: fin | bin}}},
	{section: "RFC 6455 §5.4", rule: "control frames between fragments",
		frames: []raw{{first: text, payload: "a"}, {first: fin | ping, payload: "p"}, {first: fin | pong}, {first: fin | more, payload: "b"}}},
	{section: "RFC 6455 §5.4", rule: "a close between fragments",
		frames: []raw{{first: text, payload: "a"}, {first: fin | closE, payload: closePayload(1000, "")}}},
	{section: "RFC 6455 §5.4", rule: "a continuation at first", frames: []raw{{first: fin | more, payload: "x"}}, want: ErrContinuation},
	{section: "RFC 6455 §5.4", rule: "a continuation that goes on, at first", frames: []raw{{first: more, payload: "x"}}, want: ErrContinuation},
	{section: "RFC 6455 §5.4", rule: "a continuation behind a whole message",
		frames: []raw{{first: fin | text, payload: "a"}, {first: fin | more, payload: "x"}}, want: ErrContinuation},
	{section: "RFC 6455 §5.4", rule: "a continuation behind the last fragment",
		frames: []raw{{first: text, payload: "a"}, {first: fin | more, payload: "b"}, {first: more}}, want: ErrContinuation},
	{section: "RFC 6455 §5.4", rule: "text inside a message",
		frames: []raw{{first: bin, payload: "a"}, {first: fin | text, payload: "x"}}, want: ErrInterrupted},
	{section: "RFC 6455 §5.4", rule: "binary inside a message, behind a ping",
		frames: []raw{{first: text, payload: "a"}, {first: fin | ping}, {first: bin, payload: "x"}}, want: ErrInterrupted},

	{section: "RFC 6455 §5.5", rule: "a control frame of 125 bytes",
		frames: []raw{{first: fin | ping, payload: strings.Repeat("x", 125)}, {first: fin | closE, payload: closePayload(1000, strings.Repeat("x", 123))}}},
	{section: "RFC 6455 §5.5", rule: "a ping of 126 bytes", frames: []raw{{first: fin | ping, payload: strings.Repeat("x", 126)}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a pong of 65,536 bytes", frames: []raw{{first: fin | pong, claims: 65536}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a close of 126 bytes",
		frames: []raw{{first: fin | closE, payload: closePayload(1000, strings.Repeat("x", 124))}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a ping whose length takes 16 bits", frames: []raw{{first: fin | ping, payload: "x", form: in16}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a close of one byte whose length takes 64 bits",
		frames: []raw{{first: fin | closE, payload: "x", form: in64}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a ping whose length has the highest bit of 64",
		frames: []raw{{first: fin | ping, claims: 1 << 63, form: in64}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a ping without FIN", frames: []raw{{first: ping}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a pong without FIN, inside a message",
		frames: []raw{{first: text}, {first: pong, payload: "x"}}, want: ErrControl},
	{section: "RFC 6455 §5.5", rule: "a close without FIN", frames: []raw{{first: closE, payload: closePayload(1000, "")}}, want: ErrControl},

	{section: "RFC 6455 §5.5.1", rule: "a close without a code", frames: []raw{{first: fin | closE}}},
	{section: "RFC 6455 §5.5.1", rule: "a close with a code", frames: []raw{{first: fin | closE, payload: closePayload(1001, "")}}},
	{section: "RFC 6455 §5.5.1", rule: "a close with a reason", frames: []raw{{first: fin | closE, payload: closePayload(1001, "grüß Gott 👋")}}},
	{section: "RFC 6455 §5.5.1", rule: "a close of one byte", frames: []raw{{first: fin | closE, payload: "\x03"}}, want: ErrCloseLength},
	{section: "RFC 6455 §5.5.1", rule: "a reason with a stray byte",
		frames: []raw{{first: fin | closE, payload: closePayload(1000, "a\xffb")}}, want: ErrCloseReason},
	{section: "RFC 6455 §5.5.1", rule: "a reason with a stray byte, behind a code that IANA added",
		frames: []raw{{first: fin | closE, payload: closePayload(1014, "\xff")}}, want: ErrCloseReason},
	{section: "RFC 6455 §5.5.1", rule: "a reason that ends within a character",
		frames: []raw{{first: fin | closE, payload: closePayload(1000, "€"[:2])}}, want: ErrCloseReason},
	{section: "RFC 6455 §5.5.1", rule: "a reason with a surrogate",
		frames: []raw{{first: fin | closE, payload: closePayload(1000, "\xed\xa0\x80")}}, want: ErrCloseReason},
	{section: "RFC 6455 §5.5.1", rule: "a reason in an overlong form",
		frames: []raw{{first: fin | closE, payload: closePayload(1000, "\xc0\xaf")}}, want: ErrCloseReason},

	{section: "RFC 6455 §7.4.1", rule: "the codes defined there", frames: closes(1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011)},
	{section: "RFC 6455 §7.4.1", rule: "the codes that IANA added", frames: closes(1012, 1013, 1014)},
	{section: "RFC 6455 §7.4.2", rule: "the codes of libraries and applications", frames: closes(3000, 3999, 4000, 4999)},
	{section: "RFC 6455 §7.4.1", rule: "1004, reserved", frames: closes(1004), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.1", rule: "1005, which only describes", frames: closes(1005), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.1", rule: "1006, which only describes", frames: closes(1006), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.1", rule: "1015, which only describes", frames: closes(1015), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "0", frames: closes(0), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "below 1000", frames: closes(999), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "1016, of no meaning yet", frames: closes(1016), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "2999, of no meaning yet", frames: closes(2999), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "above 4999", frames: closes(5000), want: ErrCloseCode},
	{section: "RFC 6455 §7.4.2", rule: "65,535", frames: closes(65535), want: ErrCloseCode},

	{section: "RFC 6455 §7.4.1", rule: "a message up to the limit", limit: 126, frames: []raw{{first: fin | text, payload: strings.Repeat("x", 126)}}},
	{section: "RFC 6455 §7.4.1", rule: "a message beyond the limit", limit: 125,
		frames: []raw{{first: fin | text, payload: strings.Repeat("x", 126)}}, want: ErrTooBig},
	{section: "RFC 6455 §7.4.1", rule: "fragments up to the limit, message after message", limit: 4,
		frames: []raw{{first: text, payload: "abc"}, {first: fin | more, payload: "d"}, {first: text, payload: "abc"}, {first: more}, {first: fin | more, payload: "d"}}},
	{section: "RFC 6455 §7.4.1", rule: "a fragment beyond the limit", limit: 4,
		frames: []raw{{first: text, payload: "abc"}, {first: more, payload: "d"}, {first: fin | more, payload: "e"}}, want: ErrTooBig},
	{section: "RFC 6455 §7.4.1", rule: "control frames do not count", limit: 2,
		frames: []raw{{first: text, payload: "a"}, {first: fin | ping, payload: "long"}, {first: fin | more, payload: "b"}}},
	{section: "RFC 6455 §7.4.1", rule: "fragments whose sum takes more than 63 bits",
		frames: []raw{{first: text, payload: strings.Repeat("x", 20)}, {first: fin | more, claims: math.MaxInt64 - MaxHeader, form: in64}}, want: ErrLength},

	{section: "RFC 7692 §6", rule: "RSV1 where nothing was agreed upon", frames: []raw{{first: fin | rsv1 | text, payload: "x"}}, want: ErrCompression},
	{section: "RFC 7692 §6", rule: "the same on a control frame", frames: []raw{{first: fin | rsv1 | ping}}, want: ErrCompression},
	{section: "RFC 7692 §6", rule: "RSV1 and RSV2, whatever was agreed upon", deflate: true,
		frames: []raw{{first: fin | rsv1 | rsv2 | text}}, want: ErrReserved},
	{section: "RFC 7692 §6", rule: "compressed or not, message by message", deflate: true,
		frames: []raw{{first: fin | rsv1 | text, payload: "x"}, {first: fin | bin}, {first: fin | rsv1 | bin, payload: "\x00"}}},
	{section: "RFC 7692 §6.1", rule: "RSV1 on the first fragment", deflate: true,
		frames: []raw{{first: rsv1 | text, payload: "a"}, {first: more, payload: "b"}, {first: fin | ping}, {first: fin | more, payload: "c"}}},
	{section: "RFC 7692 §6.1", rule: "RSV1 on a later fragment", deflate: true,
		frames: []raw{{first: rsv1 | text, payload: "a"}, {first: fin | rsv1 | more, payload: "b"}}, want: ErrCompressed},
	{section: "RFC 7692 §6.1", rule: "RSV1 on a control frame", deflate: true, frames: []raw{{first: fin | rsv1 | pong}}, want: ErrCompressed},
	{section: "RFC 7692 §6.1", rule: "RSV2 with compression", deflate: true, frames: []raw{{first: fin | rsv2 | text}}, want: ErrReserved},
	{section: "RFC 7692 §6.1", rule: "the limit holds for the bytes on the wire", deflate: true, limit: 3,
		frames: []raw{{first: fin | rsv1 | text, payload: "abc"}, {first: fin | rsv1 | text, payload: "abcd"}}, want: ErrTooBig},
}

// errMask stands for ErrUnmasked from a client and ErrMasked from a server.
var errMask = errors.New("wrong mask bit")

func closes(codes ...uint16) []raw {
	var frames []raw
	for _, code := range codes {
		frames = append(frames, raw{first: fin | closE, payload: closePayload(code, "why")})
	}
	return frames
}
