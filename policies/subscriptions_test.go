package policies_test

import (
	"fmt"
	"testing"

	"wswarden/policies"
)

func TestJudge(t *testing.T) {
	t.Parallel()
	const reject, end, evict = policies.ExcessReject, policies.ExcessClose, policies.ExcessEvictOldest
	pass := policies.Admission{}
	const full, unreadable, notAllowed = "limit of 2 subscriptions reached", "message cannot be read with certainty", "topic not allowed"
	const inUse = "id already in use"
	limits := map[string]policies.Limit{
		full: policies.LimitSubscriptionsMax, "limit of 1 subscription reached": policies.LimitSubscriptionsMax,
		notAllowed: policies.LimitSubscriptionsAllow,
	}
	refused := func(reason string) policies.Admission {
		return policies.Admission{Refuse: true, Limit: limits[reason], Reason: reason}
	}
	ended := func(reason string) policies.Admission {
		return policies.Admission{End: true, Limit: limits[reason], Reason: reason}
	}
	evicted := func(reason string) policies.Admission {
		return policies.Admission{Evict: true, Limit: limits[reason], Reason: reason}
	}

	limit := func(onExcess policies.Excess) policies.Subscriptions {
		return policies.Subscriptions{Max: 2, OnExcess: onExcess}
	}
	topics := func(onExcess policies.Excess, allow, deny []string) policies.Subscriptions {
		return policies.Subscriptions{OnExcess: onExcess, Allow: allow, Deny: deny}
	}
	tests := []struct {
		name    string
		rule    policies.Subscriptions
		told    identity
		tracked []string
		record  string
		want    policies.Admission
	}{
		{"no limit", policies.Subscriptions{}, topicTells, []string{`"a"`, `"b"`}, `subscribe topic="c"`, pass},
		{"below the limit", limit(reject), topicTells, []string{`"a"`}, `subscribe topic="c"`, pass},
		{"at the limit, rejected", limit(reject), topicTells, []string{`"a"`, `"b"`}, `subscribe topic="c"`, refused(full)},
		{"at the limit, closed", limit(end), topicTells, []string{`"a"`, `"b"`}, `subscribe topic="c"`, ended(full)},
		{"at the limit, evicting", limit(evict), topicTells, []string{`"a"`, `"b"`}, `subscribe topic="c"`, evicted(full)},
		{"over the limit", limit(end), topicTells, []string{`"a"`, `"b"`, `"d"`}, `subscribe topic="c"`, ended(full)},
		{"a limit of one", policies.Subscriptions{Max: 1}, topicTells, []string{`"a"`}, `subscribe topic="c"`, refused("limit of 1 subscription reached")},
		{"a duplicate passes", limit(end), topicTells, []string{`"a"`, `"b"`}, `subscribe topic="a"`, pass},
		{"a duplicate in other characters", limit(end), topicTells, []string{`"a"`, `"b"`}, `subscribe topic="\u0061"`, pass},
		{"a number is no duplicate of a text", limit(end), topicTells, []string{`1`, `2`}, `subscribe topic="1"`, ended(full)},
		{"a number in other digits", limit(end), topicTells, []string{`1`, `2`}, `subscribe topic=1.0`, pass},
		{"the same topic with another id", limit(end), idTells, []string{`1 id=1 request=1`, `1 id=2 request=2`}, `subscribe topic=1 id=3 request=3`, ended(full)},
		{"upstream tells: all are others", limit(end), upstreamTells, []string{`1 request=1`, `1 request=1`}, `subscribe topic=1 request=1`, ended(full)},

		{"an id in use", limit(end), idTells, []string{`1 id=1 request=1`}, `subscribe topic=2 id=1 request=3`, refused(inUse)},
		{"an id in use, no limit", policies.Subscriptions{}, idTells, []string{`1 id=1 request=1`}, `subscribe topic=1 id=1.0 request=1`, refused(inUse)},
		{"an id in use, evicting", limit(evict), idTells, []string{`1 id=1 request=1`, `1 id=2 request=2`}, `subscribe topic=1 id=1 request=3`, refused(inUse)},
		{"a topic and its request in use", limit(end), requestTold, []string{`1 request=1`}, `subscribe topic=1 request=1`, refused(inUse)},
		{"a topic in use with another request", limit(end), requestTold, []string{`1 request=1`, `2 request=2`}, `subscribe topic=1 request=3`, pass},
		{"a request in use with another topic", limit(end), requestTold, []string{`1 request=1`}, `subscribe topic=2 request=1`, pass},
		{"upstream tells: requests may be the same", limit(end), upstreamTells, []string{`1 request=1`}, `subscribe topic=1 request=1`, pass},
		{"an id that is used once, in use", limit(end), onceTells, []string{`1 id=1 request=1`}, `subscribe topic=1 id=1 request=2`, refused(inUse)},

		{"no topic", limit(end), topicTells, nil, `subscribe`, refused(unreadable)},
		{"a topic that is null", limit(end), topicTells, nil, `subscribe topic=null`, refused(unreadable)},
		{"a topic that is an object", topics(end, nil, nil), topicTells, nil, `subscribe topic={}`, refused(unreadable)},
		{"an id that is a list", limit(evict), idTells, nil, `subscribe topic=1 id=[1] request=1`, refused(unreadable)},
		{"no id", limit(evict), idTells, nil, `subscribe topic=1 request=1`, refused(unreadable)},
		{"no request", limit(evict), requestTold, nil, `subscribe topic=1`, refused(unreadable)},
		{"a request that is true", limit(evict), requestTold, nil, `subscribe topic=1 request=true`, refused(unreadable)},

		{"allowed", topics(reject, []string{"x", "room/*"}, nil), topicTells, nil, `subscribe topic="room/1"`, pass},
		{"not allowed", topics(reject, []string{"x", "room/*"}, nil), topicTells, nil, `subscribe topic="hall/1"`, refused(notAllowed)},
		{"not allowed, closed", topics(end, []string{"room/*"}, nil), topicTells, nil, `subscribe topic="hall/1"`, ended(notAllowed)},
		{"not allowed, evicting", topics(evict, []string{"room/*"}, nil), topicTells, nil, `subscribe topic="hall/1"`, refused(notAllowed)},
		{"denied", topics(reject, nil, []string{"x", "room/*"}), topicTells, nil, `subscribe topic="room/1"`, refused(notAllowed)},
		{"not denied", topics(reject, nil, []string{"room/*"}), topicTells, nil, `subscribe topic="hall/1"`, pass},
		{"denied although allowed", topics(reject, []string{"*"}, []string{"room/*"}), topicTells, nil, `subscribe topic="room/1"`, refused(notAllowed)},
		{"denied in other characters", topics(reject, nil, []string{"room/*"}), topicTells, nil, `subscribe topic="\u0072oom\/1"`, refused(notAllowed)},
		{"a duplicate is no way to a denied topic", topics(reject, nil, []string{"room"}), idTells, []string{`"hall" id=1 request=1`}, `subscribe topic="room" id=1 request=2`, refused(notAllowed)},
		{"a number as text", topics(reject, []string{"17*"}, nil), topicTells, nil, `subscribe topic=1722500001`, pass},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			a := newApp(t, tt.told)
			var tracker policies.Tracker
			for _, topic := range tt.tracked {
				tracker.Add(a.says("subscribe topic=%s", topic))
			}
			before := tracker.Len()
			if got := tt.rule.Judge(&tracker, a.says("%s", tt.record)); got != tt.want {
				t.Errorf("%+v, want %+v", got, tt.want)
			}
			if tracker.Len() != before {
				t.Error("a judge's business is not to count")
			}
		})
	}
}

