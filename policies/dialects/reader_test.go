package dialects

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

var kindNames = []string{"other", "subscribe", "unsubscribe", "identify", "ack", "reject", "released", "heartbeat"}

// read tells what the records of a message are, with what was found in them, as in
// "subscribe a - 1", which is the topic, the id and the request.
func read(d *Dialect, from Direction, binary bool, message string) string {
	var r Reader
	r.Begin(d, from, binary, []byte(message))
	var all []string
	for record := r.Next(); record != nil; record = r.Next() {
		text := kindNames[record.Kind]
		if record.Kind != Other && record.Kind != Heartbeat {
			for _, v := range []Value{record.Topic, record.ID, record.Request, record.Identity} {
				if v.Usable() {
					text += " " + string(v.AppendText(nil))
				} else {
					text += " -"
				}
			}
		}
		all = append(all, text)
	}
	if err := r.Err(); err != nil {
		all = append(all, strings.TrimPrefix(err.Error(), ErrUnreadable.Error()+": it "))
	}
	return strings.Join(all, ", ")
}

// Every kind of rule fits {"k":"KIND"}; some also fit "any".
func everyKind() Spec {
	rule := func(kind string) []TopicRule {
		return []TopicRule{
			{Match: Fields{{"k", kind}}, Topic: "t", Request: "r"},
			{Match: Fields{{"k", kind}}, Topic: "t"},
			{Has: []string{"any"}, Topic: "t"},
		}
	}
	return Spec{
		Subscribe:   []SubscribeRule{{Match: Fields{{"k", "sub"}}, Topic: "t", ID: "i", Request: "r"}, {Match: Fields{{"k", "sub2"}}, Topic: "t"}},
		Unsubscribe: rule("unsub"),
		Identify:    []IdentifyRule{{Match: Fields{{"k", "ident"}}, Identity: "who"}, {Has: []string{"any"}, Identity: "who"}},
		Ack:         rule("ack"),
		Reject:      rule("reject"),
		Released:    rule("released"),
		Heartbeat:   []HeartbeatRule{{Match: Fields{{"k", "beat"}}}, {Text: "ping"}, {Has: []string{"any"}}},
	}
}

func TestKinds(t *testing.T) {
	d := mustCompile(t, everyKind())
	for _, test := range []struct {
		from    Direction
		message string
		want    string
	}{
		{ClientToUpstream, `{"k":"sub","t":"a","i":"b","r":3}`, "subscribe a b 3 -"},
		{ClientToUpstream, `{"k":"sub2","t":"a"}`, "subscribe a - - -"},
		{ClientToUpstream, `{"k":"sub2"}`, "subscribe - - - -"},
		{ClientToUpstream, `{"k":"unsub","t":"a","r":3}`, "unsubscribe a - 3 -"},
		{ClientToUpstream, `{"k":"ident","who":"me"}`, "identify - - - me"},
		{ClientToUpstream, `{"k":"ident","who":[]}`, "other"},
		{ClientToUpstream, `{"k":"ident","t":"a","any":1}`, "unsubscribe a - - -"},
		{ClientToUpstream, `{"k":"beat"}`, "heartbeat"},
		{ClientToUpstream, "ping", "heartbeat"},
		{ClientToUpstream, "\tping \n", "heartbeat"},
		{ClientToUpstream, "pingping", "other"},
		{ClientToUpstream, "", ""},
		{ClientToUpstream, `{"k":"ack","t":"a"}`, "other"},
		{ClientToUpstream, `[{"k":"beat"}]`, "other"},
		// What a rule names must be there, or the next rule is tried.
		{ClientToUpstream, `{"k":"unsub","t":"a","r":null}`, "unsubscribe a - - -"},
		{ClientToUpstream, `{"k":"unsub","r":3}`, "other"},
		// Of the rules that fit, the first kind and the first rule count.
		{ClientToUpstream, `{"any":1,"t":"a","who":"me"}`, "unsubscribe a - - -"},
		{ClientToUpstream, `{"any":1,"who":"me"}`, "identify - - - me"},
		{ClientToUpstream, `{"any":1}`, "heartbeat"},
		{UpstreamToClient, `{"k":"ack","t":"a","r":3}`, "ack a - 3 -"},
		{UpstreamToClient, `{"k":"reject","t":"a"}`, "reject a - - -"},
		{UpstreamToClient, `{"k":"released","t":"a"}`, "released a - - -"},
		{UpstreamToClient, `{"any":1,"t":"a"}`, "ack a - - -"},
		{UpstreamToClient, `{"any":1}`, "heartbeat"},
		{UpstreamToClient, `{"k":"sub","t":"a"}`, "other"},
	} {
		if got := read(d, test.from, false, test.message); got != test.want {
			t.Errorf("%q: got %q, want %q", test.message, got, test.want)
		}
	}
}

