package api

import (
	"net/netip"
	"time"
)

// EventKind is what an event is about; the name of the event in the stream.
type EventKind string

const (
	// EventOpened: a session has begun.
	EventOpened EventKind = "opened"
	// EventSubscribed: a session has a subscription more.
	EventSubscribed EventKind = "subscribed"
	// EventRefused: a policy has refused a handshake.
	EventRefused EventKind = "refused"
	// EventLimitHit: a session has met a limit, and something was done about it.
	EventLimitHit EventKind = "limit_hit"
	// EventWouldHave: it would have been done, but the policy only observes.
	EventWouldHave EventKind = "would_have"
	// EventEnded: a session has ended, and nothing is left of it.
	EventEnded EventKind = "ended"
	// EventLost: the reader was too slow for events, and has missed some.
	EventLost EventKind = "lost"
)

// EventKinds returns all of them.
func EventKinds() []EventKind {
	return []EventKind{EventOpened, EventSubscribed, EventRefused, EventLimitHit, EventWouldHave, EventEnded, EventLost}
}

// Event is one of GET /v1/events, the data of a server-sent event.
type Event struct {
	Kind     EventKind  `json:"kind"`
	Time     time.Time  `json:"time"`
	Session  ID         `json:"session"`
	Policy   string     `json:"policy"`
	Address  netip.Addr `json:"address"`
	Identity string     `json:"identity,omitempty"`
	Topic    string     `json:"topic,omitempty"`  // of EventSubscribed
	Reason   string     `json:"reason,omitempty"` // of EventRefused: as in metrics
	Limit    string     `json:"limit,omitempty"`  // of EventLimitHit, and of EventWouldHave where there is one: the policy's key
	Rule     string     `json:"rule,omitempty"`   // of EventWouldHave: the policy's key
	Action   string     `json:"action,omitempty"` // of EventWouldHave: what the rule would have done
	Cause    string     `json:"cause,omitempty"`  // of EventWouldHave: that of the end which there would have been
	Ending   *Ending    `json:"ending,omitempty"` // of EventEnded
	Lost     uint64     `json:"lost,omitempty"`   // of EventLost: how many
}

// Ending is all that is known of a session that has ended: what the log says.
type Ending struct {
	Cause string `json:"cause"`
	// Side that made it end: client, upstream, or wswarden.
	Side string `json:"side"`
	// ClientCode and UpstreamCode are those of the close frames for each, whether it
	// was there to read them or not; zero: one without a code.
	ClientCode   uint16  `json:"client_code,omitempty"`
	UpstreamCode uint16  `json:"upstream_code,omitempty"`
	Duration     Seconds `json:"duration_seconds"`

	ClientToUpstream Flow `json:"client_to_upstream"`
	UpstreamToClient Flow `json:"upstream_to_client"`

	// Subscriptions that were left, and those of them that upstream was told of.
	Subscriptions int `json:"subscriptions"`
	Unsubscribed  int `json:"unsubscribed"`
	// Ping is the client's last round trip; zero: none.
	Ping Seconds `json:"ping_seconds,omitempty"`
	// Release is the time from the beginning of the end until upstream had let go,
	// and how that came: closed, lost or reset.
	Release        Seconds `json:"release_seconds"`
	ReleaseOutcome string  `json:"release_outcome"`
}
