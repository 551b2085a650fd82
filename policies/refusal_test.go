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
	}{
		{policies.RefusedOrigin, "origin", 403, 1008},
		{policies.RefusedIdentity, "identity", 403, 1008},
		{policies.RefusedIPRate, "per_ip_rate", 429, 1013},
		{policies.RefusedTotalRate, "total_rate", 503, 1013},
		{policies.RefusedMax, "max", 503, 1013},
		{policies.RefusedPerIP, "per_ip", 429, 1008},
		{policies.RefusedPerIdentity, "per_identity", 429, 1008},
		{policies.RefusedTakeover, "takeover", 503, 1013},
		{policies.RefusedSuperseded, "superseded", 429, 1008},
		{policies.RefusedStore, "store", 503, 1013},
		{policies.RefusedPressure, "pressure", 503, 1013},
	}
	all := policies.Refusals()
	if len(all) != len(want) {
		t.Fatalf("%d refusals, want %d: %v", len(all), len(want), all)
	}
	for i, w := range want {
		r := w.refusal
		if all[i] != r || r.String() != w.name || r.Status() != w.status || r.CloseCode() != w.code {
			t.Errorf("%s: %d and %d, want %s: %d and %d", r, r.Status(), r.CloseCode(), w.name, w.status, w.code)
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
