package policies_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wswarden/policies"
)

// tracked is a Tracker that an application's messages go to.
type tracked struct {
	*app
	policies.Tracker
}

// do has a message read and acted upon.
func (s *tracked) do(message string) policies.Change {
	s.t.Helper()
	r := s.says("%s", message)
	switch word, _, _ := strings.Cut(message, " "); word {
	case "subscribe":
		return s.Add(r)
	case "ack":
		return s.Ack(r)
	case "reject":
		return s.Reject(r)
	case "other":
		s.Doubt(r)
		return policies.Change{}
	default:
		return s.Remove(r)
	}
}

// list returns the subscriptions' topics, with a ! behind the live ones.
func (s *tracked) list() (topics []string) {
	for sub := range s.All() {
		topic := string(sub.AppendTopic(nil))
		if sub.Live() {
			topic += "!"
		}
		topics = append(topics, topic)
	}
	if len(topics) != s.Len() {
		s.t.Errorf("%d subscriptions listed, %d counted", len(topics), s.Len())
	}
	return topics
}

func TestTracker(t *testing.T) {
	t.Parallel()
	// Each step is a message and, behind the colon, what is tracked then.
	tests := []struct {
		name  string
		told  identity
		steps string
	}{
		{"in the order in which they were made", topicTells, `
			subscribe topic="b": b
			subscribe topic="a": b a
			subscribe topic=3: b a 3
			unsubscribe topic="a": b 3
			subscribe topic="a": b 3 a`},
		{"pending until acknowledged", topicTells, `
			subscribe topic="a": a
			subscribe topic="b": a b
			ack topic="b": a b!
			ack topic="a": a! b!`},
		{"a duplicate counts once, and keeps its place", topicTells, `
			subscribe topic="a": a
			subscribe topic="b": a b
			subscribe topic="\u0061": a b
			unsubscribe topic="a": b
			unsubscribe topic="a": b`},
		{"what is no subscription", topicTells, `
			ack topic="a":
			reject topic="a":
			unsubscribe topic="a":
			release topic="a":
			subscribe topic="a": a
			unsubscribe topic="b": a`},
		{"refused", topicTells, `
			subscribe topic="a": a
			subscribe topic="b": a b
			reject topic="a": b`},
		{"refused again and again", requestTold, `
			subscribe topic="a" request=1: a
			reject request=1:
			subscribe topic="a" request=2: a
			reject request=2:
			subscribe topic="a" request=3: a
			ack request=3: a!`},
		{"released by upstream", topicTells, `
			subscribe topic="a": a
			ack topic="a": a!
			release topic="a":`},
		{"ended by upstream's refusal though live", topicTells, `
			subscribe topic="a": a
			ack topic="a": a!
			reject topic="a":`},
		{"an ack after the unsubscribe brings nothing back", requestTold, `
			subscribe topic="a" request=1: a
			unsubscribe topic="a":
			ack request=1:
			ack topic="a":`},
		{"nor does one after the release", topicTells, `
			subscribe topic="a": a
			release topic="a":
			ack topic="a":`},
		{"nor after a refusal and an unsubscribe", topicTells, `
			subscribe topic="a": a
			reject topic="a":
			unsubscribe topic="a":
			ack topic="a":`},
		{"all that is given must agree", requestTold, `
			subscribe topic="a" request=1: a
			ack topic="b" request=1: a
			ack topic="a" request=2: a
			unsubscribe topic="a" request="1": a
			ack topic="a" request=1: a!
			unsubscribe topic="a" request=1:`},
		{"the client's ids", idTells, `
			subscribe topic="a" id=1 request=7: a
			subscribe topic="a" id=2 request=8: a a
			ack id=2: a a!
			ack request=7: a! a!
			subscribe topic="b" id=1 request=9: b! a!
			unsubscribe topic="a" id=1: b! a!
			unsubscribe id=1: a!`},
		{"a topic that stands for several: the oldest", idTells, `
			subscribe topic="a" id=1 request=7: a
			subscribe topic="a" id=2 request=8: a a
			ack id=2: a a!
			release topic="a": a!`},
		{"upstream's ids", upstreamTells, `
			subscribe topic="a" request=1: a
			subscribe topic="a" request=2: a a
			ack id="x" request=2: a a!
			unsubscribe id="y": a a!
			ack id="y" request=1: a! a!
			unsubscribe id="x": a!
			unsubscribe id="y":`},
		{"upstream's ids: a request is no name", upstreamTells, `
			subscribe topic="a" request=1: a
			ack id="x" request=1: a!
			subscribe topic="b" request="x": a! b
			subscribe topic="c" request=1: a! b c
			ack id="y" request=1: a! b c!
			ack id="z" request=1: a! b c!
			unsubscribe id="z": a! b c!
			unsubscribe id="x": b c!`},

		{"a refusal after the ack", requestTold, `
			subscribe topic="a" request=1: a
			ack request=1: a!
			reject request=1: a!`},
		{"a refusal of a later one with the same request", requestTold, `
			subscribe topic="a" request=1: a
			ack request=1: a!
			subscribe topic="b" request=1: a! b
			reject request=1: a!`},
		{"a duplicate that is refused", requestTold, `
			subscribe topic="a" request=1: a
			ack request=1: a!
			subscribe topic="a" request=2: a!
			reject request=2: a!`},
		{"a duplicate that is refused, asked for ahead of the ack", requestTold, `
			subscribe topic="a" request=1: a
			subscribe topic="a" request=2: a
			ack request=1: a
			reject request=2: a`},
		{"a duplicate that is refused by topic", topicTells, `
			subscribe topic="a": a
			subscribe topic="a": a
			ack topic="a": a!
			reject topic="a": a!`},
		{"both refused", topicTells, `
			subscribe topic="a": a
			subscribe topic="a": a
			reject topic="a": a
			reject topic="a":`},
		{"a refusal that was another message's", requestTold, `
			subscribe topic="a" request=1: a
			reject request=1:
			subscribe topic="b" request=2: b
			ack request=1: b a!
			ack request=2: b! a!`},
		{"a refusal that was another message's, and a duplicate", requestTold, `
			subscribe topic="a" request=1: a
			reject request=1:
			subscribe topic="a" request=2: a
			ack request=1: a!
			reject request=2: a!`},
		{"a refusal that was another message's, with upstream's ids", upstreamTells, `
			subscribe topic="a" request=1: a
			reject request=1:
			ack id="x" request=1: a!
			unsubscribe id="x":`},
		{"a refusal of what is undone already", requestTold, `
			subscribe topic="a" request=1: a
			unsubscribe topic="a":
			subscribe topic="b" request=1: b
			reject request=1:
			ack request=1: b!`},
		{"something else with the id: no answer by that removes it", idTells, `
			subscribe topic="a" id=1 request=7: a
			subscribe topic="b" id=2 request=8: a b
			other id=1: a b
			reject id=1: a b
			ack id=1: a! b
			release id=1: a! b
			subscribe topic="c" id=3 request=9: a! b c
			release id=2: a! c
			unsubscribe id=1: c`},
		{"something else with the request: no refusal of that removes it", requestTold, `
			subscribe topic="a" request=1: a
			other id=1: a
			reject request=1: a
			ack request=1: a!
			reject request=1: a!
			release topic="a":`},
		{"something else with a request that is answered", requestTold, `
			subscribe topic="a" request=1: a
			ack request=1: a!
			other id=1: a!
			reject request=1: a!
			reject topic="a":`},
		{"two with one request: no refusal removes one", requestTold, `
			subscribe topic="a" request=1: a
			subscribe topic="b" request=1: a b
			ack request=1: a! b
			reject request=1: a! b
			unsubscribe topic="a": b
			reject request=1: b
			unsubscribe topic="b":`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := tracked{app: newApp(t, tt.told)}
			for step := range strings.Lines(strings.TrimSpace(tt.steps)) {
				message, want, _ := strings.Cut(strings.TrimSpace(step), ":")
				s.do(message)
				if got := strings.Join(s.list(), " "); got != strings.TrimSpace(want) {
					t.Errorf("after %s: %s, want%s", message, got, want)
				}
			}
		})
	}
}

