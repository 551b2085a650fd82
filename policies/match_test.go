package policies_test

import (
	"net/http"
	"slices"
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
				if got := selects(policies.Match{Path: tt.pattern}, "any", path, ""); got != want {
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
		{[]string{"example.com"}, []string{"example.com.", "example.com.:80"}, []string{"example.com..", "a.example.com."}},
		{[]string{"example.com."}, []string{"example.com", "example.com."}, []string{"a.example.com"}},
		{[]string{"*.example.com"}, []string{"a.example.com", "a.b.example.com:80", "A.Example.Com", "a.example.com."}, []string{"example.com", ".example.com", "aexample.com", "a.example.org"}},
		{[]string{"a.org", "b.org"}, []string{"a.org", "b.org"}, []string{"c.org"}},
		{[]string{"[::1]"}, []string{"[::1]", "[::1]:8080"}, []string{"::1", "[::2]"}},
		{[]string{"127.0.0.1"}, []string{"127.0.0.1", "127.0.0.1:80"}, []string{"127.0.0.2"}},
	}
	for _, tt := range tests {
		for want, hosts := range map[bool][]string{true: tt.fits, false: tt.not} {
			for _, host := range hosts {
				if got := selects(policies.Match{Host: tt.hosts}, host, "/", ""); got != want {
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
				if got := selects(policies.Match{Origin: tt.origins}, "a.org", "/", origin); got != want {
					t.Errorf("origins %q, origin %q: %v, want %v", tt.origins, origin, got, want)
				}
			}
		}
	}
}

func TestMatchSubprotocol(t *testing.T) {
	t.Parallel()
	tests := []struct {
		patterns  []string
		fits, not [][]string // what clients ask for
	}{
		{nil, [][]string{nil, {"chat"}}, nil},
		{[]string{"chat"}, [][]string{{"chat"}, {"other", "chat"}}, [][]string{nil, {"Chat"}, {"chat2"}, {"other"}}},
		{[]string{"graphql-*", "a"}, [][]string{{"graphql-ws"}, {"graphql-"}, {"a"}, {"b", "graphql-transport-ws"}}, [][]string{nil, {"graphql"}, {"b"}}},
		{[]string{"*"}, [][]string{{"chat"}}, [][]string{nil}},
	}
	for _, tt := range tests {
		m := policies.Match{Subprotocol: tt.patterns}
		for want, asked := range map[bool][][]string{true: tt.fits, false: tt.not} {
			for _, names := range asked {
				if got := m.Fits(&policies.Request{Subprotocols: names}); got != want {
					t.Errorf("patterns %q, client %q: %v, want %v", tt.patterns, names, got, want)
				}
			}
		}
	}
}

func TestMatchHeader(t *testing.T) {
	t.Parallel()
	type header = policies.HeaderMatch
	tests := []struct {
		headers   []header
		fits, not []http.Header
	}{
		{nil, []http.Header{nil, {"X-A": {"a"}}}, nil},
		{[]header{{Name: "x-a"}}, []http.Header{{"X-A": {"a"}}, {"X-A": {""}}}, []http.Header{nil, {"X-B": {"a"}}}},
		{[]header{{Name: "X-A", Value: "a*"}}, []http.Header{{"X-A": {"a"}}, {"X-A": {"b", "ab"}}}, []http.Header{nil, {"X-A": {"A"}}, {"X-A": {"ba"}}, {"X-A": {}}}},
		{[]header{{Name: "X-A", Value: "*"}}, []http.Header{{"X-A": {"a"}}, {"X-A": {""}}}, []http.Header{nil}},
		{[]header{{Name: "X-A", Value: "a"}, {Name: "X-B"}}, []http.Header{{"X-A": {"a"}, "X-B": {"b"}}}, []http.Header{{"X-A": {"a"}}, {"X-B": {"b"}}, {"X-A": {"b"}, "X-B": {"a"}}}},
		{[]header{{Name: "X-A", Value: "a*"}, {Name: "X-A", Value: "*b"}}, []http.Header{{"X-A": {"ab"}}, {"X-A": {"a", "b"}}}, []http.Header{{"X-A": {"a"}}}},
	}
	for _, tt := range tests {
		m := policies.Match{Header: tt.headers}
		for want, all := range map[bool][]http.Header{true: tt.fits, false: tt.not} {
			for _, h := range all {
				if got := m.Fits(&policies.Request{Header: h.Values}); got != want {
					t.Errorf("%v, headers %v: %v, want %v", tt.headers, h, got, want)
				}
			}
		}
	}
}

func TestMatchListener(t *testing.T) {
	t.Parallel()
	m := policies.Match{Listener: []string{"front", "127.0.0.1:8080"}}
	for name, want := range map[string]bool{"front": true, "127.0.0.1:8080": true, "Front": false, "back": false, "": false} {
		if got := m.Fits(&policies.Request{Listener: name}); got != want {
			t.Errorf("by %q: %v, want %v", name, got, want)
		}
	}
	if !new(policies.Match).Fits(new(policies.Request)) {
		t.Error("a match without listeners does not fit")
	}
}

// selects reports whether a match fits a request that says no more than this.
func selects(m policies.Match, host, path, origin string) bool {
	return m.Fits(&policies.Request{Host: host, Path: path, Origin: origin, Header: func(string) []string { return nil }})
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
		if got := selects(m, tt.host, tt.path, tt.origin); got != tt.want {
			t.Errorf("%s%s from %s: %v, want %v", tt.host, tt.path, tt.origin, got, tt.want)
		}
	}
}

// A part that does not fit is named as its key.
func TestMatchMisfits(t *testing.T) {
	t.Parallel()
	m := policies.Match{Path: "/a", Host: []string{"h"}, Origin: []string{"o"}}
	for _, tt := range []struct {
		host, path, origin string
		want               []string
	}{
		{"h", "/a", "http://o", nil},
		{"h", "/b", "http://o", []string{"path"}},
		{"g", "/a", "http://o", []string{"host"}},
		{"h", "/a", "", []string{"origin"}},
		{"g", "/b", "null", []string{"path", "host", "origin"}},
	} {
		if got := m.Misfits(&policies.Request{Host: tt.host, Path: tt.path, Origin: tt.origin}); !slices.Equal(got, tt.want) {
			t.Errorf("%s%s from %s: %q, want %q", tt.host, tt.path, tt.origin, got, tt.want)
		}
	}
	m = policies.Match{Subprotocol: []string{"s"}, Header: []policies.HeaderMatch{{Name: "h"}}, Listener: []string{"l"}}
	r := policies.Request{Header: func(string) []string { return nil }}
	if got, want := m.Misfits(&r), []string{"subprotocol", "header", "listener"}; !slices.Equal(got, want) {
		t.Errorf("nothing said: %q, want %q", got, want)
	}
	if got := new(policies.Match).Misfits(new(policies.Request)); got != nil {
		t.Errorf("a match without parts: %q", got)
	}
}

