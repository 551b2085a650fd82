package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"wswarden/policies/dialects"
)

var dialectType = reflect.TypeFor[dialects.Spec]()

// defaultDialect is what a dialect is where its text says nothing.
func defaultDialect() dialects.Spec {
	return dialects.Spec{
		Form:    dialects.JSON,
		Records: dialects.OneRecord,
		Binary:  dialects.BinaryRead,
		Keys:    dialects.KeysExact,
		Invalid: dialects.InvalidForward,
	}
}

// Builtins returns the names of the built-in dialects, sorted.
func Builtins() []string {
	files, _ := dialects.Files.ReadDir(".") // an embedded folder can be read
	var names []string
	for _, f := range files {
		names = append(names, strings.TrimSuffix(f.Name(), ".yaml"))
	}
	return names
}

// Builtin returns the built-in dialect of that name; false if there is none. The
// environment has no part in it.
func Builtin(name string) (dialects.Spec, bool) {
	text, err := dialects.Files.ReadFile(name + ".yaml")
	if err != nil {
		return dialects.Spec{}, false
	}
	r := &reader{file: name + ".yaml", places: Places{}}
	spec := defaultDialect()
	settings := map[string]any{}
	if r.settings(text, dialectType, settings) {
		r.fill("", settings, reflect.ValueOf(&spec).Elem())
	}
	if len(r.problems) > 0 {
		panic("built-in dialect: " + r.problems.Error()) // wrong in every process: tests read them all
	}
	return spec, true
}

// Dialect returns the dialect of that name, ready for use: the file's own, else
// the built-in one. It is nil for no name. Of a Config that is valid, every
// policy's dialect is there; the error says what is wrong with others.
func (c *Config) Dialect(name string) (*dialects.Dialect, error) {
	if name == "" {
		return nil, nil
	}
	spec, at, found := c.spec(name)
	if !found {
		return nil, fmt.Errorf("%s is not a known dialect; %s", plain(name), c.suggestDialect(name))
	}
	d, problems := compile(spec, at)
	if len(problems) > 0 {
		return nil, problems
	}
	return d, nil
}

// spec returns the dialect of that name and its key, which is its name for a
// built-in one.
func (c *Config) spec(name string) (spec dialects.Spec, key string, found bool) {
	for i, s := range c.Dialects {
		if s.Name == name {
			return s, fmt.Sprintf("dialects[%d]", i), true
		}
	}
	spec, found = Builtin(name)
	return spec, name, found
}

// suggestDialect is suggest, among those whose names may be shown.
func (c *Config) suggestDialect(name string) string {
	known := Builtins()
	for i, s := range c.Dialects {
		_, expanded := c.written[fmt.Sprintf("dialects[%d].name", i)]
		if s.Name != "" && !expanded && !slices.Contains(known, s.Name) {
			known = append(known, s.Name)
		}
	}
	return suggest(name, known)
}

// undoes reports whether the dialect has an unsubscribe for some of what it counts.
func (c *Config) undoes(dialect string) bool {
	spec, _, _ := c.spec(dialect)
	return slices.ContainsFunc(spec.Subscribe, func(r dialects.SubscribeRule) bool { return r.Unsubscribe != "" })
}

// oneLine keeps a problem in its line where its text repeats a template's.
var oneLine = strings.NewReplacer("\n", `\n`, "\r", `\r`)

// compile is dialects.Compile with problems that name keys below key.
func compile(spec dialects.Spec, key string) (*dialects.Dialect, Problems) {
	d, wrong := dialects.Compile(spec)
	var problems Problems
	for _, p := range wrong {
		for _, fields := range []string{".match.", ".capture."} {
			if rule, name, found := strings.Cut(p.Key, fields); found {
				p.Key = rule + fields + plain(name) // as it was read
				break
			}
		}
		problems = append(problems, Problem{Key: join(key, p.Key), Text: oneLine.Replace(p.Text)})
	}
	return d, problems
}

// dialects checks the file's own ones. What follows from a rule that could not be
// read is left out.
func (v *validator) dialects(list []dialects.Spec) {
	seen := map[string]int{}
	for i, spec := range list {
		key := fmt.Sprintf("dialects[%d]", i)
		if spec.Name == "" {
			v.wrong(key+".name", "is missing; write the name by which policies refer to the dialect")
		} else if first, twice := seen[spec.Name]; twice {
			v.wrong(key+".name", "%s is the name of %s already; use another", plain(spec.Name), v.item("dialects", first))
		} else {
			seen[spec.Name] = i
		}
		v.ranges(key, reflect.ValueOf(spec))
		known := slices.Clip(v.problems)
		_, problems := compile(spec, key)
		for _, p := range problems {
			if !known.cover(key+".form") && !known.touch(ruleOf(p.Key)) {
				v.wrong(p.Key, "%s", v.ofDialect(key, p.Text))
			}
		}
	}
}

// ofDialect is what is wrong with a dialect, as it may be shown: a text may have any
// of the dialect's values in it.
func (v *validator) ofDialect(key, text string) public {
	for at := range v.written {
		if within(at, key) {
			return "cannot be used; to be told what is wrong, write out what the dialect has as ${…}"
		}
	}
	return public(text)
}

// ruleOf cuts dialects[0].subscribe[0].topic down to the rule's own key.
func ruleOf(key string) string {
	parts := strings.SplitN(key, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// dialect returns a policy's dialect; nil if it has none, or one with a problem,
// which is told.
func (v *validator) dialect(key string, c *Config, name string) *dialects.Dialect {
	if name == "" {
		return nil
	}
	spec, at, found := c.spec(name)
	if !found {
		if !v.nameless(c.Dialects) {
			known := name
			if _, expanded := v.written[key]; expanded {
				known = "" // which nothing is near to
			}
			v.wrong(key, "%s is not a known dialect; %s", plain(name), public(c.suggestDialect(known)))
		}
		return nil
	}
	d, problems := dialects.Compile(spec)
	if len(problems) > 0 || v.problems.touch(at) {
		return nil
	}
	return d
}

// nameless reports whether the name of some dialect could not be read.
func (v *validator) nameless(list []dialects.Spec) bool {
	if v.problems.cover("dialects") {
		return true
	}
	for i := range list {
		if v.problems.cover(fmt.Sprintf("dialects[%d].name", i)) {
			return true
		}
	}
	return false
}