func TestTrackerHas(t *testing.T) {
	t.Parallel()
	s := tracked{app: newApp(t, idTells)}
	has := func(message string, want bool) {
		t.Helper()
		if got := s.Has(s.says("%s", message)); got != want {
			t.Errorf("%s: %v, want %v", message, got, want)
		}
	}
	has(`subscribe topic="a" id=1 request=1`, false)
	s.do(`subscribe topic="a" id=1 request=1`)
	has(`subscribe topic="a" id=1 request=1`, true)
	has(`subscribe topic="b" id=1 request=2`, true)
	has(`subscribe topic="a" id=2 request=1`, false)
	s.do(`reject id=1`)
	has(`subscribe topic="a" id=1 request=1`, false)
}

// What a session's topics cost the others is taken and given back exactly once,
// however many of its subscriptions are to the same.
func TestTrackerChange(t *testing.T) {
	t.Parallel()
	s := tracked{app: newApp(t, idTells)}
	hash := func(topic string) uint64 {
		if topic == "" {
			return 0
		}
		return s.says(`subscribe topic=%q id=0 request=0`, topic).Topic.Hash()
	}
	for _, step := range []struct {
		message      string
		count        int
		joined, left string
	}{
		{`subscribe topic="a" id=1 request=1`, 1, "a", ""},
		{`subscribe topic="a" id=2 request=2`, 1, "", ""},
		{`subscribe topic="a" id=2 request=3`, 0, "", ""},
		{`subscribe topic="b" id=3 request=4`, 1, "b", ""},
		{`subscribe topic="b" id=1 request=5`, 0, "", ""},
		{`subscribe topic="c" id=2 request=6`, 0, "c", "a"},
		{`ack request=6`, 0, "", ""},
		{`unsubscribe topic="b" id=1`, -1, "", ""},
		{`unsubscribe topic="x"`, 0, "", ""},
		{`reject request=4`, -1, "", "b"},
		{`ack request=4`, 1, "b", ""},
		{`release id=3`, -1, "", "b"},
		{`release id=2`, -1, "", "c"},
		{`release id=2`, 0, "", ""},
	} {
		want := policies.Change{Count: step.count, Joined: hash(step.joined), Left: hash(step.left)}
		if got := s.do(step.message); got != want {
			t.Errorf("%s: %+v, want %+v", step.message, got, want)
		}
		if step.joined != "" && !s.On(hash(step.joined)) || step.left != "" && s.On(hash(step.left)) {
			t.Errorf("%s: on the topics it has left, or not on those it has joined", step.message)
		}
	}
	if s.Len() != 0 {
		t.Errorf("%q are left", s.list())
	}
}

