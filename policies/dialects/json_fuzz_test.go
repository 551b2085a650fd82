package dialects

import (
	"bytes"
	"encoding/json"
	"testing"
	"unicode/utf8"
)

// Whatever the text, the scanner agrees with encoding/json on whether it is JSON,
// and what it finds lies within the text or its memory, and is JSON itself.
func FuzzJSON(f *testing.F) {
	seeds := 0
	for _, texts := range [][]string{validTexts, invalidTexts, {
		`{"a":{"b":1},"i":"{\"c\":\"\ud83d\\ude00\"}","a":[{"b":2}]}`,
		`{"A":1,"a":2,"\u0041":{"b":3}}`, `{"a":null,"A":[1]}`,
		`[{"a":"x"},{"\u0061":"\u0000"}]`,
		"{\"a\":{\"b\":\"\xed\xa0\x80\"}}",
	}} {
		for _, text := range texts {
			f.Add([]byte(text))
			seeds++
		}
	}
	if seeds < 100 {
		f.Fatalf("%d seeds", seeds)
	}
	paths := []string{"a", "a.b", "a[0].b", "[0]", "[1].a", "i", "i->c", "i->[0]", "->a"}
	const inner = 6 // the first path whose value is not in the text itself
	exact, folded := testTree(f, false, paths...), testTree(f, true, paths...)
	whole := newTree(false)
	whole.add(nil)
	var s scanner
	f.Fuzz(func(t *testing.T, text []byte) {
		// encoding/json has a limit to depth.
		moderate := bytes.Count(text, []byte("["))+bytes.Count(text, []byte("{")) < 10_000
		for _, tree := range []*tree{exact, folded, whole} {
			values := make([]Value, tree.size())
			original := bytes.Clone(text)
			ok := s.find(tree, text, values)
			if !bytes.Equal(text, original) {
				t.Fatal("the text was changed")
			}
			if want := json.Valid(appendValid(nil, text)); moderate && ok != want {
				t.Fatalf("%v, want %v", ok, want)
			}
			if tree == folded && moderate && utf8.Valid(text) {
				checkFolded(t, text, values[0])
			}
			for slot, v := range values {
				switch {
				case (v.kind == absent) != (v.Raw == nil):
					t.Fatalf("slot %d of kind %d has %q", slot, v.kind, v.Raw)
				case v.kind == absent:
					continue
				case !ok:
					t.Fatalf("slot %d has %q of what is not JSON", slot, v.Raw)
				case moderate && !json.Valid(v.Raw) || !utf8.Valid(v.Raw):
					t.Fatalf("slot %d has %q, which is not JSON", slot, v.Raw)
				case utf8.Valid(text) && slot < inner && !liesIn(v.Raw, text):
					t.Fatalf("slot %d has %q, which is not a piece of the text", slot, v.Raw)
				}
				checkValue(t, v)
			}
		}
	})
}

// checkFolded compares what is at the path a, in any case, with what encoding/json
// has there.
func checkFolded(t *testing.T, text []byte, v Value) {
	t.Helper()
	var want struct {
		A json.RawMessage `json:"a"`
	}
	if err := json.Unmarshal(text, &want); err == nil && !bytes.Equal(v.Raw, want.A) {
		t.Fatalf("a is %q, want %q", v.Raw, want.A)
	}
}

// liesIn reports whether part lies in the memory of whole.
func liesIn(part, whole []byte) bool {
	for i := range whole {
		if &whole[i] == &part[0] {
			return len(part) <= len(whole)-i
		}
	}
	return false
}

// checkValue compares a value's text with encoding/json's, and with its own.
func checkValue(t *testing.T, v Value) {
	t.Helper()
	text := v.AppendText(nil)
	if !utf8.Valid(text) {
		t.Fatalf("%q has the text %q", v.Raw, text)
	}
	if v.kind != jsonString {
		return
	}
	var want string
	if err := json.Unmarshal(v.Raw, &want); err != nil || string(text) != want {
		t.Fatalf("%q has the text %q, want %q, %v", v.Raw, text, want, err)
	}
	if !bytes.ContainsRune(text, utf8.RuneError) && (!v.equals(want) || v.Hash() != plain(text).Hash()) {
		t.Fatalf("%q does not equal its own text", v.Raw)
	}
}
