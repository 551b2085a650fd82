package dialects

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// testTree returns the tree of the paths.
func testTree(t testing.TB, fold bool, paths ...string) *tree {
	t.Helper()
	tree := newTree(fold)
	for slot, text := range paths {
		p, err := parsePath(text)
		if err != nil {
			t.Fatal(err)
		}
		if got := tree.add(p); got != slot {
			t.Fatalf("%s has slot %d, want %d", text, got, slot)
		}
	}
	return tree
}

// found says what is at the paths, as in a=1 b=2.
func found(t *testing.T, fold bool, paths, text string) (_ string, repeated bool) {
	t.Helper()
	names := strings.Fields(paths)
	tree := testTree(t, fold, names...)
	values := make([]Value, tree.size())
	var s scanner
	if !s.find(tree, []byte(text), values) {
		t.Errorf("%s: not JSON", text)
	}
	var all []string
	for slot, v := range values {
		if v.kind != absent {
			all = append(all, names[slot]+"="+string(v.Raw))
		}
	}
	return strings.Join(all, " "), s.repeated
}

func TestSlots(t *testing.T) {
	t.Parallel()
	for _, fold := range []bool{false, true} {
		tree := testTree(t, fold, "a", "a.b", "a[0]", "a->b", "a.B"[:1]+".c", "[0]")
		for text, want := range map[string]int{"a": 0, "a.b": 1, "a[0]": 2, "a->b": 3, "a.c": 4, "[0]": 5} {
			p, err := parsePath(text)
			if err != nil {
				t.Fatal(err)
			}
			if got := tree.add(p); got != want || tree.size() != 6 {
				t.Errorf("%s has slot %d of %d, want %d", text, got, tree.size(), want)
			}
		}
	}
	p := path{keyStep("A")}
	if exact := testTree(t, false, "a"); exact.add(p) != 1 {
		t.Error("exact: A is a")
	}
	if folded := testTree(t, true, "a"); folded.add(p) != 0 {
		t.Error("folded: A is not a")
	}
}

