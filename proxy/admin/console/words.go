package console

import (
	"fmt"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/clipperhouse/displaywidth"

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

// need tells a value in such a way that a limit of as much suffices: it is never less.
func need(value float64, unit string) string {
	switch unit {
	case "seconds":
		return enough(value)
	case "bytes":
		return room(value)
	case "bytes_per_second":
		return room(value) + "/s"
	case "per_second":
		return thousands(int(math.Ceil(value))) + "/s"
	}
	return thousands(int(math.Ceil(value)))
}

// enough is a duration in the units of age, rounded up to what is shown of it.
func enough(seconds float64) string {
	up := func(unit float64) api.Seconds { return api.Seconds(math.Ceil(seconds/unit) * unit) }
	switch {
	case seconds <= 0.999:
		return fmt.Sprintf("%.0fms", math.Ceil(seconds*1000))
	case seconds <= 9.9:
		return fmt.Sprintf("%gs", math.Ceil(seconds*10)/10)
	case seconds <= 3599:
		return age(up(1))
	case seconds <= 86340:
		return age(up(60))
	}
	return age(up(3600))
}

// room is a number of bytes as size shows it, rounded up.
func room(bytes float64) string {
	for unit := 1024.0; unit <= bytes; unit *= 1024 {
		if tenth := unit / 10; bytes < unit*1024 {
			return size(uint64(math.Ceil(math.Ceil(bytes/tenth) * tenth)))
		}
	}
	return size(uint64(math.Ceil(bytes)))
}

// percent of some, but not all: never 0 or 100.
func percent(n, of int) string {
	switch p := 100 * float64(n) / float64(of); {
	case p < 0.1:
		return "under 0.1 %"
	case p < 9.95:
		return fmt.Sprintf("%.1f %%", p)
	case p > 99:
		return "over 99 %"
	default:
		return fmt.Sprintf("%.0f %%", p)
	}
}

func many(n int, of string) string {
	switch n {
	case 0:
		return "no " + of + "s"
	case 1:
		return "1 " + of
	}
	return thousands(n) + " " + of + "s"
}

// thousands writes 4120 as 4,120.
func thousands(n int) string {
	text := fmt.Sprint(n)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// solid is a text in which wrap breaks no line.
func solid(text string) string { return strings.ReplaceAll(text, " ", "\u00a0") }

// wrap breaks a text into lines of so many cells, all behind a margin, those after the
// first a little further in.
func wrap(text, margin string, width int, s style) (lines []line) {
	row := margin
	for word := range strings.SplitSeq(text, " ") {
		word = strings.ReplaceAll(word, solid(" "), " ")
		switch {
		case row == margin:
		case displaywidth.String(row)+1+displaywidth.String(word) > width:
			lines = append(lines, line{row, s})
			row = margin + "  "
		default:
			row += " "
		}
		row += word
	}
	return append(lines, line{row, s})
}
