package wsframe

import (
	"bytes"
	"fmt"
	"testing"
)

// reads are what a session's loop may find in its buffer.
var reads = []struct {
	name string
	b    []byte
}{
	{"one frame of 128 bytes", frames(1, Text, 128)},
	{"one frame of 64 KiB", frames(1, Binary, 64<<10)},
	{"64 KiB of 20-byte frames", frames((64<<10)/26, Text, 20)},
	{"a ping", frames(1, Ping, 8)},
	{"a close", AppendClose(nil, Client, [4]byte{1, 2, 3, 4}, 1001, "going away")},
}

func frames(n int, opcode Opcode, size int) []byte {
	return bytes.Repeat(Append(nil, Client, opcode, [4]byte{1, 2, 3, 4}, make([]byte, size)), n)
}

// walk lets all of b pass, and returns how many frames that were.
func walk(tb testing.TB, s *Scanner, b []byte) int {
	n := 0
	for len(b) > 0 {
		step, err := s.Next(b)
		if step == 0 || err != nil {
			tb.Fatal(step, err)
		}
		b = b[step:]
		n++
	}
	return n
}

func TestNextDoesNotAllocate(t *testing.T) {
	for _, read := range reads {
		t.Run(read.name, func(t *testing.T) {
			s := NewScanner(Client, false)
			if n := testing.AllocsPerRun(100, func() { walk(t, &s, read.b) }); n != 0 {
				t.Errorf("%v allocations", n)
			}
		})
	}
	t.Run("a frame that is refused", func(t *testing.T) {
		if n := testing.AllocsPerRun(100, func() {
			s := NewScanner(Client, false)
			if _, err := s.Next([]byte{fin | 3, 0x80}); err != ErrOpcode {
				t.Fatal(err)
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

func BenchmarkNext(b *testing.B) {
	for _, read := range reads {
		b.Run(read.name, func(b *testing.B) {
			s := NewScanner(Client, false)
			b.ReportAllocs()
			n := 0
			for b.Loop() {
				n += walk(b, &s, read.b)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(n), "ns/frame")
		})
	}
}

func BenchmarkMask(b *testing.B) {
	for _, size := range []int{8, 128, 64 << 10} {
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			payload := make([]byte, size)
			b.SetBytes(int64(size))
			for b.Loop() {
				Mask(payload, [4]byte{1, 2, 3, 4})
			}
		})
	}
}