func TestFind(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ paths, text, want string }{
		// keys and indexes
		{"type payload.pnr", `{"type":"a","payload":{"x":0,"pnr":"1","y":[]},"z":{}}`, `type="a" payload.pnr="1"`},
		{"type payload.pnr", " {\n\"payload\" :\t{ \"pnr\"\r: 1 } , \"type\" : null } ", `type=null payload.pnr=1`},
		{"[0] [3]", `["a",{"b":[1,2]},[],-1.5e3]`, `[0]="a" [3]=-1.5e3`},
		{"[0] [3]", `[ true ]`, `[0]=true`},
		{"a[1].b [1][0]", `{"a":[{"b":1},{"c":2,"b":[ 3 ]}]}`, `a[1].b=[ 3 ]`},
		{"a", `{"b":{"a":1},"c":[{"a":2}],"d":"a","a":{"a":3}}`, `a={"a":3}`},
		{`["a.b"] ["a"].b`, `{"a.b":1,"a":{"b":2}}`, `["a.b"]=1 ["a"].b=2`},
		{`[""] a`, `{"":1}`, `[""]=1`},

		// only own keys of objects, and elements of arrays
		{"length [0] a.length a[0]", `{"a":"text"}`, ``},
		{"length [0].length", `["a"]`, ``},
		{`["0"] [0]`, `["a"]`, `[0]="a"`},
		{`["0"] [0]`, `{"0":"a"}`, `["0"]="a"`},
		{"__proto__ __proto__.a a", `{"__proto__":{"a":1}}`, `__proto__={"a":1} __proto__.a=1`},
		{"toString", `{}`, ``},
		{"a a.b a[0]", `{}`, ``},
		{"a a.b a[0]", `[]`, ``},
		{"a", `1`, ``},

		// a path may end where others go on
		{"a a.b a.b.c", `{"a":{"b":{"c":1}}}`, `a={"b":{"c":1}} a.b={"c":1} a.b.c=1`},
		{"a a.b a[0]", `{"a":[1]}`, `a=[1] a[0]=1`},
		{"a a.b a[0]", `{"a":2}`, `a=2`},

		// of the same keys, the last one
		{"a", `{"a":1,"b":0,"a":2}`, `a=2`},
		{"a.b a.c", `{"a":{"b":1},"a":{"c":2}}`, `a.c=2`},
		{"a a.b", `{"a":{"b":1},"a":{}}`, `a={}`},
		{"a.b a[0]", `{"a":{"b":1},"a":[2]}`, `a[0]=2`},
		{"a a.b", `{"a":{"b":1},"a":null}`, `a=null`},
		{"a a.b", `{"a":2,"a":{"b":1}}`, `a={"b":1} a.b=1`},
		{"a.b.c", `{"a":{"b":{"c":1},"b":0},"a":{"b":{"c":2}}}`, `a.b.c=2`},
		{"a->b", `{"a":"{\"b\":1}","a":""}`, ``},
		{"a->b", `{"a":"{\"b\":1}","a":"{\"b\":2,\"b\":3}"}`, `a->b=3`},
		{"[0].a", `[{"a":1},{"a":2}]`, `[0].a=1`},

		// keys are compared without escapes
		{"type", `{"\u0074yp\u0065":1}`, `type=1`},
		{"type", `{"type":1,"\u0074ype":2}`, `type=2`},
		{"type", `{"\\u0074ype":1,"Type":2,"type ":3,"typ":4}`, ``},
		{`["a\"b"]`, `{"a\"b":1}`, `["a\"b"]=1`},
		{`["/"]`, `{"\/":1}`, `["/"]=1`},
		{"😀", `{"\ud83d\ude00":1,"\ud83d":2}`, `😀=1`},

		// the JSON text in a string
		{"i->c i", `{"i":"{\"c\":\"x\",\"n\":1}"}`, `i->c="x" i="{\"c\":\"x\",\"n\":1}"`},
		{"i->c", `{"i":"\u007b\u0022c\u0022:[1, 2]} \n"}`, `i->c=[1, 2]`},
		{"i->[1]", `{"i":"[1,2]"}`, `i->[1]=2`},
		{"i->c i->d->e", `{"i":"{\"d\":\"{\\\"e\\\":1}\"}"}`, `i->d->e=1`},
		{"i->c", `{"i":"{\"c\":1"}`, ``},
		{"i->c", `{"i":"{\"c\":1}}"}`, ``},
		{"i->c i.c", `{"i":{"c":1}}`, `i.c=1`},
		{"i->c", `{"i":"{\"c\":\"\\u0041\"}"}`, `i->c="\u0041"`},
		{"i->c", `{"i":"{\"c\":\"\n\"}"}`, ``},
		{"->a", `"{\"a\":1}"`, `->a=1`},
		{"->->a", `"\"{\\\"a\\\":1}\""`, `->->a=1`},
		// with half of a surrogate pair, or one half of it escaped twice
		{"i->c", `{"i":"{\"c\":\"\uD83D\"}"}`, `i->c="\ud83d"`},
		{"i->c", `{"i":"{\"c\":\"\ud83d\\ude00\"}"}`, `i->c="\ud83d\ude00"`},
		{"i->c", `{"i":"{\"c\":\"\\\\\ud83d\"}"}`, `i->c="\\\ud83d"`},
		{"i->c", `{"i":"{\"c\":\"\\\ud83d\"}"}`, ``},
		{"i->c", `{"i":"{\"c\":\"\ud83d\ude00\"}"}`, `i->c="😀"`},

		// what is not UTF-8 is replaced, where it is looked at
		{"a b", "{\"a\":\"x\xff\",\"b\":\"x\"}", `a="x�" b="x"`},
		{"a", "{\"a\xff\":1,\"\xffa\":2}", ``},
		{"a", "{\"a\":[\"\xe2\x82\"]}", `a=["�"]`},
		{"i->c", "{\"i\":\"{\\\"c\\\":\\\"\xed\xa0\x80\\\"}\"}", `i->c="���"`},
	} {
		if got, _ := found(t, false, row.paths, row.text); got != row.want {
			t.Errorf("%s in %q: %s, want %s", row.paths, row.text, got, row.want)
		}
	}
}

func TestFindFolded(t *testing.T) {
	t.Parallel()
	for _, row := range []struct{ paths, text, want string }{
		{"a.type", `{"A":{"tYpE":1}}`, `a.type=1`},
		{"type", `{"type":1,"TYPE":2}`, `type=2`},
		{"type", `{"TYPE":2,"type":1}`, `type=1`},
		{"a.b", `{"a":{"b":1},"A":{}}`, ``},
		{"type", `{"\u0054YPE":1}`, `type=1`},
		{"skip", `{"ſ\u212Aip":1}`, `skip=1`}, // the long s and the Kelvin sign
		{"straße", `{"STRASSE":1,"STRAßE":2}`, `straße=2`},
		{"a", "{\"a\xff\":1,\"b\":2}", ``},
	} {
		if got, _ := found(t, true, row.paths, row.text); got != row.want {
			t.Errorf("%s in %q: %s, want %s", row.paths, row.text, got, row.want)
		}
	}
}

