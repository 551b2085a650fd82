package dashboard_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp/kb"

	"wswarden/proxy/admin/api"
)

const (
	loaded = `document.querySelectorAll('.rows .row:not(.absent)').length > 5`
	rowIDs = `[...document.querySelectorAll('.rows .row')].sort((a, b) => a.ariaRowIndex - b.ariaRowIndex).map((r) => r.dataset.id)`
)

func (c *crowd) sorted(sort api.Sort) []api.Session {
	c.mu.Lock()
	defer c.mu.Unlock()
	all := slices.Clone(c.sessions)
	slices.SortFunc(all, func(a, b api.Session) int { return sort.Compare(&a, &b) })
	return all
}

// watchLabels keeps what is written beyond an edge of a canvas.
const watchLabels = `{
	window.labels = { all: new Set(), cut: new Set() };
	const pen = CanvasRenderingContext2D.prototype, { fillText } = pen;
	pen.fillText = function (text, x, y) {
		const { e, f } = this.getTransform(), size = this.measureText(text);
		const left = e + x - size.actualBoundingBoxLeft, right = e + x + size.actualBoundingBoxRight;
		const top = f + y - size.actualBoundingBoxAscent, bottom = f + y + size.actualBoundingBoxDescent;
		labels.all.add(text);
		if (text && (left < 0 || top < 0 || right > this.canvas.width || bottom > this.canvas.height)) labels.cut.add(text);
		return fillText.call(this, text, x, y);
	};
}`

// The charts get a sample a second, and say in words what they show.
func TestCharts(t *testing.T) {
	t.Parallel()
	c := newCrowd(1000)
	traffic := newTraffic(c)
	p := open(t, serve(t, c, traffic, ""), sooner(4), watchLabels)
	value := func(chart, word string) string {
		return fmt.Sprintf(`[...document.querySelectorAll('#chart-%s .legend li')].find((li) => li.querySelector('.word').textContent === '%s')?.querySelector('b').textContent`, chart, word)
	}
	p.wait(value("live", "sessions") + ` === '1,000'`)
	p.wait(`parseFloat(` + value("turnover", "opened") + `) > 0`)
	p.wait(`parseFloat(` + value("turnover", "client close") + `) > 0`)
	p.wait(`parseFloat(` + value("turnover", "would have: idle") + `) >= 0 && parseFloat(` + value("turnover", "would have refused") + `) >= 0`)
	p.wait(`/ (ms|µs)$/.test(` + value("ping", "p99") + `)`)
	p.wait(`/iB\/s · .* msg\/s$/.test(` + value("bytes", "to clients") + `)`)
	p.wait(`parseFloat(` + value("limits", "would have: messages.rate") + `) >= 0 && parseFloat(` + value("limits", "done: messages.rate") + `) >= 0`)
	p.wait(value("loops", "busiest") + `.endsWith('%%') && / (ms|µs)$/.test(` + value("loops", "lag p99") + `)`)
	p.wait(`document.querySelectorAll('.plot canvas').length === 7`)
	p.wait(`document.querySelector('#version').textContent === 'v0.5.0' && document.querySelector('#uptime').textContent === 'up 2d 03h'`)
	p.wait(`document.querySelector('#health-text').textContent === 'Ready'`)

	// What stands at the axes and in the legends is there whole.
	for _, width := range []int64{1280, 390} {
		p.size(width, 900, false)
		eval[any](p, `labels.all.clear()`)
		p.wait(`innerWidth === %d && [...labels.all].some((text) => /^\d{3} KiB$/.test(text))`, width)
		p.wait(`[...document.querySelectorAll('.legend li > *')].every((e) => e.scrollWidth <= e.clientWidth || !e.clientWidth)`)
	}
	if cut := eval[[]string](p, `[...labels.cut]`); len(cut) > 0 {
		t.Errorf("these labels are cut off: %q", cut)
	}
	p.size(1280, 900, false)

	// One policy alone.
	all := len(c.sessions)
	staff := 0
	for _, s := range c.sessions {
		if s.Policy == "staff" {
			staff++
		}
	}
	if staff == 0 || staff == all {
		t.Fatal("the crowd has one policy")
	}
	eval[any](p, `{ const s = document.querySelector('#policy'); s.value = 'staff'; s.dispatchEvent(new Event('change')) }`)
	p.wait(value("live", "sessions")+` === '%d'`, staff)
	p.wait(`document.querySelector('#matched').textContent === '%d'`, staff)
	p.wait(`[...document.querySelectorAll('.rows [data-column=policy]')].every((cell) => cell.textContent === 'staff')`)

	// What readiness says is told in words. That the latest configuration is not in use
	// is told apart.
	refuse := func(problems ...string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.refused = problems
	}
	refuse("wswarden.yaml:3:5: policies[0].idle", "wswarden.yaml:4:5: drain")
	p.wait(`!document.querySelector('#notice').hidden && document.querySelector('#health-text').textContent === 'Ready'`)
	if text := p.text("#notice"); !strings.HasPrefix(text, "The configuration before goes on: ") || !strings.HasSuffix(text, "wswarden.yaml:3:5: policies[0].idle. wswarden reload and the log say what to write.") {
		t.Errorf("the notice is %q", text)
	}
	p.accessible("notice", "#notice")
	refuse()
	p.wait(`document.querySelector('#notice').hidden`)
	c.mu.Lock()
	c.ready = api.Readiness{Checks: map[string]string{"upstream": "connection refused"}}
	c.mu.Unlock()
	p.expect("503")
	p.wait(`document.querySelector('#health-text').textContent === 'Not ready: upstream: connection refused'`)
}

