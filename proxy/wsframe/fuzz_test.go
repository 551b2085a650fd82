package wsframe

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"

	"github.com/fasthttp/websocket"
)

// event is a message or a control frame, as an application hears of it.
type event struct {
	opcode     Opcode
	compressed bool
	payload    []byte // as far as it has come
	unread     bool   // not all of it could be read
}

func (e event) String() string { return fmt.Sprintf("{%d %q}", e.opcode, e.payload) }

// FuzzScanner compares the scanner with fasthttp/websocket's reader: the same
// frames, and the same thing wrong with the stream, however it is cut. Where
// the two differ is listed in agree.
func FuzzScanner(f *testing.F) {
	seeds := 0
	add := func(stream []byte, sender Sender, deflate bool, limit uint16) {
		if len(stream) == 0 {
			f.Fatal("empty seed")
		}
		seeds++
		f.Add(stream, bool(sender), deflate, limit, []byte{1, 2, 7, 200})
	}
	for _, rule := range rules {
		for _, from := range senders {
			var stream []byte
			for _, frame := range rule.frames {
				stream = frame.appendTo(stream, from.sender)
			}
			// More behind it: what is wrong stays wrong.
			stream = raw{first: fin | text, payload: "behind"}.appendTo(stream, from.sender)
			add(stream, from.sender, rule.deflate, uint16(rule.limit))
		}
	}
	random := rand.New(rand.NewPCG(5, 6))
	for i := range 20 {
		var stream []byte
		for _, frame := range randomFrames(random, 3) {
			stream = frame.appendTo(stream, Sender(i%2 == 0))
		}
		add(stream, Sender(i%2 == 0), false, 0)
	}
	for _, frames := range [][]raw{
		{{first: fin | rsv1 | text, payload: deflated("hello, hello")}},
		{{first: rsv1 | text, payload: deflated("hello, hello")[:3]}, {first: fin | ping}, {first: fin | more, payload: deflated("hello, hello")[3:]}},
	} {
		for _, from := range senders {
			var stream []byte
			for _, frame := range frames {
				stream = frame.appendTo(stream, from.sender)
			}
			add(stream, from.sender, true, 0)
		}
	}
	if seeds < 2*len(rules) {
		f.Fatalf("%d seeds only", seeds)
	}

	f.Fuzz(func(t *testing.T, stream []byte, client, deflate bool, limit uint16, cuts []byte) {
		if deflate {
			limit = 0 // the library forgets a message's length when inflating it stops early
		}
		sender := Sender(client)
		s := NewScanner(sender, deflate)
		s.Limit(int64(limit))
		whole := scan(t, s, stream, nil)
		single := bytes.Repeat([]byte{1}, min(len(stream), 4096))
		for _, cuts := range [][]byte{cuts, single} {
			if cut := scan(t, s, stream, cuts); !reflect.DeepEqual(cut, whole) {
				t.Fatalf("cut %v: %v\nwhole: %v", cuts, cut, whole)
			}
		}
		read := func(stream []byte) reading {
			return readAll(newPeer(t, stream, cuts, sender, deflate), int64(limit))
		}
		agree(t, stream, deflate, whole, read)
	})
}

func deflated(text string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	_, _ = io.WriteString(w, text)
	_ = w.Flush()
	return strings.TrimSuffix(b.String(), "\x00\x00\xff\xff") // RFC 7692 §7.2.1
}

