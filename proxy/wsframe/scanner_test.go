package wsframe

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestScannerRules(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.section+" "+rule.rule, func(t *testing.T) {
			for _, from := range senders {
				t.Run(from.name, func(t *testing.T) {
					want := rule.want
					if want == errMask {
						want = map[Sender]error{Client: ErrUnmasked, Server: ErrMasked}[from.sender]
					}
					scanner := NewScanner(from.sender, rule.deflate)
					scanner.Limit(rule.limit)
					checkCuts(t, scanner, from.sender, rule.frames, want)
				})
			}
		})
	}
}

// checkCuts feeds the frames whole, byte by byte, and cut at every place, and
// wants the same of all.
func checkCuts(t *testing.T, scanner Scanner, sender Sender, frames []raw, want error) {
	t.Helper()
	var stream []byte
	for _, f := range frames {
		stream = f.appendTo(stream, sender)
	}
	before := bytes.Clone(stream)
	run := func(ends ...int) {
		t.Helper()
		f := feeder{t: t, scanner: scanner, sender: sender, frames: frames, refuses: want}
		for _, end := range ends {
			f.feed(stream[:end])
		}
		if f.err != want {
			t.Fatalf("fed up to %d: error %v, want %v", ends, f.err, want)
		}
	}
	run(len(stream))
	single := make([]int, len(stream))
	for i := range single {
		single[i] = i + 1
		run(i, len(stream))
	}
	run(single...)
	if !bytes.Equal(stream, before) {
		t.Fatal("scanning changed the bytes")
	}
}

// feeder gives a scanner a stream piece by piece, as a session does, and checks
// after each that as much was let pass as the rules allow, and no more.
type feeder struct {
	t       *testing.T
	scanner Scanner
	sender  Sender
	frames  []raw
	refuses error // of the last frame

	passed int   // bytes
	begin  int   // of the frame that the next byte belongs to
	at     int   // its place in frames
	err    error // that ended it
}

// feed gives what of the stream has arrived by now.
func (f *feeder) feed(arrived []byte) {
	f.t.Helper()
	for f.err == nil {
		boundary := f.scanner.FrameBoundary()
		n, err := f.scanner.Next(arrived[f.passed:])
		f.err = err
		if n == 0 {
			break
		}
		if err != nil {
			f.t.Fatalf("%d bytes and error %v at once", n, err)
		}
		f.passed += n
		f.checkFrame(boundary)
		if f.scanner.FrameBoundary() {
			f.begin = f.passed
			f.at++
		}
	}
	if held := len(arrived) - f.passed; f.err == nil && held > MaxHeld {
		f.t.Fatalf("%d bytes held, MaxHeld is %d", held, MaxHeld)
	}
	if want := f.allowed(len(arrived)); f.passed != want {
		f.t.Fatalf("%d bytes passed of %d that had arrived, want %d", f.passed, len(arrived), want)
	}
}

// checkFrame looks at what the scanner says about the bytes let pass last.
func (f *feeder) checkFrame(first bool) {
	f.t.Helper()
	frame := f.frames[f.at]
	data := frame.opcode() == Text || frame.opcode() == Binary
	if f.scanner.Opcode() != frame.opcode() || f.scanner.Begun() != (first && data) {
		f.t.Fatalf("frame %d: opcode %d, begun %v", f.at, f.scanner.Opcode(), f.scanner.Begun())
	}
	if want := f.end() - int64(f.passed); f.scanner.Rest() != want {
		f.t.Fatalf("frame %d: rest %d, want %d", f.at, f.scanner.Rest(), want)
	}
	inside := false
	for _, f := range f.frames[:f.at+1] {
		if !f.control() {
			inside = f.first&fin == 0
		}
	}
	if want := f.scanner.Rest() == 0 && !inside; f.scanner.MessageBoundary() != want {
		f.t.Fatalf("frame %d: message boundary %v, want %v", f.at, !want, want)
	}
}

// end is where the present frame ends in the stream.
func (f *feeder) end() int64 {
	frame := f.frames[f.at]
	return int64(f.begin+frame.headerSize(f.sender)) + int64(frame.length())
}

