package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

func (v *validator) upstream(c *Config) {
	const one, several = "upstream.url", "upstream.urls"
	u := c.Upstream
	switch {
	case u.URL != "" && len(u.URLs) > 0:
		v.wrong(several, "cannot be beside upstream.url; remove one of them")
		v.server(one, u.URL, c)
	case u.URL != "":
		v.server(one, u.URL, c)
	case len(u.URLs) == 0 && !v.problems.cover(several):
		v.wrong(one, "is missing; write the server to stand in front of, such as http://127.0.0.1:5000")
	default:
		v.severalServers(several, c)
	}
	v.aboveZero("upstream.dial_timeout", u.DialTimeout, "2s")
	v.aboveZero("upstream.handshake_timeout", u.HandshakeTimeout, "5s")
	v.upstreamTLS(u)
	v.aboveZero("upstream.breaker.retry_after", u.Breaker.RetryAfter, "5s")
	v.health(u.Health)
	v.sticky(u.Sticky)
}

func (v *validator) severalServers(key string, c *Config) {
	seen := map[socket]int{}
	for i, text := range c.Upstream.URLs {
		at := fmt.Sprintf("%s[%d]", key, i)
		v.server(at, text, c)
		s, ok := ServerOf(text)
		if first, twice := seen[s.socket()]; ok && twice {
			v.wrong(at, "%s is %s already; remove one", plain(text), public(fmt.Sprintf("%s[%d]", key, first)))
		} else {
			seen[s.socket()] = i
		}
	}
}

func (v *validator) server(key, text string, c *Config) {
	if path, unix := strings.CutPrefix(text, "unix:"); unix {
		v.socketPath(key, text, path)
		v.notItself(key, text, c)
		return
	}
	u, err := url.Parse(text)
	switch {
	case err != nil || !slices.Contains([]string{"http", "https", "ws", "wss"}, u.Scheme) || u.Hostname() == "":
		v.wrong(key, "%s is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000", plain(text))
	case u.User != nil:
		v.wrong(key, "%s has a user, which is not supported; write %s://%s", plain(u.Redacted()), public(u.Scheme), u.Host)
	case strings.TrimPrefix(u.Path, "/") != "" || strings.ContainsAny(text, "?#"):
		v.wrong(key, "%s has more than host and port; write %s://%s", plain(text), public(u.Scheme), u.Host)
	case !validPort(u.Port()):
		v.wrong(key, "%s has no port from 1 to 65535; write one such as http://127.0.0.1:5000", plain(text))
	default:
		v.notItself(key, text, c)
	}
}

func (v *validator) notItself(key, text string, c *Config) {
	s, _ := ServerOf(text)
	own := s.socket()
	if slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.socket() == own }) {
		v.wrong(key, "%s is a listener of wswarden itself; change one of them", plain(text))
	}
}

// validPort accepts an absent port: it is the scheme's.
func validPort(digits string) bool {
	n, err := strconv.ParseUint(digits, 10, 16)
	return digits == "" || err == nil && n > 0
}

func (v *validator) aboveZero(key string, d time.Duration, example string) {
	if d <= 0 {
		v.wrong(key, "%s is not above zero; write a duration such as %s", d, public(example))
	}
}

func (v *validator) upstreamTLS(u Upstream) {
	const key = "upstream.tls"
	t := u.TLS
	unused := !v.follows("upstream.url", "upstream.urls") && !slices.ContainsFunc(u.Servers(), func(text string) bool {
		s, _ := ServerOf(text)
		return s.TLS
	})
	for _, part := range []struct{ name, value string }{{"ca", t.CA}, {"cert", t.Cert}, {"key", t.Key}, {"server_name", t.ServerName}} {
		if unused && part.value != "" {
			v.wrong(key+"."+part.name, "%s has no effect, as no server is https://; write that in upstream.url, or remove it", plain(part.value))
		}
	}
	switch {
	case t.Cert != "":
		v.missingKey(key, t.Key)
	case t.Key != "" && !v.problems.cover(key+".cert"):
		v.wrong(key+".key", "%s has no effect without cert; write the file with its certificate, or remove it", plain(t.Key))
	}
	v.unusable(key, t.read().unusable)
	if _, err := netip.ParseAddr(t.ServerName); err != nil && t.ServerName != "" && !isHostName(t.ServerName) {
		v.wrong(key+".server_name", "%s is not the name of a host; write one such as app.internal", plain(t.ServerName))
	}
}

func (v *validator) health(h Health) {
	const key = "upstream.health"
	foreign := func(r rune) bool { return r <= ' ' || r > '~' || r == '#' }
	switch {
	case h.Path == "":
	case h.Path[0] != '/':
		v.wrong(key+".path", "%s does not begin with /; write a path such as /healthz", plain(h.Path))
	case strings.ContainsFunc(h.Path, foreign):
		v.wrong(key+".path", "%s has what no request's path has; write one such as /healthz, and %%20 for a space", plain(h.Path))
	}
	v.aboveZero(key+".interval", h.Interval, "10s")
	v.aboveZero(key+".timeout", h.Timeout, "2s")
	if h.Path != "" && h.Timeout > h.Interval && !v.problems.cover(key+".interval") {
		v.wrong(key+".timeout", "%s is longer than the interval; write %s or less, or a longer interval", duration(h.Timeout), v.other(key+".interval", duration(h.Interval)))
	}
	if h.Failures == 0 {
		v.wrong(key+".failures", "%v is not above zero; write how many in a row, such as 3", h.Failures)
	}
}

func (v *validator) sticky(s Sticky) {
	const key = "upstream.sticky"
	if s.From != "" {
		v.partName(key+".name", s.From, s.Name)
	} else if s.Name != "" && !v.problems.cover(key+".from") {
		v.wrong(key+".name", "%s has no effect without from; write from: header, cookie or query, or remove it", plain(s.Name))
	}
}
