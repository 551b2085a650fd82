package policies

import "strings"

// Match selects handshakes. Absent parts fit every request; all parts that are
// present must fit.
type Match struct {
	// Path is a pattern: "*" stands for any text within one segment, "**" as
	// the last segment for any path at or below it. Empty: every path.
	Path string `mapstructure:"path"`
	// Host lists hosts, without port and in any case, one of which must fit;
	// "*.example.com" is any host below example.com. Empty: every host.
	Host []string `mapstructure:"host"`
	// Origin lists patterns of origins, as in Origins, one of which must fit; a
	// handshake without an Origin fits none. Empty: every origin, and none.
	Origin []string `mapstructure:"origin"`
}

// Fits reports whether a handshake is selected: its host (a Host header's value,
// perhaps with a port), its path (as it was sent, without the query) and its
// origin (an Origin header's value, empty without one).
func (m Match) Fits(host, path, origin string) bool {
	return m.fitsHost(host) &&
		(m.Path == "" || fitsPath(m.Path, path)) &&
		(len(m.Origin) == 0 || fitsOrigin(m.Origin, origin))
}

func (m Match) fitsHost(host string) bool {
	if len(m.Host) == 0 {
		return true
	}
	host = strings.ToLower(withoutPort(host))
	for _, pattern := range m.Host {
		pattern = strings.ToLower(pattern)
		if below, ok := strings.CutPrefix(pattern, "*"); ok {
			if strings.HasSuffix(host, below) && len(host) > len(below) {
				return true
			}
		} else if host == pattern {
			return true
		}
	}
	return false
}

// withoutPort cuts the port off a Host header's value; an IPv6 address keeps
// its brackets.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i > strings.LastIndexByte(host, ']') {
		return host[:i]
	}
	return host
}

// fitsPath compares segment by segment.
func fitsPath(pattern, path string) bool {
	for {
		want, restWant, moreWant := strings.Cut(pattern, "/")
		if want == "**" && !moreWant {
			return true
		}
		got, restGot, moreGot := strings.Cut(path, "/")
		if !fits(want, got) {
			return false
		}
		if moreWant && !moreGot {
			return restWant == "**"
		}
		if moreWant != moreGot {
			return false
		}
		if !moreWant {
			return true
		}
		pattern, path = restWant, restGot
	}
}
