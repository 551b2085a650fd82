package dialects

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Generator makes messages such as a client sends who wants to get past wswarden:
// JSON with all that parsers are known to differ in, and some that is almost JSON.
// What it makes depends on the seed alone.
type Generator struct {
	random *rand.Rand
	// Keys and Texts are what objects' keys and strings are taken from, mostly.
	keys, texts []string
}

// NewGenerator returns a generator.
func NewGenerator(seed uint64, keys, texts []string) *Generator {
	return &Generator{rand.New(rand.NewPCG(seed, 0)), keys, texts}
}

// In is true once in n times.
func (g *Generator) In(n int) bool { return g.random.IntN(n) == 0 }

// Pick returns one of several.
func Pick[T any](g *Generator, from []T) T { return from[g.random.IntN(len(from))] }

// Message returns a message.
func (g *Generator) Message() []byte {
	return g.Spoil(g.space(g.value(g.space(nil), 0)))
}

// Value appends a JSON value of little depth.
func (g *Generator) Value(dst []byte) []byte { return g.value(dst, 3) }

func (g *Generator) value(dst []byte, depth int) []byte {
	n := g.random.IntN(16)
	switch {
	case depth > 0 && depth < 4 && g.In(5):
		return g.String(dst, string(g.space(Pick(g, []func([]byte, int) []byte{g.value, g.object, g.array})(g.space(nil), depth))))
	case depth < 5 && (depth == 0 && n < 11 || n < 5):
		return g.object(dst, depth)
	case depth < 5 && n < 8+4*max(1-depth, 0):
		return g.array(dst, depth)
	case n < 12:
		return g.String(dst, Pick(g, g.texts))
	case n < 14:
		return g.Number(dst)
	default:
		return append(dst, Pick(g, words)...)
	}
}

// words are mostly good ones.
var words = append(slices.Repeat([]string{"null", "true", "false"}, 20), "nul", "True", "undefined")

func (g *Generator) object(dst []byte, depth int) []byte {
	dst = append(dst, '{')
	for i := range g.random.IntN(5) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = g.Member(dst, Pick(g, g.keys), func(dst []byte) []byte { return g.value(dst, depth+1) })
	}
	return g.space(append(dst, '}'))
}

// Member appends a key and what value appends.
func (g *Generator) Member(dst []byte, key string, value func([]byte) []byte) []byte {
	dst = g.space(g.String(g.space(dst), key))
	return g.space(value(g.space(append(dst, ':'))))
}

func (g *Generator) array(dst []byte, depth int) []byte {
	dst = append(dst, '[')
	for i := range g.random.IntN(6) {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = g.space(g.value(g.space(dst), depth+1))
	}
	return g.space(append(dst, ']'))
}

// space appends space, or what somebody might take for it.
func (g *Generator) space(dst []byte) []byte {
	switch {
	case !g.In(8):
		return dst
	case !g.In(100):
		return append(dst, Pick(g, []string{" ", "\n", "\r\n", "\t", "   \t", strings.Repeat(" ", 30)})...)
	default:
		return append(dst, Pick(g, []string{"\ufeff", "\v", "\f", "\u00a0", "\u2028", "\u200b", "\x00", "\x85", "\xef\xbb", "/**/", "//\n"})...)
	}
}

// oddText are pieces of strings that are valid, though some are not UTF-8; badText
// are pieces that are not.
var (
	oddText = []string{
		`\ud800`, `\uDC00`, `\udbff`, `\ud83d\ude00`, `\uD83D\uDE00`, `\ude00\ud83d`, "😀", "é", "e\u0301", "\ufffd", `\ufffd`, `\u0000`, "\x7f", "\u2028", `\/`, "\ufeff",
		"\xff", "\x80", "\xc0\xaf", "\xc3", "\xe2\x82", "\xed\xa0\xbd", "\xed\xa0\xbd\xed\xb8\x80", "\xf0\x9f\x98", "\xf0\x8f\xbf\xbf", "\xf4\x90\x80\x80", "\xf8\x88\x80\x80\x80",
		"toString", "0", strings.Repeat("x", 40),
	}
	badText = []string{"\x00", "\n", "\t", "\x1f", `\x41`, `\u12`, `\u12g4`, `\'`, `\`, `\U0041`, `"`, `\ud83d\ude0`, `\0`}
)

// String appends a string that is the text, in one of its spellings, and sometimes
// a little more.
func (g *Generator) String(dst []byte, text string) []byte {
	dst = append(dst, '"')
	escapes := g.In(6)
	for i := 0; i < len(text); {
		r, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == '"' || r == '\\' || r < ' ':
			dst = g.escape(dst, r)
		case escapes && g.In(4) && (r != utf8.RuneError || size > 1):
			dst = g.escape(dst, r)
		default:
			dst = append(dst, text[i:i+size]...)
		}
		i += size
		if g.In(500) {
			dst = append(dst, Pick(g, oddText)...)
		}
	}
	switch {
	case g.In(12):
		dst = append(dst, Pick(g, oddText)...)
	case g.In(400):
		dst = append(dst, Pick(g, badText)...)
	}
	return append(dst, '"')
}

