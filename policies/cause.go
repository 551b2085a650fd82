package policies

// Cause says why a session ended. The first cause of a session is kept.
// A cause is a metric's label, so the list is closed.
type Cause uint8

const (
	// NoCause: the session lives.
	NoCause Cause = iota
	// ClientClose and UpstreamClose: a peer sent a close frame.
	ClientClose
	UpstreamClose
	// ClientLost and UpstreamLost: a connection broke without a close frame.
	ClientLost
	UpstreamLost
	// HeartbeatTimeout: the client gave no sign of life after a ping.
	HeartbeatTimeout
	// UpstreamTimeout: upstream gave no sign of life after a ping.
	UpstreamTimeout
	// IdleTimeout: no data message passed.
	IdleTimeout
	// NoFirstMessage: the client said nothing at all.
	NoFirstMessage
	// MaxAge: the session's lifetime is over.
	MaxAge
	// Stalled: a peer takes no bytes although some wait for it.
	Stalled
	// SubscriptionLimit: the client subscribes to more than the policy allows.
	SubscriptionLimit
	// MessageRate: the client sends more, or faster, than the policy allows.
	MessageRate
	// MessageTooBig: a message is longer than the policy allows.
	MessageTooBig
	// InvalidUTF8: the client sent a text message that is not UTF-8.
	InvalidUTF8
	// ProtocolError: a peer sent a frame that RFC 6455 forbids, or a message
	// that cannot be read with certainty where the policy must read it.
	ProtocolError
	// Superseded: a newer session has got the seat under a connection limit.
	Superseded
	// ConnectionLimit: the client told its identity, which has as many sessions as
	// the policy allows.
	ConnectionLimit
	// Killed: an operator has ended it.
	Killed
	// Drain: wswarden is shutting down, or the policy is gone (OnReloadEnforce).
	Drain

	causes // how many there are
)

// Close codes as IANA lists them (WebSocket Close Code Number Registry).
const (
	CodeNormal         uint16 = 1000
	CodeGoingAway      uint16 = 1001
	CodeProtocolError  uint16 = 1002
	CodeInvalidPayload uint16 = 1007
	CodePolicy         uint16 = 1008
	CodeTooBig         uint16 = 1009
	CodeServiceRestart uint16 = 1012
	CodeBadGateway     uint16 = 1014
)

// causeTable gives each cause its word and the close codes that go out when
// wswarden is the one to close. Code 0: what the peer sent is passed on.
var causeTable = [causes]struct {
	name             string
	client, upstream uint16
	rule             string // the key of the policy whose rule ends sessions so
}{
	NoCause:           {"", 0, 0, ""},
	ClientClose:       {"client_close", 0, 0, ""},
	UpstreamClose:     {"upstream_close", 0, 0, ""},
	ClientLost:        {"client_lost", CodeGoingAway, CodeGoingAway, ""},
	UpstreamLost:      {"upstream_lost", CodeBadGateway, CodeGoingAway, ""},
	HeartbeatTimeout:  {"heartbeat_timeout", CodeGoingAway, CodeGoingAway, "heartbeat"},
	UpstreamTimeout:   {"upstream_timeout", CodeBadGateway, CodeGoingAway, "upstream_heartbeat"},
	IdleTimeout:       {"idle", CodeGoingAway, CodeGoingAway, "idle"},
	NoFirstMessage:    {"first_message", CodeGoingAway, CodeGoingAway, "first_message"},
	MaxAge:            {"max_age", CodeServiceRestart, CodeGoingAway, "lifetime"},
	Stalled:           {"stalled", CodePolicy, CodeGoingAway, "stall"},
	SubscriptionLimit: {"subscription_limit", CodePolicy, CodeGoingAway, ""},
	MessageRate:       {"message_rate", CodePolicy, CodeGoingAway, ""},
	MessageTooBig:     {"message_too_big", CodeTooBig, CodeGoingAway, ""},
	InvalidUTF8:       {"invalid_utf8", CodeInvalidPayload, CodeGoingAway, ""},
	ProtocolError:     {"protocol_error", CodeProtocolError, CodeGoingAway, ""},
	Superseded:        {"superseded", CodePolicy, CodeGoingAway, ""},
	ConnectionLimit:   {"connection_limit", CodePolicy, CodeGoingAway, ""},
	Killed:            {"killed", CodePolicy, CodeGoingAway, ""},
	Drain:             {"drain", CodeServiceRestart, CodeGoingAway, ""},
}

// String returns the cause's word as it stands in logs and metrics.
func (c Cause) String() string { return causeTable[c].name }

func (c Cause) rule() string { return causeTable[c].rule }

// Codes returns the close codes for both sides; zero where a peer's own close
// frame is passed on as it is.
func (c Cause) Codes() (client, upstream uint16) {
	return causeTable[c].client, causeTable[c].upstream
}

// Causes returns every cause a session can end with.
func Causes() []Cause {
	all := make([]Cause, 0, causes-1)
	for c := NoCause + 1; c < causes; c++ {
		all = append(all, c)
	}
	return all
}

// Observable reports whether a rule that only observes can say that it would have
// ended a session so.
func (c Cause) Observable() bool {
	return c >= HeartbeatTimeout && c <= ProtocolError || c == ConnectionLimit
}

// CauseSet is a set of causes. The zero set is empty.
type CauseSet uint32

// Has reports whether the cause is in the set.
func (s CauseSet) Has(c Cause) bool { return s>>c&1 != 0 }

// Add adds a cause.
func (s *CauseSet) Add(c Cause) { *s |= 1 << c }

// ValidCloseCode reports whether an endpoint may put the code into a close
// frame: RFC 6455 §7.4 and IANA's registry, which reserve 1004, 1005, 1006 and
// 1015 and leave 3000 to 4999 to libraries and applications.
func ValidCloseCode(code uint16) bool {
	switch {
	case code >= 1000 && code <= 1003, code >= 1007 && code <= 1014:
		return true
	default:
		return code >= 3000 && code <= 4999
	}
}
