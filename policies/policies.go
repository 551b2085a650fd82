// Package policies decides what happens to a session: whether to ping, whether
// to end it, and why. It holds no socket, starts no goroutine, reads no clock
// and writes no log: it is handed what a session has seen and the present
// moment, and answers with a verdict and with the moment to ask again.
package policies

import "time"

// Moment is an instant on the monotonic clock: the time since the process
// started. A step of the wall clock does not move it. Zero means never.
type Moment = time.Duration

// Never is the answer of a rule that only a new event can change.
const Never Moment = 0

// Policy is the set of rules that a session lives under. It is shared by
// sessions and read by every loop, so it is never changed once in use.
type Policy struct {
	// Name identifies the policy in logs and metrics.
	Name string `mapstructure:"name"`
	// Match selects the handshakes that fall under this policy.
	Match Match `mapstructure:"match"`
	// Mode is that of every rule that has none of its own. ModeEnforce, unless it
	// only observes.
	Mode Mode `mapstructure:"mode"`
	// OnReload says what becomes of sessions that a reloaded policy leaves no room for.
	OnReload OnReload `mapstructure:"on_reload"`
	// Dialect is the name of how the application spells its messages. Empty:
	// unknown, and messages are not read for subscriptions.
	Dialect string `mapstructure:"dialect"`
	// RefuseWith is how a client is told that its handshake is refused.
	RefuseWith RefuseWith `mapstructure:"refuse_with"`

	Origins           Origins           `mapstructure:"origins"`
	Handshakes        Handshakes        `mapstructure:"handshakes"`
	Connections       Connections       `mapstructure:"connections"`
	Heartbeat         Heartbeat         `mapstructure:"heartbeat"`
	UpstreamHeartbeat UpstreamHeartbeat `mapstructure:"upstream_heartbeat"`
	FirstMessage      FirstMessage      `mapstructure:"first_message"`
	Idle              Idle              `mapstructure:"idle"`
	Lifetime          Lifetime          `mapstructure:"lifetime"`
	Stall             Stall             `mapstructure:"stall"`
	Messages          Messages          `mapstructure:"messages"`
	Inspect           Inspect           `mapstructure:"inspect"`
	Subscriptions     Subscriptions     `mapstructure:"subscriptions"`
	Release           Release           `mapstructure:"release"`
}

// Default returns the policy that applies where the configuration says
// nothing: it breaks no application, and finds the dead.
func Default() Policy {
	return Policy{
		Name:              "default",
		Mode:              ModeEnforce,
		OnReload:          OnReloadKeep,
		RefuseWith:        RefuseWithStatus,
		Connections:       Connections{OnExcess: ExcessReject},
		Heartbeat:         Heartbeat{Interval: 30 * time.Second, Timeout: 10 * time.Second, Jitter: 0.1, Liveness: LivenessAny},
		UpstreamHeartbeat: UpstreamHeartbeat{Timeout: 10 * time.Second},
		Lifetime:          Lifetime{Jitter: 0.1},
		Stall:             Stall{Timeout: 30 * time.Second},
		Messages:          Messages{OnExcess: ExcessClose},
		Inspect:           Inspect{MaxBytes: 64 << 10, Oversize: OversizeClose},
		Subscriptions:     Subscriptions{OnExcess: ExcessReject},
		Release: Release{
			Unsubscribe: true,
			Grace:       2 * time.Second,
			Webhook:     Webhook{Timeout: 2 * time.Second, Attempts: 5},
		},
	}
}

// Reads reports whether messages have to be read: for their dialect, or to validate
// their UTF-8.
func (p *Policy) Reads() bool { return p.Dialect != "" || p.Messages.ValidateUTF8 }

// OneByOne reports whether the client's messages are needed one by one: they are
// read before they pass, or may be dropped.
func (p *Policy) OneByOne() bool {
	drops := p.Messages.Limited() && p.Messages.OnExcess == ExcessDrop && !p.Observes(p.Messages.Mode)
	return p.Mode != ModeObserve && p.Reads() || drops
}

