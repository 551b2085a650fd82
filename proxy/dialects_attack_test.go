package proxy_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/gobwas/ws"

	"wswarden/policies"
)

// attacks are on real servers: what a client sends, for one topic after the other, so
// that wswarden counts less than the server holds. ID stands for what the server has
// answered to the last message.
var attacks = []struct {
	application, name string
	open              string // ahead of everything
	apart             bool   // each message waits until the one before has had its effect
	messages          []string
}{
	{"graphql-ws", "complete of a number", graphQLInit, false, []string{graphQLSubscribe("subscribe"), `{"id":TOPIC,"type":"complete"}`}},
	{"graphql-ws", "an id used again at once", graphQLInit, false, []string{graphQLSubscribe("subscribe"), graphQLComplete, graphQLSubscribe("subscribe")}},
	{"graphql-ws", "a query's id used again at once", graphQLInit, false, []string{`{"id":"TOPIC","type":"subscribe","payload":{"query":"{ none }"}}`, graphQLComplete, graphQLSubscribe("subscribe"),
		`{"id":"honest TOPIC","type":"subscribe","payload":{"query":"subscription { feed(topic: \"honest TOPIC\") }"}}`}},
	{"subscriptions-transport-ws", "an id started twice", graphQLInit, true, []string{graphQLSubscribe("start"), graphQLSubscribe("start")}},
	{"subscriptions-transport-ws", "an error about something else of that id", graphQLInit, true, []string{graphQLSubscribe("start"), `{"id":"TOPIC","type":"nonsense"}`}},
	{"subscriptions-transport-ws", "an error ahead of the start", graphQLInit, false, []string{`{"id":"TOPIC","type":"nonsense"}`, graphQLSubscribe("start"),
		`{"id":"honest TOPIC","type":"start","payload":{"query":"subscription { feed(topic: \"honest TOPIC\") }"}}`}},
	{"centrifugo", "unsubscribe at once", centrifugoConnect, false, []string{centrifugoSubscribe, `{"id":3,"unsubscribe":{"channel":"TOPIC"}}`}},
	{"centrifugo", "unsubscribe and more", centrifugoConnect, false, []string{centrifugoSubscribe, `{"id":3,"unsubscribe":{"channel":"TOPIC"},"history":{},"publish":{}}`}},
	{"stomp", "escaped id", stompConnect, false, []string{"SUBSCRIBE\nid:a\\cTOPIC\ndestination:TOPIC\n\n\x00", "UNSUBSCRIBE\nid:a:TOPIC\n\n\x00"}},
	{"stomp", "headers in a body", stompConnect, false, []string{stompSubscribe, "UNSUBSCRIBE\nid:TOPIC\r\n\r\nid:none\x00"}},
	{"stomp", "second frame", stompConnect, false, []string{stompSubscribe, "SEND\ndestination:x\n\n\x00UNSUBSCRIBE\nid:TOPIC\n\n\x00"}},
	{"stomp", "line end ahead", stompConnect, false, []string{stompSubscribe, "\nUNSUBSCRIBE\nid:TOPIC\n\n\x00"}},
	{"stomp", "CR LF", stompConnect, false, []string{stompSubscribe, "UNSUBSCRIBE\r\nid:TOPIC\r\n\r\n\x00"}},
	{"stomp", "one id for all", stompConnect, false, []string{"SUBSCRIBE\nid:0\ndestination:TOPIC\n\n\x00"}},
	{"phoenix", "a join_ref used twice", `[null,"0","phoenix","heartbeat",{}]`, true, []string{phoenixJoin, phoenixJoin}},
	{"geth", "no version", "", false, []string{gethSubscribe, `{"id":9,"method":"eth_unsubscribe","params":["ID"]}`}},
	{"geth", "another method of the namespace", "", true, []string{`{"jsonrpc":"2.0","id":2,"method":"eth_x_subscribe","params":["feed","TOPIC"]}`}},
}

func graphQLSubscribe(word string) string {
	return `{"id":"TOPIC","type":"` + word + `","payload":{"query":"subscription { feed(topic: \"TOPIC\") }"}}`
}

