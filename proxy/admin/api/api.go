// Package api holds what the admin API says and is asked, for the server that
// answers, the command line that asks, and the proxy that knows.
//
// Its words are those of the logs and metrics. Durations are numbers of seconds,
// moments are RFC 3339.
package api

import (
	"fmt"
	"net/netip"
	"strconv"
	"time"
)

// ID is a session's: 16 hexadecimal digits, as in logs, events, and the header
// X-Wswarden-Session.
type ID uint64

// ParseID reads an ID.
func ParseID(text string) (ID, error) {
	n, err := strconv.ParseUint(text, 16, 64)
	if err != nil || len(text) != 16 {
		return 0, fmt.Errorf("%q is not a session's id; it has 16 hexadecimal digits", text)
	}
	return ID(n), nil
}

func (id ID) String() string { return fmt.Sprintf("%016x", uint64(id)) }

// MarshalText makes an ID text in JSON.
func (id ID) MarshalText() ([]byte, error) {
	const digits = "0123456789abcdef"
	text := make([]byte, 16)
	for i := range text {
		text[i] = digits[id>>(60-4*i)&15]
	}
	return text, nil
}

// UnmarshalText reads what MarshalText has written.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// State is how far a session has come.
type State string

const (
	// StateOpen: frames are relayed.
	StateOpen State = "open"
	// StateWaiting: its client is not read from until there is a seat under the
	// identity that it has told.
	StateWaiting State = "waiting"
	// StateFinishing: it ends as soon as no message is under way.
	StateFinishing State = "finishing"
	// StateClosing: its cause is known, and its close handshakes are under way.
	StateClosing State = "closing"
)

// States returns all of them.
func States() []State { return []State{StateOpen, StateWaiting, StateFinishing, StateClosing} }

// Seconds is a duration as it stands in JSON: a number.
type Seconds float64

// InSeconds converts a duration.
func InSeconds(d time.Duration) Seconds { return Seconds(d.Seconds()) }

// Duration converts back.
func (s Seconds) Duration() time.Duration { return time.Duration(float64(s) * float64(time.Second)) }

// Flow is what has been received in one direction: whole messages, and bytes as
// they are on the wire.
type Flow struct {
	Messages uint64 `json:"messages"`
	Bytes    uint64 `json:"bytes"`
}

// Session is a session in a listing.
type Session struct {
	ID     ID     `json:"id"`
	Policy string `json:"policy"`
	// Address of the client, as far as it can be believed.
	Address netip.Addr `json:"address"`
	// Identity is the first 8 bytes of the SHA-256 of what tells who the client is,
	// in hexadecimal, as in logs. Empty: not known.
	Identity string `json:"identity,omitempty"`
	State    State  `json:"state"`
	// Cause of the end: only with StateFinishing and StateClosing.
	Cause  string    `json:"cause,omitempty"`
	Opened time.Time `json:"opened"`
	// Active is when the last data message passed, either way; Opened before the first.
	Active time.Time `json:"active"`
	// Age since Opened, Idle since Active.
	Age  Seconds `json:"age_seconds"`
	Idle Seconds `json:"idle_seconds"`

	ClientToUpstream Flow `json:"client_to_upstream"`
	UpstreamToClient Flow `json:"upstream_to_client"`

	// Ping is the client's last round trip; zero: none yet.
	Ping          Seconds `json:"ping_seconds,omitempty"`
	Subscriptions int     `json:"subscriptions"`
}

// Page is the answer to GET /v1/sessions.
type Page struct {
	// Sessions in the order that was asked for; never null.
	Sessions []Session `json:"sessions"`
	// Matched is how many sessions fit the filter, on this page or not.
	Matched int `json:"matched"`
	// Next is the cursor of the next page; empty: this is the last.
	Next string `json:"next,omitempty"`
}

// Detail is the answer to GET /v1/sessions/{id}.
type Detail struct {
	Session
	// Upstream is the address that it is connected to.
	Upstream string `json:"upstream"`
	Times    Times  `json:"times"`
	// Round trips of wswarden's own pings.
	ClientPings   RoundTrips `json:"client_pings"`
	UpstreamPings RoundTrips `json:"upstream_pings"`
	// Subscriptions, the oldest first, at most MaxSubscriptions of them; never null.
	// Session.Subscriptions says how many there are.
	SubscribedTo []Subscription `json:"subscribed_to"`
	// Next is what each rule of the policy would say next if nothing happened before.
	// Rules that have nothing to say are left out; never null.
	Next []Forecast `json:"next"`
	// WouldHave are the rules that only observe and would have done something to the
	// session, as the policy's keys; never null.
	WouldHave []string `json:"would_have"`
}

// MaxSubscriptions is how many of a session's subscriptions are looked at, for its
// detail, for a filter by topic and for the list of topics: those are the oldest.
const MaxSubscriptions = 4096