// escape appends one of a character's escapes.
func (g *Generator) escape(dst []byte, r rune) []byte {
	if short := strings.IndexRune("\"\\/\b\f\n\r\t", r); short >= 0 && !g.In(4) {
		return append(dst, '\\', `"\/bfnrt`[short])
	}
	format := Pick(g, []string{`\u%04x`, `\u%04X`})
	if r > 0xffff {
		dst, r = fmt.Appendf(dst, format, 0xd800+(r-0x10000)>>10), 0xdc00+(r-0x10000)&0x3ff
	}
	return fmt.Appendf(dst, format, r)
}

var (
	oddNumbers = []string{
		"0", "-0", "0.0", "-0.0e1", "0e99", "1", "1.0", "1e0", "10e-1", "0.1e1", "1E+00", "-1", "1e400", "-1e400", "1e309", "1e-400", "-1e-400", "5e-324", "2e-324",
		"9007199254740991", "9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740994", "12345678901234567890", "1234567890123456789012345678901234567890",
		"0.1", "0.10", "0.1000000000000000055511151231257827", "2.2250738585072011e-308", "2.2250738585072014e-308", "1.7976931348623157e308", "1.7976931348623159e308",
		"1722500001", "1722500001.0", "17225000010e-1", "1.722500001e9", "1e23", "8.5e22", "99999999999999999999999e0", "1" + strings.Repeat("0", 400), "0." + strings.Repeat("0", 400) + "1e401",
		"9007199254740993." + strings.Repeat("0", 700) + "1", "9007199254740993." + strings.Repeat("0", 2000) + "1", "9007199254740993." + strings.Repeat("0", 2000),
		strings.Repeat("9", 2000), "3" + strings.Repeat("0", 11_000) + "e-11000", "1e99999999999999999999", "1e-99999999999999999999",
	}
	badNumbers = []string{"01", "-01", "00", "1.", ".5", "-", "+1", "1e", "1e+", "1.e1", "0x10", "1_0", "1e1.5", "--1", "NaN", "Infinity", "-Infinity", "1n", "٣"}
)

// Number appends a number.
func (g *Generator) Number(dst []byte) []byte {
	switch {
	case g.In(60):
		return append(dst, Pick(g, badNumbers)...)
	case g.In(10):
		dst = append(dst, '1')
		for range g.random.IntN(60) {
			dst = append(dst, byte('0'+g.random.IntN(10)))
		}
		return dst
	case g.In(3):
		format := Pick(g, []byte("eEfgG"))
		return strconv.AppendFloat(dst, g.random.NormFloat64()*Pick(g, []float64{1, 1e9, 1e-9, 1e22, 1e300}), format, g.random.IntN(20)-1, 64)
	default:
		return append(dst, Pick(g, oddNumbers)...)
	}
}

// Spoil makes a few messages something else: cut, doubled, changed, or very deep.
func (g *Generator) Spoil(message []byte) []byte {
	if g.In(2500) {
		return g.bury(message)
	}
	if !g.In(5) || len(message) == 0 {
		return message
	}
	at := g.random.IntN(len(message))
	switch g.random.IntN(12) {
	case 0:
		return message[:at]
	case 1:
		return message[at:]
	case 2:
		message[at] ^= 1 << g.random.IntN(8)
	case 3:
		message[at] = byte(g.random.IntN(256))
	case 4:
		return append(message[:at], message[at+1:]...)
	case 5, 6:
		piece := Pick(g, []string{"\xff", "\xe2\x82", "\xed\xa0\x80", "\"", "\\", "{", "}", "[", "]", ",", ":", "0", "-", " ", "\x00", "\ufeff"})
		return append(message[:at:at], append([]byte(piece), message[at:]...)...)
	case 7:
		return append(message, Pick(g, []string{"\ufeff", "\x00", "{}", "}", ",", " 1", "\xff", "\n"})...)
	case 8:
		return append([]byte("\ufeff"), message...)
	case 9:
		return append(message, message...)
	case 10:
		// A piece twice: keys, values, brackets.
		end := at + g.random.IntN(min(20, len(message)-at))
		return append(message[:end:end], message[at:]...)
	default:
		// The end of a string is in the middle of a character.
		if quote := bytes.LastIndexByte(message, '"'); quote >= 0 {
			return append(message[:quote:quote], append([]byte("\xe2\x82"), message[quote:]...)...)
		}
	}
	return message
}

// bury returns the message at the bottom of up to 60,000 objects and arrays, or
// behind such a pit.
func (g *Generator) bury(message []byte) []byte {
	open, shut := "[", "]"
	if g.In(2) {
		open, shut = fmt.Sprintf(`{%q:`, Pick(g, g.keys)), "}"
	}
	depth := g.random.IntN(60_000 / len(open))
	before, behind := []byte(strings.Repeat(open, depth)), []byte(strings.Repeat(shut, depth-g.random.IntN(20)/19))
	if g.In(2) {
		return append(append(before, message...), behind...)
	}
	pit := string(before) + "0" + string(behind)
	return fmt.Appendf(nil, `{%q:%s,%q:%s}`, Pick(g, g.keys), pit, Pick(g, g.keys), message)
}
