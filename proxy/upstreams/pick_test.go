package upstreams

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
)

// several returns so many URLs, and the addresses that they are.
func several(n int) (urls []string) {
	for i := range n {
		urls = append(urls, fmt.Sprintf("http://10.1.%d.%d:80", i/256, i%256))
	}
	return urls
}

// down has health checks find an address down.
func down(a *Address) { a.answered(errRefused, 1) }

// enter has so many sessions at an address.
func enter(a *Address, n int) {
	for range n {
		a.Enter()
	}
}

func TestPickOrder(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name string
		do   func(h *house)
		want string // the order
	}{
		{"the fewest sessions first", func(h *house) { enter(h.at(a), 2); enter(h.at(b), 1) }, c + " " + b + " " + a},
		{"an open breaker: not at all", func(h *house) { fail(h.at(b), 5); enter(h.at(c), 1) }, a + " " + c},
		{"down: last, however few there are", func(h *house) { down(h.at(a)); enter(h.at(c), 1); enter(h.at(b), 2) }, c + " " + b + " " + a},
		{"all down: as if none were", func(h *house) {
			for i, address := range []string{b, c, a} {
				down(h.at(address))
				enter(h.at(address), i)
			}
		}, b + " " + c + " " + a},
		{"down, and the others open: what is left", func(h *house) { down(h.at(a)); fail(h.at(b), 5); fail(h.at(c), 5) }, a},
		{"the trial first", func(h *house) {
			fail(h.at(b), 5)
			h.advance(5 * second)
			enter(h.at(b), 9)
			enter(h.at(c), 1)
		}, b + " " + a + " " + c},
		{"one trial for one handshake", func(h *house) {
			fail(h.at(b), 5)
			h.advance(5 * second)
			h.pick("")
			enter(h.at(c), 1)
		}, a + " " + c},
		{"no trial where health checks fail", func(h *house) {
			down(h.at(b))
			fail(h.at(b), 5)
			h.advance(5 * second)
			enter(h.at(c), 1)
		}, a + " " + c},
		{"unless all do", func(h *house) {
			for _, address := range []string{a, b, c} {
				down(h.at(address))
			}
			fail(h.at(b), 5)
			h.advance(5 * second)
			enter(h.at(a), 1)
		}, b + " " + c + " " + a},
		{"all open", func(h *house) {
			fail(h.at(a), 5)
			h.advance(2 * second)
			fail(h.at(b), 5)
			fail(h.at(c), 5)
		}, "no address of upstream's answers; the next trial is in 3s"},
		{"all open, and one has its trial", func(h *house) {
			fail(h.at(b), 5)
			h.advance(5 * second)
			fail(h.at(a), 5)
			fail(h.at(c), 5)
		}, b},
		{"all open, and one is at its trial", func(h *house) {
			fail(h.at(b), 5)
			h.advance(4 * second)
			fail(h.at(a), 5)
			fail(h.at(c), 5)
			h.advance(second)
			h.pick("")
			h.advance(second)
		}, "no address of upstream's answers; the next trial is in 3s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			h := of(t, "http://"+a, "http://"+b, "http://"+c)
			tt.do(h)
			if got := h.pick(""); got != tt.want {
				t.Errorf("%s, want %s", got, tt.want)
			}
		})
	}
}

func TestOpenError(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a)
	fail(h.at(a), 5)
	_, err := h.Pick("", second)
	if open, ok := errors.AsType[*OpenError](err); !ok || open.RetryAfter <= 0 || open.RetryAfter > 5*second {
		t.Errorf("%v", err)
	}
}

