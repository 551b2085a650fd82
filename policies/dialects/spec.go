// Package dialects reads an application's messages as its server does: which of
// them make, undo, confirm or refuse a subscription, which are only heartbeats,
// and who the client says it is. How an application spells these is declared in
// YAML; the built-in dialects are the files in this folder.
//
// A message is read in these steps: it is split into records (records.go), each
// record's values are found at the paths that the rules name (json.go, stomp.go,
// socketio.go), and the first rule that fits says what the record is (reader.go).
package dialects

import "embed"

// Files are the built-in dialects, one NAME.yaml each.
//
//go:embed *.yaml
var Files embed.FS

// Spec is a dialect as it is written in YAML.
type Spec struct {
	// Name by which policies refer to the dialect.
	Name string `mapstructure:"name"`

	// Of each of the following words, none is the one that is listed first.

	// Form of a record.
	Form Form `mapstructure:"form"`
	// Records says how a message is split into records.
	Records Records `mapstructure:"records"`
	// Binary says what binary messages are.
	Binary Binary `mapstructure:"binary"`
	// Keys says how the server compares the keys of JSON objects.
	Keys Keys `mapstructure:"keys"`
	// Invalid says what a record is that is not as the Form has it.
	Invalid Invalid `mapstructure:"invalid"`

	// Answers is the path of what upstream repeats in its answer to a client's record,
	// whatever the record is. With the ID or Request of a subscription there, it makes
	// upstream say what could be about either: no refusal or end by that ID, or
	// refusal of that Request, is believed from then on.
	Answers string `mapstructure:"answers"`

	// From the client.
	Subscribe   []SubscribeRule `mapstructure:"subscribe"`
	Unsubscribe []TopicRule     `mapstructure:"unsubscribe"`
	Identify    []IdentifyRule  `mapstructure:"identify"`
	// From upstream. Without Ack, a subscription is live once it is sent.
	Ack      []TopicRule `mapstructure:"ack"`
	Reject   []TopicRule `mapstructure:"reject"`
	Released []TopicRule `mapstructure:"released"`
	// From either.
	Heartbeat []HeartbeatRule `mapstructure:"heartbeat"`
}

// Form is how a record is written. It decides which paths there are.
type Form string

const (
	// JSON: paths lead into the value, such as payload.pnr or [2].
	JSON Form = "json"
	// SocketIO: engine (the Engine.IO packet type), packet (the Socket.IO packet
	// type; both as text such as "4"), namespace ("/" if none is given), ack (the
	// acknowledgement's id), and data, the JSON behind them.
	SocketIO Form = "socket.io"
	// STOMP: command, headers.NAME and body, which is text. The lone line ends
	// that are STOMP's heartbeat have an empty command.
	STOMP Form = "stomp"
)

// Records is how a message is split into records.
type Records string

const (
	// OneRecord: the message is one record. It is the only choice for forms other
	// than JSON; STOMP is split at the NUL that ends a frame all the same.
	OneRecord Records = "one"
	// Lines: records end in \n; the last one need not.
	Lines Records = "lines"
	// RS: records end in \x1e, and so must the message.
	RS Records = "rs"
	// NUL: records end in \0, and so must the message.
	NUL Records = "nul"
	// Batch: a JSON array's elements are the records; anything else is one.
	Batch Records = "batch"
)

// Binary is what a binary message is.
type Binary string

const (
	// BinaryRead: the server reads it as it reads text.
	BinaryRead Binary = "read"
	// BinaryForward: the server never takes it for one of the rules' messages.
	BinaryForward Binary = "forward"
	// BinaryRefuse: it may hold one, in a form that this dialect cannot read.
	BinaryRefuse Binary = "refuse"
)

// Keys is how the server compares the keys of JSON objects.
type Keys string

