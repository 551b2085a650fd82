package dialects

import "testing"

func TestSocketIOPackets(t *testing.T) {
	d := mustCompile(t, Spec{
		Form: SocketIO,
		// Engine, packet, namespace and ack stand in for what rules name.
		Subscribe: []SubscribeRule{
			{Has: []string{"data[0]"}, Topic: "data[0]", ID: "namespace", Request: "packet"},
			{Has: []string{"data"}, Topic: "data.a", ID: "namespace", Request: "packet"},
		},
		Unsubscribe: []TopicRule{
			{Has: []string{"ack"}, Topic: "ack", ID: "namespace", Request: "packet"},
			{Has: []string{"packet"}, Topic: "engine", ID: "namespace", Request: "packet"},
		},
		Heartbeat: []HeartbeatRule{{Match: Fields{{"engine", "2"}}}},
	})
	const no = "is no Socket.IO packet"
	for _, test := range []struct{ message, want string }{
		{`2`, "heartbeat"},
		{`2probe`, "heartbeat"},
		{`5`, "other"},
		{`0{"sid":"a"}`, "other"},
		{`40`, "unsubscribe 4 / 0 -"},
		{`40/`, "unsubscribe 4 / 0 -"},
		{`40/,`, "unsubscribe 4 / 0 -"},
		{`40/chat`, "unsubscribe 4 /chat 0 -"},
		{`41/chat,`, "unsubscribe 4 /chat 1 -"},
		{`40/chat?x=1,{"a":7}`, "subscribe 7 /chat?x=1 0 -"},
		{`40/chat{"a":7}`, `unsubscribe 4 /chat{"a":7} 0 -`},
		{`42["a"]`, "subscribe a / 2 -"},
		{`42/chat,12["a"]`, "subscribe a /chat 2 -"},
		{`43/chat,12`, "unsubscribe 12 /chat 3 -"},
		{`452-["a",{"_placeholder":true,"num":0}]`, "subscribe a / 5 -"},
		{`461-/chat,3["a"]`, "subscribe a /chat 6 -"},
		{"40/\xff,", "unsubscribe 4 /\ufffd 0 -"},

		{``, ""},
		{`4`, no}, {`7`, no}, {`b4`, no}, {` 2`, no}, {`4 `, no}, {`47`, no},
		{`45["a"]`, no}, {`45-["a"]`, no}, {`451["a"]`, no}, {`45 1-["a"]`, no}, {`451`, no},
		{`42 ["a"]`, no}, {`421 ["a"]`, no}, {"42\u00a0[\"a\"]", no}, {`42,["a"]`, no},
		{`42null`, no}, {`42-1["a"]`, no},
		{`42["a"`, "is not JSON"}, {`42["a"]]`, "is not JSON"},
	} {
		if got := read(d, ClientToUpstream, false, test.message); got != test.want {
			t.Errorf("%q: got %q, want %q", test.message, got, test.want)
		}
	}
}

func TestSocketIOKeys(t *testing.T) {
	d := mustCompile(t, Spec{Form: SocketIO, Keys: KeysStrict, Heartbeat: []HeartbeatRule{{Has: []string{"data.a"}}}})
	for _, test := range []struct{ message, want string }{
		{`40{"a":1}`, "heartbeat"},
		{`40{"a":1,"a":2}`, "has a key twice, or in another case"},
		{`40`, "other"},
		{`40{"A":1}`, "has a key twice, or in another case"},
	} {
		if got := read(d, ClientToUpstream, false, test.message); got != test.want {
			t.Errorf("%q: got %q, want %q", test.message, got, test.want)
		}
	}
}
