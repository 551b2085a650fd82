package dialects

import (
	"encoding/binary"
	"math/bits"
)

// The functions of this file find the end of a part of a JSON text, and check the
// part. Where ok is false, the text is not JSON, and the end means nothing.

// skipValue returns the end of the value at or behind the space at at.
func (s *scanner) skipValue(text []byte, at int) (end int, ok bool) {
	s.open = s.open[:0]
	for {
		at = skipSpace(text, at)
		if at == len(text) {
			return at, false
		}
		switch text[at] {
		case '{':
			if at = skipSpace(text, at+1); at < len(text) && text[at] == '}' {
				at++
				break
			}
			s.open = append(s.open, '}')
			if _, at, ok = skipKey(text, at); !ok {
				return at, false
			}
			continue
		case '[':
			if at = skipSpace(text, at+1); at < len(text) && text[at] == ']' {
				at++
				break
			}
			s.open = append(s.open, ']')
			continue
		default:
			if at, ok = skipScalar(text, at); !ok {
				return at, false
			}
		}
		// A value has ended, and with it perhaps what it is in.
		for more := false; !more; {
			if len(s.open) == 0 {
				return at, true
			}
			closing := s.open[len(s.open)-1]
			switch at, more, ok = skipComma(text, at, closing); {
			case !ok:
				return at, false
			case !more:
				s.open = s.open[:len(s.open)-1]
			case closing == '}':
				if _, at, ok = skipKey(text, skipSpace(text, at)); !ok {
					return at, false
				}
			}
		}
	}
}

// skipSpace returns where the space at at ends: at, if there is none.
func skipSpace(text []byte, at int) int {
	for at < len(text) && (text[at] == ' ' || text[at] == '\n' || text[at] == '\r' || text[at] == '\t') {
		at++
	}
	return at
}

// skipComma reads what is behind an element: a comma, so that there is more, or
// the closing bracket.
func skipComma(text []byte, at int, closing byte) (end int, more, ok bool) {
	at = skipSpace(text, at)
	if at == len(text) {
		return at, false, false
	}
	return at + 1, text[at] == ',', text[at] == ',' || text[at] == closing
}

// skipKey returns the end of the key at at, and where its value is, or space
// before it.
func skipKey(text []byte, at int) (end, value int, ok bool) {
	if at == len(text) || text[at] != '"' {
		return at, at, false
	}
	if end, ok = skipString(text, at); !ok {
		return end, end, false
	}
	value = skipSpace(text, end)
	if value == len(text) || text[value] != ':' {
		return end, value, false
	}
	return end, value + 1, true
}

// skipString returns the end of the string at at. The string need not be UTF-8.
func skipString(text []byte, at int) (end int, ok bool) {
	at++
	for {
		// Eight bytes at a time: a byte of special is not zero where there is a
		// quote, a backslash or a control character; of these, the first is right.
		const ones, tops = 0x0101010101010101, 0x8080808080808080
		for at+8 <= len(text) {
			eight := binary.LittleEndian.Uint64(text[at:])
			quote, backslash := eight^'"'*ones, eight^'\\'*ones
			special := ((quote-ones)&^quote | (backslash-ones)&^backslash | (eight-' '*ones)&^eight) & tops
			if special != 0 {
				at += bits.TrailingZeros64(special) / 8
				break
			}
			at += 8
		}
		for at < len(text) && text[at] != '"' && text[at] != '\\' && text[at] >= ' ' {
			at++
		}
		switch {
		case at == len(text) || text[at] < ' ':
			return at, false
		case text[at] == '"':
			return at + 1, true
		}
		if at, ok = skipEscape(text, at); !ok {
			return at, false
		}
	}
}

// skipEscape returns the end of the escape at at.
func skipEscape(text []byte, at int) (end int, ok bool) {
	if at+1 == len(text) {
		return at, false
	}
	switch text[at+1] {
	case '"', '\\', '/', 'b', 'f', 'n', 'r', 't':
		return at + 2, true
	case 'u':
		if len(text) < at+6 {
			return at, false
		}
		for _, c := range text[at+2 : at+6] {
			if !isDigit(c) && (c|0x20 < 'a' || c|0x20 > 'f') {
				return at, false
			}
		}
		return at + 6, true
	default:
		return at, false
	}
}

// skipScalar returns the end of the value at at, which is no object or array.
func skipScalar(text []byte, at int) (end int, ok bool) {
	switch text[at] {
	case '"':
		return skipString(text, at)
	case 't':
		return skipWord(text, at, "true")
	case 'f':
		return skipWord(text, at, "false")
	case 'n':
		return skipWord(text, at, "null")
	default:
		return skipNumber(text, at)
	}
}

func skipWord(text []byte, at int, word string) (end int, ok bool) {
	end = at + len(word)
	return end, end <= len(text) && string(text[at:end]) == word
}

// skipNumber returns the end of the number at at (ECMA-404 §8).
func skipNumber(text []byte, at int) (end int, ok bool) {
	if text[at] == '-' {
		at++
	}
	digits := at
	if at = skipDigits(text, at); at == digits || text[digits] == '0' && at > digits+1 {
		return at, false
	}
	if at < len(text) && text[at] == '.' {
		digits = at + 1
		if at = skipDigits(text, digits); at == digits {
			return at, false
		}
	}
	if at < len(text) && text[at]|0x20 == 'e' {
		at++
		if at < len(text) && (text[at] == '+' || text[at] == '-') {
			at++
		}
		digits = at
		if at = skipDigits(text, digits); at == digits {
			return at, false
		}
	}
	return at, true
}

func skipDigits(text []byte, at int) int {
	for at < len(text) && isDigit(text[at]) {
		at++
	}
	return at
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }
