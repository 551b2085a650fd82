package policies_test

import (
	"testing"

	"wswarden/policies"
)

func TestMatchPath(t *testing.T) {
	t.Parallel()
	tests := []struct {
		pattern string
		fits    []string
		not     []string
	}{
		{"", []string{"/", "/a", "/a/b", ""}, nil},
		{"/", []string{"/"}, []string{"/a", "//", ""}},
		{"/a", []string{"/a"}, []string{"/", "/A", "/ab", "/a/", "/a/b", "a"}},
		{"/a/", []string{"/a/"}, []string{"/a", "/a/b"}},
		{"/**", []string{"/", "/a", "/a/b/c", "//"}, nil},
		{"/a/**", []string{"/a", "/a/", "/a/b", "/a/b/c"}, []string{"/", "/b", "/ab", "/A/b"}},
		{"/a/b/**", []string{"/a/b", "/a/b/c"}, []string{"/a", "/a/c"}},
		{"/*", []string{"/", "/a"}, []string{"/a/b", "/a/"}},
		{"/*/b", []string{"/a/b", "//b"}, []string{"/b", "/a/c", "/a/b/c"}},
		{"/a*", []string{"/a", "/ab"}, []string{"/b", "/a/b"}},
		{"/a*b", []string{"/ab", "/axb", "/abb"}, []string{"/a", "/abc", "/a/b"}},
		{"/a*b*c", []string{"/abc", "/axbxc", "/abbcc"}, []string{"/acb", "/ab", "/abcd"}},
		{"/*/x/**", []string{"/a/x", "/a/x/y/z"}, []string{"/x", "/a/y"}},
	}
	for _, tt := range tests {
		for want, paths := range map[bool][]string{true: tt.fits, false: tt.not} {
			for _, path := range paths {
				if got := (policies.Match{Path: tt.pattern}).Fits("any", path, ""); got != want {
					t.Errorf("pattern %q, path %q: %v, want %v", tt.pattern, path, got, want)
				}
			}
		}
	}
}

func TestMatchHost(t *testing.T) {
	t.Parallel()
	tests := []struct {
		hosts []string
		fits  []string
		not   []string
	}{
		{nil, []string{"example.com", "", "[::1]:80"}, nil},
		{[]string{"example.com"}, []string{"example.com", "EXAMPLE.com", "example.com:8080"}, []string{"", "a.example.com", "example.org", "example.com.org"}},
		{[]string{"Example.COM"}, []string{"example.com"}, []string{"example"}},
		{[]string{"*.example.com"}, []string{"a.example.com", "a.b.example.com:80", "A.Example.Com"}, []string{"example.com", ".example.com", "aexample.com", "a.example.org"}},
		{[]string{"a.org", "b.org"}, []string{"a.org", "b.org"}, []string{"c.org"}},
		{[]string{"[::1]"}, []string{"[::1]", "[::1]:8080"}, []string{"::1", "[::2]"}},
		{[]string{"127.0.0.1"}, []string{"127.0.0.1", "127.0.0.1:80"}, []string{"127.0.0.2"}},
	}
	for _, tt := range tests {
		for want, hosts := range map[bool][]string{true: tt.fits, false: tt.not} {
			for _, host := range hosts {
				if got := (policies.Match{Host: tt.hosts}).Fits(host, "/", ""); got != want {
					t.Errorf("hosts %q, host %q: %v, want %v", tt.hosts, host, got, want)
				}
			}
		}
	}
}

func TestMatchOrigin(t *testing.T) {
	t.Parallel()
	tests := []struct {
		origins []string
		fits    []string
		not     []string
	}{
		{nil, []string{"", "https://a.org", "null", "garbage"}, nil},
		{[]string{"https://a.org"}, []string{"https://a.org"}, []string{"", "https://b.org", "null"}},
		{[]string{"https://a.org", "*.b.org"}, []string{"https://a.org", "http://x.b.org"}, []string{"", "https://b.org"}},
		{[]string{"null"}, []string{"null"}, []string{"", "https://a.org"}},
		{[]string{"*"}, []string{"null", "https://a.org"}, []string{""}},
	}
	for _, tt := range tests {
		for want, origins := range map[bool][]string{true: tt.fits, false: tt.not} {
			for _, origin := range origins {
				if got := (policies.Match{Origin: tt.origins}).Fits("a.org", "/", origin); got != want {
					t.Errorf("origins %q, origin %q: %v, want %v", tt.origins, origin, got, want)
				}
			}
		}
	}
}

// All parts that are present must fit.
func TestMatchAll(t *testing.T) {
	t.Parallel()
	m := policies.Match{Path: "/a", Host: []string{"h"}, Origin: []string{"o"}}
	for _, tt := range []struct {
		host, path, origin string
		want               bool
	}{
		{"h", "/a", "http://o", true},
		{"h", "/b", "http://o", false},
		{"g", "/a", "http://o", false},
		{"h", "/a", "http://p", false},
	} {
		if got := m.Fits(tt.host, tt.path, tt.origin); got != tt.want {
			t.Errorf("%s%s from %s: %v, want %v", tt.host, tt.path, tt.origin, got, tt.want)
		}
	}
}
