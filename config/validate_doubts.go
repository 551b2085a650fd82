package config

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"time"

	"wswarden/policies"
)

// doubt returns what a file is wrong to say although it could be done: what has no
// effect, or not the one that whoever wrote it must have had in mind. Validate does
// not ask for it.
//
// Every default may be written down: none of them is in doubt by itself.
func (c *Config) doubt(known Problems, from Places) Problems {
	v := validator{slices.Clip(known), c.written, from}
	v.sockets(c)
	v.edges(c)
	v.order(c.Policies)
	for i, p := range c.Policies {
		key := fmt.Sprintf("policies[%d]", i)
		v.beat(key+".heartbeat", p.Heartbeat.Interval, p.Heartbeat.Timeout, policies.Default().Heartbeat.Timeout)
		v.beat(key+".upstream_heartbeat", p.UpstreamHeartbeat.Interval, p.UpstreamHeartbeat.Timeout, policies.Default().UpstreamHeartbeat.Timeout)
		v.ages(key, p)
		v.sizes(key, p)
		v.paces(key+".handshakes", p.Handshakes)
		v.excesses(key, p)
		v.observers(key, p)
		if slices.Contains(p.Subscriptions.Deny, "*") {
			v.wrong(fmt.Sprintf("%s.subscriptions.deny[%d]", key, slices.Index(p.Subscriptions.Deny, "*")), "%s denies every topic; write fewer, or allow: with those that are meant", "*")
		}
		v.unused(key+".release.webhook", p.Release.Webhook)
	}
	return v.problems[len(known):]
}

// follows reports whether a problem of one of the keys is known, from which another
// would only follow.
func (v *validator) follows(keys ...string) bool {
	return slices.ContainsFunc(keys, func(key string) bool { return v.problems.cover(key) || v.problems.touch(key) })
}

// order finds policies that no handshake meets, as those above them take them all.
func (v *validator) order(list []policies.Policy) {
	var above []int // of which the match is known
	for j, p := range list {
		key := fmt.Sprintf("policies[%d].match", j)
		if v.follows(key) {
			continue
		}
		covers := func(i int) bool { return list[i].Match.Covers(&p.Match) }
		if at := slices.IndexFunc(above, covers); at < 0 {
			above = append(above, j)
		} else {
			first, what := above[at], public("all of it; move this policy above that one")
			if p.Match.Covers(&list[first].Match) {
				what = "the same; write another match, or one policy instead of both"
			}
			name := v.other(fmt.Sprintf("policies[%d].name", first), plain(list[first].Name))
			v.wrong(key, "selects nothing, as %s (%s) comes first and selects %s", v.item("policies", first), name, what)
		}
	}
}

// sockets finds addresses of which only one can be listened on, and an upstream that
// is wswarden itself.
func (v *validator) sockets(c *Config) {
	admin := socketOf("tcp", c.Admin.Address)
	sockets := make([]socket, len(c.Listeners))
	for i, l := range c.Listeners {
		sockets[i] = l.socket()
		key := fmt.Sprintf("listeners[%d].address", i)
		for j, other := range c.Listeners[:i] {
			if overlap(sockets[i], sockets[j]) && !v.follows(fmt.Sprintf("listeners[%d].address", j)) {
				v.wrong(key, "%s and %s, %s, cannot both be listened on; remove one", l.Address, v.item("listeners", j), v.listener(j, other))
			}
		}
		if overlap(admin, sockets[i]) && !v.follows(key) {
			v.wrong("admin.address", "%s and %s, %s, cannot both be listened on; use another port", c.Admin.Address, v.item("listeners", i), v.listener(i, l))
		}
	}
	for i, text := range c.Upstream.Servers() {
		key := "upstream.url"
		if c.Upstream.URL == "" {
			key = fmt.Sprintf("upstream.urls[%d]", i)
		}
		s, _ := ServerOf(text)
		server := s.socket()
		for i, l := range c.Listeners {
			if overlap(server, sockets[i]) && !v.follows(fmt.Sprintf("listeners[%d].address", i)) {
				v.wrong(key, "%s is reached at %s, %s, of wswarden itself; change one of them", plain(text), v.item("listeners", i), v.listener(i, l))
			}
		}
		if overlap(server, admin) && !v.follows("admin.address") {
			v.wrong(key, "%s is admin.address of wswarden itself; change one of them", plain(text))
		}
	}
}

func (v *validator) listener(i int, l Listener) public {
	return v.other(fmt.Sprintf("listeners[%d].address", i), l.Address)
}

