package wsframe

import (
	"encoding/binary"
	"math"
	"unicode/utf8"

	"wswarden/policies"
)

// Error is what is wrong with a frame; its text is fit for the reason of a close
// frame. The sections are those of RFC 6455.
type Error string

func (e Error) Error() string { return string(e) }

const (
	ErrReserved     Error = "reserved bit set"                       // §5.2
	ErrOpcode       Error = "reserved opcode"                        // §5.2
	ErrMinimal      Error = "length not in its shortest form"        // §5.2
	ErrLength       Error = "length of more than 63 bits"            // §5.2
	ErrUnmasked     Error = "frame from a client without a mask"     // §5.1
	ErrMasked       Error = "frame from a server with a mask"        // §5.1
	ErrControl      Error = "control frame fragmented or too long"   // §5.5
	ErrContinuation Error = "continuation without a message"         // §5.4
	ErrInterrupted  Error = "message begun inside another"           // §5.4
	ErrCloseLength  Error = "close frame with a payload of one byte" // §5.5.1
	ErrCloseCode    Error = "close code that no endpoint may send"   // §7.4
	ErrCloseReason  Error = "close reason that is not UTF-8"         // §5.5.1
	ErrCompression  Error = "compression where none was agreed upon" // RFC 7692 §6
	ErrCompressed   Error = "compression bit inside a message"       // RFC 7692 §6.1

	// ErrTooBig is the one that the protocol allows and the limit does not.
	ErrTooBig Error = "message too big" // §7.4.1
)

// Position is a place in a stream of checked frames. The zero Position is the
// stream's beginning. Every header in the bytes given to its methods is whole;
// the last frame need not be.
type Position struct {
	rest       int64 // bytes up to the end of the frame
	fragmented bool  // at the end of the frame, a message goes on
}

// Rest returns the number of bytes up to the next frame boundary; zero at one.
func (p *Position) Rest() int64 { return p.rest }

// FrameBoundary reports whether the next byte begins a frame.
func (p *Position) FrameBoundary() bool { return p.rest == 0 }

// MessageBoundary reports whether the next byte begins a message or a control
// frame between messages.
func (p *Position) MessageBoundary() bool { return p.rest == 0 && !p.fragmented }

// Skip moves n bytes on through b, which begins at the position.
func (p *Position) Skip(b []byte, n int) {
	for n > 0 {
		if p.rest == 0 {
			p.enter(b)
		}
		step := int(min(int64(n), p.rest))
		p.rest -= int64(step)
		b = b[step:]
		n -= step
	}
}

// enter moves p, at a boundary, to the first byte of the frame that b begins
// with, so that Rest is the whole frame's length.
func (p *Position) enter(b []byte) {
	h, _ := parseHeader(b)
	p.rest = int64(h.size) + h.length
	if !h.opcode.Control() {
		p.fragmented = !h.fin
	}
}

// NextFrame returns how many bytes of b, which begins at the position, lie
// before the first frame boundary; ok is false if b ends before one.
func (p Position) NextFrame(b []byte) (n int, ok bool) {
	return int(min(p.rest, int64(len(b)))), p.rest <= int64(len(b))
}

// NextMessage is the same for a message boundary.
func (p Position) NextMessage(b []byte) (n int, ok bool) {
	for !p.MessageBoundary() {
		if p.rest == 0 {
			if n == len(b) {
				return n, false
			}
			p.enter(b[n:])
		}
		if p.rest > int64(len(b)-n) {
			return len(b), false
		}
		n += int(p.rest)
		p.rest = 0
	}
	return n, true
}

// LastFrame returns how many bytes of b, which begins at the position, lie
// before the last frame boundary, and whether that is one between messages; ok
// is false if b ends before any.
func (p Position) LastFrame(b []byte) (n int, message, ok bool) {
	for {
		if p.rest > int64(len(b)-n) {
			return n, message, ok
		}
		n += int(p.rest)
		p.rest = 0
		message, ok = !p.fragmented, true
		if n == len(b) {
			return n, message, ok
		}
		p.enter(b[n:])
	}
}

// LastMessage returns how many bytes of b, which begins at the position, lie before
// the last message boundary; ok is false if b ends before any.
func (p Position) LastMessage(b []byte) (n int, ok bool) {
	for at := 0; ; p.enter(b[at:]) {
		if p.rest > int64(len(b)-at) {
			return n, ok
		}
		at += int(p.rest)
		p.rest = 0
		if !p.fragmented {
			n, ok = at, true
		}
		if at == len(b) {
			return n, ok
		}
	}
}

// Scanner walks through the stream of one sender and checks every frame before
// the frame's first byte is let pass. Its Position is that of the bytes let
// pass so far.
type Scanner struct {
	Position
	message int64 // payload bytes of the message so far, of all its fragments
	limit   int64
	allowed int64 // of it, for the message under way
	sender  Sender
	deflate bool
	opcode  Opcode

	// Of what Next returned last.
	begun      bool
	compressed bool
	header     uint8 // bytes of the header in it
	phase      uint8 // where in the mask its payload begins
	after      uint8 // where in the mask what follows begins
	mask       [4]byte
}

