//go:build linux

// The tests of this file take longest and give way to all others: by its name, they
// begin first.

package proxy_test

import (
	"bytes"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// endings says for each cause how a session comes to end for it.
var endings = map[policies.Cause]struct {
	policy policies.Policy
	scene  scene
	code   uint16
	// A session of the identity a is there ahead of the crowd, or comes behind it.
	ahead, behind bool
}{
	policies.ClientClose: {
		scene: scene{clientOpen: (*extra).sayClose},
		code:  1000,
	},
	policies.UpstreamClose: {
		scene: scene{upstreamOpen: (*extra).sayClose},
		code:  1000,
	},
	policies.ClientLost: {
		scene: scene{clientOpen: func(e *extra) { e.lose() }},
		code:  1001,
	},
	policies.UpstreamLost: {
		scene: scene{clientOpen: sayHello, upstreamText: func(e *extra) { e.lose() }},
		code:  1014,
	},
	policies.HeartbeatTimeout: {
		policy: policies.Policy{Heartbeat: policies.Heartbeat{Interval: brief, Timeout: brief}},
		code:   1001,
	},
	policies.UpstreamTimeout: {
		policy: policies.Policy{UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: brief, Timeout: brief}},
		code:   1014,
	},
	policies.IdleTimeout: {
		policy: policies.Policy{Idle: policies.Idle{Timeout: brief}},
		scene:  scene{clientOpen: sayHello},
		code:   1001,
	},
	policies.NoFirstMessage: {
		policy: policies.Policy{FirstMessage: policies.FirstMessage{Timeout: brief}},
		code:   1001,
	},
	policies.MaxAge: {
		policy: policies.Policy{Lifetime: policies.Lifetime{Max: brief}},
		scene:  scene{clientOpen: sayHello},
		code:   1012,
	},
	policies.Stalled: {
		policy: policies.Policy{Stall: policies.Stall{Timeout: brief}, Release: policies.Release{Grace: brief}},
		scene: scene{crowd: 200, smallWindow: true,
			clientOpen:   func(e *extra) { sayHello(e); e.deaf = true },
			upstreamText: func(e *extra) { e.say(broadcast) }},
		code: 1008,
	},
	policies.MessageTooBig: {
		policy: policies.Policy{Messages: policies.Messages{MaxBytes: 4}},
		scene:  scene{clientOpen: sayHello},
		code:   1009,
	},
	policies.SubscriptionLimit: {
		policy: policies.Policy{
			Dialect:       "rac",
			Subscriptions: policies.Subscriptions{Max: 1, MaxPerTopic: 1 << 20, OnExcess: policies.ExcessClose},
			Release:       policies.Release{Unsubscribe: true},
		},
		scene: scene{clientOpen: func(e *extra) {
			e.sayFrame(text, subscribe(`"a"`))
			e.sayFrame(text, subscribe(`"b"`))
		}},
		code: 1008,
	},
	policies.MessageRate: {
		policy: policies.Policy{Messages: policies.Messages{Rate: 0.001}},
		scene:  scene{clientOpen: func(e *extra) { sayHello(e); sayHello(e) }},
		code:   1008,
	},
	policies.InvalidUTF8: {
		policy: policies.Policy{Messages: policies.Messages{ValidateUTF8: true}},
		scene:  scene{clientOpen: func(e *extra) { e.sayFrame(text, "\xff") }},
		code:   1007,
	},
	policies.Superseded: {
		policy: byMessage(1, policies.ExcessEvictOldest),
		scene:  scene{clientOpen: func(e *extra) { e.sayFrame(text, identify("a")) }},
		code:   1008,
		behind: true,
	},
	policies.ConnectionLimit: {
		policy: byMessage(1, policies.ExcessReject),
		scene:  scene{clientOpen: func(e *extra) { e.sayFrame(text, identify("a")) }},
		code:   1008,
		ahead:  true,
	},
	policies.Killed: {
		scene: scene{clientOpen: sayHello},
		code:  1008,
	},
	policies.ProtocolError: {
		scene: scene{clientOpen: func(e *extra) { e.sayFrame(0x83, "reserved opcode") }},
		code:  1002,
	},
}

const brief = 30 * time.Millisecond

// broadcast is more than all buffers on the way to a client take whose window is
// small.
var broadcast = bytes.Repeat(encode(false, text, strings.Repeat("b", 1020)), 128)

func sayHello(e *extra) { e.sayFrame(text, "hello") }

// lose ends a connection without a close frame, by FIN and by RST in turn.
func (e *extra) lose() {
	if e.crowd.left%2 == 0 {
		e.leave()
	} else {
		e.vanish()
	}
}

