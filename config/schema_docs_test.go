package config

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"wswarden/policies"
)

var update = flag.Bool("update", false, "write schema_docs.json anew")

// Every key has a description, and they are what the comments say now.
func TestDescriptions(t *testing.T) {
	c := newComments(t, ".", "../policies", "../policies/dialects")
	c.describe(t, reflect.TypeFor[Config]())
	c.describeWords()
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	if err := encoder.Encode(c.texts); err != nil {
		t.Fatal(err)
	}
	if *update {
		if err := os.WriteFile("schema_docs.json", text.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if !bytes.Equal(text.Bytes(), descriptionsFile) {
		t.Error("schema_docs.json is not what the comments say; run go generate ./config")
	}
	for key, words := range choices {
		if len(words) == 0 {
			t.Errorf("%s takes no word", key)
		}
	}
}

// comments are those of the packages that have the configuration's types.
type comments struct {
	types  map[string]*ast.StructType // by name, such as policies.Idle
	docs   map[string]string          // of types, by name
	words  map[string][]word          // that there are of a type, by the type's name
	values map[string]string          // of constants, by package and name
	tags   map[string]string          // by which a section's type is written, by the type's name
	first  map[string]string          // what is said of the first field of that name, by package and name
	users  map[string][]reflect.Type  // sections with a key of a type, by the type's name
	texts  map[string]string          // the result
}

type word struct{ value, doc string }

func newComments(t *testing.T, folders ...string) *comments {
	c := &comments{
		types: map[string]*ast.StructType{}, docs: map[string]string{}, words: map[string][]word{}, values: map[string]string{},
		tags: map[string]string{}, first: map[string]string{}, users: map[string][]reflect.Type{}, texts: map[string]string{},
	}
	for _, folder := range folders {
		files, _ := filepath.Glob(folder + "/*.go")
		for _, name := range files {
			if strings.HasSuffix(name, "_test.go") {
				continue
			}
			file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
			if err != nil {
				t.Fatal(err)
			}
			for _, d := range file.Decls {
				if d, ok := d.(*ast.GenDecl); ok {
					c.declaration(file.Name.Name+".", d)
				}
			}
		}
	}
	return c
}

func (c *comments) declaration(pkg string, d *ast.GenDecl) {
	for _, spec := range d.Specs {
		switch spec := spec.(type) {
		case *ast.TypeSpec:
			c.docs[pkg+spec.Name.Name] = flat(d.Doc)
			if s, ok := spec.Type.(*ast.StructType); ok {
				c.types[pkg+spec.Name.Name] = s
				for _, f := range s.Fields.List {
					for _, name := range f.Names {
						if text := flat(f.Doc) + flat(f.Comment); text != "" && f.Tag != nil && c.first[pkg+name.Name] == "" {
							c.first[pkg+name.Name] = text
						}
					}
				}
			}
		case *ast.ValueSpec:
			of, typed := spec.Type.(*ast.Ident)
			if !typed || len(spec.Values) != 1 {
				continue
			}
			if value, ok := spec.Values[0].(*ast.BasicLit); ok && value.Kind == token.STRING {
				text, _ := strconv.Unquote(value.Value)
				doc := strings.TrimLeft(strings.TrimPrefix(flat(spec.Doc), spec.Names[0].Name), ": ")
				c.values[pkg+spec.Names[0].Name] = text
				c.words[pkg+of.Name] = append(c.words[pkg+of.Name], word{text, doc})
			}
		}
	}
}

// flat is a comment whose lines are not broken, but for those that are set apart.
func flat(group *ast.CommentGroup) string {
	if group == nil {
		return ""
	}
	var b strings.Builder
	for line := range strings.Lines(group.Text()) {
		apart := strings.TrimSpace(line) == "" || line[0] == '\t' || line[0] == ' '
		switch text := b.String(); {
		case apart && text != "" && !strings.HasSuffix(text, "\n"):
			b.WriteByte('\n')
		case !apart && text != "" && !strings.HasSuffix(text, "\n"):
			b.WriteByte(' ')
		}
		if b.WriteString(strings.TrimSpace(line)); apart && strings.TrimSpace(line) != "" {
			b.WriteByte('\n')
		}
	}
	return b.String()
}

// describe adds the texts of a section's keys, and of all below it.
func (c *comments) describe(t *testing.T, section reflect.Type) {
	name := typeName(section)
	pkg, _, _ := strings.Cut(name, ".")
	own := map[string]string{} // the section's docs as they are
	previous := ""
	for _, f := range c.types[name].Fields.List {
		for _, ident := range f.Names {
			own[ident.Name] = flat(f.Doc) + flat(f.Comment)
			if own[ident.Name] == "" && regexp.MustCompile(`\b`+ident.Name+`\b`).MatchString(previous) {
				own[ident.Name] = previous
			}
			previous = own[ident.Name]
		}
	}
	var below []reflect.Type
	for field := range section.Fields() {
		if !field.IsExported() {
			continue
		}
		inner := field.Type
		if isSectionList(inner) {
			inner = inner.Elem()
		}
		key, text := name+"."+field.Name, own[field.Name]
		if isSection(inner) {
			below = append(below, inner)
			if c.tags[typeName(inner)] == "" && inner == field.Type {
				c.tags[typeName(inner)] = field.Tag.Get("mapstructure")
			}
			if !strings.Contains(text, field.Name) { // which says too little
				text = strings.TrimSpace(c.opening(c.docs[typeName(inner)], inner) + " " + text)
			}
		}
		if text == "" {
			text = c.first[pkg+"."+field.Name]
		}
		if text == "" {
			t.Errorf("%s has no comment", key)
		}
		c.texts[key] = c.spell(text, section)
		c.users[typeName(field.Type)] = append(c.users[typeName(field.Type)], section)
	}
	for _, inner := range below {
		c.describe(t, inner)
	}
}

// describeWords adds the texts of words that mean the same wherever they may stand:
// in one key.
func (c *comments) describeWords() {
	for of, words := range c.words {
		for _, w := range words {
			if users := c.users[of]; len(users) == 1 {
				c.texts[of+"."+w.value] = c.spell(w.doc, users[0])
			}
		}
	}
}

// opening lets a type's doc begin without the type's name where no key has it.
func (c *comments) opening(doc string, of reflect.Type) string {
	rest, found := strings.CutPrefix(doc, of.Name()+" ")
	if !found || c.tags[typeName(of)] != "" {
		return doc
	}
	return string(unicode.ToUpper(rune(rest[0]))) + rest[1:]
}

var names = regexp.MustCompile(`\b[A-Z]\w*(\.[A-Z]\w*)?\b`)

// spell writes Go's names as a file has them, and the log: fields and sections as
// their keys, constants as their words.
func (c *comments) spell(text string, section reflect.Type) string {
	pkg, _, _ := strings.Cut(typeName(section), ".")
	return names.ReplaceAllStringFunc(text, func(name string) string {
		if value := c.values[pkg+"."+name]; value != "" && name != strings.ToUpper(name) {
			return value
		}
		for _, cause := range policies.Causes() {
			if strings.EqualFold(name, strings.ReplaceAll(cause.String(), "_", "")) {
				return cause.String()
			}
		}
		if field, ok := section.FieldByName(name); ok {
			return field.Tag.Get("mapstructure")
		}
		of, field, dotted := strings.Cut(name, ".")
		for _, pkg := range []string{"config", "policies", "dialects"} {
			tag := c.tags[pkg+"."+of]
			if tag == "" {
				continue
			}
			if !dotted {
				return tag
			}
			for _, f := range c.types[pkg+"."+of].Fields.List {
				if len(f.Names) > 0 && f.Names[0].Name == field {
					return tag + "." + reflect.StructTag(strings.Trim(f.Tag.Value, "`")).Get("mapstructure")
				}
			}
		}
		return name
	})
}
