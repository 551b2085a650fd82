package policies_test

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"wswarden/policies"
)

// application is how the clients and servers of a dialect speak. In its texts, %[1]d
// is the number of a subscription, from 0 on, and %[2]s the reason of a refusal.
type application struct {
	dialect string
	// hello is what a client says first, and welcome what it gets.
	hello, welcome string
	// own subscriptions, which hello makes, count as well, and are not undone.
	own int
	subscribe, ack, unsubscribe,
	// undo is what upstream gets for a subscription that is left, if not unsubscribe.
	undo,
	// refused is what the client gets for one too many; empty: the oldest goes.
	refused string
	// heartbeats of the application itself, from the client and from upstream.
	beats, answers string
	// talk is a message that is of no interest to the dialect.
	talk string
}

var applications = []application{
	{
		dialect:     "rac",
		subscribe:   `{"type":"subscribe:offers","payload":{"pnr":"%[1]d"}}`,
		ack:         `{"type":"subscribed","payload":{"pnr":"%[1]d"}}`,
		unsubscribe: `{"type":"unsubscribe:offers","payload":{"pnr":"%[1]d"}}`,
		refused:     `{"type":"ERROR","message":"%[2]s","payload":{"pnr":"%[1]d"}}`,
		beats:       `{"type":"ping"}`, answers: `{"type":"pong"}`,
	}, {
		dialect: "graphql-transport-ws",
		hello:   `{"type":"connection_init"}`, welcome: `{"type":"connection_ack"}`,
		subscribe:   `{"id":"%[1]d","type":"subscribe","payload":{"query":"subscription { news }"}}`,
		ack:         `{"id":"%[1]d","type":"next","payload":{"data":{"news":"first"}}}`,
		unsubscribe: `{"id":"%[1]d","type":"complete"}`,
		refused:     `{"id":"%[1]d","type":"error","payload":[{"message":"%[2]s"}]}`,
		beats:       `{"type":"ping"}`, answers: `{"type":"pong"}`,
	}, {
		dialect: "graphql-ws",
		hello:   `{"type":"connection_init","payload":{}}`, welcome: `{"type":"connection_ack"}`,
		subscribe:   `{"id":"%[1]d","type":"start","payload":{"query":"subscription { news }"}}`,
		ack:         `{"id":"%[1]d","type":"data","payload":{"data":{"news":"first"}}}`,
		unsubscribe: `{"id":"%[1]d","type":"stop"}`,
		refused:     `{"id":"%[1]d","type":"error","payload":{"message":"%[2]s"}}`,
		answers:     `{"type":"ka"}`,
	}, {
		dialect:     "pusher",
		subscribe:   `{"event":"pusher:subscribe","data":{"channel":"room-%[1]d"}}`,
		ack:         `{"event":"pusher_internal:subscription_succeeded","channel":"room-%[1]d","data":"{}"}`,
		unsubscribe: `{"event":"pusher:unsubscribe","data":{"channel":"room-%[1]d"}}`,
		refused:     `{"event":"pusher:subscription_error","channel":"room-%[1]d","data":{"type":"LimitReached","error":"%[2]s","status":403}}`,
		beats:       `{"event":"pusher:ping","data":{}}`, answers: `{"event":"pusher:pong","data":{}}`,
	}, {
		dialect:     "actioncable",
		subscribe:   `{"command":"subscribe","identifier":"{\"channel\":\"Room\",\"id\":%[1]d}"}`,
		ack:         `{"identifier":"{\"channel\":\"Room\",\"id\":%[1]d}","type":"confirm_subscription"}`,
		unsubscribe: `{"command":"unsubscribe","identifier":"{\"channel\":\"Room\",\"id\":%[1]d}"}`,
		refused:     `{"type":"reject_subscription","identifier":"{\"channel\":\"Room\",\"id\":%[1]d}","reason":"%[2]s"}`,
		answers:     `{"type":"ping","message":1700000000}`,
	}, {
		dialect:     "phoenix",
		subscribe:   `["%[1]d","%[1]d","room:%[1]d","phx_join",{}]`,
		ack:         `["%[1]d","%[1]d","room:%[1]d","phx_reply",{"status":"ok","response":{}}]`,
		unsubscribe: `["%[1]d","9","room:%[1]d","phx_leave",{}]`,
		undo:        `[null,"wswarden","room:%[1]d","phx_leave",{}]`,
		refused:     `["%[1]d","%[1]d","room:%[1]d","phx_reply",{"status":"error","response":{"reason":"%[2]s"}}]`,
		beats:       `[null,"8","phoenix","heartbeat",{}]`,
		answers:     `[null,"8","phoenix","phx_reply",{"status":"ok","response":{}}]`,
	}, {
		dialect: "centrifugo",
		hello:   `{"id":1000,"connect":{}}`, welcome: `{"id":1000,"connect":{"client":"a","ping":25,"pong":true}}`,
		subscribe:   `{"id":2%[1]d,"subscribe":{"channel":"room%[1]d"}}`,
		ack:         `{"id":2%[1]d,"subscribe":{}}`,
		unsubscribe: `{"id":3%[1]d,"unsubscribe":{"channel":"room%[1]d"}}`,
		undo:        `{"id":4294967295,"unsubscribe":{"channel":"room%[1]d"}}`,
		refused:     `{"id":2%[1]d,"error":{"code":106,"message":"%[2]s"}}`,
		beats:       `{}`, answers: `{}`,
	}, {
		dialect: "socket.io",
		talk:    `42["chat","hello"]`,
		hello:   `40`, welcome: `40{"sid":"a"}`, own: 1,
		subscribe:   `42["subscribe","room%[1]d"]`,
		ack:         `42["news","room%[1]d"]`,
		unsubscribe: `42["unsubscribe","room%[1]d"]`,
		undo:        `42/,["unsubscribe","room%[1]d"]`,
		refused:     `42/,["subscribe_error",{"topic":"room%[1]d","message":"%[2]s"}]`,
		beats:       `3`, answers: `2`,
	}, {
		dialect: "stomp",
		talk:    "SEND\ndestination:/app/chat\n\nhello\x00",
		hello:   "CONNECT\naccept-version:1.2\nheart-beat:10000,10000\n\n\x00", welcome: "CONNECTED\nversion:1.2\nheart-beat:0,0\n\n\x00",
		subscribe:   "SUBSCRIBE\nid:%[1]d\ndestination:/topic/room%[1]d\n\n\x00",
		ack:         "MESSAGE\nsubscription:%[1]d\nmessage-id:1\ndestination:/topic/room%[1]d\n\nfirst\x00",
		unsubscribe: "UNSUBSCRIBE\nid:%[1]d\n\n\x00",
		beats:       "\n", answers: "\n",
	}, {
		dialect:     "json-rpc",
		subscribe:   `{"jsonrpc":"2.0","id":%[1]d,"method":"eth_subscribe","params":["newHeads"]}`,
		ack:         `{"jsonrpc":"2.0","id":%[1]d,"result":"0x%[1]d"}`,
		unsubscribe: `{"jsonrpc":"2.0","id":1000,"method":"eth_unsubscribe","params":["0x%[1]d"]}`,
		undo:        `{"jsonrpc":"2.0","id":"wswarden","method":"eth_unsubscribe","params":["0x%[1]d"]}`,
		refused:     `{"jsonrpc":"2.0","id":%[1]d,"error":{"code":-32005,"message":"%[2]s"}}`,
	}, {
		dialect: "signalr",
		talk:    `{"type":1,"target":"Say","arguments":["hello"]}` + "\x1e",
		hello:   `{"protocol":"json","version":1}` + "\x1e", welcome: "{}\x1e",
		subscribe:   `{"type":4,"invocationId":"%[1]d","target":"Prices","arguments":[]}` + "\x1e",
		ack:         `{"type":2,"invocationId":"%[1]d","item":1}` + "\x1e",
		unsubscribe: `{"type":5,"invocationId":"%[1]d"}` + "\x1e",
		refused:     `{"type":3,"invocationId":"%[1]d","error":"%[2]s"}` + "\x1e",
		beats:       `{"type":6}` + "\x1e", answers: `{"type":6}` + "\x1e",
	},
}

