package dashboard_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/network"
	devpage "github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"
	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"wswarden/proxy/admin"
	"wswarden/proxy/admin/dashboard"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(browsing{m}) }

// browsing ends the browser when no test needs it any more.
type browsing struct{ *testing.M }

func (b browsing) Run() int {
	code := b.M.Run()
	if stop := shared.stop; stop != nil {
		stop()
	}
	return code
}

// patience is for how long a test waits for the page before it fails.
const patience = 30 * time.Second

// missing skips a test for want of a tool, but fails it in CI.
func missing(t *testing.T, text string) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatal(text)
	}
	t.Skip(text)
}

func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	missing(t, "no browser: the dashboard is not tested until you install Debian's chromium")
	return ""
}

// serve has the real admin server tell of a crowd, and returns its address.
func serve(t *testing.T, c *crowd, metrics prometheus.Gatherer, token string) string {
	t.Helper()
	s, err := admin.New(admin.Options{Address: "127.0.0.1:0", Token: token, Source: c, Metrics: metrics, Dashboard: dashboard.Handler()})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr().String()
}

// shared is the browser of all tests: to start one takes longer than most tests.
var shared struct {
	once sync.Once
	ctx  context.Context
	err  error
	stop func()
}

func browser(t *testing.T) context.Context {
	t.Helper()
	path := chromium(t)
	shared.once.Do(func() {
		folder, err := os.MkdirTemp("", "dashboard")
		if err != nil {
			shared.err = err
			return
		}
		options := append(chromedp.DefaultExecAllocatorOptions[:],
			chromedp.ExecPath(path),
			chromedp.WindowSize(1280, 900),
			chromedp.UserDataDir(folder),
			chromedp.Flag("hide-scrollbars", false),
			chromedp.Flag("disable-gpu", true)) // there is none, and to play one costs more
		if os.Geteuid() == 0 {
			options = append(options, chromedp.NoSandbox)
		}
		allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
		ctx, cancel := chromedp.NewContext(allocator)
		shared.ctx, shared.err = ctx, chromedp.Do(ctx) // without a timeout: it would end the browser
		shared.stop = func() {
			_ = chromedp.Cancel(ctx)
			cancel()
			stop()
			_ = os.RemoveAll(folder)
		}
	})
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	return shared.ctx
}

// page is the dashboard in a window that shares nothing with those of other tests.
type page struct {
	t   *testing.T
	ctx context.Context
	url string

	following sync.WaitGroup

	mu       sync.Mutex
	requests []string // their URLs
	problems []string // what the console has said: the CSP too
	expected []string // parts of problems that are none
}

// sooner lets time pass so many times as fast for the page, by its timers and its clock.
func sooner(times int) string {
	return fmt.Sprintf(`{
		const now = Date.now.bind(Date), began = now(), later = setTimeout;
		Date.now = () => began + (now() - began) * %[1]d;
		window.setTimeout = (task, ms, ...more) => later(task, ms / %[1]d, ...more);
	}`, times)
}

