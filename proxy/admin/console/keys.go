package console

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/gdamore/tcell/v3"

	"wswarden/proxy/admin/api"
)

// help lists the keys.
var help = []string{
	"q, Ctrl-C     quit",
	"↑ ↓, k j      move; also page up and down, home and end, g and G",
	"Enter         all of the selected session; Escape goes back",
	"K, Delete     end the selected session, after a question",
	"s             sort by the next column",
	"r             reverse the order",
	"/             filter, such as policy=guests idle_for=5m; an empty one shows all",
	"p             pause, and go on",
	"space         look now",
	"?             this",
	"",
	"A filter may have several of these:",
	strings.Join(api.FilterParams(), " "),
}

// handle does what a key asks for. It returns false if there is no terminal any more.
func (v *view) handle(event tcell.Event) bool {
	switch event := event.(type) {
	case *tcell.EventError:
		return false
	case *tcell.EventResize:
		v.screen.Sync()
	case *tcell.EventKey:
		v.note = ""
		if event.Key() == tcell.KeyCtrlC {
			v.quit = true
			return true
		}
		key := event.Str()
		if event.Key() != tcell.KeyRune {
			key = tcell.KeyNames[event.Key()]
		}
		switch v.mode {
		case modeHelp:
			v.mode = v.back
		case modeKill:
			v.mode = v.back
			if key == "y" || key == "Y" {
				v.end(v.victim)
			}
		case modeFilter:
			v.typing(event, key)
		case modeDetail:
			v.detailKey(key)
		default:
			v.listKey(key)
		}
	}
	return true
}

func (v *view) listKey(key string) {
	rows := max(v.rows()-1, 1)
	switch key {
	case "q":
		v.quit = true
	case "Up", "k":
		v.move(-1)
	case "Down", "j":
		v.move(1)
	case "PgUp":
		v.move(-rows)
	case "PgDn":
		v.move(rows)
	case "Home", "g":
		v.move(-len(v.snapshot.Sessions))
	case "End", "G":
		v.move(len(v.snapshot.Sessions))
	case "Enter":
		if i := v.index(); i >= 0 {
			v.detail = &api.Detail{Session: v.snapshot.Sessions[i]}
			v.mode, v.scroll, v.gone, v.due = modeDetail, 0, false, true
		}
	case "s":
		v.sort()
	case "r":
		by, greatest := strings.CutPrefix(string(v.query.Sort), "-")
		if by == "" {
			by = "id"
		}
		if !greatest {
			by = "-" + by
		}
		v.query.Sort, v.due = api.Sort(by), true
	case "/":
		v.mode, v.typed = modeFilter, []rune(words(v.query.Filter))
	default:
		v.anyKey(key, v.selected)
	}
}

func (v *view) detailKey(key string) {
	page := max(v.rows(), 1)
	switch key {
	case "q", "Esc", "Enter", "Left", "Backspace":
		v.mode, v.detail = modeList, nil
	case "Up", "k":
		v.scroll--
	case "Down", "j":
		v.scroll++
	case "PgUp":
		v.scroll -= page
	case "PgDn":
		v.scroll += page
	case "Home", "g":
		v.scroll = 0
	case "End", "G":
		v.scroll += len(v.detail.SubscribedTo) + 100 // drawing finds the end
	default:
		v.anyKey(key, v.detail.ID)
	}
}

// anyKey is for keys that do the same in the list and in the detail of a session.
func (v *view) anyKey(key string, id api.ID) {
	switch key {
	case "K", "Delete":
		if id != 0 {
			v.back, v.mode, v.victim = v.mode, modeKill, id
		}
	case "p":
		v.paused = !v.paused
		v.due = v.due || !v.paused
	case " ":
		v.due = true
	case "?":
		v.back, v.mode = v.mode, modeHelp
	}
}

// sort goes on to the next key, and keeps the direction.
func (v *view) sort() {
	by, greatest := strings.CutPrefix(string(v.query.Sort), "-")
	sorts := api.Sorts()
	next := sorts[(slices.Index(sorts, api.Sort(by))+1)%len(sorts)]
	if by == "" { // it was by id, the first of all is not the next
		next = sorts[(slices.Index(sorts, "id")+1)%len(sorts)]
	}
	if greatest {
		next = "-" + next
	}
	v.query.Sort, v.due = next, true
}

// typing edits the filter, at its end.
func (v *view) typing(event *tcell.EventKey, key string) {
	switch {
	case event.Key() == tcell.KeyRune:
		v.typed = append(v.typed, []rune(event.Str())...)
	case key == "Backspace":
		v.typed = v.typed[:max(len(v.typed)-1, 0)]
	case key == "Ctrl-U":
		v.typed = nil
	case key == "Esc":
		v.mode = modeList
	case key == "Enter":
		f, err := parseWords(string(v.typed))
		if err != nil {
			v.note = err.Error()
			return
		}
		v.mode, v.query.Filter, v.due = modeList, f, true
	}
}

// parseWords reads a filter that is typed as name=value, with spaces in between.
func parseWords(text string) (api.Filter, error) {
	query := url.Values{}
	for _, word := range strings.Fields(text) {
		name, value, found := strings.Cut(word, "=")
		name = strings.ReplaceAll(name, "-", "_")
		if !found || !slices.Contains(api.FilterParams(), name) {
			return api.Filter{}, fmt.Errorf("%q: write one of %s= and a value", word, strings.Join(api.FilterParams(), "=, "))
		}
		query.Add(name, value)
	}
	return api.ParseFilter(query)
}
