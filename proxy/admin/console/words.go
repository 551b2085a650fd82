package console

import (
	"fmt"
	"strings"
	"time"
	"unicode"

	"wswarden/proxy/admin/api"
)

// age in two units at most, the lesser left out below a minute.
func age(s api.Seconds) string {
	d := max(s.Duration(), 0)
	switch {
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm%02ds", d/time.Minute, d%time.Minute/time.Second)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh%02dm", d/time.Hour, d%time.Hour/time.Minute)
	default:
		return fmt.Sprintf("%dd%02dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// trip is how long something short took; empty: it is not known.
func trip(s api.Seconds) string {
	switch d := s.Duration(); {
	case d <= 0:
		return ""
	case d < time.Millisecond:
		return fmt.Sprintf("%dµs", max(d/time.Microsecond, 1))
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.1fms", d.Seconds()*1e3)
	case d < time.Second:
		return fmt.Sprintf("%dms", d/time.Millisecond)
	default:
		return fmt.Sprintf("%.1fs", d.Seconds())
	}
}

func size(n uint64) string {
	if n < 1024 {
		return fmt.Sprintf("%d B", n)
	}
	value := float64(n)
	units := []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}
	unit := 0
	for ; value >= 1023.95 && unit < len(units)-1; unit++ { // what is not told as 1024.0
		value /= 1024
	}
	return fmt.Sprintf("%.1f %s", value, units[unit])
}

func flow(f api.Flow) string {
	return count(f.Messages, "message") + ", " + size(f.Bytes)
}

func count[N int | uint32 | uint64](n N, of string) string {
	if n == 1 {
		return "1 " + of
	}
	return fmt.Sprintf("%d %ss", n, of)
}

// clean makes text harmless for a terminal: topics are written by clients.
func clean(text string) string {
	printable := func(r rune) bool { return r != unicode.ReplacementChar && unicode.IsPrint(r) }
	if strings.IndexFunc(text, func(r rune) bool { return !printable(r) }) < 0 {
		return text
	}
	var b strings.Builder
	for _, r := range text {
		if printable(r) || r == unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}

// moment is a time of day, with the date if that is another than of now.
func moment(t, now time.Time) string {
	t, now = t.Local(), now.Local()
	if t.YearDay() == now.YearDay() && t.Year() == now.Year() {
		return t.Format(time.TimeOnly)
	}
	return t.Format(time.DateTime)
}