// A session that has ended leaves nothing, whatever it ended for. All causes have
// their turn with one wswarden, and each is compared with the first beginning. It
// counts what the process has, so it has one of its own.
func TestNothingIsLeft(t *testing.T) {
	if !inProcess(t, nil) {
		return
	}
	c := newCrowd(t)
	w := startWith(t, proxy.New, func(cfg *config.Config) {
		cfg.Upstream.URL = "http://" + c.upstream
		cfg.Upstream.DialTimeout, cfg.Upstream.HandshakeTimeout = longest, longest // the process gives way
		cfg.Policies = nil
		for cause, ending := range endings {
			p := ending.policy
			p.Name, p.Match.Path = cause.String(), "/"+cause.String()
			cfg.Policies = append(cfg.Policies, p)
		}
	})
	end := func(cause policies.Cause, n int) {
		t.Helper()
		s := endings[cause].scene
		s.path, s.target = "/"+cause.String(), w.address
		var other *peer
		claim := func() {
			other = w.ask(s.path)
			other.response()
			other.send(other.frame(text, identify("a")))
			w.until(func() bool { return w.server.LimitedKeys() == 1 })
		}
		if endings[cause].ahead {
			c.play(&s, 0) // which upstream it meets
			claim()
		}
		if cause == policies.Killed {
			for len(c.open) > 0 {
				<-c.open // of other scenes
			}
			go func() {
				for range n {
					<-c.open
					w.server.Kill(cause.String())
				}
			}()
		}
		c.play(&s, n)
		for i := range n {
			if i == n-1 && endings[cause].behind {
				claim()
			}
			w.wantEnd(cause, endings[cause].code)
			if t.Failed() {
				t.FailNow()
			}
		}
		if other != nil {
			other.send(other.closeFrame(1000, ""))
			other.wantClose(1000, "")
			other.end()
			w.wantEnd(policies.ClientClose, 1000)
			w.wantNoSeats()
		}
	}

	// What is made once, and then kept, is there after a round of a whole crowd.
	for cause := range endings {
		end(cause, wholeCrowd)
	}
	w.server.ForgetEnded()
	before := settled()
	t.Logf("before: %v", before)
	for _, cause := range policies.Causes() {
		if cause == policies.Drain {
			continue // a test of its own, as wswarden does not outlive it
		}
		if _, ok := endings[cause]; !ok {
			t.Errorf("nothing ends a session for %s", cause)
			continue
		}
		began := time.Now()
		end(cause, leakSessions)
		took := time.Since(began)
		w.server.ForgetEnded() // which is the one thing that there shall be
		after := wantBack(t, before)
		t.Logf("%-17s %d sessions in %6s: %v", cause, leakSessions, took.Round(time.Millisecond), after)
	}
}

// A drain of many sessions leaves nothing, and nor does the server.
func TestNothingIsLeftByDrain(t *testing.T) {
	if !inProcess(t, nil) {
		return
	}
	const servers = 5
	c := newCrowd(t)
	drain := func(name string, sessions int) {
		t.Run(name, func(t *testing.T) {
			w := startWith(t, proxy.New, func(cfg *config.Config) {
				cfg.Upstream.URL = "http://" + c.upstream
				cfg.Upstream.DialTimeout, cfg.Upstream.HandshakeTimeout = longest, longest
				cfg.Policies[0] = policies.Policy{}
			})
			c.play(&scene{path: "/", target: w.address, crowd: sessions}, sessions)
			for range sessions {
				select {
				case <-c.open:
				case <-time.After(longest):
					t.Fatal("sessions do not open")
				}
			}
			w.drain()
			for range sessions {
				w.wantEnd(policies.Drain, 1012)
			}
			w.wantDrained()
		})
	}
	drain("first", leakSessions/servers)
	before := settled()
	began := time.Now()
	for i := range servers {
		drain(strconv.Itoa(i), leakSessions/servers)
	}
	took := time.Since(began)
	after := wantBack(t, before)
	t.Logf("before: %v", before)
	t.Logf("%-17s %d sessions of %d servers in %s: %v", policies.Drain, leakSessions, servers, took.Round(time.Millisecond), after)
}

// holding is what the process has.
type holding struct {
	goroutines  int // without fasthttp's workers, which wait for more for a while
	descriptors int
	heap        uint64 // bytes in reachable objects
}

func (h holding) String() string {
	return strconv.Itoa(h.goroutines) + " goroutines, " + strconv.Itoa(h.descriptors) + " descriptors, " +
		strconv.FormatUint(h.heap>>10, 10) + " KiB on the heap"
}

// heapNoise is what the heap may grow by whatever happened: a few tables and
// pools of the runtime and of the peers. It is 26 bytes a session.
const heapNoise = 256 << 10

// wantBack waits until the process has no more than before: goroutines and
// descriptors exactly, the heap within 10 % and noise.
func wantBack(t *testing.T, before holding) holding {
	t.Helper()
	deadline := time.Now().Add(longest)
	for pause := 20 * time.Millisecond; ; pause = min(2*pause, 500*time.Millisecond) {
		h := holdings()
		if h.goroutines == before.goroutines && h.descriptors == before.descriptors && h.heap <= before.heap+before.heap/10+heapNoise {
			return h
		}
		if time.Now().After(deadline) {
			t.Errorf("before: %v", before)
			t.Errorf("after:  %v", h)
			if h.goroutines != before.goroutines {
				t.Logf("%s", stacks())
			}
			return h
		}
		time.Sleep(pause)
	}
}

// settled returns what the process has once that does not change any more: peers
// of earlier sessions may still be closing.
func settled() holding {
	before := holdings()
	for {
		time.Sleep(100 * time.Millisecond)
		h := holdings()
		if h.descriptors == before.descriptors && h.goroutines == before.goroutines {
			return h
		}
		before = h
	}
}

func holdings() (h holding) {
	runtime.GC()
	runtime.GC() // what the first has taken from pools
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	h.heap = m.HeapAlloc
	for stack := range strings.SplitSeq(stacks(), "\n\n") {
		if !strings.Contains(stack, "fasthttp.(*workerPool)") {
			h.goroutines++
		}
	}
	fds, err := os.ReadDir("/proc/self/fd")
	if err != nil {
		panic(err)
	}
	h.descriptors = len(fds)
	return h
}

func stacks() string {
	buf := make([]byte, 4<<20)
	return string(buf[:runtime.Stack(buf, true)])
}
