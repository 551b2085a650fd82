package wsframe

import (
	"encoding/binary"
	"math/rand/v2"
)

const (
	rsv2 = 0x20
	rsv3 = 0x10
)

// form is how a frame's length is written (RFC 6455 §5.2).
type form byte

const (
	shortest form = 0
	in16     form = 126
	in64     form = 127
)

// raw is a frame to be written down, lawful or not.
type raw struct {
	first   byte // FIN, the reserved bits and the opcode
	payload string
	form    form
	claims  uint64 // the length, if it is not the payload's; shortest or in64
	badMask bool   // masked where it must not be, or the reverse
}

// appendTo writes the frame as sender would. It shares no code with Append.
func (r raw) appendTo(dst []byte, sender Sender) []byte {
	length := r.length()
	masked := (sender == Client) != r.badMask
	second := byte(0)
	if masked {
		second = 0x80
	}
	f := r.form
	switch {
	case f != shortest:
	case length > 0xffff:
		f = in64
	case length > 125:
		f = in16
	}
	dst = append(dst, r.first)
	switch f {
	case shortest:
		dst = append(dst, second|byte(length))
	case in16:
		dst = binary.BigEndian.AppendUint16(append(dst, second|126), uint16(length))
	case in64:
		dst = binary.BigEndian.AppendUint64(append(dst, second|127), length)
	}
	if !masked {
		return append(dst, r.payload...)
	}
	mask := [4]byte{0xa1, 0x00, 0x7e, 0xff}
	dst = append(dst, mask[:]...)
	for i := range len(r.payload) {
		dst = append(dst, r.payload[i]^mask[i%4])
	}
	return dst
}

// length is what the header says of the payload.
func (r raw) length() uint64 {
	if r.claims != 0 {
		return r.claims
	}
	return uint64(len(r.payload))
}

// headerSize is what appendTo writes ahead of the payload.
func (r raw) headerSize(sender Sender) int {
	r.claims, r.payload = r.length(), ""
	return len(r.appendTo(nil, sender))
}

func (r raw) opcode() Opcode { return Opcode(r.first & 0x0f) }

func (r raw) control() bool { return r.first&0x08 != 0 }

func closePayload(code uint16, reason string) string {
	return string(binary.BigEndian.AppendUint16(nil, code)) + reason
}

// randomFrames returns lawful frames: messages in one to four fragments, with
// control frames before, between and behind them.
func randomFrames(r *rand.Rand, messages int) []raw {
	payload := func(most int) string { return string(make([]byte, r.IntN(most+1))) }
	var frames []raw
	controls := func() {
		for range r.IntN(3) {
			frames = append(frames, raw{first: fin | byte(Ping) + byte(r.IntN(2)), payload: payload(MaxControlPayload)})
		}
	}
	for range messages {
		fragments := 1 + r.IntN(4)
		for i := range fragments {
			controls()
			first := byte(Continuation)
			if i == 0 {
				first = byte(Text) + byte(r.IntN(2))
			}
			if i == fragments-1 {
				first |= fin
			}
			frames = append(frames, raw{first: first, payload: payload([]int{0, 3, 125, 126, 300}[r.IntN(5)])})
		}
	}
	controls()
	return frames
}

var senders = []struct {
	name   string
	sender Sender
}{{"client", Client}, {"server", Server}}
