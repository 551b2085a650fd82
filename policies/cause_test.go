package policies_test

import (
	"testing"

	"wswarden/policies"
)

// The table of causes, as the design has it. A code of 0: what the peer has sent
// is passed on.
func TestCauses(t *testing.T) {
	t.Parallel()
	want := []struct {
		cause            policies.Cause
		name             string
		client, upstream uint16
	}{
		{policies.ClientClose, "client_close", 0, 0},
		{policies.UpstreamClose, "upstream_close", 0, 0},
		{policies.ClientLost, "client_lost", 1001, 1001}, // there is no client left to be told
		{policies.UpstreamLost, "upstream_lost", 1014, 1001},
		{policies.HeartbeatTimeout, "heartbeat_timeout", 1001, 1001},
		{policies.UpstreamTimeout, "upstream_timeout", 1014, 1001},
		{policies.IdleTimeout, "idle", 1001, 1001},
		{policies.NoFirstMessage, "first_message", 1001, 1001},
		{policies.MaxAge, "max_age", 1012, 1001},
		{policies.Stalled, "stalled", 1008, 1001},
		{policies.SubscriptionLimit, "subscription_limit", 1008, 1001},
		{policies.MessageRate, "message_rate", 1008, 1001},
		{policies.MessageTooBig, "message_too_big", 1009, 1001},
		{policies.InvalidUTF8, "invalid_utf8", 1007, 1001},
		{policies.ProtocolError, "protocol_error", 1002, 1001},
		{policies.Superseded, "superseded", 1008, 1001},
		{policies.ConnectionLimit, "connection_limit", 1008, 1001},
		{policies.Killed, "killed", 1008, 1001},
		{policies.Drain, "drain", 1012, 1001},
	}
	all := policies.Causes()
	if len(all) != len(want) {
		t.Fatalf("%d causes, want %d: %v", len(all), len(want), all)
	}
	for i, w := range want {
		client, upstream := w.cause.Codes()
		if all[i] != w.cause || w.cause.String() != w.name || client != w.client || upstream != w.upstream {
			t.Errorf("%s: %d to the client, %d to upstream; want %s: %d, %d", w.cause, client, upstream, w.name, w.client, w.upstream)
		}
		for _, code := range []uint16{client, upstream} {
			if code != 0 && !policies.ValidCloseCode(code) {
				t.Errorf("%s: code %d may not be sent", w.cause, code)
			}
		}
	}
	if policies.NoCause.String() != "" {
		t.Errorf("a session that lives has the cause %q", policies.NoCause)
	}
}

// RFC 6455 §7.4 and the WebSocket Close Code Number Registry.
func TestValidCloseCode(t *testing.T) {
	t.Parallel()
	valid := func(code uint16) bool {
		switch code {
		case 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014:
			return true
		}
		return code >= 3000 && code <= 4999
	}
	for code := range 1 << 16 {
		if got, want := policies.ValidCloseCode(uint16(code)), valid(uint16(code)); got != want {
			t.Errorf("code %d: %v, want %v", code, got, want)
		}
	}
}
