package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
	"net/url"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"wswarden/policies"
)

const (
	// maxReason is what a close frame's 125 bytes leave beside the code:
	// RFC 6455 §5.5 and §5.5.1.
	maxReason = 123

	closeCodes = "1000 to 1003, 1007 to 1014, or 3000 to 4999"
)

// Validate reports all that is wrong or contradicts itself, as Problems that
// name keys but no places. Load, Parse and FromFlags have called it.
func (c *Config) Validate() error {
	if problems := c.check(nil); len(problems) > 0 {
		return problems
	}
	return nil
}

// check returns what is wrong beyond what is known already.
func (c *Config) check(known Problems) Problems {
	v := validator{slices.Clip(known)}
	v.listeners(c)
	v.trustedProxies(c.TrustedProxies)
	v.upstream(c)
	v.admin(c)
	v.drain(c.Drain)
	v.tracing(c.Tracing)
	v.store(c.Store)
	v.pressure(c.Pressure)
	v.dialects(c.Dialects)
	v.policies(c)
	v.ranges("", reflect.ValueOf(c).Elem()) // last, as others say more of a key
	return v.problems[len(known):]
}

type validator struct {
	problems Problems
}

// wrong adds a problem, unless the key has one already.
func (v *validator) wrong(key, format string, args ...any) {
	if !v.problems.cover(key) {
		v.problems = append(v.problems, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
	}
}

var indexes = regexp.MustCompile(`\[\d+\]`)

// ranges checks what holds for every value of a type.
func (v *validator) ranges(path string, section reflect.Value) {
	for key, value := range leaves(section) {
		key = join(path, key)
		if isSectionList(value.Type()) {
			for i := range value.Len() {
				v.ranges(fmt.Sprintf("%s[%d]", key, i), value.Index(i))
			}
			continue
		}
		switch x := value.Interface().(type) {
		case time.Duration:
			if x < 0 {
				v.wrong(key, "%s is below zero; write 0s or more", x)
			}
		case int64:
			if x < 0 {
				v.wrong(key, "%d is below zero; write 0 or more", x)
			}
		case int:
			if x < 0 {
				v.wrong(key, "%d is below zero; write 0 or more", x)
			}
		case policies.PerSecond:
			if !(x >= 0 && x <= math.MaxFloat64) { // neither is NaN
				v.wrong(key, "%v is out of range; write a number, 0 or more", x)
			}
		case float64:
			if !(x >= 0 && x <= 1) { // neither is NaN
				v.wrong(key, "%v is out of range; write a number from 0 to 1", x)
			}
		case uint16:
			if x != 0 && !policies.ValidCloseCode(x) {
				v.wrong(key, "%d may not be sent in a close frame; use %s", x, closeCodes)
			}
		}
		if value.Kind() == reflect.String && !utf8.ValidString(value.String()) {
			v.wrong(key, "%s is not valid UTF-8; write text", shorten(value.String()))
		}
		name := indexes.ReplaceAllString(key, "[]")
		if value.IsZero() && slices.Contains(optional, name) {
			continue
		}
		if words := choices[name]; words != nil && !slices.Contains(words, value.String()) {
			v.wrong(key, "%s is not known; use one of %s", plain(value.String()), strings.Join(words, ", "))
		}
	}
}

func (v *validator) listeners(c *Config) {
	if len(c.Listeners) == 0 {
		v.wrong("listeners", "is empty; add an address, or remove the key for the default")
	}
	seen := map[string]int{}
	for i, l := range c.Listeners {
		key := fmt.Sprintf("listeners[%d].address", i)
		_, port := v.address(key, l.Address, "127.0.0.1:8080")
		if first, twice := seen[l.Address]; twice && port != 0 {
			v.wrong(key, "%s is listeners[%d] already; remove one", l.Address, first)
			continue
		}
		seen[l.Address] = i
	}
}

// address checks that text is host:port.
func (v *validator) address(key, text, example string) (host string, port uint64) {
	host, digits, err := net.SplitHostPort(text)
	if err == nil {
		port, err = strconv.ParseUint(digits, 10, 16)
	}
	if err != nil {
		v.wrong(key, "%s is not an address; write host:port, such as %s", plain(text), example)
	}
	return host, port
}

func (v *validator) trustedProxies(prefixes []netip.Prefix) {
	for i, p := range prefixes {
		key := fmt.Sprintf("trusted_proxies[%d]", i)
		if !p.IsValid() {
			v.wrong(key, "is not a network; write one such as 10.0.0.0/8")
		} else if p.Addr().Is4In6() {
			v.wrong(key, "%s fits no IPv4 address; write it as an IPv4 network, such as 10.0.0.0/8", p)
		} else if p != p.Masked() {
			v.wrong(key, "%s has bits set behind its prefix; write %s", p, p.Masked())
		}
	}
}

func (v *validator) upstream(c *Config) {
	const key = "upstream.url"
	text := c.Upstream.URL
	u, err := url.Parse(text)
	switch {
	case text == "":
		v.wrong(key, "is missing; write the server to stand in front of, such as http://127.0.0.1:5000")
	case err != nil || u.Scheme != "http" || u.Hostname() == "":
		v.wrong(key, "%s is not an http:// URL, and no other is supported; write one such as http://127.0.0.1:5000", plain(text))
	case u.User != nil:
		v.wrong(key, "%s has a user, which is not supported; write http://%s", plain(u.Redacted()), u.Host)
	case strings.TrimPrefix(u.Path, "/") != "" || strings.ContainsAny(text, "?#"):
		v.wrong(key, "%s has more than host and port; write http://%s", plain(text), u.Host)
	case !validPort(u.Port()):
		v.wrong(key, "%s has no port from 1 to 65535; write one such as http://127.0.0.1:5000", plain(text))
	case slices.Contains(c.Listeners, Listener{Address: c.Upstream.Address()}):
		v.wrong(key, "%s is a listener of wswarden itself; change one of them", plain(text))
	}
	v.aboveZero("upstream.dial_timeout", c.Upstream.DialTimeout, "2s")
	v.aboveZero("upstream.handshake_timeout", c.Upstream.HandshakeTimeout, "5s")
}

// validPort accepts an absent port: it is the scheme's.
func validPort(digits string) bool {
	n, err := strconv.ParseUint(digits, 10, 16)
	return digits == "" || err == nil && n > 0
}

func (v *validator) aboveZero(key string, d time.Duration, example string) {
	if d <= 0 {
		v.wrong(key, "%s is not above zero; write a duration such as %s", d, example)
	}
}

func (v *validator) drain(d Drain) {
	if d.Spread > d.Timeout && d.Timeout >= 0 && !v.problems.cover("drain.timeout") {
		v.wrong("drain.spread", "%s is longer than drain.timeout; write %s or less", d.Spread, d.Timeout)
	}
	if d.CloseCode == 0 {
		v.wrong("drain.close_code", "0 may not be sent in a close frame; use %s", closeCodes)
	}
	if len(d.Reason) > maxReason {
		v.wrong("drain.reason", "%s has %d bytes, and a close frame takes %d; shorten it", shorten(d.Reason), len(d.Reason), maxReason)
	}
}
