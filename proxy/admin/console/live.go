package console

import (
	"context"
	"fmt"
	"time"

	"github.com/gdamore/tcell/v3"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
)

// live runs the live screen on standard input and output. The first snapshot comes
// before it: what is wrong with the address or the token is told as by any command.
func (c *Console) live(ctx context.Context, w *watcher, o Watch) error {
	if o.Limit == 0 || o.Limit > client.PageLimit {
		o.Limit = client.PageLimit
	}
	first, err := w.look(ctx, o.Query)
	if err != nil {
		return err
	}
	tty, err := tcell.NewStdIoTty()
	if err != nil {
		return err
	}
	// A terminal is not asked what it can: one that does not answer holds up the start.
	options := []tcell.TerminfoScreenOption{tcell.OptNegotiation(false), tcell.OptSanitizeContent(true)}
	if !c.colours() {
		options = append(options, tcell.OptColors(0))
	}
	screen, err := tcell.NewTerminfoScreenFromTty(&validTty{Tty: tty}, options...)
	if err != nil {
		return err
	}
	v := newView(screen, w, o, first)
	return v.run(ctx)
}

// mode is what the screen shows, and so what keys do.
type mode int

const (
	modeList   mode = iota
	modeDetail      // of one session; Escape leaves it
	modeHelp        // any key leaves it
	modeFilter      // a filter is typed; Enter and Escape leave it
	modeKill        // a question; every key answers it
)

// view is the live screen. One goroutine has it; another one is on its way to the API
// now and then, but never two.
type view struct {
	screen   tcell.Screen
	watcher  *watcher
	query    Query
	interval time.Duration

	snapshot Snapshot
	err      error  // of the last answer
	note     string // about what was done last, until the next key
	quit     bool
	paused   bool

	mode     mode
	back     mode   // to which the question and the help return
	selected api.ID // in the list
	top      int    // its first row on the screen
	detail   *api.Detail
	gone     bool   // the detail's session is not there any more
	scroll   int    // of the detail
	typed    []rune // of the filter
	victim   api.ID // whom the question is about

	// asked is when the question began that is under way; zero: there is none.
	asked time.Time
	// due: there is something new to show. Questions that wait: kill goes first.
	due  bool
	kill request
}

// request asks the API something, and returns what to do with the answer. It must not
// touch the view: that is for what it returns.
type request func(ctx context.Context) func(v *view)

func newView(screen tcell.Screen, w *watcher, o Watch, first Snapshot) *view {
	v := &view{screen: screen, watcher: w, query: o.Query, interval: o.Interval, snapshot: first}
	v.follow(0)
	return v
}

// run shows the screen until somebody quits or ctx is done. Whatever happens, the
// terminal is as it was before.
func (v *view) run(ctx context.Context) error {
	if err := v.screen.Init(); err != nil {
		return fmt.Errorf("the terminal cannot be used: %w; try --output json", err)
	}
	defer v.screen.Fini()

	ctx, cancel := context.WithCancel(ctx)
	answers := make(chan func(*view), 1)
	defer func() { // the one that is under way
		cancel()
		if !v.asked.IsZero() {
			<-answers
		}
	}()
	next := time.NewTicker(v.interval)
	defer next.Stop()
	clock := time.NewTicker(time.Second) // tells how long an answer is waited for
	defer clock.Stop()

	for !v.quit {
		if r := v.request(); r != nil {
			v.asked = time.Now()
			go asking(ctx, r, answers)
		}
		v.draw()
		select {
		case <-ctx.Done():
			return nil
		case event := <-v.screen.EventQ():
			if !v.handle(event) {
				return nil
			}
		case answer := <-answers:
			v.asked = time.Time{}
			answer(v)
		case <-next.C:
			v.due = v.due || !v.paused
		case <-clock.C:
		}
	}
	return nil
}

// asking carries a request out. A panic goes to the goroutine that has the screen, and
// can restore the terminal.
func asking(ctx context.Context, r request, answers chan<- func(*view)) {
	answer := func(*view) {}
	defer func() {
		if p := recover(); p != nil {
			answer = func(*view) { panic(p) }
		}
		answers <- answer
	}()
	answer = r(ctx)
}

// request returns the next one, unless one is under way.
func (v *view) request() request {
	switch {
	case !v.asked.IsZero():
		return nil
	case v.kill != nil:
		r := v.kill
		v.kill = nil
		return r
	case v.due:
		v.due = false
		return v.look()
	}
	return nil
}

// look asks for what is to be seen: a snapshot, and the session that is looked at.
func (v *view) look() request {
	w, q := v.watcher, v.query
	var id api.ID
	if v.detail != nil && !v.gone {
		id = v.detail.ID
	}
	return func(ctx context.Context) func(*view) {
		snapshot, err := w.look(ctx, q)
		if err != nil || id == 0 {
			return func(v *view) { v.saw(snapshot, err) }
		}
		d, err := w.client.Session(ctx, id)
		return func(v *view) {
			v.saw(snapshot, nil)
			v.sawDetail(id, d, err)
		}
	}
}

func (v *view) saw(s Snapshot, err error) {
	if v.err = err; err == nil {
		index := v.index()
		v.snapshot = s
		v.follow(index)
	}
}

func (v *view) sawDetail(id api.ID, d api.Detail, err error) {
	switch {
	case v.detail == nil || v.detail.ID != id: // it was left meanwhile
	case err == nil:
		v.detail = &d
	case isUnknown(err):
		v.gone = true
	default:
		v.err = err
	}
}

// end asks to end a session.
func (v *view) end(id api.ID) {
	c := v.watcher.client
	v.kill = func(ctx context.Context) func(*view) {
		_, err := c.EndOne(ctx, id, 0, "")
		return func(v *view) {
			v.note = "session " + id.String() + " ends"
			if err != nil {
				v.note = about(id, err).Error()
			}
			v.due = true
		}
	}
}

// index of the selected session in the list; -1: it is not there.
func (v *view) index() int {
	for i := range v.snapshot.Sessions {
		if v.snapshot.Sessions[i].ID == v.selected {
			return i
		}
	}
	return -1
}

// follow keeps a session selected: the same one, or else the one at that place.
func (v *view) follow(index int) {
	if v.index() >= 0 {
		return
	}
	v.selected = 0
	if n := len(v.snapshot.Sessions); n > 0 {
		v.selected = v.snapshot.Sessions[min(max(index, 0), n-1)].ID
	}
}

// move selects another session, so many rows further.
func (v *view) move(rows int) {
	if n := len(v.snapshot.Sessions); n > 0 {
		v.selected = v.snapshot.Sessions[min(max(v.index()+rows, 0), n-1)].ID
	}
}