// Sessions that come and go are spread evenly: among those that stay, no address has two
// more than another.
func TestPickSpreadsEvenly(t *testing.T) {
	t.Parallel()
	h := of(t, several(7)...)
	counts := func() []int {
		var all []int
		for _, address := range h.Addresses() {
			all = append(all, address.Sessions())
		}
		return all
	}
	first := make(map[string]int)
	for range 7 * 30 {
		order, err := h.Pick("", second)
		if err != nil {
			t.Fatal(err)
		}
		if len(order) != Tries {
			t.Fatalf("%d addresses to try", len(order))
		}
		order[0].Enter()
		first[order[0].String()]++
		if all := counts(); slices.Max(all)-slices.Min(all) > 1 {
			t.Fatalf("sessions %v", all)
		}
	}
	// Those that end make room where they were.
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		if all := h.Addresses(); random.IntN(2) == 0 {
			if one := all[random.IntN(len(all))]; one.Sessions() > 0 {
				one.Leave()
			}
		}
		before := slices.Min(counts())
		order, _ := h.Pick("", second)
		if order[0].Sessions() != before {
			t.Fatalf("%d sessions at the first, %d elsewhere", order[0].Sessions(), before)
		}
		order[0].Enter()
	}
}

// Among equals chance decides: sidecars that start together do not all go to one.
func TestPickByChance(t *testing.T) {
	t.Parallel()
	h := of(t, several(4)...)
	first := make(map[*Address]int)
	for range 4000 {
		order, _ := h.Pick("", second)
		first[order[0]]++
	}
	for address, n := range first {
		if n < 800 || n > 1200 {
			t.Errorf("%s is the first of %d in 4000", address, n)
		}
	}
	if len(first) != 4 {
		t.Errorf("%d of 4 addresses are ever the first", len(first))
	}
}

func TestSticky(t *testing.T) {
	t.Parallel()
	const keys, n = 1000, 10
	urls := several(n)
	h := of(t, urls...)
	orders := make(map[string]string)
	counts := make(map[string]int)
	for i := range keys {
		key := fmt.Sprintf("session-%d", i)
		orders[key] = h.pick(key)
		first, _, _ := strings.Cut(orders[key], " ")
		counts[first]++
		enter(h.at(first), 1) // how many there are does not matter
	}
	for label, count := range counts {
		if count < keys/n*3/4 || count > keys/n*5/4 {
			t.Errorf("%s has %d of %d keys", label, count, keys)
		}
	}
	// without has one address less.
	without := func(order, label string) string {
		all := strings.Fields(order)
		all = slices.DeleteFunc(all, func(l string) bool { return l == label })
		return strings.Join(all[:Tries-1], " ")
	}
	gone := strings.TrimPrefix(urls[3], "http://")
	moves := func(what string) {
		t.Helper()
		for key, order := range orders {
			if got, want := h.pick(key), without(order, gone); !strings.HasPrefix(got, want) || strings.Contains(got, gone) {
				t.Fatalf("%s: %s goes to %s, and was going to %s", what, key, got, order)
			}
		}
	}
	fail(h.at(gone), 5)
	moves("its breaker is open")
	h.at(gone).Connected()
	down(h.at(gone))
	moves("it is down")
	h.reload(func(u *config.Upstream) { u.URLs = slices.Delete(slices.Clone(urls), 3, 4) })
	moves("it is not configured any more")

	// In another process, and in another order, it is the same.
	slices.Reverse(urls)
	other := of(t, urls...)
	for key, order := range orders {
		if got := other.pick(key); got != order {
			t.Fatalf("%s goes to %s, in another process to %s", key, order, got)
		}
	}
	if got := other.pick("one more"); got != "10.1.0.9:80 10.1.0.1:80 10.1.0.0:80 10.1.0.2:80 10.1.0.8:80" {
		t.Errorf("a release that orders otherwise moves all sessions: %s", got)
	}
}

