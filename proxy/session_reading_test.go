package proxy_test

import (
	"bytes"
	"math/rand/v2"
	"strings"
	"testing"

	"wswarden/policies"
)

// reads is a policy that has to read messages of up to 64 bytes.
func reads(oversize policies.Oversize) policies.Policy {
	return policies.Policy{
		Dialect: "rac",
		Inspect: policies.Inspect{MaxBytes: 64, Oversize: oversize},
	}
}

// A message that is read passes as it came: the very same bytes.
func TestReadMessagePassesAsItCame(t *testing.T) {
	w := start(t, reads(policies.OversizeClose))
	client, upstream := w.open()
	frames := bytes.Join([][]byte{
		client.frame(text, `{"type":"ping"}`),
		client.frame(ping, "ahead"),
		client.frame(text, "not JSON"),
		client.frame(0x82, "\x00binary\xff"),
		client.frame(text, ""),
	}, nil)
	client.send(frames)
	upstream.wantBytes(frames)
	w.wantAlive(client, upstream)
}

// A message in pieces is passed once it is complete, as one frame; control frames
// in between do not wait for it.
func TestReadMessageInPieces(t *testing.T) {
	w := start(t, reads(policies.OversizeClose))
	client, upstream := w.open()
	client.send(client.frame(text, "first"), client.frame(textBegins, `{"type":`), client.frame(ping, "between"))
	upstream.want(text, "first")
	upstream.want(ping, "between")
	client.send(client.frame(goesOn, ""), client.frame(goesOn, `"pi`), client.frame(pong, "too"))
	upstream.want(pong, "too")
	last := client.frame(goesEnd, `ng"}`)
	for _, b := range last {
		client.send([]byte{b})
	}
	upstream.want(text, `{"type":"ping"}`)
	w.wantAlive(client, upstream)
}

// A client that dies within a message that is held back leaves a boundary: the
// farewell can still be said.
func TestReadMessageCutOff(t *testing.T) {
	policy := reads(policies.OversizeClose)
	policy.Release.Farewell = []string{"bye"}
	w := start(t, policy)
	client, upstream := w.open()
	client.send(client.frame(textBegins, "never "), client.frame(ping, "seen"))
	upstream.want(ping, "seen")
	client.end()
	upstream.want(text, "bye")
	upstream.wantClose(policies.CodeGoingAway, "client_lost")
	upstream.answerClose(policies.CodeGoingAway)
	w.wantEnd(policies.ClientLost, policies.CodeGoingAway)
}

// A message too long to be read ends the session as soon as that is known, and
// upstream sees nothing of it.
func TestReadOversizeCloses(t *testing.T) {
	for name, frames := range map[string]func(*peer) []byte{
		"one frame": func(p *peer) []byte { return p.frame(text, strings.Repeat("x", 65)) },
		"header":    func(p *peer) []byte { return p.frame(text, strings.Repeat("x", 65))[:6] },
		"fragments": func(p *peer) []byte {
			return append(p.frame(textBegins, strings.Repeat("x", 64)), p.frame(goesEnd, "x")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, reads(policies.OversizeClose))
			client, upstream := w.open()
			client.send(client.frame(text, "before"), frames(client))
			upstream.want(text, "before")
			upstream.wantClose(policies.CodeGoingAway, "message_too_big")
			client.wantClose(policies.CodeTooBig, "message too big to be read")
			upstream.answerClose(policies.CodeGoingAway)
			client.reset()
			w.wantEnd(policies.MessageTooBig, policies.CodeTooBig)
		})
	}
}

