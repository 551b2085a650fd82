package policies

import (
	"slices"
	"strings"
)

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
	return m.fitsHost(host) && m.fitsPath(path) && m.fitsOrigin(origin)
}

// Misfits returns the keys of the parts that keep a handshake from being selected,
// of path, host and origin; none if Fits.
func (m Match) Misfits(host, path, origin string) (keys []string) {
	for _, part := range []struct {
		key  string
		fits bool
	}{{"path", m.fitsPath(path)}, {"host", m.fitsHost(host)}, {"origin", m.fitsOrigin(origin)}} {
		if !part.fits {
			keys = append(keys, part.key)
		}
	}
	return keys
}

// Covers reports whether m is sure to select all that other does: behind m, other
// selects nothing. It looks at one pattern at a time: what only several of m's cover
// together is not found.
func (m Match) Covers(other Match) bool {
	return m.coversPath(other.Path) && m.coversHosts(other.Host) && m.coversOrigins(other.Origin)
}

// coversPath takes the other pattern for a path: a star in it is text that only a
// star can fit, and below "**" there may be anything.
func (m Match) coversPath(pattern string) bool {
	if pattern == "" {
		pattern = "/**"
	}
	above, open := strings.CutSuffix(pattern, "/**")
	switch {
	case m.Path == "":
		return true
	case !open:
		return fitsPath(m.Path, pattern)
	default: // no path is empty
		return strings.HasSuffix(m.Path, "/**") && (above == "" || fitsPath(m.Path, above)) && fitsPath(m.Path, above+"/*")
	}
}

func (m Match) coversHosts(patterns []string) bool {
	if len(m.Host) == 0 || len(patterns) == 0 {
		return len(m.Host) == 0
	}
	for _, pattern := range patterns {
		if !m.fitsHost(pattern) { // as in coversPath
			return false
		}
	}
	return true
}

func (m Match) coversOrigins(patterns []string) bool {
	if len(m.Origin) == 0 || len(patterns) == 0 {
		return len(m.Origin) == 0
	}
	for _, pattern := range patterns {
		same := func(own string) bool { return own == "*" || strings.EqualFold(own, pattern) }
		if !slices.ContainsFunc(m.Origin, same) && (strings.Contains(pattern, "*") || !fitsOrigin(m.Origin, pattern)) {
			return false
		}
	}
	return true
}

func (m Match) fitsPath(path string) bool {
	return m.Path == "" || fitsPath(m.Path, path)
}

func (m Match) fitsOrigin(origin string) bool {
	return len(m.Origin) == 0 || fitsOrigin(m.Origin, origin)
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
