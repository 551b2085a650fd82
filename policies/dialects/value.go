package dialects

import (
	"bytes"
	"encoding/binary"
	"hash/maphash"
	"math"
	"slices"
	"strconv"
	"unicode/utf8"
)

// Value is what was found at a path.
type Value struct {
	// Raw is the value as it stands in the message: a JSON value with its quotes
	// and escapes, or a STOMP header's text. Where the message is not UTF-8,
	// U+FFFD stands for what is wrong. Nil: there is nothing.
	Raw  []byte
	kind valueKind
	salt uint64 // sets apart what is the same otherwise
}

type valueKind uint8

const (
	absent valueKind = iota
	jsonNull
	jsonBool
	jsonNumber
	jsonString
	jsonObject
	jsonArray
	plainText // a prefix or a header: text without quotes or escapes of JSON's
)

// plain returns the value of a text that is valid UTF-8: to whatever a Value is
// compared, it is the string.
func plain(text []byte) Value {
	return Value{Raw: text, kind: plainText}
}

// within returns the value as it is within something else: salt stands for that.
func (v Value) within(salt uint64) Value {
	v.salt = 3*v.salt + salt
	return v
}

// Present reports whether there is something, and not null.
func (v Value) Present() bool { return v.kind > jsonNull }

// Usable reports whether the value can name a topic: it is a string or a number.
func (v Value) Usable() bool {
	return v.kind == jsonNumber || v.kind == jsonString || v.kind == plainText
}

var stringSeed, numberSeed = maphash.MakeSeed(), maphash.MakeSeed()

// Hash returns a number that is the same for values that are === in JavaScript,
// and different for others but for a chance of one in 2^64 that nobody can
// provoke: the seed is the process's own. Only for usable values.
func (v Value) Hash() uint64 { return v.hash() ^ v.salt }

func (v Value) hash() uint64 {
	if v.kind == jsonNumber {
		number := v.number()
		if number == 0 {
			number = 0 // -0 is 0
		}
		var bits [8]byte
		binary.NativeEndian.PutUint64(bits[:], math.Float64bits(number))
		return maphash.Bytes(numberSeed, bits[:])
	}
	text, escape := v.text()
	if escape < 0 {
		return maphash.Bytes(stringSeed, text)
	}
	var h maphash.Hash
	h.SetSeed(stringSeed)
	for ; escape >= 0; escape = nextEscape(text) {
		_, _ = h.Write(text[:escape])
		var buffer [utf8.UTFMax]byte
		r, size := unescape(text[escape:])
		_, _ = h.Write(appendRune(buffer[:0], r))
		text = text[escape+size:]
	}
	_, _ = h.Write(text)
	return h.Sum64()
}

// AppendText appends the value as text: a string's characters, a number as
// JavaScript spells it, however it was written. U+FFFD stands for half of a
// surrogate pair.
func (v Value) AppendText(dst []byte) []byte {
	if v.kind == jsonNumber {
		return appendNumber(dst, v.number())
	}
	text, escape := v.text()
	for ; escape >= 0; escape = nextEscape(text) {
		dst = append(dst, text[:escape]...)
		r, size := unescape(text[escape:])
		dst = utf8.AppendRune(dst, r)
		text = text[escape+size:]
	}
	return append(dst, text...)
}

// equals reports whether the value is === want: a string, a float64, a bool, or
// nil for null; or whether it fits the pattern that want is.
func (v Value) equals(want any) bool {
	switch want := want.(type) {
	case nil:
		return v.kind == jsonNull
	case bool:
		return v.kind == jsonBool && (v.Raw[0] == 't') == want
	case float64:
		return v.kind == jsonNumber && v.number() == want
	case string:
		return (v.kind == jsonString || v.kind == plainText) && v.equalsText(want)
	case pattern:
		return want.fits(v)
	default:
		return false
	}
}

func (v Value) equalsText(want string) bool {
	text, escape := v.text()
	for ; escape >= 0; escape = nextEscape(text) {
		var buffer [utf8.UTFMax]byte
		r, size := unescape(text[escape:])
		var ok bool
		if want, ok = cutPrefix(want, text[:escape]); !ok {
			return false
		}
		if want, ok = cutPrefix(want, appendRune(buffer[:0], r)); !ok {
			return false
		}
		text = text[escape+size:]
	}
	return string(text) == want
}

// cutPrefix is strings.CutPrefix.
func cutPrefix(text string, prefix []byte) (rest string, found bool) {
	if len(text) < len(prefix) || text[:len(prefix)] != string(prefix) {
		return text, false
	}
	return text[len(prefix):], true
}

// text returns the value without a string's quotes, and where the first escape is
// in it; -1 if there is none.
func (v Value) text() (text []byte, escape int) {
	if v.kind != jsonString {
		return v.Raw, -1
	}
	text = v.Raw[1 : len(v.Raw)-1]
	return text, nextEscape(text)
}

// number returns what JSON.parse makes of the number: infinity where it is too
// large. Up to 32 bytes, nothing is allocated.
func (v Value) number() float64 {
	text := v.Raw
	if len(text) > 1000 {
		text = normal(text)
	}
	f, _ := strconv.ParseFloat(string(text), 64)
	return f
}

// appendNumber appends a number as ECMA-262's Number::toString does.
func appendNumber(dst []byte, f float64) []byte {
	switch size := math.Abs(f); {
	case f == 0: // also -0
		return append(dst, '0')
	case size > math.MaxFloat64:
		if f < 0 {
			dst = append(dst, '-')
		}
		return append(dst, "Infinity"...)
	case size >= 1e-6 && size < 1e21:
		return strconv.AppendFloat(dst, f, 'f', -1, 64)
	}
	dst = strconv.AppendFloat(dst, f, 'e', -1, 64)
	// Go writes two digits of an exponent at least.
	if n := len(dst); dst[n-2] == '0' && (dst[n-3] == '-' || dst[n-3] == '+') {
		dst = append(dst[:n-2], dst[n-1])
	}
	return dst
}

// normal returns the number with the point before the first digit that is not 0.
// strconv.ParseFloat is not exact about exponents above 10,000, which do not matter
// unless as many digits make up for them.
func normal(text []byte) []byte {
	text, negative := bytes.CutPrefix(text, []byte("-"))
	exponent := int64(0)
	if e := bytes.IndexAny(text, "eE"); e >= 0 {
		exponent, _ = strconv.ParseInt(string(text[e+1:]), 10, 64) // beyond int64, its limits
		text = text[:e]
	}
	whole, fraction, _ := bytes.Cut(text, []byte("."))
	all := slices.Concat(whole, fraction)
	digits := bytes.TrimLeft(all, "0")
	const far = 1 << 60 // farther than there are digits
	exponent = max(-far, min(exponent, far)) + int64(len(whole)+len(digits)-len(all))

	var number []byte
	if negative {
		number = append(number, '-')
	}
	number = append(append(append(number, "0."...), digits...), 'e')
	return strconv.AppendInt(number, max(-5000, min(exponent, 5000)), 10)
}
