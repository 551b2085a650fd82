//go:build linux

package main

import (
	"encoding/binary"
	"fmt"
	"strings"
)

// messages makes the masked frame that the client of that number sends, with a
// payload of size bytes, and the frame that must come back. No two clients' bytes
// are alike.
type messages func(client, size int) (frame, want []byte)

// noise is messages of bytes that mean nothing.
func noise(client, size int) (frame, want []byte) {
	payload := make([]byte, size)
	state := uint32(client)
	for i := range payload {
		state = state*1664525 + 1013904223
		payload[i] = byte(state >> 24)
	}
	return frames(client, opBinary, payload)
}

// racTypes are messages of the RAC system, of its backend and of its portals, in
// which nobody subscribes to anything.
var racTypes = []string{
	"TRAIN_UPDATE", "STATION_ARRIVAL", "RAC_REALLOCATION", "NO_SHOW", "STATS_UPDATE",
	"upgrade:offer", "upgrade:accept", "upgrade:decline", "passenger:boarding_status",
}

// news is messages of the RAC system. The last value makes them as long as asked,
// if that is no less than 100 bytes.
func news(client, size int) (frame, want []byte) {
	text := fmt.Sprintf(`{"type":%q,"payload":{"pnr":"17225%05d","coach":"S%d","berth":%d,"name":"`,
		racTypes[client%len(racTypes)], client, client%9+1, client%72+1)
	const end = `"}}`
	text += strings.Repeat("x", size-len(text)-len(end)) + end
	return frames(client, opText, []byte(text))
}

func frames(client int, opcode byte, payload []byte) (frame, want []byte) {
	key := binary.BigEndian.AppendUint32(nil, 0x9E3779B9*uint32(client+1))
	return appendFrame(nil, opcode, key, payload), appendFrame(nil, opcode, nil, payload)
}
