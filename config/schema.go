package config

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"fmt"
	"path"
	"reflect"
	"slices"
	"strings"

	"wswarden/policies"
)

// descriptions are what the types' comments say, by package, type and field, such as
// policies.Idle.Timeout, and of words by package, type and word.
//
//go:generate go test -run TestDescriptions -update .
//go:embed schema_docs.json
var descriptionsFile []byte

// Schema returns a JSON Schema (draft 2020-12) of a configuration file: which keys
// there are, what they mean, which values they take, and what they are by default.
// What Parse accepts fits it. Contradictions, and whatever else is between two keys,
// are beyond it.
func Schema() []byte {
	var s schema
	if err := json.Unmarshal(descriptionsFile, &s.descriptions); err != nil {
		panic("descriptions of keys: " + err.Error()) // a test reads them
	}
	root := append(object{
		{"$schema", "https://json-schema.org/draft/2020-12/schema"},
		{"title", "wswarden's configuration"},
	}, s.section("", reflect.ValueOf(Default()).Elem())...)
	root = append(root, member{"$defs", definitions()})
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(root); err != nil {
		panic("schema: " + err.Error()) // the same in every process
	}
	return text.Bytes()
}

// object is a JSON object whose members keep their order, which editors show.
type object []member

type member struct {
	name  string
	value any
}

func (o object) MarshalJSON() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	for i, m := range o {
		text.WriteByte("{,"[min(i, 1)])
		if err := encoder.Encode(m.name); err != nil {
			return nil, err
		}
		text.WriteByte(':')
		if err := encoder.Encode(m.value); err != nil {
			return nil, err
		}
	}
	if len(o) == 0 {
		text.WriteByte('{')
	}
	text.WriteByte('}')
	return text.Bytes(), nil
}

type schema struct {
	descriptions map[string]string
}

// section has the keys of a section whose values are the defaults. What is required
// at the top may come from the environment, and so is not demanded of the file.
func (s *schema) section(key string, section reflect.Value) object {
	properties, needed := object{}, []string{}
	for field, value := range section.Fields() {
		if !field.IsExported() {
			continue
		}
		name := field.Tag.Get("mapstructure")
		at := join(key, name)
		property := s.value(at, value)
		if text := s.describe(section.Type(), field, at); text != "" {
			property = append(object{{"description", text}}, property...)
		}
		properties = append(properties, member{name, property})
		if strings.Contains(at, "[]") && slices.Contains(required, at) {
			needed = append(needed, name)
		}
	}
	o := object{{"type", "object"}, {"properties", properties}, {"additionalProperties", false}}
	if len(needed) > 0 {
		o = append(o, member{"required", needed})
	}
	return o
}

func (s *schema) value(key string, value reflect.Value) object {
	switch t := value.Type(); {
	case isSection(t):
		return s.section(key, value)
	case isSectionList(t):
		o := object{{"type", "array"}, {"items", s.section(key+"[]", firstItem(value))}}
		if value.Len() > 0 {
			o = append(o, member{"minItems", 1})
		}
		return o
	case t == fieldsType:
		return object{{"type", "object"}, {"additionalProperties", object{{"type", []string{"string", "number", "boolean", "null"}}}}}
	case t.Kind() == reflect.Slice:
		return object{{"type", "array"}, {"items", typeSchema(t.Elem())}, {"default", []string{}}}
	}
	o := typeSchema(value.Type())
	if choices[key] != nil {
		o = orExpanded(object{{"enum", wordsOf(key)}})
	} else if slices.Contains(numeric, key) {
		o = object{{"type", []string{"string", "number"}}}
	}
	if key == "policies[].name" || slices.Contains(required, key) {
		return o
	}
	return append(o, member{"default", writings(nil).setting(key, value)})
}

// wordsOf returns the choices of a key, in all ways that they may be written.
func wordsOf(key string) (words []any) {
	for _, word := range choices[key] {
		words = append(words, word)
		if slices.Contains(numeric, key) {
			words = append(words, json.Number(word))
		}
	}
	if slices.Contains(optional, key) {
		words = append(words, "")
	}
	return words
}

