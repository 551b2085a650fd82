package policies

import "time"

// Excess says what becomes of what exceeds a limit.
type Excess string

const (
	// ExcessClose: the session ends.
	ExcessClose Excess = "close"
	// ExcessDrop: the message does not reach upstream.
	ExcessDrop Excess = "drop"
	// ExcessDelay: the client is not read from until the rate allows it.
	ExcessDelay Excess = "delay"
	// ExcessReject: the subscription does not reach upstream, and the client is
	// told so as the dialect tells it.
	ExcessReject Excess = "reject"
	// ExcessEvictOldest: the oldest subscription is undone.
	ExcessEvictOldest Excess = "evict_oldest"
)

// Inspect limits the reading of messages, where a policy has to read them: for
// its dialect, or to validate their UTF-8. A client's message is held back until
// all of it is read.
type Inspect struct {
	// MaxBytes of one message, inflated. It is above zero.
	MaxBytes int64 `mapstructure:"max_bytes"`
	// Oversize says what becomes of a client's longer message.
	Oversize Oversize `mapstructure:"oversize"`
	// Mode of what reading ends sessions for: messages that are too long for it, or
	// cannot be read with certainty. Empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Oversize is what becomes of a message that is too long to be read.
type Oversize string

const (
	// OversizeClose: the session ends with MessageTooBig.
	OversizeClose Oversize = "close"
	// OversizeForward: the message passes unread, whatever it does.
	OversizeForward Oversize = "forward"
)

// Release says what a session's end does for upstream, and whom it tells.
type Release struct {
	// Unsubscribe sends one unsubscribe for each live subscription ahead of the
	// farewell, in the order in which they were made, as the dialect spells it.
	Unsubscribe bool `mapstructure:"unsubscribe"`
	// Farewell are text messages sent to upstream before its close frame,
	// whatever the cause, where the end of a message allows it.
	Farewell []string `mapstructure:"farewell"`
	// Grace is the time a peer has to answer a close frame before its
	// connection is reset. It is above zero.
	Grace time.Duration `mapstructure:"grace"`
	// Webhook is told of every session that has ended.
	Webhook Webhook `mapstructure:"webhook"`
}

// Webhook is an HTTP server that is told of the end of sessions.
type Webhook struct {
	// URL is http or https. Empty: off.
	URL string `mapstructure:"url"`
	// Timeout of one attempt. It is above zero.
	Timeout time.Duration `mapstructure:"timeout"`
	// Attempts before a report is given up. It is above zero.
	Attempts int `mapstructure:"attempts"`
}
