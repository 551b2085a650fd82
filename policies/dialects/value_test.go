package dialects

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// jsonValue returns the value that a JSON text is.
func jsonValue(t *testing.T, text string) Value {
	t.Helper()
	tree := newTree(false)
	values := make([]Value, 1)
	tree.add(nil)
	if !new(scanner).find(tree, []byte(text), values) {
		t.Fatalf("%s is not JSON", text)
	}
	return values[0]
}

// Values of one row have one Hash, which is no other row's.
func TestHash(t *testing.T) {
	t.Parallel()
	zeros := strings.Repeat("0", 150_000)
	seen := map[uint64]Value{}
	for _, row := range [][]Value{
		{jsonValue(t, `""`), plain(nil)},
		{jsonValue(t, `"a"`), jsonValue(t, `"\u0061"`), plain([]byte("a")), plain([]byte{'a'})},
		{jsonValue(t, `"A"`)},
		{jsonValue(t, `"1"`), jsonValue(t, `"\u0031"`), plain([]byte("1"))},
		{jsonValue(t, `1`), jsonValue(t, `1.0`), jsonValue(t, `1e0`), jsonValue(t, `10E-1`), jsonValue(t, `0.1e+1`)},
		{jsonValue(t, `0`), jsonValue(t, `-0`), jsonValue(t, `-0.0e9`), jsonValue(t, `1e-400`), jsonValue(t, `-0.`+zeros+`9`), jsonValue(t, `0`+`e`+zeros+`9`), jsonValue(t, `0.`+zeros+`e99999999999999999999`)},
		{jsonValue(t, `-1`)},
		{jsonValue(t, `1e400`), jsonValue(t, `1e309`), jsonValue(t, `7`+zeros), jsonValue(t, `1`+zeros+`e99999999999999999999`)},
		{jsonValue(t, `-1e400`)},
		{jsonValue(t, `9007199254740992`), jsonValue(t, `9007199254740993`)},
		{jsonValue(t, `9007199254740994`)},
		// exponents that thousands of digits make up for
		{jsonValue(t, `2`), jsonValue(t, `2`+zeros+`e-150000`), jsonValue(t, `0.`+zeros+`2E+150001`), jsonValue(t, `20`+zeros+`.0`+zeros+`e-150001`)},
		{jsonValue(t, `-3`), jsonValue(t, `-3`+zeros+`e-150000`)},
		{jsonValue(t, `"\\"`), plain([]byte(`\`))},
		{jsonValue(t, `"\\n"`), plain([]byte(`\n`))},
		{jsonValue(t, `"\n"`), jsonValue(t, `"\u000A"`), plain([]byte("\n"))},
		{jsonValue(t, `"\/\"\b\f\r\t"`), jsonValue(t, `"/\u0022\u0008\u000c\u000d\u0009"`), plain([]byte("/\"\b\f\r\t"))},
		{jsonValue(t, `"é"`), jsonValue(t, `"\u00e9"`), jsonValue(t, `"\u00E9"`)},
		{jsonValue(t, `"😀"`), jsonValue(t, `"\ud83d\ude00"`), jsonValue(t, `"\uD83D\uDE00"`)},
		{jsonValue(t, `"\ud83d"`)},
		{jsonValue(t, `"\ude00"`)},
		{jsonValue(t, `"\ude00\ud83d"`)},
		{jsonValue(t, `"\ud83d\ud83d\ude00"`), jsonValue(t, `"\ud83d😀"`)},
		{jsonValue(t, `"�"`), jsonValue(t, `"\ufffd"`), jsonValue(t, "\"\xff\"")},
		{jsonValue(t, `"���"`), jsonValue(t, "\"\xed\xa0\xbd\"")},
	} {
		for _, v := range row {
			if first, known := seen[v.Hash()]; known {
				t.Errorf("%s and %s have one Hash", v.Raw, first.Raw)
			}
			if v.Hash() != row[0].Hash() {
				t.Errorf("%s and %s have two Hashes", v.Raw, row[0].Raw)
			}
		}
		seen[row[0].Hash()] = row[0]
	}
}

func TestAppendText(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"a b"`:                    "a b",
		`""`:                       "",
		`"\"\\\/\b\f\n\r\t\u0041"`: "\"\\/\b\f\n\r\tA",
		`"x\ud83d\ude00y"`:         "x😀y",
		`"\ud83d"`:                 "�",
		"\"a\xffb\"":               "a�b",
		`1.50e1`:                   "15",
		`-0`:                       "0",
		`0.000001`:                 "0.000001",
		`0.0000001`:                "1e-7",
		`1e21`:                     "1e+21",
		`123456789012345678`:       "123456789012345680",
		`-1e400`:                   "-Infinity",
		`true`:                     "true",
		`null`:                     "null",
		`{"a": "\n"}`:              `{"a": "\n"}`,
	} {
		if got := jsonValue(t, text).AppendText([]byte("> ")); string(got) != "> "+want {
			t.Errorf("%s: %q, want %q", text, got, want)
		}
	}
	if got := plain([]byte(`a\n`)).AppendText(nil); string(got) != `a\n` {
		t.Errorf("plain text: %q", got)
	}
}

func TestEquals(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		text string
		want any
		not  []any
	}{
		{`"a"`, "a", []any{"", "b", "ab", "A", nil, true, 1.0}},
		{`"1"`, "1", []any{1.0}},
		{`"\u0061b\u0063"`, "abc", []any{"ab", "abcd", "xbc", "axc", "abx", "a", ""}},
		{`"\ud83d\ude00!"`, "😀!", []any{"😀", "�", "!"}},
		{`"\ufffd"`, "�", nil},
		{`""`, "", []any{nil, false, 0.0, "\x00"}},
		{`1.0`, 1.0, []any{"1.0", "1", true}},
		{`-0`, 0.0, nil},
		{`true`, true, []any{false, "true", 1.0}},
		{`false`, false, []any{true, "false", 0.0, nil}},
		{`null`, nil, []any{"null", false, 0.0, ""}},
	} {
		v := jsonValue(t, row.text)
		if !v.equals(row.want) {
			t.Errorf("%s does not equal %v", row.text, row.want)
		}
		for _, not := range row.not {
			if v.equals(not) {
				t.Errorf("%s equals %v", row.text, not)
			}
		}
	}
	for _, none := range []any{"", "�", nil, false, 0.0, 1} {
		for _, v := range []Value{{}, jsonValue(t, `{}`), jsonValue(t, `[]`), jsonValue(t, `"\ud800"`)} {
			if v.equals(none) {
				t.Errorf("%q of kind %d equals %v", v.Raw, v.kind, none)
			}
		}
	}
	if v := plain([]byte(`\u0061`)); !v.equals(`\u0061`) || v.equals("a") {
		t.Error("plain text has escapes")
	}
}

// A * at one end of a string stands for any text, none included.
func TestPattern(t *testing.T) {
	for _, row := range []struct {
		pattern   string
		fits, not []string
	}{
		{"*_sub", []string{`"_sub"`, `"eth_sub"`, `"a_sub_sub"`, `"eth\u005fsub"`, `"\n_s\u0075b"`, `"😀_sub"`, `"\ud83d\ude00_sub"`, `"\ud83d_sub"`},
			[]string{`"sub"`, `""`, `"_sub2"`, `"_sub\n"`, `"_unsub"`, `"_SUB"`, `1`, `null`, `["_sub"]`}},
		{"sub*", []string{`"sub"`, `"sub_"`, `"s\u0075b\n"`, `"\u0073\u0075\u0062\u0062"`},
			[]string{`"su"`, `"s\u0075"`, `""`, `"asub"`, `"\nsub"`, `{}`}},
		{"*é", []string{`"é"`, `"\u00e9"`, `"a\u00e9"`}, []string{`"\u00e9a"`, `"e"`, `"\ud8e9"`}},
		{"*", []string{`""`, `"a"`, `"\u0061"`, `"\ud800"`}, []string{`1`, `true`, `null`, `{}`}},
	} {
		p, ok := patternOf(row.pattern)
		if !ok {
			t.Errorf("%s is no pattern", row.pattern)
		}
		for want, texts := range map[bool][]string{true: row.fits, false: row.not} {
			for _, text := range texts {
				if v := jsonValue(t, text); v.equals(p) != want {
					t.Errorf("%s fits %s: %v, want %v", text, row.pattern, !want, want)
				}
			}
		}
	}
	for _, text := range []string{"", "a", "a*b"} {
		if _, ok := patternOf(text); ok {
			t.Errorf("%q is a pattern", text)
		}
	}
	if p, _ := patternOf("*61"); !p.fits(plain([]byte(`\u0061`))) || p.fits(Value{}) {
		t.Error("plain text has escapes, or nothing is a text")
	}
	v, want := jsonValue(t, `"eth\u005fsubscribe"`), any(pattern{text: "_subscribe", last: true})
	if n := testing.AllocsPerRun(100, func() { v.equals(want) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestPresentAndUsable(t *testing.T) {
	t.Parallel()
	for _, row := range []struct {
		value           Value
		present, usable bool
	}{
		{Value{}, false, false},
		{jsonValue(t, `null`), false, false},
		{jsonValue(t, `false`), true, false},
		{jsonValue(t, `{}`), true, false},
		{jsonValue(t, `[]`), true, false},
		{jsonValue(t, `0`), true, true},
		{jsonValue(t, `""`), true, true},
		{plain(nil), true, true},
	} {
		if row.value.Present() != row.present || row.value.Usable() != row.usable {
			t.Errorf("%.20q: present %v, usable %v", row.value.Raw, row.value.Present(), row.value.Usable())
		}
	}
}

// U+FFFD takes the place of each maximal subpart (the examples are those of
// Unicode 15, §3.9, and of WHATWG's tests).
func TestAppendValid(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":                                     "",
		"aé€😀\x00":                             "aé€😀\x00",
		"\xef\xbb\xbfa":                        "\ufeffa", // a byte-order mark stays
		"\xff":                                 "�",
		"\x80\xbf":                             "��",
		"a\xc0\xafb":                           "a��b",
		"\xc3":                                 "�",
		"\xc3(":                                "�(",
		"\xc3\xc3\xa9":                         "�é",
		"\xe0\x80\xbf\xf0\x81\x82A":            "������A",
		"\xed\xa0\x80\xed\xbf\xbf\xed\xafA":    "��������A",
		"\xed\x9f":                             "�",
		"\xe2\x82":                             "�",
		"\xe2\x82\"":                           "�\"",
		"\xe1\x80\xe2\xf0\x91\x92\xf1\xbf\x41": "����A",
		"\xf0\x9f\x98":                         "�",
		"\xf0\x8f\xbf\xbf":                     "����",
		"\xf4\x8f\xbf":                         "�",
		"\xf4\x90\x80\x80":                     "����",
		"\xf5\x80\x80\x80":                     "����",
		"\xf8\x88\x80\x80\x80":                 "�����",
		"\xfe\xfe\xff":                         "���",
	} {
		got := appendValid([]byte("> "), []byte(text))
		if string(got) != "> "+want {
			t.Errorf("%q: %q, want %q", text, got[2:], want)
		}
		if !utf8.Valid(got) {
			t.Errorf("%q: %q is not valid", text, got)
		}
	}
}

func BenchmarkHash(b *testing.B) {
	for _, row := range []struct {
		name  string
		value Value
	}{
		{"string", Value{Raw: []byte(`"1722500001"`), kind: jsonString}},
		{"escaped", Value{Raw: []byte(`"17225\u00300001"`), kind: jsonString}},
		{"number", Value{Raw: []byte(`1722500001`), kind: jsonNumber}},
	} {
		b.Run(row.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				row.value.Hash()
			}
		})
	}
}
