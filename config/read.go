package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader collects settings and problems. It walks the YAML nodes beside the
// types that they are for: only nodes know their lines, and only types know
// which keys there are and what "30s" means.
type reader struct {
	file     string
	variable string // the environment variable being read, if it is not the file
	// environ looks up an environment variable; nil: there are none.
	environ  func(string) (string, bool)
	places   Places
	problems Problems
}

// settings reads the file's text, which is a section of type t. Not ok: nothing
// in it can be used.
func (r *reader) settings(text []byte, t reflect.Type) (settings map[string]any, ok bool) {
	if r.file != "" {
		r.places[""] = place{r.file, 1, 1}
	}
	root, err := parse(text)
	if err != nil {
		r.problems = Problems{r.syntaxError(text, err)}
		return nil, false
	}
	if root == nil {
		return nil, true
	}
	settings, ok = r.value("", root, t).(map[string]any)
	return settings, ok
}

func (r *reader) at(n *yaml.Node) place {
	if r.variable != "" {
		return place{name: r.variable}
	}
	return place{r.file, n.Line, n.Column}
}

// value reads a node for a value of type t, and returns nil if it cannot.
func (r *reader) value(path string, n *yaml.Node, t reflect.Type) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.ShortTag() == "!!null":
		r.problem(path, "has no value; write one or remove it")
		return nil
	case isSection(t):
		return r.section(path, n, t)
	case t == fieldsType:
		return r.fields(path, n)
	case t.Kind() == reflect.Slice:
		return r.list(path, n, t.Elem())
	default:
		return r.scalar(path, n, t)
	}
}

func (r *reader) section(path string, n *yaml.Node, t reflect.Type) any {
	known := map[string]reflect.Type{}
	var names []string
	for f := range t.Fields() {
		name := f.Tag.Get("mapstructure")
		known[name] = f.Type
		names = append(names, name)
	}
	if n.Kind != yaml.MappingNode {
		r.problem(path, "must be a section, not %s; write keys below it, such as %s:", kind(n), names[0])
		return nil
	}
	settings := map[string]any{}
	lines := map[string]int{}
	for pair := range slices.Chunk(n.Content, 2) {
		name, line := pair[0].Value, pair[0].Line
		key := join(path, plain(name))
		r.places[key] = r.at(pair[0])
		if first, twice := lines[name]; twice {
			r.problem(key, "is written twice, first in line %d; remove one", first)
		} else if known[name] == nil {
			r.problem(key, "is not a known key; %s", suggest(name, names))
		} else if v := r.value(key, pair[1], known[name]); v != nil {
			settings[name] = v
		}
		lines[name] = line
	}
	return settings
}

// list keeps a place for what it could not read, so that indexes stay right.
func (r *reader) list(path string, n *yaml.Node, t reflect.Type) any {
	if n.Kind != yaml.SequenceNode {
		hint := `each item in a line of its own, after "- "`
		if r.variable != "" {
			hint = "[a, b]"
		}
		r.problem(path, "must be a list, not %s; write %s", kind(n), hint)
		return nil
	}
	items := make([]any, len(n.Content))
	for i, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, i)
		r.places[at] = r.at(item)
		items[i] = r.value(at, item, t)
		if items[i] == nil && !isSection(t) {
			items[i] = reflect.Zero(t).Interface()
		}
	}
	return items
}

func (r *reader) scalar(path string, n *yaml.Node, t reflect.Type) any {
	quoted := n.ShortTag() == "!!str"
	switch {
	case n.Kind != yaml.ScalarNode:
		r.problem(path, "must be one value, not %s; if it is text, put it into quotes", kind(n))
		return nil
	case t.Kind() == reflect.String && !quoted:
		r.problem(path, "%s is not text; put it into quotes", plain(n.Value))
		return nil
	}
	v, problem := convert(n.Value, t)
	if problem == "" && quoted {
		switch t.Kind() {
		case reflect.Uint16, reflect.Int, reflect.Float64:
			problem = fmt.Sprintf("%q is text, not a number; remove the quotes", n.Value)
		case reflect.Bool:
			problem = fmt.Sprintf("%q is text, neither true nor false; remove the quotes", n.Value)
		}
	}
	if problem != "" {
		r.problem(path, "%s", problem)
		return nil
	}
	return v
}

// kind names what a node is, where something else was wanted.
func kind(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a section"
	case yaml.SequenceNode:
		return "a list"
	default:
		return plain(n.Value)
	}
}

var errSecondDocument = errors.New("a second document begins; keep one, without ---")

// parse returns the text's only document; nil if there is none.
func parse(text []byte) (*yaml.Node, error) {
	var first, second yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&first); err == io.EOF {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	if err := decoder.Decode(&second); err == nil {
		return nil, errSecondDocument
	} else if err != io.EOF {
		return nil, err
	}
	if root := first.Content[0]; root.ShortTag() != "!!null" {
		return root, nil
	}
	return nil, nil
}

// syntaxError names the line with which the text begins to fail in this way.
// The line in the library's own error is often that of the block around it, or
// missing, but never too high.
func (r *reader) syntaxError(text []byte, err error) Problem {
	words, line := yamlError(err)
	lines := bytes.SplitAfter(bytes.TrimSuffix(text, []byte("\n")), []byte("\n"))
	for ; line < len(lines); line++ {
		if _, err := parse(bytes.Join(lines[:line], nil)); err != nil {
			if w, _ := yamlError(err); w == words {
				break
			}
		}
	}
	line = min(line, len(lines))
	begin := strings.TrimLeft(string(lines[line-1]), " ")
	if strings.HasPrefix(begin, "\t") {
		words = "a tab in the indentation; use spaces"
	}
	at := place{r.file, line, len(lines[line-1]) - len(begin) + 1}
	return Problem{at.String(), "", "is not valid YAML: " + words, at.line, at.column}
}

// yamlError splits the library's error into its words and its line, 1 if it
// has none.
func yamlError(err error) (words string, line int) {
	words = strings.TrimPrefix(err.Error(), "yaml: ")
	if _, err := fmt.Sscanf(words, "line %d:", &line); err == nil {
		_, words, _ = strings.Cut(words, ": ")
	}
	return words, max(line, 1)
}
