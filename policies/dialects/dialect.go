package dialects

import (
	"errors"
	"slices"
)

// Direction is the way that a message takes.
type Direction uint8

const (
	ClientToUpstream Direction = iota
	UpstreamToClient
)

// Kind is what a record is to a dialect.
type Kind uint8

const (
	Other Kind = iota // none of the following
	Subscribe
	Unsubscribe
	Identify
	Ack
	Reject
	Released
	Heartbeat
)

// ErrUnreadable: what the message does to the server's subscriptions cannot be
// told with certainty. The text of what wraps it is fit for a close frame.
var ErrUnreadable = errors.New("message cannot be read with certainty")

// Problem is one thing that is wrong with a Spec.
type Problem struct {
	// Key as in subscribe[0].topic or ack[1].has[0]; for a condition,
	// subscribe[0].match. and its whole path. Empty: the Spec as such.
	Key  string
	Text string // what is wrong, and what to do
}

// Dialect is a Spec made ready to read messages. It is never changed, and may be
// shared by goroutines.
type Dialect struct {
	name    string
	form    Form
	records Records
	binary  Binary
	keys    Keys
	invalid Invalid

	client, upstream side // what is read in the messages of either
	limits, acks     bool
	once             bool   // some subscribe rule has it
	answers          source // in the client's records
}

// Name is the Spec's.
func (d *Dialect) Name() string { return d.name }

// Reads reports whether there are rules for messages of this direction.
func (d *Dialect) Reads(from Direction) bool { return len(d.side(from).rules) > 0 }

// Limits reports whether subscriptions can be counted: there is a rule for them.
func (d *Dialect) Limits() bool { return d.limits }

// Acks reports whether upstream confirms subscriptions. If not, they are live once
// they are sent.
func (d *Dialect) Acks() bool { return d.acks }

// Identifies reports whether there is a rule for who the client says it is.
func (d *Dialect) Identifies() bool {
	return slices.ContainsFunc(d.client.rules, func(r rule) bool { return r.kind == Identify })
}

func (d *Dialect) side(from Direction) *side {
	if from == ClientToUpstream {
		return &d.client
	}
	return &d.upstream
}

// SubscribeKind is a compiled SubscribeRule.
type SubscribeKind struct {
	dialect     *Dialect
	topic       source
	named       []source // topic, within, id and request, those that there are
	identity    identity
	once        bool
	pieces      []source // what AppendCaptured captures; the topic, if found, is the first
	unsubscribe template
	refusal     template
}

// identity says which value tells a subscription from others.
type identity uint8

const (
	byTopic identity = iota
	byID
	byRequest // until upstream's ack gives the subscription its ID
)

// Usable reports whether the record has all that is needed to count and to undo the
// subscription. A record that has not must not pass.
func (k *SubscribeKind) Usable(r *Record) bool {
	for _, s := range k.named {
		if !s.of(r.values).Usable() {
			return false
		}
	}
	return true
}

// Identity returns the value that tells the record's subscription from others of
// the session: its ID if the client gives it one; its Request if upstream will give
// it one, which takes the place of the Request then; else its Topic.
func (k *SubscribeKind) Identity(r *Record) Value {
	switch k.identity {
	case byID:
		return r.ID
	case byRequest:
		return r.Request
	default:
		return r.Topic
	}
}

// Assigned reports whether upstream gives the subscription its ID: until then, each
// of them is another, whatever its Request.
func (k *SubscribeKind) Assigned() bool { return k.identity == byRequest }

// Once reports whether an ID may be used only once in a session.
func (k *SubscribeKind) Once() bool { return k.once }

// Record is one record of a message. What it refers to is valid until the
// reader's next call.
//
// An Unsubscribe, Ack, Reject or Released is about the subscription with which all
// of its Topic, ID and Request agree that are Usable, which is one of them at least.
// Where upstream gives the ID, that of an Ack has nothing yet to agree with.
type Record struct {
	Kind Kind
	// Text is the record in the message, without what separates it from others.
	Text []byte
	// Rule is set for a Subscribe.
	Rule *SubscribeKind
	// What the rule has found. A Subscribe that is not Usable for its Rule can be
	// neither counted nor undone: it must not pass.
	Topic, ID, Request, Identity Value
	// Answer is what upstream's answer to a client's record will repeat; with Once, it
	// is no ID of a later subscription.
	Answer Value
	Once   bool

	values []Value // the reader's, by slot
}
