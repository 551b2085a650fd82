package config

import (
	"slices"

	"wswarden/policies"
)

// rule is one that has a mode of its own.
type rule struct {
	section string
	mode    policies.Mode
	on      bool
	remedy  public // switches it on
}

// rulesOf are in the order of a policy's keys.
func rulesOf(p policies.Policy) []rule {
	h, c, m, s := p.Handshakes, p.Connections, p.Messages, p.Subscriptions
	return []rule{
		{"origins", p.Origins.Mode, !slices.Contains(p.Origins.Allow, "*"), "allow: without *"},
		{"handshakes", h.Mode, h.PerIPRate > 0 || h.TotalRate > 0, "per_ip_rate: or total_rate:"},
		{"connections", c.Mode, c.Max > 0 || c.PerIP > 0 || c.PerIdentity > 0 || c.Identity.Required, "max:, per_ip: or per_identity:"},
		{"heartbeat", p.Heartbeat.Mode, p.Heartbeat.Interval > 0, "an interval such as 30s"},
		{"upstream_heartbeat", p.UpstreamHeartbeat.Mode, p.UpstreamHeartbeat.Interval > 0, "an interval such as 30s"},
		{"first_message", p.FirstMessage.Mode, p.FirstMessage.Timeout > 0, "a timeout such as 10s"},
		{"idle", p.Idle.Mode, p.Idle.Timeout > 0, "a timeout such as 10m"},
		{"lifetime", p.Lifetime.Mode, p.Lifetime.Max > 0, "max: such as 12h"},
		{"stall", p.Stall.Mode, p.Stall.Timeout > 0, "a timeout such as 30s"},
		{"messages", m.Mode, m.MaxBytes > 0 || m.Limited() || m.ValidateUTF8, "max_bytes:, rate:, bytes_per_second: or validate_utf8:"},
		{"inspect", p.Inspect.Mode, p.Reads(), "dialect: or validate_utf8:"},
		{"subscriptions", s.Mode, s.Max > 0 || s.MaxPerTopic > 0 || len(s.Allow) > 0 || len(s.Deny) > 0, "max:, max_per_topic:, allow: or deny:"},
	}
}

// modes checks that no rule is to do more than its policy.
func (v *validator) modes(key string, p policies.Policy) {
	for _, rule := range rulesOf(p) {
		if p.Mode == policies.ModeObserve && rule.mode == policies.ModeEnforce && !v.problems.cover(key+".mode") {
			v.wrong(key+"."+rule.section+".mode", "%s cannot be done, as the policy observes; write mode: enforce for the policy, and observe for each rule that is to observe", rule.mode)
		}
	}
}

// observers finds rules that observe nothing.
func (v *validator) observers(key string, p policies.Policy) {
	for _, rule := range rulesOf(p) {
		if at := key + "." + rule.section; rule.mode == policies.ModeObserve && !rule.on && !v.follows(at) {
			v.wrong(at+".mode", "%s has no effect, as the rule is off; write %s, or remove it", rule.mode, rule.remedy)
		}
	}
}
