package config

import (
	"math"
	"reflect"
	"slices"

	"go.yaml.in/yaml/v3"

	"wswarden/policies/dialects"
)

var fieldsType = reflect.TypeFor[dialects.Fields]()

// fields reads a section whose keys are not known beforehand, such as a rule's
// match. It keeps their order and spelling.
func (r *reader) fields(path string, n *yaml.Node) any {
	if n.Kind != yaml.MappingNode {
		hint := "paths below it, each with a value, such as type: subscribe"
		if r.variable != "" {
			hint = "{path: value}"
		}
		r.problem(path, "must be a section, not %s; write %s", kind(n), hint)
		return nil
	}
	fields := dialects.Fields{}
	lines := map[string]int{}
	for pair := range slices.Chunk(n.Content, 2) {
		name, line := pair[0].Value, pair[0].Line
		key := join(path, plain(name))
		if pair[0].Kind != yaml.ScalarNode {
			key = path
			r.problem(key, "has %s for a path; put it into quotes", kind(pair[0]))
			continue
		}
		r.places[key] = r.at(pair[0])
		if first, twice := lines[name]; twice {
			r.problem(key, "is written twice, first in line %d; remove one", first)
		} else if value, ok := r.field(key, pair[1]); ok {
			fields = append(fields, dialects.Field{Name: name, Value: value})
		}
		lines[name] = line
	}
	return fields
}

// field reads the value of one of Fields. Not ok: it is of no use, which is told.
func (r *reader) field(key string, n *yaml.Node) (value any, ok bool) {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	if n.Kind != yaml.ScalarNode {
		r.problem(key, "must be one value, not %s; if it is text, put it into quotes", kind(n))
		return nil, false
	}
	switch n.ShortTag() {
	case "!!null":
		return nil, true
	case "!!str":
		text, _, ok := r.expand(key, n)
		return text, ok
	case "!!bool":
		var b bool
		if n.Decode(&b) == nil {
			return b, true
		}
	case "!!int", "!!float":
		var f float64
		if n.Decode(&f) == nil && !math.IsNaN(f) && !math.IsInf(f, 0) {
			return f, true
		}
	}
	r.problem(key, "%s is not text, a number, true, false or null; if it is text, put it into quotes", plain(n.Value))
	return nil, false
}