// overlap reports whether what is sent to one socket may reach the other. Names
// other than localhost are not looked up.
func overlap(a, b socket) bool {
	if a.network != "tcp" || b.network != "tcp" {
		return a == b
	}
	hostA, portA, errA := net.SplitHostPort(a.address)
	hostB, portB, errB := net.SplitHostPort(b.address)
	if errA != nil || errB != nil || portA != portB || strings.Trim(portA, "0") == "" {
		return false
	}
	if strings.EqualFold(hostA, hostB) {
		return true
	}
	ipA, ipB := ipOf(hostA), ipOf(hostB)
	own := func(ip netip.Addr) bool { return ip.IsLoopback() || ip.IsUnspecified() }
	return own(ipA) && own(ipB) && (ipA == ipB || ipA.IsUnspecified() || ipB.IsUnspecified()) &&
		(ipA.Is4() == ipB.Is4() || ipA == netip.IPv6Unspecified() || ipB == netip.IPv6Unspecified())
}

// ipOf is not valid for a name. No host at all is every interface, as :: is.
func ipOf(host string) netip.Addr {
	switch {
	case host == "":
		return netip.IPv6Unspecified()
	case strings.EqualFold(host, "localhost"):
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	ip, _ := netip.ParseAddr(host)
	return ip.Unmap()
}

func (v *validator) beat(key string, interval, timeout, usual time.Duration) {
	switch {
	case v.follows(key+".interval", key+".timeout") || timeout == usual || timeout <= 0:
	case interval <= 0:
		v.wrong(key+".timeout", "%s has no effect without pings; write an interval such as 30s, or remove it", duration(timeout))
	case timeout > interval:
		v.wrong(key+".timeout", "%s is longer than the interval, and no ping is sent while one waits for its answer; write %s or less, or a longer interval", duration(timeout), v.other(key+".interval", duration(interval)))
	}
}

// ages finds limits of time that another one leaves nothing to.
func (v *validator) ages(key string, p policies.Policy) {
	age := p.Lifetime.Max
	for _, rule := range []struct {
		key string
		d   time.Duration
	}{{key + ".idle.timeout", p.Idle.Timeout}, {key + ".first_message.timeout", p.FirstMessage.Timeout}} {
		if age > 0 && rule.d >= age && !v.follows(key+".lifetime.max") {
			v.wrong(rule.key, "%s has no effect, as lifetime.max ends sessions at %s; write less, or a longer lifetime", duration(rule.d), v.other(key+".lifetime.max", duration(age)))
		}
	}
}

// sizes finds a limit on messages that their reading has a narrower one for.
func (v *validator) sizes(key string, p policies.Policy) {
	most, read := p.Messages.MaxBytes, p.Inspect.MaxBytes
	if p.Reads() && p.Inspect.Oversize == policies.OversizeClose && most > read && !v.follows(key+".inspect", key+".dialect") {
		v.wrong(key+".messages.max_bytes", "%s has no effect, as messages are read and none may be longer than inspect.max_bytes, %s; write less, or a larger inspect.max_bytes", size(most), v.other(key+".inspect.max_bytes", size(read)))
	}
}

func (v *validator) paces(key string, h policies.Handshakes) {
	if h.TotalRate > 0 && h.PerIPRate > h.TotalRate && !v.follows(key+".total_rate") {
		v.wrong(key+".per_ip_rate", "%v has no effect, as total_rate is %v; write less, or a higher total_rate", h.PerIPRate, v.other(key+".total_rate", h.TotalRate))
	}
	if h.TotalBurst > 0 && h.Burst > h.TotalBurst && !v.follows(key+".total_burst") {
		v.wrong(key+".burst", "%v has no effect, as total_burst is %v; write less, or a larger total_burst", h.Burst, v.other(key+".total_burst", h.TotalBurst))
	}
}

// excesses finds what is to become of what exceeds limits that there are not.
func (v *validator) excesses(key string, p policies.Policy) {
	s, c := p.Subscriptions, p.Connections
	for _, rule := range []struct {
		section  string
		got, def policies.Excess
		limited  bool
		limits   public
	}{
		{"messages", p.Messages.OnExcess, policies.ExcessClose, p.Messages.Limited(), "rate: or bytes_per_second:"},
		{"connections", c.OnExcess, policies.ExcessReject, c.Max > 0 || c.PerIP > 0 || c.PerIdentity > 0, "max:, per_ip: or per_identity:"},
		{"subscriptions", s.OnExcess, policies.ExcessReject, s.Max > 0 || s.MaxPerTopic > 0 || len(s.Allow) > 0 || len(s.Deny) > 0, "max:, max_per_topic:, allow: or deny:"},
	} {
		if rule.got != rule.def && !rule.limited && !v.follows(key+"."+rule.section) {
			v.wrong(key+"."+rule.section+".on_excess", "%s has no effect without a limit; write %s, or remove it", plain(string(rule.got)), rule.limits)
		}
	}
}

func (v *validator) unused(key string, w policies.Webhook) {
	usual := policies.Default().Release.Webhook
	if w.URL != "" || v.follows(key) {
		return
	}
	if w.Timeout != usual.Timeout {
		v.wrong(key+".timeout", "%s has no effect without a url; write one such as https://example.com/sessions, or remove it", duration(w.Timeout))
	}
	if w.Attempts != usual.Attempts {
		v.wrong(key+".attempts", "%v has no effect without a url; write one such as https://example.com/sessions, or remove it", w.Attempts)
	}
}
