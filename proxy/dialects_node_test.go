package proxy_test

import (
	"fmt"
	"testing"

	"wswarden/policies"
)

var applications = []struct {
	name string
	application
}{
	{"graphql-ws", application{
		dialect:   "graphql-transport-ws",
		client:    node("graphql-transport-ws", "client"),
		server:    node("graphql-transport-ws", "server"),
		topic:     `subscription { feed(topic: "%s") }`,
		deflates:  true,
		refused:   "sink.error: %s",
		forbidden: "sink.next: not for you",
	}},
	{"socket.io", application{
		dialect:   "socket.io",
		client:    node("socket.io", "client"),
		server:    node("socket.io", "server"),
		topic:     "%s",
		own:       []string{"/"},
		confirms:  true,
		deflates:  true,
		refused:   `on("subscribe_error"): %s`,
		forbidden: `on("subscribe_error"): not for you`,
	}},
	{"stomp", application{
		dialect:   "stomp",
		client:    node("stomp", "client"),
		server:    node("stomp", "server"),
		topic:     "%s",
		deflates:  true,
		fatal:     true,
		refused:   "onStompError: %s",
		forbidden: "onStompError: SUBSCRIBE ERROR",
	}},
	{"phoenix", application{
		dialect:   "phoenix",
		client:    node("phoenix", "client"),
		server:    node("phoenix", "server"),
		topic:     "%s",
		confirms:  true,
		deflates:  true,
		refused:   `join().receive("error"): %s`,
		forbidden: `join().receive("error"): not for you`,
	}},
	{"centrifugo", application{
		dialect:   "centrifugo",
		client:    node("centrifugo", "client"),
		server:    []string{"centrifugo"},
		topic:     "%s",
		confirms:  true,
		deflates:  true,
		refused:   `on("unsubscribed"): %s`,
		forbidden: `on("unsubscribed"): permission denied`,
	}},
	{"subscriptions-transport-ws", application{
		dialect:   "graphql-ws",
		client:    node("graphql-ws", "client"),
		server:    node("graphql-ws", "server"),
		topic:     `subscription { feed(topic: "%s") }`,
		deflates:  true,
		refused:   "observer.error: %s",
		forbidden: "observer.next: not for you",
	}},
	{"pusher", application{
		dialect:   "pusher",
		client:    node("pusher", "client"),
		server:    node("pusher", "server"),
		topic:     "%s",
		confirms:  true,
		givesUp:   true,
		refused:   `bind("pusher:subscription_error"): %s`,
		forbidden: `bind("pusher:subscription_error"): not for you`,
	}},
	{"actioncable", application{
		dialect:   "actioncable",
		client:    node("actioncable", "client"),
		server:    node("actioncable", "server"),
		topic:     `{"channel":"Feed","topic":"%s"}`,
		confirms:  true,
		deflates:  true,
		refused:   "rejected:",
		forbidden: "rejected:",
	}},
	{"signalr", application{
		dialect:   "signalr",
		client:    node("signalr", "client"),
		server:    node("signalr", "server"),
		topic:     "feed",
		deflates:  true,
		refused:   "subscriber.error: %s",
		forbidden: "subscriber.error: not for you",
	}},
	{"geth", application{
		dialect:    "json-rpc",
		client:     []string{"geth", "client"},
		server:     []string{"geth", "server"},
		topic:      "feed",
		confirms:   true,
		concurrent: true,
		refused:    "EthSubscribe: %s (-32005)",
		forbidden:  "EthSubscribe: not for you (-32000)",
	}},
}

func node(script, role string) []string { return []string{"node", script + ".js", role} }

// TestRealApplications runs real clients against real servers, as far as there are
// such, with wswarden between.
func TestRealApplications(t *testing.T) {
	needNode(t)
	programs := goPrograms(t)
	for _, tt := range applications {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := findApplication(t, tt.name, programs)
			compressions := []string{"plain"}
			if a.deflates {
				compressions = append(compressions, "deflate")
			}
			for _, compression := range compressions {
				t.Run("reject "+compression, func(t *testing.T) {
					testReject(t, a.newStage(t, policies.ExcessReject), compression)
				})
			}
			t.Run("evict", func(t *testing.T) {
				testEvict(t, a.newStage(t, policies.ExcessEvictOldest))
			})
		})
	}
}

func testReject(t *testing.T, s *stage, compression string) {
	s.connect(compression)

	// Below the limit, nothing is different.
	s.wantHeld()
	s.subscribe("a")
	s.wantHeld("a")
	s.wantData("a", "1")
	s.unsubscribe("a")
	s.wantHeld()
	s.subscribe("a")
	s.wantData("a", "2")
	if !s.app.fatal {
		s.wantForbidden() // and does not count
	}

	// At the limit.
	s.subscribeAtOnce([]string{"b", "c"}, []string{"d", "e"})
	s.wantHeld("a", "b", "c")
	s.wantData("c", "3")
	s.unsubscribe("b")
	next := "d"
	if s.app.givesUp {
		next = "f"
	}
	s.subscribe(next)
	s.wantHeld("a", "c", next)
	s.wantData(next, "4")

	s.kill("a", "c", next)
	if s.app.fatal {
		s.connect(compression)
		s.wantForbidden()
		s.server.want("close")
		s.wantHeld()
	}
}

func testEvict(t *testing.T, s *stage) {
	s.connect("plain")
	for i := range 10 {
		var evicted []string
		if i >= 3 {
			evicted = []string{fmt.Sprint("t", i-3)}
		}
		s.subscribe(fmt.Sprint("t", i), evicted...)
	}
	s.wantHeld("t7", "t8", "t9")
	s.wantData("t7", "1")
	s.kill("t7", "t8", "t9")
}
