package dashboard_test

import (
	"fmt"
	"strings"
	"testing"

	"wswarden/proxy/admin/api"
)

func TestDetail(t *testing.T) {
	t.Parallel()
	c := newCrowd(500)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(loaded)
	p.wait(`document.querySelector('#stream').hidden`)
	var s api.Session
	for _, s = range c.sorted("-age") {
		if s.Subscriptions > 11 || s.State == api.StateOpen && s.Subscriptions > 3 {
			break
		}
	}
	eval[any](p, `document.querySelector('.rows .row[data-id="%s"]').click()`, s.ID)
	p.wait(`document.querySelectorAll('#detail-topics li').length === %d`, s.Subscriptions)
	shows := func(selector string, parts ...string) {
		t.Helper()
		text := p.text(selector)
		for _, part := range parts {
			if !strings.Contains(text, part) {
				t.Errorf("%s does not show %q: %s", selector, part, text)
			}
		}
	}
	shows("#detail-facts", s.Policy, s.Address.String(), string(s.State))
	shows("#detail-ahead", "lifetime: ends it", "max_age, code 1012", "heartbeat: ping client", "in 2")
	shows("#detail-past", "opened", "first message of the client", "last pong of the client")
	shows("#detail-pings", "client", "214")
	shows("#detail-topics", subscriptions(&s)[0].Topic, "live")
	if !eval[bool](p, `document.querySelector('.rows .row[data-id="%s"]').ariaSelected === 'true'`, s.ID) {
		t.Error("its row is not marked")
	}

	// What happens to it meanwhile becomes a part of its timeline.
	c.mu.Lock()
	c.tell(api.Event{Kind: api.EventWouldHave, Rule: "messages.rate", Limit: "messages.rate", Action: "drop"}, s)
	c.tell(api.Event{Kind: api.EventWouldHave, Rule: "idle", Action: "end", Cause: "idle"}, s)
	c.tell(api.Event{Kind: api.EventLimitHit, Limit: "subscriptions.max"}, s)
	c.mu.Unlock()
	p.wait(`document.querySelectorAll('#detail-past .would_have').length === 2`)
	shows("#detail-past", "messages.rate: would have dropped a message", "idle: would have ended it")
	p.wait(`document.querySelectorAll('#would-have-rows tr').length === 2`)
	shows("#would-have-rows", "messages.rate", "drop", "idle")
	p.wait(`document.querySelector('#done-rows').textContent.includes('subscriptions.max')`)

	p.expect("404")
	c.mu.Lock()
	c.end(c.index(s.ID), "idle", "client", 1001)
	c.mu.Unlock()
	p.wait(`document.querySelector('#detail-note').textContent.includes('idle, by client, close code 1001')`)
	p.wait(`document.querySelector('#ended-rows tr').textContent.includes('%s')`, s.ID)
	shows("#ended-rows tr", "idle", "client", "1001", s.Policy)
	if !eval[bool](p, `document.querySelector('#detail-end').disabled`) {
		t.Error("what has ended can be ended")
	}
}

// A policy that only observes is marked wherever it stands, and so is what its rules
// would do.
func TestObserving(t *testing.T) {
	t.Parallel()
	c := newCrowd(200)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(`[...document.querySelector('#policy').options].some((o) => o.value === 'staff' && o.text === 'staff (observe)')`)
	p.wait(`document.querySelector('.rows .observed')`)
	p.wait(`[...document.querySelectorAll('.rows .row:not(.absent)')].every((row) => row.classList.contains('observed') === (row.querySelector('[data-column=policy]').textContent === 'staff'))`)
	if badge := eval[string](p, `getComputedStyle(document.querySelector('.rows .observed [data-column=policy]'), '::after').content`); badge != `"observe"` {
		t.Errorf("the badge says %s", badge)
	}
	eval[any](p, `document.querySelector('.rows .observed').click()`)
	p.wait(`document.querySelector('#detail-facts .observes')?.textContent === 'staff'`)
	p.wait(`[...document.querySelectorAll('#detail-facts dt')].find((e) => e.textContent === 'Only observed').nextSibling.textContent === 'idle, messages.rate'`)
	p.wait(`document.querySelectorAll('#detail-ahead .would_have').length === 3`)
	for _, text := range []string{"idle: would end it", "heartbeat: would ping the client", "lifetime: would end it"} {
		if ahead := p.text("#detail-ahead"); !strings.Contains(ahead, text) {
			t.Errorf("%q is not ahead in %s", text, ahead)
		}
	}

	// One that no configuration has any more is marked as well, as long as it has sessions.
	c.mu.Lock()
	c.gone = []string{"staff", "everybody-else"}
	c.mu.Unlock()
	p.wait(`['staff (observe, gone)', 'everybody-else (gone)'].every((text) => [...document.querySelector('#policy').options].some((o) => o.text === text))`)
	p.wait(`[...document.querySelectorAll('.rows .row:not(.absent) [data-column=policy]')].every((cell) => cell.textContent === (cell.title === 'passengers' ? cell.title : cell.title + ' gone'))`)
	p.wait(`document.querySelector('#detail-facts .observes .gone')?.title`)
	p.accessible("observing", "#sessions-section")
}

