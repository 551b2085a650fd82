package dialects

import (
	"bytes"
	"slices"
	"unicode/utf8"
)

// Messages are read exactly as Node's JSON.parse(buffer.toString()) reads them:
//   - Of the same keys of an object the last one counts, with all that is in it.
//     Keys are compared without their escapes. __proto__ is a key like others.
//   - Space is no more than what JSON calls so: a byte-order mark is not.
//   - What is not UTF-8 is U+FFFD: it may stand in a string, and nowhere else.
//   - Any depth will do. Recursion follows the paths, never the message.

// tree is the paths whose values are looked for in one kind of JSON text.
type tree struct {
	root  node
	nodes int // so far
	slots int // so far
	fold  bool
}

// node is a place in a JSON text that paths lead to or through.
type node struct {
	id    int
	slot  int // of the path that ends here; -1 if none does
	keys  []keyed
	items []indexed
	inner *node // the JSON text in this string; nil if no path leads there
}

type keyed struct {
	key []byte
	*node
}

type indexed struct {
	index int
	*node
}

// newTree returns a tree without paths. With fold, keys are the same in any case,
// as Go's encoding/json has it.
func newTree(fold bool) *tree {
	return &tree{root: node{slot: -1}, nodes: 1, fold: fold}
}

// size returns the number of slots.
func (t *tree) size() int { return t.slots }

// add returns the slot of the path's value. The same path has the same slot.
func (t *tree) add(p path) (slot int) {
	n := &t.root
	for _, s := range p {
		n = t.child(n, s)
	}
	if n.slot < 0 {
		n.slot = t.slots
		t.slots++
	}
	return n.slot
}

// child returns the node to which the segment leads from n.
func (t *tree) child(n *node, s segment) *node {
	added := &node{id: t.nodes, slot: -1}
	switch s.kind {
	case keySegment:
		if known := t.named(n, []byte(s.key)); known != nil {
			return known
		}
		n.keys = append(n.keys, keyed{[]byte(s.key), added})
	case indexSegment:
		if known := n.item(s.index); known != nil {
			return known
		}
		n.items = append(n.items, indexed{s.index, added})
	case innerSegment:
		if n.inner != nil {
			return n.inner
		}
		n.inner = added
	}
	t.nodes++
	return added
}

// named returns the node of an object's key, without escapes; nil if there is none.
func (t *tree) named(n *node, key []byte) *node {
	for i := range n.keys {
		k := &n.keys[i]
		if bytes.Equal(k.key, key) || t.fold && bytes.EqualFold(k.key, key) {
			return k.node
		}
	}
	return nil
}

// spells reports whether some path has exactly this key here.
func (n *node) spells(key []byte) bool {
	return slices.ContainsFunc(n.keys, func(k keyed) bool { return bytes.Equal(k.key, key) })
}

// item returns the node of an array's element; nil if there is none.
func (n *node) item(index int) *node {
	for i := range n.items {
		if n.items[i].index == index {
			return n.items[i].node
		}
	}
	return nil
}

// scanner reads JSON. It keeps its memory from one text to the next. The zero
// scanner is ready; it belongs to one goroutine.
type scanner struct {
	// repeated: in the last find, a key on the way to one of the paths occurred
	// twice in one object. JSON.parse has an answer to that; other parsers (Go's
	// merges objects, for one) have others.
	repeated bool
	// folded: such a key was written in another case than the path's.
	folded bool

	// Of one find.
	tree   *tree
	values []Value
	seen   []bool // the nodes that are in the text, by id

	// Memory.
	open    []byte // the brackets that will close what is open
	key     []byte // a key without escapes
	scratch []byte // texts that are not in the message as they are needed
}

// find reads a whole JSON text, space around it allowed. It sets values, which are
// as many as the tree's slots, by slot; where there is nothing, to the zero Value.
// They are valid until the text changes or the next find. If text is not exactly
// one JSON value, find returns false, and no values.
func (s *scanner) find(t *tree, text []byte, values []Value) bool {
	clear(values)
	s.tree, s.values, s.repeated, s.folded = t, values, false, false
	s.scratch = s.scratch[:0]
	s.seen = slices.Grow(s.seen[:0], t.nodes)[:t.nodes]
	clear(s.seen)
	ok := s.whole(&t.root, text)
	if !ok {
		clear(values)
	}
	s.tree, s.values = nil, nil
	return ok
}