// inflated undoes deflated, as far as it goes.
func inflated(b []byte) []byte {
	r := flate.NewReader(io.MultiReader(bytes.NewReader(b), strings.NewReader("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	text, _ := io.ReadAll(io.LimitReader(r, maxRead))
	return text
}

// maxRead is how many bytes of a message are compared: few can inflate to many.
const maxRead = 1 << 20

// scanning is what the scanner makes of a stream, up to the first close frame.
type scanning struct {
	events []event
	closed bool
	err    error
	end    int // where the close frame, the wrong one, or what cannot be judged begins
}

// scan gives a stream to a scanner, in pieces of the lengths in cuts.
func scan(t *testing.T, s Scanner, stream, cuts []byte) (got scanning) {
	var h header
	begin, passed, arrived := 0, 0, 0
	for {
		first := s.FrameBoundary()
		n, err := s.Next(stream[passed:arrived])
		if first {
			begin = passed
		}
		got.end = begin
		switch {
		case err != nil && n != 0:
			t.Fatalf("%d bytes and error %v at once", n, err)
		case err != nil:
			got.err = err
			return got
		case n == 0 && arrived-passed > MaxHeld:
			t.Fatalf("%d bytes held", arrived-passed)
		case n == 0 && arrived == len(stream):
			return got
		case n == 0:
			arrived += pieceLength(&cuts, len(stream)-arrived)
			continue
		}
		if first {
			var whole bool
			if h, whole = parseHeader(stream[begin:arrived]); !whole {
				t.Fatalf("passed without a header: %x", stream[begin:arrived])
			}
		}
		if s.Begun() != (first && (h.opcode == Text || h.opcode == Binary)) || s.Opcode() != h.opcode {
			t.Fatalf("opcode %d, begun %v, of %x", s.Opcode(), s.Begun(), stream[begin:arrived])
		}
		if first && h.opcode != Continuation {
			got.events = append(got.events, event{h.opcode, h.reserved != 0, []byte{}, false})
		}
		e := lastEvent(got.events, h.opcode.Control())
		from := max(passed, begin+h.size)
		passed += n
		for i, b := range stream[from:passed] {
			if h.masked {
				b ^= stream[begin+h.size-4+(from+i-begin-h.size)%4]
			}
			e.payload = append(e.payload, b)
		}
		if s.Opcode() == Close {
			got.closed = true
			return got
		}
	}
}

// pieceLength takes the next length from cuts; without one, all arrives.
func pieceLength(cuts *[]byte, rest int) int {
	if len(*cuts) == 0 {
		return rest
	}
	n := max(1, int((*cuts)[0]))
	*cuts = (*cuts)[1:]
	return min(n, rest)
}

// lastEvent is the control frame that came last, or the message that goes on.
func lastEvent(events []event, control bool) *event {
	for i := len(events) - 1; ; i-- {
		if events[i].opcode.Control() == control {
			return &events[i]
		}
	}
}

// reading is what the library makes of a stream.
type reading struct {
	events []event
	err    error
}

// closed reports whether the library read a close frame.
func (r reading) closed() bool {
	return websocket.IsUnexpectedCloseError(r.err, websocket.CloseAbnormalClosure)
}

// ended reports whether the stream just ended.
func (r reading) ended() bool {
	return r.err == io.EOF || websocket.IsCloseError(r.err, websocket.CloseAbnormalClosure)
}

// readAll reads until the library gives up.
func readAll(c *websocket.Conn, limit int64) reading {
	var got reading
	control := func(opcode Opcode) func(string) error {
		return func(payload string) error {
			got.events = append(got.events, event{opcode: opcode, payload: []byte(payload)})
			return nil
		}
	}
	c.SetReadLimit(limit)
	c.SetPingHandler(control(Ping))
	c.SetPongHandler(control(Pong))
	c.SetCloseHandler(func(code int, text string) error {
		payload := []byte{}
		if code != websocket.CloseNoStatusReceived {
			payload = append(binary.BigEndian.AppendUint16(payload, uint16(code)), text...)
		}
		return control(Close)(string(payload))
	})
	for {
		opcode, r, err := c.NextReader()
		if err != nil {
			got.err = err
			return got
		}
		at := len(got.events)
		got.events = append(got.events, event{opcode: Opcode(opcode)})
		// What is wrong with the stream comes back from NextReader; what is
		// wrong with compressed data does not.
		payload, err := io.ReadAll(io.LimitReader(r, maxRead))
		got.events[at].payload, got.events[at].unread = payload, err != nil
	}
}

// libraryTexts is what the library says, among other things, where the scanner
// gives the error.
var libraryTexts = map[error][]string{
	ErrReserved:     {"RSV2 set", "RSV3 set"},
	ErrCompression:  {"RSV1 set"},
	ErrOpcode:       {"bad opcode"},
	ErrUnmasked:     {"bad MASK"},
	ErrMasked:       {"bad MASK"},
	ErrControl:      {"len > 125 for control", "FIN not set on control"},
	ErrContinuation: {"continuation after FIN"},
	ErrInterrupted:  {"data before FIN"},
	ErrCloseCode:    {"bad close code"},
	ErrCloseReason:  {"invalid utf8 payload in close frame"},
	ErrLength:       {"read limit exceeded"},
	ErrTooBig:       {"read limit exceeded"},
}

// agree wants the same from both, but for the differences it names.
func agree(t *testing.T, stream []byte, deflate bool, ours scanning, read func([]byte) reading) {
	t.Helper()
	theirs := read(stream)
	if ours.err != nil && laxer(stream[ours.end:], deflate, ours.err) {
		// The library takes this frame. Before it, all must be the same.
		theirs = read(stream[:ours.end])
		if !theirs.ended() {
			t.Fatalf("before what the scanner calls %q the library has %v", ours.err, theirs.err)
		}
		sameEvents(t, ours.events, theirs.events)
		return
	}
	if stricter(stream[ours.end:], ours, theirs.err) {
		events := ours.events
		if ours.closed {
			events = events[:len(events)-1]
		}
		sameEvents(t, events, theirs.events)
		return
	}
	switch {
	case ours.err != nil && !says(theirs.err, libraryTexts[ours.err]):
		t.Fatalf("scanner: %v; library: %v", ours.err, theirs.err)
	case ours.err == nil && ours.closed != theirs.closed():
		t.Fatalf("scanner: closed %v; library: %v", ours.closed, theirs.err)
	case ours.err == nil && !ours.closed && !theirs.ended():
		t.Fatalf("scanner: nothing wrong; library: %v", theirs.err)
	}
	sameEvents(t, ours.events, theirs.events)
}

// laxer reports whether the library is known to take a frame, the first of
// rest, that the scanner refuses.
func laxer(rest []byte, deflate bool, err error) bool {
	h, whole := parseHeader(rest)
	switch err {
	case ErrMinimal: // it takes a length of any form
		return true
	case ErrCloseLength: // it takes one byte for no code
		return true
	case ErrCompressed: // it looks at RSV1 nowhere but where a message begins
		return deflate
	case ErrLength:
		// It need not count a header and its payload as one, and, where it
		// inflates, it may have forgotten the fragments before.
		return whole && (h.length > math.MaxInt64-MaxHeader || deflate && h.opcode == Continuation)
	}
	return false
}

// stricter reports whether err is known to be the library's alone, for what
// rest begins with.
func stricter(rest []byte, ours scanning, err error) bool {
	h, whole := parseHeader(rest)
	switch {
	case ours.closed, ours.err == ErrCloseReason:
		// It does not know of 1014, which IANA added, and looks at the code first.
		var buf [MaxControlPayload]byte
		payload := Payload(&buf, rest[:h.size+int(h.length)])
		return len(payload) >= 2 && binary.BigEndian.Uint16(payload) == 1014 && says(err, []string{"bad close code 1014"})
	case ours.err == nil:
		// It refuses a length of 64 bits before the mask behind it has come.
		return !whole && h.length < 0 && says(err, libraryTexts[ErrLength])
	}
	return false
}

func says(err error, texts []string) bool {
	for _, text := range texts {
		if err != nil && strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

func sameEvents(t *testing.T, ours, theirs []event) {
	t.Helper()
	if len(ours) != len(theirs) {
		t.Fatalf("scanner: %v\nlibrary: %v", ours, theirs)
	}
	for i := range ours {
		payload := ours[i].payload
		switch {
		case ours[i].compressed && theirs[i].unread:
			payload = theirs[i].payload // not deflated data, or not all of it
		case ours[i].compressed:
			payload = inflated(payload)
		default:
			payload = payload[:min(len(payload), maxRead)]
		}
		if ours[i].opcode != theirs[i].opcode || !bytes.Equal(payload, theirs[i].payload) {
			t.Fatalf("scanner: %v\nlibrary: %v", ours, theirs)
		}
	}
}
