package proxy_test

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// interopOneByOne are policies that need the client's messages one by one.
var interopOneByOne = map[string]func(*config.Config){
	"reads": func(c *config.Config) { c.Policies[0].Messages.ValidateUTF8 = true },
	"drops": func(c *config.Config) {
		c.Policies[0].Messages.Rate = 1e6
		c.Policies[0].Messages.OnExcess = policies.ExcessDrop
	},
}

// Where messages are needed one by one, one offer stands for all of the client's:
// each message is compressed alone.
func TestInteropOffersAlone(t *testing.T) {
	const header = "Sec-WebSocket-Extensions: "
	const alone = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
	tests := []struct {
		name    string
		lines   []string
		offered []string
	}{
		{"none", nil, nil},
		{"as browsers do", []string{header + "permessage-deflate; client_max_window_bits"}, []string{alone}},
		{"twice, with others between", []string{header + "permessage-deflate, x-mux", header + "permessage-deflate; client_max_window_bits=9"}, []string{alone}},
		{"a window for upstream", []string{header + "permessage-deflate; server_max_window_bits=10"}, nil},
		{"a window for upstream, or none", []string{header + "permessage-deflate; server_max_window_bits=10, permessage-deflate"}, []string{alone}},
		{"unknown parameter", []string{header + "permessage-deflate; x"}, nil},
		{"unknown extension", []string{header + "x-mux"}, nil},
	}
	for name, policy := range interopOneByOne {
		for _, tt := range tests {
			t.Run(name+" "+tt.name, func(t *testing.T) {
				ln := interopListen(t)
				client := interopDial(t, interopWarden(t, ln.Addr().String(), policy))
				client.text(interopRequest(tt.lines...))
				got := interopAccept(t, ln).request().Header.Values("Sec-WebSocket-Extensions")
				if !slices.Equal(got, tt.offered) {
					t.Errorf("upstream was offered %q, want %q", got, tt.offered)
				}
			})
		}
	}
}

// Upstream's answer to that offer reaches the client with what binds the client;
// one that does not fit the offer is upstream's failure.
func TestInteropAnswersAlone(t *testing.T) {
	const offer = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits"
	const refused = "refused"
	tests := []struct{ name, request, answer, want string }{
		{"none", offer, "", ""},
		{"as offered", offer, "permessage-deflate; client_no_context_takeover; server_no_context_takeover", "permessage-deflate; client_no_context_takeover; server_no_context_takeover"},
		{"upstream keeps its window", offer, "permessage-deflate;server_no_context_takeover", "permessage-deflate;server_no_context_takeover; client_no_context_takeover"},
		{"a smaller window of upstream's", offer, "permessage-deflate; server_no_context_takeover; server_max_window_bits=10", "permessage-deflate; server_no_context_takeover; server_max_window_bits=10; client_no_context_takeover"},

		{"upstream's messages not alone", offer, "permessage-deflate; client_no_context_takeover", refused},
		{"a window for the client", offer, "permessage-deflate; server_no_context_takeover; client_max_window_bits=10", refused},
		{"no window", offer, "permessage-deflate; server_no_context_takeover; server_max_window_bits=16", refused},
		{"unknown parameter", offer, "permessage-deflate; server_no_context_takeover; x", refused},
		{"unknown extension", offer, "x-mux", refused},
		{"two extensions", offer, "permessage-deflate; server_no_context_takeover, x-mux", refused},
		{"two answers", offer, "permessage-deflate; server_no_context_takeover\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover", refused},
		{"nothing was offered", "Sec-WebSocket-Extensions: permessage-deflate; server_max_window_bits=10", "permessage-deflate; server_no_context_takeover", refused},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			ln := interopListen(t)
			client := interopDial(t, interopWarden(t, ln.Addr().String(), interopOneByOne["reads"]))
			client.text(interopRequest(tt.request))
			upstream := interopAccept(t, ln)
			upstream.request()
			var lines []string
			if tt.answer != "" {
				lines = []string{"x-before: 1", "sec-WebSocket-Extensions: " + tt.answer, "x-Behind: 2"}
			}
			upstream.text(interopAnswer(lines...))
			r, body := client.response()
			switch got := r.Header.Values("Sec-WebSocket-Extensions"); {
			case tt.want == refused:
				if r.StatusCode != http.StatusBadGateway {
					t.Errorf("got %s: %s", r.Status, body)
				}
				upstream.wantEnd()
			case r.StatusCode != http.StatusSwitchingProtocols:
				t.Errorf("got %s: %s", r.Status, body)
			case tt.want == "" && len(got) > 0, tt.want != "" && !slices.Equal(got, []string{tt.want}):
				t.Errorf("the client was answered %q, want %q", got, tt.want)
			}
		})
	}
}