// Each row says which matches leave nothing to the one behind them.
func TestMatchCovers(t *testing.T) {
	t.Parallel()
	type match = policies.Match
	path := func(p string) match { return match{Path: p} }
	host := func(h ...string) match { return match{Host: h} }
	origin := func(o ...string) match { return match{Origin: o} }
	protocol := func(s ...string) match { return match{Subprotocol: s} }
	listener := func(l ...string) match { return match{Listener: l} }
	header := func(namesAndValues ...string) (m match) {
		for pair := range slices.Chunk(namesAndValues, 2) {
			m.Header = append(m.Header, policies.HeaderMatch{Name: pair[0], Value: pair[1]})
		}
		return m
	}
	for _, tt := range []struct {
		first    match
		covers   []match
		leavesTo []match
	}{
		{match{}, []match{{}, path("/a"), path("/**"), host("h"), origin("*"), {Path: "/a", Host: []string{"h"}, Origin: []string{"o"}}}, nil},

		{path("/**"), []match{{}, path("/"), path("/**"), path("/a*/**"), {Path: "/a", Host: []string{"h"}}}, nil},
		{path("/a"), []match{path("/a"), {Path: "/a", Origin: []string{"*"}}}, []match{{}, path("/A"), path("/a/"), path("/a*"), path("/a/**"), path("/**"), path("/*")}},
		{path("/a/**"), []match{path("/a"), path("/a/"), path("/a/b"), path("/a/*"), path("/a/*/c"), path("/a/**"), path("/a/b/**")}, []match{{}, path("/**"), path("/*/**"), path("/ab"), path("/a*/**")}},
		{path("/*"), []match{path("/"), path("/a"), path("/a*"), path("/*"), path("/*b")}, []match{path("/a/b"), path("/a/**"), path("/**"), path("/*/*")}},
		{path("/a*c/*"), []match{path("/a*c/*"), path("/abc/"), path("/a*b*c/d")}, []match{path("/a*/*"), path("/*c/d"), path("/ac"), path("/abc/**")}},

		{host("a.org"), []match{host("a.org"), host("A.org"), {Path: "/a", Host: []string{"a.org"}}}, []match{{}, host("a.org", "b.org"), host("*.a.org"), path("/a")}},
		{host("*.a.org", "b.org"), []match{host("*.a.org"), host("x.a.org"), host("*.x.a.org", "b.org")}, []match{host("a.org"), host("*.b.org"), host("*.org")}},
		{host("[::1]"), []match{host("[::1]")}, []match{host("[::2]")}},

		{origin("*"), []match{origin("*"), origin("null"), origin("https://a.org"), origin("*.a.org")}, []match{{}, path("/a")}},
		{origin("null"), []match{origin("null")}, []match{origin("*"), origin("https://a.org")}},
		{origin("a.org"), []match{origin("a.org"), origin("A.org"), origin("https://a.org")}, []match{origin("https://a.org:8443"), origin("b.org"), origin("*.a.org")}},
		{origin("https://*.a.org"), []match{origin("https://x.a.org"), origin("https://*.a.org")}, []match{origin("http://x.a.org"), origin("https://a.org"), origin("*.a.org"), origin("x.a.org")}},

		{protocol("a*", "b"), []match{protocol("a*"), protocol("ab", "b"), protocol("a*c"), {Path: "/a", Subprotocol: []string{"b"}}}, []match{{}, protocol("*"), protocol("a", "c"), protocol("B")}},
		{protocol("*"), []match{protocol("*"), protocol("a", "b*")}, []match{{}}},

		{header("X-A", ""), []match{header("x-a", ""), header("X-A", "a"), header("X-B", "", "X-A", "*")}, []match{{}, header("X-B", "")}},
		{header("X-A", "a*"), []match{header("X-A", "a*"), header("X-A", "ab"), header("X-A", "b", "X-A", "a")}, []match{header("X-A", ""), header("X-A", "*"), header("X-A", "A"), header("X-B", "a")}},
		{header("X-A", "*"), []match{header("X-A", ""), header("X-A", "a")}, []match{{}}},
		{header("X-A", "", "X-B", "b"), []match{header("X-B", "b", "X-A", "")}, []match{header("X-A", ""), header("X-B", "b")}},

		{listener("a", "b"), []match{listener("b"), listener("b", "a")}, []match{{}, listener("c"), listener("a", "c"), listener("A")}},

		{match{Path: "/a", Host: []string{"h"}}, []match{{Path: "/a", Host: []string{"h"}, Origin: []string{"o"}}}, []match{path("/a"), host("h")}},
	} {
		for want, others := range map[bool][]match{true: tt.covers, false: tt.leavesTo} {
			for _, other := range others {
				if got := tt.first.Covers(&other); got != want {
					t.Errorf("%+v covers %+v: %v, want %v", tt.first, other, got, want)
				}
			}
		}
	}
}

// Of all short patterns: what covers another fits whatever that fits, and where it
// does not cover, there is a path between them.
func TestMatchCoversAsItFits(t *testing.T) {
	t.Parallel()
	segments := []string{"", "a", "b", "*", "a*", "*a", "a*b"}
	patterns := []string{"", "/**"}
	for _, first := range segments {
		patterns = append(patterns, "/"+first, "/"+first+"/**")
		for _, second := range segments {
			patterns = append(patterns, "/"+first+"/"+second, "/"+first+"/"+second+"/**")
		}
	}
	var paths []string
	texts := []string{"", "a", "b", "c", "ab", "ac", "ca", "acb"}
	for _, first := range texts {
		paths = append(paths, "/"+first)
		for _, second := range texts {
			paths = append(paths, "/"+first+"/"+second, "/"+first+"/"+second+"/c")
		}
	}
	for _, a := range patterns {
		for _, b := range patterns {
			first, second := policies.Match{Path: a}, policies.Match{Path: b}
			left := slices.IndexFunc(paths, func(path string) bool {
				return selects(second, "h", path, "") && !selects(first, "h", path, "")
			})
			switch covers := first.Covers(&second); {
			case covers && left >= 0:
				t.Errorf("%q covers %q, but does not fit %q", a, b, paths[left])
			case !covers && left < 0:
				t.Errorf("%q covers %q, and is not known to", a, b)
			}
		}
	}
}