// Whatever a client's messages are cut into, and whatever their length, upstream
// gets the same messages, and control frames in their order.
func TestReadOversizeForwards(t *testing.T) {
	w := start(t, reads(policies.OversizeForward))
	client, upstream := w.open()
	random := rand.New(rand.NewPCG(1, 2))
	var sent []string
	var stream []byte
	for range 300 {
		message := make([]byte, random.IntN(200))
		for i := range message {
			message[i] = byte(random.Uint32())
		}
		sent = append(sent, string(message))
		first := byte(0x02)
		for rest := string(message); ; {
			n := random.IntN(len(rest) + 1)
			if random.IntN(3) == 0 {
				n = len(rest)
			}
			if n == len(rest) {
				stream = append(stream, client.frame(first|0x80, rest)...)
				break
			}
			stream = append(stream, client.frame(first, rest[:n])...)
			if random.IntN(2) == 0 {
				stream = append(stream, client.frame(ping, "p")...)
			}
			first, rest = goesOn, rest[n:]
		}
	}
	go func() {
		for rest := stream; len(rest) > 0; {
			n := min(len(rest), 1+random.IntN(100))
			if _, err := client.conn.Write(rest[:n]); err != nil {
				t.Error(err)
				return
			}
			rest = rest[n:]
		}
	}()
	for i, want := range sent {
		var got strings.Builder
		for first := byte(0); first&0x80 == 0; {
			var payload string
			var err error
			if first, payload, err = upstream.read(); err != nil {
				t.Fatalf("message %d: %v", i, err)
			}
			if first == ping {
				first = 0
				continue
			}
			got.WriteString(payload)
		}
		if got.String() != want {
			t.Fatalf("message %d: got %d bytes, want %d", i, got.Len(), len(want))
		}
	}
	w.wantAlive(client, upstream)
}

// Upstream's messages pass whatever their length, in whatever pieces.
func TestUpstreamsMessagesAreNotHeld(t *testing.T) {
	w := start(t, reads(policies.OversizeClose))
	client, upstream := w.open()
	upstream.send(upstream.frame(textBegins, `{"type":`))
	client.want(textBegins, `{"type":`)
	upstream.send(upstream.frame(goesEnd, `"pong"}`))
	client.want(goesEnd, `"pong"}`)
	long := strings.Repeat("x", 1000)
	upstream.send(upstream.frame(text, long))
	client.want(text, long)
	w.wantAlive(client, upstream)
}

// Text that is not UTF-8 does not reach upstream (RFC 6455 §8.1).
func TestValidateUTF8(t *testing.T) {
	for name, frames := range map[string]func(*peer) []byte{
		"one frame": func(p *peer) []byte { return p.frame(text, "caf\xe9") },
		"cut in a character": func(p *peer) []byte {
			return append(p.frame(textBegins, "caf\xc3"), p.frame(goesEnd, "x")...)
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := start(t, policies.Policy{Messages: policies.Messages{ValidateUTF8: true}})
			client, upstream := w.open()
			good := append(client.frame(textBegins, "caf\xc3"), client.frame(goesEnd, "\xa9")...)
			client.send(client.frame(0x82, "\xff binary may be anything"), good, frames(client))
			upstream.want(0x82, "\xff binary may be anything")
			upstream.want(text, "café")
			upstream.wantClose(policies.CodeGoingAway, "invalid_utf8")
			client.wantClose(policies.CodeInvalidPayload, "text that is not UTF-8")
			upstream.answerClose(policies.CodeGoingAway)
			client.answerClose(policies.CodeInvalidPayload)
			w.wantEnd(policies.InvalidUTF8, policies.CodeInvalidPayload)
		})
	}
}

// The application's heartbeats keep no session from being idle.
func TestHeartbeatsOfTheApplicationAreNoActivity(t *testing.T) {
	w := start(t, policies.Policy{Dialect: "rac", Idle: policies.Idle{Timeout: 2 * soon}})
	client, upstream := w.open()
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			if _, err := client.conn.Write(client.frame(text, `{"type":"ping"}`)); err != nil {
				return
			}
			if first, _, err := upstream.read(); err != nil || first != text {
				return
			}
			if _, err := upstream.conn.Write(upstream.frame(text, `{"type":"pong","timestamp":1}`)); err != nil {
				return
			}
		}
	}()
	for {
		first, payload, err := client.read()
		if err != nil {
			t.Fatal(err)
		}
		if first == closing {
			if payload != "\x03\xe9idle" {
				t.Errorf("close %q, want 1001 idle", payload)
			}
			break
		}
	}
	client.end()
	<-done
	upstream.end()
	w.wantEnd(policies.IdleTimeout, policies.CodeGoingAway)
}
