package policies

import "time"

// Messages limits what a client may send.
type Messages struct {
	// MaxBytes of one message's payload as it is on the wire (compressed, if
	// it is), over all its fragments. Zero: no limit.
	MaxBytes int64 `mapstructure:"max_bytes"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
}

// Release says what a session's end does for upstream.
type Release struct {
	// Farewell are text messages sent to upstream before its close frame,
	// whatever the cause, where the end of a message allows it.
	Farewell []string `mapstructure:"farewell"`
	// Grace is the time a peer has to answer a close frame before its
	// connection is reset. It is above zero.
	Grace time.Duration `mapstructure:"grace"`
}
