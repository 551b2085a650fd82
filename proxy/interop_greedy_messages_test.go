package proxy_test

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// greedyMessages makes messages of a client that wants more subscriptions than it
// may have: it asks for them in every way that JSON allows, and in some that it does
// not. Whether a message means anything is left to those who read it.
type greedyMessages struct {
	*rand.Rand
	topics int // that it chooses from
}

func (g greedyMessages) in(n int) bool { return g.IntN(n) == 0 }

func pickOne[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// next returns a message.
func (g greedyMessages) next() []byte {
	var text string
	switch n := g.IntN(100); {
	case n < 50:
		text = g.object("type", g.string("subscribe:offers"), "payload", g.payload())
	case n < 70:
		text = g.object("type", g.string("unsubscribe:offers"), "payload", g.payload())
	case n < 76:
		text = g.object("type", g.string("SUBSCRIBE"))
	case n < 82:
		text = g.object("type", g.string("UNSUBSCRIBE"))
	case n < 88:
		text = g.object("type", g.string(pickOne(g.Rand, "ping", "PING", "pong")))
	case n < 92:
		text = g.object("type", g.string("IDENTIFY"), "role", g.string("TTE"), "tteId", g.topic())
	case n < 96:
		text = "[" + g.subscribe() + "," + g.subscribe() + "]"
	default:
		text = g.string(g.subscribe())
	}
	return g.message(text)
}

// subscribe returns a plain one.
func (g greedyMessages) subscribe() string {
	return `{"type":"subscribe:offers","payload":{"pnr":` + g.topic() + `}}`
}

// message makes a text a message: a few are spoilt, and some as long as may be, or
// almost. None is spelled as wswarden spells its own.
func (g greedyMessages) message(text string) []byte {
	if g.in(12) {
		text = g.spoil(text)
	}
	if strings.HasPrefix(text, `{"type":"unsubscribe:offers","payload":{"pnr":`) || text == `{"type":"UNSUBSCRIBE"}` {
		text = " " + text
	}
	if g.in(40) {
		text = g.pad(text, greedyMost-3+g.IntN(6))
	}
	return []byte(text)
}

// object returns an object with these keys and values, and perhaps others, of which
// the last of a kind counts.
func (g greedyMessages) object(members ...string) string {
	var all []string
	for i := 0; i < len(members); i += 2 {
		all = append(all, g.member(members[i], members[i+1]))
	}
	g.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	for g.in(5) {
		key := pickOne(g.Rand, members[0], members[0], "payload", "pnr", "__proto__", "Type", "constructor", "toString", "")
		i := g.IntN(len(all) + 1)
		all = append(all[:i:i], append([]string{g.member(key, g.decoy())}, all[i:]...)...)
	}
	return g.space() + "{" + strings.Join(all, ",") + "}" + g.space()
}

func (g greedyMessages) member(key, value string) string {
	return g.space() + g.string(key) + g.space() + ":" + g.space() + value + g.space()
}

func (g greedyMessages) payload() string {
	switch g.IntN(40) {
	case 0:
		return g.decoy()
	case 1:
		return "[" + g.object("pnr", g.topic()) + "]"
	default:
		return g.object("pnr", g.topic())
	}
}

// decoy returns a value that is there to mislead.
func (g greedyMessages) decoy() string {
	switch g.IntN(8) {
	case 0, 1:
		return g.string(pickOne(g.Rand, "ping", "subscribe:offers", "unsubscribe:offers", "SUBSCRIBE", "UNSUBSCRIBE"))
	case 2, 3:
		return `{"pnr":` + g.topic() + `}`
	case 4:
		return g.subscribe()
	case 5:
		depth := g.IntN(400)
		return strings.Repeat(`[{"a":`, depth) + "0" + strings.Repeat("}]", depth)
	case 6:
		return pickOne(g.Rand, "null", "true", "false", "{}", "[]", `""`)
	default:
		return g.topic()
	}
}

// topic returns one of several, in one of its spellings.
func (g greedyMessages) topic() string {
	if g.in(40) {
		return pickOne(g.Rand, "null", "true", "{}", `["1"]`, "01", "1e400", "-1e999", "-0", "0e9", "\"\xff\"", "\"\xc0\xaf\"", "\"\xe2\x82\"", "\"\xed\xa0\x80\"", "\"\xf0\x9f\x98\"", `"\ufffd"`, `"\uFFFD\ufffd"`, `"\ud800"`, `"\udc00\ud800"`)
	}
	n := g.IntN(g.topics)
	switch n % 6 {
	case 0, 1, 2:
		return g.string(fmt.Sprintf("17225%05d", n))
	case 3:
		return g.string(pickOne(g.Rand, "é", "e\u0301", "😀", "\ufffd", `"`, `\`, "{{topic}}", "\u2028", "\x00") + fmt.Sprint(n))
	case 4:
		return fmt.Sprintf(pickOne(g.Rand, "%d", "%d.0", "%de0", "%d0e-1", "0.%de10", "%d.00E+00"), 1722500000+n)
	default:
		return fmt.Sprint(9007199254740992 + n) // of these, some are the same number
	}
}

// string returns a JSON string that is the text.
func (g greedyMessages) string(text string) string {
	var b strings.Builder
	b.WriteByte('"')
	escapes := g.in(6)
	for _, r := range text {
		switch {
		case r < ' ' || escapes && g.in(3):
			for _, unit := range utf16.AppendRune(nil, r) {
				fmt.Fprintf(&b, pickOne(g.Rand, `\u%04x`, `\u%04X`), unit)
			}
		case r == '"' || r == '\\':
			b.WriteByte('\\')
			b.WriteRune(r)
		case r == '/' && escapes:
			b.WriteString(`\/`)
		default:
			b.WriteRune(r)
		}
	}
	b.WriteByte('"')
	return b.String()
}

// space returns space, or what somebody might take for it.
func (g greedyMessages) space() string {
	switch {
	case !g.in(12):
		return ""
	case g.in(60):
		return pickOne(g.Rand, "\ufeff", "\v", "\f", "\u00a0", "\x00", "/**/", "\xff")
	default:
		return pickOne(g.Rand, " ", "\n", "\r\n", "\t", strings.Repeat(" ", 20))
	}
}

// spoil makes a text something else.
func (g greedyMessages) spoil(text string) string {
	at := g.IntN(len(text))
	switch g.IntN(8) {
	case 0:
		return text[:at]
	case 1:
		return text[at:]
	case 2:
		return text[:at] + string([]byte{byte(g.IntN(256))}) + text[at+1:]
	case 3:
		return text[:at] + pickOne(g.Rand, "\xff", "\"", "\\", "{", "}", ",", "0", " ", "\x00", "\ufeff") + text[at:]
	case 4:
		return text + pickOne(g.Rand, "\ufeff", "\x00", "{}", "}", " 1", "\n", g.subscribe())
	case 5:
		return pickOne(g.Rand, "\ufeff", "\x00", ")]}',\n", "\x1e") + text
	case 6:
		return text[:at] + text[at/2:]
	default:
		return strings.ReplaceAll(text, `"`, `'`)
	}
}

// pad makes a text size bytes long without, as a rule, changing what it means.
func (g greedyMessages) pad(text string, size int) string {
	fill := size - len(text)
	inside := strings.IndexByte(text, '{') + 1
	switch {
	case fill <= 0:
		return text
	case g.in(2) && inside > 0 && fill > 6:
		return text[:inside] + `"":"` + strings.Repeat("x", fill-6) + `",` + text[inside:]
	case g.in(2):
		return strings.Repeat(" ", fill) + text
	default:
		return text + strings.Repeat("\n", fill)
	}
}

// greedyFate is the code with which wswarden ends a session for a message, which is
// payload on the wire; zero if it reads it.
func greedyFate(binary, strict bool, message, payload []byte) uint16 {
	switch {
	case len(message) > greedyMost || len(payload) > greedyMost:
		return 1009
	case strict && !binary && !utf8.Valid(message):
		return 1007
	case bytes.HasPrefix(message, []byte("\ufeff")):
		return 1002
	default:
		return 0
	}
}