// whole reads a text that is one value.
func (s *scanner) whole(n *node, text []byte) bool {
	end, ok := s.value(n, text, 0)
	return ok && skipSpace(text, end) == len(text)
}

// value reads the value at or behind the space at at.
func (s *scanner) value(n *node, text []byte, at int) (end int, ok bool) {
	at = skipSpace(text, at)
	switch {
	case at == len(text):
		return at, false
	case text[at] == '{' && len(n.keys) > 0:
		end, ok = s.object(n, text, at)
	case text[at] == '[' && len(n.items) > 0:
		end, ok = s.array(n, text, at)
	default:
		end, ok = s.skipValue(text, at)
	}
	if !ok || n.slot < 0 && n.inner == nil {
		return end, ok
	}
	raw := s.valid(text[at:end])
	if n.slot >= 0 {
		s.values[n.slot] = Value{Raw: raw, kind: kindOf(raw[0])}
	}
	if n.inner != nil && raw[0] == '"' {
		s.text(n.inner, raw[1:len(raw)-1])
	}
	return end, true
}

// kindOf tells what a value is by its first byte.
func kindOf(first byte) valueKind {
	switch first {
	case '{':
		return jsonObject
	case '[':
		return jsonArray
	case '"':
		return jsonString
	case 'n':
		return jsonNull
	case 't', 'f':
		return jsonBool
	default:
		return jsonNumber
	}
}

// object reads the object at at, of which some keys are on a path.
func (s *scanner) object(n *node, text []byte, at int) (end int, ok bool) {
	at = skipSpace(text, at+1)
	if at < len(text) && text[at] == '}' {
		return at + 1, true
	}
	for {
		at = skipSpace(text, at)
		keyEnd, value, ok := skipKey(text, at)
		if !ok {
			return value, false
		}
		key := s.unescaped(text[at+1 : keyEnd-1])
		child := s.tree.named(n, key)
		if child == nil {
			at, ok = s.skipValue(text, value)
		} else {
			s.folded = s.folded || s.tree.fold && !n.spells(key)
			if s.seen[child.id] {
				s.repeated = true
				s.forget(child)
			}
			s.seen[child.id] = true
			at, ok = s.value(child, text, value)
		}
		if !ok {
			return at, false
		}
		var more bool
		if at, more, ok = skipComma(text, at, '}'); !more {
			return at, ok
		}
	}
}

// array reads the array at at, of which some elements are on a path.
func (s *scanner) array(n *node, text []byte, at int) (end int, ok bool) {
	at = skipSpace(text, at+1)
	if at < len(text) && text[at] == ']' {
		return at + 1, true
	}
	for index := 0; ; index++ {
		if child := n.item(index); child == nil {
			at, ok = s.skipValue(text, at)
		} else {
			at, ok = s.value(child, text, at)
		}
		if !ok {
			return at, false
		}
		var more bool
		if at, more, ok = skipComma(text, at, ']'); !more {
			return at, ok
		}
	}
}

// text reads the JSON text that is in a string, which is given without its quotes.
// A string that is something else has nothing in it.
func (s *scanner) text(n *node, raw []byte) {
	begin := len(s.scratch)
	var ok bool
	if s.scratch, ok = appendInner(s.scratch, raw); ok {
		ok = s.whole(n, s.scratch[begin:len(s.scratch):len(s.scratch)])
	}
	if !ok {
		s.forget(n)
	}
}

// forget drops what was found at the node and below.
func (s *scanner) forget(n *node) {
	s.seen[n.id] = false
	if n.slot >= 0 {
		s.values[n.slot] = Value{}
	}
	for _, k := range n.keys {
		s.forget(k.node)
	}
	for _, i := range n.items {
		s.forget(i.node)
	}
	if n.inner != nil {
		s.forget(n.inner)
	}
}

// unescaped returns the key without its escapes, valid until the next.
func (s *scanner) unescaped(key []byte) []byte {
	if bytes.IndexByte(key, '\\') < 0 {
		return key
	}
	s.key = appendUnescaped(s.key[:0], key)
	return s.key
}

// valid returns text, or where it is not UTF-8, what it is replaced by.
func (s *scanner) valid(text []byte) []byte {
	if utf8.Valid(text) {
		return text
	}
	begin := len(s.scratch)
	s.scratch = appendValid(s.scratch, text)
	return s.scratch[begin:len(s.scratch):len(s.scratch)]
}
