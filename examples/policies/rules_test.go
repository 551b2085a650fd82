package policies_test

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/policies"
)

// files splits the names of files, those whose policy has a rule, and checks that it is
// just these.
func files(t *testing.T, names string, has func(*policies.Policy) bool) (found []string) {
	t.Helper()
	all, err := filepath.Glob("*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range all {
		if has(&load(t, file).Policies[0]) {
			found = append(found, file)
		}
	}
	want := strings.Fields(names)
	for i := range want {
		want[i] += ".yaml"
	}
	slices.Sort(want)
	if !slices.Equal(found, want) {
		t.Errorf("the rule is in %v, want %v", found, want)
	}
	return want
}

// everyFile returns the names of all.
func everyFile(t *testing.T) []string {
	t.Helper()
	names := slices.Clone(uses)
	for _, a := range applications {
		names = append(names, a.file())
	}
	slices.Sort(names)
	if all, err := filepath.Glob("*.yaml"); err != nil || !slices.Equal(all, names) {
		t.Errorf("there are %v (%v), want %v", all, err, names)
	}
	return names
}

// speaks returns how the clients of a file speak.
func speaks(file string) application {
	for _, a := range applications {
		if a.file() == file {
			return a
		}
	}
	return application{}
}

// talks returns what a client of a file says that is no subscription.
func talks(file string) string {
	if talk := speaks(file).talk; talk != "" {
		return talk
	}
	return `{"text":"hello"}`
}

// somebody are the headers of a handshake of an address and an identity of its own, where
// the file looks at these.
func somebody(p *policies.Policy, n int) []string {
	headers := []string{"X-Forwarded-For", fmt.Sprintf("203.0.113.%d", n%250)}
	if id := p.Connections.Identity; id.From == policies.FromHeader {
		headers = append(headers, id.Name, fmt.Sprintf("secret %d", n))
	}
	return headers
}

// Every file says what it is for, and what to change.
func TestEveryFileExplainsItself(t *testing.T) {
	t.Parallel()
	for _, file := range everyFile(t) {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		comment, _, _ := strings.Cut(string(text), "\nlisteners:")
		if !strings.HasPrefix(comment, "# ") || !strings.Contains(comment, "\n# Change first: ") {
			t.Errorf("%s does not open with its problem and what to change first", file)
		}
		for line := range strings.Lines(string(text)) {
			if len(line) > 100 {
				t.Errorf("%s has a line that is too long: %s", file, line)
			}
		}
		cfg := load(t, file)
		if cfg.Listeners[0].Address != "127.0.0.1:8080" || cfg.Upstream.URL != "http://127.0.0.1:5000" {
			t.Errorf("%s is for %v and %v", file, cfg.Listeners, cfg.Upstream.URL)
		}
	}
}

// A page of another site uses its visitor's cookies. Pages of the own host and listed ones
// are admitted, and so is what is no browser.
func TestForeignPage(t *testing.T) {
	t.Parallel()
	for _, file := range everyFile(t) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			s.wantRefused(http.StatusForbidden, "Origin", "https://evil.example")
			s.wantRefused(http.StatusForbidden, "Origin", "null")
			origins := append([]string{"http://" + s.address}, s.policy.Origins.Allow...)
			for i, origin := range origins {
				s.wantRelay(s.open(append(somebody(&s.policy, i), "Origin", origin)...))
			}
			s.wantNoEnd()
		})
	}
}

// All clients come back at once. As many as the server bears do, the others are told when
// to try again, and who is there notices nothing.
func TestReconnectStorm(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "strict-public mobile-clients dashboard-broadcast iot-devices actioncable phoenix", func(p *policies.Policy) bool { return p.Handshakes.TotalRate > 0 }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { slow(t, &p.Handshakes.TotalRate) }, nil)
			client, upstream := s.open(somebody(&s.policy, 0)...)
			n := 1
			for ; n < s.policy.Handshakes.TotalBurst; n++ {
				conn, _, err := s.dial(somebody(&s.policy, n)...)
				if err != nil {
					t.Fatalf("handshake %d: %v", n, err)
				}
				_ = conn.Close()
				wait(t, s.upstream, "a session's upstream")
				s.wantEnd(policies.ClientLost)
			}
			s.wantRefused(http.StatusServiceUnavailable, somebody(&s.policy, n)...)
			s.wantRelay(client, upstream)
			s.wantNoEnd()
		})
	}
}

// code is what a client that sends too much is closed with: what its library takes for
// an answer, where that is not the cause's own.
func code(file string, own int) int {
	if code := map[string]int{"pusher.yaml": 4090, "centrifugo.yaml": 4500}[file]; code != 0 {
		return code
	}
	return own
}

