package config

import (
	"cmp"
	"fmt"
	"reflect"
	"slices"
)

// unchangeable are the keys, and sections, whose values a process keeps until its end.
var unchangeable = []string{"store", "tracing", "admin.address", "admin.hosts", "log.format"}

// compare adds a problem for each key that has another value than in current, and
// cannot change while wswarden runs. Of what it has been only a word of a few is told:
// anything else may have been a secret.
func (r *reader) compare(c, current *Config) {
	before := map[string]reflect.Value{}
	for key, value := range leaves(reflect.ValueOf(current).Elem()) {
		before[key] = value
	}
	known := slices.Clip(r.problems)
	for key, value := range leaves(reflect.ValueOf(c).Elem()) {
		fixed := slices.ContainsFunc(unchangeable, func(section string) bool { return within(key, section) })
		if !fixed || known.cover(key) || known.touch(key) || same(before[key], value) {
			continue
		}
		change := "change"
		switch shown := c.written.setting(key, value).(type) {
		case []any:
		case string:
			if _, expanded := c.written[key]; choices[key] != nil && !expanded {
				change += " from " + plain(before[key].String())
			}
			change += " to " + plain(shown)
		default:
			change += " to " + fmt.Sprint(shown)
		}
		r.problem(key, "cannot %s while wswarden runs; restart it", change)
	}
	r.compareListeners(c, current)
}

// compareListeners does so for the files of sockets, which are made with what is said of
// them. A listener is the same as long as its address is.
func (r *reader) compareListeners(c, current *Config) {
	before := map[socket]Listener{}
	for _, l := range current.Listeners {
		before[l.socket()] = l
	}
	for i, l := range c.Listeners {
		was, stays := before[l.socket()]
		if !stays {
			continue
		}
		for _, part := range []struct{ name, was, is string }{
			{"mode", cmp.Or(was.Mode, usualMode), cmp.Or(l.Mode, usualMode)}, {"owner", was.Owner, l.Owner}, {"group", was.Group, l.Group},
		} {
			if key := fmt.Sprintf("listeners[%d].%s", i, part.name); part.was != part.is && !r.problems.cover(key) {
				shown := c.written.setting(key, reflect.ValueOf(part.is)).(string)
				r.problem(key, "cannot change to %s while wswarden runs; restart it", plain(shown))
			}
		}
	}
}

// Changed returns the keys whose values differ, in the order of the types, but for what
// is in policies, dialects and listeners.
func Changed(before, after *Config) []string {
	keys := []string{}
	was := map[string]reflect.Value{}
	for key, value := range leaves(reflect.ValueOf(before).Elem()) {
		was[key] = value
	}
	for key, value := range leaves(reflect.ValueOf(after).Elem()) {
		if !isSectionList(value.Type()) && !same(was[key], value) {
			keys = append(keys, key)
		}
	}
	return keys
}

// same reports whether values are, as a file has them: an empty list is none.
func same(a, b reflect.Value) bool {
	return a.Kind() == reflect.Slice && a.Len() == 0 && b.Len() == 0 || reflect.DeepEqual(a.Interface(), b.Interface())
}
