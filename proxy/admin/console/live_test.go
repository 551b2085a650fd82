package console

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/gdamore/tcell/v3/vt"

	"wswarden/proxy/admin/api"
)

const (
	never = time.Hour // an interval that a test does not live to see
	often = 10 * time.Millisecond
	esc   = "\x1b"
	up    = "\x1b[A"
	down  = "\x1b[B"
	enter = "\r"
)

func TestLiveKeys(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	m := f.watch(never, 120, 24)
	m.want("3 live  3 shown of 3", "ID↑", ">0000000000000001", " 10.0.0.1 ", "q quit")

	m.press("j")
	m.want(">0000000000000002")
	m.press(down)
	m.want(">0000000000000003")
	m.press("j") // there is no further one
	m.press("k" + up)
	m.want(">0000000000000001")
	m.press("G")
	m.want(">0000000000000003")
	m.press("g")
	m.want(">0000000000000001")

	m.press("r")
	m.want("ID↓", ">0000000000000001") // the same one, further down
	m.press("g")
	m.want(">0000000000000003")
	m.press("r")
	m.want("ID↑")
	m.press("s")
	m.want("IDENTITY↑")

	m.press("p")
	m.want("PAUSED")
	m.press("p")
	m.wantNot("PAUSED")
	m.press("?")
	m.want("reverse the order")
	m.press("q") // leaves the help only
	m.wantNot("reverse the order")
	m.press("q")
	m.wantEnd()
	f.change(func() {
		if f.most != 1 {
			t.Errorf("%d requests at a time", f.most)
		}
	})
}

func TestLiveDetail(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2)
	m := f.watch(never, 80, 24)
	m.press("j" + enter)
	m.want("session 0000000000000002", "Timeline", "first message of the client", "Next, if nothing happens before", "Esc back")
	m.wantNot("10.0.0.1")
	m.press("G")
	m.want("pings the client", "ends the session: idle, close code 1001", `evil\u001b[2J\u202e`)
	f.change(func() { f.sessions = f.sessions[:1] })
	m.press("g ")
	m.want("session 0000000000000002 has ended", "Timeline") // what was known stays
	m.press(esc)
	m.want(">0000000000000001", "1 shown of 1")
	m.press("\x03") // Ctrl-C
	m.wantEnd()
}

func TestLiveKill(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	m := f.watch(never, 80, 24)
	m.press("jK")
	m.want("End session 0000000000000002? y/n")
	m.press("n")
	m.wantNot("End session")
	m.press("K")
	m.want("End session 0000000000000002? y/n")
	m.press("y")
	m.want("session 0000000000000002 ends", ">0000000000000003", "2 shown of 2")
	f.wantAsked("DELETE /v1/sessions/0000000000000002")

	f.change(func() { f.sessions = f.sessions[:1] }) // without the screen's knowing
	m.press("K")
	m.want("End session 0000000000000003?")
	m.press("y")
	m.want("there is no session 0000000000000003", "1 shown of 1")
	m.press("q")
	m.wantEnd()
}

// The filter is typed; an identity is sent as its hash only.
func TestLiveFilter(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	m := f.watch(never, 120, 24)
	m.press("/nonsense" + enter)
	m.want(`"nonsense": write one of policy=`)
	m.press("\x15idle-for=soon" + enter)
	m.want("idle_for", "is not a duration")
	m.press("\x15identity=user2xx\x7f\x7f" + enter)
	m.want("1 shown of 1 with identity_hash="+api.HashIdentity("user2"), ">0000000000000002")
	m.wantNot("0000000000000001")
	m.press("/")
	m.want("filter: identity_hash=" + api.HashIdentity("user2"))
	m.press("\x15policy=nobody" + enter)
	m.want("0 shown of 0 with policy=nobody", "no session fits")
	m.press("jk" + enter + "K") // nothing is selected
	m.press("/\x15" + enter)
	m.want("3 shown of 3", ">0000000000000001")
	m.press("/policy=x")
	m.want("filter: policy=x")
	m.press(esc)
	m.wantNot("filter:")
	m.want("3 shown of 3")
	m.press("q")
	m.wantEnd()
	f.change(func() {
		if text := strings.Join(f.queries, " "); strings.Contains(text, "user2") {
			t.Errorf("the identity was sent: %s", text)
		}
	})
}