func TestConditions(t *testing.T) {
	for _, test := range []struct {
		rule HeartbeatRule
		yes  []string
		no   []string
	}{
		{HeartbeatRule{Match: Fields{{"a", "4"}}}, []string{`{"a":"4"}`, `{"\u0061":"\u0034"}`}, []string{`{"a":4}`, `{}`, `{"a":"4 "}`, `{"a":"4","a":5}`}},
		{HeartbeatRule{Match: Fields{{"a", 4.0}}}, []string{`{"a":4}`, `{"a":4.0}`, `{"a":40e-1}`}, []string{`{"a":"4"}`, `{"a":[4]}`}},
		{HeartbeatRule{Match: Fields{{"a", true}}}, []string{`{"a":true}`}, []string{`{"a":false}`, `{"a":"true"}`, `{"a":1}`}},
		{HeartbeatRule{Match: Fields{{"a", nil}}}, []string{`{"a":null}`}, []string{`{}`, `{"a":0}`, `null`, `nonsense`}},
		{HeartbeatRule{Has: []string{"a.b"}}, []string{`{"a":{"b":0}}`, `{"a":{"b":[]}}`}, []string{`{"a":{"b":null}}`, `{"a":{}}`, `{"a":1}`}},
		{HeartbeatRule{Has: []string{"a"}, Lacks: []string{"b"}}, []string{`{"a":1}`, `{"a":1,"b":null}`}, []string{`{"a":1,"b":0}`, `{}`}},
		{HeartbeatRule{Text: "{}", Lacks: []string{"b"}}, []string{`{}`, " {}\n"}, []string{`{ }`, `{"a":1}`}},
	} {
		d := mustCompile(t, Spec{Heartbeat: []HeartbeatRule{test.rule}})
		for _, message := range test.yes {
			if got := read(d, ClientToUpstream, false, message); got != "heartbeat" {
				t.Errorf("%v does not fit %s", test.rule, message)
			}
		}
		for _, message := range test.no {
			if got := read(d, ClientToUpstream, false, message); got != "other" {
				t.Errorf("%v fits %s", test.rule, message)
			}
		}
	}
}

