package proxy

import (
	"context"

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

// topicCount counts the subscriptions to one topic.
type topicCount struct {
	api.Topic
	last *session // that was counted
}

// Topics implements admin.Source.
func (o operator) Topics(ctx context.Context, f api.Filter) (topics []api.Topic, truncated bool) {
	type key struct{ policy, topic string }
	counts := make(map[key]*topicCount)

	// What a turn of the loop has seen: texts one behind the other, so that the loop
	// allocates little.
	type seen struct {
		session *session
		policy  string
		end     int // of its text
		state   webhook.State
	}
	var list []seen
	var text []byte
	visit := func(s *session, row *api.Session) (looked int) {
		if s.subscribed == nil {
			return 0
		}
		for sub := range s.subscribed.tracker.All() {
			if looked == api.MaxSubscriptions {
				truncated = true
				break
			}
			looked++
			text = sub.AppendTopic(text)
			list = append(list, seen{s, row.Policy, len(text), stateOf(sub, s.subscribed)})
		}
		return looked
	}
	count := func() bool {
		from := 0
		for _, one := range list {
			topic := text[from:one.end]
			from = one.end
			if f.Topic != "" && string(topic) != f.Topic {
				continue
			}
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
		clear(list) // hold on to no session
		list, text = list[:0], text[:0]
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
