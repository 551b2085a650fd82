//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Numbered messages show what is lost, reordered or changed between two peers: what a
// session's messages are follows from its number and theirs, and each peer compares
// what arrives with what is due.

// numberedPath is where upstream knows the number of a session, which follows a word
// for the session's policy.
const numberedPath = "/numbered/"

// numbered is a session whose messages are numbered.
type numbered struct {
	number int
	texts  bool // its messages are text, such as the dialect rac reads
	topics int  // it subscribes to so many
}

// dice returns a number by chance that is the same each time for a message.
func (n numbered) dice(message, purpose int) int {
	x := uint64(n.number)<<40 ^ uint64(message)<<8 ^ uint64(purpose)
	x = (x ^ x>>33) * 0xff51afd7ed558ccd
	x = (x ^ x>>33) * 0xc4ceb9fe1a85ec53
	return int((x ^ x>>33) >> 1)
}

// What dice are thrown for.
const (
	forSize = iota
	forBytes
	forFragments
	forAnswer
	forBurst
	forPieces
)

// message returns one of the session's messages, of 20 to 220 bytes; one of eighty has
// up to 60,000.
func (n numbered) message(number int) (opcode byte, payload []byte) {
	size := 20 + n.dice(number, forSize)%200
	if large(n, number) {
		size = 20_000 + n.dice(number, forSize)%40_000
	}
	state := uint32(n.dice(number, forBytes))
	noise := make([]byte, size)
	for i := range noise {
		state = state*1664525 + 1013904223
		noise[i] = byte(state >> 24)
	}
	if !n.texts {
		binary.BigEndian.PutUint32(noise, uint32(n.number))
		binary.BigEndian.PutUint32(noise[4:], uint32(number))
		return opBinary, noise
	}
	for i := range noise {
		noise[i] = 'a' + noise[i]&0xF
	}
	return opText, fmt.Appendf(nil, `{"type":%q,"session":%d,"number":%d,"payload":{"name":%q}}`,
		racTypes[number%len(racTypes)], n.number, number, noise)
}

func large(n numbered, number int) bool { return n.dice(number, forSize)/7%80 == 0 }

// frames appends a message as frames, masked if there is a key: large ones, and some
// of the others, in several fragments.
func (n numbered) frames(dst, key []byte, number, purpose int) []byte {
	opcode, payload := n.message(number)
	fragments := 1
	if dice := n.dice(number, purpose); len(payload) > 1000 || dice%4 == 0 {
		fragments = 2 + dice/4%5
	}
	for i := range fragments {
		from, to := len(payload)*i/fragments, len(payload)*(i+1)/fragments
		at := len(dst)
		dst = appendFrame(dst, opcode, key, payload[from:to])
		if i < fragments-1 {
			dst[at] &^= finBit
		}
		opcode = opContinuation
	}
	return dst
}

// topic returns what the session is subscribed to, and the text that asks for it.
func (n numbered) topic(i int) (topic, subscribe string) {
	topic = fmt.Sprintf("%d-%d", n.number, i)
	return topic, fmt.Sprintf(`{"type":"subscribe:offers","payload":{"pnr":%q}}`, topic)
}

// topicsLeft asks upstream which topics the session is subscribed to.
const topicsLeft = `{"type":"TOPICS"}`

// messageReader puts messages together from frames, whose payload is not masked.
type messageReader struct {
	opcode byte
	sofar  []byte
}

// add returns a message that is complete with the frame; ok: it is. What it returns is
// valid until the next frame.
func (r *messageReader) add(first byte, payload []byte) (opcode byte, message []byte, ok bool) {
	if code := first & 0xF; code != opContinuation {
		if r.opcode != 0 {
			return 0, nil, true // the last one was cut short: no message is that
		}
		r.opcode = code
	}
	if first&finBit == 0 {
		r.sofar = append(r.sofar, payload...)
		return 0, nil, false
	}
	opcode, message = r.opcode, payload
	if len(r.sofar) > 0 {
		message = append(r.sofar, payload...)
	}
	r.opcode, r.sofar = 0, nil
	return opcode, message, true
}

// numbers is upstream's end of a session with numbered messages.
type numbers struct {
	numbered
	messageReader
	next   int // the number of the message that is due
	topics []string
}

// numbersFor returns it for a handshake; nil: the session's messages have no numbers.
func numbersFor(head []byte) *numbers {
	_, path, _ := bytes.Cut(head, []byte(" "))
	path, _, _ = bytes.Cut(path, []byte(" "))
	if !bytes.HasPrefix(path, []byte(numberedPath)) {
		return nil
	}
	parts := strings.Split(string(path[len(numberedPath):]), "/")
	number, err := strconv.Atoi(parts[len(parts)-1])
	if err != nil {
		return nil
	}
	return &numbers{numbered: numbered{number: number, texts: ofRAC(parts[0])}}
}

// answer implements peer. What is not as it is due is answered with a close frame that
// says so.
func (n *numbers) answer(first byte, payload []byte) (frames []byte, lost bool) {
	switch first & 0xF {
	case opPing:
		return appendFrame(nil, opPong, nil, payload), false
	case opClose:
		return appendFrame(nil, opClose, nil, payload), false
	case opPong:
		return nil, false
	}
	opcode, message, ok := n.add(first, payload)
	if !ok {
		return nil, false
	}
	if opcode == opText && n.texts {
		if text, ok := n.subscription(string(message)); ok {
			return appendFrame(nil, opText, nil, []byte(text)), false
		} else if text != "" {
			return nil, false
		}
	}
	wantOpcode, want := n.message(n.next)
	if opcode != wantOpcode || !bytes.Equal(message, want) {
		reason := fmt.Sprintf("message %d of session %d is due, %.60q came", n.next, n.number, message)
		return appendFrame(nil, opClose, nil, append(binary.BigEndian.AppendUint16(nil, 4000), reason[:min(len(reason), 123)]...)), false
	}
	n.next++
	return n.frames(nil, nil, n.next-1, forAnswer), false
}

// subscription takes what is about subscriptions. ok: there is an answer. Without one,
// and with no text, it was about something else.
func (n *numbers) subscription(message string) (text string, ok bool) {
	cut := func(kind string) (topic string, ok bool) {
		if topic, ok = strings.CutPrefix(message, `{"type":"`+kind+`","payload":{"pnr":"`); ok {
			topic, ok = strings.CutSuffix(topic, `"}}`)
		}
		return topic, ok
	}
	if topic, ok := cut("subscribe:offers"); ok {
		n.topics = append(n.topics, topic)
		return fmt.Sprintf(`{"type":"subscribed","payload":{"pnr":%q}}`, topic), true
	}
	if topic, ok := cut("unsubscribe:offers"); ok && slices.Contains(n.topics, topic) {
		n.topics = slices.DeleteFunc(n.topics, func(t string) bool { return t == topic })
		return topic, false
	}
	if message == topicsLeft {
		return strings.Join(n.topics, " "), true
	}
	return "", false
}