// Where an ID is used once, none of the latest 1,024 is used again, whatever has
// become of its subscription.
func TestJudgeIDsUsedOnce(t *testing.T) {
	t.Parallel()
	const used = "id used before"
	s := tracked{app: newApp(t, onceTells)}
	var rule policies.Subscriptions
	judge := func(id int, want string) {
		t.Helper()
		if got := rule.Judge(&s.Tracker, s.says("subscribe topic=1 id=%d request=1", id)); got.Refuse != (want != "") || got.Reason != want {
			t.Errorf("id %d: %+v, want %q", id, got, want)
		}
	}
	for id, end := range []string{"unsubscribe id=0", "release id=1", "reject id=2"} {
		judge(id, "")
		judge(id, "") // a judge's business is not to remember
		s.do(fmt.Sprintf("subscribe topic=1 id=%d request=%d", id, id))
		judge(id, "id already in use")
		s.do(end)
		judge(id, used)
	}
	s.Add(s.says("subscribe topic=1 id=3 request=3"))
	s.Pop()
	judge(3, used)
	s.do("other id=4") // upstream's answer to this could end the subscription
	judge(4, used)
	for id := 5; id < 2100; id++ {
		s.do(fmt.Sprintf("subscribe topic=1 id=%d request=1", id))
		s.do(fmt.Sprintf("unsubscribe id=%d", id))
		judge(max(id-1023, 0), used)
		if id >= 1024 {
			judge(id-1024, "")
		}
	}
}

func TestTopicFull(t *testing.T) {
	t.Parallel()
	const limit, reason = policies.LimitSubscriptionsMaxPerTopic, "limit of 3 sessions on this topic reached"
	for onExcess, want := range map[policies.Excess]policies.Admission{
		policies.ExcessReject:      {Refuse: true, Limit: limit, Reason: reason},
		policies.ExcessEvictOldest: {Refuse: true, Limit: limit, Reason: reason}, // an eviction would not help
		policies.ExcessClose:       {End: true, Limit: limit, Reason: reason},
		"":                         {Refuse: true, Limit: limit, Reason: reason},
	} {
		rule := policies.Subscriptions{MaxPerTopic: 3, OnExcess: onExcess}
		if got := rule.TopicFull(); got != want {
			t.Errorf("%q: %+v, want %+v", onExcess, got, want)
		}
	}
}
