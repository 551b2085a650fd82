package proxy_test

import (
	"bufio"
	"bytes"
	"compress/flate"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"time"
)

// greedyClient speaks WebSocket by itself, in every way that the protocol allows.
type greedyClient struct {
	*rand.Rand
	conn     *net.TCPConn
	br       *bufio.Reader
	deflater *greedyDeflater // nil: compression was not agreed upon
	strict   bool            // text must be UTF-8
	lossy    bool            // wswarden drops some of what is said
	drips    bool            // what is sent goes byte by byte, almost

	out  []byte // not sent yet
	sent [][]byte

	asked, held int
	refused     int    // messages that wswarden has refused
	code        uint16 // of the close frame that has come
}

var errGreedyClosed = errors.New("session has ended")

// greedyDial opens a session. early are messages that go with the handshake.
func greedyDial(address, path string, r *rand.Rand, deflater *greedyDeflater, early ...[]byte) (*greedyClient, error) {
	conn, err := net.Dial("tcp", address)
	if err != nil {
		return nil, err
	}
	_ = conn.SetDeadline(time.Now().Add(interopPatience))
	c := &greedyClient{Rand: r, conn: conn.(*net.TCPConn), br: bufio.NewReader(conn)}
	extensions := ""
	if deflater != nil {
		extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n"
	}
	c.out = fmt.Appendf(nil, "GET %s HTTP/1.1\r\nHost: rac\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", path, interopKey, extensions)
	for _, message := range early {
		c.message(0x1, message, false)
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return c, err
	}
	c.out = nil
	response, err := http.ReadResponse(c.br, nil)
	if err != nil {
		return c, err
	}
	if response.StatusCode != http.StatusSwitchingProtocols {
		return c, fmt.Errorf("handshake: %s", response.Status)
	}
	if response.Header.Get("Sec-WebSocket-Extensions") != "" {
		c.deflater = deflater
	}
	return c, nil
}

func (c *greedyClient) in(n int) bool { return c.IntN(n) == 0 }

// frame adds a frame, whatever its first byte.
func (c *greedyClient) frame(first byte, payload []byte) {
	mask := binary.NativeEndian.AppendUint32(nil, c.Uint32())
	if c.in(10) {
		mask = make([]byte, 4)
	}
	c.out = append(c.out, first)
	switch n := len(payload); {
	case n < 126:
		c.out = append(c.out, 0x80|byte(n))
	case n < 1<<16:
		c.out = binary.BigEndian.AppendUint16(append(c.out, 0x80|126), uint16(n))
	default:
		c.out = binary.BigEndian.AppendUint64(append(c.out, 0x80|127), uint64(n))
	}
	c.out = append(c.out, mask...)
	for i, b := range payload {
		c.out = append(c.out, b^mask[i%4])
	}
}

// message adds a message in one frame or in many, with control frames between.
func (c *greedyClient) message(opcode byte, payload []byte, compressed bool) {
	first := opcode
	if compressed {
		first |= 0x40
	}
	if c.in(4) {
		longest := max(1, len(payload)/(1+c.IntN(8)))
		if len(payload) < 100 && c.in(4) {
			longest = 1
		}
		for !c.in(10) {
			n := min(c.IntN(longest+1), len(payload))
			c.frame(first, payload[:n])
			payload = payload[n:]
			first = goesOn
			for c.in(4) {
				c.frame(pickOne(c.Rand, byte(ping), pong), []byte(pickOne(c.Rand, "", "between", `{"type":"SUBSCRIBE"}`)))
			}
		}
	}
	c.frame(first|0x80, payload)
}

// say adds a message, unless wswarden would end the session for it.
func (c *greedyClient) say(message []byte) (fate uint16) {
	opcode, payload, compress := pickOne(c.Rand, byte(1), 1, 1, 2), message, c.deflater != nil && c.in(2)
	if compress {
		payload = c.deflater.deflate(c.Rand, message)
	}
	fate = greedyFate(opcode == 2, c.strict, message, payload)
	if fate == 0 || c.in(10) && !c.lossy {
		c.message(opcode, payload, compress)
		c.sent = append(c.sent, message)
		return fate
	}
	return 0
}

// flush sends what was added, in pieces.
func (c *greedyClient) flush() error {
	for len(c.out) > 0 {
		n := len(c.out)
		switch {
		case c.drips:
			n = min(n, 1+c.IntN(100))
		case c.in(3):
			n = 1 + c.IntN(n)
		}
		if _, err := c.conn.Write(c.out[:n]); err != nil {
			return err
		}
		c.out = c.out[n:]
	}
	return nil
}

// flood says ever more until the other end takes nothing any longer. The last
// message is cut anywhere. There are no pings: ws ends those who send too many.
func (c *greedyClient) flood(g greedyMessages) {
	for {
		c.out = c.out[:0]
		for range 100 {
			message := []byte(g.pad(g.subscribe(), 1+c.IntN(greedyMost)))
			c.frame(0x82, message)
		}
		_ = c.conn.SetWriteDeadline(time.Now().Add(soon))
		if _, err := c.conn.Write(c.out); err != nil {
			return
		}
	}
}

