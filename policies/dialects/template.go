package dialects

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// template is a record to be filled in.
type template []part

// part is a text as it is, and the hole behind it.
type part struct {
	text  string
	hole  hole
	from  source // of a foundHole
	piece int    // of a foundHole: which of the captured ones it is
}

type hole uint8

const (
	noHole     hole = iota
	foundHole       // what was found in the record
	givenID         // the ID that upstream has given
	reasonHole      // why a record is refused
)

// names are what a template may use for what is found.
type names map[string]source

func isName(name string) bool {
	const known = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_"
	return name != "" && strings.Trim(name, known) == ""
}

// templates compiles a subscribe rule's templates, and what must be captured for
// them.
func (c *compiler) templates(key string, k *SubscribeKind, known names, s SubscribeRule) {
	if k.topic.kind == jsonSource || k.topic.kind == plainSource {
		k.pieces = append(k.pieces, k.topic)
	}
	undo := known
	if s.ID == "" && c.names.assigned {
		undo = maps.Clone(known)
		undo["id"] = source{}
	}
	k.unsubscribe = c.template(key+".unsubscribe", s.Unsubscribe, undo, false)
	k.refusal = c.template(key+".refusal", s.Refusal, known, true)
	for i := range k.unsubscribe {
		p := &k.unsubscribe[i]
		if p.hole != foundHole {
			continue
		}
		same := func(s source) bool { return s.slot == p.from.slot }
		if p.piece = slices.IndexFunc(k.pieces, same); p.piece < 0 {
			p.piece = len(k.pieces)
			k.pieces = append(k.pieces, p.from)
		}
	}
}

// template compiles a template; nil if there is none.
func (c *compiler) template(key, text string, known names, refusal bool) template {
	var t template
	rest := text
	for rest != "" {
		before, after, found := strings.Cut(rest, "{{")
		if !found {
			t = append(t, part{text: rest})
			break
		}
		name, behind, closed := strings.Cut(after, "}}")
		if !closed || !isName(name) {
			c.problem(key, "has a {{ without a name and }} behind it; write as in {{topic}}")
			return nil
		}
		p := part{text: before}
		from, found := known[name]
		switch {
		case refusal && name == "reason":
			p.hole = reasonHole
		case !found:
			c.problem(key, fmt.Sprintf("names %s, which is never captured; known here: %s", name, known.list(refusal)))
			return nil
		case from.kind == noSource:
			p.hole = givenID
		case from.kind == fixedSource:
			p.text += string(c.dialect.appendString(nil, string(from.text)))
		default:
			p.hole, p.from = foundHole, from
		}
		t, rest = append(t, p), behind
	}
	if text != "" {
		c.tryOut(key, t)
	}
	return t
}

// tryOut checks that the template gives a record of the dialect's form.
func (c *compiler) tryOut(key string, t template) {
	var sample []byte
	for _, p := range t {
		sample = append(sample, p.text...)
		if p.hole != noHole {
			sample = append(sample, `"x"`...)
		}
	}
	switch c.dialect.form {
	case JSON:
		if !new(scanner).find(newTree(false), sample, nil) {
			c.problem(key, fmt.Sprintf("is not JSON once it is filled in: %s; what is put in has its own quotes", sample))
		}
	case STOMP:
		if head, _, found := bytes.Cut(sample, []byte("\n\n")); !found || len(head) == 0 {
			c.problem(key, "is no STOMP frame; write the command, headers and an empty line")
		}
	}
}

func (n names) list(refusal bool) string {
	all := slices.Sorted(maps.Keys(n))
	if refusal {
		all = append(all, "reason")
	}
	return strings.Join(all, ", ")
}

// AppendCaptured appends what AppendUnsubscribe and AppendTopic will need of the
// record, and no more: the topic and so on as they were written, in valid UTF-8. It
// may be nothing.
func (k *SubscribeKind) AppendCaptured(dst []byte, r *Record) []byte {
	// Each piece but the last is preceded by its length.
	for i, s := range k.pieces {
		raw := s.of(r.values).Raw
		if i < len(k.pieces)-1 {
			dst = binary.AppendUvarint(dst, uint64(len(raw)))
		}
		dst = append(dst, raw...)
	}
	return dst
}

// piece returns the i-th of what was captured; nothing if that is damaged.
func (k *SubscribeKind) piece(captured []byte, i int) []byte {
	for j := range len(k.pieces) - 1 {
		length, n := binary.Uvarint(captured)
		if n <= 0 || length > uint64(len(captured)-n) {
			return nil
		}
		if j == i {
			return captured[n : n+int(length)]
		}
		captured = captured[n+int(length):]
	}
	return captured
}

// AppendUnsubscribe appends the message that undoes the subscription with what was
// captured. id is the Raw one that upstream has given it, nil if it gave none. It
// returns false if there is no template, or it needs an id that is not known.
func (k *SubscribeKind) AppendUnsubscribe(dst, captured, id []byte) ([]byte, bool) {
	if k.unsubscribe == nil {
		return dst, false
	}
	begin := len(dst)
	for _, p := range k.unsubscribe {
		dst = append(dst, p.text...)
		switch p.hole {
		case foundHole:
			dst = appendFound(dst, k.piece(captured, p.piece), p.from)
		case givenID:
			if id == nil {
				return dst[:begin], false
			}
			dst = append(dst, id...)
		}
	}
	return k.dialect.appendEnd(dst), true
}

// AppendRefusal appends the message that tells the client that the record was
// refused; false if there is no template.
func (k *SubscribeKind) AppendRefusal(dst []byte, r *Record, reason string) ([]byte, bool) {
	if k.refusal == nil {
		return dst, false
	}
	for _, p := range k.refusal {
		dst = append(dst, p.text...)
		switch p.hole {
		case foundHole:
			dst = appendFound(dst, p.from.of(r.values).Raw, p.from)
		case reasonHole:
			dst = k.dialect.appendString(dst, reason)
		}
	}
	return k.dialect.appendEnd(dst), true
}

// AppendTopic appends the captured topic as text, for logs and people.
func (k *SubscribeKind) AppendTopic(dst, captured []byte) []byte {
	if k.topic.kind == fixedSource {
		return append(dst, k.topic.text...)
	}
	raw := k.piece(captured, 0)
	switch {
	case len(raw) == 0:
		return dst
	case k.topic.kind == jsonSource:
		return Value{Raw: raw, kind: kindOf(raw[0])}.AppendText(dst)
	case k.dialect.form == STOMP:
		return appendHeaderText(dst, raw)
	default:
		return append(dst, raw...)
	}
}

// appendFound appends what was found, in the way in which it is written there.
func appendFound(dst, raw []byte, from source) []byte {
	if len(raw) == 0 && from.kind == jsonSource {
		return append(dst, "null"...)
	}
	return append(dst, raw...)
}

// appendString appends text as the dialect's templates need it.
func (d *Dialect) appendString(dst []byte, text string) []byte {
	if d.form == STOMP {
		return appendHeaderValue(dst, text)
	}
	return appendJSONString(dst, text)
}

// appendJSONString appends text in quotes. What of it is not UTF-8 becomes U+FFFD.
func appendJSONString(dst []byte, text string) []byte {
	dst = append(dst, '"')
	for _, r := range text {
		switch {
		case r == '"' || r == '\\':
			dst = append(dst, '\\', byte(r))
		case r < ' ':
			dst = fmt.Appendf(dst, `\u%04x`, r)
		default:
			dst = utf8.AppendRune(dst, r)
		}
	}
	return append(dst, '"')
}
