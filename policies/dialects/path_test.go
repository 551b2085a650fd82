package dialects

import (
	"reflect"
	"strings"
	"testing"
)

func keyStep(name string) segment { return segment{kind: keySegment, key: name} }
func indexStep(index int) segment { return segment{kind: indexSegment, index: index} }

var innerStep = segment{kind: innerSegment}

func TestParsePath(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]path{
		"type":                {keyStep("type")},
		"payload.pnr":         {keyStep("payload"), keyStep("pnr")},
		"params[0]":           {keyStep("params"), indexStep(0)},
		"[3]":                 {indexStep(3)},
		"[1][20].a":           {indexStep(1), indexStep(20), keyStep("a")},
		`["odd.key"].x`:       {keyStep("odd.key"), keyStep("x")},
		`a[""]`:               {keyStep("a"), keyStep("")},
		`["a]\"\u00e9"][0]`:   {keyStep(`a]"é`), indexStep(0)},
		"identifier->channel": {keyStep("identifier"), innerStep, keyStep("channel")},
		"a[1]->[0]->b":        {keyStep("a"), indexStep(1), innerStep, indexStep(0), innerStep, keyStep("b")},
		"a->->b":              {keyStep("a"), innerStep, innerStep, keyStep("b")},
		`->["x"]`:             {innerStep, keyStep("x")},

		// a key without quotes may hold most things
		"content-length": {keyStep("content-length")},
		"x-y->a-b":       {keyStep("x-y"), innerStep, keyStep("a-b")},
		"$a@b:c/d_é":     {keyStep("$a@b:c/d_é")},
		"0.1":            {keyStep("0"), keyStep("1")},
		"__proto__":      {keyStep("__proto__")},
	} {
		if got, err := parsePath(text); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v %v, want %v", text, got, err, want)
		}
	}
}

// What is wrong is said together with what to write.
func TestParsePathProblems(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"":               "is empty; write a path such as",
		".":              `"." lacks a key`,
		".a":             `lacks a key; write one between the dots, or ["key"]`,
		"a.":             "lacks a key",
		"a..b":           "lacks a key",
		"a.[0]":          "lacks a key",
		"a->.b":          "lacks a key",
		"a->":            `"a->" ends in ->; write what to look for in the JSON text, as in a->id`,
		"a b":            `has ' ' in a key; write the key as ["key"]`,
		`a"b`:            `has '"' in a key`,
		"a]":             "has ']' in a key",
		"a\tb":           `has '\t' in a key`,
		"[0]a":           `has "a" behind a ]; write a dot, a [ or -> between`,
		"a[":             `has a [ without an index; write as in [0] or ["key"]`,
		"a[]":            "without an index",
		"a[-1]":          "without an index",
		"a[01]":          "without an index",
		"a[+1]":          "without an index",
		"a[*]":           "without an index",
		"a[key]":         "without an index",
		"a[99999999999]": "without an index",
		`a["b`:           `lacks the end of a ["`,
		`a["b"`:          `lacks the end of a ["; write a JSON string and ], as in ["odd.key"]`,
		`a["b" ]`:        `lacks the end of a ["`,
		`a["\x"]`:        `lacks the end of a ["`,
		`a['b']`:         "without an index",
		"a\xff":          `"a\xff" is not UTF-8`,
		"a\ufffd":        "U+FFFD",
		`["\ud800"]`:     "half of a surrogate pair",
		`["\ufffd"]`:     "U+FFFD",
		"=text":          `"=text" is a text, where there must be a path`,
	} {
		if got, err := parsePath(text); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v %v, want an error with: %s", text, got, err, want)
		}
	}
}
