package policies

import (
	"net/netip"
	"strings"
)

// Origins says from which pages' scripts a handshake is admitted. What is not a
// browser sends no Origin and is not concerned.
//
// Patterns of origins, here and in Match, are:
//
//	any origin                 *
//	that host, any scheme      example.com
//	that host and scheme       https://example.com
//	any host below it          https://*.example.com
//	that port                  http://localhost:3000
//	any port                   http://localhost:*
//	any host                   chrome-extension://*
//	an application's files     file://
//	pages of no origin         null
//
// A host below example.com is not example.com itself. Without a port, only the
// scheme's default port fits, as in a browser, where another port is another
// origin. Sandboxed frames and files have no origin; anybody can make such a page.
// Case is of no matter; names that are not ASCII are written as browsers send them
// (xn--…).
type Origins struct {
	// Allow lists patterns of origins beside the handshake's own host.
	Allow []string `mapstructure:"allow"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Admits reports whether a handshake with this Origin header is admitted, where
// hosts are the values of Host headers, perhaps with a port, under which the
// client may have asked. An empty origin is none.
//
// Of an origin and those, hosts are compared, but neither ports nor schemes:
// cookies, which are what a page of another site is after, know neither
// (RFC 6265 §8.5), and behind a proxy that ends TLS or changes the port both
// differ for the page's own handshakes.
func (o Origins) Admits(origin string, hosts ...string) bool {
	if origin == "" {
		return true
	}
	if own, ok := parseOrigin(origin); ok {
		for _, host := range hosts {
			name := withoutPort(host)
			if sameHost(own.host, name) && allDigits(strings.TrimPrefix(host[len(name):], ":")) {
				return true
			}
		}
	}
	return fitsOrigin(o.Allow, origin)
}

// ValidOrigin reports whether pattern is a pattern of origins.
func ValidOrigin(pattern string) bool {
	if pattern == "*" || pattern == "null" {
		return true
	}
	p, ok := splitOrigin(pattern)
	if !ok || strings.Contains(pattern, "://") && !validScheme(p.scheme) {
		return false
	}
	if p.port != "" && p.port != "*" && !validPort(p.port) {
		return false
	}
	if below, ok := strings.CutPrefix(p.host, "*."); ok {
		return validHost(below) && below[0] != '['
	}
	return p.hostless() || p.host == "*" || validHost(p.host)
}

// fitsOrigin reports whether one of the patterns fits.
func fitsOrigin(patterns []string, origin string) bool {
	if origin == "" || len(patterns) == 0 {
		return false
	}
	o, ok := parseOrigin(origin)
	for _, pattern := range patterns {
		if pattern == "*" || pattern == "null" && origin == "null" || ok && o.fits(pattern) {
			return true
		}
	}
	return false
}

// origin is a scheme, a host and a port (RFC 6454 §4), or a pattern of them. The
// scheme is empty only in a pattern, the port also where there is none.
type origin struct{ scheme, host, port string }

// parseOrigin parses what a browser sends. Lists of origins, "null", and whatever
// has more parts than an origin are none.
func parseOrigin(s string) (origin, bool) {
	o, ok := splitOrigin(s)
	if !ok || !validScheme(o.scheme) || !validHost(o.host) && !o.hostless() || o.port != "" && !validPort(o.port) {
		return origin{}, false
	}
	return o, true
}

// hostless reports whether an origin is that of a scheme alone, which has no hosts,
// such as an application's own: file:// or app://.
func (o origin) hostless() bool {
	return (o.host == "" || o.host == ".") && o.port == "" && o.scheme != "" && defaultPort(o.scheme) == ""
}

// splitOrigin checks nothing but that a port that is announced is there.
func splitOrigin(s string) (origin, bool) {
	scheme, host, ok := strings.Cut(s, "://")
	if !ok {
		scheme, host = "", s
	}
	bare := withoutPort(host)
	if bare == host {
		return origin{scheme: scheme, host: host}, true
	}
	port := host[len(bare)+1:]
	return origin{scheme, bare, port}, port != ""
}

// fits compares with a pattern other than "null"; one that is not valid never
// fits.
func (o origin) fits(pattern string) bool {
	if pattern == "null" || !ValidOrigin(pattern) {
		return false
	}
	p, _ := splitOrigin(pattern)
	if p.scheme != "" && !strings.EqualFold(p.scheme, o.scheme) {
		return false
	}
	standard := defaultPort(o.scheme)
	port := o.port
	if port == "" {
		port = standard
	}
	if p.port == "" {
		p.port = standard
	}
	if p.port != "*" && p.port != port {
		return false
	}
	if o.hostless() {
		return p.host == o.host
	}
	if p.host == "*" {
		return true
	}
	if below, ok := strings.CutPrefix(p.host, "*"); ok {
		return hostBelow(o.host, below)
	}
	return sameHost(o.host, p.host)
}

// defaultPort returns the port that browsers leave out of an origin. Empty: the
// scheme has none.
func defaultPort(scheme string) string {
	switch {
	case strings.EqualFold(scheme, "https"), strings.EqualFold(scheme, "wss"):
		return "443"
	case strings.EqualFold(scheme, "http"), strings.EqualFold(scheme, "ws"):
		return "80"
	}
	return ""
}

// sameHost compares hosts without ports. What is not a host is like no other.
func sameHost(a, b string) bool {
	if !validHost(a) || !validHost(b) {
		return false
	}
	if a[0] == '[' && b[0] == '[' {
		return address(a) == address(b)
	}
	return strings.EqualFold(undotted(a), undotted(b))
}

// hostBelow reports whether the valid host ends with below, which begins with a
// dot, and has something before it.
func hostBelow(host, below string) bool {
	host, below = undotted(host), undotted(below)
	n := len(host) - len(below)
	return n > 0 && strings.EqualFold(host[n:], below)
}

// undotted cuts off the dot with which a full name may end.
func undotted(host string) string { return strings.TrimSuffix(host, ".") }

// validScheme is RFC 3986 §3.1.
func validScheme(scheme string) bool {
	for i := range len(scheme) {
		switch c := scheme[i]; {
		case letter(c):
		case i > 0 && (digit(c) || c == '+' || c == '-' || c == '.'):
		default:
			return false
		}
	}
	return scheme != ""
}

// validHost allows names as browsers write them, and addresses. As they are
// ASCII, folding their case is safe.
func validHost(host string) bool {
	if strings.HasPrefix(host, "[") {
		return address(host).IsValid()
	}
	for i := range len(host) {
		if c := host[i]; !letter(c) && !digit(c) && c != '-' && c != '_' && c != '.' {
			return false
		}
	}
	return undotted(host) != ""
}

// address returns the IPv6 address in brackets, without a zone, as a browser has
// none in an origin; what is none is not valid.
func address(host string) netip.Addr {
	text, ok := strings.CutSuffix(host[1:], "]")
	if !ok || strings.IndexByte(text, '%') >= 0 {
		return netip.Addr{}
	}
	addr, err := netip.ParseAddr(text)
	if err != nil || !addr.Is6() {
		return netip.Addr{}
	}
	return addr
}

// validPort is a number from 1 to 65535, written as browsers do.
func validPort(port string) bool {
	if port == "" || len(port) > 5 || port[0] == '0' || !allDigits(port) {
		return false
	}
	return len(port) < 5 || port <= "65535"
}

func allDigits(s string) bool {
	for i := range len(s) {
		if !digit(s[i]) {
			return false
		}
	}
	return true
}

func letter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func digit(c byte) bool { return '0' <= c && c <= '9' }
