package wsframe

import "encoding/binary"

// What a Scanner has found, for those who have to understand messages.

// Bits of a frame's first byte (RFC 6455 §5.2, RFC 7692 §6).
const (
	fin  = 0x80
	rsv1 = 0x40
)

// Whole reports whether what Next returned last, a data frame, is a message in
// itself.
func (s *Scanner) Whole() bool { return s.begun && s.MessageBoundary() }

// Compressed reports whether the message that Next returned a piece of last is
// compressed (RFC 7692 §6).
func (s *Scanner) Compressed() bool { return s.compressed }

// Announced returns the payload bytes of the message up to the end of the frame
// that Next returned a piece of last, whether they have arrived or not.
func (s *Scanner) Announced() int64 { return s.message }

// Payload returns the payload in piece, which is what Next returned last.
func (s *Scanner) Payload(piece []byte) []byte { return piece[s.header:] }

// AppendPayload appends the same, unmasked.
func (s *Scanner) AppendPayload(dst, piece []byte) []byte {
	begin := len(dst)
	dst = append(dst, piece[s.header:]...)
	if s.sender == Client {
		MaskFrom(dst[begin:], s.mask, int(s.phase))
	}
	return dst
}

// AppendMerged appends the beginning of a client's frame that stands for all the
// frames of a message so far: its payload, unmasked, is all that Next has returned
// of them, and what Next has yet to return of the last one follows as it is.
func (s *Scanner) AppendMerged(dst []byte, opcode Opcode, compressed bool, payload []byte) []byte {
	first := byte(opcode)
	if !s.fragmented {
		first |= fin
	}
	if compressed {
		first |= rsv1
	}
	// The frame's remaining bytes are masked already: the new mask continues in
	// them where the old one did.
	var mask [4]byte
	for i := range mask {
		mask[(len(payload)+i)&3] = s.mask[(int(s.after)+i)&3]
	}
	dst = appendHeader(dst, first, Client, int64(len(payload))+s.rest)
	dst = append(dst, mask[:]...)
	begin := len(dst)
	dst = append(dst, payload...)
	Mask(dst[begin:], mask)
	return dst
}

// AppendMessage appends a client's whole message as one frame.
func AppendMessage(dst []byte, opcode Opcode, compressed bool, mask [4]byte, payload []byte) []byte {
	begin := len(dst)
	dst = Append(dst, Client, opcode, mask, payload)
	if compressed {
		dst[begin] |= rsv1
	}
	return dst
}

// appendHeader appends a frame's header up to the mask.
func appendHeader(dst []byte, first byte, sender Sender, length int64) []byte {
	bit := byte(0)
	if sender == Client {
		bit = 0x80
	}
	switch {
	case length <= MaxControlPayload:
		return append(dst, first, bit|byte(length))
	case length <= 0xffff:
		return binary.BigEndian.AppendUint16(append(dst, first, bit|126), uint16(length))
	default:
		return binary.BigEndian.AppendUint64(append(dst, first, bit|127), uint64(length))
	}
}
