package wsframe

import (
	"bytes"
	"strings"
	"testing"
	"unicode/utf8"
)

// The examples of RFC 6455 §5.7.
func TestAppendExamples(t *testing.T) {
	mask := [4]byte{0x37, 0xfa, 0x21, 0x3d}
	tests := []struct {
		name    string
		sender  Sender
		opcode  Opcode
		payload string
		want    string
	}{
		{"text without a mask", Server, Text, "Hello", "\x81\x05Hello"},
		{"text with a mask", Client, Text, "Hello", "\x81\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"},
		{"ping", Server, Ping, "Hello", "\x89\x05Hello"},
		{"pong with a mask", Client, Pong, "Hello", "\x8a\x85\x37\xfa\x21\x3d\x7f\x9f\x4d\x51\x58"},
		{"256 bytes", Server, Binary, strings.Repeat("x", 256), "\x82\x7e\x01\x00" + strings.Repeat("x", 256)},
		{"64 KiB", Server, Binary, strings.Repeat("x", 65536), "\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + strings.Repeat("x", 65536)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Append([]byte("before"), test.sender, test.opcode, mask, []byte(test.payload))
			if string(got) != "before"+test.want {
				t.Errorf("%.40x, want %.40x", got[6:], test.want)
			}
		})
	}
}

// What Append builds passes its sender's scanner whole, and holds the payload.
func TestAppendRoundTrip(t *testing.T) {
	mask := [4]byte{1, 2, 3, 4}
	for _, from := range senders {
		for _, size := range []int{0, 1, 2, 3, 4, 5, 125, 126, 127, 65535, 65536, 65537} {
			payload := bytes.Repeat([]byte("payload"), size/7+1)[:size]
			before := bytes.Clone(payload)
			frame := Append(nil, from.sender, Binary, mask, payload)
			s := NewScanner(from.sender, false)
			if n, err := s.Next(frame); n != len(frame) || err != nil || !s.MessageBoundary() || s.Opcode() != Binary {
				t.Errorf("%s, %d bytes: passed %d, %v", from.name, size, n, err)
			}
			got := frame[len(frame)-size:]
			if from.sender == Client {
				Mask(got, mask)
			}
			if !bytes.Equal(got, payload) || !bytes.Equal(payload, before) {
				t.Errorf("%s, %d bytes: payload changed", from.name, size)
			}
		}
	}
}

func TestPayload(t *testing.T) {
	for _, from := range senders {
		for _, payload := range []string{"", "x", "hello", strings.Repeat("x", MaxControlPayload)} {
			frame := Append(nil, from.sender, Ping, [4]byte{9, 8, 7, 6}, []byte(payload))
			before := bytes.Clone(frame)
			var buf [MaxControlPayload]byte
			if got := Payload(&buf, frame); string(got) != payload {
				t.Errorf("%s: %q, want %q", from.name, got, payload)
			}
			if !bytes.Equal(frame, before) {
				t.Errorf("%s: the frame changed", from.name)
			}
		}
	}
}

func TestMask(t *testing.T) {
	mask := [4]byte{0x0f, 0xf0, 0xff, 0x00}
	b := []byte{0, 0, 0, 0, 1, 1}
	Mask(b, mask)
	if want := []byte{0x0f, 0xf0, 0xff, 0x00, 0x0e, 0xf1}; !bytes.Equal(b, want) {
		t.Errorf("masked %x, want %x", b, want)
	}
	Mask(b, mask)
	if want := []byte{0, 0, 0, 0, 1, 1}; !bytes.Equal(b, want) {
		t.Errorf("unmasked %x, want %x", b, want)
	}
}

// Any part of a payload is masked as the whole is, byte by byte, wherever it lies
// in memory, and nothing beside it.
func TestMaskFrom(t *testing.T) {
	mask := [4]byte{0x0f, 0xf0, 0xff, 0x01}
	memory := make([]byte, 64)
	for i := range memory {
		memory[i] = byte(i * 7)
	}
	for length := range 41 {
		for place := range 9 {
			for offset := range 9 {
				want := bytes.Clone(memory)
				for i := range length {
					want[place+i] ^= mask[(offset+i)%4]
				}
				got := bytes.Clone(memory)
				MaskFrom(got[place:place+length], mask, offset)
				if !bytes.Equal(got, want) {
					t.Fatalf("%d bytes at %d, offset %d: %x, want %x", length, place, offset, got, want)
				}
			}
		}
	}
}

// A close frame holds as much of its reason as fits, in whole characters.
func TestAppendClose(t *testing.T) {
	a := func(n int) string { return strings.Repeat("a", n) }
	tests := []struct{ name, reason, want string }{
		{"no reason", "", ""},
		{"short", "going away", "going away"},
		{"123 bytes", a(123), a(123)},
		{"124 bytes", a(124), a(123)},
		{"long", a(1000), a(123)},
		{"two bytes, that fit", a(121) + "é", a(121) + "é"},
		{"two bytes, cut", a(122) + "é", a(122)},
		{"three bytes, that fit", a(120) + "€" + "a", a(120) + "€"},
		{"three bytes, the last is over", a(121) + "€", a(121)},
		{"three bytes, two are over", a(122) + "€", a(122)},
		{"four bytes, that fit", a(119) + "👋👋", a(119) + "👋"},
		{"four bytes, the last is over", a(120) + "👋", a(120)},
		{"four bytes, three are over", a(122) + "👋", a(122)},
		{"characters behind the cut", a(123) + "👋", a(123)},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			for _, from := range senders {
				frame := AppendClose(nil, from.sender, [4]byte{1, 2, 3, 4}, 1001, test.reason)
				s := NewScanner(from.sender, false)
				if n, err := s.Next(frame); n != len(frame) || err != nil || s.Opcode() != Close {
					t.Fatalf("%s: passed %d of %d, %v", from.name, n, len(frame), err)
				}
				var buf [MaxControlPayload]byte
				got := string(Payload(&buf, frame))
				if got != closePayload(1001, test.want) || !utf8.ValidString(got[2:]) {
					t.Errorf("%s: %q, want reason %q", from.name, got, test.want)
				}
			}
		})
	}
}

// A reason with no place to cut is left out rather than cut inside.
func TestAppendCloseOfNoText(t *testing.T) {
	frame := AppendClose(nil, Server, [4]byte{}, 1001, strings.Repeat("\x80", 200))
	if want := "\x88\x02\x03\xe9"; string(frame) != want {
		t.Errorf("%x, want %x", frame, want)
	}
}

func TestControl(t *testing.T) {
	for opcode := range Opcode(16) {
		if got, want := opcode.Control(), opcode >= 8; got != want {
			t.Errorf("%d: %v", opcode, got)
		}
	}
}
