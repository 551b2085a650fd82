package policies_test

import (
	"testing"

	"wswarden/policies"
)

// A handshake of the page's own host is admitted, whatever the ports and schemes.
func TestOriginsOwnHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		origin string
		hosts  []string
		want   bool
	}{
		{"no origin: no browser", "", []string{"example.com"}, true},
		{"no origin and no host", "", nil, true},
		{"the same host", "https://example.com", []string{"example.com"}, true},
		{"another host", "https://example.org", []string{"example.com"}, false},
		{"no host to compare with", "https://example.com", nil, false},
		{"an empty host", "https://example.com", []string{""}, false},
		{"any of the hosts", "https://example.com", []string{"app:5000", "example.com"}, true},
		{"none of the hosts", "https://example.com", []string{"app:5000", "example.org"}, false},

		{"a port of the host", "https://example.com", []string{"example.com:8443"}, true},
		{"a port of the origin", "http://localhost:3000", []string{"localhost"}, true},
		{"an empty port of the host", "https://example.com", []string{"example.com:"}, true}, // RFC 3986 §3.2.3
		{"a port of the host that is none", "https://example.com", []string{"example.com:a"}, false},
		{"other ports", "http://localhost:3000", []string{"localhost:5000"}, true},
		{"another scheme", "http://example.com", []string{"example.com:443"}, true},
		{"a scheme of an application", "app://example.com", []string{"example.com"}, true},
		{"case of the origin", "HTTPS://Example.COM", []string{"example.com"}, true},
		{"case of the host", "https://example.com", []string{"EXAMPLE.com:80"}, true},
		{"a full name in the origin", "https://example.com.", []string{"example.com"}, true},
		{"a full name in the host", "https://example.com", []string{"example.com.:443"}, true},
		{"one dot more is another name", "https://example.com..", []string{"example.com"}, false},
		{"punycode as it is", "https://xn--bcher-kva.example", []string{"xn--bcher-kva.example"}, true},

		{"an IPv4 address", "http://127.0.0.1:3000", []string{"127.0.0.1:8080"}, true},
		{"another IPv4 address", "http://127.0.0.1", []string{"127.0.0.11"}, false},
		{"an IPv6 address", "http://[::1]:3000", []string{"[::1]"}, true},
		{"an IPv6 address with port", "http://[::1]", []string{"[::1]:8080"}, true},
		{"an IPv6 address, spelt differently", "http://[2001:db8::a]", []string{"[2001:DB8:0::000A]:80"}, true},
		{"another IPv6 address", "http://[::1]", []string{"[::2]"}, false},
		{"an IPv6 address that is none", "http://[::g]", []string{"[::g]"}, false},
		{"brackets without an end", "http://[::1", []string{"[::1"}, false},
		{"brackets around a name", "http://[a]", []string{"[a]"}, false},
		{"brackets around IPv4", "http://[127.0.0.1]", []string{"127.0.0.1"}, false},
		{"text behind brackets", "http://[::1]a", []string{"[::1]"}, false},
		{"a zone", "http://[fe80::1%25eth0]", []string{"[fe80::1%25eth0]"}, false},

		{"a longer name", "https://evilexample.com", []string{"example.com"}, false},
		{"a host below", "https://a.example.com", []string{"example.com"}, false},
		{"a host above", "https://example.com", []string{"a.example.com"}, false},
		{"the name as a label", "https://example.com.evil.org", []string{"example.com"}, false},
		{"the name as user", "https://example.com@evil.org", []string{"example.com"}, false},
		{"the name as user, with a port", "https://example.com:443@evil.org", []string{"example.com"}, false},
		{"a user", "https://evil@example.com", []string{"example.com"}, false},
		{"the name as path", "https://evil.org/example.com", []string{"example.com"}, false},
		{"a path", "https://example.com/", []string{"example.com"}, false},
		{"a query", "https://example.com?", []string{"example.com"}, false},
		{"a fragment", "https://evil.org#.example.com", []string{"example.com"}, false},
		{"a backslash", `https://evil.org\.example.com`, []string{"example.com"}, false},
		{"an escaped dot", "https://example%2Ecom", []string{"example.com"}, false},
		{"two origins", "https://example.com https://evil.org", []string{"example.com"}, false},
		{"two origins, the other way round", "https://evil.org https://example.com", []string{"example.com"}, false},
		{"two origins with a comma", "https://example.com, https://evil.org", []string{"example.com"}, false},
		{"a space before", " https://example.com", []string{"example.com"}, false},
		{"a space behind", "https://example.com ", []string{"example.com"}, false},
		{"a letter that folds to k", "https://\u212Aey.org", []string{"key.org"}, false},
		{"the same in the host", "https://key.org", []string{"\u212Aey.org"}, false},

		{"null", "null", []string{"example.com"}, false},
		{"null, and a host of that name", "null", []string{"null"}, false},
		{"a host named null", "http://null", []string{"null"}, true},
		{"no scheme", "example.com", []string{"example.com"}, false},
		{"an empty scheme", "://example.com", []string{"example.com"}, false},
		{"a scheme that is none", "1http://example.com", []string{"example.com"}, false},
		{"one slash", "https:/example.com", []string{"example.com"}, false},
		{"no host", "https://", []string{""}, false},
		{"only a dot", "https://.", []string{"."}, false},
		{"no port", "https://example.com:", []string{"example.com"}, false},
		{"a port that is none", "https://example.com:8a", []string{"example.com"}, false},
		{"a port too high", "https://example.com:65536", []string{"example.com"}, false},
		{"two ports", "https://example.com:80:80", []string{"example.com"}, false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := (policies.Origins{}).Admits(tt.origin, tt.hosts...); got != tt.want {
				t.Errorf("origin %q, hosts %q: %v, want %v", tt.origin, tt.hosts, got, tt.want)
			}
		})
	}
}

