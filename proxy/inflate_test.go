package proxy

import (
	"bytes"
	"compress/flate"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
)

// NewInflate returns an inflater's message method, and one that reports whether
// the last message has ended the stream.
func NewInflate() (message func(dst, compressed []byte, limit int) ([]byte, error), ended func() bool) {
	f := new(inflater)
	return f.message, func() bool { return f.ended }
}

// deflated compresses one message as RFC 7692 §7.2.1 says.
func deflated(tb testing.TB, level int, message []byte) []byte {
	var b bytes.Buffer
	w, err := flate.NewWriter(&b, level)
	if err != nil {
		tb.Fatal(err)
	}
	if _, err := w.Write(message); err != nil {
		tb.Fatal(err)
	}
	if err := w.Flush(); err != nil {
		tb.Fatal(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte(deflateTail))
}

// deflateSamples are messages of many kinds and sizes.
func deflateSamples() map[string][]byte {
	r := rand.New(rand.NewPCG(1, 2))
	noise := make([]byte, 70_000)
	for i := range noise {
		noise[i] = byte(r.Uint32())
	}
	subscribe := `{"type":"subscribe:offers","pnr":"A1B2C3","payload":{"class":"sleeper","from":"SBC","to":"NDLS"}}`
	return map[string][]byte{
		"empty":          {},
		"one byte":       {0},
		"hello":          []byte("Hello"),
		"JSON":           []byte(subscribe),
		"JSON, repeated": []byte(strings.Repeat(subscribe, 500)),
		"zeros":          make([]byte, 70_000),
		"text":           []byte(strings.Repeat("wswarden passes frames. ", 4000)),
		"noise, short":   noise[:300],
		"noise, long":    noise,
		"a full window":  append(bytes.Clone(noise[:32<<10]), noise[:32<<10]...),
	}
}

func TestInflate(t *testing.T) {
	var f inflater
	for name, message := range deflateSamples() {
		for level := flate.HuffmanOnly; level <= flate.BestCompression; level++ {
			got, err := f.message([]byte("before"), deflated(t, level, message), len(message))
			if err != nil || string(got) != "before"+string(message) || f.ended {
				t.Errorf("%s, level %d: %d bytes of %d, %v", name, level, len(got)-6, len(message), err)
			}
		}
	}
}

// Messages as they are on the wire.
func TestInflateWire(t *testing.T) {
	const hello = "\xf2\x48\xcd\xc9\xc9\x07\x00" // RFC 7692 §7.2.3.1
	emptyCodes := "\x04\xc1\x81\x00\x00\x00\x00\x00\x10\xff\xd5" + strings.Repeat("\x00", 47) + "\xb9" + strings.Repeat("\x00", 77) + "\x08"
	stored := func(first byte, length int, content string) string {
		return string([]byte{first, byte(length), byte(length >> 8), ^byte(length), ^byte(length >> 8)}) + content
	}
	tests := []struct {
		name    string
		wire    string
		want    string
		refused bool
		ended   bool
	}{
		{"one block, §7.2.3.1", hello, "Hello", false, false},
		{"stored, §7.2.3.3", "\x00\x05\x00\xfa\xffHello\x00", "Hello", false, false},
		{"final block, §7.2.3.4", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00", "Hello", false, true},
		{"two blocks, §7.2.3.5", "\xf2\x48\x05\x00\x00\x00\xff\xff\xca\xc9\xc9\x07\x00", "Hello", false, false},
		{"empty, §7.2.3.6", "\x00", "", false, false},
		{"empty, in a fixed block", "\x02\x00", "", false, false},
		{"nothing at all", "", "", false, true},
		{"final block and nothing", "\xf3\x48\xcd\xc9\xc9\x07\x00", "Hello", false, true},
		{"final stored block", stored(1, 5, "Hello"), "Hello", false, true},
		{"final stored block and zero", stored(1, 5, "Hello") + "\x00", "Hello", false, true},
		{"final block after another", hello + "\x00\x00\xff\xff\x03\x00", "Hello", false, true},

		{"final block, then a byte", "\xf3\x48\xcd\xc9\xc9\x07\x00\x01", "", true, false},
		{"final block, then two zeros", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00", "", true, false},
		{"final block, then the tail", "\xf3\x48\xcd\xc9\xc9\x07\x00\x00\x00\xff\xff", "", true, false},
		{"final block, then another message", "\xf3\x48\xcd\xc9\xc9\x07\x00" + hello, "", true, false},
		{"cut by a byte", hello[:len(hello)-1], "", true, false},
		{"cut in the middle", hello[:3], "", true, false},
		{"cut in a final block", "\xf3\x48\xcd", "", true, false},
		{"with the tail", hello + "\x00\x00\xff\xff", "", true, false},
		{"without the zero byte", "\x00\x05\x00\xfa\xffHello", "", true, false},
		{"reference to what is not there", "\x02\x03\x00", "", true, false},
		{"no codes for the lengths of codes, behind a block that has some", emptyCodes, "", true, false},
		{"block type 3", "\x06\x00", "", true, false},
		{"length and complement differ", "\x00\x05\x00\xfa\xfeHello\x00", "", true, false},

		// A block that takes the tail for its content ends where it should. One that
		// takes something else of what follows the payload does not.
		{"stored, takes the tail", stored(0, 5+4, "Hello"), "Hello\x00\x00\xff\xff", false, false},
		{"stored, takes part of the tail", stored(0, 5+2, "Hello"), "", true, false},
		{"stored and final, takes the tail", stored(1, 5+4, "Hello"), "", true, false},
		{"stored, takes all", stored(0, 5+9, "Hello"), "", true, false},
		{"stored and final, takes all", stored(1, 5+9, "Hello"), "", true, false},
		{"stored and final, takes all but the last four", stored(1, 5+5, "Hello"), "", true, false},
		{"stored and final, takes more", stored(1, 5+100, "Hello"), "", true, false},
		{"codes that take all", codesBeyondTail(), "", true, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var f inflater
			got, err := f.message(nil, []byte(test.wire), 1000)
			if test.refused {
				if err != errDeflate {
					t.Errorf("%q, %v, want it refused", got, err)
				}
				return
			}
			if err != nil || string(got) != test.want || f.ended != test.ended {
				t.Errorf("%q, ended %v, %v, want %q", got, f.ended, err, test.want)
			}
		})
	}
}

// codesBeyondTail returns a message that says é, and then begins a final block
// whose description of its codes takes the tail and most of the bytes behind it;
// the code that the remaining bits are ends it. zlib, given the tail only, has read
// é and waits for the rest of the description in the next message.
func codesBeyondTail() string {
	var b bitWriter
	b.bits(0b010, 3) // not final, fixed codes
	for _, c := range []byte("é") {
		b.code(0b110010000+uint(c)-144, 9)
	}
	b.code(0, 7) // end of block
	b.bits(0b101, 3)
	b.bits(258-257, 5) // 258 literals and lengths
	b.bits(22-1, 5)    // 22 distances
	b.bits(16-4, 4)    // 16 lengths of the codes for the lengths of codes:
	lengths := [16]uint{3: 1, 6: 2, 15: 2}
	for _, length := range lengths { // 0 is 0, 10 is 2, and 11 is 9
		b.bits(length, 3)
	}
	for range 2 {
		b.code(0b10, 2)
	}
	for range 120 {
		b.code(0b11, 2)
	}
	for range 111 {
		b.code(0, 1)
	}
	// The tail, the last block's first bit and the zeros behind it say: 16 times 0,
	// 8 times 9, of which the last is the end of block, 2, and 22 times 0. The ones
	// that are left are the end of block.
	if b.n%8 != 0 {
		panic("the tail does not follow")
	}
	return string(b.b)
}

// bitWriter writes as RFC 1951 §3.1.1 packs bits.
type bitWriter struct {
	b []byte
	n int
}

// bits writes the lowest bit first, as for numbers.
func (w *bitWriter) bits(v uint, n int) {
	for range n {
		if w.n%8 == 0 {
			w.b = append(w.b, 0)
		}
		w.b[w.n/8] |= byte(v&1) << (w.n % 8)
		w.n++
		v >>= 1
	}
}

// code writes the highest bit first, as for codes.
func (w *bitWriter) code(v uint, n int) {
	for i := n - 1; i >= 0; i-- {
		w.bits(v>>i&1, 1)
	}
}

// The limit counts what is appended, to the byte.
func TestInflateLimit(t *testing.T) {
	var f inflater
	for name, message := range deflateSamples() {
		compressed := deflated(t, flate.DefaultCompression, message)
		for _, limit := range []int{0, 1, len(message) / 2, len(message) - 1, len(message), len(message) + 1} {
			if limit < 0 {
				continue
			}
			want := error(nil)
			if limit < len(message) {
				want = errInflatedTooBig
			}
			got, err := f.message([]byte("before"), compressed, limit)
			if err != want || len(got) > 6+limit || cap(got) > 6+max(limit, 2) {
				t.Errorf("%s, limit %d: %d bytes in %d, %v", name, limit, len(got)-6, cap(got), err)
			}
		}
	}
}

// A bomb is read no further than to the limit and a window.
func TestInflateBomb(t *testing.T) {
	bomb := deflated(t, flate.BestCompression, make([]byte, 64<<20))
	if len(bomb) > 70_000 {
		t.Fatalf("a bomb of %d bytes", len(bomb))
	}
	var f inflater
	if _, err := f.message(nil, deflated(t, 1, []byte("first")), 64<<10); err != nil {
		t.Fatal(err)
	}
	f.source = deflateSource{payload: bomb}
	_ = f.flate.(flate.Resetter).Reset(&f.source, nil)
	got, err := f.inflate(nil, 64<<10)
	if err != errInflatedTooBig || cap(got) > 64<<10 {
		t.Errorf("%d bytes in %d, %v", len(got), cap(got), err)
	}
	if read := len(bomb) - len(f.source.payload); read > 256 {
		t.Errorf("%d bytes of it were read", read)
	}
}

// A message of any kind leaves nothing behind that the next would see.
func TestInflateAfterErrors(t *testing.T) {
	var f inflater
	long := deflated(t, 9, bytes.Repeat([]byte("long "), 20_000))
	for i, bad := range [][]byte{long[:len(long)/2], []byte("\x06"), nil, long, []byte("\x03\x00")} {
		_, _ = f.message(nil, bad, 1000)
		if got, err := f.message(nil, deflated(t, 9, []byte("Hello, hello")), 1000); string(got) != "Hello, hello" || err != nil || f.ended {
			t.Errorf("after %d: %q, %v", i, got, err)
		}
		if _, err := f.message(nil, []byte("\x02\x03\x00"), 1000); err != errDeflate {
			t.Errorf("after %d: refers to what was before it: %v", i, err)
		}
	}
	if f.source.payload != nil {
		t.Error("a message is kept")
	}
}

// Only codes of more than nine bits are tables of their own, which short messages
// and dull ones do not need.
func TestInflateDoesNotAllocate(t *testing.T) {
	var f inflater
	var all [][]byte
	for name, message := range deflateSamples() {
		if name == "noise, long" || name == "a full window" {
			continue
		}
		for _, level := range []int{flate.HuffmanOnly, 0, 1, 6, 9} {
			all = append(all, deflated(t, level, message))
		}
	}
	dst := make([]byte, 0, 128<<10)
	if n := testing.AllocsPerRun(20, func() {
		for _, compressed := range all {
			if _, err := f.message(dst, compressed, 128<<10); err != nil {
				t.Fatal(err)
			}
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func FuzzInflate(f *testing.F) {
	for _, message := range deflateSamples() {
		if len(message) < 1000 {
			f.Add(deflated(f, 9, message))
			f.Add(deflated(f, 0, message))
		}
	}
	f.Add([]byte("\xf3\x48\xcd\xc9\xc9\x07\x00\x00"))
	f.Add([]byte(codesBeyondTail()))
	const limit = 1 << 20
	next := deflated(f, 6, []byte("the next message, the next message"))
	var inflater inflater
	f.Fuzz(func(t *testing.T, data []byte) {
		// What was compressed comes out again.
		if got, err := inflater.message(nil, deflated(t, 6, data), len(data)); err != nil || !bytes.Equal(got, data) {
			t.Fatalf("%x, %v, want %x", got, err, data)
		}
		// What can be read is read by others in the same way, and so is what comes
		// behind it, by an inflater that does not begin anew.
		got, err := inflater.message(nil, data, limit)
		if err != nil {
			if err != errDeflate && err != errInflatedTooBig {
				t.Fatal(err)
			}
			return
		}
		if len(data) == 0 {
			return
		}
		stream, want := [][]byte{data, []byte(deflateTail)}, got
		if !inflater.ended {
			stream = append(stream, next, []byte(deflateTail), []byte(deflateLast))
			want = append(bytes.Clone(got), "the next message, the next message"...)
		}
		all, err := io.ReadAll(flate.NewReader(bytes.NewReader(bytes.Join(stream, nil))))
		if err != nil || !bytes.Equal(all, want) {
			t.Fatalf("compress/flate: %x, %v, here %x", all, err, want)
		}
		if _, err := inflater.message(nil, data, max(len(got)-1, 0)); len(got) > 0 && !errors.Is(err, errInflatedTooBig) {
			t.Fatalf("limit below the length: %v", err)
		}
	})
}

func BenchmarkInflate(b *testing.B) {
	for _, size := range []int{128, 1 << 10, 64 << 10} {
		message := []byte(strings.Repeat(`{"type":"subscribe:offers","pnr":"A1B2C3"},`, size/43+1)[:size])
		for i := range message {
			if i%11 == 0 {
				message[i] = byte('a' + i*7%26)
			}
		}
		b.Run(fmt.Sprintf("%d bytes", size), func(b *testing.B) {
			var f inflater
			compressed := deflated(b, 6, message)
			dst := make([]byte, 0, size)
			b.SetBytes(int64(size))
			b.ReportAllocs()
			for b.Loop() {
				if _, err := f.message(dst, compressed, size); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// message inflates one that was compressed alone.
func (f *inflater) message(dst, compressed []byte, limit int) ([]byte, error) {
	return f.behind(nil, dst, compressed, limit)
}
