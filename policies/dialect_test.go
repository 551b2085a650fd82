package policies_test

import (
	"fmt"
	"strings"
	"testing"

	"wswarden/policies/dialects"
)

// A made-up application says {"do":"subscribe","topic":"a","id":1,"request":2}, and
// so on, with or without each of topic, id and request.

// app reads its messages.
type app struct {
	t       *testing.T
	dialect *dialects.Dialect
	reader  dialects.Reader
}

// identity is what tells subscriptions from others.
type identity uint8

const (
	topicTells    identity = iota // {"do":"subscribe","topic":…}
	requestTold                   // the same, with a request that answers repeat
	idTells                       // the client names an id
	upstreamTells                 // upstream gives one, in answer to the request
	onceTells                     // the client names an id, and none twice
)

func newApp(t *testing.T, told identity) *app {
	t.Helper()
	spec := dialects.Spec{
		Name: "test", Form: dialects.JSON, Records: dialects.OneRecord,
		Binary: dialects.BinaryRead, Keys: dialects.KeysExact, Invalid: dialects.InvalidForward,
		Answers: "id",
	}
	subscribe := dialects.SubscribeRule{
		Match: does("subscribe"), Topic: "topic", Unsubscribe: `{"do":"unsubscribe","topic":{{topic}}}`,
	}
	id := ""
	switch told {
	case requestTold:
		subscribe.Request = "request"
	case idTells, onceTells:
		subscribe.Once = told == onceTells
		subscribe.ID, subscribe.Request, id = "id", "request", "id"
		subscribe.Unsubscribe = `{"do":"unsubscribe","id":{{id}}}`
	case upstreamTells:
		subscribe.Request, id = "request", "id"
		subscribe.Unsubscribe = `{"do":"unsubscribe","id":{{id}}}`
	}
	lasting := subscribe
	lasting.Match, lasting.Unsubscribe = does("subscribe for good"), ""
	spec.Subscribe = []dialects.SubscribeRule{subscribe, lasting}
	spec.Unsubscribe = about("unsubscribe", id, subscribe.Request, false)
	spec.Ack = about("ack", id, subscribe.Request, told == upstreamTells)
	spec.Reject = about("reject", id, subscribe.Request, false)
	spec.Released = about("release", id, subscribe.Request, false)
	dialect, problems := dialects.Compile(spec)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Key, p.Text)
	}
	return &app{t: t, dialect: dialect}
}

func does(what string) dialects.Fields { return dialects.Fields{{Name: "do", Value: what}} }

// about returns a rule for each choice of what tells the subscription. An id that
// an ack gives does not.
func about(what, id, request string, given bool) (rules []dialects.TopicRule) {
	for _, topic := range []string{"topic", ""} {
		for _, id := range []string{id, ""} {
			for _, request := range []string{request, ""} {
				if topic == "" && request == "" && (id == "" || given) {
					continue
				}
				rule := dialects.TopicRule{Match: does(what), Topic: topic, ID: id, Request: request}
				for _, name := range []string{topic, id, request} {
					if name != "" {
						rule.Has = append(rule.Has, name)
					}
				}
				rules = append(rules, rule)
			}
		}
	}
	return rules
}

// says returns the record of {"do":…}, given as in
// subscribe topic=1 request="a".
func (a *app) says(format string, args ...any) *dialects.Record {
	a.t.Helper()
	words := strings.Fields(fmt.Sprintf(format, args...))
	var what []string
	text := ""
	for _, word := range words {
		if name, value, ok := strings.Cut(word, "="); ok {
			text += fmt.Sprintf(",%q:%s", name, value)
		} else {
			what = append(what, word)
		}
	}
	from := dialects.ClientToUpstream
	want := dialects.Subscribe
	switch what[0] {
	case "other":
		want = dialects.Other
	case "unsubscribe":
		want = dialects.Unsubscribe
	case "ack":
		from, want = dialects.UpstreamToClient, dialects.Ack
	case "reject":
		from, want = dialects.UpstreamToClient, dialects.Reject
	case "release":
		from, want = dialects.UpstreamToClient, dialects.Released
	}
	message := fmt.Sprintf("{%q:%q%s}", "do", strings.Join(what, " "), text)
	a.reader.Begin(a.dialect, from, false, []byte(message))
	r := a.reader.Next()
	if r == nil || r.Kind != want {
		a.t.Fatalf("%s was read as %+v (%v)", message, r, a.reader.Err())
	}
	return r
}
