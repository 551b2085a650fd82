package console

import (
	"fmt"
	"time"

	"github.com/clipperhouse/displaywidth"
	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/color"
)

const (
	headerRows = 4 // three of the snapshot, and an empty one
	footerRows = 1
)

// rows that there are for the list, with its heading, or the detail.
func (v *view) rows() int {
	_, height := v.screen.Size()
	return max(height-headerRows-footerRows, 0)
}

// draw shows everything anew; what has not changed is not sent to the terminal.
func (v *view) draw() {
	v.screen.Clear()
	v.screen.HideCursor()
	_, height := v.screen.Size()
	for y, l := range v.snapshot.header(v.watcher.client.Address()) {
		if y == 0 {
			l.text += v.state()
		}
		v.put(y, l, false)
	}
	switch mode := v.mode; {
	case mode == modeHelp:
		for i, text := range help {
			v.put(headerRows+i, line{text: text}, false)
		}
	case v.detail != nil:
		v.drawDetail()
	default:
		v.drawList()
	}
	if height > headerRows {
		v.drawFooter(height - 1)
	}
	v.screen.Show()
}

// state is what the first line tells beside the snapshot's own.
func (v *view) state() string {
	text := fmt.Sprintf("  every %s", v.interval)
	if v.paused {
		text = "  PAUSED"
	}
	if waited := time.Since(v.asked); !v.asked.IsZero() && waited >= time.Second {
		text += fmt.Sprintf("  no answer for %s", waited.Truncate(time.Second))
	}
	return text
}

func (v *view) drawList() {
	width, _ := v.screen.Size()
	t := sessionsTable(v.snapshot.Sessions, v.snapshot.query.Sort, true)
	rows := max(v.rows()-1, 0)
	selected := v.index()
	v.top = min(v.top, max(len(t.rows)-rows, 0), max(selected, 0))
	v.top = max(v.top, selected-rows+1, 0)
	for i, l := range t.lines(width, v.top, min(v.top+rows, len(t.rows))) {
		v.put(headerRows+i, l, i > 0 && v.top+i-1 == selected)
	}
	if len(t.rows) == 0 {
		v.put(headerRows+1, line{"no session fits", faint}, false)
	}
}

func (v *view) drawDetail() {
	lines := detail(v.detail)
	if v.gone {
		lines[0] = line{lines[0].text + " has ended", alarm}
	}
	rows := v.rows()
	v.scroll = max(min(v.scroll, len(lines)-rows), 0)
	for i, l := range lines[v.scroll:min(v.scroll+rows, len(lines))] {
		v.put(headerRows+i, l, false)
	}
}

func (v *view) drawFooter(y int) {
	switch {
	case v.mode == modeKill:
		v.put(y, line{fmt.Sprintf("End session %s? y/n", v.victim), alarm}, true)
	case v.note != "":
		v.put(y, line{clean(v.note), alarm}, false)
	case v.mode == modeFilter:
		width, _ := v.screen.Size()
		text := "filter: " + string(v.typed)
		for displaywidth.String(text) >= max(width, 1) { // the end is what is typed
			text = string([]rune(text)[1:])
		}
		v.put(y, line{text: text}, false)
		v.screen.ShowCursor(displaywidth.String(text), y)
	case v.err != nil:
		v.put(y, line{clean(v.err.Error()), alarm}, false)
	case v.mode == modeDetail:
		v.put(y, line{"Esc back  ↑↓ scroll  K end  p pause  ? help", faint}, false)
	default:
		v.put(y, line{"q quit  ↑↓ move  Enter show  K end  s sort  r reverse  / filter  p pause  ? help", faint}, false)
	}
}

// put writes a line into a row, as much of it as fits.
func (v *view) put(y int, l line, reverse bool) {
	width, height := v.screen.Size()
	if y < 0 || y >= height {
		return
	}
	s := tcell.StyleDefault.Reverse(reverse)
	switch l.style {
	case strong:
		s = s.Bold(true)
	case faint:
		s = s.Dim(true)
	case alarm:
		s = s.Foreground(color.Red)
	}
	text := displaywidth.TruncateString(l.text, width, "…")
	v.screen.PutStrStyled(0, y, text, s)
	if used := displaywidth.String(text); reverse && used < width {
		v.screen.FillArea(used, y, width-used, 1, ' ', s)
	}
}