func TestUnreadable(t *testing.T) {
	const sub = `{"k":"sub2","t":"a"}`
	for _, test := range []struct {
		change  func(*Spec)
		binary  bool
		message string
		want    string
	}{
		{nil, true, sub, "subscribe a - - -"},
		{func(s *Spec) { s.Binary = BinaryForward }, true, sub, "other"},
		{func(s *Spec) { s.Binary = BinaryForward }, true, "ping", "heartbeat"},
		{func(s *Spec) { s.Binary = BinaryRefuse }, true, sub, "is binary"},
		{func(s *Spec) { s.Binary = BinaryRefuse }, false, sub, "subscribe a - - -"},
		{nil, false, "\ufeff" + sub, "begins with a byte-order mark"},
		{nil, true, "\ufeff" + sub, "begins with a byte-order mark"},
		{nil, false, " \ufeff" + sub, "other"},
		{nil, false, sub + "{}", "other"},
		{func(s *Spec) { s.Invalid = InvalidRefuse }, false, sub + "{}", "is not JSON"},
		{func(s *Spec) { s.Invalid = InvalidRefuse }, false, " ping", "heartbeat"},
		{func(s *Spec) { s.Invalid, s.Records = InvalidRefuse, Lines }, false, sub + "\n{\n" + sub, "subscribe a - - -, is not JSON"},
		{func(s *Spec) { s.Invalid, s.Records = InvalidRefuse, Batch }, false, "[" + sub + ",]", "is not JSON"},
		{nil, false, `{"k":"sub2","k":1}`, "other"},
		{nil, false, `{"K":"sub2","t":"a"}`, "other"},
		{func(s *Spec) { s.Keys = KeysFolded }, false, `{"K":"sub2","T":"a"}`, "subscribe a - - -"},
		{func(s *Spec) { s.Keys = KeysFolded }, false, `{"k":"sub2","t":"a","T":null}`, "has a key twice, or in another case"},
		{func(s *Spec) { s.Keys = KeysStrict }, false, `{"K":"other","t":"a"}`, "has a key twice, or in another case"},
		{func(s *Spec) { s.Keys = KeysStrict }, false, `{"k":"other","t":"a","k":"other"}`, "has a key twice, or in another case"},
		{func(s *Spec) { s.Keys = KeysStrict }, false, `{"k":"other","free":1,"free":2,"Free":3}`, "other"},
	} {
		spec := everyKind()
		if test.change != nil {
			test.change(&spec)
		}
		d := mustCompile(t, spec)
		if got := read(d, ClientToUpstream, test.binary, test.message); got != test.want {
			t.Errorf("binary %v, %q: got %q, want %q", test.binary, test.message, got, test.want)
		}
		var r Reader
		r.Begin(d, UpstreamToClient, test.binary, []byte(test.message))
		for record := r.Next(); record != nil; record = r.Next() {
		}
		if r.Err() != nil {
			t.Errorf("%q from upstream: %v", test.message, r.Err())
		}
	}
}

func TestErrIsForCloseFrames(t *testing.T) {
	for _, err := range []error{errBinary, errMark, errJSON, errKeys, errNoEnd, errFrame, errCommand, errHeader, errPacket} {
		r := Reader{from: ClientToUpstream}
		r.refuse(err)
		if !errors.Is(r.Err(), ErrUnreadable) || !errors.Is(r.Err(), err) || len(r.Err().Error()) > 123 {
			t.Errorf("%q", r.Err())
		}
	}
}

func TestUsable(t *testing.T) {
	d := mustCompile(t, Spec{Subscribe: []SubscribeRule{{Match: Fields{{"k", "sub"}}, Topic: "t", Within: "w", ID: "i", Request: "r"}}})
	for message, want := range map[string]bool{
		`{"k":"sub","t":"","w":0,"i":1,"r":"x"}`:   true,
		`{"k":"sub","w":0,"i":1,"r":"x"}`:          false,
		`{"k":"sub","t":"","i":1,"r":"x"}`:         false,
		`{"k":"sub","t":"","w":0,"i":[],"r":"x"}`:  false,
		`{"k":"sub","t":"","w":0,"i":1,"r":false}`: false,
	} {
		if record := subscribed(t, d, message); record.Rule.Usable(record) != want {
			t.Errorf("%s: not %v", message, want)
		}
	}
}

