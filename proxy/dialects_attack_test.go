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
// answered to the last subscribe.
var attacks = []struct {
	application, name string
	open              string // ahead of everything
	subscribe, undo   string
}{
	{"graphql-ws", "complete of a number", `{"type":"connection_init"}`, graphQLSubscribe("subscribe"), `{"id":TOPIC,"type":"complete"}`},
	{"centrifugo", "unsubscribe at once", `{"id":1,"connect":{}}`, centrifugoSubscribe, `{"id":3,"unsubscribe":{"channel":"TOPIC"}}`},
	{"centrifugo", "unsubscribe and more", `{"id":1,"connect":{}}`, centrifugoSubscribe, `{"id":3,"unsubscribe":{"channel":"TOPIC"},"history":{},"publish":{}}`},
	{"stomp", "escaped id", stompConnect, "SUBSCRIBE\nid:a\\cTOPIC\ndestination:TOPIC\n\n\x00", "UNSUBSCRIBE\nid:a:TOPIC\n\n\x00"},
	{"stomp", "headers in a body", stompConnect, stompSubscribe, "UNSUBSCRIBE\nid:TOPIC\r\n\r\nid:none\x00"},
	{"stomp", "second frame", stompConnect, stompSubscribe, "SEND\ndestination:x\n\n\x00UNSUBSCRIBE\nid:TOPIC\n\n\x00"},
	{"stomp", "line end ahead", stompConnect, stompSubscribe, "\nUNSUBSCRIBE\nid:TOPIC\n\n\x00"},
	{"stomp", "CR LF", stompConnect, stompSubscribe, "UNSUBSCRIBE\r\nid:TOPIC\r\n\r\n\x00"},
	{"geth", "no version", "", gethSubscribe, `{"id":9,"method":"eth_unsubscribe","params":["ID"]}`},
}

func graphQLSubscribe(word string) string {
	return `{"id":"TOPIC","type":"` + word + `","payload":{"query":"subscription { feed(topic: \"TOPIC\") }"}}`
}

const (
	centrifugoSubscribe = `{"id":2,"subscribe":{"channel":"TOPIC"}}`
	stompConnect        = "CONNECT\naccept-version:1.2\n\n\x00"
	stompSubscribe      = "SUBSCRIBE\nid:TOPIC\ndestination:TOPIC\n\n\x00"
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
				topic := strings.NewReplacer("TOPIC", fmt.Sprint(i))
				if !c.try(topic.Replace(tt.subscribe)) {
					break
				}
				id := ""
				if strings.Contains(tt.undo, "ID") {
					id = c.answer()
				}
				if tt.undo != "" && !c.try(strings.ReplaceAll(topic.Replace(tt.undo), "ID", id)) {
					break
				}
			}
			_ = c.CloseWrite()
			s.wantNeverAbove(3)
		})
	}
}

// try sends a message, and reports whether the connection is still there.
func (w *interopWire) try(text string) bool {
	_, err := w.Write(interopBytes(w.role, ws.NewTextFrame([]byte(text))))
	return err == nil
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
