package policies

import (
	"fmt"

	"wswarden/policies/dialects"
)

// Subscriptions limits what a client may subscribe to. All of it needs a dialect.
type Subscriptions struct {
	// Max subscriptions of a session at a time. Zero: no limit.
	Max int `mapstructure:"max"`
	// MaxPerTopic is how many sessions may be subscribed to one topic at a time,
	// of this process. Zero: no limit.
	MaxPerTopic int `mapstructure:"max_per_topic"`
	// OnExcess: ExcessReject, ExcessClose or ExcessEvictOldest. A topic that other
	// sessions have taken up is rejected where the oldest would be evicted: that
	// would be no help.
	OnExcess Excess `mapstructure:"on_excess"`
	// Allow are patterns of topics, of which one must fit, if there are any; Deny
	// are patterns of which none may. In a pattern, * stands for any text. What is
	// not allowed is rejected, or ends the session with ExcessClose.
	Allow []string `mapstructure:"allow"`
	Deny  []string `mapstructure:"deny"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Admission is what becomes of a Subscribe record. The zero Admission lets it
// pass; of Refuse, Evict and End, at most one is set.
type Admission struct {
	// Refuse: the record must not reach upstream, and the client is told why.
	Refuse bool
	// Evict: the record passes once Tracker.Evict has made room. If that finds
	// nothing that can be undone, the record is to be refused.
	Evict bool
	// End: the session ends with SubscriptionLimit.
	End bool
	// Limit that the record has hit; NoLimit: it passes, or is refused for what it is.
	Limit Limit
	// Reason is set unless the record passes: short, and fit for a close frame.
	Reason string
}

// Judge decides on a Subscribe record of a session with these subscriptions,
// which it leaves as they are. MaxPerTopic is not its business: see TopicFull.
func (s *Subscriptions) Judge(t *Tracker, r *dialects.Record) Admission {
	switch {
	case !r.Rule.Usable(r):
		return Admission{Refuse: true, Reason: dialects.ErrUnreadable.Error()}
	case !s.allows(r.Topic):
		return s.exceeded(LimitSubscriptionsAllow, "topic not allowed")
	case t.Taken(r):
		return Admission{Refuse: true, Reason: "id already in use"}
	case t.Used(r):
		return Admission{Refuse: true, Reason: "id used before"}
	case s.Max <= 0 || t.Len() < s.Max || t.Has(r):
		return Admission{}
	}
	verdict := s.exceeded(LimitSubscriptionsMax, fmt.Sprintf("limit of %s reached", plural(s.Max, "subscription")))
	if s.OnExcess == ExcessEvictOldest {
		verdict.Refuse, verdict.Evict = false, true
	}
	return verdict
}

// TopicFull is the answer to a Subscribe record that has passed Judge, for a topic
// that MaxPerTopic other sessions are on.
func (s *Subscriptions) TopicFull() Admission {
	return s.exceeded(LimitSubscriptionsMaxPerTopic, fmt.Sprintf("limit of %s on this topic reached", plural(s.MaxPerTopic, "session")))
}

// exceeded refuses, or ends the session.
func (s *Subscriptions) exceeded(limit Limit, reason string) Admission {
	end := s.OnExcess == ExcessClose
	return Admission{Refuse: !end, End: end, Limit: limit, Reason: reason}
}

func (s *Subscriptions) allows(topic dialects.Value) bool {
	if len(s.Allow) == 0 && len(s.Deny) == 0 {
		return true
	}
	text := string(topic.AppendText(nil))
	return (len(s.Allow) == 0 || fitsAny(s.Allow, text)) && !fitsAny(s.Deny, text)
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
