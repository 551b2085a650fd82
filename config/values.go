package config

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
	"unicode"

	"wswarden/policies"
)

var (
	durationType  = reflect.TypeFor[time.Duration]()
	prefixType    = reflect.TypeFor[netip.Prefix]()
	perSecondType = reflect.TypeFor[policies.PerSecond]()
)

// convert reads a scalar of type t. The problem is empty if it could; it shows the text
// as it is written.
func convert(text, written string, t reflect.Type) (value any, problem string) {
	switch {
	case t == durationType:
		return parseDuration(text, written)
	case t == prefixType:
		return parsePrefix(text, written)
	case t == perSecondType:
		f, err := parseNumber(text)
		if err != nil {
			return nil, fmt.Sprintf("%s is not a number; write how many in a second, such as 20", plain(written))
		}
		return policies.PerSecond(f), ""
	case t.Kind() == reflect.Int64:
		return parseSize(text, written)
	case t.Kind() == reflect.Int:
		n, err := strconv.Atoi(text)
		if err != nil {
			return nil, fmt.Sprintf("%s is not a count; write a whole number, such as 20", plain(written))
		}
		return n, ""
	case t.Kind() == reflect.Bool:
		if !strings.EqualFold(text, "true") && !strings.EqualFold(text, "false") {
			return nil, fmt.Sprintf("%s is neither true nor false; write one of them", plain(written))
		}
		return strings.EqualFold(text, "true"), ""
	case t.Kind() == reflect.Uint16:
		n, err := strconv.ParseUint(text, 10, 16)
		if err != nil {
			return nil, fmt.Sprintf("%s is not a close code; use %s", plain(written), closeCodes)
		}
		return uint16(n), ""
	case t.Kind() == reflect.Float64:
		f, err := parseNumber(text)
		if err != nil {
			return nil, fmt.Sprintf("%s is not a number; write one from 0 to 1", plain(written))
		}
		return f, ""
	default:
		return reflect.ValueOf(text).Convert(t).Interface(), ""
	}
}

// parseNumber takes none with an underscore: to YAML 1.2 that is text.
func parseNumber(text string) (float64, error) {
	if strings.Contains(text, "_") {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseFloat(text, 64)
}

// durations are texts that are durations, be they too long or not.
var durations = regexp.MustCompile(`^[+-]?(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+$`)

func parseDuration(text, written string) (any, string) {
	d, err := time.ParseDuration(text)
	if err == nil {
		return d, ""
	}
	if _, err := parseNumber(text); err == nil {
		return nil, fmt.Sprintf("%s has no unit; write %ss", plain(written), plain(written))
	}
	if durations.MatchString(text) {
		return nil, fmt.Sprintf("%s is too long; write less than 292 years, or remove it", plain(written))
	}
	return nil, fmt.Sprintf("%s is not a duration; write a number and ms, s, m or h, such as 30s", plain(written))
}

func parsePrefix(text, written string) (any, string) {
	prefix, err := netip.ParsePrefix(text)
	if err == nil {
		return prefix, ""
	}
	if addr, err := netip.ParseAddr(text); err == nil && addr.Zone() == "" {
		return nil, fmt.Sprintf("%s has no prefix length; write %s/%d", plain(written), plain(written), addr.BitLen())
	}
	return nil, fmt.Sprintf("%s is not a network; write one such as 10.0.0.0/8", plain(written))
}

// units of sizes. Those without an i are powers of 1000.
var units = map[string]int64{
	"": 1, "B": 1,
	"KB": 1e3, "MB": 1e6, "GB": 1e9,
	"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30,
}

func parseSize(text, written string) (any, string) {
	number := strings.TrimRightFunc(text, unicode.IsLetter)
	unit, ok := units[text[len(number):]]
	n, err := strconv.ParseInt(strings.TrimRight(number, " "), 10, 64)
	if !ok || err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit {
		return nil, fmt.Sprintf("%s is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB", plain(written))
	}
	return n * unit, ""
}

// size writes bytes as a configuration may.
func size(bytes int64) string {
	for _, unit := range []string{"GiB", "MiB", "KiB"} {
		if bytes != 0 && bytes%units[unit] == 0 {
			return strconv.FormatInt(bytes/units[unit], 10) + unit
		}
	}
	return strconv.FormatInt(bytes, 10)
}

// secretParts are what a URL has beside its host and path, or what may be meant so: a
// password, a user without one, and a query or fragment. There are tokens in them.
var secretParts = []struct {
	in    *regexp.Regexp
	shown string
}{
	{regexp.MustCompile(`(?s)(//[^/?#@:]*:).*@`), "${1}xxxxx@"},
	{regexp.MustCompile(`//[^/?#@:]+@`), "//xxxxx@"},
	{regexp.MustCompile(`(?s)(//[^?#]*[?#]).+`), "${1}xxxxx"},
}

// hidden is text without the secrets of a URL.
func hidden(text string) string {
	for _, part := range secretParts {
		text = part.in.ReplaceAllString(text, part.shown)
	}
	return text
}

// plain returns text as it is if it is one short word, else quoted. Neither it nor
// shorten shows the secrets of a URL.
func plain(text string) string {
	text = hidden(text)
	odd := func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsPrint(r) || r == '"' }
	if text != "" && len(text) <= 60 && !strings.ContainsFunc(text, odd) {
		return text
	}
	return shorten(text)
}

// shorten quotes a text, and only the beginning of a long one.
func shorten(text string) string {
	text = hidden(text)
	if runes := []rune(text); len(runes) > 60 {
		return strconv.Quote(string(runes[:57])) + "..."
	}
	return strconv.Quote(text)
}
