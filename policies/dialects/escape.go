package dialects

import (
	"bytes"
	"unicode/utf16"
	"unicode/utf8"
)

// The functions of this file take the escapes out of JSON strings that are known to
// be valid, and are given without their quotes.

// nextEscape returns where the first escape is; -1 if there is none.
func nextEscape(text []byte) int { return bytes.IndexByte(text, '\\') }

// unescape returns what the escape that text begins with stands for, and its
// length. Two escapes that are a surrogate pair count as one; half of a pair is
// returned as it is.
func unescape(text []byte) (r rune, size int) {
	switch c := text[1]; c {
	case 'u':
		first := hexadecimal(text[2:6])
		if utf16.IsSurrogate(first) && len(text) >= 12 && text[6] == '\\' && text[7] == 'u' {
			if r = utf16.DecodeRune(first, hexadecimal(text[8:12])); r != utf8.RuneError {
				return r, 12
			}
		}
		return first, 6
	case 'b':
		return '\b', 2
	case 'f':
		return '\f', 2
	case 'n':
		return '\n', 2
	case 'r':
		return '\r', 2
	case 't':
		return '\t', 2
	default:
		return rune(c), 2
	}
}

// hexadecimal returns the number that the digits stand for.
func hexadecimal(digits []byte) rune {
	n := rune(0)
	for _, c := range digits {
		digit := rune(c) - '0'
		if c > '9' {
			digit = rune(c|0x20) - 'a' + 10
		}
		n = n<<4 | digit
	}
	return n
}

// appendRune is utf8.AppendRune, but half of a surrogate pair is written as UTF-8
// would write it if it did (WTF-8), so that it differs from all else.
func appendRune(dst []byte, r rune) []byte {
	if utf16.IsSurrogate(r) {
		return append(dst, 0xe0|byte(r>>12), 0x80|byte(r>>6)&0x3f, 0x80|byte(r)&0x3f)
	}
	return utf8.AppendRune(dst, r)
}

// appendUnescaped appends a string's text, with appendRune.
func appendUnescaped(dst, text []byte) []byte {
	for {
		escape := nextEscape(text)
		if escape < 0 {
			return append(dst, text...)
		}
		dst = append(dst, text[:escape]...)
		r, size := unescape(text[escape:])
		dst = appendRune(dst, r)
		text = text[escape+size:]
	}
}

// appendInner appends the JSON text that a string holds. Half of a surrogate pair,
// which cannot be written there, is written as the escape that stands for it. It
// returns false if that would change the meaning of a backslash: such a text is
// not JSON.
func appendInner(dst, text []byte) ([]byte, bool) {
	begin := len(dst)
	for {
		escape := nextEscape(text)
		if escape < 0 {
			return append(dst, text...), true
		}
		dst = append(dst, text[:escape]...)
		r, size := unescape(text[escape:])
		text = text[escape+size:]
		if !utf16.IsSurrogate(r) {
			dst = utf8.AppendRune(dst, r)
			continue
		}
		backslashes := len(dst[begin:]) - len(bytes.TrimRight(dst[begin:], `\`))
		if backslashes%2 != 0 {
			return dst, false
		}
		const digits = "0123456789abcdef"
		dst = append(dst, '\\', 'u', digits[r>>12], digits[r>>8&15], digits[r>>4&15], digits[r&15])
	}
}
