package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"regexp"
	"strings"
	"unicode/utf8"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

const (
	// maxInspected bounds what one message that is held back may take.
	maxInspected = 16 << 20
	// leastBytesPerSecond is about the least that lets messages pass: what is
	// below it has most likely lost its unit.
	leastBytesPerSecond = 1 << 10
)

func (v *validator) policies(c *Config) {
	if len(c.Policies) == 0 {
		v.wrong("policies", "is empty; add a policy, or remove the key for the default")
	}
	seen := map[string]int{}
	for i, p := range c.Policies {
		key := fmt.Sprintf("policies[%d]", i)
		if p.Name == "" {
			v.wrong(key+".name", "is empty; write a name, or remove the key for the default")
		} else if first, twice := seen[p.Name]; twice {
			v.wrong(key+".name", "%s is the name of %s already; use another", plain(p.Name), v.item("policies", first))
		} else {
			seen[p.Name] = i
		}
		v.match(key+".match", c, p.Match)
		v.modes(key, p)
		v.origins(key+".origins.allow", p.Origins.Allow)
		v.handshakes(key+".handshakes", p.Handshakes)
		if p.Heartbeat.Interval > 0 {
			v.aboveZero(key+".heartbeat.timeout", p.Heartbeat.Timeout, "10s")
		}
		if p.UpstreamHeartbeat.Interval > 0 {
			v.aboveZero(key+".upstream_heartbeat.timeout", p.UpstreamHeartbeat.Timeout, "10s")
		}
		v.messages(key, p)
		d := v.dialect(key+".dialect", c, p.Dialect)
		v.connections(key, c, p, d)
		v.subscriptions(key, c, p, d)
		v.release(key+".release", p.Release)
	}
}

func (v *validator) match(key string, c *Config, m policies.Match) {
	inner, _ := strings.CutSuffix(m.Path, "/**")
	switch {
	case m.Path == "":
	case m.Path[0] != '/':
		v.wrong(key+".path", "%s does not begin with /; write a path such as /chat/*", plain(m.Path))
	case strings.ContainsAny(m.Path, "?#"):
		v.wrong(key+".path", "%s has a query or fragment, which no path has; leave it out", plain(m.Path))
	case strings.Contains(inner, "**"):
		v.wrong(key+".path", "%s has ** that is not the whole last segment; use * for any text within one", plain(m.Path))
	case cleaned(m.Path) != m.Path:
		v.wrong(key+".path", "%s fits no path, as paths are compared decoded and cleaned; write %s", plain(m.Path), plain(pattern(cleaned(m.Path))))
	}
	v.origins(key+".origin", m.Origin)
	for i, host := range m.Host {
		name := strings.TrimPrefix(host, "*.")
		_, err := netip.ParseAddr(strings.Trim(name, "[]"))
		switch {
		case name == "" || strings.ContainsAny(name, "*/ "):
			v.wrong(fmt.Sprintf("%s.host[%d]", key, i), "%s is not a host; write one such as example.com or *.example.com", plain(host))
		case strings.Contains(name, ":") && (err != nil || name[0] != '['):
			v.wrong(fmt.Sprintf("%s.host[%d]", key, i), "%s has a port, or lacks brackets; write the host alone, such as example.com or [::1]", plain(host))
		}
	}
	for i, name := range m.Subprotocol {
		if !isToken(name) { // of which * may be part: RFC 6455 §4.1
			v.wrong(fmt.Sprintf("%s.subprotocol[%d]", key, i), "%s is not a pattern of subprotocols; write one such as graphql-*", plain(name))
		}
	}
	for i, h := range m.Header {
		v.matchedHeader(fmt.Sprintf("%s.header[%d]", key, i), h)
	}
	for i, name := range m.Listener {
		if !v.problems.touch("listeners") {
			v.listenerOf(fmt.Sprintf("%s.listener[%d]", key, i), name, c.Listeners)
		}
	}
}

// cleaned is what a request for such a path has when it is compared.
func cleaned(path string) string {
	var u fasthttp.URI // which requests are read with
	u.SetPath(path)
	return string(u.Path())
}

// unwritable are characters of a path that a pattern can have as a star only.
var unwritable = regexp.MustCompile(`\*?[?#]+\*?`)

// pattern is one that a path fits.
func pattern(path string) string {
	return unwritable.ReplaceAllString(strings.ToValidUTF8(path, "?"), "*")
}

// elsewhere are headers that match has other keys for, by their names in small letters,
// and those whose value is not the client's; for these there are none.
var elsewhere = map[string]string{
	"host": "match.host", "origin": "match.origin", "sec-websocket-protocol": "match.subprotocol",
	"x-forwarded-for": "", "x-forwarded-host": "", "x-forwarded-proto": "", "forwarded": "",
}

