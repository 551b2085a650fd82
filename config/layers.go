package config

import (
	"fmt"
	"maps"
	"reflect"
	"strings"

	"github.com/spf13/viper"
	"go.yaml.in/yaml/v3"
)

// fill sets the section's values: from the environment, else from settings,
// else as they are, which is the default.
func (r *reader) fill(path string, settings map[string]any, section reflect.Value) {
	layers := viper.New()
	for key, value := range leaves(section) {
		at := join(path, key)
		if isSectionList(value.Type()) {
			items, given := take(settings, key).([]any)
			r.fillList(at, items, given, value)
			continue
		}
		layers.SetDefault(key, value.Interface())
		if v := r.environment(at, value.Type()); v != nil {
			layers.Set(key, v)
		}
	}
	err := layers.MergeConfigMap(settings)
	if err == nil {
		err = layers.UnmarshalExact(section.Addr().Interface())
	}
	if err != nil { // keys and types were checked while reading
		r.problem(path, "cannot be decoded: %q", err)
	}
}

// take removes a key, which may be in a section, and returns its setting; nil if there is
// none.
func take(settings map[string]any, key string) any {
	section, rest, within := strings.Cut(key, ".")
	if within {
		inner, _ := settings[section].(map[string]any)
		return take(inner, rest)
	}
	value := settings[key]
	delete(settings, key)
	return value
}

// fillList fills each item, starting from the default list's first.
func (r *reader) fillList(path string, items []any, given bool, list reflect.Value) {
	if !given {
		if list.Len() == 0 {
			return
		}
		items = make([]any, list.Len())
	}
	filled := reflect.MakeSlice(list.Type(), len(items), len(items))
	for i, item := range items {
		settings, _ := item.(map[string]any)
		filled.Index(i).Set(firstItem(list))
		r.fill(fmt.Sprintf("%s[%d]", path, i), settings, filled.Index(i))
	}
	list.Set(filled)
}

// environment reads the key's variable; nil if it is not set, or not usable.
// A variable of which no key is known is no error: Kubernetes sets
// WSWARDEN_PORT and the like when a service has that name.
func (r *reader) environment(path string, t reflect.Type) any {
	if r.environ == nil {
		return nil
	}
	name := Variable(path)
	r.variables = append(r.variables, name)
	text, ok := r.environ(name)
	if !ok {
		return nil
	}
	r.inputs.add("variable", name, text)
	maps.DeleteFunc(r.places, func(key string, _ place) bool { return within(key, path) })
	maps.DeleteFunc(r.written, func(key string, _ asWritten) bool { return within(key, path) })
	r.places[path] = place{name: name}
	if t.Kind() == reflect.Slice {
		return r.environmentYAML(path, name, text, t)
	}
	v, problem := convert(text, text, t)
	if problem != "" {
		r.problem(path, "%s", problem)
		return nil
	}
	return v
}

func (r *reader) environmentYAML(path, name, text string, t reflect.Type) any {
	root, err := parse([]byte(text))
	if err != nil || root == nil {
		root = &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: text}
	}
	r.variable = name
	defer func() { r.variable = "" }()
	return r.value(path, root, t, nil)
}

var variables = strings.NewReplacer(".", "_", "[", "_", "]", "")

// Variable returns the environment variable for a key such as drain.timeout or
// policies[0].name.
func Variable(key string) string {
	return "WSWARDEN_" + strings.ToUpper(variables.Replace(key))
}

// namePolicies names those of several policies that were given no name.
func (r *reader) namePolicies(c *Config) {
	for i := range c.Policies {
		if _, named := r.places[fmt.Sprintf("policies[%d].name", i)]; !named && len(c.Policies) > 1 {
			c.Policies[i].Name = fmt.Sprintf("policy-%d", i+1)
		}
	}
}