func TestRepeated(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		`{"a":{"b":1,"c":2},"d":[{"e":1},{"e":2}]}`: false,
		`{"x":1,"x":2,"a":{"y":1,"y":2}}`:           false,
		`{"a":1,"A":2}`:                             false,
		`{"a":1,"a":2}`:                             true,
		`{"a":1,"\u0061":1}`:                        true,
		`{"a":{"b":1,"b":1}}`:                       true,
		`{"d":[{"e":1,"e":2},0]}`:                   true,
		`{"d":"{\"f\":1,\"f\":2}"}`:                 true,
	} {
		if _, got := found(t, false, "a a.b d[0].e d[1].e d->f", text); got != want {
			t.Errorf("%s: %v, want %v", text, got, want)
		}
	}
	if _, got := found(t, true, "a", `{"a":1,"A":2}`); !got {
		t.Error("folded: A does not repeat a")
	}
}

// What encoding/json and Node call JSON is tested more widely by FuzzJSON and
// TestDifferentialJSON.
var (
	validTexts = []string{
		`{}`, `[]`, `""`, `0`, `-0`, `10`, `1.5`, `1e5`, `1E+05`, `-1.0e-0`, `true`, `false`, `null`,
		" \t\r\n[ ]\n", `[{},[],"",0,true,false,null]`, `{"a":{},"b":[],"c":"","d":0,"e":null}`,
		`{ "a" : { } , "b" : [ ] }`, `"\"\\\/\b\f\n\r\t\u00aF"`, `"\ud800"`, "\"\x7f\u2028\"", "\"\xff\xc3\"",
		`"12345678"`, `"1234567\n12345678\""`, `"` + strings.Repeat("é", 20) + `"`, `1e400`, `[1,[2,[3,{"a":[4]}]]]`,
	}
	invalidTexts = []string{
		``, ` `, `{`, `}`, `[`, `]`, `"`, `,`, `:`, `{]`, `[}`, `[1}`, `{"a":1]`, `[]]`, `{}{}`, `1 2`, `[1,]`, `[,1]`, `[1 2]`,
		`{,}`, `{"a"}`, `{"a":}`, `{"a":1,}`, `{"a" 1}`, `{"a":1 "b":2}`, `{a:1}`, `{1:1}`, `{'a':1}`, `{"a":1:2}`, `["a":1]`, `{"a",1}`,
		`tru`, `True`, `nul`, `nulll`, `falsey`, `NaN`, `Infinity`, `undefined`,
		`01`, `-01`, `00`, `-`, `+1`, `1.`, `.5`, `-.5`, `1e`, `1e+`, `1.e1`, `0x10`, `1_0`, `1e1.5`, `--1`, `1-`,
		`"a`, `"a\"`, `"\`, `"\u`, `"\u12"`, `"\u123"`, `"\u123`, `"\u123g"`, `"\x41"`, `"\'"`, `"\U0041"`, "\"\n\"", "\"\x00\"", "\"\x1fn\"", "\"1234567\x1f\"", "\"12345678\t\"",
		"\xef\xbb\xbf{}", "\ufeff", "\u00a0{}", "{}\x00", "\v{}", "{}\f", "\u20281", "\xff", "[\xff]", "{\"a\"\xc2\xa0:1}", "1\xff", "tru\xc3",
		`// comment`, `/**/1`, `[1]//`, `{"a":1}}`,
	}
)

func TestValidity(t *testing.T) {
	t.Parallel()
	trees := map[string]*tree{
		"no path":   testTree(t, false),
		"some":      testTree(t, false, "a", "a.b", "[0]", "[1].a"),
		"the whole": newTree(false),
	}
	trees["the whole"].add(nil)
	var s scanner
	for name, tree := range trees {
		values := make([]Value, tree.size())
		for want, texts := range map[bool][]string{true: validTexts, false: invalidTexts} {
			for _, text := range texts {
				clear(values)
				if got := s.find(tree, []byte(text), values); got != want {
					t.Errorf("%s: %q: %v, want %v", name, text, got, want)
				}
				if !want && slices.ContainsFunc(values, func(v Value) bool { return v.kind != absent || v.Raw != nil }) {
					t.Errorf("%s: %q is not JSON but has values", name, text)
				}
			}
		}
	}
}

