package dialects_test

import (
	"slices"
	"strings"
	"testing"

	"wswarden/config"
	"wswarden/policies/dialects"
)

const (
	client   = dialects.ClientToUpstream
	upstream = dialects.UpstreamToClient
)

// builtin returns a built-in dialect, ready.
func builtin(t testing.TB, name string) *dialects.Dialect {
	t.Helper()
	spec, ok := config.Builtin(name)
	if !ok {
		t.Fatalf("there is no dialect %s", name)
	}
	d, problems := dialects.Compile(spec)
	if len(problems) > 0 {
		t.Fatalf("%s: %v", name, problems)
	}
	return d
}

// shown tells what a dialect makes of a text message: each record's kind and what
// was found in it, and "unreadable" where the reader gives up.
func shown(d *dialects.Dialect, from dialects.Direction, message string) string {
	var r dialects.Reader
	r.Begin(d, from, false, []byte(message))
	var all []string
	for record := r.Next(); record != nil; record = r.Next() {
		all = append(all, strings.Join(shownRecord(record), " "))
	}
	if r.Err() != nil {
		all = append(all, "unreadable")
	}
	return strings.Join(all, ", ")
}

var kinds = map[dialects.Kind]string{
	dialects.Other: "other", dialects.Subscribe: "subscribe", dialects.Unsubscribe: "unsubscribe",
	dialects.Identify: "identify", dialects.Ack: "ack", dialects.Reject: "reject",
	dialects.Released: "released", dialects.Heartbeat: "heartbeat",
}

func shownRecord(r *dialects.Record) []string {
	words := []string{kinds[r.Kind]}
	if r.Kind == dialects.Subscribe && !r.Rule.Usable(r) {
		return []string{"unusable"}
	}
	add := func(name string, v dialects.Value) {
		if v.Present() {
			words = append(words, name+string(v.AppendText([]byte("="))))
		}
	}
	add("topic", r.Topic)
	add("id", r.ID)
	add("request", r.Request)
	add("identity", r.Identity)
	return words
}

// message is one that the protocol's documentation or its client and server show.
type message struct {
	from dialects.Direction
	text string
	want string
}

// subscription is a subscribe message, and what undoes and what refuses it. The
// unsubscribe is what the protocol's own client sends, but for the order of keys.
type subscription struct {
	subscribe   string
	topic       string
	id          string // as upstream gives it
	unsubscribe string // empty: there is none
	refusal     string
}