// ask waits until upstream has read all that was said, and tells how many
// subscriptions it holds then. If the session has ended, it returns errGreedyClosed.
func (c *greedyClient) ask() error {
	c.asked++
	c.frame(text, fmt.Appendf(nil, `{"type":"ask","n":%d}`, c.asked))
	if err := c.flush(); err != nil {
		return c.readToClose()
	}
	for {
		message, err := c.read()
		if err != nil {
			return err
		}
		if !bytes.HasPrefix(message, []byte(`{"type":"asked"`)) {
			continue
		}
		var answer struct{ N, Held int }
		if err := json.Unmarshal(message, &answer); err != nil {
			return err
		}
		if answer.N == c.asked {
			c.held = answer.Held
			return nil
		}
	}
}

// read returns the next message. It answers a close frame, and returns
// errGreedyClosed.
func (c *greedyClient) read() ([]byte, error) {
	for {
		first, payload, err := interopReadPlain(c.br)
		switch {
		case err != nil:
			return nil, err
		case first == closing:
			if len(payload) >= 2 {
				c.code = binary.BigEndian.Uint16(payload)
			}
			c.out = nil
			c.frame(closing, payload[:min(2, len(payload))])
			_, _ = c.conn.Write(c.out)
			return nil, errGreedyClosed
		case first == ping || first == pong:
			continue
		case first == text|0x40:
			if payload, err = c.deflater.inflate(payload); err != nil {
				return nil, err
			}
		case first != text:
			return nil, fmt.Errorf("frame %#x", first)
		}
		if bytes.HasPrefix(payload, []byte(`{"type":"ERROR","message":"limit of`)) || bytes.HasPrefix(payload, []byte(`{"type":"ERROR","message":"message`)) {
			c.refused++
		}
		return payload, nil
	}
}

// readToClose reads up to a close frame.
func (c *greedyClient) readToClose() error {
	for {
		if _, err := c.read(); err != nil {
			return err
		}
	}
}

// interopReadPlain reads a frame of a server's.
func interopReadPlain(r io.Reader) (first byte, payload []byte, err error) {
	f, err := interopReadFrame(r)
	if err != nil {
		return 0, nil, err
	}
	first = byte(f.Header.OpCode) | f.Header.Rsv<<4
	if f.Header.Fin {
		first |= 0x80
	}
	return first, f.Payload, nil
}

// greedyDeflater compresses each message alone, in one of the ways that RFC 7692
// §7.2.3 allows.
type greedyDeflater struct {
	writers map[int]*flate.Writer
	reader  io.ReadCloser
}

func (d *greedyDeflater) deflate(r *rand.Rand, message []byte) []byte {
	const tail = "\x00\x00\xff\xff"
	var b bytes.Buffer
	if r.IntN(3) == 0 {
		return storedBlocks(r, message)
	}
	level := pickOne(r, flate.HuffmanOnly, flate.NoCompression, flate.BestSpeed, flate.BestSpeed, flate.DefaultCompression, flate.BestCompression)
	w := d.writers[level]
	if w == nil {
		w, _ = flate.NewWriter(&b, level)
		if d.writers == nil {
			d.writers = map[int]*flate.Writer{}
		}
		d.writers[level] = w
	}
	w.Reset(&b)
	for r.IntN(4) == 0 { // several blocks
		n := r.IntN(len(message) + 1)
		_, _ = w.Write(message[:n])
		_ = w.Flush()
		message = message[n:]
	}
	_, _ = w.Write(message)
	if r.IntN(4) == 0 { // the stream ends, §7.2.3.4
		_ = w.Close()
		return append(b.Bytes(), pickOne(r, "", "\x00")...)
	}
	_ = w.Flush()
	return bytes.TrimSuffix(b.Bytes(), []byte(tail))
}

// storedBlocks compresses nothing, §7.2.3.3.
func storedBlocks(r *rand.Rand, message []byte) (wire []byte) {
	final := r.IntN(3) == 0
	for {
		n := len(message)
		if r.IntN(3) == 0 {
			n = r.IntN(n + 1)
		}
		last := n == len(message)
		header := byte(0)
		if last && final {
			header = 1
		}
		wire = binary.LittleEndian.AppendUint16(append(wire, header), uint16(n))
		wire = append(binary.LittleEndian.AppendUint16(wire, ^uint16(n)), message[:n]...)
		message = message[n:]
		switch {
		case last && final:
			return append(wire, pickOne(r, "", "\x00")...)
		case last:
			return append(wire, 0)
		}
	}
}

func (d *greedyDeflater) inflate(payload []byte) ([]byte, error) {
	source := bytes.NewReader(slices.Concat(payload, []byte("\x00\x00\xff\xff\x01\x00\x00\xff\xff")))
	if d.reader == nil {
		d.reader = flate.NewReader(source)
	} else if err := d.reader.(flate.Resetter).Reset(source, nil); err != nil {
		return nil, err
	}
	return io.ReadAll(d.reader)
}
