package dashboard_test

import (
	"flag"
	"path/filepath"
	"testing"
	"time"
)

var shots = flag.String("shots", "", "folder for pictures of the dashboard")

// go test ./proxy/admin/dashboard -run Pictures -shots FOLDER
func TestPictures(t *testing.T) {
	if *shots == "" {
		t.Skip("pictures of the dashboard are made with -shots FOLDER")
	}
	c := newCrowd(9000)
	c.gone = []string{observing, "everybody-else"}
	c.refused = []string{"wswarden.yaml:23:13: policies[0].idle.timeout"}
	traffic := newTraffic(c)
	traffic.churn, traffic.speed = true, 10
	_, err := traffic.Gather()
	if err != nil {
		t.Fatal(err)
	}
	p := open(t, serve(t, c, traffic, ""), sooner(10)) // five minutes of charts in half a minute
	p.expect("v1/sessions")                            // what has ended, and a filter that is wrong
	shot := func(name string) { p.shot(filepath.Join(*shots, name+".png")) }
	older := func(text string) { // by hand, the page would be too quick
		eval[any](p, `{ const e = document.querySelector('[name=older_than]'); e.value = %q; e.dispatchEvent(new Event('input', { bubbles: true })) }`, text)
	}
	time.Sleep(31 * time.Second)
	traffic.mu.Lock()
	traffic.speed = 1 // so that what is looked at stays
	traffic.mu.Unlock()
	time.Sleep(time.Second)

	p.dark(false)
	p.size(1280, 900, false)
	p.wait(`document.querySelectorAll('.rows .row').length > 5`)
	shot("light")
	p.dark(true)
	time.Sleep(time.Second)
	shot("dark")
	p.dark(false)
	eval[any](p, `scrollTo(0, 3000)`)
	time.Sleep(time.Second)
	shot("light-end")
	eval[any](p, `scrollTo(0, 0)`)

	eval[any](p, `document.querySelector(".rows .row:nth-child(5)").click()`)
	p.wait(`document.querySelector('#detail-facts dd')`)
	time.Sleep(time.Second)
	eval[any](p, `document.querySelector('#sessions-section').scrollIntoView()`)
	shot("detail")
	p.dark(true)
	time.Sleep(time.Second)
	shot("detail-dark")
	p.dark(false)
	eval[any](p, `document.querySelector("#detail-end").click()`)
	time.Sleep(time.Second)
	shot("dialog")
	eval[any](p, `document.querySelector("dialog[open]").close()`)
	eval[any](p, `document.querySelector("#detail-close").click()`)
	older("2h")
	p.wait(`!document.querySelector('#end-filtered').disabled`)
	eval[any](p, `document.querySelector("#end-filtered").click()`)
	p.wait(`document.querySelector('#end-many').open`)
	shot("dialog-many")
	eval[any](p, `document.querySelector("dialog[open]").close()`)
	older("2")
	time.Sleep(time.Second)
	shot("wrong")
	eval[any](p, `document.querySelector("#filter [type=reset]").click()`)

	p.size(390, 844, true)
	time.Sleep(time.Second)
	for _, part := range []string{"top", "#chart-limits", "#sessions-section", "#events-title"} {
		eval[any](p, `document.querySelector(%q)?.scrollIntoView()`, part)
		time.Sleep(500 * time.Millisecond)
		shot("phone-" + map[string]string{"top": "1", "#chart-limits": "2", "#sessions-section": "3", "#events-title": "4"}[part])
	}
	eval[any](p, `document.querySelector('#sessions-section').scrollIntoView()`)
	eval[any](p, `document.querySelector('.rows .row').click()`)
	time.Sleep(time.Second)
	shot("phone-detail")
	p.size(360, 800, true)
	time.Sleep(time.Second)
	if wide := eval[int](p, `document.documentElement.scrollWidth`); wide > 360 {
		t.Errorf("the page is %d pixels wide on a phone of 360", wide)
	}
}
