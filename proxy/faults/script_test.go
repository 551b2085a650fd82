//go:build linux

package faults

import (
	"math/rand/v2"
	"sync"

	"github.com/gobwas/ws"
)

// script is what one peer of a session says. Whoever has it knows every byte.
type script struct {
	seed  uint64
	sizes []int // of the messages, in bytes
}

// usual sizes are those around which the header of a frame changes, and one that does not
// fit what wswarden reads at once.
var usual = []int{1, 1000, 2, 125, 126, 127, 65535, 65536, 300 << 10, 3}

// sheets are what all scripts are cut from: binary, and text.
var sheets = sync.OnceValue(func() (sheets [2][]byte) {
	for i := range sheets {
		sheets[i] = make([]byte, 1<<20)
		_, _ = rand.NewChaCha8([32]byte{byte(i)}).Read(sheets[i])
	}
	for i, b := range sheets[1] {
		sheets[1][i] = 'a' + b%26
	}
	return sheets
})

// payload of the n-th message: text in every other one. It is not to be written to.
func (s script) payload(n int) []byte {
	sheet := sheets()[(n+1)%2]
	at := (s.seed*7919 + uint64(n)*104729) % uint64(len(sheet)-s.sizes[n])
	return sheet[at:][:s.sizes[n]]
}

func opcode(n int) ws.OpCode {
	if n%2 == 0 {
		return ws.OpText
	}
	return ws.OpBinary
}

// headers are those of the n-th message's frames, without masks: every third message is
// in three fragments.
func (s script) headers(n int) []ws.Header {
	size := int64(s.sizes[n])
	if n%3 != 2 {
		return []ws.Header{{Fin: true, OpCode: opcode(n), Length: size}}
	}
	return []ws.Header{
		{OpCode: opcode(n), Length: size / 3},
		{OpCode: ws.OpContinuation, Length: size / 2},
		{Fin: true, OpCode: ws.OpContinuation, Length: size - size/3 - size/2},
	}
}

// wire is the n-th message as it is sent.
func (s script) wire(n int, masked bool) []byte {
	var bytes []byte
	payload := s.payload(n)
	for _, h := range s.headers(n) {
		f := ws.Frame{Header: h, Payload: payload[:h.Length]}
		payload = payload[h.Length:]
		if masked {
			f = ws.MaskFrameWith(f, [4]byte{byte(n), 0x5c, 0x03, 0xfe})
		}
		bytes = append(bytes, ws.MustCompileFrame(f)...)
	}
	return bytes
}
