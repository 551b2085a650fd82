package proxy_test

import (
	"fmt"
	"strings"
	"testing"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

func subscribe(topic string) string {
	return `{"type":"subscribe:offers","payload":{"pnr":` + topic + `}}`
}

func unsubscribe(topic string) string {
	return `{"type":"unsubscribe:offers","payload":{"pnr":` + topic + `}}`
}

func refused(topic, reason string) string {
	return `{"type":"ERROR","message":"` + reason + `","payload":{"pnr":` + topic + `}}`
}

func atMost(n int, onExcess policies.Excess) policies.Policy {
	return policies.Policy{
		Dialect:       "rac",
		Subscriptions: policies.Subscriptions{Max: n, OnExcess: onExcess},
		Release:       policies.Release{Unsubscribe: true},
	}
}

// wantReleased has the client leave and checks that upstream sees these
// unsubscribes, and nothing else, ahead of the close frame.
func (w *warden) wantReleased(client, upstream *peer, topics ...string) {
	w.t.Helper()
	client.send(client.closeFrame(1000, ""))
	for _, topic := range topics {
		upstream.want(text, unsubscribe(topic))
	}
	upstream.wantClose(1000, "")
	upstream.answerClose(1000)
	client.wantClose(1000, "")
	client.end()
	e := w.wantEnd(policies.ClientClose, 1000)
	if e.subscriptions != len(topics) || e.unsubscribed != len(topics) {
		w.t.Errorf("the log tells of %d subscriptions, %d unsubscribed, want %d", e.subscriptions, e.unsubscribed, len(topics))
	}
}

func TestSubscriptionsRejected(t *testing.T) {
	w := start(t, atMost(2, policies.ExcessReject))
	client, upstream := w.open()
	client.send(
		client.frame(text, subscribe(`"a"`)),
		client.frame(text, subscribe(`2`)),
		client.frame(text, subscribe(`"c"`)),
		client.frame(text, subscribe(`"a"`)), // again: counts once
		client.frame(text, unsubscribe(`"a"`)),
		client.frame(text, subscribe(`"d"`)),
		client.frame(text, subscribe(`"e"`)),
		client.frame(text, "still relayed"),
	)
	upstream.want(text, subscribe(`"a"`))
	upstream.want(text, subscribe(`2`))
	upstream.want(text, subscribe(`"a"`))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.want(text, subscribe(`"d"`))
	upstream.want(text, "still relayed")
	client.want(text, refused(`"c"`, "limit of 2 subscriptions reached"))
	client.want(text, refused(`"e"`, "limit of 2 subscriptions reached"))
	w.wantReleased(client, upstream, `2`, `"d"`)
}

func TestSubscriptionsClosed(t *testing.T) {
	w := start(t, atMost(2, policies.ExcessClose))
	client, upstream := w.open()
	for _, topic := range []string{`"a"`, `"b"`, `"c"`, `"d"`} {
		client.send(client.frame(text, subscribe(topic)))
	}
	upstream.want(text, subscribe(`"a"`))
	upstream.want(text, subscribe(`"b"`))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.want(text, unsubscribe(`"b"`))
	upstream.wantClose(policies.CodeGoingAway, "subscription_limit")
	client.wantClose(policies.CodePolicy, "limit of 2 subscriptions reached")
	upstream.answerClose(policies.CodeGoingAway)
	client.answerClose(policies.CodePolicy)
	w.wantEnd(policies.SubscriptionLimit, policies.CodePolicy)
}

func TestSubscriptionsEvicted(t *testing.T) {
	w := start(t, atMost(2, policies.ExcessEvictOldest))
	client, upstream := w.open()
	var frames [][]byte
	for i := range 5 {
		frames = append(frames, client.frame(text, subscribe(fmt.Sprint(i))))
	}
	client.send(frames...)
	for i := range 5 {
		if i >= 2 {
			upstream.want(text, unsubscribe(fmt.Sprint(i-2)))
		}
		upstream.want(text, subscribe(fmt.Sprint(i)))
	}
	w.wantReleased(client, upstream, "3", "4")
}

// A client that does not read its refusals is not read from, instead of having
// them pile up.
func TestRefusalsThatNobodyReads(t *testing.T) {
	policy := atMost(1, policies.ExcessReject)
	policy.Stall.Timeout, policy.Release.Grace = 2*soon, soon
	w := start(t, policy)
	client, upstream := w.open()
	_ = client.conn.SetReadBuffer(4 << 10)
	upstream.send(upstream.frame(textBegins, "a message that does not end"))
	client.send(client.frame(text, subscribe(`"a"`)))
	go func() {
		frame := []byte(strings.Repeat(string(client.frame(text, subscribe(`"`+strings.Repeat("x", 100)+`"`))), 100))
		for {
			if _, err := client.conn.Write(frame); err != nil {
				return
			}
		}
	}()
	upstream.want(text, subscribe(`"a"`))
	go func() { _, _ = upstream.rest() }()
	w.wantEnd(policies.Stalled, policies.CodePolicy)
}

// Records of one message are decided on one by one; what passes keeps its order.
func TestSubscriptionsInOneMessage(t *testing.T) {
	const rs = "\x1e"
	stream := func(id string) string {
		return `{"type":4,"invocationId":"` + id + `","target":"Offers","arguments":[]}` + rs
	}
	cancel := func(id string) string { return `{"type":5,"invocationId":"` + id + `"}` + rs }
	other := `{"type":1,"target":"Say","arguments":["x"]}` + rs
	t.Run("reject", func(t *testing.T) {
		policy := atMost(2, policies.ExcessReject)
		policy.Dialect = "signalr"
		w := start(t, policy)
		client, upstream := w.open()
		client.send(client.frame(text, stream("1")+other+stream("2")+stream("3")+cancel("1")+stream("4")))
		upstream.want(text, stream("1")+other+stream("2")+cancel("1")+stream("4"))
		if first, payload, err := client.read(); err != nil || first != text || !strings.Contains(payload, "limit of 2") {
			t.Errorf("read %#x %q (%v), want a refusal", first, payload, err)
		}
		client.send(client.closeFrame(1000, ""))
		upstream.want(text, cancel("2"))
		upstream.want(text, cancel("4"))
		upstream.wantClose(1000, "")
	})
	t.Run("evict", func(t *testing.T) {
		policy := atMost(2, policies.ExcessEvictOldest)
		policy.Dialect = "signalr"
		w := start(t, policy)
		client, upstream := w.open()
		client.send(client.frame(text, stream("1")+stream("2")+stream("3")+other+stream("4")))
		upstream.want(text, stream("1")+stream("2"))
		upstream.want(text, cancel("1"))
		upstream.want(text, stream("3")+other)
		upstream.want(text, cancel("2"))
		upstream.want(text, stream("4"))
		client.send(client.closeFrame(1000, ""))
		upstream.want(text, cancel("3"))
		upstream.want(text, cancel("4"))
		upstream.wantClose(1000, "")
	})
}

// What cannot be read with certainty does not pass.
func TestUnreadableMessages(t *testing.T) {
	w := start(t, atMost(2, policies.ExcessReject))
	client, upstream := w.open()
	for _, topic := range []string{`null`, `{"a":1}`, `["a"]`, `true`} {
		client.send(client.frame(text, subscribe(topic)))
		client.want(text, refused(topic, "message cannot be read with certainty"))
	}
	client.send(client.frame(text, "\ufeff"+subscribe(`"a"`)))
	upstream.wantClose(policies.CodeGoingAway, "protocol_error")
	first, payload, err := client.read()
	if err != nil || first != closing || !strings.HasPrefix(payload, "\x03\xea") || !strings.Contains(payload, "cannot be read") {
		t.Errorf("read %#x %q (%v), want a close frame with 1002", first, payload, err)
	}
	upstream.answerClose(policies.CodeGoingAway)
	client.answerClose(policies.CodeProtocolError)
	w.wantEnd(policies.ProtocolError, policies.CodeProtocolError)
}

func TestTopicsAllowed(t *testing.T) {
	policy := atMost(0, policies.ExcessReject)
	policy.Subscriptions.Allow = []string{"17*"}
	policy.Subscriptions.Deny = []string{"*9"}
	w := start(t, policy)
	client, upstream := w.open()
	for _, topic := range []string{`"1800"`, `"1709"`, `1709`, `"\u0031\u0039"`} {
		client.send(client.frame(text, subscribe(topic)))
		client.want(text, refused(topic, "topic not allowed"))
	}
	client.send(client.frame(text, subscribe(`"\u0031700"`)))
	upstream.want(text, subscribe(`"\u0031700"`))
	w.wantReleased(client, upstream, `"\u0031700"`)
}

// A topic takes so many sessions of the process, on whatever loop, and a seat is
// free again when its session leaves the topic or ends.
func TestSessionsPerTopic(t *testing.T) {
	policy := atMost(0, policies.ExcessReject)
	policy.Subscriptions.MaxPerTopic = 2
	w := start(t, policy)
	full := refused(`"a"`, "limit of 2 sessions on this topic reached")
	type pair struct{ client, upstream *peer }
	var pairs []pair
	for range 4 {
		client, upstream := w.open()
		pairs = append(pairs, pair{client, upstream})
	}
	enter := func(p pair) {
		t.Helper()
		p.client.send(p.client.frame(text, subscribe(`"a"`)))
		p.upstream.want(text, subscribe(`"a"`))
	}
	enter(pairs[0])
	enter(pairs[0]) // twice, and counted once
	enter(pairs[1])
	pairs[2].client.send(pairs[2].client.frame(text, subscribe(`"a"`)))
	pairs[2].client.want(text, full)

	pairs[0].client.send(pairs[0].client.frame(text, unsubscribe(`"a"`)))
	pairs[0].upstream.want(text, unsubscribe(`"a"`))
	enter(pairs[2])
	pairs[3].client.send(pairs[3].client.frame(text, subscribe(`"a"`)))
	pairs[3].client.want(text, full)

	w.wantReleased(pairs[1].client, pairs[1].upstream, `"a"`)
	enter(pairs[3])
}

// A subscription that upstream refuses is not counted and not undone, and one
// that upstream ends neither.
func TestSubscriptionsThatUpstreamEnds(t *testing.T) {
	policy := atMost(2, policies.ExcessReject)
	policy.Dialect = "pusher"
	w := start(t, policy)
	client, upstream := w.open()
	subscribe := func(channel string) string {
		return `{"event":"pusher:subscribe","data":{"channel":"` + channel + `"}}`
	}
	for _, channel := range []string{"a", "b"} {
		client.send(client.frame(text, subscribe(channel)))
		upstream.want(text, subscribe(channel))
	}
	refusal := `{"event":"pusher:subscription_error","channel":"a","data":{"status":403}}`
	upstream.send(upstream.frame(text, refusal))
	client.want(text, refusal)
	client.send(client.frame(text, subscribe("c")))
	upstream.want(text, subscribe("c"))
	client.send(client.closeFrame(1000, ""))
	for _, channel := range []string{"b", "c"} {
		upstream.want(text, `{"event":"pusher:unsubscribe","data":{"channel":"`+channel+`"}}`)
	}
	upstream.wantClose(1000, "")
}

// Every policy has its dialect; one without has its messages relayed unread.
func TestDialectIsThePolicys(t *testing.T) {
	w := startWith(t, proxy.New, func(c *config.Config) {
		limited := atMost(1, policies.ExcessReject)
		limited.Name, limited.Match.Path = "limited", "/limited"
		c.Policies = []policies.Policy{limited, {Name: "free", Release: policies.Release{Unsubscribe: true}}}
	})
	client, upstream := w.open()
	for _, topic := range []string{`"a"`, `"b"`} {
		client.send(client.frame(text, subscribe(topic)))
		upstream.want(text, subscribe(topic))
	}
	w.wantReleased(client, upstream)
}
