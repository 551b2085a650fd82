package config

import (
	"fmt"
	"math"
	"net"
	"net/netip"
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

	// leastDuration and leastRate are those that somebody may mean.
	leastDuration = time.Millisecond
	leastRate     = 0.001 // about four in an hour

	closeCodes public = "1000 to 1003, 1007 to 1014, or 3000 to 4999"
)

// Validate reports all that is wrong or contradicts itself, as Problems that
// name keys but no places. Load, Parse and FromFlags have called it.
func (c *Config) Validate() error {
	if problems := c.check(nil, nil); len(problems) > 0 {
		return problems
	}
	return nil
}

// check returns what is wrong beyond what is known already.
func (c *Config) check(known Problems, from Places) Problems {
	v := validator{slices.Clip(known), c.written, from}
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
	written  writings
	from     Places // nil for what was not read from anywhere
}

// public is what a problem may say wherever its key's value comes from.
type public string

// wrong adds a problem, unless the key has one already. What has come out of a ${…} is
// not for anybody to see: if the key's value has one, the first of args stands for the
// value and is shown as it is written, and others that are not public, as they may be
// made of it, are left out.
func (v *validator) wrong(key, format string, args ...any) {
	if len(v.problems) > maxProblems || v.problems.cover(key) {
		return
	}
	if w, expanded := v.written[key]; expanded {
		shown := plain(w.text)
		for i, arg := range args {
			if _, ok := arg.(public); !ok {
				args[i], shown = shown, "…"
			}
		}
	}
	v.problems = append(v.problems, Problem{Key: key, Text: fmt.Sprintf(format, args...)})
}

// other is the value of another key than the problem's, as it may be shown.
func (v *validator) other(key string, value any) public {
	if w, expanded := v.written[key]; expanded {
		return public(plain(w.text))
	}
	return public(fmt.Sprint(value))
}

// item names an item of a list of sections, and of several files also its place.
func (v *validator) item(list string, i int) public {
	key := fmt.Sprintf("%s[%d]", list, i)
	if at := v.from[key]; v.from[""].line == 0 && at.line > 0 {
		key += " in " + at.String()
	}
	return public(key)
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
			} else if x > 0 && x < leastDuration {
				v.wrong(key, "%s is shorter than anything takes; write %s or more", x, public(leastDuration.String()))
			}
		case int64:
			if x < 0 {
				v.wrong(key, "%v is below zero; write 0 or more", x)
			}
		case int:
			if x < 0 {
				v.wrong(key, "%v is below zero; write 0 or more", x)
			}
		case policies.PerSecond:
			if !(x >= 0 && x <= math.MaxFloat64) { // neither is NaN
				v.wrong(key, "%v is out of range; write a number, 0 or more", x)
			} else if x > 0 && x < leastRate {
				v.wrong(key, "%v is hardly ever; write %v or more, or 0 for no limit", x, public(fmt.Sprint(leastRate)))
			}
		case float64:
			if !(x >= 0 && x <= 1) { // neither is NaN
				v.wrong(key, "%v is out of range; write a number from 0 to 1", x)
			}
		case uint16:
			if x != 0 && !policies.ValidCloseCode(x) {
				v.wrong(key, "%v may not be sent in a close frame; use %s", x, closeCodes)
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
			v.wrong(key, "%s is not known; use one of %s", plain(value.String()), public(strings.Join(words, ", ")))
		}
	}
}

// address checks that text is host:port.
func (v *validator) address(key, text, example string) (host string, port uint64) {
	host, digits, err := net.SplitHostPort(text)
	if err == nil {
		port, err = strconv.ParseUint(digits, 10, 16)
	}
	if err != nil {
		v.wrong(key, "%s is not an address; write host:port, such as %s", plain(text), public(example))
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

func (v *validator) drain(d Drain) {
	if d.Spread > d.Timeout && d.Timeout >= 0 && !v.problems.cover("drain.timeout") {
		v.wrong("drain.spread", "%s is longer than drain.timeout; write %s or less", d.Spread, v.other("drain.timeout", d.Timeout))
	}
	if d.CloseCode == 0 {
		v.wrong("drain.close_code", "%v may not be sent in a close frame; use %s", d.CloseCode, closeCodes)
	}
	if len(d.Reason) > maxReason {
		v.wrong("drain.reason", "%s has %v bytes, and a close frame takes %v; shorten it", shorten(d.Reason), len(d.Reason), public(strconv.Itoa(maxReason)))
	}
}
