package policies_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// model is what a Tracker should do, without a thought for memory or time.
type model struct {
	told             identity
	counted, refused []*modelled // in order
}

type modelled struct {
	name
	given       bool // upstream has given the id
	waiting     int
	live, stuck bool
}

// name is what a message tells; empty: nothing.
type name struct{ topic, id, request string }

func (m *modelled) agrees(n name) bool {
	return (n.topic == "" || n.topic == m.topic) && (n.id == "" || n.id == m.id) && (n.request == "" || n.request == m.request)
}

// twin returns the same subscription, of which there is one at most.
func (m *model) twin(told identity, n name) *modelled {
	for _, other := range m.counted {
		switch told {
		case topicTells, requestTold:
			if other.topic == n.topic {
				return other
			}
		case idTells:
			if other.id == n.id {
				return other
			}
		}
	}
	return nil
}

func (m *model) subscribe(n name) {
	s, twin := &modelled{name: n, waiting: 1}, m.twin(m.told, n)
	for _, other := range m.counted {
		if other != twin && other.waiting > 0 && n.request != "" && other.request == n.request {
			other.stuck, s.stuck = true, true
		}
	}
	if twin == nil {
		m.counted = append(m.counted, s)
		return
	}
	twin.waiting++
	twin.name, twin.stuck = n, twin.stuck || s.stuck
}

// pick returns the one of a list that agrees and fits; not ok if it is not the only.
func pick(list []*modelled, n name, fits func(*modelled) bool) (found *modelled, ok bool) {
	for _, s := range list {
		if s.agrees(n) && fits(s) {
			if found != nil {
				return nil, false
			}
			found = s
		}
	}
	return found, true
}

func (m *model) remove(n name) bool {
	s, ok := pick(m.counted, n, func(*modelled) bool { return true })
	if ok {
		m.counted = without(m.counted, s)
		m.refused = slices.DeleteFunc(m.refused, func(s *modelled) bool { return s.agrees(n) })
	}
	return ok
}

func (m *model) reject(n name) bool {
	s, ok := pick(m.counted, n, func(s *modelled) bool { return s.waiting > 0 })
	if s == nil && ok && n.request == "" {
		s, ok = pick(m.counted, n, func(*modelled) bool { return true })
	}
	if s == nil || !ok {
		return ok
	}
	if s.waiting > 0 {
		if s.stuck {
			return true
		}
		if s.waiting--; s.waiting > 0 || s.live {
			return true
		}
	}
	s.live = false
	m.counted, m.refused = without(m.counted, s), append(m.refused, s)
	if len(m.refused) > 32 {
		m.refused = m.refused[1:]
	}
	return true
}

func (m *model) ack(n name) bool {
	id := ""
	if m.told == upstreamTells && n.id != "" {
		id, n.id = n.id, ""
	}
	nameless := func(s *modelled) bool { return id == "" || !s.given }
	s, ok := pick(m.counted, n, func(s *modelled) bool { return s.waiting > 0 && !s.live && nameless(s) })
	if s == nil && ok {
		s, ok = pick(m.counted, n, func(s *modelled) bool { return s.waiting > 0 && s.live && nameless(s) })
	}
	back := s == nil
	if back && ok {
		s, ok = pick(m.refused, n, nameless)
	}
	if s == nil || !ok {
		return ok
	}
	if id != "" {
		s.id, s.given = id, true
	}
	if !back {
		s.live = true
		if !s.stuck {
			s.waiting--
		}
		return true
	}
	m.refused = without(m.refused, s)
	if twin := m.twin(m.told, s.name); twin != nil {
		twin.live = true
	} else {
		s.live = true
		m.counted = append(m.counted, s)
	}
	return true
}

func without(list []*modelled, gone *modelled) []*modelled {
	return slices.DeleteFunc(slices.Clone(list), func(s *modelled) bool { return s == gone })
}

func (m *model) list() (topics []string) {
	for _, s := range m.counted {
		topic := s.topic
		if s.live {
			topic += "!"
		}
		topics = append(topics, topic)
	}
	return topics
}

// A Tracker does what the model does with any sequence of messages; left out are
// those that could mean one subscription or another.
func TestTrackerIsItsModel(t *testing.T) {
	t.Parallel()
	for told, what := range []string{"topic", "topic and request", "id and request", "upstream's id"} {
		for _, names := range []int{3, 20, 200} {
			t.Run(fmt.Sprintf("%s, of %d", what, names), func(t *testing.T) {
				t.Parallel()
				compare(t, identity(told), names)
			})
		}
	}
}

// random returns a message in which few parts are given, and most of them are those
// of some subscription. fresh is an id that there has never been.
func (m *model) random(names, fresh int) (verb string, n name) {
	verb = []string{"subscribe", "subscribe", "ack", "reject", "unsubscribe", "release"}[rand.N(6)]
	n = name{fmt.Sprint(rand.N(names)), fmt.Sprint(rand.N(names)), fmt.Sprint(rand.N(names))}
	known := slices.Concat(m.counted, m.refused)
	if len(known) > 0 && verb != "subscribe" && rand.N(4) > 0 {
		n = known[rand.N(len(known))].name
	}
	if verb != "subscribe" {
		keep := 1 + rand.N(7)
		for bit, part := range []*string{&n.topic, &n.id, &n.request} {
			if keep>>bit&1 == 0 {
				*part = ""
			}
		}
	}
	if verb == "subscribe" && m.told == upstreamTells || m.told < idTells {
		n.id = ""
	}
	if m.told == topicTells {
		n.request = ""
	}
	if verb == "ack" && m.told == upstreamTells {
		if n.id = ""; n != (name{}) && rand.N(4) > 0 {
			n.id = fmt.Sprint(fresh)
		}
	}
	return verb, n
}

func compare(t *testing.T, told identity, names int) {
	s := tracked{app: newApp(t, told)}
	m := model{told: told}
	done := map[string]int{}
	var log []string
	for i := range 3000 {
		if len(m.counted) > 2*names {
			m.counted = m.counted[1:]
			s.Pop()
		}
		verb, n := m.random(names, names+i)
		if n == (name{}) {
			continue
		}
		clear := true
		switch verb {
		case "subscribe":
			m.subscribe(n)
		case "ack":
			clear = m.ack(n)
		case "reject":
			clear = m.reject(n)
		default:
			clear = m.remove(n)
		}
		if !clear {
			continue
		}
		message := verb
		for part, value := range map[string]string{"topic": n.topic, "id": n.id, "request": n.request} {
			if value != "" {
				message += " " + part + "=" + value
			}
		}
		done[verb]++
		log = append(log, message)
		before := s.Len()
		c := s.do(message)
		if got, want := strings.Join(s.list(), " "), strings.Join(m.list(), " "); got != want || c.Count != s.Len()-before {
			t.Fatalf("after\n%s\nthere are\n%s\n(%+d), want\n%s", strings.Join(log[max(0, len(log)-30):], "\n"), got, c.Count, want)
		}
	}
	for _, verb := range []string{"subscribe", "ack", "reject", "unsubscribe", "release"} {
		if done[verb] < 100 {
			t.Errorf("only %d of %s", done[verb], verb)
		}
	}
}
