//go:build linux

package main

import (
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
)

// Opcodes (RFC 6455 §5.2).
const (
	opContinuation = 0x0
	opText         = 0x1
	opBinary       = 0x2
	opClose        = 0x8
	opPing         = 0x9
	opPong         = 0xA
)

const (
	finBit   = 0x80 // of a frame's first byte
	maskBit  = 0x80 // of its second
	keyBytes = 4
)

// appendFrame appends a whole message as one frame; without a key it is not
// masked.
func appendFrame(dst []byte, opcode byte, key, payload []byte) []byte {
	var masked byte
	if key != nil {
		masked = maskBit
	}
	dst = append(dst, finBit|opcode)
	switch n := len(payload); {
	case n < 126:
		dst = append(dst, masked|byte(n))
	case n < 1<<16:
		dst = binary.BigEndian.AppendUint16(append(dst, masked|126), uint16(n))
	default:
		dst = binary.BigEndian.AppendUint64(append(dst, masked|127), uint64(n))
	}
	dst = append(dst, key...)
	dst = append(dst, payload...)
	if key != nil {
		applyMask(dst[len(dst)-len(payload):], key)
	}
	return dst
}

// maskedFrame measures the masked frame that b begins with: its header, key
// included, and its payload. Both are zero while the length is incomplete.
func maskedFrame(b []byte) (header, payload int) {
	if header, payload = bareFrame(b); header > 0 {
		header += keyBytes
	}
	return header, payload
}

// bareFrame is maskedFrame for a frame that is not masked.
func bareFrame(b []byte) (header, payload int) {
	if len(b) < 2 {
		return 0, 0
	}
	switch short := b[1] &^ maskBit; {
	case short < 126:
		return 2, int(short)
	case short == 126 && len(b) >= 4:
		return 4, int(binary.BigEndian.Uint16(b[2:]))
	case short == 127 && len(b) >= 10:
		return 10, int(binary.BigEndian.Uint64(b[2:]))
	}
	return 0, 0
}

// applyMask masks b, or unmasks it (RFC 6455 §5.3).
func applyMask(b, key []byte) {
	word := uint64(binary.LittleEndian.Uint32(key))
	word |= word << 32
	for len(b) >= 8 {
		binary.LittleEndian.PutUint64(b, binary.LittleEndian.Uint64(b)^word)
		b = b[8:]
	}
	for i := range b {
		b[i] ^= key[i%keyBytes]
	}
}

// acceptKey answers a Sec-WebSocket-Key (RFC 6455 §4.2.2).
func acceptKey(key string) string {
	sum := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(sum[:])
}
