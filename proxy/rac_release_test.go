package proxy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"wswarden/policies"
)

// What the clients of the following tests are subscribed to, and how the backend
// sees that and its end.
var (
	topics     = []string{"1722500001", "1722500002", "broadcasts", "1722500003"}
	subscribes = []string{subscribe(`"1722500001"`), subscribe(`"1722500002"`), `{"type":"SUBSCRIBE"}`, subscribe(`"1722500003"`)}
	subscribed = prefixed("+", topics)
	undone     = prefixed("-", topics)
)

func prefixed(sign string, topics []string) (words []string) {
	for _, topic := range topics {
		words = append(words, sign+topic)
	}
	return words
}

// pnrs returns the topics from first up to end, without it.
func pnrs(first, end int) (topics []string) {
	for i := first; i < end; i++ {
		topics = append(topics, fmt.Sprintf("17225%05d", i))
	}
	return topics
}

// A client subscribes to 1,000 PNRs. The backend holds 20 of them at the most, and
// none once the client has gone.
func TestRACSubscriptionLimit(t *testing.T) {
	const most, all = 20, 1000
	greedy := func(t *testing.T, onExcess policies.Excess) *racSession {
		s := startRAC(t, policies.Policy{Subscriptions: policies.Subscriptions{Max: most, OnExcess: onExcess}})
		for _, pnr := range pnrs(0, all) {
			s.client.send(s.client.frame(text, subscribe(`"`+pnr+`"`)))
		}
		return s
	}
	wantAtMost := func(t *testing.T, s *racSession, end string, saw []string) {
		t.Helper()
		s.wantReleased(end, saw...)
		if s.backend.most != most {
			t.Errorf("the backend held %d subscriptions at a time, want %d", s.backend.most, most)
		}
		t.Logf("of %d subscribes: at most %d held, %d left", all, s.backend.most, len(s.backend.held))
	}
	t.Run("reject", func(t *testing.T) {
		t.Parallel()
		s := greedy(t, policies.ExcessReject)
		answers := s.wantAnswers(all)
		if answers["subscribed"] != most || answers["ERROR"] != all-most {
			t.Errorf("answers: %v", answers)
		}
		s.leave()
		first := pnrs(0, most)
		wantAtMost(t, s, "close 1000", append(prefixed("+", first), prefixed("-", first)...))
		s.reports.want(policies.ClientClose, "live", true, first...)
	})
	t.Run("close", func(t *testing.T) {
		t.Parallel()
		s := greedy(t, policies.ExcessClose)
		s.client.skip(text)
		s.client.wantClose(policies.CodePolicy, "limit of 20 subscriptions reached")
		s.client.reset()
		s.wantEnd(policies.SubscriptionLimit, policies.CodePolicy)
		first := pnrs(0, most)
		wantAtMost(t, s, "close 1001", append(prefixed("+", first), prefixed("-", first)...))
	})
	t.Run("evict_oldest", func(t *testing.T) {
		t.Parallel()
		s := greedy(t, policies.ExcessEvictOldest)
		answers := s.wantAnswers(all + all - most)
		if answers["subscribed"] != all || answers["unsubscribed"] != all-most {
			t.Errorf("answers: %v", answers)
		}
		s.leave()
		saw := prefixed("+", pnrs(0, most))
		for i, pnr := range pnrs(most, all) {
			saw = append(saw, "-"+pnrs(i, i+1)[0], "+"+pnr)
		}
		last := pnrs(all-most, all)
		wantAtMost(t, s, "close 1000", append(saw, prefixed("-", last)...))
		s.reports.want(policies.ClientClose, "live", true, last...)
	})
}

// leave has the client close politely.
func (s *racSession) leave() {
	s.t.Helper()
	s.client.send(s.client.closeFrame(1000, "Client disconnect"))
	s.backend.wantDone()
	s.client.skip(text) // the backend's answers to wswarden's unsubscribes
	s.client.wantClose(1000, "Client disconnect")
	s.client.wantEOF()
	s.client.end()
	s.wantEnd(policies.ClientClose, 1000)
}

