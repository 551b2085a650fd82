package proxy_test

import (
	"encoding/binary"
	"errors"
	"io"
	"slices"
	"strings"
	"syscall"
)

// What becomes of a client behind an ending, unless it is closed with a code.
const (
	gone    = 1 // it has closed its connection
	anyCode = 2 // it waits for the end of the connection
)

// greedyEnding is a way in which clients go.
type greedyEnding struct {
	name string
	// do returns the code of the close frame that the client is to get, gone or
	// anyCode.
	do       func(*greedyClient, greedyMessages) uint16
	deflated bool   // compression is needed
	only     string // on this path; empty: on all
	message  bool   // it is a message that does it, and not its frame
}

// greedyEndingFor returns one after the other of those that there are on a path.
func greedyEndingFor(path string, turn int) greedyEnding {
	fits := slices.DeleteFunc(slices.Clone(greedyEndings), func(e greedyEnding) bool {
		return e.only != "" && e.only != path || e.message && path == "/drop"
	})
	return fits[turn%len(fits)]
}

var greedyEndings = []greedyEnding{
	{name: "one too many", message: true, only: "/close", do: func(c *greedyClient, g greedyMessages) uint16 {
		g.topics = 1 << 20
		for range 200 {
			c.message(0x1, []byte(g.subscribe()), false)
		}
		return 1008
	}},
	{name: "not UTF-8", message: true, only: "/reject-strict", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.message(0x1, []byte("{\"type\":\"subscribe:offers\",\"payload\":{\"pnr\":\"\xff\"}}"), false)
		return 1007
	}},
	{name: "close", do: func(c *greedyClient, g greedyMessages) uint16 {
		code := pickOne(c.Rand, uint16(1000), 1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 1014, 3000, 4999)
		c.frame(closing, append(binary.BigEndian.AppendUint16(nil, code), "Client disconnect"...))
		return code
	}},
	{name: "close without a code", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(closing, nil)
		return 0
	}},
	{name: "close within a message", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(textBegins, []byte(g.subscribe()))
		c.frame(closing, []byte("\x03\xe9"))
		return 1001
	}},
	{name: "end of the stream", do: func(c *greedyClient, g greedyMessages) uint16 { return anyCode }},
	{name: "vanished", do: func(c *greedyClient, g greedyMessages) uint16 { return c.vanish() }},
	{name: "cut in a message", do: func(c *greedyClient, g greedyMessages) uint16 {
		whole := len(c.out)
		c.message(0x1, []byte(g.subscribe()), false)
		c.out = c.out[:whole+c.IntN(len(c.out)-whole)]
		if c.in(2) {
			return anyCode
		}
		return c.vanish()
	}},
	{name: "cut between fragments", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(textBegins, []byte(g.subscribe()))
		for c.in(2) {
			c.frame(goesOn, []byte(" "))
		}
		return c.vanish()
	}},
	{name: "bad frame", do: func(c *greedyClient, g greedyMessages) uint16 {
		first := pickOne(c.Rand, byte(0x91), 0xa1, 0xb2, 0x83, 0x87, 0x8b, 0x8f, 0x80, 0x00, 0x09, 0xc0, 0xc9, 0xc8, 0xf1)
		c.frame(first, []byte(g.subscribe()))
		return 1002
	}},
	{name: "bad fragment", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(textBegins, []byte(g.subscribe()))
		c.frame(pickOne(c.Rand, byte(0x01), 0x81, 0x82, 0x40, 0xc0, 0x90), []byte(g.subscribe()))
		return 1002
	}},
	{name: "no mask", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.out = append(c.out, encode(false, text, g.subscribe())...)
		return 1002
	}},
	{name: "long control frame", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(pickOne(c.Rand, byte(ping), pong, closing), []byte(strings.Repeat(g.subscribe(), 4)))
		return 1002
	}},
	{name: "bad length", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.out = append(c.out, text)
		c.out = append(c.out, pickOne(c.Rand, "\xfe\x00\x05", "\xff\x00\x00\x00\x00\x00\x00\x00\x05", "\xff\x00\x00\x00\x00\x00\x00\xff\xff", "\xff\xff\xff\xff\xff\xff\xff\xff\xff", "\xff\x80\x00\x00\x00\x00\x00\x00\x05")...)
		c.out = append(c.out, 0, 0, 0, 0)
		return 1002
	}},
	{name: "bad close frame", do: func(c *greedyClient, g greedyMessages) uint16 {
		c.frame(closing, []byte(pickOne(c.Rand, "\x03", "\x03\xe7", "\x03\xec", "\x03\xed", "\x03\xee", "\x03\xf7", "\x0b\xb7", "\x13\x88", "\x00\x00", "\x03\xe8\xff", "\xff\xff")))
		return 1002
	}},
	{name: "too big", message: true, do: func(c *greedyClient, g greedyMessages) uint16 {
		message := g.pad(g.subscribe(), greedyMost+1+c.IntN(pickOne(c.Rand, 1, 5, 5000)))
		c.message(pickOne(c.Rand, byte(1), 2), []byte(message), false)
		return 1009
	}},
	{name: "too big inflated", message: true, deflated: true, do: func(c *greedyClient, g greedyMessages) uint16 {
		message := g.pad(g.subscribe(), greedyMost+1+c.IntN(pickOne(c.Rand, 1, 5, 1<<20)))
		c.message(pickOne(c.Rand, byte(1), 2), c.deflater.deflate(c.Rand, []byte(message)), true)
		return 1009
	}},
	{name: "not compressed", message: true, deflated: true, do: func(c *greedyClient, g greedyMessages) uint16 {
		hello := "\xf2\x48\xcd\xc9\xc9\x07\x00"
		c.message(0x1, []byte(pickOne(c.Rand, g.subscribe(), "\x06\x00", "\x02\x03\x00", hello[:5], hello+"\x00\x00\xff\xff",
			"\xf3\x48\xcd\xc9\xc9\x07\x00"+hello, "\x00\x05\x00\xfa\xffHello")), true)
		return 1002
	}},
	{name: "byte-order mark", message: true, do: func(c *greedyClient, g greedyMessages) uint16 {
		c.message(0x2, []byte("\ufeff"+g.subscribe()), false)
		return 1002
	}},
}

// vanish sends what was added, and closes or resets the connection.
func (c *greedyClient) vanish() uint16 {
	_ = c.flush()
	if c.in(2) {
		_ = c.conn.SetLinger(0)
	}
	_ = c.conn.Close()
	return gone
}

// ignoreReset returns nil for what a client that has gone may meet.
func ignoreReset(err error) error {
	if errors.Is(err, syscall.ECONNRESET) || errors.Is(err, io.ErrUnexpectedEOF) {
		return nil
	}
	return err
}
