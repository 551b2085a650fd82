package config

import (
	"fmt"
	"reflect"
	"strings"
	"time"
)

// Settings returns all keys of Policies[i] and their values as a file has them, such as
// "30s" and "64KiB", defaults filled in; a section is a map[string]any, and a list a
// []any. What may be secret is left out: user, password and query of the webhook's URL.
// A value that ${…} is part of is shown as it is written.
func (c *Config) Settings(i int) map[string]any {
	return c.written.setting(fmt.Sprintf("policies[%d]", i), reflect.ValueOf(c.Policies[i])).(map[string]any)
}

// Shown returns the value of a key that is in no list, such as upstream.url, as
// Settings shows those of policies.
func (c *Config) Shown(key string) any {
	for name, value := range leaves(reflect.ValueOf(c).Elem()) {
		if name == key {
			return c.written.setting(key, value)
		}
	}
	return nil
}

// writings are how values are written that ${…} is part of, by key.
type writings map[string]asWritten

type asWritten struct {
	text string
	cut  bool // what is secret is left out
}

// setting is the value of the key as it may be shown, which is as a file has it.
func (w writings) setting(key string, value reflect.Value) any {
	if w, expanded := w[key]; expanded {
		return w.text
	}
	switch t := value.Type(); {
	case isSection(t):
		section := map[string]any{}
		for name, value := range fields(value) {
			section[name] = w.setting(join(key, name), value)
		}
		return section
	case t.Kind() == reflect.Slice:
		list := make([]any, value.Len())
		for i := range list {
			list[i] = w.setting(fmt.Sprintf("%s[%d]", key, i), value.Index(i))
		}
		return list
	case t == durationType:
		return duration(time.Duration(value.Int()))
	case t.Kind() == reflect.Int64:
		return size(value.Int())
	case isSecretURL(key):
		return literal(shownURL(key, value.String()))
	case t.Kind() == reflect.String:
		return literal(value.String()) // which is no longer of a type of its own
	case t.Kind() == reflect.Float64:
		return value.Float()
	default:
		return value.Interface()
	}
}

// duration writes one as people do: 2h, not 2h0m0s.
func duration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
