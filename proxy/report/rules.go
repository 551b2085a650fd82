package report

import (
	"bytes"
	"encoding/json"
	"strings"

	"wswarden/policies"
)

// rule is one that a report tells of.
type rule struct {
	key string
	// hits are sets as a Record has them: who has met any of it has hit the rule.
	hits Record
	// needs is what the rule bounds; noMeasure: that cannot be told.
	needs Measure
	mode  func(p *policies.Policy) policies.Mode
	// setting as in a configuration, empty if the rule is off; nil: the key's.
	setting func(p *policies.Policy, keys settings) string
}

const noMeasure = Measures

// rules that a report tells of, in its order.
var rules = []rule{
	{key: "subscriptions.max", hits: limit(policies.LimitSubscriptionsMax), needs: Subscriptions, mode: ofSubscriptions},
	{key: "subscriptions.max_per_topic", hits: limit(policies.LimitSubscriptionsMaxPerTopic), needs: noMeasure, mode: ofSubscriptions},
	{key: "subscriptions.allow", hits: limit(policies.LimitSubscriptionsAllow), needs: noMeasure, mode: ofSubscriptions, setting: topics},
	{key: "messages.rate", hits: limit(policies.LimitMessagesRate), needs: MessagesInSecond, mode: ofMessages},
	{key: "messages.bytes_per_second", hits: limit(policies.LimitMessagesBytesPerSecond), needs: BytesInSecond, mode: ofMessages},
	{key: "messages.max_bytes", hits: limit(policies.LimitMessagesMaxBytes), needs: MessageBytes, mode: ofMessages},
	{key: "messages.validate_utf8", hits: cause(policies.InvalidUTF8), needs: noMeasure, mode: ofMessages},
	{key: "inspect.max_bytes", hits: limit(policies.LimitInspectMaxBytes), needs: noMeasure, mode: ofInspect, setting: inspected},
	{key: "connections.max", hits: refusal(policies.RefusedMax), needs: OfPolicy, mode: ofConnections},
	{key: "connections.per_ip", hits: refusal(policies.RefusedPerIP), needs: OfAddress, mode: ofConnections},
	{key: "connections.per_identity", hits: refusal(policies.RefusedPerIdentity), needs: OfIdentity, mode: ofConnections},
	{key: "connections.identity.required", hits: refusal(policies.RefusedIdentity), needs: noMeasure, mode: ofConnections},
	{key: "handshakes.per_ip_rate", hits: refusal(policies.RefusedIPRate), needs: noMeasure, mode: ofHandshakes},
	{key: "handshakes.total_rate", hits: refusal(policies.RefusedTotalRate), needs: noMeasure, mode: ofHandshakes},
	{key: "origins.allow", hits: refusal(policies.RefusedOrigin), needs: noMeasure, mode: ofOrigins, setting: origins},
	{key: "first_message.timeout", hits: cause(policies.NoFirstMessage), needs: FirstMessage, mode: ofFirstMessage},
	{key: "idle.timeout", hits: cause(policies.IdleTimeout), needs: Silence, mode: ofIdle},
	{key: "lifetime.max", hits: cause(policies.MaxAge), needs: Age, mode: ofLifetime},
	{key: "stall.timeout", hits: cause(policies.Stalled), needs: noMeasure, mode: ofStall},
	{key: "heartbeat", hits: cause(policies.HeartbeatTimeout), needs: noMeasure, mode: ofHeartbeat, setting: heartbeat},
	{key: "upstream_heartbeat", hits: cause(policies.UpstreamTimeout), needs: noMeasure, mode: ofUpstreamHeartbeat, setting: upstreamHeartbeat},
	{key: "protocol", hits: cause(policies.ProtocolError), needs: noMeasure, mode: ofPolicy, setting: standard},
}

func cause(c policies.Cause) Record { return Record{Causes: 1 << c} }
func limit(l policies.Limit) Record { return Record{Limits: 1 << l} }

// refusal has the limit, too, by which a handshake was refused: one that gave way to
// a newer session, or told its identity later, has met that only.
func refusal(r policies.Refusal) Record {
	hits := Record{Refusals: 1 << r}
	if l := r.Limit(); l != policies.NoLimit {
		hits.Limits = 1 << l
	}
	return hits
}

func ofPolicy(*policies.Policy) policies.Mode              { return "" }
func ofOrigins(p *policies.Policy) policies.Mode           { return p.Origins.Mode }
func ofHandshakes(p *policies.Policy) policies.Mode        { return p.Handshakes.Mode }
func ofConnections(p *policies.Policy) policies.Mode       { return p.Connections.Mode }
func ofHeartbeat(p *policies.Policy) policies.Mode         { return p.Heartbeat.Mode }
func ofUpstreamHeartbeat(p *policies.Policy) policies.Mode { return p.UpstreamHeartbeat.Mode }
func ofFirstMessage(p *policies.Policy) policies.Mode      { return p.FirstMessage.Mode }
func ofIdle(p *policies.Policy) policies.Mode              { return p.Idle.Mode }
func ofLifetime(p *policies.Policy) policies.Mode          { return p.Lifetime.Mode }
func ofStall(p *policies.Policy) policies.Mode             { return p.Stall.Mode }
func ofMessages(p *policies.Policy) policies.Mode          { return p.Messages.Mode }
func ofInspect(p *policies.Policy) policies.Mode           { return p.Inspect.Mode }
func ofSubscriptions(p *policies.Policy) policies.Mode     { return p.Subscriptions.Mode }

// settings are those of a policy, as config.Settings has them.
type settings map[string]any

// text is the value of a key as a configuration has it; empty: it is off.
func (s settings) text(key string) string {
	var value any = map[string]any(s)
	for name := range strings.SplitSeq(key, ".") {
		value = value.(map[string]any)[name]
	}
	text := written(value)
	switch text {
	case "0", "0s", "[]", "false":
		return ""
	}
	return text
}

// written is YAML that is JSON, but for texts, which are as they are.
func written(value any) string {
	if text, is := value.(string); is {
		return text
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	_ = encoder.Encode(value) // a policy has nothing that cannot be
	return strings.TrimSpace(b.String())
}

func topics(_ *policies.Policy, keys settings) string {
	allow, deny := keys.text("subscriptions.allow"), keys.text("subscriptions.deny")
	switch {
	case deny == "":
		return allow
	case allow == "":
		return "deny: " + deny
	}
	return allow + ", deny: " + deny
}

func inspected(p *policies.Policy, keys settings) string {
	if !p.Reads() {
		return ""
	}
	return keys.text("inspect.max_bytes")
}

// origins are limited to the handshake's own host if the list is empty.
func origins(p *policies.Policy, keys settings) string {
	if p.Origins.Admits("null") && p.Origins.Admits("https://any.invalid") {
		return ""
	}
	return written(keys["origins"].(map[string]any)["allow"])
}

// Of a heartbeat that only observes nothing can be told: nobody is pinged.
func heartbeat(p *policies.Policy, keys settings) string {
	return beat(keys, "heartbeat", p.Observes(p.Heartbeat.Mode))
}

func upstreamHeartbeat(p *policies.Policy, keys settings) string {
	return beat(keys, "upstream_heartbeat", p.Observes(p.UpstreamHeartbeat.Mode))
}

func beat(keys settings, section string, observes bool) string {
	interval := keys.text(section + ".interval")
	if interval == "" || observes {
		return ""
	}
	return "{interval: " + interval + ", timeout: " + keys.text(section+".timeout") + "}"
}

func standard(*policies.Policy, settings) string { return "RFC 6455" }