// Real clients compress each message alone, although upstream can do without.
func TestInteropClientsCompressAlone(t *testing.T) {
	for _, library := range interopLibraries {
		t.Run(library.name, func(t *testing.T) {
			ln := interopListen(t)
			accepted := make(chan *interopWire, 1)
			failed := make(chan error, 1)
			go func() {
				w, err := interopAgree(t, ln, "permessage-deflate; server_no_context_takeover")
				failed <- err
				accepted <- w
			}()
			client := library.dial(t, interopWarden(t, ln.Addr().String(), interopOneByOne["reads"]), true)
			if err := interopWait(t, failed, "upstream's handshake"); err != nil {
				t.Fatal(err)
			}
			upstream := interopWait(t, accepted, "upstream")
			inflate, _ := proxy.NewInflate()
			message := interopMessages(2000)[0]
			for i := range 3 {
				wrote := make(chan error, 1)
				go func() { wrote <- client.write(message) }()
				compressed, payload := upstream.message()
				if err := interopWait(t, wrote, "the end of a write"); err != nil {
					t.Fatal(err)
				}
				got, err := inflate(nil, payload, len(message.payload))
				if !compressed || err != nil || !bytes.Equal(got, message.payload) {
					t.Errorf("message %d: compressed %v, %d bytes on the wire, %d inflated, %v", i, compressed, len(payload), len(got), err)
				}
			}
		})
	}
}

// interopAgree accepts a client of any library as upstream, with extensions.
func interopAgree(t *testing.T, ln net.Listener, extensions string) (*interopWire, error) {
	_ = ln.(*net.TCPListener).SetDeadline(time.Now().Add(interopPatience))
	conn, err := ln.Accept()
	if err != nil {
		return nil, err
	}
	w := newInteropWire(t, conn, ws.StateServerSide)
	r, err := http.ReadRequest(w.r)
	if err != nil {
		return nil, err
	}
	proof := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	_, err = fmt.Fprintf(w, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Accept: %s\r\nSec-WebSocket-Protocol: %s\r\nSec-WebSocket-Extensions: %s\r\n\r\n",
		base64.StdEncoding.EncodeToString(proof[:]), interopChosen, extensions)
	return w, err
}

// message reads one message in any number of frames.
func (w *interopWire) message() (compressed bool, payload []byte) {
	w.t.Helper()
	for {
		f := w.frame()
		compressed = compressed || f.Header.Rsv1()
		payload = append(payload, f.Payload...)
		if f.Header.Fin {
			return compressed, payload
		}
	}
}

// Real libraries at both ends get along where messages are needed one by one.
func TestInteropCompressionAlone(t *testing.T) {
	for _, library := range interopLibraries {
		t.Run(library.name, func(t *testing.T) {
			address, accepted := library.listen(t, true)
			client := library.dial(t, interopWarden(t, address, interopOneByOne["reads"]), true)
			upstream := interopWait(t, accepted, "upstream's connection")
			for _, size := range []int{1, 300, 20_000} {
				for _, m := range interopMessages(size) {
					interopPass(t, client, upstream, m)
					interopPass(t, client, upstream, m)
					interopPass(t, upstream, client, m)
				}
			}
			interopCloses(t, client, upstream, interopClose{1000, "done"})
		})
	}
}
