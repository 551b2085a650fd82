// Package wsframe reads and builds WebSocket frames as bytes (RFC 6455 §5). It
// finds where frames begin and end in a stream, checks that they may be there,
// and leaves their payload where it is.
package wsframe

import (
	"encoding/binary"
	"math/bits"
	"unicode/utf8"
)

// Opcode says what a frame carries (RFC 6455 §5.2).
type Opcode uint8

const (
	Continuation Opcode = 0x0
	Text         Opcode = 0x1
	Binary       Opcode = 0x2
	Close        Opcode = 0x8
	Ping         Opcode = 0x9
	Pong         Opcode = 0xA
)

// Control reports whether the frame is a control frame (RFC 6455 §5.5).
func (o Opcode) Control() bool { return o&0x8 != 0 }

const (
	// MaxControlPayload is the longest payload of a control frame, in bytes
	// (RFC 6455 §5.5).
	MaxControlPayload = 125
	// MaxHeader is the longest header, in bytes: 2, a length of 8, a mask of 4.
	MaxHeader = 14
	// MaxHeld is the most of a stream that may have to wait, in bytes, until
	// more of it shows whether it may pass: one byte less than the longest
	// control frame with a mask.
	MaxHeld = 2 + 4 + MaxControlPayload - 1
)

// header is the start of a frame as it stands on the wire.
type header struct {
	fin      bool
	reserved byte // RSV1, RSV2, RSV3, as in the frame's first byte
	opcode   Opcode
	masked   bool
	minimal  bool // the length takes the fewest bytes that hold it
	length   int64
	size     int // bytes of the header itself
}

// parseHeader reads the header that b begins with; ok is false when b ends
// before it does. A length of more than 63 bits comes back negative.
func parseHeader(b []byte) (h header, ok bool) {
	if len(b) < 2 {
		return h, false
	}
	h = header{
		fin:      b[0]&0x80 != 0,
		reserved: b[0] & 0x70,
		opcode:   Opcode(b[0] & 0x0f),
		masked:   b[1]&0x80 != 0,
		minimal:  true,
		length:   int64(b[1] & 0x7f),
		size:     2,
	}
	switch h.length {
	case 126:
		if len(b) < 4 {
			return h, false
		}
		h.length = int64(binary.BigEndian.Uint16(b[2:]))
		h.size = 4
		h.minimal = h.length > MaxControlPayload
	case 127:
		if len(b) < 10 {
			return h, false
		}
		h.length = int64(binary.BigEndian.Uint64(b[2:]))
		h.size = 10
		h.minimal = h.length > 0xffff
	}
	if h.masked {
		h.size += 4
	}
	return h, len(b) >= h.size
}

// Sender is the role of the endpoint that a stream comes from.
type Sender bool

const (
	// Client masks every frame, Server none (RFC 6455 §5.1).
	Client Sender = true
	Server Sender = false
)

// Append appends one unfragmented frame to dst, masked as the sender must. The
// mask is the caller's: RFC 6455 §5.3 wants it unpredictable where somebody
// else chooses the payload. It is not used for a server's frame.
func Append(dst []byte, sender Sender, opcode Opcode, mask [4]byte, payload []byte) []byte {
	dst = appendHeader(dst, fin|byte(opcode), sender, int64(len(payload)))
	if sender == Client {
		dst = append(dst, mask[:]...)
	}
	begin := len(dst)
	dst = append(dst, payload...)
	if sender == Client {
		Mask(dst[begin:], mask)
	}
	return dst
}

// Mask masks or unmasks the payload of a frame in place (RFC 6455 §5.3).
func Mask(payload []byte, mask [4]byte) { MaskFrom(payload, mask, 0) }

// MaskFrom does so with a part of a payload that has offset bytes before it.
func MaskFrom(part []byte, mask [4]byte, offset int) {
	half := bits.RotateLeft32(binary.LittleEndian.Uint32(mask[:]), -8*(offset&3))
	word := uint64(half)<<32 | uint64(half)
	for len(part) >= 8 {
		binary.LittleEndian.PutUint64(part, binary.LittleEndian.Uint64(part)^word)
		part = part[8:]
	}
	for i := range part {
		part[i] ^= byte(word)
		word >>= 8
	}
}

// AppendClose appends a close frame. The reason is cut, between characters, to
// what fits behind the code: 123 bytes.
func AppendClose(dst []byte, sender Sender, mask [4]byte, code uint16, reason string) []byte {
	var payload [MaxControlPayload]byte
	binary.BigEndian.PutUint16(payload[:], code)
	if len(reason) > len(payload)-2 {
		cut := len(payload) - 2
		for cut > 0 && !utf8.RuneStart(reason[cut]) {
			cut--
		}
		reason = reason[:cut]
	}
	n := 2 + copy(payload[2:], reason)
	return Append(dst, sender, Close, mask, payload[:n])
}

// Payload returns the payload of a whole control frame, unmasked, in buf.
func Payload(buf *[MaxControlPayload]byte, frame []byte) []byte {
	h, _ := parseHeader(frame)
	payload := buf[:copy(buf[:], frame[h.size:])]
	if h.masked {
		Mask(payload, [4]byte(frame[h.size-4:]))
	}
	return payload
}
