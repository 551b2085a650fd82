package console

import (
	"strings"

	"github.com/clipperhouse/displaywidth"
)

// style of a line, where there are colours.
type style int

const (
	plain  style = iota
	strong       // headings
	faint
	alarm
)

// line of what is shown.
type line struct {
	text  string
	style style
}

// column of a table.
type column struct {
	name  string
	right bool // aligned so
	// rank by which it is left out where there is no room: the highest first, 0 never.
	rank int
	// least is to how much it may be cut; 0: not at all.
	least int
}

// table is text in columns.
type table struct {
	columns []column
	rows    [][]string
	styles  []style // of the rows; nil: all plain
}

const gap = 2 // between columns

// place is a column that is shown.
type place struct {
	column
	index, width int
}

// fit chooses the columns that are shown in so many cells, and their widths; 0: there
// is no end to the room. A column in which all is empty is left out.
func (t *table) fit(width int) []place {
	var places []place
	natural := make([]int, len(t.columns))
	for i, c := range t.columns {
		for _, row := range t.rows {
			natural[i] = max(natural[i], displaywidth.String(row[i]))
		}
		if natural[i] > 0 || len(t.rows) == 0 {
			natural[i] = max(natural[i], displaywidth.String(c.name))
			places = append(places, place{c, i, natural[i]})
		}
	}
	if width <= 0 {
		return places
	}
	room := func() int { // that is left; below zero: is lacking
		n := width + gap
		for _, p := range places {
			n -= p.width + gap
		}
		return n
	}
	squeeze := func() {
		for i := range places {
			if p := &places[i]; p.least > 0 {
				p.width = min(max(p.width+room(), p.least), natural[p.index])
			}
		}
	}
	for squeeze(); room() < 0; squeeze() {
		least := 0
		for i, p := range places {
			if p.rank > places[least].rank {
				least = i
			}
		}
		if places[least].rank == 0 {
			break
		}
		places = append(places[:least], places[least+1:]...)
	}
	return places
}

// lines are the heading and the rows from one to before another, in so many cells.
func (t *table) lines(width, from, to int) []line {
	places := t.fit(width)
	write := func(s style, cell func(p place) string) line {
		var b strings.Builder
		for i, p := range places {
			text := displaywidth.TruncateString(cell(p), p.width, "…")
			pad := strings.Repeat(" ", p.width-displaywidth.String(text))
			if i > 0 {
				b.WriteString(strings.Repeat(" ", gap))
			}
			if p.right {
				b.WriteString(pad + text)
			} else {
				b.WriteString(text + pad)
			}
		}
		text := strings.TrimRight(b.String(), " ")
		if width > 0 {
			text = displaywidth.TruncateString(text, width, "…")
		}
		return line{text, s}
	}
	lines := []line{write(strong, func(p place) string { return p.name })}
	for i := from; i < to; i++ {
		var s style
		if t.styles != nil {
			s = t.styles[i]
		}
		lines = append(lines, write(s, func(p place) string {
			if text := t.rows[i][p.index]; text != "" {
				return text
			}
			return "-"
		}))
	}
	return lines
}

func (t *table) all(width int) []line { return t.lines(width, 0, len(t.rows)) }