const (
	graphQLInit         = `{"type":"connection_init"}`
	graphQLComplete     = `{"id":"TOPIC","type":"complete"}`
	centrifugoConnect   = `{"id":1,"connect":{}}`
	centrifugoSubscribe = `{"id":2,"subscribe":{"channel":"TOPIC"}}`
	stompConnect        = "CONNECT\naccept-version:1.2\n\n\x00"
	stompSubscribe      = "SUBSCRIBE\nid:TOPIC\ndestination:TOPIC\n\n\x00"
	phoenixJoin         = `["1","1","TOPIC","phx_join",{}]`
	gethSubscribe       = `{"jsonrpc":"2.0","id":2,"method":"eth_subscribe","params":["feed","TOPIC"]}`
)

var subprotocols = map[string]string{
	"graphql-ws":                 "graphql-transport-ws",
	"subscriptions-transport-ws": "graphql-ws",
	"stomp":                      "v12.stomp",
}

// TestRealServersAttacked checks that real servers never hold more than is allowed.
// Whether an attack ends its session does not matter.
func TestRealServersAttacked(t *testing.T) {
	needNode(t)
	programs := goPrograms(t)
	for _, tt := range attacks {
		t.Run(tt.application+" "+tt.name, func(t *testing.T) {
			t.Parallel()
			s := findApplication(t, tt.application, programs).newStage(t, policies.ExcessReject)
			c := interopDial(t, s.warden.address)
			var lines []string
			if subprotocol, ok := subprotocols[tt.application]; ok {
				lines = append(lines, "Sec-WebSocket-Protocol: "+subprotocol)
			}
			c.text(interopRequest(lines...))
			c.response()
			if tt.open != "" {
				c.send(ws.NewTextFrame([]byte(tt.open)))
				c.frame()
			}
			for i := range 8 {
				if !c.attack(strings.NewReplacer("TOPIC", fmt.Sprint(i)), tt.messages, tt.apart) {
					break
				}
			}
			_ = c.CloseWrite()
			s.wantNeverAbove(3)
		})
	}
}

// attack sends an attack's messages for one topic, at once unless they are to be apart
// or one needs the answer to another, and reports whether the connection is still there.
func (w *interopWire) attack(topic *strings.Replacer, messages []string, apart bool) bool {
	var sent []byte
	for i, message := range messages {
		message = topic.Replace(message)
		if strings.Contains(message, `"ID"`) {
			if _, err := w.Write(sent); err != nil {
				return false
			}
			sent, message = nil, strings.ReplaceAll(message, "ID", w.answer())
		}
		sent = append(sent, interopBytes(w.role, ws.NewTextFrame([]byte(message)))...)
		if !apart && i+1 < len(messages) {
			continue
		}
		if _, err := w.Write(sent); err != nil || !w.settle() {
			return false
		}
		sent = nil
	}
	return true
}

// settle waits until upstream has done what it has put off for some turns, and reports
// whether the connection is still there.
func (w *interopWire) settle() bool {
	for range 3 {
		if _, err := w.Write(interopBytes(w.role, ws.NewPingFrame(nil))); err != nil {
			return false
		}
		for {
			f, err := interopReadFrame(w.r)
			if err != nil {
				return false
			}
			if f.Header.OpCode == ws.OpClose {
				return false
			}
			if f.Header.OpCode == ws.OpPong {
				break
			}
		}
	}
	return true
}

// answer returns the result of the request with the id 2; empty if it has none.
func (w *interopWire) answer() string {
	for {
		f, err := interopReadFrame(w.r)
		if err != nil {
			return ""
		}
		if bytes.Contains(f.Payload, []byte(`"id":2,`)) {
			_, result, _ := strings.Cut(string(f.Payload), `"result":"`)
			result, _, _ = strings.Cut(result, `"`)
			return result
		}
	}
}

// wantNeverAbove follows what the server holds until the connection has closed, and
// it has given up what it gives up by itself.
func (s *stage) wantNeverAbove(limit int) {
	s.t.Helper()
	held, most, closed := 0, 0, false
	for !closed || s.app.concurrent && held > 0 {
		switch line := s.server.next(); {
		case strings.HasPrefix(line, "subscribe "):
			held++
			most = max(most, held)
		case strings.HasPrefix(line, "unsubscribe "):
			held--
		case line == "close":
			closed = true
		}
	}
	if most > limit {
		s.t.Errorf("the server held %d subscriptions", most)
	}
	if most == 0 {
		s.t.Error("the server was not reached")
	}
}
