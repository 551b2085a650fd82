package policies

// Limit is a limit on what clients use, which they can hit. It is a metric's label,
// so the list is closed. The rules that find the dead, the idle and the aged are no
// limits: what they do is told by a session's Cause.
type Limit uint8

const (
	// NoLimit: none is hit.
	NoLimit Limit = iota
	// LimitSubscriptionsMax: a session has as many subscriptions as it may.
	LimitSubscriptionsMax
	// LimitSubscriptionsMaxPerTopic: a topic has as many sessions as it may.
	LimitSubscriptionsMaxPerTopic
	// LimitSubscriptionsAllow: the topic is not allowed, or is denied.
	LimitSubscriptionsAllow
	// LimitMessagesRate and LimitMessagesBytesPerSecond: the client sends too fast.
	LimitMessagesRate
	LimitMessagesBytesPerSecond
	// LimitMessagesMaxBytes: a message is too long.
	LimitMessagesMaxBytes
	// LimitInspectMaxBytes: a message that has to be read is too long for that.
	LimitInspectMaxBytes
	// LimitConnectionsMax, LimitConnectionsPerIP and LimitConnectionsPerIdentity:
	// there are as many sessions as there may be.
	LimitConnectionsMax
	LimitConnectionsPerIP
	LimitConnectionsPerIdentity
	// LimitHandshakesPerIPRate and LimitHandshakesTotalRate: a session is asked for
	// too often.
	LimitHandshakesPerIPRate
	LimitHandshakesTotalRate

	limits // how many there are
)

var limitNames = [limits]string{
	LimitSubscriptionsMax:         "subscriptions.max",
	LimitSubscriptionsMaxPerTopic: "subscriptions.max_per_topic",
	LimitSubscriptionsAllow:       "subscriptions.allow",
	LimitMessagesRate:             "messages.rate",
	LimitMessagesBytesPerSecond:   "messages.bytes_per_second",
	LimitMessagesMaxBytes:         "messages.max_bytes",
	LimitInspectMaxBytes:          "inspect.max_bytes",
	LimitConnectionsMax:           "connections.max",
	LimitConnectionsPerIP:         "connections.per_ip",
	LimitConnectionsPerIdentity:   "connections.per_identity",
	LimitHandshakesPerIPRate:      "handshakes.per_ip_rate",
	LimitHandshakesTotalRate:      "handshakes.total_rate",
}

// String returns the key of the policy that sets the limit; empty for NoLimit.
func (l Limit) String() string { return limitNames[l] }

// Limits returns every limit that can be hit.
func Limits() []Limit {
	all := make([]Limit, 0, limits-1)
	for l := NoLimit + 1; l < limits; l++ {
		all = append(all, l)
	}
	return all
}