// NewScanner returns a scanner for what sender sends. With deflate,
// permessage-deflate was agreed upon (RFC 7692).
func NewScanner(sender Sender, deflate bool) Scanner {
	return Scanner{sender: sender, deflate: deflate}
}

// Opcode returns the opcode of the frame that Next returned last.
func (s *Scanner) Opcode() Opcode { return s.opcode }

// Begun reports whether what Next returned last begins a message, and is
// neither a control frame, a further fragment, nor the rest of a frame.
func (s *Scanner) Begun() bool { return s.begun }

// Limit has Next refuse the frame by which a message's payload, as it is on the
// wire, grows beyond limit bytes. Zero: no limit. A message under way may be as long as
// it might when it began, if that was more.
func (s *Scanner) Limit(limit int64) {
	s.limit = limit
	if limit == 0 || s.allowed > 0 && s.allowed < limit {
		s.allowed = limit
	}
}

// Next returns how many bytes of b belong to the frame that b begins with, or
// goes on with: a data frame as far as it is there, a control frame only as a
// whole. Zero: b is empty, or ends before it can be judged; call again with the
// same bytes and more behind them. An error leaves the Position before the frame,
// none of which may pass; after it the scanner is of no use.
func (s *Scanner) Next(b []byte) (int, error) {
	if s.rest > 0 {
		s.begun, s.header = false, 0
		n := int(min(s.rest, int64(len(b))))
		s.rest -= int64(n)
		s.phase, s.after = s.after, s.after+uint8(n)
		return n, nil
	}
	h, whole := parseHeader(b)
	if len(b) < 2 {
		return 0, nil
	}
	if err := s.check(h, whole); err != nil || !whole {
		return 0, err
	}
	if h.opcode.Control() {
		return s.control(h, b)
	}
	message := h.length
	if h.opcode == Continuation {
		message += s.message
	}
	if message < 0 {
		return 0, ErrLength
	}
	if h.opcode != Continuation {
		s.allowed = s.limit
	}
	if s.allowed > 0 && message > s.allowed {
		return 0, ErrTooBig
	}
	s.message = message
	s.begun = h.opcode != Continuation
	s.opcode = h.opcode
	s.fragmented = !h.fin
	n := min(int64(len(b)), int64(h.size)+h.length)
	s.rest = int64(h.size) + h.length - n
	if s.begun {
		s.compressed = h.reserved&rsv1 != 0
	}
	s.header, s.phase, s.after = uint8(h.size), 0, uint8(n-int64(h.size))
	if h.masked {
		s.mask = [4]byte(b[h.size-4:])
	}
	return int(n), nil
}

// check judges a header by its first two bytes and, if it is whole, by all.
func (s *Scanner) check(h header, whole bool) error {
	if err := s.checkReserved(h); err != nil {
		return err
	}
	switch {
	case h.opcode > Binary && h.opcode < Close, h.opcode > Pong:
		return ErrOpcode
	case h.masked && s.sender == Server:
		return ErrMasked
	case !h.masked && s.sender == Client:
		return ErrUnmasked
	case h.opcode.Control() && (!h.fin || h.length > MaxControlPayload || !h.minimal):
		return ErrControl
	case h.opcode == Continuation && !s.fragmented:
		return ErrContinuation
	case (h.opcode == Text || h.opcode == Binary) && s.fragmented:
		return ErrInterrupted
	case h.opcode == Close && h.length == 1:
		return ErrCloseLength
	case whole && (h.length < 0 || h.length > math.MaxInt64-MaxHeader): // a frame must be countable
		return ErrLength
	case whole && !h.minimal:
		return ErrMinimal
	}
	return nil
}

// checkReserved allows RSV1 on the first frame of a message where compression
// was agreed upon, and no reserved bit otherwise.
func (s *Scanner) checkReserved(h header) error {
	switch {
	case h.reserved == 0:
		return nil
	case h.reserved != rsv1:
		return ErrReserved
	case !s.deflate:
		return ErrCompression
	case h.opcode != Text && h.opcode != Binary:
		return ErrCompressed
	}
	return nil
}

// control lets a control frame pass once all of it is there.
func (s *Scanner) control(h header, b []byte) (int, error) {
	n := h.size + int(h.length)
	if len(b) < n {
		return 0, nil
	}
	if h.opcode == Close {
		var buf [MaxControlPayload]byte
		if err := CheckClose(Payload(&buf, b[:n])); err != nil {
			return 0, err
		}
	}
	s.opcode = h.opcode
	s.begun = false
	return n, nil
}

// CheckClose checks a close frame's payload: empty, or a code that an endpoint
// may send and a reason in UTF-8 (RFC 6455 §5.5.1, §7.4).
func CheckClose(payload []byte) error {
	switch {
	case len(payload) == 0:
		return nil
	case len(payload) == 1:
		return ErrCloseLength
	case !policies.ValidCloseCode(binary.BigEndian.Uint16(payload)):
		return ErrCloseCode
	case !utf8.Valid(payload[2:]):
		return ErrCloseReason
	}
	return nil
}
