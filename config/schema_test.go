package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"
)

// validator is somebody else's reading of Schema.
var schemaValidator = sync.OnceValues(func() (*jsonschema.Schema, error) {
	schema, err := jsonschema.UnmarshalJSON(bytes.NewReader(Schema()))
	if err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource("wswarden.json", schema); err != nil {
		return nil, err
	}
	return compiler.Compile("wswarden.json")
})

// fitsSchema returns what the validator says of a text, as YAML 1.2 has its values.
func fitsSchema(t testing.TB, text string) error {
	t.Helper()
	schema, err := schemaValidator()
	if err != nil {
		t.Fatal(err)
	}
	root, err := parse([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	if root == nil {
		return schema.Validate(map[string]any{})
	}
	return schema.Validate(asJSON(root))
}

// asJSON is what an editor makes of a node. Tags that it does not know count for
// nothing, and a merge key is a key.
func asJSON(n *yaml.Node) any {
	switch n.Kind {
	case yaml.AliasNode:
		return asJSON(n.Alias)
	case yaml.MappingNode:
		section := map[string]any{}
		for pair := range slices.Chunk(n.Content, 2) {
			section[pair[0].Value] = asJSON(pair[1])
		}
		return section
	case yaml.SequenceNode:
		list := []any{}
		for _, item := range n.Content {
			list = append(list, asJSON(item))
		}
		return list
	}
	tag := n.ShortTag()
	if strings.Contains(n.Value, "${") {
		tag = "!!str"
	}
	if tag != "!!str" && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle|yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		tag = (&yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}).ShortTag()
	}
	switch tag {
	case "!!null":
		return nil
	case "!!bool":
		return strings.EqualFold(n.Value, "true")
	case "!!int", "!!float":
		if strings.Contains(n.Value, "_") {
			return n.Value
		}
		var f float64
		plain := &yaml.Node{Kind: yaml.ScalarNode, Value: n.Value}
		if err := plain.Decode(&f); err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
			return []any{"JSON has no such number"}
		}
		return f
	default:
		return n.Value
	}
}

// ofSchema are the problems that the schema has to find, too: keys, types and words.
var ofSchema = regexp.MustCompile(`is not a known key|must be a section|must be a list|must be one value|has no value|has no unit|` +
	`neither true nor false|is not text; put|is text, not a number|is not known; use one of|is not a (duration|size|count|number|network|close code)|has no prefix length`)

func TestSchemaFindsMistakes(t *testing.T) {
	except := []string{ // which are, in YAML 1.2 or to a pattern, what they ought to be
		"drain: {reason: 2001-01-01}",
		"max_bytes: 9999999999GiB",
	}
	found, besides := 0, 0
	for _, m := range mistakes(t) {
		if strings.Contains(m.file, "${") {
			continue // of what is behind that, nobody else knows
		}
		if strings.Contains(m.want, "is not valid YAML") || strings.Contains(m.want, "is written twice") {
			continue // an editor's own YAML finds these
		}
		refused := fitsSchema(t, m.file) != nil
		switch {
		case refused:
			found++
		case !ofSchema.MatchString(m.want):
			besides++
		case !slices.ContainsFunc(except, func(s string) bool { return strings.Contains(m.file, s) }):
			t.Errorf("the schema takes\n%s\nwant: %s", m.file, m.want)
		}
	}
	t.Logf("the schema finds %d mistakes; it cannot find %d", found, besides)
}

func TestSchemaTakesWhatIsAccepted(t *testing.T) {
	texts := []string{"", everySetting, everyKind}
	for _, row := range accepted {
		texts = append(texts, row.file)
	}
	for _, d := range []string{"0", "+0", "-0", "0s", "-0.0s", "1.5h", ".5s", "5.s", "1h2m3s4ms5us6µs7μs8ns", "000000000001h", "2562047h", `"0"`} {
		texts = append(texts, "drain: {spread: 0s, timeout: "+d+"}")
	}
	for _, s := range []string{"0", "-0", "+5", "05", "64 KiB", `"65536"`, "100B", "9223372036854775807", "7GB"} {
		texts = append(texts, "policies: [{messages: {max_bytes: "+s+"}}]")
	}
	for _, n := range []string{"::/0", "0.0.0.0/0", "10.0.0.1/32", "fd00::1/128", "64:ff9b::192.0.2.0/120"} {
		texts = append(texts, "trusted_proxies: [\""+n+"\"]")
	}
	for _, code := range []int{0, 1000, 1003, 1007, 1014, 3000, 4999} {
		texts = append(texts, fmt.Sprintf("policies: [{idle: {close_code: %d}}]", code))
	}
	for _, text := range texts {
		text = upstreamLine + text
		if _, err := Parse("w.yaml", []byte(text)); err != nil {
			t.Error(err)
		} else if err := fitsSchema(t, text); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

// What Print writes fits, and so does every example of the repository.
func TestSchemaTakesExamples(t *testing.T) {
	c, from, err := parsePlaces("w.yaml", upstreamLine+everyKind+everySetting)
	if err != nil {
		t.Fatal(err)
	}
	texts := map[string]string{"print": printed(t, c, from)}
	err = filepath.WalkDir("../examples", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".yaml" || strings.Contains(name, "node_modules") {
			return err
		}
		text, err := os.ReadFile(name)
		if strings.HasPrefix(string(text), "upstream:") || strings.Contains(string(text), "\nupstream:") { // of others are the rest
			texts[name] = string(text)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	readme, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for i, rest := range strings.Split(string(readme), "```yaml\n")[1:] {
		text, _, _ := strings.Cut(rest, "```")
		texts[fmt.Sprintf("README.md, %d", i+1)] = text
	}
	if len(texts) < 8 {
		t.Errorf("only %d examples", len(texts))
	}
	for name, text := range texts {
		if err := fitsSchema(t, text); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The built-in dialects are written as a file's own.
func TestSchemaTakesBuiltins(t *testing.T) {
	files, err := filepath.Glob("../policies/dialects/*.yaml")
	if err != nil || len(files) < 5 {
		t.Fatal(files, err)
	}
	schema, err := schemaValidator()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		root, err := parse(text)
		if err != nil {
			t.Fatal(err)
		}
		if err := schema.Validate(map[string]any{"dialects": []any{asJSON(root)}}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Every key that there is has its description and, unless it has none, its default.
func TestSchemaTellsEveryKey(t *testing.T) {
	var root map[string]any
	if err := json.Unmarshal(Schema(), &root); err != nil {
		t.Fatal(err)
	}
	for _, key := range append(Keys(), DialectKeys()...) {
		at := root
		for _, name := range strings.Split(key.Name, ".") {
			name, list := strings.CutSuffix(name, "[]")
			at, _ = at["properties"].(map[string]any)[name].(map[string]any)
			if at["description"] == nil {
				t.Fatalf("%s: no description of %s", key.Name, name)
			}
			if list {
				at = at["items"].(map[string]any)
			}
		}
		_, told := at["default"]
		if want := key.Default != "required" && key.Name != "policies[].name" && key.Default != "{}"; told != want {
			t.Errorf("%s: a default is told: %v, want %v", key.Name, told, want)
		}
		if words := choices[key.Name]; words != nil {
			one, _ := at["anyOf"].([]any)[0].(map[string]any)
			if enum, _ := one["enum"].([]any); len(enum) < len(words) {
				t.Errorf("%s: enum %v, want %v", key.Name, enum, words)
			}
		}
	}
}
