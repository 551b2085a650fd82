package dialects

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A Socket.IO packet in a text message, as in 42/chat,7["event",{}], is the Engine.IO
// packet's type; for a message (4), the Socket.IO packet's type, how many binary
// attachments follow, with a dash (types 5 and 6 only), the namespace with a comma
// (/ is left out), the acknowledgement's id, and JSON.
//
// socket.io-parser converts with JavaScript's Number(), to which space is the digit
// 0, so that "4 " may connect and "42 1 []" has an id. No client writes such
// packets; they are refused here.

// packetParts are the paths outside of data, by slot.
var packetParts = []string{"engine", "packet", "namespace", "ack"}

const (
	enginePart = iota
	packetPart
	namespacePart
	ackPart
)

var errPacket = errors.New("is no Socket.IO packet")

// packetPath returns the source of a path into a packet.
func (s *side) packetPath(text string) (source, error) {
	if slot := slices.Index(packetParts, text); slot >= 0 {
		return source{kind: plainSource, slot: slot}, nil
	}
	rest, found := strings.CutPrefix(text, "data")
	switch {
	case found && rest == "":
		return source{kind: jsonSource, slot: s.outside + s.tree.add(nil)}, nil
	case found && strings.HasPrefix(rest, "."):
		return s.jsonPath(rest[1:])
	case found && (strings.HasPrefix(rest, "[") || strings.HasPrefix(rest, "->")):
		return s.jsonPath(rest)
	}
	return source{}, fmt.Errorf("%q is not in a packet; write engine, packet, namespace, ack, data, or a path into it such as data[0]", text)
}

// readPacket finds the values of a packet.
func (r *Reader) readPacket(text []byte) error {
	if len(text) == 0 || text[0] < '0' || text[0] > '6' {
		return errPacket
	}
	values := r.values
	values[enginePart] = plain(text[:1])
	if text[0] != '4' {
		return nil
	}
	if len(text) == 1 || text[1] < '0' || text[1] > '6' {
		return errPacket
	}
	values[packetPart] = plain(text[1:2])
	rest := text[2:]
	if text[1] == '5' || text[1] == '6' {
		digits := countDigits(rest)
		if digits == 0 || digits == len(rest) || rest[digits] != '-' {
			return errPacket
		}
		rest = rest[digits+1:]
	}
	namespace := mainNamespace
	if len(rest) > 0 && rest[0] == '/' {
		namespace, rest, _ = bytes.Cut(rest, comma)
	}
	values[namespacePart] = plain(r.valid(namespace))
	if digits := countDigits(rest); digits > 0 {
		values[ackPart] = plain(rest[:digits])
		rest = rest[digits:]
	}
	if len(rest) == 0 {
		return nil
	}
	if rest[0] != '[' && rest[0] != '{' && rest[0] != '"' {
		return errPacket
	}
	return r.findJSON(rest)
}

var (
	mainNamespace = []byte("/")
	comma         = []byte(",")
)

func countDigits(text []byte) int {
	n := 0
	for n < len(text) && isDigit(text[n]) {
		n++
	}
	return n
}