// A key's own address gets its trial by that key alone, so that no other is sent away
// from where it belongs.
func TestStickyTrial(t *testing.T) {
	t.Parallel()
	h := of(t, several(3)...)
	mine, _, _ := strings.Cut(h.pick("mine"), " ")
	others := ""
	for i := 0; others == "" || strings.HasPrefix(h.pick(others), mine); i++ {
		others = fmt.Sprint("others ", i)
	}
	fail(h.at(mine), 5)
	h.advance(5 * second)
	for range 3 {
		if got := h.pick(others); strings.Contains(got, mine) {
			t.Errorf("%s, the trial is of %s", got, mine)
		}
	}
	if got := h.pick("mine"); !strings.HasPrefix(got, mine) {
		t.Errorf("%s, without a trial of %s", got, mine)
	}
	if got := h.pick("mine"); strings.Contains(got, mine) {
		t.Errorf("%s, with a second trial", got)
	}
}

// A trial whose client goes away before it is made holds up nothing.
func TestTrialIsNotReported(t *testing.T) {
	t.Parallel()
	h := of(t, "http://"+a)
	fail(h.at(a), 5)
	for range 3 {
		h.advance(5 * second)
		if got := h.pick(""); got != a {
			t.Fatalf("no trial: %s", got)
		}
		if got := h.pick(""); got == a {
			t.Error("two trials at a time")
		}
	}
}

// Whatever has happened: an address is tried that may be, one with an open breaker is
// only the first, and only as a trial, and none is tried twice.
func TestPickHolds(t *testing.T) {
	t.Parallel()
	for seed := range uint64(30) {
		random := rand.New(rand.NewPCG(seed, 9))
		n := 1 + random.IntN(8)
		h := of(t, several(n)...)
		all := h.Addresses()
		for step := range 200 {
			at := all[random.IntN(n)]
			switch random.IntN(8) {
			case 0, 1, 2:
				fail(at, random.IntN(6))
			case 3:
				at.Connected()
			case 4:
				at.answered([]error{nil, errRefused}[random.IntN(2)], 1)
			case 5:
				at.Enter()
			case 6:
				h.advance(time.Duration(random.Int64N(int64(4 * second))))
			}
			closed, due := 0, 0
			for _, m := range all {
				if !m.open.Load() {
					closed++
				} else if m.wait(h.now()) == 0 {
					due++
				}
			}
			order, err := h.Pick([]string{"", "key"}[random.IntN(2)], second)
			var open *OpenError
			switch {
			case err != nil && (!errors.As(err, &open) || open.RetryAfter < 0 || closed+due > 0):
				t.Fatalf("seed %d, step %d: %v with %d closed, %d due", seed, step, err, closed, due)
			case err == nil && (len(order) > Tries || len(order) < min(closed, Tries)):
				t.Fatalf("seed %d, step %d: %s with %d closed, %d due", seed, step, join(order), closed, due)
			}
			for i, m := range order {
				if m.open.Load() && (i > 0 || due == 0) || slices.Contains(order[:i], m) {
					t.Fatalf("seed %d, step %d: %s", seed, step, join(order))
				}
				// Without a word about their health, those that are up come first.
				if i > 0 && !m.unwell.Load() && order[i-1].unwell.Load() {
					t.Fatalf("seed %d, step %d: %s, of which one is down", seed, step, join(order))
				}
			}
		}
	}
}

func BenchmarkPick(bench *testing.B) {
	for _, n := range []int{1, 3, 300} {
		for _, key := range []string{"", "7f3a90c2-1b4d-4f6e"} {
			bench.Run(fmt.Sprintf("%d/sticky=%v", n, key != ""), func(bench *testing.B) {
				p := New(settings(func(c *config.Upstream) { c.URLs = several(n) }), nil, Options{})
				defer p.Close()
				bench.ReportAllocs()
				for bench.Loop() {
					if _, err := p.Pick(key, second); err != nil {
						bench.Fatal(err)
					}
				}
			})
		}
	}
}

func BenchmarkAddress(bench *testing.B) {
	p := New(settings(func(c *config.Upstream) { c.URLs = several(1) }), nil, Options{})
	defer p.Close()
	address := p.Addresses()[0]
	bench.ReportAllocs()
	for bench.Loop() {
		address.Enter()
		address.Connected()
		address.Lost(1)
		address.Leave()
	}
}
