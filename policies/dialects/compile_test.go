package dialects

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// mustCompile returns a Spec's dialect.
func mustCompile(t testing.TB, s Spec) *Dialect {
	t.Helper()
	if s.Name == "" {
		s.Name = "test"
	}
	d, problems := Compile(s)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return d
}

// matching is a condition that the tests do not care about.
var matching = Fields{{"type", "x"}}

func TestCompileProblems(t *testing.T) {
	subscribe := func(change func(*SubscribeRule)) Spec {
		rule := SubscribeRule{Match: matching, Topic: "topic", ID: "id"}
		change(&rule)
		return Spec{Name: "test", Subscribe: []SubscribeRule{rule}}
	}
	for _, test := range []struct {
		spec Spec
		want string // key, and a part of the text
	}{
		{Spec{}, "name: is empty"},
		{Spec{Name: "test", Form: "xml"}, `form: is "xml"; write one of ["json" "socket.io" "stomp"]`},
		{Spec{Name: "test", Records: "two"}, `records: is "two"`},
		{Spec{Name: "test", Binary: "text"}, `binary: is "text"`},
		{Spec{Name: "test", Keys: "any"}, `keys: is "any"`},
		{Spec{Name: "test", Invalid: "pass"}, `invalid: is "pass"`},
		{Spec{Name: "test", Answers: "a..b"}, `answers: "a..b" lacks a key`},
		{Spec{Name: "test", Form: STOMP, Records: Lines}, `records: is "lines", but form "stomp"`},
		{subscribe(func(r *SubscribeRule) { r.Match = nil }), "subscribe[0]: would fit every message"},
		{subscribe(func(r *SubscribeRule) { r.Match, r.Lacks = nil, []string{"a"} }), "subscribe[0]: would fit every message"},
		{subscribe(func(r *SubscribeRule) { r.Match = Fields{{"a..b", "x"}} }), `subscribe[0].match.a..b: "a..b" lacks a key`},
		{subscribe(func(r *SubscribeRule) { r.Match = Fields{{"a", []any{}}} }), "subscribe[0].match.a: is []; write a text"},
		{subscribe(func(r *SubscribeRule) { r.Match = Fields{{"a", "*b*"}} }), `subscribe[0].match.a: is "*b*"; write a * at one end`},
		{subscribe(func(r *SubscribeRule) { r.ID, r.Once = "", true }), "subscribe[0].once: is true, but there is no id"},
		{subscribe(func(r *SubscribeRule) { r.Has = []string{"a", "b["} }), `subscribe[0].has[1]: "b["`},
		{subscribe(func(r *SubscribeRule) { r.Lacks = []string{"["} }), `subscribe[0].lacks[0]: "["`},
		{subscribe(func(r *SubscribeRule) { r.Topic = "" }), "subscribe[0].topic: is missing"},
		{subscribe(func(r *SubscribeRule) { r.Topic = "=" }), "subscribe[0].topic: has no text behind the ="},
		{subscribe(func(r *SubscribeRule) { r.Topic = "a." }), `subscribe[0].topic: "a."`},
		{subscribe(func(r *SubscribeRule) { r.Within = "a." }), `subscribe[0].within: "a."`},
		{subscribe(func(r *SubscribeRule) { r.Capture = Fields{{"topic", "a"}} }), "subscribe[0].capture.topic: has the name of what"},
		{subscribe(func(r *SubscribeRule) { r.Capture = Fields{{"a-b", "a"}} }), "subscribe[0].capture.a-b: is no name"},
		{subscribe(func(r *SubscribeRule) { r.Capture = Fields{{"a", 4.0}} }), "subscribe[0].capture.a: is 4; write the path"},
		{subscribe(func(r *SubscribeRule) { r.Unsubscribe = `{{what}}` }), "subscribe[0].unsubscribe: names what, which is never captured; known here: id, topic"},
		{subscribe(func(r *SubscribeRule) { r.Unsubscribe = `{{reason}}` }), "subscribe[0].unsubscribe: names reason"},
		{subscribe(func(r *SubscribeRule) { r.Refusal = `{{request}}` }), "subscribe[0].refusal: names request, which is never captured; known here: id, topic, reason"},
		{subscribe(func(r *SubscribeRule) { r.Refusal = `{"a":{{topic}` }), "subscribe[0].refusal: has a {{ without"},
		{subscribe(func(r *SubscribeRule) { r.Refusal = `{"a":"{{topic}}"}` }), `subscribe[0].refusal: is not JSON once it is filled in: {"a":""x""}`},
		{Spec{Name: "test", Unsubscribe: []TopicRule{{Match: matching}}}, "unsubscribe[0]: does not say which subscription"},
		{Spec{Name: "test", Unsubscribe: []TopicRule{{Match: matching, ID: "a"}}}, "unsubscribe[0].id: has nothing to agree with"},
		{Spec{Name: "test", Released: []TopicRule{{Match: matching, Request: "a"}}}, "released[0].request: has nothing to agree with"},
		{Spec{Name: "test", Ack: []TopicRule{{Match: matching, ID: "a"}}}, "ack[0]: gives an id without saying to which"},
		{Spec{Name: "test", Identify: []IdentifyRule{{Match: matching}}}, `identify[0].identity: is empty`},
		{Spec{Name: "test", Heartbeat: []HeartbeatRule{{}}}, "heartbeat[0]: would fit every message"},
		{Spec{Name: "test", Form: STOMP, Heartbeat: []HeartbeatRule{{Has: []string{"header.id"}}}}, `heartbeat[0].has[0]: "header.id" is not in a frame`},
		{Spec{Name: "test", Form: STOMP, Heartbeat: []HeartbeatRule{{Has: []string{"headers."}}}}, `heartbeat[0].has[0]: "headers." is not in a frame`},
		{Spec{Name: "test", Form: SocketIO, Heartbeat: []HeartbeatRule{{Has: []string{"payload"}}}}, `heartbeat[0].has[0]: "payload" is not in a packet`},
		{Spec{Name: "test", Form: SocketIO, Heartbeat: []HeartbeatRule{{Match: Fields{{"engine", 2.0}}}}}, "heartbeat[0].match.engine: is 2, but what is there is always text"},
		{Spec{Name: "test", Form: STOMP, Subscribe: []SubscribeRule{{Match: Fields{{"command", "SUBSCRIBE"}}, Topic: "body", Unsubscribe: "UNSUBSCRIBE"}}}, "subscribe[0].unsubscribe: is no STOMP frame"},
	} {
		d, problems := Compile(test.spec)
		if d != nil || len(problems) != 1 {
			t.Errorf("want %q alone, got %v", test.want, problems)
			continue
		}
		if got := problems[0].Key + ": " + problems[0].Text; !strings.HasPrefix(got, test.want) {
			t.Errorf("got %q, want %q", got, test.want)
		}
	}
}

