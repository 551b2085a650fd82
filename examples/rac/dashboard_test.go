package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/fasthttp/websocket"
)

// browser is a page in a Chromium of its own.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// look opens the page at a URL.
func look(t *testing.T, url string) *browser {
	t.Helper()
	var path string
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome"} {
		if found, err := exec.LookPath(name); err == nil {
			path = found
			break
		}
	}
	if path == "" {
		const text = "no browser: nobody looks at the dashboard until you install Debian's chromium"
		if os.Getenv("CI") == "true" {
			t.Fatal(text)
		}
		t.Skip(text)
	}
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(path), chromedp.WindowSize(1280, 900), chromedp.UserDataDir(t.TempDir()))
	if os.Geteuid() == 0 {
		options = append(options, chromedp.NoSandbox)
	}
	allocator, stop := chromedp.NewExecAllocator(context.Background(), options...)
	ctx, cancel := chromedp.NewContext(allocator)
	t.Cleanup(func() {
		_ = chromedp.Cancel(ctx)
		cancel()
		stop()
	})
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		t.Fatal(err)
	}
	return &browser{t, ctx}
}

// wait returns once a condition holds in the page.
func (b *browser) wait(condition string, values ...any) {
	b.t.Helper()
	condition = fmt.Sprintf(condition, values...)
	for until := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		held, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+condition+")"))
		if held && err == nil {
			return
		}
		if time.Now().After(until) {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText.slice(0, 2000)`))
			b.t.Fatalf("this did not come true: %s (%v)\nthe page says:\n%s", condition, err, text)
		}
	}
}

func (b *browser) do(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, 30*time.Second)
	defer cancel()
	if err := chromedp.Do(ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

func (b *browser) shot(file string) {
	b.t.Helper()
	png, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err == nil {
		err = os.WriteFile(file, png, 0o644)
	}
	if err != nil {
		b.t.Error(err)
	}
}

// While the clients come and go, an operator sees zombies end on the dashboard, finds
// one session among the others, and ends it with a click: its client is told so.
func TestOperatorEndsASessionOnTheDashboard(t *testing.T) {
	t.Parallel()
	backend, err := start(roleBackend, "0s")
	if err != nil {
		t.Fatal(err)
	}
	defer backend.stop()
	wswarden, err := start(roleWswarden, backend.addr, "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer wswarden.stop()
	page := look(t, "http://"+wswarden.admin+"/")

	ctx, leave := context.WithCancel(context.Background())
	left := make(chan struct{})
	crowd := newFleet(wswarden.addr, options{clients: 40, duration: 4 * time.Second, seed: 1})
	go func() {
		defer close(left)
		crowd.run(ctx)
	}()
	defer func() {
		leave()
		<-left
	}()
	const pnr = "4242424242"
	client, err := open(wswarden.addr, passenger, "IR4242", []string{pnr})
	if err != nil {
		t.Fatal(err)
	}

	page.wait(`document.querySelectorAll('.rows .row').length > 5`)
	page.wait(`document.querySelector('#ended-rows').textContent.includes('heartbeat')`) // a zombie
	if folder := os.Getenv("SHOTS"); folder != "" {
		page.shot(folder + "/rac.png")
	}
	page.do(chromedp.SendKeys(chromedp.CSS(`#filter [name=topic]`), pnr+"\r"))
	page.wait(`document.querySelectorAll('.rows .row').length === 1`)
	page.do(chromedp.Click(chromedp.CSS(`.rows .row`)))
	page.wait(`document.querySelector('#detail-topics').textContent.includes('%s')`, pnr)
	page.do(chromedp.Click(chromedp.CSS(`#detail-end`)))
	page.wait(`document.querySelector('#end-one').open`)
	page.do(
		chromedp.SendKeys(chromedp.CSS(`#end-one [name=code]`), "4711"),
		chromedp.SendKeys(chromedp.CSS(`#end-one [name=reason]`), "seat is sold"),
		chromedp.Click(chromedp.CSS(`#end-one [type=submit]`)))

	select {
	case <-client.gone:
	case <-time.After(30 * time.Second):
		t.Fatal("the client is not told that its session ends")
	}
	var closed *websocket.CloseError
	if !errors.As(client.why, &closed) || closed.Code != 4711 || closed.Text != "seat is sold" {
		t.Errorf("the client was told %v, want 4711, seat is sold", client.why)
	}
	page.wait(`document.querySelector('#ended-rows').textContent.includes('killed')`)
	if n := crowd.live.Load(); n == 0 {
		t.Error("the others are gone, too")
	}
}
