package dialects

import (
	"strings"
	"unicode/utf8"
)

// pattern is a string with a * at one end, which stands for any text.
type pattern struct {
	text string // without the *
	last bool   // text is what there is at the end, not at the beginning
}

// patternOf returns the pattern that is written as a string; not ok if it is none.
func patternOf(s string) (p pattern, ok bool) {
	if text, found := strings.CutPrefix(s, "*"); found {
		return pattern{text: text, last: true}, true
	}
	text, found := strings.CutSuffix(s, "*")
	return pattern{text: text}, found
}

// fits reports whether the value is a string as the pattern has it.
func (p pattern) fits(v Value) bool {
	if v.kind != jsonString && v.kind != plainText {
		return false
	}
	at := 0
	if p.last {
		at = v.length() - len(p.text)
	}
	return at >= 0 && v.holds(at, p.text)
}

// length returns the length of the string's text, in bytes.
func (v Value) length() int {
	text, escape := v.text()
	n := len(text)
	for ; escape >= 0; escape = nextEscape(text) {
		var buffer [utf8.UTFMax]byte
		r, size := unescape(text[escape:])
		n += len(appendRune(buffer[:0], r)) - size
		text = text[escape+size:]
	}
	return n
}

// holds reports whether want stands in the string's text, at bytes into it.
func (v Value) holds(at int, want string) bool {
	text, escape := v.text()
	for ; escape >= 0 && want != ""; escape = nextEscape(text) {
		var buffer [utf8.UTFMax]byte
		r, size := unescape(text[escape:])
		for _, part := range [][]byte{text[:escape], appendRune(buffer[:0], r)} {
			var same bool
			if at, want, same = cutPart(at, want, part); !same {
				return false
			}
		}
		text = text[escape+size:]
	}
	_, want, same := cutPart(at, want, text)
	return same && want == ""
}

// cutPart takes a part of a text off the at bytes that do not matter, and what is
// behind them off want. It reports whether that is the same.
func cutPart(at int, want string, part []byte) (int, string, bool) {
	skip := min(at, len(part))
	part = part[skip:]
	n := min(len(part), len(want))
	return at - skip, want[n:], string(part[:n]) == want[:n]
}
