package dialects

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"unicode/utf8"
)

// Reader reads messages, one at a time. It keeps its memory from one to the next,
// so that a message costs no allocation. The zero Reader is ready; it belongs to
// one goroutine.
type Reader struct {
	scan    scanner
	values  []Value // of a record, by slot
	scratch []byte  // texts that are not in the message as they are needed
	record  Record

	// Of the message.
	dialect *Dialect
	side    *side
	from    Direction
	rest    []byte // what has not been read
	read    bool   // it is in a form that can be read
	batch   bool   // rest is the elements of an array
	begun   bool   // a record has been returned
	err     error
}

var (
	errBinary = errors.New("is binary")
	errMark   = errors.New("begins with a byte-order mark")
	errJSON   = errors.New("is not JSON")
	errKeys   = errors.New("has a key twice, or in another case")
)

// Begin begins a message: its payload, unmasked and inflated. A message that is
// not JSON where JSON is expected has one record, which is Other or a Heartbeat.
func (r *Reader) Begin(d *Dialect, from Direction, binary bool, message []byte) {
	r.dialect, r.side, r.from, r.rest = d, d.side(from), from, message
	r.read, r.batch, r.begun, r.err = true, false, false, nil
	r.values = slices.Grow(r.values[:0], r.side.slots())[:r.side.slots()]
	switch {
	case binary && d.binary == BinaryRefuse:
		r.refuse(errBinary)
	case binary && d.binary == BinaryForward:
		r.read = false
	case from == ClientToUpstream && bytes.HasPrefix(message, utf8Mark):
		r.refuse(errMark)
	case d.records == Batch:
		r.batch = r.beginBatch()
	}
}

// Next returns the next record; nil behind the last one, and where Err has
// something to say. A message may have no record at all.
func (r *Reader) Next() *Record {
	r.scratch = r.scratch[:0]
	clear(r.values)
	text := r.next()
	if text == nil {
		return nil
	}
	r.begun = true
	r.record = Record{Text: text, values: r.values}
	r.recognise()
	if r.from == ClientToUpstream {
		r.record.Answer, r.record.Once = r.dialect.answers.of(r.values), r.dialect.once
	}
	return &r.record
}

// Err returns an error that wraps ErrUnreadable if that is what the message is,
// from that record on at which Next has returned nil. What of the message came
// before it may have been acted upon; the rest must not pass.
func (r *Reader) Err() error { return r.err }

// refuse ends the message. One of upstream's has no further records then: it passes
// in any case.
func (r *Reader) refuse(why error) {
	r.rest = nil
	if r.from == ClientToUpstream {
		r.err = fmt.Errorf("%w: it %w", ErrUnreadable, why)
	}
}

// all takes what is left of the message.
func (r *Reader) all() []byte {
	text := r.rest
	r.rest = nil
	return text
}

// next returns the text of the next record, whose values it has found.
func (r *Reader) next() []byte {
	switch {
	case len(r.rest) == 0:
		return nil
	case !r.read:
		return r.all()
	case r.dialect.form == STOMP:
		return r.nextFrame()
	}
	text := r.split()
	if text == nil {
		return nil
	}
	var err error
	if r.dialect.form == SocketIO {
		err = r.readPacket(text)
	} else if err = r.findJSON(text); err == errJSON && (r.dialect.invalid == InvalidForward || r.isText(text)) {
		err = nil
	}
	if err != nil {
		r.refuse(err)
		return nil
	}
	return text
}

// nextFrame returns the next STOMP frame.
func (r *Reader) nextFrame() []byte {
	text := skipLineEnds(r.rest)
	if len(text) == 0 {
		text = r.all()
		if r.begun {
			return nil
		}
		r.values[commandSlot] = plain(text[:0])
		return text
	}
	if r.from == ClientToUpstream && (r.begun || len(text) < len(r.rest)) {
		r.refuse(errFrames)
		return nil
	}
	frame, rest, err := r.readFrame(text)
	r.rest = rest
	if err != nil {
		r.refuse(err)
		return nil
	}
	return frame
}

