package dialects

import (
	"strings"
	"testing"
)

var stompSpec = Spec{
	Form: STOMP,
	Subscribe: []SubscribeRule{{
		Match: Fields{{"command", "SUBSCRIBE"}}, ID: "headers.id", Topic: "headers.destination",
	}},
	Unsubscribe: []TopicRule{{Match: Fields{{"command", "UNSUBSCRIBE"}}, ID: "headers.id"}},
	Identify:    []IdentifyRule{{Match: Fields{{"command", "SEND"}}, Identity: "body"}},
	Heartbeat:   []HeartbeatRule{{Match: Fields{{"command", ""}}}},
}

func TestSTOMPFrames(t *testing.T) {
	d := mustCompile(t, stompSpec)
	for _, test := range []struct{ message, want string }{
		{"SUBSCRIBE\nid:1\ndestination:/a\n\n\x00", "subscribe /a 1 - -"},
		{"SUBSCRIBE\nid:1\ndestination:/a\n\n\x00\r\n\n", "subscribe /a 1 - -"},
		{"SUBSCRIBE\nid:1\ndestination:/a\\c\\\\\\n\\r\\t\n\n\x00", "subscribe /a:\\\n\r\\t 1 - -"},
		{"SUBSCRIBE\nid:1\ndestination:a:b:\n\n\x00", "subscribe a:b: 1 - -"},
		{"SUBSCRIBE\nid:\ndestination:\n\n\x00", "subscribe   - -"},
		{"SUBSCRIBE\n\n\x00", "subscribe - - - -"},
		{"SEND\n\nhello\x00", "identify - - - hello"},
		{"SEND\ncontent-length:3\n\na\x00b\x00", "identify - - - a\x00b"},
		{"SEND\ncontent-length:0\n\n\x00\n", "identify - - - "},
		{"\n", "heartbeat"},
		{"\r\n\n", "heartbeat"},
		{"", ""},
		// Unescaped are values, not names; and not the values of ids, which are
		// compared as they are.
		{"SUBSCRIBE\ni\\cd:2\nid:\\c\ndestination:/a\n\n\x00", "subscribe /a \\c - -"},

		{"SUBSCRIBE\r\nid:1\r\ndestination:/a\r\n\r\n\x00\r\n", "has a STOMP header that can be read in several ways"},
		{"SUBSCRIBE\nid:1\nid:2\ndestination:/a\n\n\x00", "has a STOMP header that can be read in several ways"},
		{"SUBSCRIBE\nid:1\n id:2\ndestination:/a\n\n\x00", "has a STOMP header that can be read in several ways"},
		{"\nSUBSCRIBE\nid:1\ndestination:/a\n\n\x00", "has more than a STOMP frame"},
		{"SEND\n\nx\x00\nUNSUBSCRIBE\nid:1\n\n\x00", "identify - - - x, has more than a STOMP frame"},

		{"SUBSCRIBE", "has no STOMP frame where one should be"},
		{"SUBSCRIBE\nid:1\n\x00", "has no STOMP frame where one should be"},
		{"\x00", "has no STOMP frame where one should be"},
		{"SEND\n\nx\x00\x00", "identify - - - x, has more than a STOMP frame"},
		{"SEND\n\nx", "has a record without its end"},
		{"SEND\ncontent-length:5\n\nx\x00", "has a record without its end"},
		{"SEND\ncontent-length:1\n\nxy\x00", "has a record without its end"},
		{"subscribe\nid:1\n\n\x00", "has no command of STOMP's"},
		{"SUBSCRIBE \nid:1\n\n\x00", "has no command of STOMP's"},
		{" \nSUBSCRIBE\nid:1\n\n\x00", "has no command of STOMP's"},
		{"SUBSCRIBED\nid:1\n\n\x00", "has no command of STOMP's"},
		{"SUBSCRIBE\nid\n\n\x00", "has a STOMP header that can be read in several ways"},
		{"SUBSCRIBE\nid: 1\n\n\x00", "has a STOMP header that can be read in several ways"},
		{"SUBSCRIBE\nid:1\r\n\n\x00", "has a STOMP header that can be read in several ways"},
		{"SEND\ncontent-length:+1\n\nx\x00", "has a STOMP header that can be read in several ways"},
		{"SEND\ncontent-length:1\ncontent-length:1\n\nx\x00", "has a STOMP header that can be read in several ways"},
		{"SUBSCRIBE\nid:1\ncontent-length:1\n\n\x00\x00", "has a STOMP header that can be read in several ways"},
	} {
		if got := read(d, ClientToUpstream, false, test.message); strings.TrimRight(got, " ") != strings.TrimRight(test.want, " ") {
			t.Errorf("%q: got %q, want %q", test.message, got, test.want)
		}
	}
}

func TestSTOMPFromUpstream(t *testing.T) {
	d := mustCompile(t, Spec{Form: STOMP, Ack: []TopicRule{{Match: Fields{{"command", "RECEIPT"}}, Topic: "headers.receipt-id"}}})
	for message, want := range map[string]string{
		"RECEIPT\nreceipt-id:a\n\n\x00":               "ack a - - -",
		"RECEIPT\nreceipt-id: a\n\n\x00":              "ack  a - - -",
		"MESSAGE\nsubscription:0\n\nx\x00":            "other",
		"MESSAGE\ncontent-length:2\n\n\x00\x00\x00\n": "other",
		"MESSAGE\nsubscription:0\n\nx":                "",
		"whatever\n\n\x00":                            "other",
	} {
		if got := read(d, UpstreamToClient, false, message); got != want {
			t.Errorf("%q: got %q, want %q", message, got, want)
		}
	}
}

func TestSTOMPMessageJoined(t *testing.T) {
	d := mustCompile(t, stompSpec)
	for message, want := range map[string]string{
		"SEND\n\nx\x00\n": "SEND\n\nx\x00",
		"\r\n":            "\r\n",
	} {
		all, err := texts(d, ClientToUpstream, false, []byte(message))
		var records [][]byte
		for _, text := range all {
			records = append(records, []byte(text))
		}
		if got := d.AppendMessage(nil, records); err != nil || string(got) != want {
			t.Errorf("%q: got %q, %v, want %q", message, got, err, want)
		}
	}
}
