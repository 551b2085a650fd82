package proxy

import (
	"context"
	"iter"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/webhook"
)

// subscribedToTopic reports whether the session is subscribed to a topic, and how many
// subscriptions were looked at.
func (s *session) subscribedToTopic(topic string) (found bool, looked int) {
	if s.subscribed == nil {
		return false, 0
	}
	w := s.worker
	for sub := range s.subscribed.tracker.All() {
		if looked == api.MaxSubscriptions {
			break
		}
		looked++
		w.text = sub.AppendTopic(w.text[:0])
		if string(w.text) == topic {
			return true, looked
		}
	}
	return false, looked
}

// topicTexts are the topics that sessions are subscribed to, as a loop has seen them:
// texts one behind the other, so that it allocates little.
type topicTexts struct {
	list []topicText
	text []byte
}

type topicText struct {
	session *session
	policy  string
	end     int // of its text
	state   webhook.State
}

// add takes in a session's. It is called on the loop, and returns how many it has looked
// at, and whether there are more.
func (t *topicTexts) add(s *session) (looked int, truncated bool) {
	if s.subscribed == nil {
		return 0, false
	}
	for sub := range s.subscribed.tracker.All() {
		if looked == api.MaxSubscriptions {
			return looked, true
		}
		looked++
		t.text = sub.AppendTopic(t.text)
		t.list = append(t.list, topicText{s, s.policy.Name, len(t.text), stateOf(sub, s.subscribed)})
	}
	return looked, false
}

// all yields them by their place in the list.
func (t *topicTexts) all() iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		from := 0
		for i := range t.list {
			if !yield(i, t.text[from:t.list[i].end]) {
				return
			}
			from = t.list[i].end
		}
	}
}

// clear holds on to no session.
func (t *topicTexts) clear() {
	clear(t.list)
	t.list, t.text = t.list[:0], t.text[:0]
}

// topicCount counts the subscriptions to one topic.
type topicCount struct {
	api.Topic
	last *session // that was counted
}

// Topics implements admin.Source.
func (o operator) Topics(ctx context.Context, f api.Filter) (topics []api.Topic, truncated bool) {
	type key struct{ policy, topic string }
	counts := make(map[key]*topicCount)

	var seen topicTexts
	visit := func(s *session, _ *api.Session) int {
		looked, more := seen.add(s)
		truncated = truncated || more
		return looked
	}
	count := func() bool {
		for i, topic := range seen.all() {
			if f.Topic != "" && string(topic) != f.Topic {
				continue
			}
			one := seen.list[i]
			c := counts[key{one.policy, string(topic)}]
			if c == nil {
				c = &topicCount{Topic: api.Topic{Topic: string(topic), Policy: one.policy}}
				counts[key{one.policy, c.Topic.Topic}] = c
			}
			if c.last != one.session {
				c.last = one.session
				c.Sessions++
			}
			if one.state == webhook.Live {
				c.Live++
			} else {
				c.Pending++
			}
		}
		seen.clear()
		return true
	}
	for _, w := range o.workers {
		o.scan(ctx, w, f, visit, count)
	}
	topics = make([]api.Topic, 0, len(counts))
	for _, c := range counts {
		topics = append(topics, c.Topic)
	}
	return topics, truncated
}