func (v *validator) matchedHeader(key string, h policies.HeaderMatch) {
	v.partName(key+".name", "header", h.Name)
	switch other, known := elsewhere[strings.ToLower(h.Name)]; {
	case !known:
	case other == "":
		v.wrong(key+".name", "%s is made by wswarden, or by proxies, whatever the client sends; use another header", plain(h.Name))
	default:
		v.wrong(key+".name", "%s has a key of its own; use %s", plain(h.Name), public(other))
	}
	control := func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }
	if strings.TrimSpace(h.Value) != h.Value || strings.ContainsFunc(h.Value, control) {
		v.wrong(key+".value", "%s is not a value that a header can have; write one line, without space around it", plain(h.Value))
	}
}

// messages checks what limits a client's messages and their reading.
func (v *validator) messages(policy string, p policies.Policy) {
	m, key := p.Messages, policy+".messages"
	if m.Burst > 0 && m.Rate == 0 && !v.problems.cover(key+".rate") {
		v.wrong(key+".burst", "%v has no effect without a rate; write one, or remove it", m.Burst)
	}
	if m.BytesPerSecond > 0 && m.BytesPerSecond < leastBytesPerSecond {
		v.wrong(key+".bytes_per_second", "%v lets hardly a message pass; write %s or more, or 0 for no limit",
			m.BytesPerSecond, public(size(leastBytesPerSecond)))
	}

	inspect := p.Inspect.MaxBytes
	if inspect <= 0 || inspect > maxInspected {
		v.wrong(policy+".inspect.max_bytes", "%v is out of range; write a size above 0, at most %s", inspect, public(size(maxInspected)))
	}
}

// subscriptions checks that what is limited can be counted, and undone.
func (v *validator) subscriptions(policy string, c *Config, p policies.Policy, d *dialects.Dialect) {
	s, key := p.Subscriptions, policy+".subscriptions"
	v.texts(key+".allow", s.Allow, "a pattern of topics")
	v.texts(key+".deny", s.Deny, "a pattern of topics")
	var limits []string
	for _, l := range []struct {
		name string
		set  bool
	}{{"max", s.Max > 0}, {"max_per_topic", s.MaxPerTopic > 0}, {"allow", len(s.Allow) > 0}, {"deny", len(s.Deny) > 0}} {
		if l.set {
			limits = append(limits, key+"."+l.name)
		}
	}
	switch {
	case p.Dialect == "" && !v.problems.cover(policy+".dialect"):
		for _, limit := range limits {
			v.wrong(limit, "has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it")
		}
	case d == nil: // which has a problem of its own
	case !d.Limits():
		for _, limit := range limits {
			v.wrong(limit, "has no effect: dialect %s has no rule for subscribe; add one, or remove it", v.other(policy+".dialect", plain(p.Dialect)))
		}
	case s.Max > 0 && s.OnExcess == policies.ExcessEvictOldest && !c.undoes(p.Dialect):
		v.wrong(key+".on_excess", "%s cannot be done: dialect %s has no rule for subscribe with an unsubscribe; add one, or use reject or close", s.OnExcess, v.other(policy+".dialect", plain(p.Dialect)))
	}
}

func (v *validator) release(key string, r policies.Release) {
	v.aboveZero(key+".grace", r.Grace, "2s")
	v.texts(key+".farewell", r.Farewell, "a text message")
	if r.Webhook.URL != "" {
		v.webhook(key+".webhook", r.Webhook)
	}
}

func (v *validator) webhook(key string, w policies.Webhook) {
	const example public = "https://example.com/sessions"
	shown := shownURL(key+".url", w.URL)
	u, err := url.Parse(w.URL)
	switch {
	case shown == "" || err != nil:
		v.wrong(key+".url", "is not an http:// or https:// URL (nor shown, as it may hold a key); write one such as %s", example)
	case u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "":
		v.wrong(key+".url", "%s is not an http:// or https:// URL; write one such as %s", plain(shown), example)
	case u.User != nil:
		v.wrong(key+".url", "%s has a user (not shown), which is not supported; leave it out", plain(shown))
	case !validPort(u.Port()):
		v.wrong(key+".url", "%s has no port from 1 to 65535; write one such as %s", plain(shown), example)
	}
	v.aboveZero(key+".timeout", w.Timeout, "2s")
	if w.Attempts == 0 {
		v.wrong(key+".attempts", "%v is not above zero; write how often to try, such as 5", w.Attempts)
	}
}

// texts checks that none in the list is empty, nor other than text.
func (v *validator) texts(key string, list []string, what string) {
	for i, text := range list {
		if text == "" || !utf8.ValidString(text) {
			v.wrong(fmt.Sprintf("%s[%d]", key, i), "%s is not %s; write one or remove it", shorten(text), public(what))
		}
	}
}