// A client that floods loses its session, with the code that its library takes for an
// answer, and upstream sees no more than the burst. Its neighbour notices nothing.
func TestFlood(t *testing.T) {
	t.Parallel()
	const floods = "strict-public mobile-clients dashboard-broadcast graphql-transport-ws graphql-ws " +
		"pusher actioncable phoenix centrifugo socket.io stomp signalr"
	for _, file := range files(t, floods, func(p *policies.Policy) bool {
		return p.Messages.Rate > 0 && p.Messages.OnExcess == policies.ExcessClose
	}) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { slow(t, &p.Messages.Rate) }, nil)
			beside, besideUpstream := s.open(somebody(&s.policy, 0)...)
			client, upstream := s.open(somebody(&s.policy, 1)...)
			talk := talks(file)
			for range s.policy.Messages.Burst {
				client.say(talk)
				upstream.want(talk)
			}
			client.say(talk)
			upstream.wantClose(1001)
			client.wantClose(code(file, 1008))
			s.wantEnd(policies.MessageRate)
			beside.say(talk)
			besideUpstream.want(talk)
			s.wantNoEnd()
		})
	}
}

// A client that sends what it has kept during an outage, or a script in a hurry: it is
// slowed down, and nothing is lost.
func TestFloodIsDelayed(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "iot-devices json-rpc", func(p *policies.Policy) bool { return p.Messages.OnExcess == policies.ExcessDelay }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			client, upstream := s.open()
			count := s.policy.Messages.Burst + int(s.policy.Messages.Rate) // a second's worth too many
			begun := time.Now()
			for n := range count {
				client.say(fmt.Sprintf(`{"n":%d}`, n))
			}
			for n := range count {
				upstream.want(fmt.Sprintf(`{"n":%d}`, n))
			}
			if took := time.Since(begun); took < time.Second/2 {
				t.Errorf("%d messages have passed within %v", count, took)
			}
			s.wantNoEnd()
		})
	}
}

// A message that is longer than any honest one.
func TestMessageTooBig(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "strict-public mobile-clients dashboard-broadcast iot-devices pusher centrifugo socket.io stomp signalr", func(p *policies.Policy) bool { return p.Messages.MaxBytes > 0 }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			client, upstream := s.open()
			client.say(strings.Repeat(" ", int(s.policy.Messages.MaxBytes)+1))
			client.wantClose(code(file, 1009))
			upstream.wantClose(1001)
			s.wantEnd(policies.MessageTooBig)
		})
	}
}

// A dialect's message may be as long as the file says, and no longer.
func TestLongMessage(t *testing.T) {
	t.Parallel()
	usual := policies.Default().Inspect.MaxBytes
	for _, file := range files(t, "graphql-transport-ws graphql-ws json-rpc", func(p *policies.Policy) bool { return p.Inspect.MaxBytes != usual }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, nil, nil)
			client, upstream := s.open()
			longest := int(s.policy.Inspect.MaxBytes)
			message := talks(file) + strings.Repeat(" ", longest-len(talks(file)))
			client.say(message)
			upstream.want(message)
			client.say(message + " ")
			client.wantClose(1009)
			upstream.wantClose(1001)
			s.wantEnd(policies.MessageTooBig)
		})
	}
}

// A client that connects and never says a word holds a seat, and the server's memory.
func TestFirstMessage(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "strict-public graphql-ws socket.io stomp", func(p *policies.Policy) bool { return p.FirstMessage.Timeout > 0 }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { cut(t, &p.FirstMessage.Timeout) }, nil)
			client, upstream := s.open()
			client.wantClose(1001)
			upstream.wantClose(1001)
			s.wantEnd(policies.NoFirstMessage)
		})
	}
}

// A client of which only the heartbeats are left: those of its application, or those of
// its WebSocket library. One that talks is not touched.
func TestIdle(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "strict-public iot-devices rac json-rpc", func(p *policies.Policy) bool { return p.Idle.Timeout > 0 }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { cut(t, &p.Idle.Timeout) }, nil)
			beside, besideUpstream := s.open(somebody(&s.policy, 0)...)
			client, upstream := s.open(somebody(&s.policy, 1)...)
			client.say(talks(file)) // and no more
			upstream.want(talks(file))
			defer client.chatter(speaks(file).beats)()
			for {
				select {
				case m := <-upstream.got:
					if m != speaks(file).beats {
						t.Fatalf("upstream has got %q", m)
					}
				case m := <-besideUpstream.got:
					t.Fatalf("the neighbour has said %q", m)
				case <-time.After(20 * time.Millisecond):
					besideUpstream.say(talks(file))
					beside.want(talks(file))
				case code := <-client.closed:
					if code != 1001 {
						t.Errorf("the client is closed with %d, want 1001", code)
					}
					s.wantEnd(policies.IdleTimeout)
					s.wantRelay(beside, besideUpstream)
					return
				}
			}
		})
	}
}

// A session that has lived for long enough is to be made anew, whatever it does.
func TestLifetime(t *testing.T) {
	t.Parallel()
	for _, file := range files(t, "strict-public internal-service dashboard-broadcast", func(p *policies.Policy) bool { return p.Lifetime.Max > 0 }) {
		t.Run(file, func(t *testing.T) {
			t.Parallel()
			s := start(t, file, func(p *policies.Policy) { cut(t, &p.Lifetime.Max) }, nil)
			client, upstream := s.open()
			client.wantClose(1012)
			upstream.wantClose(1001)
			s.wantEnd(policies.MaxAge)
		})
	}
}
