package upstreams

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"wswarden/config"
)

// bubble runs a test by a clock of its own.
func bubble(t *testing.T, urls string, test func(t *testing.T, h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := of(t, strings.Fields(urls)...)
		h.began, h.bubbled = time.Now(), true
		test(t, h)
	})
}

// wantPick fails unless Pick has these addresses, in any order, after that time.
func (h *house) wantPick(after time.Duration, want ...string) {
	h.t.Helper()
	began := time.Now()
	order, err := h.Pick("", 2*second)
	if err != nil {
		h.t.Fatal(err)
	}
	got := make(map[string]bool)
	for _, a := range order {
		got[a.String()] = true
	}
	if len(got) != len(want) {
		h.t.Errorf("%s, want %s", join(order), want)
	}
	for _, label := range want {
		if !got[label] {
			h.t.Errorf("%s, want %s", join(order), want)
		}
	}
	if waited := time.Since(began); waited != after {
		h.t.Errorf("it took %s, want %s", waited, after)
	}
}

func TestNameIsLookedUpAgain(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{addrs: "10.0.0.1 10.0.0.2", wait: 30 * time.Millisecond})
		if h.zone.asked() != 0 {
			t.Error("looked up although nobody has asked")
		}
		h.wantPick(30*time.Millisecond, a, b)
		kept := h.at(a)
		kept.Enter()
		h.at(b).Enter()
		h.zone.set("app", answer{addrs: "10.0.0.1 10.0.0.3"})
		time.Sleep(resolveEvery - 1)
		h.wantPick(0, a, b)
		if n := h.zone.asked(); n != 1 {
			t.Errorf("%d lookups within %s", n, resolveEvery)
		}
		time.Sleep(time.Nanosecond)
		h.wantPick(0, a, c)
		if h.at(a) != kept || kept.Sessions() != 1 {
			t.Error("what both answers have has been made anew")
		}
		// What is not in the answer any more has a session.
		if m := h.metrics(); m["address_sessions "+b] != 1 || m["address_sessions "+c] != 0 || len(m) != 9 {
			t.Errorf("metrics %v", m)
		}
		time.Sleep(time.Hour)
		h.wantPick(0, a, c)
		if n := h.zone.asked(); n != 3 {
			t.Errorf("%d lookups, want one for each answer that was needed", n)
		}
	})
}

// While name servers fail, the last answer holds, and it is told once.
func TestLastAnswerHolds(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{addrs: "10.0.0.1"})
		h.wantPick(0, a)
		for _, failure := range []answer{{err: errors.New("server misbehaving")}, {addrs: ""}} {
			h.zone.set("app", failure)
			for range 5 {
				time.Sleep(resolveEvery)
				h.wantPick(0, a)
			}
		}
		h.wantLog("WARN upstream's name not resolved name=app:80 last_answer_holds=true error=server misbehaving")
		h.zone.set("app", answer{addrs: "10.0.0.2"})
		time.Sleep(retryEvery - 1)
		h.wantPick(0, a)
		time.Sleep(time.Nanosecond)
		h.wantPick(0, b)
		h.wantLog("INFO upstream's name resolved again name=app:80 addresses=1")
	})
}

// A name server that is silent holds up handshakes for a moment, not each of them, and
// only those that have nothing better for as long as a dial may take.
func TestSilentNameServer(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{wait: time.Hour})
		done := make(chan time.Duration)
		for range 10 {
			go func() {
				began := time.Now()
				if _, err := h.Pick("", 1500*time.Millisecond); err == nil {
					t.Error("picked")
				}
				done <- time.Since(began)
			}()
		}
		for range 10 {
			if took := <-done; took != 1500*time.Millisecond {
				t.Errorf("it took %s", took)
			}
		}
		if h.zone.asked() != 1 {
			t.Errorf("%d lookups at a time", h.zone.asked())
		}
		time.Sleep(second) // the lookup has failed by now
		h.zone.set("app", answer{addrs: "10.0.0.1"})
		if _, err := h.Pick("", second); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%v, want the failure, for a while", err)
		}
		time.Sleep(second)
		h.wantPick(0, a)

		h.zone.set("app", answer{wait: time.Hour})
		time.Sleep(resolveEvery)
		h.wantPick(patience, a)
		h.wantPick(0, a)
		h.log.take(t)
		h.zone.set("app", answer{addrs: "10.0.0.2"})
		time.Sleep(3 * second) // the lookup has failed, and another may be made
		h.wantPick(0, b)
	})
}

// An answer that comes late is used from then on.
func TestLateAnswer(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{addrs: "10.0.0.1"})
		h.wantPick(0, a)
		h.zone.set("app", answer{addrs: "10.0.0.2", wait: second})
		time.Sleep(resolveEvery)
		h.wantPick(patience, a)
		time.Sleep(second)
		if _, shown := h.metrics()["address_up "+a]; shown {
			t.Error("a retired address without a session is shown")
		}
		h.wantPick(0, b)
	})
}

