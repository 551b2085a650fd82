package config

import (
	"reflect"
	"slices"
	"testing"

	"wswarden/policies/dialects"
)

// Every built-in dialect can be read, and holds against all that a file's own
// dialect has to.
func TestBuiltins(t *testing.T) {
	names := Builtins()
	if !slices.Contains(names, "rac") || !slices.IsSorted(names) {
		t.Errorf("built-in dialects: %q", names)
	}
	for _, name := range names {
		spec, ok := Builtin(name)
		if !ok || spec.Name != name {
			t.Errorf("%s: got %q, %v", name, spec.Name, ok)
		}
		c := valid()
		c.Dialects = []dialects.Spec{spec}
		c.Policies[0].Dialect = name
		c.Policies[0].Subscriptions.Max = 1
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if d, err := valid().Dialect(name); d == nil || err != nil {
			t.Errorf("%s: %v, %v", name, d, err)
		}
	}
	for _, name := range []string{"", "none", "RAC", ".", "../rac", "rac.yaml"} {
		if _, ok := Builtin(name); ok {
			t.Errorf("%q is a built-in dialect", name)
		}
	}
}

func TestBuiltinsKnowNoEnvironment(t *testing.T) {
	t.Setenv("WSWARDEN_NAME", "x")
	t.Setenv("WSWARDEN_SUBSCRIBE_0_TOPIC", "x")
	if spec, _ := Builtin("rac"); spec.Name != "rac" || spec.Subscribe[0].Topic != "payload.pnr" {
		t.Errorf("got %+v", spec)
	}
}

// All that can be written is read, in the file's order and spelling.
func TestDialectOfTheFile(t *testing.T) {
	r := &reader{file: "w.yaml", places: Places{}}
	settings := map[string]any{}
	r.settings([]byte(`
dialects:
  - name: Own
    form: stomp
    records: rs
    binary: refuse
    keys: strict
    invalid: refuse
    answers: q
    subscribe:
      - match: { Z.b: x, "[2]": "5", a: 5, B: -1.5e3, n: ~, t: true, "a b": "", 1: &five 0x05, y: *five }
        has: ["[0]", k]
        lacks: [l]
        topic: =all
        within: =w
        id: i
        once: true
        request: r
        capture: { C: c.D, b: a }
        unsubscribe: 'u{{topic}}'
        refusal: |
          r{{reason}}
      - topic: t
    unsubscribe: [{ match: {}, topic: t, within: w, id: i, request: r }]
    identify: [{ identity: who }]
    ack: [{ match: &m { a: b }, topic: t }]
    reject: [{ match: *m, request: r }]
    released: [{ lacks: [x], id: i }]
    heartbeat: [{ text: ping }, { has: [y] }]
  - name: plain
`), reflect.TypeFor[Config](), settings)
	c := Default()
	r.fill("", settings, reflect.ValueOf(c).Elem())
	if len(r.problems) > 0 {
		t.Fatal(r.problems)
	}
	want := []dialects.Spec{{
		Name: "Own", Form: dialects.STOMP, Records: dialects.RS, Binary: dialects.BinaryRefuse, Keys: dialects.KeysStrict, Invalid: dialects.InvalidRefuse, Answers: "q",
		Subscribe: []dialects.SubscribeRule{{
			Match: dialects.Fields{{Name: "Z.b", Value: "x"}, {Name: "[2]", Value: "5"}, {Name: "a", Value: 5.0},
				{Name: "B", Value: -1500.0}, {Name: "n"}, {Name: "t", Value: true}, {Name: "a b", Value: ""},
				{Name: "1", Value: 5.0}, {Name: "y", Value: 5.0}},
			Has: []string{"[0]", "k"}, Lacks: []string{"l"},
			Topic: "=all", Within: "=w", ID: "i", Once: true, Request: "r",
			Capture:     dialects.Fields{{Name: "C", Value: "c.D"}, {Name: "b", Value: "a"}},
			Unsubscribe: "u{{topic}}", Refusal: "r{{reason}}\n",
		}, {Topic: "t"}},
		Unsubscribe: []dialects.TopicRule{{Match: dialects.Fields{}, Topic: "t", Within: "w", ID: "i", Request: "r"}},
		Identify:    []dialects.IdentifyRule{{Identity: "who"}},
		Ack:         []dialects.TopicRule{{Match: dialects.Fields{{Name: "a", Value: "b"}}, Topic: "t"}},
		Reject:      []dialects.TopicRule{{Match: dialects.Fields{{Name: "a", Value: "b"}}, Request: "r"}},
		Released:    []dialects.TopicRule{{Lacks: []string{"x"}, ID: "i"}},
		Heartbeat:   []dialects.HeartbeatRule{{Text: "ping"}, {Has: []string{"y"}}},
	}, {
		Name: "plain", Form: dialects.JSON, Records: dialects.OneRecord, Binary: dialects.BinaryRead, Keys: dialects.KeysExact,
		Invalid: dialects.InvalidForward,
	}}
	if !reflect.DeepEqual(c.Dialects, want) {
		t.Errorf("got  %+v\nwant %+v", c.Dialects, want)
	}
}

func TestDialect(t *testing.T) {
	c := valid()
	c.Dialects = []dialects.Spec{
		{Name: "rac", Heartbeat: []dialects.HeartbeatRule{{Text: "ping"}}}, // wins over the built-in one
		{Name: "wrong", Subscribe: []dialects.SubscribeRule{{Match: dialects.Fields{{Name: "a", Value: "b"}}, Topic: "[x]"}}},
	}
	if d, err := c.Dialect(""); d != nil || err != nil {
		t.Errorf("of no name: %v, %v", d, err)
	}
	if d, err := c.Dialect("rac"); err != nil || d.Name() != "rac" || d.Limits() {
		t.Errorf("the file's own: %v, %v", d, err)
	}
	if d, err := valid().Dialect("rac"); err != nil || d.Name() != "rac" || !d.Limits() {
		t.Errorf("the built-in one: %v, %v", d, err)
	}
	for name, want := range map[string]string{
		"wrogn": "wrogn is not a known dialect; did you mean wrong?",
		"wrong": `dialects[1].subscribe[0].topic: "[x]" has a [ without an index; write as in [0] or ["key"]`,
	} {
		if d, err := c.Dialect(name); d != nil || err == nil || err.Error() != want {
			t.Errorf("%s: %v, %v, want %s", name, d, err, want)
		}
	}
}
