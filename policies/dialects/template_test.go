package dialects

import "testing"

// subscribed returns the first record of a client's message, which is a Subscribe.
func subscribed(t testing.TB, d *Dialect, message string) *Record {
	t.Helper()
	var r Reader
	r.Begin(d, ClientToUpstream, false, []byte(message))
	record := r.Next()
	if record == nil || record.Kind != Subscribe {
		t.Fatalf("%q is no subscribe", message)
	}
	return record
}

func TestTemplates(t *testing.T) {
	jsonRule := func(unsubscribe, refusal string) Spec {
		return Spec{Subscribe: []SubscribeRule{{
			Match: Fields{{"type", "sub"}}, Topic: "topic", Request: "n",
			Capture: Fields{{"token", "auth.token"}}, Unsubscribe: unsubscribe, Refusal: refusal,
		}}}
	}
	stompRule := Spec{Form: STOMP, Subscribe: []SubscribeRule{{
		Match: Fields{{"command", "SUBSCRIBE"}}, Topic: "headers.destination",
		Capture:     Fields{{"receipt", "headers.receipt"}},
		Unsubscribe: "UNSUBSCRIBE\ndestination:{{topic}}\nreceipt:{{receipt}}\n\n",
		Refusal:     "ERROR\nmessage:{{reason}}\n\n",
	}}}
	const message = `{"type":"sub","topic":"a\u0062\/","n":1.50,"auth":{"token":[1, 2]}}`
	for _, test := range []struct {
		name                 string
		spec                 Spec
		message              string
		reason               string
		unsubscribe, refusal string
	}{
		{"what was found stays as it was written", jsonRule(`[{{topic}},{{request}},{{token}},{{topic}}]`, `[{{request}},{{topic}},{{token}},{{reason}}]`),
			message, "no", `["a\u0062\/",1.50,[1, 2],"a\u0062\/"]`, `[1.50,"a\u0062\/",[1, 2],"no"]`},
		{"what is absent is null", jsonRule(`[{{token}}]`, `{"token":{{token}}}`),
			`{"type":"sub","topic":"a","n":1}`, "no", `[null]`, `{"token":null}`},
		{"braces behind a name", jsonRule(`{"a":{"b":{{topic}}}}`, `{"a":{"b":{{reason}}}}`),
			`{"type":"sub","topic":"a","n":1}`, "no", `{"a":{"b":"a"}}`, `{"a":{"b":"no"}}`},
		{"a reason is JSON", jsonRule(`1`, `{{reason}}`),
			`{"type":"sub","topic":"a","n":1}`, "a\"b\\\n\xff", `1`, `"a\"b\\\u000a` + "\ufffd" + `"`},
		{"no template", jsonRule("", ""), message, "no", "", ""},
		{"what is not UTF-8 is replaced", jsonRule(`[{{topic}}]`, `[{{topic}}]`),
			"{\"type\":\"sub\",\"topic\":\"a\xff\",\"n\":1}", "", "[\"a\ufffd\"]", "[\"a\ufffd\"]"},
		{"headers stay as they were written", stompRule,
			"SUBSCRIBE\ndestination:a\\cb\nreceipt:\\\\\n\n\x00", "a:b\n", "UNSUBSCRIBE\ndestination:a\\cb\nreceipt:\\\\\n\n\x00", "ERROR\nmessage:a\\cb\\n\n\n\x00"},
		{"a header that is absent is empty", stompRule,
			"SUBSCRIBE\ndestination:a\n\n\x00", "no", "UNSUBSCRIBE\ndestination:a\nreceipt:\n\n\x00", "ERROR\nmessage:no\n\n\x00"},
	} {
		t.Run(test.name, func(t *testing.T) {
			record := subscribed(t, mustCompile(t, test.spec), test.message)
			captured := record.Rule.AppendCaptured(nil, record)
			undo, ok := record.Rule.AppendUnsubscribe([]byte("<"), captured, nil)
			if string(undo) != "<"+test.unsubscribe || ok != (test.unsubscribe != "") {
				t.Errorf("unsubscribe %q, %v, want %q", undo, ok, test.unsubscribe)
			}
			refusal, ok := record.Rule.AppendRefusal([]byte("<"), record, test.reason)
			if string(refusal) != "<"+test.refusal || ok != (test.refusal != "") {
				t.Errorf("refusal %q, %v, want %q", refusal, ok, test.refusal)
			}
		})
	}
}

func TestTemplateEnds(t *testing.T) {
	for records, want := range map[Records]string{OneRecord: "[1]", Lines: "[1]", Batch: "[1]", RS: "[1]\x1e", NUL: "[1]\x00"} {
		d := mustCompile(t, Spec{Records: records, Subscribe: []SubscribeRule{{Match: matching, Topic: "=a", Unsubscribe: "[1]"}}})
		if got, _ := d.client.rules[0].subscribe.AppendUnsubscribe(nil, nil, nil); string(got) != want {
			t.Errorf("records %s: got %q, want %q", records, got, want)
		}
	}
}

func TestFixedTopicInTemplates(t *testing.T) {
	for form, want := range map[Form]string{JSON: `["a \"b\""]`, SocketIO: `["a \"b\""]`} {
		d := mustCompile(t, Spec{Form: form, Subscribe: []SubscribeRule{{Has: []string{"data"}, Topic: `=a "b"`, Unsubscribe: "[{{topic}}]"}}})
		k := d.client.rules[0].subscribe
		if got, _ := k.AppendUnsubscribe(nil, nil, nil); string(got) != want {
			t.Errorf("form %s: got %q, want %q", form, got, want)
		}
		if topic := k.AppendTopic(nil, nil); string(topic) != `a "b"` {
			t.Errorf("form %s: topic %q", form, topic)
		}
	}
}

func TestUnsubscribeWithTheIDThatUpstreamGives(t *testing.T) {
	d := mustCompile(t, Spec{
		Subscribe: []SubscribeRule{{Match: matching, Topic: "topic", Request: "n", Unsubscribe: `{"id":{{id}}}`}},
		Ack:       []TopicRule{{Has: []string{"id"}, ID: "id", Request: "n"}},
	})
	record := subscribed(t, d, `{"type":"x","topic":"a","n":7}`)
	captured := record.Rule.AppendCaptured(nil, record)
	if got, ok := record.Rule.AppendUnsubscribe([]byte("<"), captured, nil); ok || string(got) != "<" {
		t.Errorf("without an id: %q, %v", got, ok)
	}
	if got, ok := record.Rule.AppendUnsubscribe(nil, captured, []byte(`"0x1"`)); !ok || string(got) != `{"id":"0x1"}` {
		t.Errorf("got %q, %v", got, ok)
	}
	if id := record.Rule.Identity(record); id.Hash() != record.Request.Hash() {
		t.Error("the request does not tell the subscription from others")
	}
}

func TestCapturedIsCompact(t *testing.T) {
	d := mustCompile(t, Spec{Subscribe: []SubscribeRule{{
		Match: matching, Topic: "topic", ID: "id", Capture: Fields{{"big", "big"}},
		Unsubscribe: `[{{id}}]`, Refusal: `[{{big}}]`,
	}}})
	record := subscribed(t, d, `{"type":"x","topic":"abc","id":12,"big":"not needed any more"}`)
	captured := record.Rule.AppendCaptured(nil, record)
	if string(captured) != "\x05\"abc\"12" {
		t.Errorf("captured %q", captured)
	}
	// What is damaged does no harm.
	for end := range captured {
		record.Rule.AppendTopic(nil, captured[:end])
		record.Rule.AppendUnsubscribe(nil, captured[:end], nil)
	}
}
