//go:build linux

package main

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"strconv"
)

// Paths of the soak's, behind which is a kind's name.
const (
	soakPath = "/soak/"
	pagePath = "/soak-page/" // plain HTTP; the size of the answer follows
)

// What a client of the soak's may say for upstream to do something.
const (
	sayClose = "soak: close"
	sayDrop  = "soak: drop"
	sayFlood = "soak: flood"
)

// The flood is so many messages of so many bytes: more than systems keep for a client
// that does not read.
const (
	floodMessages = 64
	floodMessage  = 64 << 10
)

// soakAnswer returns what upstream answers to the head of a request that asks for no
// session, or gets none; empty: it is none of these.
func soakAnswer(head []byte) []byte {
	path := pathOf(head)
	if bytes.Equal(path, []byte(soakPath+unwanted)) {
		return []byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")
	}
	text, ok := bytes.CutPrefix(path, []byte(pagePath))
	size, err := strconv.Atoi(string(text))
	if !ok || err != nil {
		return nil
	}
	return append(fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size), page(size)...)
}

// page returns what is at pagePath.
func page(size int) []byte { return bytes.Repeat([]byte("0123456789abcdef"), size/16+1)[:size] }

// pathOf returns the target of a request without its query.
func pathOf(head []byte) []byte {
	_, path, _ := bytes.Cut(head, []byte(" "))
	path, _, _ = bytes.Cut(path, []byte(" "))
	path, _, _ = bytes.Cut(path, []byte("?"))
	return path
}

// soakPeer is upstream's end of a session of the soak's. It sends messages back, but
// for those that say what else to do.
type soakPeer struct {
	messageReader
	frozen bool // it answers no pings
}

// soakPeerFor returns it for a handshake; nil: it is none of the soak's.
func soakPeerFor(head []byte) *soakPeer {
	kind, ok := bytes.CutPrefix(pathOf(head), []byte(soakPath))
	if !ok {
		return nil
	}
	return &soakPeer{frozen: string(kind) == frozen}
}

// answer implements peer.
func (p *soakPeer) answer(first byte, payload []byte) (frames []byte, lost bool) {
	switch first & 0xF {
	case opPing:
		if p.frozen {
			return nil, false
		}
		return appendFrame(nil, opPong, nil, payload), false
	case opPong:
		return nil, false
	case opClose:
		return appendFrame(nil, opClose, nil, payload), false
	}
	opcode, message, ok := p.add(first, payload)
	if !ok {
		return nil, false
	}
	switch string(message) {
	case sayClose:
		return appendFrame(nil, opClose, nil, binary.BigEndian.AppendUint16(nil, 1000)), false
	case sayDrop:
		return nil, true
	case sayFlood:
		frame := appendFrame(nil, opBinary, nil, make([]byte, floodMessage))
		return bytes.Repeat(frame, floodMessages), false
	}
	return appendFrame(nil, opcode, nil, message), false
}
