package config

import (
	"fmt"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

func (v *validator) origins(key string, patterns []string) {
	for i, pattern := range patterns {
		if !policies.ValidOrigin(pattern) {
			v.wrong(fmt.Sprintf("%s[%d]", key, i), "%s is not a pattern of origins; write one such as https://example.com, https://*.example.com or http://localhost:*", plain(pattern))
		}
	}
}

func (v *validator) handshakes(key string, h policies.Handshakes) {
	if h.Burst > 0 && h.PerIPRate == 0 && !v.problems.cover(key+".per_ip_rate") {
		v.wrong(key+".burst", "%v has no effect without a rate; write per_ip_rate, or remove it", h.Burst)
	}
	if h.TotalBurst > 0 && h.TotalRate == 0 && !v.problems.cover(key+".total_rate") {
		v.wrong(key+".total_burst", "%v has no effect without a rate; write total_rate, or remove it", h.TotalBurst)
	}
}

// connections checks that what is limited can be told apart.
func (v *validator) connections(policy string, c *Config, p policies.Policy, d *dialects.Dialect) {
	limits, key := p.Connections, policy+".connections"
	for _, part := range []struct {
		name string
		n    int
	}{{"per_ip", limits.PerIP}, {"per_identity", limits.PerIdentity}} {
		if limits.Max > 0 && part.n > limits.Max {
			v.wrong(key+"."+part.name, "%v has no effect, as max is %v; write less, or remove it", part.n, v.other(key+".max", limits.Max))
		}
	}

	from := key + ".identity.from"
	switch id := limits.Identity; id.From {
	case "":
		if !v.problems.cover(from) {
			v.noIdentity(key, limits)
		}
	case policies.FromMessage:
		v.messageIdentity(policy, p, d)
	case policies.FromCertificate:
		v.certificateIdentity(policy, c, p)
	default:
		v.partName(key+".identity.name", string(id.From), id.Name)
	}
}

// noIdentity checks that nothing depends on one.
func (v *validator) noIdentity(key string, c policies.Connections) {
	if c.PerIdentity > 0 {
		v.wrong(key+".per_identity", "%v has no effect without an identity; write identity.from: query, header, cookie, certificate or message, or remove it", c.PerIdentity)
	}
	if c.Identity.Required {
		v.wrong(key+".identity.required", "%v would refuse everybody, as no identity is looked for; write from: query, header, cookie or certificate, or remove it", c.Identity.Required)
	}
	if c.Identity.Name != "" {
		v.wrong(key+".identity.name", "%s has no effect without from; write from: query, header, cookie or certificate, or remove it", plain(c.Identity.Name))
	}
}

func (v *validator) messageIdentity(policy string, p policies.Policy, d *dialects.Dialect) {
	id, key := p.Connections.Identity, policy+".connections.identity"
	switch {
	case p.Dialect == "" && !v.problems.cover(policy+".dialect"):
		v.wrong(key+".from", "%s needs a dialect, which tells how clients say who they are; write dialect: and its name into the policy, or use query, header or cookie", id.From)
	case d != nil && !d.Identifies(): // of nil, something is told already
		v.wrong(key+".from", "%s cannot be done: dialect %s has no rule for identify; add one, or use query, header or cookie", id.From, v.other(policy+".dialect", plain(p.Dialect)))
	}
	if id.Name != "" {
		v.wrong(key+".name", "%s has no effect with from: message, as the dialect knows where the identity is; remove it", plain(id.Name))
	}
	if id.Required {
		v.wrong(key+".required", "%v cannot be done, as no handshake has an identity that comes in a message; use from: query, header, cookie or certificate, or remove it and set first_message.timeout", id.Required)
	}
}

func (v *validator) certificateIdentity(policy string, c *Config, p policies.Policy) {
	id, key := p.Connections.Identity, policy+".connections.identity"
	parts := public(strings.Join(policies.CertificateParts, ", "))
	if id.Name == "" {
		v.wrong(key+".name", "is missing; write which part of the certificate it is, one of %s", parts)
	} else if !slices.Contains(policies.CertificateParts, id.Name) {
		v.wrong(key+".name", "%s is not a part of a certificate that is known; use one of %s", plain(id.Name), parts)
	}
	asks := func(l Listener) bool {
		return l.TLS.ClientCA != "" && (len(p.Match.Listener) == 0 || slices.Contains(p.Match.Listener, l.Known()))
	}
	if !slices.ContainsFunc(c.Listeners, asks) && !v.follows("listeners", policy+".match.listener") {
		v.wrong(key+".from", "%s cannot be done, as no listener that the policy's clients come by asks for one; write tls.client_ca into one, or use query, header or cookie", id.From)
	}
}

// partName checks what the part of a request is called in which something is looked for.
func (v *validator) partName(key, from, name string) {
	part, ok := map[string]struct {
		what, example public
		valid         func(name string) bool
	}{
		"query":  {"query parameter", "token", isParameter},
		"header": {"header", "X-User", isToken},
		"cookie": {"cookie", "session", isToken}, // RFC 6265 §4.1.1
	}[from]
	switch {
	case !ok: // which is told
	case name == "":
		v.wrong(key, "is missing; write the name of the %s, such as %s", part.what, part.example)
	case !part.valid(name):
		v.wrong(key, "%s is not the name of a %s; write one such as %s", plain(name), part.what, part.example)
	case from == "header" && slices.Contains(ofConnection, strings.ToLower(name)):
		v.wrong(key, "%s is about the connection to wswarden, and goes no further; use another header", plain(name))
	}
}

// ofConnection are headers, by their names in small letters, that upstream does not get,
// and in which nothing is looked for: RFC 9110 §7.6.1.
var ofConnection = []string{"connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "upgrade", "x-wswarden-session"}

// isToken reports whether text may name a header: RFC 9110 §5.6.2.
func isToken(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool {
		letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("!#$%&'*+-.^_`|~", r)
	})
}

// isParameter reports whether text may be what a query's parameter is called, once
// it is decoded. What would have to be encoded is possible, but most likely a slip.
func isParameter(text string) bool {
	return utf8.ValidString(text) && !strings.ContainsAny(text, "?&=#%+;") &&
		!strings.ContainsFunc(text, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) })
}
