package policies_test

import (
	"testing"

	"wswarden/policies"
)

// What only a message tells limits nothing at the handshake.
func TestConnectionsLimited(t *testing.T) {
	t.Parallel()
	query := policies.Identity{From: policies.FromQuery, Name: "token"}
	message := policies.Identity{From: policies.FromMessage}
	tests := []struct {
		name string
		c    policies.Connections
		want bool
	}{
		{"nothing", policies.Connections{}, false},
		{"what is done on excess limits nothing", policies.Connections{OnExcess: policies.ExcessEvictOldest, Identity: query}, false},
		{"all", policies.Connections{Max: 1}, true},
		{"an address", policies.Connections{PerIP: 1}, true},
		{"an identity", policies.Connections{PerIdentity: 1, Identity: query}, true},
		{"an identity in a message", policies.Connections{PerIdentity: 1, Identity: message}, false},
		{"that and an address", policies.Connections{PerIdentity: 1, PerIP: 1, Identity: message}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tt.c.Limited(); got != tt.want {
				t.Errorf("%v, want %v", got, tt.want)
			}
		})
	}
}