func TestCompileTellsAllProblems(t *testing.T) {
	_, problems := Compile(Spec{
		Records:   "x",
		Subscribe: []SubscribeRule{{Topic: "a.", Refusal: "{{what}}"}},
		Heartbeat: []HeartbeatRule{{Has: []string{"["}}},
	})
	var keys []string
	for _, p := range problems {
		keys = append(keys, p.Key)
	}
	want := []string{"name", "records", "subscribe[0]", "subscribe[0].topic", "subscribe[0].refusal", "heartbeat[0].has[0]"}
	if !slices.Equal(keys, want) {
		t.Errorf("got %v, want %v", keys, want)
	}
}

func TestCompiledDialect(t *testing.T) {
	for _, test := range []struct {
		spec Spec
		want string
	}{
		{Spec{Name: "none"}, "none: client false, upstream false, limits false, acks false, identifies false"},
		{Spec{Name: "beat", Heartbeat: []HeartbeatRule{{Text: "x"}}}, "beat: client true, upstream true, limits false, acks false, identifies false"},
		{Spec{Name: "sub", Subscribe: []SubscribeRule{{Match: matching, Topic: "a"}}}, "sub: client true, upstream false, limits true, acks false, identifies false"},
		{Spec{Name: "ack", Ack: []TopicRule{{Match: matching, Topic: "a"}}}, "ack: client false, upstream true, limits false, acks true, identifies false"},
		{Spec{Name: "who", Identify: []IdentifyRule{{Match: matching, Identity: "a"}}}, "who: client true, upstream false, limits false, acks false, identifies true"},
	} {
		d := mustCompile(t, test.spec)
		got := fmt.Sprintf("%s: client %v, upstream %v, limits %v, acks %v, identifies %v",
			d.Name(), d.Reads(ClientToUpstream), d.Reads(UpstreamToClient), d.Limits(), d.Acks(), d.Identifies())
		if got != test.want {
			t.Errorf("got %s, want %s", got, test.want)
		}
	}
}