func TestOriginsAllow(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		admits  []string
		not     []string
	}{
		{"*",
			[]string{"https://example.com", "null", "app://x:1", "garbage", "https://a.org https://b.org"},
			nil},
		{"null",
			[]string{"null"},
			[]string{"Null", "http://null", "null null", "https://example.com"}},
		{"example.com",
			[]string{"https://example.com", "http://example.com", "app://example.com", "HTTPS://EXAMPLE.COM", "https://example.com:443", "http://example.com."},
			[]string{"https://example.com:8443", "http://example.com:443", "https://a.example.com", "https://evilexample.com", "https://example.com.evil.org", "https://example.com@evil.org", "null", "example.com"}},
		{"Example.Com.",
			[]string{"https://example.com"},
			[]string{"https://example.org"}},
		{"https://example.com",
			[]string{"https://example.com", "https://example.com:443", "HTTPS://example.com"},
			[]string{"http://example.com", "https://example.com:80", "https://example.com:8443", "wss://example.com", "httpss://example.com", "https://example.com/", "https://example.com https://example.com"}},
		{"https://example.com:443",
			[]string{"https://example.com", "https://example.com:443"},
			[]string{"http://example.com", "https://example.com:4433"}},
		{"example.com:443",
			[]string{"https://example.com", "http://example.com:443"},
			[]string{"http://example.com", "https://example.com:8443"}},
		{"http://localhost:3000",
			[]string{"http://localhost:3000"},
			[]string{"http://localhost", "http://localhost:30000", "http://localhost:300", "https://localhost:3000"}},
		{"http://localhost:*",
			[]string{"http://localhost", "http://localhost:3000", "http://localhost:80"},
			[]string{"https://localhost", "http://localhost:", "http://localhost:a", "http://localhost:1:2"}},
		{"localhost:*",
			[]string{"http://localhost", "https://localhost:3000"},
			[]string{"http://alocalhost:3000", "localhost:3000"}},
		{"https://*.example.com",
			[]string{"https://a.example.com", "https://a.b.example.com", "https://A.EXAMPLE.com", "https://a.example.com.", "https://xn--a.example.com"},
			[]string{"https://example.com", "https://.example.com", "http://a.example.com", "https://aexample.com", "https://a.example.com:8443", "https://a.example.com.evil.org", "https://a.example.org", "https://evil.org/.example.com", "https://evil.org#.example.com", "https://evil.org?.example.com", `https://evil.org\.example.com`, "https://evil.org:80.example.com", "https://u@a.example.com", "https://[::1].example.com"}},
		{"*.example.com:*",
			[]string{"https://a.example.com", "http://a.example.com:8080"},
			[]string{"http://example.com:8080"}},
		{"chrome-extension://abcdefghijklmnop",
			[]string{"chrome-extension://abcdefghijklmnop"},
			[]string{"chrome-extension://bcdefghijklmnopa", "moz-extension://abcdefghijklmnop", "https://abcdefghijklmnop"}},
		{"chrome-extension://*",
			[]string{"chrome-extension://abcdefghijklmnop", "chrome-extension://a"},
			[]string{"chrome-extension://", "chrome-extension://a:80", "https://a"}},
		{"https://*",
			[]string{"https://example.com", "https://[::1]"},
			[]string{"https://example.com:8443", "http://example.com", "null", "https://", "https://a/b"}},
		{"http://[::1]:*",
			[]string{"http://[::1]:3000", "http://[0:0:0:0:0:0:0:1]"},
			[]string{"http://[::2]:3000", "http://127.0.0.1:3000"}},
		{"http://127.0.0.1",
			[]string{"http://127.0.0.1"},
			[]string{"http://127.0.0.2"}},
		{"https://example.com/", nil, []string{"https://example.com", "https://example.com/"}}, // not a pattern
		{"", nil, []string{"https://example.com", "null"}},
	}
	for _, tt := range tests {
		for want, origins := range map[bool][]string{true: tt.admits, false: tt.not} {
			for _, origin := range origins {
				o := policies.Origins{Allow: []string{"https://other.org", tt.pattern}}
				if got := o.Admits(origin, "app.internal"); got != want {
					t.Errorf("pattern %q, origin %q: %v, want %v", tt.pattern, origin, got, want)
				}
			}
		}
	}
}

