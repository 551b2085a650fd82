package policies_test

import (
	"reflect"
	"strings"
	"testing"

	"wswarden/policies"
)

// A limit is called by the policy's key that sets it.
func TestLimits(t *testing.T) {
	t.Parallel()
	want := []string{
		"subscriptions.max", "subscriptions.max_per_topic", "subscriptions.allow",
		"messages.rate", "messages.bytes_per_second", "messages.max_bytes", "inspect.max_bytes",
		"connections.max", "connections.per_ip", "connections.per_identity",
		"handshakes.per_ip_rate", "handshakes.total_rate",
	}
	all := policies.Limits()
	if len(all) != len(want) {
		t.Fatalf("%d limits, want %d: %v", len(all), len(want), all)
	}
	for i, limit := range all {
		if limit.String() != want[i] {
			t.Errorf("limit %d is %s, want %s", i, limit, want[i])
		}
		if !hasKey(reflect.TypeFor[policies.Policy](), limit.String()) {
			t.Errorf("a policy has no key %s", limit)
		}
	}
	if name := policies.NoLimit.String(); name != "" {
		t.Errorf("no limit is called %q", name)
	}
}

// hasKey reports whether a configuration of this type has the key.
func hasKey(in reflect.Type, key string) bool {
	name, below, nested := strings.Cut(key, ".")
	for i := range in.NumField() {
		if field := in.Field(i); field.Tag.Get("mapstructure") == name {
			return !nested || hasKey(field.Type, below)
		}
	}
	return false
}