func TestTrackerEvict(t *testing.T) {
	t.Parallel()
	s := tracked{app: newApp(t, upstreamTells)}
	evict := func(want, left string) {
		t.Helper()
		message, c, ok := s.Evict([]byte("> "))
		if ok != (want != "") || string(message) != "> "+want || ok && c.Count != -1 {
			t.Errorf("%s, %+v, %v; want %s", message, c, ok, want)
		}
		if got := strings.Join(s.list(), " "); got != left {
			t.Errorf("%s are left, want %s", got, left)
		}
	}
	evict("", "")
	for i, message := range []string{`subscribe topic="a"`, `subscribe for good topic="b"`, `subscribe topic="c"`, `subscribe topic="d"`} {
		s.do(fmt.Sprintf("%s request=%d", message, i))
	}
	evict("", "a b c d") // none has its id
	s.do(`ack id="y" request=2`)
	s.do(`ack id=5 request=1`)
	evict(`{"do":"unsubscribe","id":"y"}`, "a b! d")
	s.do(`ack id="\u0078" request=0`)
	evict(`{"do":"unsubscribe","id":"\u0078"}`, "b! d") // exactly as it was written
	evict("", "b! d")                                   // cannot be undone, and has no id
	if c := s.Pop(); c.Count != -1 || c.Left == 0 {
		t.Errorf("%+v", c)
	}
	if got := s.list(); !slices.Equal(got, []string{"d"}) {
		t.Errorf("%q are left", got)
	}
}

// Only the latest that were refused are remembered.
func TestTrackerForgetsTheRefused(t *testing.T) {
	t.Parallel()
	s := tracked{app: newApp(t, requestTold)}
	for i := range 100 {
		s.do(fmt.Sprintf("subscribe topic=%d request=%d", i, i))
		s.do(fmt.Sprintf("reject request=%d", i))
	}
	if s.Len() != 0 {
		t.Errorf("%d are counted", s.Len())
	}
	for i := range 100 {
		if c, back := s.do(fmt.Sprintf("ack request=%d", i)), i >= 68; back != (c.Count == 1) {
			t.Errorf("the ack of %d: %+v", i, c)
		}
	}
}

// However many subscriptions have a name in common, each record costs a bounded
// time: it is a client that chooses the names.
func TestTrackerWithOneNameForAll(t *testing.T) {
	t.Parallel()
	a := newApp(t, idTells)
	var tracker policies.Tracker
	const n = 3_000
	for i := range n {
		tracker.Add(a.says(`subscribe topic="a" id=%d request=1`, i))
	}
	for range n {
		tracker.Ack(a.says("ack request=1"))
		tracker.Reject(a.says("reject request=1"))
	}
	if tracker.Len() != n {
		t.Errorf("%d subscriptions, want %d", tracker.Len(), n)
	}
	for i := range n {
		tracker.Remove(a.says(`unsubscribe topic="a" id=%d`, n-1-i))
	}
	if tracker.Len() != 0 {
		t.Errorf("%d are left", tracker.Len())
	}
}
