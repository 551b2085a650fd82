package proxy

import "testing"

func TestDeflateOffers(t *testing.T) {
	for in, want := range map[string]string{
		"":                   "",
		"permessage-deflate": "permessage-deflate",
		"permessage-deflate; client_max_window_bits; server_max_window_bits=10": "permessage-deflate; client_max_window_bits; server_max_window_bits=10",
		"Permessage-Deflate":                                  "Permessage-Deflate",
		"permessage-deflate2":                                 "",
		"x-webkit-deflate-frame":                              "",
		"bbf, permessage-deflate ;a , foo;permessage-deflate": "permessage-deflate ;a",
		"permessage-deflate;a=1,permessage-deflate":           "permessage-deflate;a=1, permessage-deflate",
		`x;y="a, permessage-deflate", permessage-deflate;z`:   "permessage-deflate;z",
		`x;y="\", permessage-deflate"`:                        "",
	} {
		if got := string(deflateOffers([]byte(in))); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

// Where messages are needed one by one, an offer counts if any answer to ours is
// one to it.
func TestOffersAlone(t *testing.T) {
	for value, want := range map[string]bool{
		"":                   false,
		"x-mux":              false,
		"permessage-deflate": true,
		"Permessage-Deflate": true,
		"permessage-deflate; client_max_window_bits":                                  true,
		"permessage-deflate; client_max_window_bits=10":                               true,
		`permessage-deflate; client_max_window_bits="10"`:                             true,
		"permessage-deflate;server_no_context_takeover ;\tclient_no_context_takeover": true,

		"permessage-deflate; server_max_window_bits=15":                                         false,
		"permessage-deflate; server_max_window_bits=10, permessage-deflate":                     true,
		"x-mux, permessage-deflate; server_max_window_bits=10; client_max_window_bits":          false,
		"permessage-deflate; server_max_window_bits":                                            false,
		"permessage-deflate; client_max_window_bits=7":                                          false,
		"permessage-deflate; client_max_window_bits=16":                                         false,
		"permessage-deflate; client_max_window_bits=08":                                         false,
		"permessage-deflate; client_max_window_bits=":                                           false,
		`permessage-deflate; client_max_window_bits=""`:                                         false,
		`permessage-deflate; client_max_window_bits="`:                                          false,
		"permessage-deflate; client_max_window_bits; client_max_window_bits":                    false,
		"permessage-deflate; server_no_context_takeover=1":                                      false,
		"permessage-deflate; Server_No_Context_Takeover":                                        false,
		"permessage-deflate; x":                                                                 false,
		"permessage-deflate;":                                                                   false,
		`permessage-deflate; x="; client_no_context_takeover"`:                                  false,
		`permessage-deflate; x="a, permessage-deflate"`:                                         false,
		"permessage-deflate; client_max_window_bits=a, permessage-deflate; no_context_takeover": false,
	} {
		if got := offersAlone([]byte(value)); got != want {
			t.Errorf("%q: %v", value, got)
		}
	}
}

func TestAnswerAlone(t *testing.T) {
	const added = "; client_no_context_takeover"
	tests := []struct {
		answer      string
		ok          bool
		keepsWindow bool // and the client is told what upstream did not say
	}{
		{"permessage-deflate; server_no_context_takeover; client_no_context_takeover", true, false},
		{"permessage-deflate;client_no_context_takeover;server_no_context_takeover", true, false},
		{"permessage-deflate; server_no_context_takeover", true, true},
		// A server may limit its own window unasked, §7.1.2.1.
		{"permessage-deflate; server_no_context_takeover; server_max_window_bits=9", true, true},
		{`permessage-deflate; server_no_context_takeover; server_max_window_bits="15"`, true, true},

		{"permessage-deflate", false, false},
		{"permessage-deflate; client_no_context_takeover", false, false},
		{"permessage-deflate; server_no_context_takeover=true", false, false},
		{"permessage-deflate; server_no_context_takeover; server_no_context_takeover", false, false},
		{"permessage-deflate; server_no_context_takeover; server_max_window_bits=7", false, false},
		{"permessage-deflate; server_no_context_takeover; server_max_window_bits", false, false},
		{"permessage-deflate; server_no_context_takeover; client_max_window_bits=15", false, false},
		{"permessage-deflate; server_no_context_takeover; x", false, false},
		{"permessage-deflate; server_no_context_takeover, permessage-deflate", false, false},
		{"permessage-deflate; server_no_context_takeover,", false, false},
		{"x-mux; server_no_context_takeover", false, false},
	}
	for _, test := range tests {
		got, keepsWindow, ok := answerAlone([]byte(test.answer))
		want := ""
		switch {
		case test.keepsWindow:
			want = test.answer + added
		case test.ok:
			want = test.answer
		}
		if string(got) != want || keepsWindow != test.keepsWindow || ok != test.ok {
			t.Errorf("%q: got %q, keeps window %v, ok %v", test.answer, got, keepsWindow, ok)
		}
	}
}

// One offer takes the place of the client's first that counts; nothing else moves.
func TestHandshakeHeadOffersAlone(t *testing.T) {
	h := readRequestHead(t, lines(
		"GET /ws HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket",
		"Sec-WebSocket-Extensions: x-own, permessage-deflate; server_max_window_bits=10",
		"X-a: 1",
		"SEC-WebSocket-extensions: permessage-deflate; client_max_window_bits, x-own",
		"x-B:2",
		"Sec-WebSocket-Extensions: permessage-deflate",
	))
	head, err := checkRequestHead(h, true)
	if err != nil {
		t.Fatal(err)
	}
	head.alone = true
	got := string(head.appendTo(nil, direct, true))
	want := lines(
		"GET /ws HTTP/1.1", "Host: h", "Connection: Upgrade", "Upgrade: websocket",
		"X-a: 1",
		"SEC-WebSocket-extensions: permessage-deflate; client_no_context_takeover; server_no_context_takeover",
		"x-B:2",
		"X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: http", "X-Forwarded-Host: h",
	)
	if got != want {
		t.Errorf("got\n%q\nwant\n%q", got, want)
	}
}
