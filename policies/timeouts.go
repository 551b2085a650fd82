package policies

import "time"

// FirstMessage ends sessions whose client connects and then says nothing.
type FirstMessage struct {
	// Timeout from the handshake to the client's first data message. Zero: off.
	Timeout time.Duration `mapstructure:"timeout"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for the end with NoFirstMessage.
func (r FirstMessage) Check(f *Facts, now Moment) (Verdict, Moment) {
	if r.Timeout <= 0 || f.ClientMessage != 0 {
		return Verdict{}, Never
	}
	return after(f.Opened+r.Timeout, now, Verdict{Action: End, Cause: NoFirstMessage, Code: r.CloseCode})
}

// Idle ends sessions in which no data message passes either way. Pings, pongs and
// the heartbeats of the application's dialect never count.
type Idle struct {
	// Timeout since the last data message. It shrinks under Pressure. Zero: off.
	Timeout time.Duration `mapstructure:"timeout"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for the end with IdleTimeout.
func (r Idle) Check(f *Facts, now Moment) (Verdict, Moment) {
	if r.Timeout <= 0 {
		return Verdict{}, Never
	}
	due := max(f.Opened, f.Message) + f.Pressure.shrink(r.Timeout, 0)
	return after(due, now, Verdict{Action: End, Cause: IdleTimeout, Code: r.CloseCode})
}

// Lifetime ends sessions that have lived long enough, whatever they do.
type Lifetime struct {
	// Max age of a session. It shrinks under Pressure, one step after that of Idle,
	// so that idle sessions go first. Zero: off.
	Max time.Duration `mapstructure:"max"`
	// Jitter, from 0 to 1, is the part of Max by which it is shortened at
	// most, by chance and per session, so that sessions that began together
	// do not come back together.
	Jitter float64 `mapstructure:"jitter"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for the end with MaxAge.
func (r Lifetime) Check(f *Facts, now Moment) (Verdict, Moment) {
	if r.Max <= 0 {
		return Verdict{}, Never
	}
	limit := f.Pressure.shrink(r.Max, 1)
	due := f.Opened + shorten(limit, r.Jitter, f.Spread)
	return after(due, now, Verdict{Action: End, Cause: MaxAge, Code: r.CloseCode})
}

// Stall ends sessions with a peer that takes no bytes although some wait.
type Stall struct {
	// Timeout since the peer last took a byte. Zero: off.
	Timeout time.Duration `mapstructure:"timeout"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// Check asks for the end with Stalled.
func (r Stall) Check(f *Facts, now Moment) (Verdict, Moment) {
	since := Earlier(Earlier(f.ClientWaits, f.UpstreamWaits), Earlier(f.ClientQueued, f.UpstreamQueued))
	if r.Timeout <= 0 || since == Never {
		return Verdict{}, Never
	}
	return after(since+r.Timeout, now, Verdict{Action: End, Cause: Stalled, Code: r.CloseCode, Urgent: true})
}

// LookEvery is how often the system has to be asked for ClientQueued and
// UpstreamQueued. Zero: never.
func (r Stall) LookEvery() time.Duration { return r.Timeout / 2 }
