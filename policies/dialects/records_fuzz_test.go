package dialects_test

import (
	"bytes"
	"errors"
	"slices"
	"testing"
	"unsafe"

	"wswarden/config"
	"wswarden/policies/dialects"
)

// FuzzRecords reads any message as each of the built-in dialects reads it, and
// checks what must be so for each.
func FuzzRecords(f *testing.F) {
	for _, b := range builtins {
		for _, m := range b.messages {
			f.Add([]byte(m.text), m.from == upstream, false)
		}
		for _, s := range b.subscriptions {
			f.Add([]byte(s.unsubscribe+s.subscribe), false, true)
			f.Add([]byte(s.refusal+s.refusal), true, true)
		}
	}
	var all []*dialects.Dialect
	for _, name := range config.Builtins() {
		all = append(all, builtin(f, name))
	}
	f.Fuzz(func(t *testing.T, message []byte, fromUpstream, binary bool) {
		from := client
		if fromUpstream {
			from = upstream
		}
		var r dialects.Reader
		for _, d := range all {
			records, err := recordsOf(t, &r, d, from, binary, message)
			if err != nil && (fromUpstream || !errors.Is(err, dialects.ErrUnreadable)) {
				t.Errorf("%s: %q: %v", d.Name(), message, err)
			}
			if len(records) == 0 {
				continue
			}
			again, err := recordsOf(t, &r, d, from, binary, d.AppendMessage(nil, records))
			if err != nil || !slices.EqualFunc(again, records, bytes.Equal) {
				t.Errorf("%s: %q has %q, which read again are %q, %v", d.Name(), message, records, again, err)
			}
		}
	})
}

// recordsOf returns the texts of a message's records, and does with each record what
// a session may do.
func recordsOf(t *testing.T, r *dialects.Reader, d *dialects.Dialect, from dialects.Direction, binary bool, message []byte) (records [][]byte, err error) {
	r.Begin(d, from, binary, message)
	behind := 0 // the last record's end in the message
	for record := r.Next(); record != nil; record = r.Next() {
		at := int(uintptr(unsafe.Pointer(unsafe.SliceData(record.Text))) - uintptr(unsafe.Pointer(unsafe.SliceData(message))))
		if at < behind || at+len(record.Text) > len(message) {
			t.Errorf("%s: %q: record %q is not behind %d", d.Name(), message, record.Text, behind)
		}
		behind = at + len(record.Text)
		records = append(records, record.Text)

		for _, v := range []dialects.Value{record.Topic, record.ID, record.Request, record.Identity} {
			if v.Usable() {
				v.Hash()
			}
			v.AppendText(nil)
		}
		if (record.Rule != nil) != (record.Kind == dialects.Subscribe) {
			t.Errorf("%s: %q: kind %d, rule %v", d.Name(), record.Text, record.Kind, record.Rule)
		}
		if record.Rule == nil || !record.Rule.Usable(record) {
			continue
		}
		checkSubscribe(t, d, record)
	}
	return records, r.Err()
}

// checkSubscribe checks that what is sent for a subscription can be read.
func checkSubscribe(t *testing.T, d *dialects.Dialect, record *dialects.Record) {
	k := record.Rule
	identity := k.Identity(record).Hash()
	captured := k.AppendCaptured(nil, record)
	topic := string(k.AppendTopic(nil, captured))
	if want := string(record.Topic.AppendText(nil)); topic != want {
		t.Errorf("%s: %q: topic %q, kept as %q", d.Name(), record.Text, want, topic)
	}
	undo, undoes := k.AppendUnsubscribe(nil, captured, []byte("1"))
	if _, ok := k.AppendRefusal(nil, record, "no\"\\\n:"); !ok {
		t.Errorf("%s: %q cannot be refused", d.Name(), record.Text)
	}
	if !undoes {
		return
	}
	var r dialects.Reader
	r.Begin(d, client, false, undo)
	undone := r.Next()
	if undone == nil || undone.Kind != dialects.Unsubscribe {
		t.Errorf("%s: %q is undone by %q, which is %v, %v", d.Name(), record.Text, undo, undone, r.Err())
		return
	}
	// Where upstream gives the ID, there is none to compare yet.
	same := undone.ID.Usable() && undone.ID.Hash() == identity || undone.Topic.Usable() && undone.Topic.Hash() == identity
	if !same && d.Name() != "json-rpc" {
		t.Errorf("%s: %q is undone by %q, which is about another", d.Name(), record.Text, undo)
	}
}
