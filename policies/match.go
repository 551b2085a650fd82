package policies

import (
	"cmp"
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
	// Subprotocol lists names, in which "*" stands for any text. One of those that the
	// client asks for must fit one of them. Empty: every subprotocol, and none.
	Subprotocol []string `mapstructure:"subprotocol"`
	// Header lists headers, all of which must be there.
	Header []HeaderMatch `mapstructure:"header"`
	// Listener lists names of listeners, one of which the client must have come by.
	// Empty: every listener.
	Listener []string `mapstructure:"listener"`
}

// HeaderMatch is a header that a handshake must have.
type HeaderMatch struct {
	// Name in any case.
	Name string `mapstructure:"name"`
	// Value that one of the header's lines must have, in which "*" stands for any text.
	// Empty: any.
	Value string `mapstructure:"value"`
}

// Request is what a Match looks at in a handshake.
type Request struct {
	// Host is a Host header's value, perhaps with a port.
	Host string
	// Path without the query, decoded and cleaned.
	Path string
	// Origin is an Origin header's value; empty without one.
	Origin string
	// Subprotocols that the client asks for.
	Subprotocols []string
	// Header returns the values of a header's lines, whose name is in any case. It is
	// not nil.
	Header func(name string) []string
	// Listener is the name of the one that the client has come by.
	Listener string
}

// Fits reports whether a handshake is selected.
func (m *Match) Fits(r *Request) bool {
	return m.fitsHost(r.Host) && m.fitsPath(r.Path) && m.fitsOrigin(r.Origin) &&
		m.fitsSubprotocol(r.Subprotocols) && m.fitsListener(r.Listener) && m.fitsHeader(r.Header)
}

// Misfits returns the keys of the parts that keep a handshake from being selected,
// in the order of Match; none if Fits.
func (m *Match) Misfits(r *Request) (keys []string) {
	for _, part := range []struct {
		key  string
		fits bool
	}{
		{"path", m.fitsPath(r.Path)},
		{"host", m.fitsHost(r.Host)},
		{"origin", m.fitsOrigin(r.Origin)},
		{"subprotocol", m.fitsSubprotocol(r.Subprotocols)},
		{"header", m.fitsHeader(r.Header)},
		{"listener", m.fitsListener(r.Listener)},
	} {
		if !part.fits {
			keys = append(keys, part.key)
		}
	}
	return keys
}

// Covers reports whether m is sure to select all that other does: behind m, other
// selects nothing. It looks at one pattern at a time: what only several of m's cover
// together is not found.
func (m *Match) Covers(other *Match) bool {
	return m.coversPath(other.Path) && m.coversHosts(other.Host) && m.coversOrigins(other.Origin) &&
		covers(m.Subprotocol, other.Subprotocol, fits) && m.coversHeaders(other.Header) &&
		covers(m.Listener, other.Listener, func(own, name string) bool { return own == name })
}

// covers reports whether each of the other patterns, taken for a text, fits one of own;
// an empty list is for all there is.
func covers(own, other []string, fits func(own, other string) bool) bool {
	if len(own) == 0 || len(other) == 0 {
		return len(own) == 0
	}
	for _, pattern := range other {
		if !slices.ContainsFunc(own, func(o string) bool { return fits(o, pattern) }) {
			return false
		}
	}
	return true
}

func (m *Match) coversHeaders(other []HeaderMatch) bool {
	for _, own := range m.Header {
		if !slices.ContainsFunc(other, func(o HeaderMatch) bool {
			return strings.EqualFold(own.Name, o.Name) && (own.Value == "" || fits(own.Value, cmp.Or(o.Value, "*")))
		}) {
			return false
		}
	}
	return true
}

func (m *Match) fitsSubprotocol(asked []string) bool {
	return len(m.Subprotocol) == 0 || slices.ContainsFunc(asked, func(name string) bool { return fitsAny(m.Subprotocol, name) })
}

func (m *Match) fitsHeader(lines func(name string) []string) bool {
	for _, h := range m.Header {
		fit := func(value string) bool { return h.Value == "" || fits(h.Value, value) }
		if !slices.ContainsFunc(lines(h.Name), fit) {
			return false
		}
	}
	return true
}

func (m *Match) fitsListener(name string) bool {
	return len(m.Listener) == 0 || slices.Contains(m.Listener, name)
}

// coversPath takes the other pattern for a path: a star in it is text that only a
// star can fit, and below "**" there may be anything.
func (m *Match) coversPath(pattern string) bool {
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

func (m *Match) coversHosts(patterns []string) bool {
	if len(m.Host) == 0 || len(patterns) == 0 {
		return len(m.Host) == 0
	}
	return !slices.ContainsFunc(patterns, func(p string) bool { return !m.fitsHost(p) }) // as in coversPath
}

func (m *Match) coversOrigins(patterns []string) bool {
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

func (m *Match) fitsPath(path string) bool {
	return m.Path == "" || fitsPath(m.Path, path)
}

func (m *Match) fitsOrigin(origin string) bool {
	return len(m.Origin) == 0 || fitsOrigin(m.Origin, origin)
}

func (m *Match) fitsHost(host string) bool {
	if len(m.Host) == 0 {
		return true
	}
	host = strings.ToLower(undotted(withoutPort(host))) // in full, names end with a dot
	for _, pattern := range m.Host {
		pattern = strings.ToLower(undotted(pattern))
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
