package config

import (
	"fmt"
	"net/netip"
)

// edges finds what is said of listeners and upstream, and has no effect.
func (v *validator) edges(c *Config) {
	usual := defaultListener().TLS
	for i, l := range c.Listeners {
		key, t := fmt.Sprintf("listeners[%d].tls", i), l.TLS
		if !t.On() && t.MinVersion != usual.MinVersion && t.MinVersion != "" && !v.follows(key) {
			v.wrong(key+".min_version", "%s has no effect without TLS; write cert and key, or remove it", t.MinVersion)
		}
		if t.ClientCA == "" && t.ClientAuth == AuthOptional && !v.follows(key) {
			v.wrong(key+".client_auth", "%s has no effect without client_ca, as clients are not asked for a certificate; write that, or remove it", t.ClientAuth)
		}
	}
	u, def := c.Upstream, defaultUpstream()
	if u.Breaker.Failures == 0 && u.Breaker.RetryAfter != def.Breaker.RetryAfter && !v.follows("upstream.breaker") {
		v.wrong("upstream.breaker.retry_after", "%s has no effect without failures; write a number such as 5 there, or remove it", duration(u.Breaker.RetryAfter))
	}
	v.unasked(u.Health, def.Health)
	if u.Sticky.From != "" && u.onlyOne() && !v.follows("upstream") {
		v.wrong("upstream.sticky.from", "%s has no effect, as there is one address only; write several in upstream.urls, or a name that has several, or remove it", u.Sticky.From)
	}
}

func (v *validator) unasked(h, usual Health) {
	const key, remedy = "upstream.health", " has no effect without a path; write one such as /healthz, or remove it"
	if h.Path != "" || v.follows(key) {
		return
	}
	if h.Interval != usual.Interval {
		v.wrong(key+".interval", "%s"+remedy, duration(h.Interval))
	}
	if h.Timeout != usual.Timeout {
		v.wrong(key+".timeout", "%s"+remedy, duration(h.Timeout))
	}
	if h.Failures != usual.Failures {
		v.wrong(key+".failures", "%v"+remedy, h.Failures)
	}
}

// onlyOne reports whether there is no more than one address, whatever names resolve to.
func (u Upstream) onlyOne() bool {
	servers := u.Servers()
	if len(servers) != 1 {
		return len(servers) == 0
	}
	s, _ := ServerOf(servers[0])
	_, err := netip.ParseAddrPort(s.Address)
	return s.Network == "unix" || err == nil
}
