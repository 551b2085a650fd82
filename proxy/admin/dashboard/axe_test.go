package dashboard_test

import (
	"os"
	"testing"
)

// accessible fails the test for what axe finds serious or critical in the page as it
// is, within what a selector names.
func (p *page) accessible(look, within string) {
	p.t.Helper()
	axe, err := os.ReadFile("node_modules/axe-core/axe.min.js")
	if err != nil {
		missing(p.t, "accessibility is not tested until you run: npm ci --prefix proxy/admin/dashboard")
	}
	if !eval[bool](p, `'axe' in window`) {
		eval[any](p, "%s;undefined", string(axe))
	}
	p.wait(`document.getAnimations().length === 0`) // what fades in has little contrast for a moment
	for _, violation := range eval[[]string](p, `axe.run(%q, { resultTypes: ['violations'] }).then((r) => r.violations
		.filter((v) => v.impact === 'serious' || v.impact === 'critical')
		.map((v) => v.id + ': ' + v.help + ': ' + v.nodes.slice(0, 3).map((n) => n.html + ' ' + n.any.map((a) => a.message)).join(' | ')))`, within) {
		p.t.Errorf("%s: %s", look, violation)
	}
}

func TestAccessible(t *testing.T) {
	t.Parallel()
	c := newCrowd(3000)
	for range 5 {
		c.end(0, "idle", "client", 1001)
	}
	p := open(t, serve(t, c, newTraffic(c), ""))
	p.wait(loaded)
	p.wait(`document.querySelectorAll('#ended-rows tr').length === 5 && document.querySelectorAll('#chart-turnover .legend li').length > 2`)
	for _, dark := range []bool{false, true} {
		look := map[bool]string{false: "light", true: "dark"}[dark]
		p.dark(dark)
		p.size(1280, 900, false)
		p.accessible(look, "body")
		eval[any](p, `document.querySelector('.rows .row').click()`)
		p.wait(`document.querySelector('#detail-facts dd')`)
		p.accessible(look+", detail", "#detail")
		eval[any](p, `document.querySelector('#detail-end').click()`)
		p.wait(`document.querySelector('#end-one').open`)
		p.accessible(look+", dialog", "#end-one")
		eval[any](p, `document.querySelector('#end-one .cancel').click()`)
		eval[any](p, `document.querySelector('#detail-close').click()`)
		p.size(390, 844, true)
		p.wait(`innerWidth === 390`)
		p.accessible(look+", phone", "body")
		eval[any](p, `document.querySelector('.rows .row').click()`)
		p.wait(`document.querySelector('#detail-facts dd')`)
		p.accessible(look+", phone, detail", "#detail")
		eval[any](p, `document.querySelector('#detail-close').click()`)
	}

	// Nothing is wider than a narrow phone.
	p.size(360, 780, true)
	p.wait(`innerWidth === 360 && document.documentElement.scrollWidth <= 360`)
}
