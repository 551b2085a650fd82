package dialects

import "unicode/utf8"

// appendValid appends src with U+FFFD in place of what is not UTF-8, as WHATWG's
// decoder has it: one for each maximal subpart, which is the longest beginning of
// a sequence that could have become valid (Unicode 15, §3.9, table 3-8).
func appendValid(dst, src []byte) []byte {
	for len(src) > 0 {
		r, size := utf8.DecodeRune(src)
		if r == utf8.RuneError && size == 1 {
			size = subpart(src)
		}
		dst = utf8.AppendRune(dst, r)
		src = src[size:]
	}
	return dst
}

// subpart returns the length of the maximal subpart that src, which does not begin
// with a valid sequence, begins with. It is at least 1.
func subpart(src []byte) int {
	// What the second byte may be (Unicode 15, table 3-7).
	low, high, size := byte(0x80), byte(0xbf), 0
	switch c := src[0]; {
	case c < 0xc2 || c > 0xf4:
		return 1
	case c < 0xe0:
		size = 2
	case c < 0xf0:
		size = 3
	default:
		size = 4
	}
	switch src[0] {
	case 0xe0:
		low = 0xa0
	case 0xed:
		high = 0x9f
	case 0xf0:
		low = 0x90
	case 0xf4:
		high = 0x8f
	}
	n := 1
	for n < size && n < len(src) && low <= src[n] && src[n] <= high {
		low, high = 0x80, 0xbf
		n++
	}
	return n
}
