package policies

import "time"

// Liveness says what counts as a sign of life.
type Liveness string

const (
	// LivenessAny: every frame that arrives from the client.
	LivenessAny Liveness = "any"
	// LivenessPong: only an answer to a ping of ours.
	LivenessPong Liveness = "pong"
)

// Heartbeat finds clients that are gone though their connection is not.
// A client is pinged once it has given no sign of life for the interval, and
// given up when none follows within the timeout, so that a client that falls
// silent is found within the sum of both.
type Heartbeat struct {
	// Interval without a sign of life after which the client is pinged
	// (RFC 6455 §5.5.2). Zero: no pings, no timeout.
	Interval time.Duration `mapstructure:"interval"`
	// Timeout for a sign of life after a ping was written.
	Timeout time.Duration `mapstructure:"timeout"`
	// Jitter, from 0 to 1, is the part of the interval by which it is
	// shortened at most, by chance and per session.
	Jitter float64 `mapstructure:"jitter"`
	// Liveness says what counts as a sign of life.
	Liveness Liveness `mapstructure:"liveness"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for a ping, or for the end with HeartbeatTimeout.
func (h Heartbeat) Check(f *Facts, now Moment) (Verdict, Moment) {
	life := max(f.Opened, f.ClientPong, f.ClientSpared)
	if h.Liveness != LivenessPong {
		life = max(life, f.ClientFrame)
	}
	return beat{
		interval: shorten(h.Interval, h.Jitter, f.Spread),
		timeout:  h.Timeout,
		ping:     PingClient,
		lost:     Verdict{Action: End, Cause: HeartbeatTimeout, Code: h.CloseCode, Urgent: true},
	}.check(life, f.ClientPing, f.ClientPingQueued, now)
}

// UpstreamHeartbeat finds an upstream that is gone though its connection is
// not. Every frame from upstream is a sign of life.
type UpstreamHeartbeat struct {
	// Interval without a frame after which upstream is pinged. Zero: off.
	Interval time.Duration `mapstructure:"interval"`
	// Timeout for any frame after a ping was written.
	Timeout time.Duration `mapstructure:"timeout"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for a ping, or for the end with UpstreamTimeout.
func (h UpstreamHeartbeat) Check(f *Facts, now Moment) (Verdict, Moment) {
	return beat{
		interval: h.Interval,
		timeout:  h.Timeout,
		ping:     PingUpstream,
		lost:     Verdict{Action: End, Cause: UpstreamTimeout, Code: h.CloseCode, Urgent: true},
	}.check(max(f.Opened, f.UpstreamFrame, f.UpstreamSpared), f.UpstreamPing, f.UpstreamPingQueued, now)
}

// beat is what both directions' heartbeats have in common.
type beat struct {
	interval, timeout time.Duration
	ping              Action
	lost              Verdict
}

func (b beat) check(life, pinged Moment, queued bool, now Moment) (Verdict, Moment) {
	switch {
	case b.interval <= 0 || queued:
		return Verdict{}, Never
	case pinged > life:
		// A sign of life may come any time, and brings the next ping forward.
		verdict, next := after(pinged+b.timeout, now, b.lost)
		return verdict, min(next, now+b.interval)
	default:
		return after(life+b.interval, now, Verdict{Action: b.ping})
	}
}
