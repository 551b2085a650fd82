package config

import (
	"fmt"
	"iter"
	"reflect"
	"slices"
	"strings"
)

// Key is a row of the README's table of keys.
type Key struct {
	// Name as in drain.timeout or policies[].heartbeat.interval.
	Name string
	// Type as a word, or the values that there are.
	Type string
	// Default as it is written in YAML; "required" if there is none.
	Default string
}

// choices are the keys that take one of a few words.
var choices = map[string][]string{
	"log.level":                            {"debug", "info", "warn", "error"},
	"log.format":                           {"json", "text"},
	"listeners[].tls.client_auth":          {AuthRequire, AuthOptional},
	"listeners[].tls.min_version":          {TLS12, TLS13},
	"upstream.proxy_protocol":              {ProxyV1, ProxyV2},
	"upstream.sticky.from":                 {StickyHeader, StickyCookie, StickyQuery},
	"store.kind":                           {"memory", "redis"},
	"store.on_failure":                     {"allow", "deny"},
	"policies[].mode":                      {"enforce", "observe"},
	"policies[].on_reload":                 {"keep", "enforce"},
	"policies[].refuse_with":               {"status", "close"},
	"policies[].connections.identity.from": {"query", "header", "cookie", "certificate", "message"},
	"policies[].connections.on_excess":     {"reject", "evict_oldest"},
	"policies[].heartbeat.liveness":        {"any", "pong"},
	"policies[].messages.on_excess":        {"close", "drop", "delay"},
	"policies[].inspect.oversize":          {"close", "forward"},
	"policies[].subscriptions.on_excess":   {"reject", "close", "evict_oldest"},
	"policies[].origins.mode":              {"enforce", "observe"},
	"policies[].handshakes.mode":           {"enforce", "observe"},
	"policies[].connections.mode":          {"enforce", "observe"},
	"policies[].heartbeat.mode":            {"enforce", "observe"},
	"policies[].upstream_heartbeat.mode":   {"enforce", "observe"},
	"policies[].first_message.mode":        {"enforce", "observe"},
	"policies[].idle.mode":                 {"enforce", "observe"},
	"policies[].lifetime.mode":             {"enforce", "observe"},
	"policies[].stall.mode":                {"enforce", "observe"},
	"policies[].messages.mode":             {"enforce", "observe"},
	"policies[].inspect.mode":              {"enforce", "observe"},
	"policies[].subscriptions.mode":        {"enforce", "observe"},
	"dialects[].form":                      {"json", "socket.io", "stomp"},
	"dialects[].records":                   {"one", "lines", "rs", "nul", "batch"},
	"dialects[].binary":                    {"read", "forward", "refuse"},
	"dialects[].keys":                      {"exact", "folded", "strict"},
	"dialects[].invalid":                   {"forward", "refuse"},
}

// optional are the choices that may also be left empty, which most are by default.
var optional = []string{
	"listeners[].tls.client_auth",
	"listeners[].tls.min_version",
	"upstream.proxy_protocol",
	"upstream.sticky.from",
	"policies[].connections.identity.from",
	"policies[].origins.mode",
	"policies[].handshakes.mode",
	"policies[].connections.mode",
	"policies[].heartbeat.mode",
	"policies[].upstream_heartbeat.mode",
	"policies[].first_message.mode",
	"policies[].idle.mode",
	"policies[].lifetime.mode",
	"policies[].stall.mode",
	"policies[].messages.mode",
	"policies[].inspect.mode",
	"policies[].subscriptions.mode",
}

// numeric are the keys whose text may look like a number: it needs no quotes.
var numeric = []string{"listeners[].mode", "listeners[].tls.min_version"}

// required are the keys without a default. upstream.urls may be there instead of
// upstream.url.
var required = []string{
	"upstream.url",
	"policies[].match.header[].name",
	"dialects[].name",
	"dialects[].subscribe[].topic",
	"dialects[].identify[].identity",
}

// Keys returns every key but those of dialects, in the order of the types.
func Keys() []Key {
	return slices.DeleteFunc(keys("", reflect.ValueOf(Default()).Elem()), isDialectKey)
}

// DialectKeys returns the keys of dialects, in the order of the types.
func DialectKeys() []Key {
	return keys("dialects[]", reflect.ValueOf(defaultDialect()))
}

