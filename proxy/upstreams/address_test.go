package upstreams

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"wswarden/config"
)

const (
	a = "10.0.0.1:80"
	b = "10.0.0.2:80"
	c = "10.0.0.3:80"
)

func TestAddressesOfServers(t *testing.T) {
	t.Parallel()
	h := of(t, "http://10.0.0.1", "https://10.0.0.1:443", "http://[::1]:5000", "unix:/run/app.sock",
		"http://10.0.0.1:80", "http://[::ffff:10.0.0.1]", "https://shop.example", "https://app.example")
	h.zone.set("shop.example", answer{addrs: "10.9.9.9"})
	h.zone.set("app.example", answer{addrs: "10.9.9.9 ::ffff:10.9.9.8 10.9.9.9"})
	if _, err := h.Pick("", second); err != nil {
		t.Fatal(err)
	}
	for _, want := range []struct{ label, network, target, host string }{
		{"10.0.0.1:80", "tcp", "10.0.0.1:80", "10.0.0.1"},
		{"10.0.0.1:443 (10.0.0.1)", "tcp", "10.0.0.1:443", "10.0.0.1"},
		{"[::1]:5000", "tcp", "[::1]:5000", "::1"},
		{"unix:/run/app.sock", "unix", "/run/app.sock", ""},
		{"10.9.9.9:443 (shop.example)", "tcp", "10.9.9.9:443", "shop.example"},
		{"10.9.9.9:443 (app.example)", "tcp", "10.9.9.9:443", "app.example"},
		{"10.9.9.8:443 (app.example)", "tcp", "10.9.9.8:443", "app.example"},
	} {
		a := h.at(want.label)
		if network, target := a.Target(); network != want.network || target != want.target || a.Host() != want.host {
			t.Errorf("%s: %s %s of %q, want %+v", a, network, target, a.Host(), want)
		}
	}
	if n := len(h.Addresses()); n != 7 {
		t.Errorf("%d addresses: %s", n, join(h.Addresses()))
	}
}

func TestSessionsAreCounted(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			for range 1000 {
				h.at(a).Enter()
				h.at(a).Leave()
			}
			h.at(a).Enter()
		})
	}
	all.Wait()
	if n := h.at(a).Sessions(); n != 8 {
		t.Errorf("%d sessions, want 8", n)
	}
}

// What opens a breaker is told once, and so is what closes it; trials are not.
func TestBreakerIsTold(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a)
	fail(h.at(a), 4)
	h.at(a).Connected()
	fail(h.at(a), 4)
	if h.at(a).Down() {
		t.Error("down after four failures")
	}
	h.wantLog()
	fail(h.at(a), 3)
	if !h.at(a).Down() {
		t.Error("not down after seven")
	}
	h.wantLog("WARN upstream's breaker opened address=10.0.0.1:80 failures=5 retry_after=5s error=connection refused")
	for range 3 {
		h.advance(5 * second)
		h.pick("") // the trial
		fail(h.at(a), 1)
	}
	h.wantLog()
	h.at(a).Connected()
	h.at(a).Connected()
	if h.at(a).Down() {
		t.Error("connected, and yet down")
	}
	h.wantLog("INFO upstream's breaker closed address=10.0.0.1:80")
}

// All breakers that there are open at once: the log keeps its head.
func TestLogIsBounded(t *testing.T) {
	t.Parallel()
	var urls []string
	for i := range 200 {
		urls = append(urls, fmt.Sprintf("http://10.0.0.%d", i))
	}
	h := of(t, urls...)
	for _, address := range h.Addresses() {
		fail(address, 5)
	}
	h.log.mu.Lock()
	h.log.buf.Reset()
	h.log.mu.Unlock()
	h.advance(60 * second)
	h.at(a).Connected()
	if line := h.log.take(t); line != "INFO upstream's breaker closed address=10.0.0.1:80 others_since=170" {
		t.Error(line)
	}
}

func TestLongErrorsAreCut(t *testing.T) {
	t.Parallel()
	if got := text(errors.New(string(make([]byte, 1000)))); len(got) != 200 || text(nil) != "" {
		t.Errorf("%d bytes", len(got))
	}
}

// The first losses are sessions of their own, those after them a wave.
func TestLossesOfAnAddress(t *testing.T) {
	t.Parallel()
	for _, failures := range []int{0, 5} {
		h := build(t, func(c *config.Upstream) {
			c.URLs = []string{"http://" + a, "http://" + b}
			c.Breaker.Failures = failures
		})
		for i := range 10 {
			now := h.now()
			if got, want := h.at(a).Lost(now), i >= 5; got != want {
				t.Errorf("breaker.failures %d, loss %d: wave %v", failures, i+1, got)
			}
		}
		if h.at(b).Lost(h.now()) || h.at(a).Down() {
			t.Error("a wave at the other address, or a breaker that has opened")
		}
		h.advance(second)
		if h.at(a).Lost(h.now()) {
			t.Error("a wave of one")
		}
	}
}