// findJSON finds the values in a JSON text. It returns errJSON if it is none, and
// errKeys if the server may find others in it.
func (r *Reader) findJSON(text []byte) error {
	if !r.scan.find(r.side.tree, text, r.values[r.side.outside:]) {
		return errJSON
	}
	keys := r.dialect.keys
	if r.from == ClientToUpstream && (keys != KeysExact && r.scan.repeated || keys == KeysStrict && r.scan.folded) {
		return errKeys
	}
	return nil
}

// isText reports whether some rule knows the record by its text.
func (r *Reader) isText(text []byte) bool {
	if !r.side.texts {
		return false
	}
	text = bytes.TrimSpace(text)
	return slices.ContainsFunc(r.side.rules, func(rule rule) bool { return rule.text != "" && string(text) == rule.text })
}

// valid returns text, or where it is not UTF-8, what it is replaced by.
func (r *Reader) valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	begin := len(r.scratch)
	r.scratch = appendValid(r.scratch, text)
	return r.scratch[begin:len(r.scratch):len(r.scratch)]
}

// recognise sets what the record is by the first rule that fits.
func (r *Reader) recognise() {
	for i := range r.side.rules {
		rule := &r.side.rules[i]
		if !rule.fits(r.values, r.record.Text) {
			continue
		}
		record := &r.record
		record.Topic = r.topic(rule.topic)
		record.ID = rule.id.of(r.values)
		record.Request = rule.request.of(r.values)
		record.Identity = rule.identity.of(r.values)
		if owner := rule.within.of(r.values); owner.Usable() {
			salt := owner.Hash() * withinFactor
			record.Topic = record.Topic.within(salt)
			record.ID = record.ID.within(salt)
			record.Request = record.Request.within(salt)
		}
		if rule.kind != Subscribe && !rule.says(record, r.values) {
			r.record = Record{Text: r.record.Text, values: r.values}
			continue
		}
		record.Kind, record.Rule = rule.kind, rule.subscribe
		return
	}
}

// withinFactor is odd, and keeps a within b from being b within a.
const withinFactor = 0x9e3779b97f4a7c15

// fixedSalt sets a topic that stands in a rule apart from those that stand in
// messages.
var fixedSalt = rand.Uint64()

// topic returns the topic as text, without a header's escapes: there, other than
// with an ID, it is the text that matters, for patterns are compared with it.
func (r *Reader) topic(s source) Value {
	v := s.of(r.values)
	if r.dialect.form != STOMP || s.kind != plainSource || bytes.IndexByte(v.Raw, '\\') < 0 {
		return v
	}
	begin := len(r.scratch)
	r.scratch = appendHeaderText(r.scratch, v.Raw)
	return plain(r.scratch[begin:len(r.scratch):len(r.scratch)])
}

// fits reports whether the rule's conditions hold.
func (u *rule) fits(values []Value, text []byte) bool {
	if u.text != "" && string(bytes.TrimSpace(text)) != u.text {
		return false
	}
	for i := range u.match {
		if c := &u.match[i]; !values[c.slot].equals(c.want) {
			return false
		}
	}
	for _, slot := range u.has {
		if !values[slot].Present() {
			return false
		}
	}
	for _, slot := range u.lacks {
		if values[slot].Present() {
			return false
		}
	}
	return true
}

// says reports whether all that the rule needs is in the record.
func (u *rule) says(r *Record, values []Value) bool {
	for _, s := range []struct {
		source
		Value
	}{{u.topic, r.Topic}, {u.id, r.ID}, {u.request, r.Request}, {u.identity, r.Identity}, {u.within, u.within.of(values)}} {
		if s.source.kind != noSource && !s.Usable() {
			return false
		}
	}
	return true
}
