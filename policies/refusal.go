package policies

// Refusal says why a handshake that fits a policy is refused. It is a metric's
// label, so the list is closed.
type Refusal uint8

const (
	// NotRefused: the handshake is admitted.
	NotRefused Refusal = iota
	// RefusedOrigin: a page of another site asks.
	RefusedOrigin
	// RefusedIdentity: it has no identity, though one is required, or several.
	RefusedIdentity
	// RefusedIPRate: the address asks too often.
	RefusedIPRate
	// RefusedTotalRate: all addresses together ask too often.
	RefusedTotalRate
	// RefusedMax, RefusedPerIP, RefusedPerIdentity: a connection limit is reached.
	RefusedMax
	RefusedPerIP
	RefusedPerIdentity
	// RefusedTakeover: the session before did not end in time.
	RefusedTakeover
	// RefusedSuperseded: a newer handshake took the seat before there was a session.
	RefusedSuperseded
	// RefusedStore: the limits cannot be known, as the store cannot be reached.
	RefusedStore
	// RefusedPressure: memory is short.
	RefusedPressure

	refusals // how many there are
)

// CodeTryAgainLater is for a client that may come back (IANA's registry).
const CodeTryAgainLater uint16 = 1013

var refusalTable = [refusals]struct {
	name   string
	status int    // RFC 9110 §15, RFC 6585 §4
	code   uint16 // of the close frame, under RefuseWithClose
	reason string // for the client
	limit  Limit
}{
	RefusedOrigin:      {"origin", 403, CodePolicy, "origin not allowed", NoLimit},
	RefusedIdentity:    {"identity", 403, CodePolicy, "no identity, or more than one", NoLimit},
	RefusedIPRate:      {"per_ip_rate", 429, CodeTryAgainLater, "too many handshakes from this address", LimitHandshakesPerIPRate},
	RefusedTotalRate:   {"total_rate", 503, CodeTryAgainLater, "too many handshakes", LimitHandshakesTotalRate},
	RefusedMax:         {"max", 503, CodeTryAgainLater, "too many connections", LimitConnectionsMax},
	RefusedPerIP:       {"per_ip", 429, CodePolicy, "too many connections from this address", LimitConnectionsPerIP},
	RefusedPerIdentity: {"per_identity", 429, CodePolicy, "too many connections of this identity", LimitConnectionsPerIdentity},
	RefusedTakeover:    {"takeover", 503, CodeTryAgainLater, "the session before did not end in time", NoLimit},
	RefusedSuperseded:  {"superseded", 429, CodePolicy, "superseded by a newer connection", NoLimit},
	RefusedStore:       {"store", 503, CodeTryAgainLater, "limits cannot be checked", NoLimit},
	RefusedPressure:    {"pressure", 503, CodeTryAgainLater, "memory is short", NoLimit},
}

// String returns the refusal's word as it stands in logs and metrics.
func (r Refusal) String() string { return refusalTable[r].name }

// Status returns the HTTP status: 403, or 429 or 503 for a client that may come
// back.
func (r Refusal) Status() int { return refusalTable[r].status }

// CloseCode returns the code of the close frame under RefuseWithClose.
func (r Refusal) CloseCode() uint16 { return refusalTable[r].code }

// Reason returns what the client is told.
func (r Refusal) Reason() string { return refusalTable[r].reason }

// Limit returns the limit that the handshake has hit. NoLimit: it has done nothing too
// much (origin, identity), or has been given a seat that it could not keep (takeover,
// superseded), or nobody knows of any (store), or it is the process that has too much
// to bear (pressure).
func (r Refusal) Limit() Limit { return refusalTable[r].limit }

// Refusals returns every reason for which a handshake can be refused.
func Refusals() []Refusal {
	all := make([]Refusal, 0, refusals-1)
	for r := NotRefused + 1; r < refusals; r++ {
		all = append(all, r)
	}
	return all
}

// Rule returns the key of the policy that sets what a handshake is refused for; empty
// if none does.
func (r Refusal) Rule() string {
	switch r {
	case RefusedOrigin:
		return "origins"
	case RefusedIdentity:
		return "connections.identity"
	default:
		return r.Limit().String()
	}
}

// Observable reports whether a rule that only observes can say that it would have
// refused a handshake so.
func (r Refusal) Observable() bool { return r >= RefusedOrigin && r <= RefusedPerIdentity }

// RefuseWith is how a client is told that it is refused.
type RefuseWith string

const (
	// RefuseWithStatus answers the handshake with an HTTP status, which a browser
	// does not show to its script.
	RefuseWithStatus RefuseWith = "status"
	// RefuseWithClose accepts the handshake, without upstream, and closes at once
	// with a code and a reason, which a browser's script can see.
	RefuseWithClose RefuseWith = "close"
)