// However a client goes, the backend is told.
func TestRACClientsThatGo(t *testing.T) {
	open := func(t *testing.T, policy policies.Policy) *racSession {
		t.Parallel()
		s := startRAC(t, policy, subscribes...)
		s.wantAnswers(len(topics))
		return s
	}
	all := slices.Concat(subscribed, undone)

	t.Run("politely", func(t *testing.T) {
		s := open(t, policies.Policy{})
		say(`{"type":"IDENTIFY","irctcId":"IR0001","role":"PASSENGER"}`)(s)
		s.leave()
		s.wantReleased("close 1000", slices.Concat(subscribed, []string{`{"type":"IDENTIFY","irctcId":"IR0001","role":"PASSENGER"}`}, undone)...)
		got := s.reports.want(policies.ClientClose, "live", true, topics...)
		if got.Policy != "test" || got.Identity != "IR0001" || got.Client != "127.0.0.1" || got.CloseCode != 1000 ||
			got.Opened.IsZero() || got.Closed.Before(got.Opened) {
			t.Errorf("reported: %+v", got)
		}
	})
	t.Run("politely, having unsubscribed", func(t *testing.T) {
		s := open(t, policies.Policy{})
		say(unsubscribe(`"1722500002"`))(s)
		say(`{"type":"UNSUBSCRIBE"}`)(s)
		s.wantAnswers(2)
		s.leave()
		s.wantReleased("close 1000", append(slices.Clone(subscribed), "-1722500002", "-broadcasts", "-1722500001", "-1722500003")...)
		s.reports.want(policies.ClientClose, "live", true, "1722500001", "1722500003")
	})
	t.Run("without a word", func(t *testing.T) {
		s := open(t, policies.Policy{Heartbeat: policies.Heartbeat{Interval: 2 * soon, Timeout: soon}})
		s.wantReleased("close 1001", all...)
		s.client.reset()
		s.wantEnd(policies.HeartbeatTimeout, 1001)
		s.reports.want(policies.HeartbeatTimeout, "live", true, topics...)
	})
	t.Run("by a reset", func(t *testing.T) {
		s := open(t, policies.Policy{})
		s.client.reset()
		s.wantReleased("close 1001", all...)
		s.wantEnd(policies.ClientLost, 1001)
		s.reports.want(policies.ClientLost, "live", true, topics...)
	})
	t.Run("killed", func(t *testing.T) {
		t.Parallel()
		s := prepareRAC(t, policies.Policy{})
		kill := startRACClient(t, s.address, s.serve)
		kill()
		s.wantReleased("close 1001", all...)
		s.wantEnd(policies.ClientLost, 1001)
		s.reports.want(policies.ClientLost, "live", true, topics...)
	})
}

// A client that dies within a message that is held back leaves a boundary.
func TestRACClientDiesInHeldMessage(t *testing.T) {
	long := subscribe(`"` + strings.Repeat("1", 200) + `"`)
	for name, part := range map[string]func(*peer) []byte{
		"in a frame":        func(p *peer) []byte { return p.frame(text, long)[:150] },
		"between fragments": func(p *peer) []byte { return p.frame(textBegins, long) },
		"in a fragment":     func(p *peer) []byte { return append(p.frame(textBegins, long), p.frame(goesEnd, long)[:150]...) },
		"in a header":       func(p *peer) []byte { return p.frame(text, long)[:5] },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRAC(t, policies.Policy{}, subscribes...)
			s.wantAnswers(len(topics))
			s.client.send(part(s.client))
			s.client.end()
			s.wantReleased("close 1001", slices.Concat(subscribed, undone)...)
			s.wantEnd(policies.ClientLost, 1001)
			s.reports.want(policies.ClientLost, "live", true, topics...)
		})
	}
}

// A message that is too long to be read passes unread, if the policy says so. Once
// a part of it has passed there is no place for an unsubscribe: the webhook tells
// of what the backend still holds.
func TestRACClientDiesInPassingMessage(t *testing.T) {
	long := strings.Repeat("x", 1000)
	for name, tt := range map[string]struct {
		part func(*peer) []byte
		end  string
	}{
		"in a frame":        {func(p *peer) []byte { return p.frame(text, long)[:600] }, "reset"},
		"between fragments": {func(p *peer) []byte { return p.frame(textBegins, long) }, "close 1001"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := startRAC(t, policies.Policy{
				Inspect: policies.Inspect{MaxBytes: 256, Oversize: policies.OversizeForward},
			}, subscribes...)
			s.wantAnswers(len(topics))
			s.client.send(tt.part(s.client))
			s.client.end()
			s.wantUpstream(tt.end, subscribed...)
			s.wantEnd(policies.ClientLost, 1001)
			s.reports.want(policies.ClientLost, "live", false, topics...)
		})
	}
}

