package proxy_test

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"math/rand/v2"
	"runtime/metrics"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// interopStream is what one end of a session sends, to its close frame.
var interopStream = []ws.Frame{
	// A message in three fragments with control frames between them, RFC 6455
	// §5.4.
	ws.NewFrame(ws.OpText, false, []byte("frag")),
	ws.NewPingFrame([]byte("in a message")),
	ws.NewFrame(ws.OpContinuation, false, nil),
	ws.NewPongFrame([]byte("nobody asked")),
	ws.NewPingFrame(nil),
	ws.NewFrame(ws.OpContinuation, true, []byte("ments")),
	// Control frames between messages, the longest too.
	ws.NewPongFrame(nil),
	ws.NewPingFrame(bytes.Repeat([]byte("p"), 125)),
	// Every form of a length, at its limits (RFC 6455 §5.2).
	ws.NewTextFrame(nil),
	ws.NewBinaryFrame([]byte{0xff}),
	ws.NewBinaryFrame(make([]byte, 125)),
	ws.NewBinaryFrame(make([]byte, 126)),
	ws.NewBinaryFrame(make([]byte, 65_535)),
	ws.NewBinaryFrame(make([]byte, 65_536)),
	ws.NewCloseFrame(ws.NewCloseFrameBody(4000, "that was all")),
}

// Whatever a stream holds and however it is cut, it passes byte for byte, mask
// included, and nothing is added to it.
func TestInteropStreamIsPassedAsItIs(t *testing.T) {
	cuts := []struct {
		name  string
		write func(w io.Writer, b []byte) error
	}{
		{"at once", func(w io.Writer, b []byte) error {
			_, err := w.Write(b)
			return err
		}},
		{"every byte alone", interopWriteBytes},
	}
	for _, cut := range cuts {
		for _, from := range []string{"client", "upstream"} {
			t.Run(cut.name+" from "+from, func(t *testing.T) {
				client, upstream := interopSession(t, nil)
				sender, receiver := client, upstream
				if from == "upstream" {
					sender, receiver = upstream, client
				}
				stream := interopBytes(sender.role, interopStream...)
				wrote := make(chan error, 1)
				go func() { wrote <- cut.write(sender, stream) }()

				got := make([]byte, len(stream))
				if n, err := io.ReadFull(receiver.r, got); err != nil {
					t.Fatalf("got %d bytes of %d: %v", n, len(stream), err)
				}
				if !bytes.Equal(got, stream) {
					t.Error("the stream arrived changed")
				}
				if err := interopWait(t, wrote, "the end of a write"); err != nil {
					t.Fatal(err)
				}

				answer := ws.NewCloseFrame(ws.NewCloseFrameBody(4000, ""))
				receiver.send(answer)
				sender.want(ws.OpClose, string(answer.Payload))
				client.wantEnd() // the server closes first, RFC 6455 §7.1.1
				_ = upstream.CloseWrite()
				upstream.wantEnd()
			})
		}
	}
}

// interopWriteBytes writes each byte in a segment of its own, as Go sets
// TCP_NODELAY. Up to the long payloads it pauses after each, so that the loop
// takes most of them one by one; nothing depends on it.
func interopWriteBytes(w io.Writer, b []byte) error {
	for i := range b {
		if _, err := w.Write(b[i : i+1]); err != nil {
			return err
		}
		if i < 500 {
			time.Sleep(20 * time.Microsecond)
		}
	}
	return nil
}

const (
	interopHuge  = 64 << 20
	interopPiece = 256 << 10
)

// A message of 64 MiB in one frame is relayed and not stored: it comes back
// identical, and the process does not grow by it.
func TestInteropHugeMessage(t *testing.T) {
	client, upstream := interopSession(t, nil)
	before := interopHeap()
	peak := before

	echoed := make(chan error, 1)
	go func() { echoed <- interopEchoHuge(upstream) }()
	sent := sha256.New()
	wrote := make(chan error, 1)
	go func() {
		wrote <- interopSendHuge(client, true, sent, func(int) { peak = max(peak, interopHeap()) })
	}()

	h, err := ws.ReadHeader(client.r)
	if err != nil || h.OpCode != ws.OpBinary || h.Length != interopHuge || !h.Fin {
		t.Fatalf("got frame %+v, error %v", h, err)
	}
	got := sha256.New()
	if _, err := io.CopyN(got, client.r, interopHuge); err != nil {
		t.Fatal(err)
	}
	for what, c := range map[string]chan error{"write": wrote, "echo": echoed} {
		if err := interopWait(t, c, what); err != nil {
			t.Fatalf("%s: %v", what, err)
		}
	}
	if !bytes.Equal(got.Sum(nil), sent.Sum(nil)) {
		t.Error("the echo differs from the message")
	}
	if grown := peak - before; grown > interopHuge/2 {
		t.Errorf("the heap grew by %d MiB", grown>>20)
	}
}

// interopSendHuge sends a frame of interopHuge bytes of noise and hashes them.
// After each piece it calls progress with the number of bytes written so far.
func interopSendHuge(w *interopWire, fin bool, sum hash.Hash, progress func(written int)) error {
	h := ws.Header{Fin: fin, OpCode: ws.OpBinary, Length: interopHuge}
	if w.role.ClientSide() {
		h.Masked, h.Mask = true, ws.NewMask()
	}
	if err := ws.WriteHeader(w, h); err != nil {
		return err
	}
	noise := rand.NewChaCha8([32]byte{})
	piece := make([]byte, interopPiece)
	for written := 0; written < interopHuge; {
		_, _ = noise.Read(piece)
		sum.Write(piece)
		if h.Masked {
			ws.Cipher(piece, h.Mask, written)
		}
		n, err := w.Write(piece)
		if err != nil {
			return err
		}
		written += n
		progress(written)
	}
	return nil
}

// interopEchoHuge sends a client's frame back while it arrives.
func interopEchoHuge(w *interopWire) error {
	h, err := ws.ReadHeader(w.r)
	if err != nil {
		return err
	}
	mask := h.Mask
	h.Masked = false
	if err := ws.WriteHeader(w, h); err != nil {
		return err
	}
	piece := make([]byte, interopPiece)
	for at := 0; at < int(h.Length); {
		n, err := w.r.Read(piece)
		if err != nil {
			return err
		}
		ws.Cipher(piece[:n], mask, at)
		if _, err := w.Write(piece[:n]); err != nil {
			return err
		}
		at += n
	}
	return nil
}

// interopHeap returns the bytes of the heap that are in use or not collected.
func interopHeap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
