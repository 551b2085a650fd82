package policies_test

import (
	"net"
	"net/netip"
	"net/url"
	"strings"
	"testing"

	"wswarden/policies"
)

// Whatever is sent, an origin is admitted only if what net/url takes it for is an
// origin, with the host of the handshake or one that the pattern is for.
func FuzzOriginsAdmits(f *testing.F) {
	for _, seed := range [][3]string{
		{"https://example.com", "example.com:8443", "https://example.org"},
		{"https://a.example.com", "app", "*.example.com"},
		{"https://example.com@evil.org", "example.com", "example.com"},
		{"https://example.com.evil.org:80", "example.com.", "https://*.example.com:*"},
		{"http://[::1]:3000", "[0::1]:80", "http://[::1]:*"},
		{"chrome-extension://abc", "[", "chrome-extension://*"},
		{"http://localhost:443", "", "localhost:443"},
		{`https://evil.org\.example.com`, "a:b@c", "*.example.com"},
		{"null", "null", "null"},
		{"https://a https://b", "b", "b"},
		{"http://0", "0:[", "1"},
	} {
		f.Add(seed[0], seed[1], seed[2])
	}
	f.Fuzz(func(t *testing.T, origin, host, pattern string) {
		allow := policies.Origins{Allow: []string{pattern}}
		admits := allow.Admits(origin, host)
		if admits != (policies.Origins{}.Admits(origin, host) || allow.Admits(origin)) {
			t.Errorf("origin %q is admitted neither for host %q nor for pattern %q, but for both", origin, host, pattern)
		}
		if want := origin != "" && allow.Admits(origin); selects(policies.Match{Origin: allow.Allow}, "", "", origin) != want {
			t.Errorf("origin %q, pattern %q: selected %v, admitted %v", origin, pattern, !want, want)
		}
		if !admits || origin == "" || pattern == "*" || pattern == "null" && origin == "null" {
			return
		}
		if scheme, ok := strings.CutSuffix(origin, "://"); ok && strings.EqualFold(pattern, origin) && scheme != "" {
			return // an application's files
		}
		u, err := url.Parse(origin)
		if err != nil {
			t.Fatalf("origin %q is admitted: %v", origin, err)
		}
		if only := (url.URL{Scheme: u.Scheme, Host: u.Host}); u.Host == "" || *u != only || !strings.HasSuffix(origin, "://"+u.Host) {
			t.Fatalf("origin %q is admitted, with more parts than an origin has: %#v", origin, u)
		}
		name, _, err := net.SplitHostPort(host)
		if err != nil {
			name = host
		}
		if canonical(u.Hostname()) != canonical(name) && !isFor(pattern, u) {
			t.Errorf("origin %q is admitted, for host %q and pattern %q", origin, host, pattern)
		}
	})
}

// isFor reads a pattern as an URL.
func isFor(pattern string, u *url.URL) bool {
	pattern, anyPort := strings.CutSuffix(pattern, ":*")
	schemed := strings.Contains(pattern, "://")
	if !schemed {
		pattern = u.Scheme + "://" + pattern
	}
	p, err := url.Parse(pattern)
	if err != nil || p.Scheme != u.Scheme || !anyPort && portOf(u, p.Port()) != portOf(u, u.Port()) {
		return false
	}
	host, want := canonical(u.Hostname()), canonical(p.Hostname())
	if below, ok := strings.CutPrefix(want, "*."); ok {
		_, rest, ok := strings.Cut(host, ".")
		for ; ok; _, rest, ok = strings.Cut(rest, ".") {
			if rest == below {
				return true
			}
		}
		return false
	}
	return want == "*" || host == want
}

func portOf(u *url.URL, port string) string {
	if port != "" {
		return port
	}
	return map[string]string{"https": "443", "wss": "443", "http": "80", "ws": "80"}[u.Scheme]
}

func canonical(host string) string {
	host = strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")
	if addr, err := netip.ParseAddr(host); err == nil {
		return addr.String()
	}
	return strings.TrimSuffix(strings.ToLower(host), ".")
}