// A name that was never found keeps nobody from the other servers.
func TestOneNameOfSeveral(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app http://10.0.0.2 http://other", func(t *testing.T, h *house) {
		h.zone.set("other", answer{addrs: "10.0.0.3"})
		h.wantPick(0, b, c)
		h.wantLog("WARN upstream's name not resolved name=app:80 last_answer_holds=false error=no such host")
		h.zone.set("app", answer{addrs: "10.0.0.1"})
		time.Sleep(retryEvery)
		h.wantPick(0, a, b, c)
	})
	bubble(t, "http://app http://other", func(t *testing.T, h *house) {
		if _, err := h.Pick("", second); err == nil || err.Error() != "no such host\nno such host" {
			t.Errorf("%v", err)
		}
	})
}

func TestNameThatIsNone(t *testing.T) {
	t.Parallel()
	h := of(t, "http://app:70000")
	if _, err := h.Pick("", second); err == nil || !strings.Contains(err.Error(), "port of app:70000") {
		t.Errorf("%v", err)
	}
	none := of(t)
	if _, err := none.Pick("", second); err != errNoServer {
		t.Errorf("%v", err)
	}
}

// Of both families, that is used first which the resolver puts first; the other one is
// there when it fails.
func TestFamilies(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ addrs, first, second string }{
		{"127.0.0.1 ::1", "127.0.0.1:80", "[::1]:80"},
		{"::1 127.0.0.1", "[::1]:80", "127.0.0.1:80"},
	} {
		h := of(t, "http://localhost")
		h.zone.set("localhost", answer{addrs: tt.addrs})
		for range 5 {
			if got := h.pick(""); got != tt.first+" "+tt.second {
				t.Errorf("%s: %s", tt.addrs, got)
			}
			h.at(tt.first).Enter()
		}
		if got := h.pick("key"); got != tt.first+" "+tt.second {
			t.Errorf("%s: %s for a key", tt.addrs, got)
		}
		fail(h.at(tt.first), 5)
		if got := h.pick(""); got != tt.second {
			t.Errorf("%s: %s when the first does not answer", tt.addrs, got)
		}
	}
}

// A name may have more addresses than anybody needs.
func TestAnswerIsBounded(t *testing.T) {
	t.Parallel()
	h := of(t, "http://app")
	var all []string
	for i := range 1000 {
		all = append(all, fmt.Sprintf("10.0.%d.%d", i/256, i%256))
	}
	h.zone.set("app", answer{addrs: strings.Join(all, " ")})
	h.pick("")
	if n := len(h.Addresses()); n != maxAnswer {
		t.Errorf("%d addresses", n)
	}
}

// A reload keeps the answers of name servers, those that are on their way too.
func TestReloadKeepsAnswers(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{addrs: "10.0.0.1", wait: 40 * time.Millisecond})
		picked := make(chan error)
		before := h.Pool
		go func() {
			_, err := before.Pick("", second)
			picked <- err
		}()
		synctest.Wait()
		h.reload(func(u *config.Upstream) { u.URLs = []string{"http://app", "http://10.0.0.2"} })
		h.wantPick(40*time.Millisecond, a, b) // one is there, that of the other comes soon
		if err := <-picked; err != nil {
			t.Error(err)
		}
		h.reload(func(u *config.Upstream) { u.URL = "http://app" })
		h.wantPick(0, a)
		if n := h.zone.asked(); n != 1 {
			t.Errorf("%d lookups", n)
		}
	})
}

// Close does not wait for name servers.
func TestCloseEndsLookups(t *testing.T) {
	t.Parallel()
	bubble(t, "http://app", func(t *testing.T, h *house) {
		h.zone.set("app", answer{wait: time.Hour})
		picked := make(chan error)
		go func() {
			_, err := h.Pick("", time.Hour)
			picked <- err
		}()
		synctest.Wait()
		began := time.Now()
		h.Close()
		if err := <-picked; err == nil || time.Since(began) > 0 {
			t.Errorf("%v after %s", err, time.Since(began))
		}
		if _, err := h.Pick("", second); err == nil {
			t.Error("picked from a Pool that is closed")
		}
		h.wantLog()
	})
	h := of(t, "http://app")
	h.Close()
	if _, err := h.Pick("", second); err == nil {
		t.Error("picked although nothing was ever found")
	}
}

// The system's resolver.
func TestSystemResolver(t *testing.T) {
	t.Parallel()
	p := New(settings(func(c *config.Upstream) { c.URL = "http://localhost:5000" }), nil, Options{})
	defer p.Close()
	order, err := p.Pick("", 5*second)
	if err != nil || !order[0].AddrPort.Addr().IsLoopback() || order[0].AddrPort.Port() != 5000 {
		t.Errorf("%v, %v", order, err)
	}
}