// A reload keeps addresses with all that is known of them.
func TestReloadKeeps(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a, "http://"+b)
	before := h.Pool
	kept, gone := h.at(a), h.at(b)
	kept.Enter()
	gone.Enter()
	fail(kept, 5)
	h.reload(func(u *config.Upstream) { u.URLs = []string{"http://" + c, "http://" + a} })
	if h.at(a) != kept || kept.Sessions() != 1 || !kept.Down() {
		t.Errorf("address, count or breaker is lost: %d, %v", kept.Sessions(), kept.Down())
	}
	if got := h.pick(""); got != c {
		t.Errorf("picked %s", got)
	}
	if order, err := before.Pick("", second); err != nil || join(order) != b {
		t.Errorf("a handshake that has begun before gets %v, %v", order, err)
	}
	// Retired with a session, it is shown; what has neither is not.
	want := map[string]float64{
		"address_up " + a: 0, "address_sessions " + a: 1, "breaker_open " + a: 1,
		"address_up " + b: 1, "address_sessions " + b: 1, "breaker_open " + b: 0,
		"address_up " + c: 1, "address_sessions " + c: 0, "breaker_open " + c: 0,
	}
	if got := h.metrics(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metrics %v, want %v", got, want)
	}
	gone.Leave()
	for metric := range want {
		if metric[len(metric)-len(b):] == b {
			delete(want, metric)
		}
	}
	if got := h.metrics(); fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("metrics %v, want %v", got, want)
	}

	h.reload(func(u *config.Upstream) { u.URL, u.Breaker.Failures = "http://"+a, 0 })
	if kept.Down() || h.pick("") != a {
		t.Error("the breaker is off, and yet open")
	}
}

// An address that comes back soon is the same; what nobody uses is forgotten in time.
func TestRetiredAddressesAreForgotten(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a)
	first := h.at(a)
	use := func(url string) func(*config.Upstream) { return func(u *config.Upstream) { u.URL = url } }
	h.reload(use("http://" + b))
	second := h.at(b)
	second.Enter()
	h.reload(use("http://" + a))
	if h.at(a) != first {
		t.Error("another address")
	}
	for range 3 {
		h.reload(use("http://" + c))
		h.advance(forgetAfter + 1)
	}
	h.reload(use("http://" + c))
	if n := len(h.book.addresses); n != 2 {
		t.Errorf("%d addresses are known, want that in use and that with a session", n)
	}
	second.Leave()
	h.reload(use("http://" + c))
	if n := len(h.book.addresses); n != 1 {
		t.Errorf("%d addresses are known, want that in use", n)
	}
}

// What an address was like before it was out of use for long tells nothing.
func TestStaleAddresses(t *testing.T) {
	t.Parallel()
	one, two := "unix:/no/such/one", "unix:/no/such/two"
	for away, stale := range map[time.Duration]bool{forgetAfter: false, forgetAfter + 1: true} {
		use := func(url string) func(*config.Upstream) {
			return func(u *config.Upstream) {
				u.URL, u.Breaker.RetryAfter = url, time.Hour
				u.Health = config.Health{Path: "/", Interval: time.Hour, Timeout: second, Failures: 100}
			}
		}
		h := build(t, use(one))
		before := h.at(one)
		before.Enter()
		down(before)
		fail(before, 5)
		h.reload(use(two))
		h.advance(away)
		h.reload(use(one))
		if now := h.at(one); now != before || now.unwell.Load() == stale || now.open.Load() == stale {
			t.Errorf("after %s: the same %v, unwell %v, breaker open %v", away, now == before, now.unwell.Load(), now.open.Load())
		}
	}
}

// Everything at once, for the race detector.
func TestAnyGoroutine(t *testing.T) {
	t.Parallel()
	h := build(t, func(u *config.Upstream) {
		u.URLs = []string{"http://" + a, "http://app.example", "http://" + b}
		u.Breaker.RetryAfter = time.Microsecond
	})
	h.zone.set("app.example", answer{addrs: "10.0.1.1 10.0.1.2"})
	p := h.Pool
	var all sync.WaitGroup
	for i := range 4 {
		all.Go(func() {
			for n := range 200 {
				h.advance(20 * time.Millisecond)
				order, err := p.Pick([]string{"", "key"}[n%2], second)
				if err != nil {
					continue // all are open
				}
				order[0].Enter()
				if (n+i)%3 > 0 {
					order[0].Failed(errRefused)
				} else {
					order[0].Connected()
				}
				order[0].Lost(h.now())
				order[0].Leave()
				_, _ = h.registry.Gather()
			}
		})
	}
	for range 20 {
		h.reload(func(u *config.Upstream) { u.URLs = []string{"http://" + b, "http://app.example"} })
		h.reload(func(u *config.Upstream) { u.URLs = []string{"http://" + a, "http://app.example"} })
	}
	all.Wait()
	for _, address := range h.book.addresses {
		if n := address.Sessions(); n != 0 {
			t.Errorf("%s has %d sessions", address, n)
		}
	}
}
