package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"testing"
	"time"

	"github.com/gobwas/ws"

	"wswarden/config"
)

// interopBeat is the interval of heartbeats in tests that wait for pings.
const interopBeat = 20 * time.Millisecond

// A ping that is due while a frame of 64 MiB passes waits for the frame's end,
// and for no more than that: it goes between two fragments.
func TestInteropPingDueInsideAFrame(t *testing.T) {
	tests := []struct {
		to     string // whom wswarden pings
		adjust func(*config.Config)
	}{
		{"client", func(c *config.Config) {
			c.Policies[0].Heartbeat.Interval = interopBeat
			c.Policies[0].Heartbeat.Timeout = interopPatience
		}},
		{"upstream", func(c *config.Config) {
			c.Policies[0].UpstreamHeartbeat.Interval = interopBeat
			c.Policies[0].UpstreamHeartbeat.Timeout = interopPatience
		}},
	}
	for _, tt := range tests {
		t.Run("to "+tt.to, func(t *testing.T) {
			client, upstream := interopSession(t, tt.adjust)
			sender, receiver := upstream, client
			if tt.to == "upstream" {
				sender, receiver = client, upstream
			}
			begun := make(chan struct{})
			sent := sha256.New()
			wrote := make(chan error, 1)
			go func() {
				// The message's first fragment is the huge one. In the middle of
				// it several pings fall due.
				wrote <- interopSendHuge(sender, false, sent, func(written int) {
					if written == interopHuge/2 {
						<-begun
						time.Sleep(5 * interopBeat)
					}
				})
			}()

			h := interopAnswerPings(receiver)
			if h.OpCode != ws.OpBinary || h.Fin || h.Length != interopHuge {
				t.Fatalf("got frame %+v, want the first fragment", h)
			}
			close(begun)
			got := sha256.New()
			if err := interopHashPayload(receiver.r, h, got); err != nil {
				t.Fatal(err)
			}
			if err := interopWait(t, wrote, "the end of a write"); err != nil {
				t.Fatal(err)
			}
			if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
				t.Fatal("the frame arrived changed")
			}

			// The sender adds nothing until the ping is there.
			ping := receiver.frame()
			if ping.Header.OpCode != ws.OpPing {
				t.Fatalf("behind the frame came opcode %x, want the ping", ping.Header.OpCode)
			}
			receiver.send(ws.NewPongFrame(ping.Payload))
			sender.send(ws.NewFrame(ws.OpContinuation, true, []byte("end")))
			if h := interopAnswerPings(receiver); h.OpCode != ws.OpContinuation || !h.Fin {
				t.Fatalf("got frame %+v, want the last fragment", h)
			} else if err := interopHashPayload(receiver.r, h, sha256.New()); err != nil {
				t.Fatal(err)
			}

			// The session lives, and the pongs went no further than wswarden.
			receiver.send(ws.NewTextFrame([]byte("still here")))
			sender.want(ws.OpText, "still here")
		})
	}
}

// interopAnswerPings reads the header of the next frame that is no ping, and
// answers the pings before it.
func interopAnswerPings(w *interopWire) ws.Header {
	w.t.Helper()
	for {
		h, err := ws.ReadHeader(w.r)
		if err != nil {
			w.t.Fatalf("read frame: %v", err)
		}
		if h.OpCode != ws.OpPing {
			return h
		}
		payload := make([]byte, h.Length)
		if _, err := io.ReadFull(w.r, payload); err != nil {
			w.t.Fatalf("read ping: %v", err)
		}
		ws.Cipher(payload, h.Mask, 0)
		w.send(ws.NewPongFrame(payload))
	}
}

// interopHashPayload reads a frame's payload.
func interopHashPayload(r io.Reader, h ws.Header, sum hash.Hash) error {
	piece := make([]byte, interopPiece)
	for at := int64(0); at < h.Length; {
		n, err := r.Read(piece[:min(int64(len(piece)), h.Length-at)])
		if err != nil {
			return err
		}
		ws.Cipher(piece[:n], h.Mask, int(at))
		sum.Write(piece[:n])
		at += int64(n)
	}
	return nil
}

// A peer that answers is pinged again after the interval, even where an answer
// may take longer than that.
func TestInteropPingsGoOn(t *testing.T) {
	client, _ := interopSession(t, func(c *config.Config) {
		c.Policies[0].Heartbeat.Interval = interopBeat
		c.Policies[0].Heartbeat.Timeout = 2 * interopPatience
	})
	for range 3 {
		ping := client.frame()
		if ping.Header.OpCode != ws.OpPing {
			t.Fatalf("got opcode %x, want a ping", ping.Header.OpCode)
		}
		client.send(ws.NewPongFrame(ping.Payload))
	}
}

// Pongs that answer wswarden's own pings end there. All other pings and pongs
// pass with their payload, in both directions.
func TestInteropPingsAndPongs(t *testing.T) {
	client, upstream := interopSession(t, func(c *config.Config) {
		p := &c.Policies[0]
		p.Heartbeat.Interval, p.Heartbeat.Timeout = interopBeat, interopPatience
		p.UpstreamHeartbeat.Interval, p.UpstreamHeartbeat.Timeout = interopBeat, interopPatience
	})
	ends := []struct{ near, far *interopWire }{{client, upstream}, {upstream, client}}

	var mark string
	for range 3 {
		for _, end := range ends {
			ping := end.near.frame()
			if ping.Header.OpCode != ws.OpPing || len(ping.Payload) == 0 {
				t.Fatalf("got opcode %x with %q, want a ping of wswarden's", ping.Header.OpCode, ping.Payload)
			}
			mark = string(ping.Payload)
			end.near.send(ws.NewPongFrame(ping.Payload))
		}
	}
	for _, end := range ends {
		end.near.send(
			ws.NewPongFrame([]byte("nobody asked")),
			ws.NewPongFrame(nil),
			ws.NewPingFrame([]byte("are you there?")),
			ws.NewTextFrame([]byte("that is all")),
		)
	}
	for _, end := range ends {
		end.far.wantBesides(mark, ws.OpPong, "nobody asked")
		end.far.wantBesides(mark, ws.OpPong, "")
		end.far.wantBesides(mark, ws.OpPing, "are you there?")
		end.far.send(ws.NewPongFrame([]byte("are you there?")))
		end.far.wantBesides(mark, ws.OpText, "that is all")
	}
	for _, end := range ends {
		end.near.wantBesides(mark, ws.OpPong, "are you there?")
	}
}

// wantBesides is want for the next frame that is no ping of wswarden's.
func (w *interopWire) wantBesides(mark string, opcode ws.OpCode, payload string) {
	w.t.Helper()
	for {
		f := w.frame()
		if f.Header.OpCode == ws.OpPing && string(f.Payload) == mark {
			continue
		}
		if f.Header.OpCode != opcode || string(f.Payload) != payload {
			w.t.Fatalf("got opcode %x with %.40q, want %x with %.40q", f.Header.OpCode, f.Payload, opcode, payload)
		}
		return
	}
}