// A hidden page asks nothing, and goes on when it is seen again.
func TestHiddenPageRests(t *testing.T) {
	t.Parallel()
	c := newCrowd(100)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(loaded)
	count := func() int { p.mu.Lock(); defer p.mu.Unlock(); return len(p.requests) }
	hide := func(hidden bool) {
		eval[any](p, `{ Object.defineProperty(document, 'hidden', { configurable: true, get: () => %v }); document.dispatchEvent(new Event('visibilitychange')) }`, hidden)
	}
	hide(true)
	c.mu.Lock()
	readers := len(c.readers)
	c.mu.Unlock()
	if eval[string](p, `document.querySelector('#stream').textContent`) == "" {
		t.Errorf("%d streams of events, and nothing is said of it", readers)
	}
	before := count()
	eval[any](p, `new Promise((done) => setTimeout(done, 2500))`) // of the page's time: two samples
	if after := count(); after != before {
		t.Errorf("%d requests while hidden", after-before)
	}
	hide(false)
	p.wait(`document.querySelector('#stream').hidden`)
	for deadline := time.Now().Add(patience); count() < before+3; {
		if time.Now().After(deadline) {
			t.Fatal("it asks nothing after it is seen again")
		}
		p.wait(`new Promise((done) => setTimeout(() => done(true), 50))`)
	}
}

// Of 50,000 sessions, those that are seen are in the document, the last as easily as the first.
func TestManySessions(t *testing.T) {
	t.Parallel()
	const many = 50_000
	c := newCrowd(many)
	p := open(t, serve(t, c, newTraffic(c), ""))
	p.wait(loaded)
	p.wait(`document.querySelector('#matched').textContent === '50,000'`)
	oldestFirst := c.sorted("-age")
	few := func() {
		t.Helper()
		if n := p.rows(); n == 0 || n >= 100 {
			t.Errorf("%d rows are in the document", n)
		}
	}
	few()
	if id := eval[[]string](p, rowIDs)[0]; id != oldestFirst[0].ID.String() {
		t.Errorf("the first session is %s, want %s", id, oldestFirst[0].ID)
	}
	if rows := eval[string](p, `document.querySelector('#sessions').getAttribute('aria-rowcount')`); rows != "50001" {
		t.Errorf("aria-rowcount is %s", rows)
	}

	scroll := func(share float64) {
		eval[any](p, `{ const s = document.querySelector('#sessions'); s.scrollTop = (s.scrollHeight - s.clientHeight) * %v }`, share)
	}
	scroll(1)
	p.wait(`document.querySelector('.rows .row[aria-rowindex="50001"]')?.dataset.id === '%s'`, oldestFirst[many-1].ID)
	few()
	p.wait(`!document.querySelector('#stillness').hidden`) // down here, the rows stand still
	scroll(0.1)
	p.wait(`document.querySelector('.rows .row[aria-rowindex="5001"]')?.dataset.id === '%s'`, oldestFirst[4999].ID)
	few()
	eval[any](p, `document.querySelector('#to-top').click()`)
	p.wait(`document.querySelector('.rows .row[aria-rowindex="2"]')?.dataset.id === '%s'`, oldestFirst[0].ID)
	p.wait(`document.querySelector('#stillness').hidden`)

	for _, by := range []struct {
		column string
		sort   api.Sort
	}{
		{"Bytes", "-bytes"}, // numbers begin with the greatest
		{"Address", "address"},
		{"Session", "id"},
		{"Session", "-id"}, // the same again turns it round
	} {
		eval[any](p, `[...document.querySelectorAll('.heads button')].find((b) => b.textContent === '%s').click()`, by.column)
		p.wait(`document.querySelector('.rows .row[aria-rowindex="2"]')?.dataset.id === '%s'`, c.sorted(by.sort)[0].ID)
		direction := "ascending"
		if by.sort[0] == '-' {
			direction = "descending"
		}
		p.wait(`document.querySelector('.heads [aria-sort]').getAttribute('aria-sort') === '%s'`, direction)
	}
}