var builtins = []struct {
	name          string
	messages      []message
	subscriptions []subscription
}{{
	name: "rac",
	messages: []message{
		{upstream, `{"type":"CONNECTION_SUCCESS","clientId":"client_1","message":"hello","timestamp":"t"}`, "other"},
		{client, `{"type":"subscribe:offers","payload":{"pnr":"1722500001"}}`, "subscribe topic=1722500001"},
		{upstream, `{"type":"subscribed","payload":{"pnr":"1722500001"}}`, "ack topic=1722500001"},
		{client, `{"type":"unsubscribe:offers","payload":{"pnr":"1722500001"}}`, "unsubscribe topic=1722500001"},
		{upstream, `{"type":"unsubscribed","payload":{"pnr":"1722500001"}}`, "other"},
		{client, `{"type":"SUBSCRIBE"}`, "subscribe topic=broadcasts"},
		{upstream, `{"type":"SUBSCRIBED"}`, "ack topic=broadcasts"},
		{client, `{"type":"UNSUBSCRIBE"}`, "unsubscribe topic=broadcasts"},
		{client, `{"type":"IDENTIFY","role":"TTE","tteId":"T7"}`, "identify identity=T7"},
		{client, `{"type":"IDENTIFY","role":"PASSENGER","irctcId":"I9"}`, "identify identity=I9"},
		{client, `{"type":"ping"}`, "heartbeat"},
		{client, `{"type":"PING"}`, "heartbeat"},
		{upstream, `{"type":"pong","timestamp":"t"}`, "heartbeat"},
		{upstream, `{"type":"upgrade:offer","payload":{"pnr":"1722500001"}}`, "other"},
		{client, `not JSON`, "other"},
		{client, `{"type":"subscribe:offers","payload":{}}`, "unusable"},
		{client, `{"type":"subscribe:offers","payload":{"pnr":null}}`, "unusable"},
		{client, "\ufeff" + `{"type":"SUBSCRIBE"}`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"type":"subscribe:offers","payload":{"pnr":"1722500001"}}`, topic: "1722500001",
			unsubscribe: `{"type":"unsubscribe:offers","payload":{"pnr":"1722500001"}}`,
			refusal:     `{"type":"ERROR","message":"no","payload":{"pnr":"1722500001"}}`},
		{subscribe: `{"type":"subscribe:offers","payload":{"pnr": 17225e5 }}`, topic: "1722500000",
			unsubscribe: `{"type":"unsubscribe:offers","payload":{"pnr":17225e5}}`,
			refusal:     `{"type":"ERROR","message":"no","payload":{"pnr":17225e5}}`},
		{subscribe: `{"type":"SUBSCRIBE"}`, topic: "broadcasts",
			unsubscribe: `{"type":"UNSUBSCRIBE"}`,
			refusal:     `{"type":"ERROR","message":"no"}`},
	},
}, {
	name: "graphql-transport-ws", // the protocol's PROTOCOL.md, and graphql-ws
	messages: []message{
		{client, `{"type":"connection_init","payload":{}}`, "other"},
		{upstream, `{"type":"connection_ack"}`, "other"},
		{client, `{"id":"f6","type":"subscribe","payload":{"query":"subscription{a}"}}`, "subscribe topic=subscription{a} id=f6"},
		{upstream, `{"id":"f6","type":"next","payload":{"data":{"a":1}}}`, "other"},
		{upstream, `{"id":"f6","type":"complete"}`, "released id=f6"},
		{client, `{"id":"f6","type":"complete"}`, "unsubscribe id=f6"},
		{upstream, `{"id":"f6","type":"error","payload":[{"message":"no"}]}`, "reject id=f6"},
		{client, `{"type":"ping"}`, "heartbeat"},
		{upstream, `{"type":"pong","payload":{}}`, "heartbeat"},
		{client, `{"type":"subscribe","payload":{"query":"{a}"}}`, "unusable"},
		{client, `{"id":"1","type":"subscribe","payload":{"extensions":{}}}`, "unusable"},
		{client, `{"id":"1","Type":"subscribe","payload":{"query":"{a}"}}`, "unreadable"},
		{client, `{"id":"1","type":"ping","type":"subscribe","payload":{"query":"{a}"}}`, "unreadable"},
		{client, `{"type":"ping"} {}`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"id":"f6","type":"subscribe","payload":{"query":"subscription{a}"}}`, topic: "subscription{a}",
			unsubscribe: `{"id":"f6","type":"complete"}`,
			refusal:     `{"id":"f6","type":"error","payload":[{"message":"no"}]}`},
	},
}, {
	name: "graphql-ws", // subscriptions-transport-ws
	messages: []message{
		{client, `{"type":"connection_init","payload":{}}`, "other"},
		{client, `{"id":"1","type":"start","payload":{"query":"subscription{a}"}}`, "subscribe topic=subscription{a} id=1"},
		{upstream, `{"type":"data","id":"1","payload":{"data":{"a":1}}}`, "other"},
		{upstream, `{"type":"ka"}`, "heartbeat"},
		{client, `{"id":"1","type":"stop"}`, "unsubscribe id=1"},
		{upstream, `{"type":"error","id":"1","payload":{"message":"no"}}`, "reject id=1"},
		{upstream, `{"type":"complete","id":"1","payload":null}`, "released id=1"},
		{client, `{"type":"subscription_start","id":4,"query":"subscription{a}"}`, "subscribe topic=subscription{a} id=4"},
		{upstream, `{"type":"subscription_fail","id":4,"payload":{"message":"no"}}`, "reject id=4"},
		{client, `{"type":"subscription_end","id":4}`, "unsubscribe id=4"},
	},
	subscriptions: []subscription{
		{subscribe: `{"id":"1","type":"start","payload":{"query":"subscription{a}"}}`, topic: "subscription{a}",
			unsubscribe: `{"id":"1","type":"stop"}`,
			refusal:     `{"id":"1","type":"error","payload":{"message":"no"}}`},
		{subscribe: `{"type":"subscription_start","id":4,"query":"subscription{a}"}`, topic: "subscription{a}",
			unsubscribe: `{"id":4,"type":"subscription_end"}`,
			refusal:     `{"id":4,"type":"subscription_fail","payload":{"message":"no"}}`},
	},
}, {
	name: "pusher", // pusher-js
	messages: []message{
		{upstream, `{"event":"pusher:connection_established","data":"{\"socket_id\":\"1.1\"}"}`, "other"},
		{client, `{"event":"pusher:subscribe","data":{"auth":"","channel":"news"}}`, "subscribe topic=news"},
		{client, `{"event":"pusher:subscribe","data":"{\"channel\":\"news\"}"}`, "subscribe topic=news"},
		{client, `{"event":"pusher:subscribe","data":"news"}`, "unusable"},
		{upstream, `{"event":"pusher_internal:subscription_succeeded","channel":"news","data":"{}"}`, "ack topic=news"},
		{upstream, `{"event":"pusher:subscription_error","channel":"news","data":{"type":"AuthError","status":401}}`, "reject topic=news"},
		{upstream, `{"event":"update","channel":"news","data":"{}"}`, "other"},
		{client, `{"event":"pusher:unsubscribe","data":{"channel":"news"}}`, "unsubscribe topic=news"},
		{client, `{"event":"client-typing","channel":"private-a","data":{}}`, "other"},
		{client, `{"event":"pusher:ping","data":{}}`, "heartbeat"},
		{upstream, `{"event":"pusher:pong","data":"{}"}`, "heartbeat"},
	},
	subscriptions: []subscription{
		{subscribe: `{"event":"pusher:subscribe","data":{"auth":"","channel":"news"}}`, topic: "news",
			unsubscribe: `{"event":"pusher:unsubscribe","data":{"channel":"news"}}`,
			refusal:     `{"event":"pusher:subscription_error","channel":"news","data":{"type":"LimitReached","error":"no","status":403}}`},
	},
}, {
	name: "actioncable", // @rails/actioncable
	messages: []message{
		{upstream, `{"type":"welcome"}`, "other"},
		{client, `{"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\",\"room\":\"1\"}"}`, `subscribe topic={"channel":"ChatChannel","room":"1"}`},
		{upstream, `{"identifier":"{\"channel\":\"ChatChannel\"}","type":"confirm_subscription"}`, `ack topic={"channel":"ChatChannel"}`},
		{upstream, `{"identifier":"{\"channel\":\"ChatChannel\"}","type":"reject_subscription"}`, `reject topic={"channel":"ChatChannel"}`},
		{client, `{"command":"message","identifier":"{\"channel\":\"ChatChannel\"}","data":"{\"action\":\"speak\"}"}`, "other"},
		{client, `{"command":"unsubscribe","identifier":"{\"channel\":\"ChatChannel\"}"}`, `unsubscribe topic={"channel":"ChatChannel"}`},
		{upstream, `{"identifier":"{\"channel\":\"ChatChannel\"}","message":{"text":"hello"}}`, "other"},
		{upstream, `{"type":"ping","message":1700000000}`, "heartbeat"},
		{client, `{"command":"subscribe","identifier":{"channel":"ChatChannel"}}`, "unusable"},
		{client, `/**/{"command":"subscribe","identifier":"{}"}`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"command":"subscribe","identifier":"{\"channel\":\"ChatChannel\"}"}`, topic: `{"channel":"ChatChannel"}`,
			unsubscribe: `{"command":"unsubscribe","identifier":"{\"channel\":\"ChatChannel\"}"}`,
			refusal:     `{"type":"reject_subscription","identifier":"{\"channel\":\"ChatChannel\"}","reason":"no"}`},
	},
}, {
	name: "phoenix", // phoenix.js, and Phoenix's serializers
	messages: []message{
		{client, `["3","3","room:1","phx_join",{}]`, "subscribe topic=room:1 request=3"},
		{upstream, `["3","3","room:1","phx_reply",{"status":"ok","response":{}}]`, "ack topic=room:1 request=3"},
		{upstream, `["3","3","room:1","phx_reply",{"status":"error","response":{"reason":"no"}}]`, "reject topic=room:1 request=3"},
		{upstream, `[null,"3","room:1","phx_reply",{"status":"error","response":{"reason":"unmatched topic"}}]`, "other"},
		{client, `["3","4","room:1","new_msg",{"body":"hello"}]`, "other"},
		{upstream, `["3",null,"room:1","new_msg",{"body":"hello"}]`, "other"},
		{client, `["3","4","room:1","phx_leave",{}]`, "unsubscribe topic=room:1 request=3"},
		{client, `[null,"4","room:1","phx_leave",{}]`, "unsubscribe topic=room:1"},
		{client, `[{},"4","room:1","phx_leave",{}]`, "other"},
		{upstream, `["3","3","room:1","phx_close",{}]`, "released topic=room:1 request=3"},
		{upstream, `["3","3","room:1","phx_error",{"reason":"channel_crash"}]`, "released topic=room:1 request=3"},
		{client, `[null,"5","phoenix","heartbeat",{}]`, "heartbeat"},
		{upstream, `[null,"5","phoenix","phx_reply",{"status":"ok","response":{}}]`, "heartbeat"},
		{client, `[null,"3","room:1","phx_join",{}]`, "unusable"},
		{client, `{"topic":"room:1","event":"phx_join","payload":{},"ref":"1"}`, "subscribe topic=room:1"},
		{client, `{"topic":"room:1","event":"phx_join","payload":{},"event":"x","ref":"1"}`, "unreadable"},
		{upstream, `{"topic":"room:1","event":"phx_reply","ref":"1","payload":{"status":"ok","response":{}}}`, "ack topic=room:1"},
		{upstream, `{"topic":"room:1","event":"phx_close","ref":null,"payload":{}}`, "other"},
		{client, `{"topic":"room:1","event":"phx_leave","payload":{},"ref":"2"}`, "unsubscribe topic=room:1"},
		{client, `{"topic":"phoenix","event":"heartbeat","payload":{},"ref":"2"}`, "heartbeat"},
	},
	subscriptions: []subscription{
		{subscribe: `["3","3","room:1","phx_join",{}]`, topic: "room:1",
			unsubscribe: `[null,"wswarden","room:1","phx_leave",{}]`,
			refusal:     `["3","3","room:1","phx_reply",{"status":"error","response":{"reason":"no"}}]`},
		{subscribe: `{"topic":"room:1","event":"phx_join","payload":{},"ref":"1"}`, topic: "room:1",
			unsubscribe: `{"topic":"room:1","event":"phx_leave","payload":{},"ref":"wswarden"}`,
			refusal:     `{"topic":"room:1","event":"phx_reply","payload":{"status":"error","response":{"reason":"no"}},"ref":"1"}`},
	},
}, {
	name: "centrifugo", // centrifuge's client and protocol
	messages: []message{
		{client, `{"connect":{"name":"js"},"id":1}` + "\n" + `{"subscribe":{"channel":"news","flag":1},"id":2}`, "other, subscribe topic=news request=2"},
		{upstream, `{"id":1,"connect":{"client":"c","version":"6","ping":25,"pong":true}}` + "\n" + `{"id":2,"subscribe":{}}`, "other, ack request=2"},
		{upstream, `{"id":2,"error":{"code":103,"message":"permission denied"}}`, "reject request=2"},
		{upstream, `{"id":2,"error":{"code":105,"message":"already subscribed"}}`, "ack request=2"},
		{upstream, `{"push":{"channel":"news","pub":{"data":{}}}}`, "other"},
		{upstream, `{"push":{"channel":"news","unsubscribe":{"code":2500,"reason":"insufficient state"}}}`, "released topic=news"},
		{client, `{"unsubscribe":{"channel":"news"},"id":3}`, "unsubscribe topic=news"},
		{client, `{"ping":{},"unsubscribe":{"channel":"news"},"id":3}`, "other"},
		{upstream, `{"id":3,"unsubscribe":{}}`, "other"},
		{upstream, `{}`, "heartbeat"},
		{client, `{}`, "heartbeat"},
		{client, `{"subscribe":{"channel":"news"}}`, "unusable"},
		{client, `{"id":2,"Subscribe":{"channel":"news"}}`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"subscribe":{"channel":"news"},"id":2}`, topic: "news",
			unsubscribe: `{"id":4294967295,"unsubscribe":{"channel":"news"}}`,
			refusal:     `{"id":2,"error":{"code":106,"message":"no"}}`},
	},
}, {
	name: "socket.io", // socket.io-client, socket.io-parser
	messages: []message{
		{upstream, `0{"sid":"a","upgrades":[],"pingInterval":25000}`, "other"},
		{client, `40`, "subscribe topic=/"},
		{upstream, `40{"sid":"b"}`, "other"},
		{client, `40/chat,{"token":"t"}`, "subscribe topic=/chat"},
		{client, `40/chat?x=1,`, "subscribe topic=/chat?x=1"},
		{upstream, `44/chat,{"message":"Invalid namespace"}`, "reject topic=/chat"},
		{upstream, `42["subscribe_error",{"topic":"news","message":"no"}]`, "reject topic=news"},
		{client, `41/chat,`, "unsubscribe topic=/chat"},
		{upstream, `41`, "released topic=/"},
		{client, `42["subscribe","news"]`, "subscribe topic=news"},
		{client, `42/chat,7["subscribe","news"]`, "subscribe topic=news"},
		{client, `451-["subscribe","news",{"_placeholder":true,"num":0}]`, "subscribe topic=news"},
		{client, `451-["subscribe",{"_placeholder":true,"num":0}]`, "unusable"},
		{client, `42["unsubscribe","news"]`, "unsubscribe topic=news"},
		{client, `42["message","hello"]`, "other"},
		{client, `430["subscribe","news"]`, "other"},
		{upstream, `2`, "heartbeat"},
		{client, `3`, "heartbeat"},
		{client, `2probe`, "heartbeat"},
		{client, `4 /chat,`, "unreadable"},
		{client, `42 ["subscribe","news"]`, "unreadable"},
		{client, `42["subscribe","news"`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `40`, topic: "/", refusal: `44/,{"message":"no"}`},
		{subscribe: `40/chat,{"token":"t"}`, topic: "/chat", refusal: `44/chat,{"message":"no"}`},
		{subscribe: `42/chat,["subscribe","news"]`, topic: "news",
			unsubscribe: `42/chat,["unsubscribe","news"]`,
			refusal:     `42/chat,["subscribe_error",{"topic":"news","message":"no"}]`},
	},
}, {
	name: "stomp", // @stomp/stompjs, and STOMP 1.2's own examples
	messages: []message{
		{client, "CONNECT\naccept-version:1.2,1.1,1.0\nheart-beat:10000,10000\n\n\x00", "other"},
		{upstream, "CONNECTED\nversion:1.2\n\n\x00", "other"},
		{client, "SUBSCRIBE\nid:sub-0\ndestination:/topic/a\\cb\n\n\x00", "subscribe topic=/topic/a:b id=sub-0"},
		{client, "SUBSCRIBE\ndestination:/queue/a\n\n\x00", "subscribe topic=/queue/a id=/queue/a"},
		{upstream, "MESSAGE\nsubscription:sub-0\nmessage-id:1\ndestination:/topic/a\n\nhello\x00\n", "other"},
		{client, "SEND\ndestination:/queue/a\ncontent-length:5\n\nhe\x00lo\x00", "other"},
		{client, "UNSUBSCRIBE\nid:sub-0\n\n\x00", "unsubscribe id=sub-0"},
		{client, "UNSUBSCRIBE\ndestination:/queue/a\n\n\x00", "unsubscribe id=/queue/a"},
		{client, "\n", "heartbeat"},
		{upstream, "\r\n", "heartbeat"},
		{client, "SUBSCRIBE\nid:0\ndestination:/a\n\n\x00\r\n", "subscribe topic=/a id=0"},
		{client, "SUBSCRIBE\nid:1\n\n\x00", "unusable"},
		{client, "SUBSCRIBE\nid:1\ndestination:/a\n\n", "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: "SUBSCRIBE\nid:sub-0\ndestination:/topic/a\\cb\nreceipt:r1\n\n\x00", topic: "/topic/a:b",
			unsubscribe: "UNSUBSCRIBE\nid:sub-0\n\n\x00",
			refusal:     "ERROR\nmessage:no\nsubscription:sub-0\nreceipt-id:r1\n\n\x00"},
		{subscribe: "SUBSCRIBE\ndestination:/topic/a\\cb\n\n\x00", topic: "/topic/a:b",
			unsubscribe: "UNSUBSCRIBE\ndestination:/topic/a\\cb\n\n\x00",
			refusal:     "ERROR\nmessage:no\nreceipt-id:\n\n\x00"},
	},
}, {
	name: "json-rpc", // geth's documentation, ethers
	messages: []message{
		{client, `{"jsonrpc":"2.0","id":2,"method":"eth_subscribe","params":["newHeads"]}`, "subscribe topic=newHeads request=2"},
		{upstream, `{"jsonrpc":"2.0","id":2,"result":"0xabc"}`, "ack id=0xabc request=2"},
		{upstream, `{"jsonrpc":"2.0","id":2,"error":{"code":-32601,"message":"no"}}`, "reject request=2"},
		{upstream, `{"jsonrpc":"2.0","method":"eth_subscription","params":{"subscription":"0xabc","result":{}}}`, "other"},
		{client, `{"jsonrpc":"2.0","id":3,"method":"eth_unsubscribe","params":["0xabc"]}`, "unsubscribe id=0xabc"},
		{upstream, `{"jsonrpc":"2.0","id":3,"result":true}`, "other"},
		{client, ` [{"id":1,"method":"eth_chainId"}, {"id":2,"method":"eth_subscribe","params":["logs",{}]} ]`, "other, subscribe topic=logs request=2"},
		{client, `{"id":2,"method":"eth_x\u005fsubscribe","params":["newHeads"]}`, "subscribe topic=newHeads request=2"},
		{client, `{"id":2,"method":"subscribe","params":["newHeads"]}`, "other"},
		{client, `{"jsonrpc":"2.0","id":3,"method":"eth_x_unsubscribe","params":["0xabc"]}`, "other"},
		{client, `{"jsonrpc":"2.0","method":"eth_subscribe","params":["newHeads"]}`, "unusable"},
		{client, `{"METHOD":"eth_subscribe","id":1,"params":["newHeads"]}`, "unreadable"},
		{client, `{"method":"eth_subscribe","id":1,"params":["newHeads"]} and more`, "unreadable"},
		{client, `[{"method":"eth_subscribe","id":1,"params":["newHeads"]},`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"jsonrpc":"2.0","id":2,"method":"eth_subscribe","params":["newHeads"]}`, topic: "newHeads", id: `"0xabc"`,
			unsubscribe: `{"jsonrpc":"2.0","id":"wswarden","method":"eth_unsubscribe","params":["0xabc"]}`,
			refusal:     `{"jsonrpc":"2.0","id":2,"error":{"code":-32005,"message":"no"}}`},
	},
}, {
	name: "signalr", // @microsoft/signalr, and the hub protocol's page
	messages: []message{
		{client, `{"protocol":"json","version":1}` + "\x1e", "other"},
		{upstream, `{}` + "\x1e", "other"},
		{client, `{"target":"Prices","arguments":["a"],"invocationId":"0","type":4}` + "\x1e", "subscribe topic=Prices id=0"},
		{upstream, `{"type":2,"invocationId":"0","item":1}` + "\x1e" + `{"type":3,"invocationId":"0"}` + "\x1e", "other, released id=0"},
		{client, `{"invocationId":"0","type":5}` + "\x1e", "unsubscribe id=0"},
		{client, `{"target":"Send","arguments":[],"type":1}` + "\x1e", "other"},
		{client, `{"type":6}` + "\x1e", "heartbeat"},
		{client, `{"type":6}`, "unreadable"},
	},
	subscriptions: []subscription{
		{subscribe: `{"target":"Prices","arguments":["a"],"invocationId":"0","type":4}` + "\x1e", topic: "Prices",
			unsubscribe: `{"type":5,"invocationId":"0"}` + "\x1e",
			refusal:     `{"type":3,"invocationId":"0","error":"no"}` + "\x1e"},
	},
}}

func TestBuiltins(t *testing.T) {
	var names []string
	for _, b := range builtins {
		names = append(names, b.name)
		t.Run(b.name, func(t *testing.T) {
			d := builtin(t, b.name)
			for _, m := range b.messages {
				if got := shown(d, m.from, m.text); got != m.want {
					t.Errorf("%q is %q, want %q", m.text, got, m.want)
				}
			}
			for _, s := range b.subscriptions {
				var r dialects.Reader
				r.Begin(d, client, false, []byte(s.subscribe))
				record := r.Next()
				if record == nil || record.Kind != dialects.Subscribe {
					t.Errorf("%q is no subscribe", s.subscribe)
					continue
				}
				k := record.Rule
				captured := k.AppendCaptured(nil, record)
				if topic := string(k.AppendTopic(nil, captured)); topic != s.topic {
					t.Errorf("%q: topic %q, want %q", s.subscribe, topic, s.topic)
				}
				var id []byte
				if s.id != "" {
					id = []byte(s.id)
				}
				if undo, ok := k.AppendUnsubscribe(nil, captured, id); ok != (s.unsubscribe != "") || string(undo) != s.unsubscribe {
					t.Errorf("%q is undone by %q, want %q", s.subscribe, undo, s.unsubscribe)
				} else if got := shown(d, client, string(undo)); ok && !strings.HasPrefix(got, "unsubscribe ") {
					t.Errorf("%q is %q to its own dialect", undo, got)
				}
				if refusal, ok := k.AppendRefusal(nil, record, "no"); !ok || string(refusal) != s.refusal {
					t.Errorf("%q is refused by %q, want %q", s.subscribe, refusal, s.refusal)
				}
			}
		})
	}
	if slices.Sort(names); !slices.Equal(names, config.Builtins()) {
		t.Errorf("tested are %v, built in %v", names, config.Builtins())
	}
}

func TestBuiltinIdentities(t *testing.T) {
	for _, test := range []struct {
		dialect, first, second string
		same                   bool
	}{
		{"rac", `{"type":"subscribe:offers","payload":{"pnr":"1"}}`, `{"type":"subscribe:offers","payload":{"pnr":"\u0031"}}`, true},
		{"rac", `{"type":"subscribe:offers","payload":{"pnr":"1"}}`, `{"type":"subscribe:offers","payload":{"pnr":1}}`, false},
		{"rac", `{"type":"subscribe:offers","payload":{"pnr":"broadcasts"}}`, `{"type":"SUBSCRIBE"}`, false},
		{"graphql-transport-ws", `{"id":"1","type":"subscribe","payload":{"query":"{a}"}}`, `{"id":"2","type":"subscribe","payload":{"query":"{a}"}}`, false},
		{"json-rpc", `{"id":1,"method":"eth_subscribe","params":["newHeads"]}`, `{"id":2,"method":"eth_subscribe","params":["newHeads"]}`, false},
		{"phoenix", `["3","3","room:1","phx_join",{}]`, `["4","4","room:1","phx_join",{}]`, true},
		{"socket.io", `40`, `40/,`, true},
		{"socket.io", `40/a`, `42["subscribe","/a"]`, false},
		{"socket.io", `42/a,["subscribe","b"]`, `42/b,["subscribe","b"]`, false},
		{"socket.io", `42/a,["subscribe","/b"]`, `42/b,["subscribe","/a"]`, false},
		{"socket.io", `42/a,["subscribe","b"]`, `451-/a,["subscribe","b"]`, true},
		{"stomp", "SUBSCRIBE\nid:a\\cb\ndestination:/a\n\n\x00", "SUBSCRIBE\nid:a:b\ndestination:/a\n\n\x00", false},
		{"stomp", "SUBSCRIBE\nid:/a\ndestination:/b\n\n\x00", "SUBSCRIBE\ndestination:/a\n\n\x00", false},
	} {
		d := builtin(t, test.dialect)
		hash := func(message string) uint64 {
			var r dialects.Reader
			r.Begin(d, client, false, []byte(message))
			record := r.Next()
			if record == nil || record.Kind != dialects.Subscribe {
				t.Fatalf("%q is no subscribe", message)
			}
			return record.Rule.Identity(record).Hash()
		}
		if same := hash(test.first) == hash(test.second); same != test.same {
			t.Errorf("%s: %q and %q are one subscription: %v, want %v", test.dialect, test.first, test.second, same, test.same)
		}
	}
}

// What upstream's answer to a message will repeat can be a subscription's name.
func TestBuiltinAnswers(t *testing.T) {
	for _, test := range []struct{ dialect, message, want string }{
		{"graphql-ws", `{"id":"1","type":"nonsense"}`, "1"},
		{"signalr", `{"type":1,"invocationId":"0","target":"Echo","arguments":[]}` + "\x1e", "0"},
		{"centrifugo", `{"id":2,"rpc":{"method":"x"}}`, "2"},
		{"json-rpc", `{"id":3,"method":"eth_chainId"}`, "3"},
		{"json-rpc", `{"id":3,"method":"eth_unsubscribe","params":[]}`, "3"},
		{"rac", `{"type":"ping","id":1}`, ""},
	} {
		var r dialects.Reader
		r.Begin(builtin(t, test.dialect), client, false, []byte(test.message))
		if got := string(r.Next().Answer.AppendText(nil)); got != test.want {
			t.Errorf("%s: the answer to %q repeats %q, want %q", test.dialect, test.message, got, test.want)
		}
	}
}

func TestBuiltinMemory(t *testing.T) {
	// What is kept of a subscription that only its topic tells is little more.
	for name, message := range map[string]string{
		"rac":         `{"type":"subscribe:offers","payload":{"pnr":"1722500001"}}`,
		"pusher":      `{"event":"pusher:subscribe","data":{"channel":"1722500001"}}`,
		"actioncable": `{"command":"subscribe","identifier":"1722500001"}`,
		"phoenix":     `["1","1","1722500001","phx_join",{}]`,
		"centrifugo":  `{"id":1,"subscribe":{"channel":"1722500001"}}`,
		"socket.io":   `40/722500001`,
	} {
		var r dialects.Reader
		r.Begin(builtin(t, name), client, false, []byte(message))
		record := r.Next()
		if kept := len(record.Rule.AppendCaptured(nil, record)); kept > len("1722500001")+4 {
			t.Errorf("%s keeps %d bytes of a topic of 10", name, kept)
		}
	}
}