const (
	// KeysExact: byte by byte, as JSON.parse and most others do.
	KeysExact Keys = "exact"
	// KeysFolded: in any case, as Go's encoding/json does. It merges what the same
	// key has twice in an object: where a rule names that key, that is unreadable.
	KeysFolded Keys = "folded"
	// KeysStrict: nobody knows. As KeysExact, but where a key that a rule names
	// comes twice in an object, or in another case, that is unreadable.
	KeysStrict Keys = "strict"
)

// Invalid is what a client's record is that is not as its Form has it.
type Invalid string

const (
	// InvalidForward: the server makes no subscription of it.
	InvalidForward Invalid = "forward"
	// InvalidRefuse: it cannot be read with certainty, for the server's parser may
	// take what JSON.parse does not, such as comments, or something behind the
	// value. The forms other than JSON are always refused.
	InvalidRefuse Invalid = "refuse"
)

// Fields are names with a value each, in the file's order.
type Fields []Field

// Field is one of Fields. The value is a string, a float64, a bool, or nil. In a
// rule's match, a * that a string begins or ends with stands for any text.
type Field struct {
	Name  string
	Value any
}

// SubscribeRule recognises a record that makes a subscription.
type SubscribeRule struct {
	Match Fields   `mapstructure:"match"` // paths, and what is there
	Has   []string `mapstructure:"has"`   // paths at which there is something, and not null
	Lacks []string `mapstructure:"lacks"` // paths at which there is nothing, or null
	// Topic is the path of what is subscribed to, or = and a text that stands for
	// it, which is the same as no text in a message. A record that fits but has no
	// string or number there must not pass.
	Topic string `mapstructure:"topic"`
	// Within is the path, or = and a text, of what has names of its own, if there
	// is such: within something else, the same Topic, ID or Request is another.
	Within string `mapstructure:"within"`
	// ID is the path of what the client calls the subscription, if that, and not
	// the topic, is what tells it from others.
	ID string `mapstructure:"id"`
	// Once: an ID is used only once in a session, as the application's clients do.
	// It is for servers that lose an undo which comes right behind its subscribe, or
	// answer late: what they say could be about another one of that ID.
	Once bool `mapstructure:"once"`
	// Request is the path of what upstream's answer will repeat.
	Request string `mapstructure:"request"`
	// Capture names further paths for the templates.
	Capture Fields `mapstructure:"capture"`
	// Unsubscribe and Refusal are what wswarden sends, to upstream and to the
	// client: records, without what ends them, in which {{topic}}, {{id}},
	// {{request}} and captured names stand for what was found, exactly as it was
	// written, and in Refusal {{reason}} for a string. What was not found is null,
	// and no text at all in a header or before the JSON of a packet.
	Unsubscribe string `mapstructure:"unsubscribe"`
	Refusal     string `mapstructure:"refusal"`
}

// TopicRule recognises a record about a subscription, which is the one that all
// of Topic, ID and Request agree with, as far as they are given. The rule does not
// fit where one that is given is no string or number. With an ID in an ack and none
// in subscribe, upstream is who gives the subscription its ID.
type TopicRule struct {
	Match   Fields   `mapstructure:"match"`
	Has     []string `mapstructure:"has"`
	Lacks   []string `mapstructure:"lacks"`
	Topic   string   `mapstructure:"topic"`
	Within  string   `mapstructure:"within"`
	ID      string   `mapstructure:"id"`
	Request string   `mapstructure:"request"`
}

// HeartbeatRule recognises a record that is a sign of life and nothing more.
type HeartbeatRule struct {
	Match Fields   `mapstructure:"match"`
	Has   []string `mapstructure:"has"`
	Lacks []string `mapstructure:"lacks"`
	// Text is the whole record, without the space around it.
	Text string `mapstructure:"text"`
}

// IdentifyRule recognises a record in which the client says who it is.
type IdentifyRule struct {
	Match    Fields   `mapstructure:"match"`
	Has      []string `mapstructure:"has"`
	Lacks    []string `mapstructure:"lacks"`
	Identity string   `mapstructure:"identity"` // a path
}