// describe returns a field's description, and those of the words that it takes.
func (s *schema) describe(section reflect.Type, field reflect.StructField, key string) string {
	text := s.descriptions[typeName(section)+"."+field.Name]
	for _, word := range choices[key] {
		if meaning := s.descriptions[typeName(field.Type)+"."+word]; meaning != "" {
			text += "\n" + word + ": " + meaning
		}
	}
	return text
}

func typeName(t reflect.Type) string { return path.Base(t.PkgPath()) + "." + t.Name() }

// typeSchema is what convert takes for a scalar of that type, or what is expanded to it.
func typeSchema(t reflect.Type) object {
	switch word := typeWord(t); word {
	case "duration", "size", "network":
		return orExpanded(object{{"$ref", "#/$defs/" + word}})
	case "close code":
		return orExpanded(object{{"$ref", "#/$defs/close_code"}})
	case "count":
		return orExpanded(object{{"type", "integer"}, {"minimum", 0}})
	case "number":
		return orExpanded(object{{"type", "number"}, {"minimum", 0}})
	case "0 to 1":
		return orExpanded(object{{"type", "number"}, {"minimum", 0}, {"maximum", 1}})
	case "true, false":
		return orExpanded(object{{"type", "boolean"}})
	default:
		return object{{"type", "string"}}
	}
}

func orExpanded(o object) object {
	return object{{"anyOf", []object{o, {{"$ref", "#/$defs/expanded"}}}}}
}

// definitions are the schemas of what has more than one spelling.
func definitions() object {
	text := func(pattern string) object { return object{{"type", "string"}, {"pattern", pattern}} }
	return object{
		{"duration", object{
			{"anyOf", []object{text(durationPattern()), {{"const", 0}}}},
			{"examples", []string{"500ms", "30s", "10m", "1h30m"}},
		}},
		{"size", object{
			{"anyOf", []object{text(`^(\+?[0-9]+|-0+) *([KMG]i?B|B)?$`), {{"type", "integer"}, {"minimum", 0}}}},
			{"examples", []string{"64KiB", "1MiB", "512MiB"}},
		}},
		{"network", object{
			{"type", "string"},
			{"pattern", `^([0-9.]+/([12]?[0-9]|3[0-2])|[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*/([1-9]?[0-9]|1[01][0-9]|12[0-8]))$`},
			{"examples", []string{"10.0.0.0/8", "fd00::/8"}},
		}},
		{"close_code", object{
			{"type", "integer"},
			{"anyOf", closeCodeRanges()},
		}},
		{"expanded", object{
			{"description", "${NAME}: a variable of the environment; ${file:/path}: what is in a file"},
			{"type", "string"},
			{"pattern", `(^|[^$])\$\{([A-Za-z_][A-Za-z0-9_]*|file:[^}]+)\}`},
		}},
	}
}

// durationPattern bounds each unit's digits, as no duration is longer than 292 years,
// and lets nothing but zero be negative.
func durationPattern() string {
	var some, none []string
	for _, unit := range []struct {
		name   string
		digits int
	}{{"h", 7}, {"m", 9}, {"s", 10}, {"ms", 13}, {"(us|µs|μs)", 16}, {"ns", 19}} {
		some = append(some, fmt.Sprintf(`(0*[0-9]{1,%d}(\.[0-9]*)?|\.[0-9]+)%s`, unit.digits, unit.name))
		none = append(none, `(0+(\.0*)?|\.0+)`+unit.name)
	}
	return `^(\+?(0|(` + strings.Join(some, "|") + `)+)|-(0|(` + strings.Join(none, "|") + `)+))$`
}

// closeCodeRanges are those of ValidCloseCode, and 0, with which the cause's own is
// sent.
func closeCodeRanges() []object {
	ranges := []object{{{"const", 0}}}
	first := uint16(0)
	for code := uint16(1); code <= 5000; code++ {
		switch valid := policies.ValidCloseCode(code); {
		case valid && first == 0:
			first = code
		case !valid && first > 0:
			ranges = append(ranges, object{{"minimum", first}, {"maximum", code - 1}})
			first = 0
		}
	}
	return ranges
}
