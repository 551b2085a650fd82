package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"reflect"
	"slices"
	"sort"
	"strings"

	"go.yaml.in/yaml/v3"
)

// reader collects settings and problems. It walks the YAML nodes beside the
// types that they are for: only nodes know their lines, and only types know
// which keys there are and what "30s" means.
type reader struct {
	folder   string // that all files are in; empty for a single file
	file     string // the one being read
	order    int    // of that file, from 1
	variable string // the environment variable being read, if it is not the file
	// environ looks up an environment variable; nil: there are none, and nothing is
	// expanded.
	environ   func(string) (string, bool)
	variables []string // that were looked for there, as keys have them
	inputs    inputs
	places    Places
	written   writings
	problems  Problems
}

func newReader() *reader {
	return &reader{environ: os.LookupEnv, inputs: newInputs(), places: Places{}, written: writings{}}
}

// load layers defaults, files, environment and flags, and checks the result, as one
// for a process that runs with current unless that is nil.
func (r *reader) load(files []file, flags func(*Config, Places), current *Config) (*Loaded, error) {
	settings := map[string]any{}
	usable := true
	for _, f := range files {
		if !r.read(f, settings) {
			usable = false
		}
	}
	if r.folder != "" {
		r.places[""] = place{name: r.folder}
	}
	if !usable { // what is missing may be in a file that cannot be read
		return r.loaded(nil), r.problems.sorted()
	}
	c := Default()
	r.fill("", settings, reflect.ValueOf(c).Elem())
	r.namePolicies(c)
	if flags != nil {
		flags(c, r.places)
	}
	if len(r.written) > 0 {
		c.written = r.written
	}
	if c.Admin.Address != "" && c.Admin.TokenFile != "" {
		_, _ = r.inputs.read(c.Admin.TokenFile, readToken) // which is checked with the rest
	}
	for _, name := range c.tlsFiles() {
		r.inputs.note(name)
	}
	r.validate(c)
	r.inputs.add("problems", r.problems.Error()) // those of TLS files come and go with what is in them
	if current != nil {
		r.compare(c, current)
	}
	if len(r.problems) > 0 {
		l := r.loaded(nil)
		l.admin = c.Admin
		return l, r.problems.sorted()
	}
	return r.loaded(c), nil
}

func (r *reader) loaded(c *Config) *Loaded {
	return &Loaded{Config: c, Places: r.places, Files: r.inputs.files, Digest: r.inputs.digest(), variables: r.variables}
}

// read adds a file's settings to those of the files before. Not ok: nothing in it can
// be used.
func (r *reader) read(f file, settings map[string]any) (ok bool) {
	r.file = f.name
	r.order++
	if problem := f.problem(); problem != "" {
		remedy := "name another"
		if r.folder != "" {
			remedy = "remove it"
		}
		r.problemAt(r.line(0, 0), "", "%s, or %s", problem, remedy)
		return false
	}
	return r.settings(f.text, reflect.TypeFor[Config](), settings)
}

// settings adds those of a text, which is a section of type t.
func (r *reader) settings(text []byte, t reflect.Type, settings map[string]any) (ok bool) {
	r.places[""] = r.line(1, 1)
	root, err := parse(text)
	if err != nil {
		r.problems = append(r.problems, r.syntaxError(text, err))
		return false
	}
	return root == nil || r.section("", root, t, settings) != nil
}

// line is a place in the file.
func (r *reader) line(line, column int) place {
	return place{name: r.file, file: r.order, line: line, column: column}
}

func (r *reader) at(n *yaml.Node) place {
	if r.variable != "" {
		return place{name: r.variable}
	}
	return r.line(n.Line, n.Column)
}

// value reads a node for a value of type t, and returns nil if it cannot. What an
// earlier file has said is in before: a section's settings, a list of sections.
func (r *reader) value(path string, n *yaml.Node, t reflect.Type, before any) any {
	if n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	switch {
	case n.ShortTag() == "!!null":
		r.problem(path, "has no value; write one or remove it")
		return nil
	case isSection(t):
		return r.section(path, n, t, before)
	case t == fieldsType:
		return r.fields(path, n)
	case t.Kind() == reflect.Slice:
		return r.list(path, n, t.Elem(), before)
	default:
		return r.scalar(path, n, t)
	}
}

