package dialects

import (
	"fmt"
	"slices"
	"strings"
)

// side is what is read in the messages of one direction.
type side struct {
	rules []rule // in the order in which they are tried
	texts bool   // some rule looks at the whole record
	// The slots of a record's values are those of the prefix, or of the command,
	// the body and these headers; behind them are the tree's.
	headers []string
	tree    *tree
	outside int // how many slots are not the tree's
}

// slots returns how many values a record has.
func (s *side) slots() int { return s.outside + s.tree.size() }

// rule is what fits a kind of record, and what it has to say.
type rule struct {
	kind  Kind
	match []condition
	has   []int // slots
	lacks []int
	text  string // the whole record; empty: any

	topic, within, id, request, identity source
	subscribe                            *SubscribeKind
}

type condition struct {
	slot int
	want any // a string, a pattern, a float64, a bool or nil
}

// source is where a value comes from. The zero source has none.
type source struct {
	kind sourceKind
	slot int
	// text is a fixed source's. It is no text in a message, see fixedSalt.
	text []byte
}

type sourceKind uint8

const (
	noSource    sourceKind = iota
	jsonSource             // a JSON value in a slot
	plainSource            // a text in a slot: of a prefix or a header
	fixedSource            // the same in every record
)

// of returns the source's value in a record.
func (s source) of(values []Value) Value {
	switch s.kind {
	case noSource:
		return Value{}
	case fixedSource:
		return plain(s.text).within(fixedSalt)
	default:
		return values[s.slot]
	}
}

// Compile checks a Spec and makes it ready.
func Compile(s Spec) (*Dialect, []Problem) {
	c := compiler{dialect: &Dialect{name: s.Name}}
	d := c.dialect
	if s.Name == "" {
		c.problem("name", "is empty; write the name by which policies refer to the dialect")
	}
	d.form = choose(&c, "form", s.Form, JSON, SocketIO, STOMP)
	d.records = choose(&c, "records", s.Records, OneRecord, Lines, RS, NUL, Batch)
	d.binary = choose(&c, "binary", s.Binary, BinaryRead, BinaryForward, BinaryRefuse)
	d.keys = choose(&c, "keys", s.Keys, KeysExact, KeysFolded, KeysStrict)
	d.invalid = choose(&c, "invalid", s.Invalid, InvalidForward, InvalidRefuse)
	if d.form != JSON && d.records != OneRecord {
		c.problem("records", fmt.Sprintf("is %q, but form %q has its own way of splitting; leave records out", d.records, d.form))
	}
	d.limits, d.acks = len(s.Subscribe) > 0, len(s.Ack) > 0
	for _, r := range s.Subscribe {
		d.once = d.once || r.Once
		c.names.id = c.names.id || r.ID != ""
		c.names.request = c.names.request || r.Request != ""
	}
	for _, r := range s.Ack {
		c.names.assigned = c.names.assigned || r.ID != ""
	}

	c.begin(&d.client, d.keys != KeysExact)
	d.answers = c.optional("answers", s.Answers)
	for i, r := range s.Subscribe {
		c.subscribe(fmt.Sprintf("subscribe[%d]", i), r)
	}
	c.about("unsubscribe", Unsubscribe, s.Unsubscribe)
	for i, r := range s.Identify {
		c.identify(fmt.Sprintf("identify[%d]", i), r)
	}
	c.heartbeats(s.Heartbeat)

	// What a server writes has no tricks in its keys, unless it reads them folded.
	c.begin(&d.upstream, d.keys == KeysFolded)
	c.about("ack", Ack, s.Ack)
	c.about("reject", Reject, s.Reject)
	c.about("released", Released, s.Released)
	c.heartbeats(s.Heartbeat)

	if len(c.problems) > 0 {
		return nil, c.problems
	}
	return d, nil
}

// compiler makes a dialect, and keeps what is wrong on the way.
type compiler struct {
	dialect  *Dialect
	problems []Problem
	side     *side // whose rules are being compiled
	names    struct {
		id, request bool // some subscribe rule has it
		assigned    bool // some ack has an id
	}
}

func (c *compiler) problem(key, text string) {
	p := Problem{Key: key, Text: text}
	if !slices.Contains(c.problems, p) { // a heartbeat is compiled for both directions
		c.problems = append(c.problems, p)
	}
}

// choose returns the word, or the first of the known ones if there is none.
func choose[Word ~string](c *compiler, key string, word Word, known ...Word) Word {
	if word == "" {
		return known[0]
	}
	if !slices.Contains(known, word) {
		c.problem(key, fmt.Sprintf("is %q; write one of %q", word, known))
		return known[0]
	}
	return word
}

func (c *compiler) begin(s *side, fold bool) {
	c.side = s
	s.tree = newTree(fold)
	switch c.dialect.form {
	case SocketIO:
		s.outside = len(packetParts)
	case STOMP:
		s.outside = firstHeader
	}
}