// The same for one that vanishes: the message is waited for, but not for ever.
func TestRACClientVanishesInPassingMessage(t *testing.T) {
	t.Parallel()
	s := prepareRAC(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: soon, Timeout: soon},
		Inspect:   policies.Inspect{MaxBytes: 256, Oversize: policies.OversizeForward},
		Release:   policies.Release{Grace: soon},
	})
	s.connect(subscribes...)
	s.client.send(s.client.frame(text, strings.Repeat("x", 1000))[:600])
	s.serve()
	s.wantWelcome()
	s.wantUpstream("reset", subscribed...)
	s.wantEnd(policies.HeartbeatTimeout, 1001)
	s.reports.want(policies.HeartbeatTimeout, "", false, topics...)
}

// A backend that has sent its close frame still takes the unsubscribes, also those
// for a client that does not answer it.
func TestRACBackendClosesOnSilentClient(t *testing.T) {
	t.Parallel()
	s := startRAC(t, policies.Policy{Release: policies.Release{Grace: 2 * soon}}, subscribes...)
	s.wantAnswers(len(topics))
	s.backend.send(s.backend.closeFrame(1000, "Server shutdown"))
	s.wantReleased("close 1000", slices.Concat(subscribed, undone)...)
	s.wantEnd(policies.UpstreamClose, 1000)
	s.reports.want(policies.UpstreamClose, "live", true, topics...)
}

// Nobody can unsubscribe at a backend that is not there any more, or takes nothing.
// The webhook does not claim so.
func TestRACBackendThatCannotBeTold(t *testing.T) {
	t.Run("it closes and goes", func(t *testing.T) {
		t.Parallel()
		s := startRAC(t, policies.Policy{}, subscribes...)
		s.wantAnswers(len(topics))
		s.backend.send(s.backend.closeFrame(1000, "Server shutdown"))
		s.backend.reset()
		s.wantUpstream("lost", subscribed...)
		s.client.wantClose(1000, "Server shutdown")
		s.client.send(s.client.closeFrame(1000, ""))
		s.client.end()
		s.wantEnd(policies.UpstreamClose, 1000)
		s.reports.want(policies.UpstreamClose, "live", false, topics...)
	})
	t.Run("it goes while its client takes nothing", func(t *testing.T) {
		t.Parallel()
		s := prepareRAC(t, policies.Policy{})
		client, upstream := s.openUnserved()
		upstream.fill()
		upstream.end() // which wswarden does not read up to
		client.reset()
		s.wantEnd(policies.ClientLost, 1001)
		s.reports.want(policies.ClientLost, "pending", false, topics...)
	})
	t.Run("it closes and goes without reading on", func(t *testing.T) {
		t.Parallel()
		s := prepareRAC(t, policies.Policy{})
		client, upstream := s.openUnserved()
		upstream.send(upstream.closeFrame(1000, "Server shutdown"))
		client.wantClose(1000, "Server shutdown")
		client.answerClose(1000) // upstream has been sent all when that returns
		upstream.end()
		s.wantEnd(policies.UpstreamClose, 1000)
		s.reports.want(policies.UpstreamClose, "pending", false, topics...)
	})
	t.Run("it takes nothing", func(t *testing.T) {
		t.Parallel()
		s := prepareRAC(t, policies.Policy{
			Stall:   policies.Stall{Timeout: soon},
			Release: policies.Release{Grace: 2 * soon},
		})
		client, _ := s.openUnserved()
		client.flood()
		client.wantClose(1008, "stalled")
		client.reset()
		s.wantEnd(policies.Stalled, 1008)
		s.reports.want(policies.Stalled, "pending", false, topics...)
	})
}

// What upstream has not confirmed yet is undone as well.
func TestRACUnconfirmedIsUndone(t *testing.T) {
	s := prepareRAC(t, policies.Policy{})
	client, upstream := s.openUnserved()
	client.end()
	for _, topic := range topics {
		if topic == "broadcasts" {
			upstream.want(text, `{"type":"UNSUBSCRIBE"}`)
		} else {
			upstream.want(text, unsubscribe(`"`+topic+`"`))
		}
	}
	upstream.wantClose(1001, "client_lost")
	upstream.answerClose(1001)
	s.wantEnd(policies.ClientLost, 1001)
	s.reports.want(policies.ClientLost, "pending", true, topics...)
}

// openUnserved begins a session in which the backend has read the subscribes, and
// answers nothing.
func (s *racSession) openUnserved() (client, upstream *peer) {
	s.t.Helper()
	client, upstream = s.open()
	for _, message := range subscribes {
		client.send(client.frame(text, message))
		upstream.want(text, message)
	}
	return client, upstream
}