// open opens a window with the page, and with scripts that run ahead of its own.
func open(t *testing.T, url string, scripts ...string) *page {
	t.Helper()
	ctx, cancel := chromedp.NewContext(browser(t), chromedp.WithNewBrowserContext())
	p := &page{t: t, ctx: ctx, url: url}
	t.Cleanup(func() {
		p.judge()
		cancel()
		p.following.Wait()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatal(err)
	}
	p.size(1280, 900, false)
	call(p, emulation.SetFocusEmulationEnabled, emulation.SetFocusEmulationEnabledParams{Enabled: true})
	p.follow()
	for _, script := range scripts {
		call(p, devpage.AddScriptToEvaluateOnNewDocument, devpage.AddScriptToEvaluateOnNewDocumentParams{Source: script})
	}
	p.do(chromedp.Navigate(url))
	return p
}

// call has the browser do what no action does.
func call[P, R any](p *page, command cdp.Command[P, R], params P) {
	p.t.Helper()
	if _, err := chromedp.Call(p.ctx, command, params); err != nil {
		p.t.Fatal(err)
	}
}

// follow keeps what the page asks for, and what its console says.
func (p *page) follow() {
	call(p, network.Enable, network.EnableParams{})
	requests := chromedp.Events(p.ctx, network.RequestWillBeSent)
	console := chromedp.Console(p.ctx)
	p.following.Go(func() {
		for e, err := range requests {
			if err != nil {
				return
			}
			p.mu.Lock()
			p.requests = append(p.requests, e.Request.URL)
			p.mu.Unlock()
		}
	})
	p.following.Go(func() {
		for m, err := range console {
			if err != nil {
				return
			}
			if m.Type == chromedp.ConsoleError || m.Type == chromedp.ConsoleWarning || m.IsException() {
				p.mu.Lock()
				p.problems = append(p.problems, m.String()+" "+m.URL)
				p.mu.Unlock()
			}
		}
	})
}

// expect says that the console may tell of something.
func (p *page) expect(part string) { p.expected = append(p.expected, part) }

// judge fails the test for a request to another origin and for what the console says.
func (p *page) judge() {
	p.mu.Lock()
	defer p.mu.Unlock()
	own, _ := url.Parse(p.url)
	if len(p.requests) == 0 {
		p.t.Error("no request was seen")
	}
	for _, request := range p.requests {
		if u, err := url.Parse(request); err != nil || u.Host != own.Host {
			p.t.Errorf("the page asked %s", request)
		}
	}
problems:
	for _, problem := range p.problems {
		for _, part := range p.expected {
			if strings.Contains(problem, part) {
				continue problems
			}
		}
		p.t.Errorf("the console says %s", problem)
	}
}

func (p *page) do(actions ...chromedp.Action[chromedp.Void]) {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		p.t.Fatal(err)
	}
}

// eval returns what an expression is in the page.
func eval[T any](p *page, expression string, values ...any) T {
	p.t.Helper()
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	value, err := chromedp.Run(ctx, chromedp.Evaluate[T](fmt.Sprintf(expression, values...), chromedp.EvalAwaitPromise))
	if err != nil {
		p.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// wait returns once a condition holds in the page.
func (p *page) wait(condition string, values ...any) {
	p.t.Helper()
	condition = fmt.Sprintf(condition, values...)
	look := fmt.Sprintf(`new Promise((done) => {
		const until = performance.now() + %d;
		(function look() {
			let held = false;
			try { held = Boolean(%s) } catch {}
			if (held || performance.now() > until) done(held); else setTimeout(look, 40);
		})();
	})`, (patience * 3 / 4).Milliseconds(), condition)
	ctx, cancel := context.WithTimeout(p.ctx, patience)
	defer cancel()
	held, err := false, errors.New("not asked yet")
	for err != nil && ctx.Err() == nil { // a page that is loaded anew takes the question with it
		held, err = chromedp.Run(ctx, chromedp.Evaluate[bool](look, chromedp.EvalAwaitPromise))
	}
	if !held {
		p.t.Fatalf("this did not come true: %s\nthe page says:\n%s", condition, eval[string](p, `document.body.innerText.slice(0, 3000)`))
	}
}

func (p *page) click(selector string) {
	p.t.Helper()
	p.do(chromedp.Click(chromedp.CSS(selector)))
}

// fill puts a text into a field in place of what is there, as from a clipboard.
func (p *page) fill(selector, text string) {
	p.t.Helper()
	p.wait(`(document.querySelector(%[1]q).value = '', document.querySelector(%[1]q).focus(), true)`, selector)
	call(p, input.InsertText, input.InsertTextParams{Text: text})
}

func (p *page) press(keys ...string) {
	p.t.Helper()
	for _, key := range keys {
		p.do(chromedp.KeyEvent(key))
	}
}

// text is that of an element.
func (p *page) text(selector string) string {
	p.t.Helper()
	return eval[string](p, `document.querySelector(%q).textContent`, selector)
}

func (p *page) rows() int {
	p.t.Helper()
	return eval[int](p, `document.querySelectorAll('.rows .row').length`)
}

// shot keeps a picture of what can be seen.
func (p *page) shot(file string) {
	p.t.Helper()
	png, err := chromedp.Run(p.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// size makes the window so large; as a phone's with touch and two pixels in one.
func (p *page) size(width, height int64, phone bool) {
	p.t.Helper()
	scale := 1.0
	if phone {
		scale = 2
	}
	call(p, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: width, Height: height, DeviceScaleFactor: scale, Mobile: phone})
}

func (p *page) dark(on bool) {
	p.t.Helper()
	scheme := "light"
	if on {
		scheme = "dark"
	}
	call(p, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
}