// when begins a rule with its conditions.
func (c *compiler) when(key string, kind Kind, match Fields, has, lacks []string, text string) rule {
	r := rule{kind: kind, text: text}
	if len(match) == 0 && len(has) == 0 && text == "" {
		c.problem(key, "would fit every message; add what is there to match")
	}
	for _, field := range match {
		key := key + ".match." + field.Name
		s := c.path(key, field.Name)
		want := field.Value
		switch value := want.(type) {
		case string:
			if p, ok := patternOf(value); ok {
				want = p
			}
			if len(value) > 1 && value[0] == '*' && value[len(value)-1] == '*' {
				c.problem(key, fmt.Sprintf("is %q; write a * at one end only", value))
			}
		case float64, bool, nil:
			if s.kind == plainSource {
				c.problem(key, fmt.Sprintf("is %v, but what is there is always text; write it in quotes", field.Value))
			}
		default:
			c.problem(key, fmt.Sprintf("is %v; write a text, a number, true, false or null", field.Value))
		}
		r.match = append(r.match, condition{s.slot, want})
	}
	for i, p := range has {
		r.has = append(r.has, c.path(fmt.Sprintf("%s.has[%d]", key, i), p).slot)
	}
	for i, p := range lacks {
		r.lacks = append(r.lacks, c.path(fmt.Sprintf("%s.lacks[%d]", key, i), p).slot)
	}
	c.side.texts = c.side.texts || text != ""
	return r
}

func (c *compiler) subscribe(key string, s SubscribeRule) {
	r := c.when(key, Subscribe, s.Match, s.Has, s.Lacks, "")
	k := &SubscribeKind{dialect: c.dialect, once: s.Once}
	r.subscribe = k
	if s.Topic == "" {
		c.problem(key+".topic", "is missing; write the path of what is subscribed to, or = and a text that stands for it")
	}
	if s.Once && s.ID == "" {
		c.problem(key+".once", "is true, but there is no id to be used once; add id")
	}
	r.topic = c.named(key+".topic", s.Topic)
	r.within = c.named(key+".within", s.Within)
	r.id = c.optional(key+".id", s.ID)
	r.request = c.optional(key+".request", s.Request)
	k.topic = r.topic
	for _, s := range []source{r.topic, r.within, r.id, r.request} {
		if s.kind != noSource {
			k.named = append(k.named, s)
		}
	}
	switch {
	case s.ID != "":
		k.identity = byID
	case c.names.assigned && s.Request != "":
		k.identity = byRequest
	}

	known := names{"topic": r.topic}
	if s.ID != "" {
		known["id"] = r.id
	}
	if s.Request != "" {
		known["request"] = r.request
	}
	for _, field := range s.Capture {
		key := key + ".capture." + field.Name
		p, isText := field.Value.(string)
		switch {
		case !isName(field.Name):
			c.problem(key, "is no name for a template; write letters, digits and _")
		case slices.Contains([]string{"topic", "id", "request", "reason"}, field.Name):
			c.problem(key, "has the name of what templates know already; choose another")
		case !isText:
			c.problem(key, fmt.Sprintf("is %v; write the path of what to capture", field.Value))
		default:
			known[field.Name] = c.path(key, p)
		}
	}
	c.templates(key, k, known, s)
	c.side.rules = append(c.side.rules, r)
}

// about compiles rules about a subscription.
func (c *compiler) about(list string, kind Kind, rules []TopicRule) {
	for i, t := range rules {
		key := fmt.Sprintf("%s[%d]", list, i)
		r := c.when(key, kind, t.Match, t.Has, t.Lacks, "")
		r.topic = c.named(key+".topic", t.Topic)
		r.within = c.named(key+".within", t.Within)
		r.id = c.optional(key+".id", t.ID)
		r.request = c.optional(key+".request", t.Request)
		if t.Topic == "" && t.ID == "" && t.Request == "" {
			c.problem(key, "does not say which subscription it is about; add topic, id or request")
		}
		if t.ID != "" && !c.names.id && !c.names.assigned {
			c.problem(key+".id", "has nothing to agree with: no subscribe rule has an id, and no ack gives one")
		}
		if kind == Ack && t.ID != "" && t.Topic == "" && t.Request == "" && !c.names.id {
			c.problem(key, "gives an id without saying to which subscription; add request or topic")
		}
		if t.Request != "" && !c.names.request {
			c.problem(key+".request", "has nothing to agree with: no subscribe rule has a request")
		}
		c.side.rules = append(c.side.rules, r)
	}
}

func (c *compiler) identify(key string, s IdentifyRule) {
	r := c.when(key, Identify, s.Match, s.Has, s.Lacks, "")
	r.identity = c.path(key+".identity", s.Identity)
	c.side.rules = append(c.side.rules, r)
}

func (c *compiler) heartbeats(rules []HeartbeatRule) {
	for i, h := range rules {
		r := c.when(fmt.Sprintf("heartbeat[%d]", i), Heartbeat, h.Match, h.Has, h.Lacks, h.Text)
		c.side.rules = append(c.side.rules, r)
	}
}

// named returns the source that is a path, or = and a text, or nothing.
func (c *compiler) named(key, text string) source {
	if fixed, found := strings.CutPrefix(text, "="); found {
		if fixed == "" {
			c.problem(key, "has no text behind the =")
		}
		return source{kind: fixedSource, slot: -1, text: []byte(fixed)}
	}
	return c.optional(key, text)
}

func (c *compiler) optional(key, text string) source {
	if text == "" {
		return source{slot: -1}
	}
	return c.path(key, text)
}

// path returns the source that is a path in the dialect's form.
func (c *compiler) path(key, text string) source {
	s, err := source{}, error(nil)
	switch c.dialect.form {
	case SocketIO:
		s, err = c.side.packetPath(text)
	case STOMP:
		s, err = c.side.framePath(text)
	default:
		s, err = c.side.jsonPath(text)
	}
	if err != nil {
		c.problem(key, err.Error())
	}
	return s
}

func (s *side) jsonPath(text string) (source, error) {
	p, err := parsePath(text)
	return source{kind: jsonSource, slot: s.outside + s.tree.add(p)}, err
}