func isDialectKey(k Key) bool { return within(k.Name, "dialects[]") }

func keys(path string, section reflect.Value) []Key {
	var all []Key
	for name, value := range leaves(section) {
		name = join(path, name)
		if isSectionList(value.Type()) {
			all = append(all, keys(name+"[]", firstItem(value))...)
			continue
		}
		key := Key{name, typeWord(value.Type()), fmt.Sprint(value)}
		if words := choices[name]; words != nil {
			key.Type = strings.Join(words, ", ")
		}
		switch {
		case slices.Contains(required, name):
			key.Default = "required"
		case name == "policies[].name":
			key.Default = "default, or policy-N of several"
		case key.Type == "size":
			key.Default = size(value.Int())
		case value.Type() == fieldsType:
			key.Default = "{}"
		case key.Default == "":
			key.Default = `""`
		}
		all = append(all, key)
	}
	return all
}

func typeWord(t reflect.Type) string {
	switch {
	case t == durationType:
		return "duration"
	case t == prefixType:
		return "network"
	case t == fieldsType:
		return "paths and values"
	case t == perSecondType:
		return "number"
	case t.Kind() == reflect.Slice:
		return "list of " + typeWord(t.Elem()) + "s"
	case t.Kind() == reflect.Int64:
		return "size"
	case t.Kind() == reflect.Int:
		return "count"
	case t.Kind() == reflect.Bool:
		return "true, false"
	case t.Kind() == reflect.Uint16:
		return "close code"
	case t.Kind() == reflect.Float64:
		return "0 to 1"
	default:
		return "text"
	}
}

// leaves yields each key of a section and its value, sections within it
// resolved (heartbeat.interval), lists whole.
func leaves(section reflect.Value) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for name, value := range fields(section) {
			if !isSection(value.Type()) {
				if !yield(name, value) {
					return
				}
				continue
			}
			for key, value := range leaves(value) {
				if !yield(name+"."+key, value) {
					return
				}
			}
		}
	}
}

// fields yields the keys of a section and what they have, in their order.
func fields(section reflect.Value) iter.Seq2[string, reflect.Value] {
	return func(yield func(string, reflect.Value) bool) {
		for field, value := range section.Fields() {
			if field.IsExported() && !yield(field.Tag.Get("mapstructure"), value) {
				return
			}
		}
	}
}

func isSection(t reflect.Type) bool {
	return t.Kind() == reflect.Struct && t != prefixType
}

func isSectionList(t reflect.Type) bool {
	return t.Kind() == reflect.Slice && t != fieldsType && isSection(t.Elem())
}

// firstItem is what an item of the list begins as: the default list's first, or
// that of a list which is empty by default.
func firstItem(list reflect.Value) reflect.Value {
	switch {
	case list.Len() > 0:
		return list.Index(0)
	case list.Type().Elem() == dialectType:
		return reflect.ValueOf(defaultDialect())
	default:
		return reflect.Zero(list.Type().Elem())
	}
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}

// suggest names the known key that is nearest to a wrong one, or all.
func suggest(wrong string, known []string) string {
	if near := nearest(strings.ToLower(wrong), known); near != "" {
		return "did you mean " + near + "?"
	}
	return "known here: " + strings.Join(known, ", ")
}

// nearest is empty if none is near.
func nearest(wrong string, known []string) string {
	best, least := "", min(2, (len(wrong)+1)/3)+1
	for _, name := range known {
		if d := distance(wrong, name, least); d < least {
			best, least = name, d
		}
	}
	return best
}

// distance counts the letters to insert, remove, replace or swap to make a
// into b, up to limit.
func distance(a, b string, limit int) int {
	switch {
	case limit <= 0 || a == b:
		return 0
	case a == "" || b == "":
		return min(limit, len(a)+len(b))
	case a[0] == b[0]:
		return distance(a[1:], b[1:], limit)
	}
	rest := min(
		distance(a[1:], b, limit-1),
		distance(a, b[1:], limit-1),
		distance(a[1:], b[1:], limit-1))
	if len(a) > 1 && len(b) > 1 && a[0] == b[1] && a[1] == b[0] {
		rest = min(rest, distance(a[2:], b[2:], limit-1))
	}
	return min(limit, 1+rest)
}
