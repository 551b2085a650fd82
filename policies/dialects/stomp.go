package dialects

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// A message of form STOMP (1.0 to 1.2) is frames, each ended by NUL, with line ends
// between them; only line ends are a heartbeat. A frame is a command, headers, an
// empty line and a body, which may hold NULs if a header content-length says so.
//
// Servers differ in what they make of frames that break these rules, several put
// together what comes in pieces, and some read but the first frame of a message, know
// no CR, or take the last of repeated headers. So a client's message is refused unless
// it is one frame with what all of them read alike.

// The slots of a frame; those of the headers follow.
const (
	commandSlot = iota
	bodySlot
	firstHeader
)

// clientCommands are those of STOMP 1.2 §"Client Frames". Some servers look only at
// how a command begins, or take space around it.
var clientCommands = []string{
	"SEND", "SUBSCRIBE", "UNSUBSCRIBE", "ACK", "NACK", "BEGIN", "COMMIT", "ABORT",
	"CONNECT", "STOMP", "DISCONNECT",
}

var (
	errNoEnd   = errors.New("has a record without its end")
	errFrames  = errors.New("has more than a STOMP frame")
	errFrame   = errors.New("has no STOMP frame where one should be")
	errCommand = errors.New("has no command of STOMP's")
	errHeader  = errors.New("has a STOMP header that can be read in several ways")
)

// framePath returns the source of a path into a frame.
func (s *side) framePath(text string) (source, error) {
	switch text {
	case "command":
		return source{kind: plainSource, slot: commandSlot}, nil
	case "body":
		return source{kind: plainSource, slot: bodySlot}, nil
	}
	name, found := strings.CutPrefix(text, "headers.")
	if !found || name == "" || strings.ContainsAny(name, "\\:\r\n") {
		return source{}, fmt.Errorf("%q is not in a frame; write command, body, or headers. and a name", text)
	}
	i := slices.Index(s.headers, name)
	if i < 0 {
		i = len(s.headers)
		s.headers = append(s.headers, name)
		s.outside++
	}
	return source{kind: plainSource, slot: firstHeader + i}, nil
}

// readFrame finds the values of the first frame of text, which does not begin with
// a line end, and returns the frame without its NUL and what is behind that.
func (r *Reader) readFrame(text []byte) (frame, rest []byte, _ error) {
	command, at, crlf, ok := cutLine(text, 0)
	if !ok {
		return nil, nil, errFrame
	}
	if r.from == ClientToUpstream && !slices.Contains(clientCommands, string(command)) {
		return nil, nil, errCommand
	}
	r.values[commandSlot] = plain(r.valid(command))
	length := -1
	for {
		var line []byte
		var same bool
		if line, at, same, ok = cutLine(text, at); !ok {
			return nil, nil, errFrame
		}
		if same != crlf || crlf && r.from == ClientToUpstream {
			return nil, nil, errHeader // to STOMP 1.1, this CR belongs to the value
		}
		if len(line) == 0 {
			break
		}
		name, value, found := bytes.Cut(line, colon)
		if !found || r.from == ClientToUpstream && len(bytes.TrimSpace(name)) < len(name) {
			return nil, nil, errHeader
		}
		if string(name) == "content-length" {
			n, err := strconv.ParseUint(string(value), 10, 31)
			if err != nil || length >= 0 {
				return nil, nil, errHeader
			}
			length = int(n)
		}
		for i, wanted := range r.side.headers {
			v := &r.values[firstHeader+i]
			if string(name) != wanted {
				continue
			}
			if v.kind != absent {
				// The first of repeated headers counts (STOMP 1.2 §"Repeated Header
				// Entries"); not to every server.
				if r.from == ClientToUpstream {
					return nil, nil, errHeader
				}
				continue
			}
			if r.from == ClientToUpstream && len(bytes.Trim(value, " \t\r")) < len(value) {
				return nil, nil, errHeader // STOMP 1.0 takes space off, others do not
			}
			*v = plain(r.valid(value))
		}
	}
	end := at + length
	if nul := bytes.IndexByte(text[at:], 0); length < 0 && nul >= 0 {
		end = at + nul
	} else if nul < 0 || end >= len(text) || text[end] != 0 {
		return nil, nil, errNoEnd
	} else if nul < length && r.from == ClientToUpstream && string(command) != "SEND" {
		// Some servers know content-length only where a body is of use.
		return nil, nil, errHeader
	}
	r.values[bodySlot] = plain(r.valid(text[at:end]))
	return text[:end], text[end+1:], nil
}

var colon = []byte(":")

// cutLine returns the line at at, without its end, where the next begins, and whether
// the end was CR LF. A line with a NUL in it belongs to no frame's head.
func cutLine(text []byte, at int) (line []byte, next int, crlf, ok bool) {
	end := bytes.IndexByte(text[at:], '\n')
	if end < 0 {
		return nil, at, false, false
	}
	line = text[at : at+end]
	if bytes.IndexByte(line, 0) >= 0 {
		return nil, at, false, false
	}
	line, crlf = bytes.CutSuffix(line, carriageReturn)
	return line, at + end + 1, crlf, true
}

var carriageReturn = []byte("\r")

// skipLineEnds returns text without the line ends that it begins with.
func skipLineEnds(text []byte) []byte {
	for {
		rest := bytes.TrimPrefix(text, carriageReturn)
		if len(rest) == 0 || rest[0] != '\n' {
			return text
		}
		text = rest[1:]
	}
}

// appendHeaderText appends a header's value without its escapes (STOMP 1.2 §"Value
// Encoding"). Others than those that are known stay as they are.
func appendHeaderText(dst, value []byte) []byte {
	for i := 0; i < len(value); i++ {
		c := value[i]
		if c == '\\' && i+1 < len(value) {
			if escaped := strings.IndexByte(`\ncr`, value[i+1]); escaped >= 0 {
				c = "\\\n:\r"[escaped]
				i++
			}
		}
		dst = append(dst, c)
	}
	return dst
}

// appendHeaderValue appends text as a header's value.
func appendHeaderValue(dst []byte, text string) []byte {
	for i := range len(text) {
		if special := strings.IndexByte("\\\n:\r", text[i]); special >= 0 {
			dst = append(dst, '\\', `\ncr`[special])
		} else {
			dst = append(dst, text[i])
		}
	}
	return dst
}