func TestValidOrigin(t *testing.T) {
	t.Parallel()
	valid := []string{
		"*", "null", "example.com", "localhost", "a_b.example", "example.com.", "example.com:8080", "example.com:*",
		"*.example.com", "*.example.com:*", "*:3000", "https://example.com", "HTTPS://Example.com:443", "https://*", "https://*:*",
		"https://*.example.com:8443", "chrome-extension://abcdefghijklmnop", "app://-", "[::1]", "http://[2001:db8::1]:80",
		"127.0.0.1", "xn--bcher-kva.example",
	}
	invalid := []string{
		"", " ", "https://", "://example.com", "https://example.com/", "https://example.com/path", "example.com/",
		"https://user@example.com", "https://example.com?", "https://example.com#", "https:example.com", "https:/example.com",
		"a*.example.com", "*example.com", "*.*.com", "a.*.com", "*.", "**", "*.[::1]", "h*ps://example.com", "*://example.com",
		"example.com:", "example.com:0", "example.com:080", "example.com:65536", "example.com:99999999999", "example.com:8*", "example.com:-1",
		"::1", "[::1", "[]", "[fe80::1%eth0]", "[127.0.0.1]", ".", "bücher.example", "example.com, example.org", "example.com example.org",
		"https://https://example.com", "1http://example.com",
	}
	for want, patterns := range map[bool][]string{true: valid, false: invalid} {
		for _, pattern := range patterns {
			if got := policies.ValidOrigin(pattern); got != want {
				t.Errorf("%q: %v, want %v", pattern, got, want)
			}
		}
	}
}

var allowed = policies.Origins{Allow: []string{"https://*.example.com", "http://localhost:*", "http://[::1]"}}

func TestOriginsAllocateNothing(t *testing.T) {
	for _, origin := range []string{"https://a.example.org", "https://a.example.com", "http://[::1]:80", "null"} {
		if n := testing.AllocsPerRun(100, func() { allowed.Admits(origin, "app.internal:5000", "[::2]:80") }); n != 0 {
			t.Errorf("%s: %v allocations", origin, n)
		}
	}
}

func BenchmarkOriginsAdmits(b *testing.B) {
	for name, origin := range map[string]string{
		"own":     "https://app.internal",
		"allowed": "http://localhost:3000",
		"refused": "https://evil.org",
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				allowed.Admits(origin, "app.internal:5000")
			}
		})
	}
}