// What was found before the text turned out not to be JSON is not returned, nor
// what the last text had.
func TestFindClears(t *testing.T) {
	t.Parallel()
	tree := testTree(t, false, "a", "b->c", "d")
	values := make([]Value, tree.size())
	var s scanner
	for _, text := range []string{`{"a":1,"b":"{\"c\":1}","d":2`, `{}`} {
		if !s.find(tree, []byte(`{"a":1,"b":"{\"c\":1}","d":2}`), values) {
			t.Fatal("not JSON")
		}
		s.find(tree, []byte(text), values)
		for slot, v := range values {
			if v.Raw != nil || v.kind != absent || v.Present() {
				t.Errorf("%s: slot %d has %q", text, slot, v.Raw)
			}
		}
	}
}

// Depth is bounded by nothing but the message's length.
func TestDepth(t *testing.T) {
	t.Parallel()
	const depth = 1_000_000
	tree := testTree(t, false, "a", "a[0]", "a[0][0]", "z")
	values := make([]Value, tree.size())
	var s scanner
	for _, row := range []struct{ open, shut string }{{"[", "]"}, {`{"a":`, "}"}, {`[{"b":`, "}]"}} {
		inner := strings.Repeat(row.open, depth) + "1" + strings.Repeat(row.shut, depth)
		if !s.find(tree, []byte(`{"a":`+inner+`,"z":1}`), values) || string(values[3].Raw) != "1" || string(values[0].Raw) != inner {
			t.Errorf("%s: not found", row.open)
		}
		if s.find(tree, []byte(`{"a":`+inner[:len(inner)-1]+`,"z":1}`), values) {
			t.Errorf("%s: one closing bracket too few, and still JSON", row.open)
		}
	}
}

// Once its memory has grown, a scanner takes no more, whatever it reads.
func TestFindDoesNotAllocate(t *testing.T) {
	tree := testTree(t, false, "type", "payload.pnr", "i->c", "[0]", "odd")
	values := make([]Value, tree.size())
	var s scanner
	for _, text := range []string{
		`{"a":"b","c":[1,2,{"d":[[["e"]]]}]}`,
		`{"type":"subscribe","payload":{"pnr":"1"}}`,
		`{"\u0074ype":"\u0061","payload":{"pnr":1.50}}`,
		`{"i":"{\"c\":\"\ud83d\"}"}`,
		"[\"\xff\"]",
		`{"odd":` + strings.Repeat("[", 1000) + strings.Repeat("]", 1000) + `}`,
		`{"type":`,
	} {
		message := []byte(text)
		if n := testing.AllocsPerRun(100, func() {
			s.find(tree, message, values)
			for _, v := range values {
				if v.Usable() {
					v.Hash()
				}
				v.equals("a")
				v.equals(1.0)
			}
		}); n != 0 {
			t.Errorf("%.50q: %v allocations", text, n)
		}
	}
}

func BenchmarkFind(b *testing.B) {
	tree := testTree(b, false, "type", "payload.pnr", "role", "tteId", "irctcId")
	values := make([]Value, tree.size())
	var s scanner
	texts := map[string]string{
		"nothing":   `{"action":"location","train":"12951","coach":"B4","position":{"lat":19.0760,"lon":72.8777},"at":"2024-05-01T10:20:30.000Z"}`,
		"subscribe": `{"type":"subscribe:offers","payload":{"pnr":"1722500001"},"note":"one hundred and twenty-eight bytes are a usual length"}`,
		"text":      `{"text":"` + strings.Repeat("It leaves at ten. ", 6) + `","n":1}`,
		"hindi":     `{"text":"` + strings.Repeat("गाड़ी दस बजे ", 3) + `","n":1}`,
	}
	for _, name := range slices.Sorted(maps.Keys(texts)) {
		b.Run(fmt.Sprintf("%s/%dB", name, len(texts[name])), func(b *testing.B) {
			b.ReportAllocs()
			text := []byte(texts[name])
			for b.Loop() {
				if !s.find(tree, text, values) {
					b.Fatal("not JSON")
				}
			}
		})
	}
}
