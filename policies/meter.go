package policies

import "math"

// Messages limits what a client may send.
type Messages struct {
	// MaxBytes of one message's payload as it is on the wire (compressed, if
	// it is), over all its fragments. Zero: no limit.
	MaxBytes int64 `mapstructure:"max_bytes"`
	// Rate is how many messages a client may send in a second, in the long run.
	// Zero: no limit.
	Rate PerSecond `mapstructure:"rate"`
	// Burst is how many messages may come at once. Zero: as many as in a second,
	// at least one.
	Burst int `mapstructure:"burst"`
	// BytesPerSecond of payload, as it is on the wire; one second's worth may
	// come at once. Zero: no limit.
	BytesPerSecond int64 `mapstructure:"bytes_per_second"`
	// ValidateUTF8 refuses text messages that are not UTF-8 (RFC 6455 §8.1)
	// instead of leaving that to upstream.
	ValidateUTF8 bool `mapstructure:"validate_utf8"`
	// OnExcess of a rate: ExcessClose, ExcessDrop or ExcessDelay.
	OnExcess Excess `mapstructure:"on_excess"`
	// CloseCode for the client instead of the cause's own; zero for that.
	CloseCode uint16 `mapstructure:"close_code"`
	// Mode of this rule alone; empty for the policy's.
	Mode Mode `mapstructure:"mode"`
}

// PerSecond is a rate. It is zero or more.
type PerSecond float64

// Limited reports whether there is a rate, so that a Meter is needed.
func (m *Messages) Limited() bool { return m.Rate > 0 || m.BytesPerSecond > 0 }

// drops reports whether so many messages do not pass if they exceed a limit.
func (m *Messages) drops(messages int) bool { return messages > 0 && m.OnExcess == ExcessDrop }

// burst returns how many messages may come at once.
func (m *Messages) burst() float64 {
	if m.Burst > 0 {
		return float64(m.Burst)
	}
	return max(1, float64(m.Rate))
}

// Meter measures what a client sends against the rates of Messages. It owes what
// it is charged, and works that off at those rates. The zero Meter is ready; it
// belongs to one session.
type Meter struct {
	at              Moment // what is owed was owed then
	messages, bytes float64
}

// Charge charges messages, which count when they begin, and bytes of payload,
// which count as they arrive. It reports whether the limits allow them; if not,
// Exceeded knows which.
//
// All is charged in any case, but for messages that exceed a limit under
// ExcessDrop and the bytes that come with them: they do not reach upstream. Bytes
// without a message belong to one that has begun to pass; what they exceed the
// limit by is at the expense of the next.
func (m *Meter) Charge(limits *Messages, now Moment, messages, bytes int) bool {
	m.settle(limits, now)
	before := *m
	m.add(limits, messages, bytes)
	within := m.excess(limits) <= 0
	if !within && limits.drops(messages) {
		*m = before
	}
	return within
}

// Exceeded returns the limit that did not allow the last Charge, which was of so
// much: of two, the one that it takes longer to be within again. After a Charge that
// was allowed, it has no meaning.
func (m *Meter) Exceeded(limits *Messages, messages, bytes int) Limit {
	charged := *m
	if limits.drops(messages) {
		charged.add(limits, messages, bytes)
	}
	rate, volume := charged.overRate(limits), charged.overVolume(limits)
	switch {
	case max(rate, volume) <= 0:
		return NoLimit
	case volume > rate:
		return LimitMessagesBytesPerSecond
	default:
		return LimitMessagesRate
	}
}

// Ready returns the moment from which on all that was charged is within the
// limits; Never if it is.
func (m *Meter) Ready(limits *Messages, now Moment) Moment {
	m.settle(limits, now)
	wait := m.excess(limits)
	if wait <= 0 {
		return Never
	}
	const longest = 1e9 // seconds: what a Moment can hold, and longer than a session
	return now + Moment(math.Ceil(min(wait, longest)*1e9)) + 1
}

// settle works off what the time since the last call allows. The time that has
// passed is exact, and nothing is rounded to a clock's tick, so that the rates
// hold however often it is called.
func (m *Meter) settle(limits *Messages, now Moment) {
	passed := float64(max(0, now-m.at))
	m.messages = max(0, m.messages-passed*float64(limits.Rate)/1e9)
	m.bytes = max(0, m.bytes-passed*float64(limits.BytesPerSecond)/1e9)
	m.at = now
}

// add charges, whatever the limits allow.
func (m *Meter) add(limits *Messages, messages, bytes int) {
	if limits.Rate > 0 {
		m.messages += float64(messages)
	}
	if limits.BytesPerSecond > 0 {
		m.bytes += float64(bytes)
	}
}

// excess returns for how many seconds more is owed than may come at once.
func (m *Meter) excess(limits *Messages) (seconds float64) {
	return max(m.overRate(limits), m.overVolume(limits))
}

// overRate is the excess of messages alone; 0 or less if there is none.
func (m *Meter) overRate(limits *Messages) (seconds float64) {
	if limits.Rate > 0 {
		seconds = (m.messages - limits.burst()) / float64(limits.Rate)
	}
	return seconds
}

// overVolume is that of bytes.
func (m *Meter) overVolume(limits *Messages) (seconds float64) {
	if limits.BytesPerSecond > 0 {
		seconds = m.bytes/float64(limits.BytesPerSecond) - 1
	}
	return seconds
}