// Facts are what a session has seen so far. Its loop writes them, rules read
// them. A zero Moment means that the event has not happened.
type Facts struct {
	Opened        Moment // the session began
	ClientFrame   Moment // last frame of any kind from the client
	ClientPong    Moment // last answer to a ping of ours by the client
	UpstreamFrame Moment // last frame of any kind from upstream
	Message       Moment // last bytes of a data message, either way, but no heartbeat
	ClientMessage Moment // first such of the client

	ClientPing   Moment // last ping written to the client
	UpstreamPing Moment // last ping written to upstream

	// The last ping that was not sent, as the rule only observes. It counts as answered:
	// whether it would have been, nobody knows.
	ClientSpared   Moment
	UpstreamSpared Moment

	// Since when bytes wait for a peer that takes none of them: in wswarden's
	// hands, and in the system's.
	ClientWaits    Moment
	UpstreamWaits  Moment
	ClientQueued   Moment
	UpstreamQueued Moment

	// A ping is queued but not yet written: a frame that is still passing
	// must end first. No timeout runs for it.
	ClientPingQueued   bool
	UpstreamPingQueued bool

	// Spread is this session's share of every jitter, from 0 to 255: it keeps
	// sessions that began together from acting together.
	Spread uint8

	// Told are the causes of which rules that only observe have said already that they
	// would have ended the session.
	Told CauseSet

	// Pressure is how short memory is: the limits that shed sessions shrink.
	Pressure Step
}

// Action is what a verdict asks the session to do.
type Action uint8

const (
	// Nothing to do before the moment that came with the verdict.
	Nothing Action = iota
	// PingClient asks for a ping to the client. The session then asks again.
	PingClient
	// PingUpstream asks for a ping to upstream. The session then asks again.
	PingUpstream
	// End asks to end the session for the verdict's cause.
	End
)

// Verdict is what a rule has decided.
type Verdict struct {
	Action  Action
	Cause   Cause  // with End
	Code    uint16 // with End: the close code for the client, 0 for the cause's own
	Urgent  bool   // with End: waiting for the end of a message is of no use
	Observe bool   // it is to be told, and not to be done
}

// Rule returns the key of the policy whose rule says so, such as upstream_heartbeat;
// empty if none does.
func (v Verdict) Rule() string {
	switch v.Action {
	case PingClient:
		return HeartbeatTimeout.rule()
	case PingUpstream:
		return UpstreamTimeout.rule()
	default:
		return v.Cause.rule()
	}
}

// Check asks every rule and returns the gravest verdict, and the earliest
// moment at which the answer can differ without a new event. What a verdict with
// Observe says is to be noted in the facts, as Spare does it, before it is asked again.
func (p *Policy) Check(f *Facts, now Moment) (Verdict, Moment) { return p.ask(f, now, nil) }

// ask is Check, and tells what each rule says unless tell is nil. No other place knows
// all rules.
func (p *Policy) ask(f *Facts, now Moment, tell func(v Verdict, next Moment)) (Verdict, Moment) {
	var verdict Verdict
	next := Never
	consider := func(mode Mode, v Verdict, at Moment) {
		if v.Action != Nothing && p.Observes(mode) {
			if v = (Verdict{Action: v.Action, Cause: v.Cause, Code: v.Code, Observe: true}); f.Told.Has(v.Cause) {
				v = Verdict{}
			}
		}
		if tell != nil {
			tell(v, at)
		}
		if verdict.Action == End {
			return
		}
		if v.Action == End || verdict.Action == Nothing {
			verdict = v
		}
		next = Earlier(next, at)
	}
	v, at := p.Stall.Check(f, now)
	consider(p.Stall.Mode, v, at)
	v, at = p.Heartbeat.Check(f, now)
	consider(p.Heartbeat.Mode, v, at)
	v, at = p.UpstreamHeartbeat.Check(f, now)
	consider(p.UpstreamHeartbeat.Mode, v, at)
	v, at = p.FirstMessage.Check(f, now)
	consider(p.FirstMessage.Mode, v, at)
	v, at = p.Idle.Check(f, now)
	consider(p.Idle.Mode, v, at)
	v, at = p.Lifetime.Check(f, now)
	consider(p.Lifetime.Mode, v, at)
	return verdict, next
}

// Spare notes a verdict with Observe.
func (f *Facts) Spare(v Verdict, now Moment) {
	switch v.Action {
	case PingClient:
		f.ClientSpared = now
	case PingUpstream:
		f.UpstreamSpared = now
	case End:
		f.Told.Add(v.Cause)
		switch v.Cause { // a ping that was sent, and is waited for no longer
		case HeartbeatTimeout:
			f.ClientSpared = now
		case UpstreamTimeout:
			f.UpstreamSpared = now
		}
	}
}

// Earlier returns the earlier of two moments; Never is later than any.
func Earlier(a, b Moment) Moment {
	if a == Never || b != Never && b < a {
		return b
	}
	return a
}

// shorten takes the session's share of jitter off d: never later than d, never
// earlier than d less jitter, and never all of it, which would mean off.
func shorten(d time.Duration, jitter float64, spread uint8) time.Duration {
	return d - time.Duration(float64(d)*jitter*float64(spread)/256)
}

// after is a rule's answer when all it waits for is the moment due.
func after(due, now Moment, v Verdict) (Verdict, Moment) {
	if now >= due {
		return v, Never
	}
	return Verdict{}, due
}