func (r *reader) section(path string, n *yaml.Node, t reflect.Type, before any) any {
	known := map[string]reflect.Type{}
	var names []string
	for f := range t.Fields() {
		if !f.IsExported() {
			continue
		}
		name := f.Tag.Get("mapstructure")
		known[name] = f.Type
		names = append(names, name)
	}
	if n.Kind != yaml.MappingNode {
		r.problem(path, "must be a section, not %s; write keys below it, such as %s:", kind(n), names[0])
		return nil
	}
	settings, _ := before.(map[string]any)
	if settings == nil {
		settings = map[string]any{}
	}
	lines := map[string]int{}
	for pair := range slices.Chunk(n.Content, 2) {
		name, line := pair[0].Value, pair[0].Line
		key, at := join(path, plain(name)), r.at(pair[0])
		first, given := r.places[key]
		elsewhere := given && first.file != at.file
		of := known[name]
		if line, twice := lines[name]; twice {
			r.problemAt(at, key, "is written twice, first in line %d; remove one", line)
			continue
		}
		lines[name] = line
		switch r.places[key] = at; {
		case of == nil:
			r.problem(key, "is not a known key; %s", suggest(name, names))
		case elsewhere && !isSection(of) && !isSectionList(of):
			r.problem(key, "is set in %s already; remove one", first)
		default:
			if v := r.value(key, pair[1], of, settings[name]); v != nil {
				settings[name] = v
			}
		}
		if elsewhere {
			r.places[key] = first
		}
	}
	return settings
}

// maxSections is how many a list may have: policies and listeners are compared with each
// other.
const maxSections = 1000

// list keeps a place for what it could not read, so that indexes stay right.
func (r *reader) list(path string, n *yaml.Node, t reflect.Type, before any) any {
	if n.Kind != yaml.SequenceNode {
		hint := `each item in a line of its own, after "- "`
		if r.variable != "" {
			hint = "[a, b]"
		}
		r.problem(path, "must be a list, not %s; write %s", kind(n), hint)
		return nil
	}
	items, _ := before.([]any)
	if many := len(items) + len(n.Content); many > maxSections && isSection(t) {
		r.problem(path, "%d are too many; write %d or fewer", many, maxSections)
		return nil
	}
	if items == nil {
		items = []any{}
	}
	for _, item := range n.Content {
		at := fmt.Sprintf("%s[%d]", path, len(items))
		r.places[at] = r.at(item)
		v := r.value(at, item, t, nil)
		if v == nil && !isSection(t) {
			v = reflect.Zero(t).Interface()
		}
		items = append(items, v)
	}
	return items
}

func (r *reader) scalar(path string, n *yaml.Node, t reflect.Type) any {
	quoted := n.ShortTag() == "!!str"
	switch {
	case n.Kind != yaml.ScalarNode:
		r.problem(path, "must be one value, not %s; if it is text, put it into quotes", kind(n))
		return nil
	case t.Kind() == reflect.String && !quoted && !looksLikeText(path, n):
		r.problem(path, "%s is not text; put it into quotes", plain(n.Value))
		return nil
	}
	text, expanded, ok := r.expand(path, n)
	if !ok {
		return nil
	}
	v, problem := convert(text, n.Value, t)
	if problem == "" && quoted && !expanded {
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

// looksLikeText reports whether a number is the text of a key that has such.
func looksLikeText(path string, n *yaml.Node) bool {
	number := n.ShortTag() == "!!int" || n.ShortTag() == "!!float"
	return number && slices.Contains(numeric, indexes.ReplaceAllString(path, "[]"))
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
	// What the first lines fail with, more of them fail with, too: a file's size may not
	// be squared here, as wswarden serves meanwhile.
	line += sort.Search(len(lines)-line, func(more int) bool {
		_, err := parse(bytes.Join(lines[:line+more], nil))
		if err == nil {
			return false
		}
		w, _ := yamlError(err)
		return w == words
	})
	line = min(line, len(lines))
	begin := strings.TrimLeft(string(lines[line-1]), " ")
	if strings.HasPrefix(begin, "\t") {
		words = "a tab in the indentation; use spaces"
	}
	if strings.Contains(begin, "${") && (strings.Contains(words, "',' or '}'") || strings.Contains(words, "',' or ']'")) {
		words += "; put ${…} into quotes within { } and [ ]"
	}
	at := r.line(line, len(lines[line-1])-len(begin)+1)
	return Problem{at.String(), "", "is not valid YAML: " + words, at}
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
