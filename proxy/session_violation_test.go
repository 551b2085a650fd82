package proxy_test

import (
	"testing"

	"wswarden/policies"
)

// violations are frames that a peer must not send, as its raw bytes. Where a
// frame is wrong by its masking alone, there is a row for each sender below.
func violations(masked bool) map[string][]byte {
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	frame := func(first byte, payload string) []byte { return encode(masked, first, payload) }
	long := string(make([]byte, 126))
	return map[string][]byte{
		"RSV1 without an extension, §5.2":       frame(0xc1, "x"),
		"RSV2, §5.2":                            frame(0xa1, "x"),
		"RSV3, §5.2":                            frame(0x91, "x"),
		"RSV1 on a control frame, §5.2":         frame(0xc9, "x"),
		"reserved opcode 3, §5.2":               frame(0x83, "x"),
		"reserved opcode 7, §5.2":               frame(0x87, "x"),
		"reserved control opcode 11, §5.2":      frame(0x8b, "x"),
		"reserved control opcode 15, §5.2":      frame(0x8f, "x"),
		"wrong masking, §5.1":                   encode(!masked, text, "x"),
		"wrong masking of a ping, §5.1":         encode(!masked, ping, "x"),
		"fragmented ping, §5.5":                 frame(0x09, "x"),
		"fragmented close, §5.5":                frame(0x08, ""),
		"ping of 126 bytes, §5.5":               frame(ping, long),
		"close of 126 bytes, §5.5":              frame(closing, "\x03\xe8"+long[2:]),
		"continuation of nothing, §5.4":         frame(goesOn, "x"),
		"end of nothing, §5.4":                  frame(goesEnd, "x"),
		"message inside a message, §5.4":        append(frame(textBegins, "x"), frame(text, "x")...),
		"length of 125 in 16 bits, §5.2":        {text, bit | 126, 0, 125, 1, 2, 3, 4},
		"length of 65535 in 64 bits, §5.2":      {text, bit | 127, 0, 0, 0, 0, 0, 0, 255, 255, 1, 2, 3, 4},
		"length of 64 bits, §5.2":               {text, bit | 127, 128, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4},
		"close with half a code, §5.5.1":        frame(closing, "\x03"),
		"close code 999, §7.4.2":                frame(closing, "\x03\xe7"),
		"close code 1004, §7.4.1":               frame(closing, "\x03\xec"),
		"close code 1005, §7.4.1":               frame(closing, "\x03\xed"),
		"close code 1006, §7.4.1":               frame(closing, "\x03\xee"),
		"close code 1015, §7.4.1":               frame(closing, "\x03\xf7"),
		"close code 2999, §7.4.2":               frame(closing, "\x0b\xb7"),
		"close code 5000, §7.4.2":               frame(closing, "\x13\x88"),
		"close reason that is no UTF-8, §5.5.1": frame(closing, "\x03\xe8\xff"),
	}
}

// begunMessage is the part of a violation that is allowed and passes.
func begunMessage(name string, masked bool) []byte {
	if name == "message inside a message, §5.4" {
		return encode(masked, textBegins, "x")
	}
	return nil
}

// A violation ends the session. Not one byte of the violating frame passes, and
// everything before it does, although it came in the same segment.
func TestClientViolates(t *testing.T) {
	t.Parallel()
	for name, raw := range violations(true) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{})
			client, upstream := w.open()
			good := client.frame(text, "good")
			client.send(good, raw)
			upstream.wantBytes(append(good, begunMessage(name, true)...))
			upstream.wantClose(1001, "protocol_error")
			upstream.wantNothing()
			upstream.answerClose(1001)
			client.wantCloseCode(1002)
			client.wantEOF()
			client.end()
			w.wantEnd(policies.ProtocolError, 1002)
		})
	}
}

// The design's table has one pair of codes for either violator.
func TestUpstreamViolates(t *testing.T) {
	t.Parallel()
	for name, raw := range violations(false) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{})
			client, upstream := w.open()
			good := upstream.frame(text, "good")
			upstream.send(good, raw)
			client.wantBytes(append(good, begunMessage(name, false)...))
			client.wantCloseCode(1002)
			client.answerClose(1002)
			upstream.wantCloseCode(1001)
			upstream.wantEOF()
			upstream.end()
			w.wantEnd(policies.ProtocolError, 1002)
		})
	}
}

// wantCloseCode reads a close frame whose reason does not matter, but is there.
func (p *peer) wantCloseCode(code uint16) {
	p.t.Helper()
	first, payload, err := p.read()
	if err != nil || first != closing || len(payload) < 3 || uint16(payload[0])<<8|uint16(payload[1]) != code {
		p.t.Fatalf("%s: read %#x %q (%v), want a close frame with %d", p.name, first, payload, err, code)
	}
}

// A violation by its first bytes is found before the rest has arrived.
func TestViolationInOneByteSteps(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Farewell: []string{"bye"}}})
	client, upstream := w.open()
	for _, b := range append(client.frame(text, "good"), 0x83, 0x80) {
		client.send([]byte{b})
	}
	upstream.want(text, "good")
	upstream.want(text, "bye")
	upstream.wantClose(1001, "protocol_error")
	upstream.answerClose(1001)
	client.wantClose(1002, "reserved opcode")
	client.wantEOF()
	client.end()
	w.wantEnd(policies.ProtocolError, 1002)
}

// A client that was told of a violation and keeps its connection is reset.
func TestViolatorThatStaysIsReset(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Release: policies.Release{Grace: soon}})
	client, upstream := w.open()
	client.send(client.frame(0x83, "reserved opcode"))
	client.wantClose(1002, "reserved opcode")
	client.wantEOF() // wswarden's half is closed
	upstream.wantClose(1001, "protocol_error")
	upstream.answerClose(1001)
	w.wantEnd(policies.ProtocolError, 1002)
	if _, err := client.conn.Write([]byte{0}); err == nil {
		t.Error("client: connection takes a byte, so it was not reset")
	}
}