// The screen follows what happens, with one request at a time, and tells the rates.
func TestLiveRefreshes(t *testing.T) {
	t.Parallel()
	f := newFake(t, 1)
	m := f.watch(often, 120, 24)
	m.want("opened 0.0/s  ended 0.0/s")
	f.change(func() {
		f.sessions, f.opened = append(f.sessions, session(2)), 1000
		f.ended["heartbeat_timeout"] = 1000
	})
	m.want("2 live", "0000000000000002")
	m.press("q")
	m.wantEnd()
	f.change(func() {
		if f.most != 1 {
			t.Errorf("%d requests at a time", f.most)
		}
	})
}

func TestLiveRates(t *testing.T) {
	t.Parallel()
	f := newFake(t, 1)
	m := f.watch(never, 120, 24)
	f.change(func() { f.opened, f.ended["idle"], f.ended["heartbeat_timeout"] = 1000, 101, 901 })
	m.press(" ")
	m.want("opened ", "/s  ended ", "heartbeat_timeout ", "idle ")
	m.press("q")
	m.wantEnd()
}

// A server that is gone leaves what was seen, and is asked again.
func TestLiveServerGone(t *testing.T) {
	t.Parallel()
	f := newFake(t, 1)
	m := f.watch(often, 80, 24)
	f.server.Close()
	m.want("connection refused", "0000000000000001")
	m.press("q")
	m.wantEnd()
}

// A server that hangs is told of; keys go on to work, and the end does not wait for it.
func TestLiveServerHangs(t *testing.T) {
	t.Parallel()
	f := newFake(t, 2)
	m := f.watch(often, 80, 24)
	f.change(func() { f.hang = true })
	m.want("no answer for 1s")
	m.press("j")
	m.want(">0000000000000002")
	m.press("q")
	m.wantEnd()
}

func TestLiveEndsWithContext(t *testing.T) {
	t.Parallel()
	m := newFake(t, 1).watch(often, 80, 24)
	m.stop()
	m.wantEnd()
}

// A panic finds the terminal restored, although it was in another goroutine.
func TestLivePanic(t *testing.T) {
	t.Parallel()
	v := newFake(t, 1).screen(never, 80, 24).view
	screen := &restoring{Screen: v.screen}
	v.screen = screen
	v.kill = func(context.Context) func(*view) { panic("on the way") }
	defer func() {
		if p := recover(); p != "on the way" || !screen.done {
			t.Errorf("recovered %v, restored %v", p, screen.done)
		}
	}()
	_ = v.run(context.Background())
	t.Error("it has returned")
}

// Whatever is pressed, and however small the terminal is.
func TestLiveMonkey(t *testing.T) {
	t.Parallel()
	f := newFake(t, 40)
	m := f.watch(often, 80, 24)
	keys := []string{"j", "k", "g", "G", "s", "r", "p", "?", " ", enter, esc + "[", "/", "x", "=", "K", "n", "y", up, down, esc + "[5~", esc + "[6~", "\x7f"}
	random := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		if random.IntN(10) == 0 {
			m.term.SetSize(vt.Coord{X: vt.Col(1 + random.IntN(90)), Y: vt.Row(1 + random.IntN(30))})
		}
		m.press(keys[random.IntN(len(keys))])
	}
	m.press("\x03")
	m.wantEnd()
	f.change(func() {
		if f.most != 1 {
			t.Errorf("%d requests at a time", f.most)
		}
	})
}

func TestLiveSizes(t *testing.T) {
	t.Parallel()
	f := newFake(t, 40)
	m := f.watch(never, 80, 24)
	m.want("0000000000000012")
	m.wantNot("0000000000000013")
	for _, size := range [][2]int{{60, 20}, {40, 12}, {20, 8}, {132, 50}} {
		m.term.SetSize(vt.Coord{X: vt.Col(size[0]), Y: vt.Row(size[1])})
		last := size[1] - headerRows - footerRows - 1
		m.press("g")
		m.want(">0000000000000001", fmt.Sprintf("%016x", min(last, 40)))
		m.press("G")
		m.want(">0000000000000028")
	}
	m.press("q")
	m.wantEnd()
}