// What had ended before the page was opened is there as well, once.
func TestEndedEarlier(t *testing.T) {
	t.Parallel()
	c := newCrowd(50)
	c.mu.Lock()
	for range 5 {
		c.end(0, "heartbeat_timeout", "client", 1001)
	}
	c.mu.Unlock()
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(`document.querySelectorAll('#ended-rows tr').length === 5`)

	c.mu.Lock()
	for reader := range c.readers {
		reader <- api.Event{Kind: api.EventLost, Lost: 1234}
	}
	c.mu.Unlock()
	p.wait(`document.querySelector('#lost').textContent.startsWith('1,234 events are missing')`)
}

// A stream that ends is followed again, and what was not read meanwhile is told.
func TestStreamBreaks(t *testing.T) {
	t.Parallel()
	c := newCrowd(50)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(`document.querySelector('#stream').hidden && document.querySelectorAll('.rows .row').length > 5`)
	c.mu.Lock()
	for reader := range c.readers {
		close(reader)
		delete(c.readers, reader)
	}
	c.mu.Unlock()
	p.wait(`document.querySelector('#stream').textContent.startsWith('The stream of events ended: next try in 1 s')`)
	p.wait(`document.querySelector('#stream').hidden && document.querySelector('#lost').textContent.endsWith('was not read. ')`)
	c.mu.Lock()
	c.end(0, "idle", "client", 1001)
	c.mu.Unlock()
	p.wait(`document.querySelectorAll('#ended-rows tr').length === 1`)
}

// Sessions that fit a filter are ended when their number has been typed.
func TestEndFiltered(t *testing.T) {
	t.Parallel()
	c := newCrowd(1000)
	p := open(t, serve(t, c, newTraffic(c), ""), sooner(4))
	p.wait(loaded)
	p.fill(`[name=older_than]`, "7h")
	p.wait(`!document.querySelector('#end-filtered').disabled && document.querySelector('#matched').textContent !== '1,000'`)
	p.click(`#end-filtered`)
	p.wait(`document.querySelector('#end-many').open`)
	fit := p.text("#end-many-type")
	if text := p.text("#end-many-filter"); text != "older than 7h" {
		t.Errorf("the filter in words is %q", text)
	}
	p.click(`#end-many [type=submit]`)
	p.wait(`document.querySelector('#end-many .problem').textContent === 'Type %s to confirm.'`, fit)
	p.fill(`#end-many [name=code]`, "1005")
	p.fill(`#end-many [name=number]`, fit)
	p.click(`#end-many [type=submit]`)
	p.wait(`document.querySelector('#end-many .problem').textContent.startsWith('1005 is not a close code')`)
	if n, _ := c.count(); n != 1000 {
		t.Fatalf("%d are left before it was confirmed", n)
	}
	p.fill(`#end-many [name=code]`, "1012")
	p.fill(`#end-many [name=reason]`, "night")
	p.click(`#end-many [type=submit]`)
	p.wait(`document.querySelector('#toast').textContent.endsWith('sessions are being ended.')`)
	p.wait(`document.querySelector('#matched').textContent === '0'`)
	n, told := c.count()
	if left := 1000 - n; fmt.Sprint(left) != fit {
		t.Errorf("%d were ended, want %s", left, fit)
	}
	if len(told) != 1 || told[0] != "older_than=7h0m0s: 1012 night" {
		t.Errorf("they were ended with %q", told)
	}
}

func TestLogin(t *testing.T) {
	t.Parallel()
	c := newCrowd(100)
	p := open(t, serve(t, c, newTraffic(c), "open-sesame"), sooner(4))
	p.expect("401")
	p.wait(`!document.querySelector('#login').hidden && document.activeElement.id === 'token'`)
	for _, dark := range []bool{true, false} {
		p.dark(dark)
		p.accessible("login", "body")
	}
	p.fill(`#token`, "sesame 1")
	p.click(`#login [type=submit]`)
	p.wait(`document.querySelector('#login-problem').textContent.startsWith('A token has no spaces')`)
	p.fill(`#token`, "sesame")
	p.click(`#login [type=submit]`)
	p.wait(`document.querySelector('#login-problem').textContent === 'wswarden does not take this token.'`)
	p.fill(`#token`, "open-sesame")
	p.click(`#login [type=submit]`)
	p.wait(`document.querySelector('#login').hidden`)
	p.wait(loaded)
	p.wait(`document.querySelector('#stream').hidden && document.querySelectorAll('.plot canvas').length === 7`)
	if where := eval[string](p, `JSON.stringify([Object.values(localStorage), document.cookie])`); strings.Contains(where, "sesame") {
		t.Error("the token outlives the tab")
	}
	eval[any](p, `document.querySelector('#forget').click()`)
	p.wait(`!document.querySelector('#login').hidden`)
}
