package policies_test

import (
	"testing"
	"unicode/utf8"

	"wswarden/policies"
)

// A 403 does not go away by itself; what does has a 429 for the one who asks too
// much, or a 503 where others do. Under RefuseWithClose a client is to try again
// later unless it is its own to change something.
func TestRefusals(t *testing.T) {
	t.Parallel()
	want := []struct {
		refusal policies.Refusal
		name    string
		status  int
		code    uint16
		limit   policies.Limit
	}{
		{policies.RefusedOrigin, "origin", 403, 1008, policies.NoLimit},
		{policies.RefusedIdentity, "identity", 403, 1008, policies.NoLimit},
		{policies.RefusedIPRate, "per_ip_rate", 429, 1013, policies.LimitHandshakesPerIPRate},
		{policies.RefusedTotalRate, "total_rate", 503, 1013, policies.LimitHandshakesTotalRate},
		{policies.RefusedMax, "max", 503, 1013, policies.LimitConnectionsMax},
		{policies.RefusedPerIP, "per_ip", 429, 1008, policies.LimitConnectionsPerIP},
		{policies.RefusedPerIdentity, "per_identity", 429, 1008, policies.LimitConnectionsPerIdentity},
		{policies.RefusedTakeover, "takeover", 503, 1013, policies.NoLimit},
		{policies.RefusedSuperseded, "superseded", 429, 1008, policies.NoLimit},
		{policies.RefusedStore, "store", 503, 1013, policies.NoLimit},
		{policies.RefusedPressure, "pressure", 503, 1013, policies.NoLimit},
	}
	all := policies.Refusals()
	if len(all) != len(want) {
		t.Fatalf("%d refusals, want %d: %v", len(all), len(want), all)
	}
	for i, w := range want {
		r := w.refusal
		if all[i] != r || r.String() != w.name || r.Status() != w.status || r.CloseCode() != w.code || r.Limit() != w.limit {
			t.Errorf("%s: %d, %d and %q, want %s: %d, %d and %q", r, r.Status(), r.CloseCode(), r.Limit(), w.name, w.status, w.code, w.limit)
		}
		if !policies.ValidCloseCode(r.CloseCode()) {
			t.Errorf("%s: code %d may not be sent", r, r.CloseCode())
		}
		// RFC 6455 §5.5: a close frame has room for 123 bytes behind its code.
		if reason := r.Reason(); reason == "" || len(reason) > 123 || !utf8.ValidString(reason) {
			t.Errorf("%s: the reason %q cannot be sent", r, reason)
		}
	}
	if name := policies.NotRefused.String(); name != "" {
		t.Errorf("what is admitted is refused as %q", name)
	}
}