func TestWithin(t *testing.T) {
	d := mustCompile(t, Spec{
		Subscribe:   []SubscribeRule{{Match: Fields{{"k", "sub"}}, Topic: "t", Within: "w"}, {Match: Fields{{"k", "fixed"}}, Topic: "=a"}},
		Unsubscribe: []TopicRule{{Match: Fields{{"k", "unsub"}}, Topic: "t", Within: "w"}},
	})
	topic := func(message string) uint64 {
		var r Reader
		r.Begin(d, ClientToUpstream, false, []byte(message))
		return r.Next().Topic.Hash()
	}
	if topic(`{"k":"sub","t":"a","w":"x"}`) != topic(`{"k":"unsub","t":"\u0061","w":"x"}`) {
		t.Error("the same within the same differs")
	}
	different := map[uint64]string{}
	for _, message := range []string{
		`{"k":"sub","t":"a","w":"x"}`, `{"k":"sub","t":"a","w":"y"}`, `{"k":"sub","t":"x","w":"a"}`,
		`{"k":"sub","t":"a","w":"a"}`, `{"k":"sub","t":"x","w":"x"}`, `{"k":"fixed"}`,
	} {
		if other, found := different[topic(message)]; found {
			t.Errorf("%s is %s", message, other)
		}
		different[topic(message)] = message
	}
	if got := read(d, ClientToUpstream, false, `{"k":"unsub","t":"a"}`); got != "other" {
		t.Errorf("within nothing: %s", got)
	}
}

// readAll is what a session does with every message.
func readAll(r *Reader, d *Dialect, from Direction, message []byte) (n int) {
	r.Begin(d, from, false, message)
	for record := r.Next(); record != nil; record = r.Next() {
		n += int(record.Kind)
	}
	return n
}

func TestReaderAllocatesNothing(t *testing.T) {
	for name, spec := range benchmarks() {
		d := mustCompile(t, spec.spec)
		var r Reader
		message := []byte(spec.message)
		readAll(&r, d, ClientToUpstream, message)
		allocs := testing.AllocsPerRun(100, func() { readAll(&r, d, ClientToUpstream, message) })
		if allocs > 0 {
			t.Errorf("%s: %v allocations a message", name, allocs)
		}
	}
}

type benchmark struct {
	spec    Spec
	message string
}

func benchmarks() map[string]benchmark {
	socketIO := Spec{Form: SocketIO, Subscribe: []SubscribeRule{{Match: Fields{{"packet", "2"}, {"data[0]", "subscribe"}}, Topic: "data[1]", Within: "namespace"}}}
	frames := Spec{Form: STOMP, Subscribe: []SubscribeRule{{Match: Fields{{"command", "SUBSCRIBE"}}, ID: "headers.id", Topic: "headers.destination"}}}
	batch, strict := everyKind(), everyKind()
	batch.Records, strict.Keys = Batch, KeysStrict
	pad := strings.Repeat("x", 64)
	return map[string]benchmark{
		"recognised":     {everyKind(), `{"k":"sub","t":"a","i":"b","r":3}`},
		"other":          {everyKind(), fmt.Sprintf(`{"k":"message","payload":{"text":%q,"n":[1,2,3]},"t":"a"}`, pad)},
		"strict":         {strict, fmt.Sprintf(`{"k":"message","payload":{"text":%q,"n":[1,2,3]},"t":"a"}`, pad)},
		"not JSON":       {everyKind(), pad},
		"batch":          {batch, `[{"k":"sub","t":"a","i":"b","r":3},{"k":"beat"}]`},
		"socket.io":      {socketIO, `42/chat,["subscribe","` + pad + `"]`},
		"stomp":          {frames, "SUBSCRIBE\nid:1\ndestination:" + pad + "\n\n\x00"},
		"stomp unescape": {frames, "SUBSCRIBE\nid:1\ndestination:\\c" + pad + "\xff\n\n\x00"},
	}
}

func BenchmarkReader(b *testing.B) {
	for name, spec := range benchmarks() {
		b.Run(name, func(b *testing.B) {
			d := mustCompile(b, spec.spec)
			var r Reader
			message := []byte(spec.message)
			b.ReportAllocs()
			b.SetBytes(int64(len(message)))
			for b.Loop() {
				readAll(&r, d, ClientToUpstream, message)
			}
		})
	}
}