func TestFilter(t *testing.T) {
	t.Parallel()
	c := newCrowd(3000)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(loaded)
	all := c.sorted("-age")
	if !eval[bool](p, `document.querySelector('#end-filtered').disabled`) {
		t.Error("all sessions can be ended without a filter")
	}
	matches := func(fits func(s *api.Session) bool) {
		t.Helper()
		n := 0
		for i := range all {
			if fits(&all[i]) {
				n++
			}
		}
		if n == 0 || n == len(all) {
			t.Fatal("this filter says nothing")
		}
		p.wait(`document.querySelector('#matched').textContent.replace(',', '') === '%d'`, n)
		eval[any](p, `document.querySelector('#filter').reset()`)
		p.wait(`document.querySelector('#matched').textContent === '3,000'`)
	}
	user := all[0]
	for i := range all {
		if all[i].Identity != "" {
			user = all[i]
			break
		}
	}
	p.fill(`[name=address]`, "10.2.0.0/16")
	matches(func(s *api.Session) bool { return strings.HasPrefix(s.Address.String(), "10.2.") })
	p.fill(`[name=identity]`, user.Identity)
	matches(func(s *api.Session) bool { return s.Identity == user.Identity })
	topic := subscriptions(&all[slices.IndexFunc(all, func(s api.Session) bool { return s.Subscriptions > 0 })])[0].Topic
	p.fill(`[name=topic]`, topic)
	matches(func(s *api.Session) bool { return on(s, topic) })
	p.fill(`[name=older_than]`, "7h")
	matches(func(s *api.Session) bool { return time.Since(s.Opened) >= 7*time.Hour })
	p.fill(`[name=idle_for]`, "4000h")
	p.wait(`document.querySelector('#none').textContent === 'No session fits the filter.'`)
	eval[any](p, `document.querySelector('#filter').reset()`)
	p.wait(`document.querySelector('#matched').textContent === '3,000'`)
	eval[any](p, `{ const s = document.querySelector('[name=state]'); s.value = 'closing'; s.dispatchEvent(new Event('input', { bubbles: true })) }`)
	matches(func(s *api.Session) bool { return s.State == api.StateClosing })

	// What the API does not take is told at its field.
	p.expect("400")
	p.fill(`[name=older_than]`, "7")
	p.wait(`document.querySelector('[name=older_than]').ariaInvalid === 'true'`)
	if text := p.text("#filter-error"); !strings.Contains(text, "90s, 5m or 2h") {
		t.Errorf("it is told that %q", text)
	}
	p.fill(`[name=older_than]`, "7h")
	p.wait(`document.querySelector('[name=older_than]').ariaInvalid === 'false' && !document.querySelector('#filter-error').textContent`)
}

// Nothing but keys: from the table to the detail, to the end of the session, and back.
func TestKeyboard(t *testing.T) {
	t.Parallel()
	c := newCrowd(2000)
	p := open(t, serve(t, c, newTraffic(c), ""))
	p.wait(loaded)
	all := c.sorted("-age")
	focused := func(condition string, values ...any) {
		t.Helper()
		p.wait(`((e) => `+condition+`)(document.activeElement)`, values...)
	}
	p.press(kb.Tab)
	focused(`e.classList.contains('skip')`)
	p.press(kb.Enter, kb.Tab)
	for range 40 { // past the filter and the heads
		if eval[bool](p, `document.activeElement.matches('.rows .row')`) {
			break
		}
		p.press(kb.Tab)
	}
	focused(`e.matches('.rows .row[aria-rowindex="2"]')`)
	p.press(kb.ArrowDown, kb.ArrowDown, kb.ArrowDown, kb.ArrowUp)
	focused(`e.matches('.rows .row[aria-rowindex="4"]')`)
	p.press(kb.End)
	focused(`e.ariaRowIndex === '2001'`)
	p.wait(`document.activeElement.dataset.id === '%s'`, all[1999].ID)
	p.press(kb.Home, kb.ArrowDown)
	focused(`e.dataset.id === '%s'`, all[1].ID)
	p.press(kb.Enter)
	p.wait(`document.querySelector('#detail-id').textContent === '%s' && !document.querySelector('#detail-body').hidden`, all[1].ID)
	focused(`e.id === 'detail-title'`)
	p.press(kb.Escape)
	focused(`e.dataset.id === '%s'`, all[1].ID)
	if !eval[bool](p, `document.querySelector('#detail').hidden`) {
		t.Error("Escape leaves the detail open")
	}

	p.press(kb.Enter)
	focused(`e.id === 'detail-title' && !document.querySelector('#detail-end').disabled`)
	p.press(kb.Tab)
	focused(`e.id === 'detail-end'`)
	p.press(kb.Enter)
	p.wait(`document.querySelector('#end-one').open`)
	p.press(kb.Escape) // of the dialog alone
	p.wait(`!document.querySelector('#end-one').open && !document.querySelector('#detail').hidden`)
	focused(`e.id === 'detail-end'`)
	p.press(kb.Enter)
	focused(`e.name === 'code'`)
	p.press("4", "0", "0", "1", kb.Tab, "b", "y", "e", kb.Enter)
	p.expect("404") // the detail, soon after
	p.wait(`!document.querySelector('#end-one').open`)
	if _, told := c.count(); !slices.Equal(told, []string{fmt.Sprintf("%s: 4001 bye", all[1].ID)}) {
		t.Errorf("sessions were ended with %q", told)
	}
	p.wait(`document.querySelector('#detail-note').textContent.includes('killed, by wswarden, close code 4001')`)
}
