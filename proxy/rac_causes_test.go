package proxy_test

import (
	"slices"
	"strings"
	"testing"

	"wswarden/policies"
)

// racEnding says how a session with the RAC backend comes to end for a cause.
type racEnding struct {
	policy policies.Policy
	strike func(*racSession)
	code   uint16 // for the client
	end    string // of the backend's connection
	silent bool   // the client has subscribed to nothing
	lost   bool   // the backend cannot be told
}

func say(message string) func(*racSession) {
	return func(s *racSession) { s.client.send(s.client.frame(text, message)) }
}

var racEndings = map[policies.Cause]racEnding{
	policies.ClientClose: {
		strike: func(s *racSession) { s.client.send(s.client.closeFrame(1000, "Client disconnect")) },
		code:   1000,
		end:    "close 1000",
	},
	policies.UpstreamClose: { // the RAC backend still reads then
		strike: func(s *racSession) {
			s.backend.send(s.backend.closeFrame(1000, "Server shutdown"))
			s.client.skip(text)
			s.client.wantClose(1000, "Server shutdown")
			s.client.send(s.client.closeFrame(1000, ""))
		},
		code: 1000,
		end:  "close 1000",
	},
	policies.ClientLost: {
		strike: func(s *racSession) { s.client.end() },
		code:   1001,
	},
	policies.UpstreamLost: {
		strike: func(s *racSession) {
			s.wantAnswers(len(topics)) // all has been seen
			s.backend.reset()
		},
		code: 1014,
		end:  "lost",
		lost: true,
	},
	policies.HeartbeatTimeout: {
		policy: policies.Policy{Heartbeat: policies.Heartbeat{Interval: soon, Timeout: soon}},
		code:   1001,
	},
	policies.UpstreamTimeout: {
		policy: policies.Policy{UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: soon, Timeout: soon}},
		code:   1014,
	},
	policies.IdleTimeout: {
		policy: policies.Policy{Idle: policies.Idle{Timeout: soon}},
		code:   1001,
	},
	policies.NoFirstMessage: {
		policy: policies.Policy{FirstMessage: policies.FirstMessage{Timeout: soon}},
		silent: true,
		code:   1001,
	},
	policies.MaxAge: {
		policy: policies.Policy{Lifetime: policies.Lifetime{Max: soon}},
		code:   1012,
	},
	policies.Stalled: {
		policy: policies.Policy{Stall: policies.Stall{Timeout: soon}},
		strike: func(s *racSession) { s.backend.flood() },
		code:   1008,
	},
	policies.SubscriptionLimit: {
		policy: policies.Policy{Subscriptions: policies.Subscriptions{Max: len(topics), OnExcess: policies.ExcessClose}},
		strike: say(subscribe(`"one more"`)),
		code:   1008,
	},
	policies.MessageRate: {
		policy: policies.Policy{Messages: policies.Messages{Rate: 0.001, Burst: len(topics)}},
		strike: say(subscribe(`"one more"`)),
		code:   1008,
	},
	policies.MessageTooBig: {
		policy: policies.Policy{Messages: policies.Messages{MaxBytes: 200}},
		strike: say(subscribe(`"` + strings.Repeat("1", 200) + `"`)),
		code:   1009,
	},
	policies.InvalidUTF8: {
		policy: policies.Policy{Messages: policies.Messages{ValidateUTF8: true}},
		strike: say(subscribe("\"\xff\"")),
		code:   1007,
	},
	policies.ProtocolError: {
		strike: func(s *racSession) { s.client.send(s.client.frame(0x83, "reserved opcode")) },
		code:   1002,
	},
	policies.Superseded: {
		policy: policies.Policy{Connections: policies.Connections{PerIP: 1, OnExcess: policies.ExcessEvictOldest}},
		strike: func(s *racSession) {
			other := s.dial()
			s.t.Cleanup(func() { // when the backend is rid of the first
				s.accept().end()
				other.response()
			})
		},
		code: 1008,
	},
	policies.ConnectionLimit: {
		policy: byMessage(1, policies.ExcessReject),
		strike: func(s *racSession) {
			other, backend := s.open()
			other.send(other.frame(text, identify("a")))
			backend.want(text, identify("a"))
			s.t.Cleanup(func() {
				backend.reset()
				other.reset()
			})
			s.client.send(s.client.frame(text, identify("a")))
		},
		code: 1008,
	},
	policies.Killed: {
		strike: func(s *racSession) {
			if n := s.server.Kill(""); n != 1 {
				s.t.Errorf("%d sessions killed", n)
			}
		},
		code: 1008,
	},
	policies.Drain: {
		strike: func(s *racSession) { s.drain() },
		code:   1012,
	},
}

// Whatever a session ends for, the backend sees one unsubscribe for each live
// subscription, in the order in which they were made, and nothing else; the webhook
// is told so.
func TestRACReleasedForEveryCause(t *testing.T) {
	for _, cause := range policies.Causes() {
		t.Run(cause.String(), func(t *testing.T) {
			ending, ok := racEndings[cause]
			if !ok {
				t.Fatal("nothing here ends a session for it")
			}
			t.Parallel()
			messages, saw, topics := subscribes, slices.Concat(subscribed, undone), topics
			if ending.silent {
				messages, saw, topics = nil, nil, nil
			}
			if ending.end == "" {
				ending.end = "close 1001"
			}
			s := startRAC(t, ending.policy, messages...)
			if ending.strike != nil {
				ending.strike(s)
			}
			if ending.lost {
				s.wantUpstream(ending.end, subscribed...)
			} else {
				s.wantReleased(ending.end, saw...)
			}
			s.client.reset()
			s.wantEnd(cause, ending.code)
			s.reports.want(cause, "", !ending.lost, topics...)
		})
	}
}
