package config

import (
	"net/url"
	"reflect"
	"strings"
	"time"

	"wswarden/policies"
)

// Settings returns all keys of a policy and their values as a file has them, such as
// "30s" and "64KiB", defaults filled in; a section is a map[string]any, and a list a
// []any. What may be secret is left out: user, password and query of the webhook's URL.
func Settings(p *policies.Policy) map[string]any {
	shown := *p
	shown.Release.Webhook.URL = withoutSecrets(p.Release.Webhook.URL)
	return setting(reflect.ValueOf(shown)).(map[string]any)
}

func setting(value reflect.Value) any {
	switch t := value.Type(); {
	case isSection(t):
		section := map[string]any{}
		for field, value := range value.Fields() {
			section[field.Tag.Get("mapstructure")] = setting(value)
		}
		return section
	case t.Kind() == reflect.Slice:
		list := make([]any, value.Len())
		for i := range list {
			list[i] = setting(value.Index(i))
		}
		return list
	case t == durationType:
		return duration(time.Duration(value.Int()))
	case t.Kind() == reflect.Int64:
		return size(value.Int())
	case t.Kind() == reflect.String:
		return value.String() // which is no longer of a type of its own
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

// withoutSecrets is empty for what is not a URL: nobody can tell what of it is secret.
func withoutSecrets(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}).String()
}