func (a application) file() string { return a.dialect + ".yaml" }

// nth fills in a text.
func nth(text string, n int, reason string) string {
	return strings.ReplaceAll(strings.ReplaceAll(text, "%[1]d", fmt.Sprint(n)), "%[2]s", reason)
}

// undone is what upstream gets for the nth subscription when it is left.
func (a application) undone(n int) string {
	if a.undo == "" {
		return nth(a.unsubscribe, n, "")
	}
	return nth(a.undo, n, "")
}

// greet begins a session. It is upstream that says hello in some dialects; there the
// client is welcomed without a word of its own.
func (a application) greet(client, upstream *end) {
	if a.hello == "" {
		return
	}
	client.say(a.hello)
	upstream.want(a.hello)
	upstream.say(a.welcome)
	client.want(a.welcome)
}

// fill has a client subscribe as often as it may, and returns how often that is.
func (a application) fill(s *stage, client, upstream *end) int {
	room := s.policy.Subscriptions.Max - a.own
	for n := range room {
		client.say(nth(a.subscribe, n, ""))
		upstream.want(nth(a.subscribe, n, ""))
		upstream.say(nth(a.ack, n, ""))
		client.want(nth(a.ack, n, ""))
	}
	return room
}

func TestEveryDialectHasAPolicy(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../../policies/dialects/*.yaml")
	if err != nil || len(files) != len(applications) {
		t.Errorf("%d dialects, but %d are tested here (%v)", len(files), len(applications), err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		if policy := load(t, name+".yaml").Policies[0]; policy.Dialect != name {
			t.Errorf("%s.yaml is for the dialect %q", name, policy.Dialect)
		}
		if !slices.ContainsFunc(applications, func(a application) bool { return a.dialect == name }) {
			t.Errorf("%s.yaml is not tested", name)
		}
	}
}

// A client that subscribes to too much, and then vanishes: the server never sees what is
// too much, the client is told in its own words, and nothing is left behind it.
func TestDialectOverSubscribes(t *testing.T) {
	t.Parallel()
	for _, a := range applications {
		t.Run(a.dialect, func(t *testing.T) {
			t.Parallel()
			s := start(t, a.file(), nil, nil)
			beside, besideUpstream := s.open()
			a.greet(beside, besideUpstream)
			client, upstream := s.open()
			a.greet(client, upstream)
			room := a.fill(s, client, upstream)

			client.say(nth(a.subscribe, room, ""))
			oldest := 0
			if a.refused != "" {
				client.want(nth(a.refused, room, fmt.Sprintf("limit of %d subscriptions reached", s.policy.Subscriptions.Max)))
			} else {
				upstream.want(a.undone(0), nth(a.subscribe, room, ""))
				oldest, room = 1, room+1
			}

			client.vanish()
			for n := oldest; n < room; n++ {
				upstream.want(a.undone(n))
			}
			upstream.wantClose(1001)
			s.wantEnd(policies.ClientLost)
			wantAlive(a, s, beside, besideUpstream)
		})
	}
}

// A client that is gone while its connection stays: it answers no ping, and the server
// gets rid of all that it held.
func TestDialectZombie(t *testing.T) {
	t.Parallel()
	for _, a := range applications {
		t.Run(a.dialect, func(t *testing.T) {
			t.Parallel()
			s := start(t, a.file(), func(p *policies.Policy) {
				cut(t, &p.Heartbeat.Interval)
				cut(t, &p.Heartbeat.Timeout)
			}, nil)
			beside, besideUpstream := s.open() // says nothing, but answers
			a.greet(beside, besideUpstream)
			client, upstream := s.openMute()
			var undone []string
			if a.hello != "" {
				client.say(a.hello)
				upstream.want(a.hello)
				upstream.say(a.welcome)
			}
			for n := range 2 {
				client.say(nth(a.subscribe, n, ""))
				upstream.want(nth(a.subscribe, n, ""))
				upstream.say(nth(a.ack, n, ""))
				undone = append(undone, a.undone(n))
			}
			upstream.want(undone...)
			upstream.wantClose(1001)
			client.vanish()
			s.wantEnd(policies.HeartbeatTimeout)
			wantAlive(a, s, beside, besideUpstream)
		})
	}
}

// A client that does what its library does: the file as it is does not touch it.
func TestDialectWellBehaved(t *testing.T) {
	t.Parallel()
	for _, a := range applications {
		t.Run(a.dialect, func(t *testing.T) {
			t.Parallel()
			s := start(t, a.file(), nil, nil)
			client, upstream := s.open()
			a.greet(client, upstream)
			room := a.fill(s, client, upstream)
			// A seat that is given back can be taken again.
			for n := range 3 {
				client.say(nth(a.unsubscribe, n, ""))
				upstream.want(nth(a.unsubscribe, n, ""))
				client.say(nth(a.subscribe, room+n, ""))
				upstream.want(nth(a.subscribe, room+n, ""))
				upstream.say(nth(a.ack, room+n, ""))
				client.want(nth(a.ack, room+n, ""))
			}
			wantAlive(a, s, client, upstream)
			client.leave(1000)
			for n := range room {
				upstream.want(a.undone(n + 3))
			}
			upstream.wantClose(1000)
			s.wantEnd(policies.ClientClose)
		})
	}
}

// wantAlive checks that nobody has touched a session: its heartbeats pass both ways.
func wantAlive(a application, s *stage, client, upstream *end) {
	s.t.Helper()
	if a.beats != "" {
		client.say(a.beats)
		upstream.want(a.beats)
	}
	if a.answers != "" {
		upstream.say(a.answers)
		client.want(a.answers)
	}
	if a.beats == "" && a.answers == "" {
		s.wantRelay(client, upstream)
	}
	s.wantNoEnd()
}