// allowed is how much may have passed once so much has arrived: all of a data
// frame whose header is there, a control frame only as a whole, and nothing of
// a frame that is refused.
func (f *feeder) allowed(arrived int) int {
	begin := 0
	for i, frame := range f.frames {
		header := frame.headerSize(f.sender)
		end := begin + header + len(frame.payload)
		refused := f.refuses != nil && i == len(f.frames)-1
		switch {
		case refused, arrived < begin+header, frame.control() && arrived < end:
			return begin
		case arrived < end:
			return arrived
		}
		begin = end
	}
	return begin
}

// A frame is refused by its first two bytes where they suffice, so that nobody
// has to wait for a payload that may never come.
func TestScannerRefusesEarly(t *testing.T) {
	tests := []struct {
		name string
		b    []byte
		want error
	}{
		{"reserved bit", []byte{fin | rsv2 | text, 0x80}, ErrReserved},
		{"opcode", []byte{fin | 3, 0x80}, ErrOpcode},
		{"mask", []byte{fin | text, 126}, ErrUnmasked},
		{"long control frame", []byte{fin | ping, 0x80 | 126}, ErrControl},
		{"fragmented control frame", []byte{ping, 0x80}, ErrControl},
		{"continuation", []byte{more, 0x80 | 127}, ErrContinuation},
		{"close of one byte", []byte{fin | closE, 0x80 | 1}, ErrCloseLength},
		{"compression", []byte{fin | rsv1 | text, 0x80 | 5}, ErrCompression},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			s := NewScanner(Client, false)
			if n, err := s.Next(test.b[:1]); n != 0 || err != nil {
				t.Errorf("one byte: %d, %v", n, err)
			}
			if n, err := s.Next(test.b); n != 0 || err != test.want {
				t.Errorf("two bytes: %d, %v, want %v", n, err, test.want)
			}
		})
	}
}

// The longest wait there is: a client's control frame of 125 bytes.
func TestScannerHoldsAtMostMaxHeld(t *testing.T) {
	frame := raw{first: fin | pong, payload: strings.Repeat("x", MaxControlPayload)}.appendTo(nil, Client)
	s := NewScanner(Client, false)
	if n, err := s.Next(frame[:MaxHeld]); n != 0 || err != nil {
		t.Errorf("%d bytes: %d, %v", MaxHeld, n, err)
	}
	if n, err := s.Next(frame[:MaxHeld+1]); n != MaxHeld+1 || err != nil {
		t.Errorf("%d bytes: %d, %v", MaxHeld+1, n, err)
	}
}

// A higher limit holds from the next frame on, a lower one from the next message on.
func TestScannerLimitMoves(t *testing.T) {
	begin := raw{first: text, payload: "abc"}.appendTo(nil, Server)
	end := raw{first: fin | more, payload: "d"}.appendTo(nil, Server)
	for limit, want := range map[int64]error{0: nil, 3: ErrTooBig, 4: nil} {
		s := NewScanner(Server, false)
		s.Limit(3)
		if n, err := s.Next(begin); n != len(begin) || err != nil {
			t.Fatal(n, err)
		}
		s.Limit(limit)
		if _, err := s.Next(end); err != want {
			t.Errorf("limit %d: %v, want %v", limit, err, want)
		}
	}
	for _, before := range []int64{0, 4} {
		s := NewScanner(Server, false)
		s.Limit(before)
		_, _ = s.Next(begin)
		s.Limit(2)
		if n, err := s.Next(end); n != len(end) || err != nil {
			t.Errorf("limit lowered from %d: %d, %v", before, n, err)
		}
		if _, err := s.Next(raw{first: fin | text, payload: "abc"}.appendTo(nil, Server)); err != ErrTooBig {
			t.Errorf("the next message: %v", err)
		}
	}
}

// Every text fits a close frame's reason.
func TestErrorTexts(t *testing.T) {
	seen := map[Error]bool{}
	for _, rule := range rules {
		var e Error
		if !errors.As(rule.want, &e) {
			continue
		}
		seen[e] = true
		if e.Error() == "" || len(e.Error()) > MaxControlPayload-2 {
			t.Errorf("%q: %d bytes", e, len(e))
		}
	}
	if len(seen) < 12 { // all but the two of errMask
		t.Errorf("the rules give %d errors only", len(seen))
	}
}
