package dialects

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// path leads from a JSON value to one within it, such as payload.pnr, [3],
// a[1].b, ["odd.key"].x or identifier->channel.
type path []segment

// segment is one step of a path.
type segment struct {
	kind  segmentKind
	key   string // of keySegment
	index int    // of indexSegment
}

type segmentKind uint8

const (
	keySegment   segmentKind = iota // into an object
	indexSegment                    // into an array
	innerSegment                    // into the JSON text that a string holds
)

// parsePath reads a path. The error's text says what is wrong and what to write.
func parsePath(text string) (path, error) {
	if text == "" {
		return nil, errors.New("is empty; write a path such as payload.pnr, params[0] or identifier->channel")
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("%q is not UTF-8", text)
	}
	if text[0] == '=' {
		return nil, fmt.Errorf(`%q is a text, where there must be a path; write one, such as payload.pnr or ["=key"]`, text)
	}
	var p path
	rest := text
	dot := false // a key needs one before it
	for rest != "" {
		if after, found := strings.CutPrefix(rest, "->"); found {
			if after == "" {
				return nil, fmt.Errorf("%q ends in ->; write what to look for in the JSON text, as in %sid", text, text)
			}
			p, rest, dot = append(p, segment{kind: innerSegment}), after, false
			continue
		}
		var s segment
		var err error
		switch {
		case rest[0] == '[':
			s, rest, err = cutBrackets(rest)
		case dot && rest[0] != '.':
			err = fmt.Errorf("has %q behind a ]; write a dot, a [ or -> between", rest)
		default:
			if dot {
				rest = rest[1:]
			}
			s, rest, err = cutKey(rest)
		}
		if err != nil {
			return nil, fmt.Errorf("%q %w", text, err)
		}
		p, dot = append(p, s), true
	}
	return p, nil
}

// cutKey cuts a key without quotes off the text.
func cutKey(text string) (_ segment, rest string, _ error) {
	end := strings.IndexFunc(text, func(r rune) bool { return r <= ' ' || strings.ContainsRune(`.[]"`, r) })
	if end < 0 {
		end = len(text)
	}
	if arrow := strings.Index(text[:end], "->"); arrow >= 0 {
		end = arrow
	}
	if end < len(text) && strings.IndexByte(".[-", text[end]) < 0 {
		return segment{}, "", fmt.Errorf(`has %q in a key; write the key as ["key"]`, text[end])
	}
	if end == 0 {
		return segment{}, "", errors.New(`lacks a key; write one between the dots, or ["key"]`)
	}
	return keySegmentOf(text[:end], text[end:])
}

// cutBrackets cuts [3] or ["key"] off the text.
func cutBrackets(text string) (_ segment, rest string, _ error) {
	if strings.HasPrefix(text, `["`) {
		end, ok := skipString([]byte(text), 1)
		if !ok || !strings.HasPrefix(text[end:], "]") {
			return segment{}, "", errors.New(`lacks the end of a ["; write a JSON string and ], as in ["odd.key"]`)
		}
		return keySegmentOf(string(appendUnescaped(nil, []byte(text[2:end-1]))), text[end+1:])
	}
	digits, rest, found := strings.Cut(text[1:], "]")
	index, err := strconv.ParseUint(digits, 10, 31)
	if !found || err != nil || strconv.FormatUint(index, 10) != digits {
		return segment{}, "", errors.New(`has a [ without an index; write as in [0] or ["key"]`)
	}
	return segment{kind: indexSegment, index: int(index)}, rest, nil
}

// keySegmentOf refuses the keys that stand for more than themselves: where a
// message is not UTF-8, U+FFFD takes the place of what is wrong, so that many
// spellings of a key would have to be compared.
func keySegmentOf(key, rest string) (segment, string, error) {
	if strings.ContainsRune(key, utf8.RuneError) {
		return segment{}, "", errors.New("has a U+FFFD or half of a surrogate pair in a key; no such key can be told from others")
	}
	return segment{kind: keySegment, key: key}, rest, nil
}