// Times of what has happened last, but for FirstMessage; absent: not yet.
type Times struct {
	FirstMessage  *time.Time `json:"first_message,omitempty"` // of the client
	Message       *time.Time `json:"message,omitempty"`       // either way
	ClientFrame   *time.Time `json:"client_frame,omitempty"`
	UpstreamFrame *time.Time `json:"upstream_frame,omitempty"`
	ClientPing    *time.Time `json:"client_ping,omitempty"` // written to the client
	ClientPong    *time.Time `json:"client_pong,omitempty"`
	UpstreamPing  *time.Time `json:"upstream_ping,omitempty"`
	// ClientWaits and UpstreamWaits: since when bytes wait for a peer that takes none.
	ClientWaits   *time.Time `json:"client_waits,omitempty"`
	UpstreamWaits *time.Time `json:"upstream_waits,omitempty"`
	// Resumes: the client has sent too fast, and is read from again then.
	Resumes *time.Time `json:"resumes,omitempty"`
	// Deadline at which what is left of a session that ends is reset.
	Deadline *time.Time `json:"deadline,omitempty"`
}

// RoundTrips of pings; all zero before the first.
type RoundTrips struct {
	Count uint32  `json:"count"`
	Last  Seconds `json:"last_seconds"`
	Least Seconds `json:"least_seconds"`
	Most  Seconds `json:"most_seconds"`
	Mean  Seconds `json:"mean_seconds"`
}

// Subscription of a session.
type Subscription struct {
	Topic string `json:"topic"`
	// State is pending until upstream has confirmed it, and then live.
	State string `json:"state"`
}

// Forecast is what a rule would say.
type Forecast struct {
	// Rule is the key of the policy that it is set by, such as heartbeat, or drain.
	Rule string `json:"rule"`
	// Action is ping_client, ping_upstream or end.
	Action string `json:"action"`
	// Mode is enforce, or observe: then it will not be done.
	Mode string `json:"mode"`
	// Cause and CloseCode for the client, of an end.
	Cause     string    `json:"cause,omitempty"`
	CloseCode uint16    `json:"close_code,omitempty"`
	At        time.Time `json:"at"`
	In        Seconds   `json:"in_seconds"` // not below zero
}

// Ended is the answer to a DELETE: how many sessions have begun to end. One that
// was ending already is none of them.
type Ended struct {
	Ended int `json:"ended"`
}

// Topics is the answer to GET /v1/topics.
type Topics struct {
	// Topics, the one with the most sessions first, then by name; never null.
	Topics []Topic `json:"topics"`
	// Matched is how many there are, on this page or not.
	Matched int `json:"matched"`
	// Truncated: sessions with more than MaxSubscriptions were not counted whole.
	Truncated bool `json:"truncated,omitempty"`
}

// Topic is what sessions subscribe to.
type Topic struct {
	Topic  string `json:"topic"`
	Policy string `json:"policy"`
	// Sessions with a subscription to it, and those of the subscriptions, which may be
	// several of one session, that upstream has confirmed or yet has to.
	Sessions int `json:"sessions"`
	Live     int `json:"live"`
	Pending  int `json:"pending"`
}

// Policies is the answer to GET /v1/policies.
type Policies struct {
	// Policies in their order: the first that matches wins. Those that are gone come last.
	Policies []Policy `json:"policies"`
}

// Policy is one with all its settings.
type Policy struct {
	Name string `json:"name"`
	// Mode is enforce or observe.
	Mode string `json:"mode"`
	// Gone: no configuration has it any more, but sessions live under it.
	Gone bool `json:"gone,omitempty"`
	// Sessions that live under it.
	Sessions int `json:"sessions"`
	// Settings as the configuration has them, defaults filled in, without secrets.
	Settings map[string]any `json:"settings"`
}

// Draining is the answer to POST /v1/drain.
type Draining struct {
	// Sessions that are left to end.
	Sessions int `json:"sessions"`
	// Already: it had begun before.
	Already bool `json:"already,omitempty"`
	// Timeout at which what is left is reset, from the beginning of the drain.
	Timeout Seconds `json:"timeout_seconds"`
}

// Readiness is the answer to GET /readyz?verbose.
type Readiness struct {
	Ready bool `json:"ready"`
	// Checks, each with the word ok or what is wrong.
	Checks map[string]string `json:"checks"`
}

// CheckConfiguration is the check whether the latest configuration could be used. One
// that could not does not keep wswarden from being ready: it has changed nothing.
const CheckConfiguration = "configuration"

// Error is what every answer but a 2xx has.
type Error struct {
	// Message for people: what is wrong and what to do.
	Message string `json:"error"`
	// Field of the query that is wrong; empty: it is not about one.
	Field string `json:"field,omitempty"`
	// Problems of a configuration that was refused, a line each.
	Problems []string `json:"problems,omitempty"`
}
