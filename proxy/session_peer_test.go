package proxy_test

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"syscall"
	"testing"
	"time"
)

// First bytes of frames: FIN, reserved bits and opcode (RFC 6455 §5.2).
const (
	text       = 0x81
	textBegins = 0x01 // the first fragment
	goesOn     = 0x00 // one in the middle
	goesEnd    = 0x80 // the last one
	closing    = 0x88
	ping       = 0x89
	pong       = 0x8a
)

// peer is a client or an upstream that does what the test says and nothing of
// its own accord. It belongs to the test's goroutine, except for conn.
type peer struct {
	t     *testing.T
	name  string
	conn  *net.TCPConn
	br    *bufio.Reader
	masks bool
}

func newPeer(t *testing.T, name string, conn *net.TCPConn) *peer {
	t.Cleanup(func() { _ = conn.Close() })
	return &peer{t: t, name: name, conn: conn, br: bufio.NewReader(conn), masks: name == "client"}
}

// frame is a frame as this peer must send it.
func (p *peer) frame(first byte, payload string) []byte { return encode(p.masks, first, payload) }

// closeFrame is a close frame as this peer must send it.
func (p *peer) closeFrame(code uint16, reason string) []byte {
	return p.frame(closing, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// encode builds a frame whose length is in its shortest form.
func encode(masked bool, first byte, payload string) []byte {
	f := []byte{first}
	bit := byte(0)
	if masked {
		bit = 0x80
	}
	switch n := len(payload); {
	case n < 126:
		f = append(f, bit|byte(n))
	case n < 1<<16:
		f = binary.BigEndian.AppendUint16(append(f, bit|126), uint16(n))
	default:
		f = binary.BigEndian.AppendUint64(append(f, bit|127), uint64(n))
	}
	if !masked {
		return append(f, payload...)
	}
	mask := [4]byte{0xa1, 0x5c, 0x03, 0xfe}
	f = append(f, mask[:]...)
	for i := range len(payload) {
		f = append(f, payload[i]^mask[i%4])
	}
	return f
}

func (p *peer) send(frames ...[]byte) {
	p.t.Helper()
	_ = p.conn.SetWriteDeadline(time.Now().Add(longest))
	if _, err := p.conn.Write(bytes.Join(frames, nil)); err != nil {
		p.t.Fatalf("%s: send: %v", p.name, err)
	}
}

// read returns the next frame's first byte and its payload, unmasked. It fails
// if the frame is masked although its sender must not, or the other way round.
func (p *peer) read() (first byte, payload string, err error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	var head [2]byte
	if _, err := io.ReadFull(p.br, head[:]); err != nil {
		return 0, "", err
	}
	if masked := head[1]&0x80 != 0; masked == p.masks {
		return 0, "", errors.New("frame masked by the wrong side")
	}
	length := uint64(head[1] & 0x7f)
	if size := map[uint64]int{126: 2, 127: 8}[length]; size > 0 {
		var wide [8]byte
		if _, err := io.ReadFull(p.br, wide[8-size:]); err != nil {
			return 0, "", err
		}
		length = binary.BigEndian.Uint64(wide[:])
	}
	var mask [4]byte
	if !p.masks {
		if _, err := io.ReadFull(p.br, mask[:]); err != nil {
			return 0, "", err
		}
	}
	body := make([]byte, length)
	if _, err := io.ReadFull(p.br, body); err != nil {
		return 0, "", err
	}
	for i := range body {
		body[i] ^= mask[i%4]
	}
	return head[0], string(body), nil
}

// want reads a frame, which must be this one.
func (p *peer) want(first byte, payload string) {
	p.t.Helper()
	gotFirst, got, err := p.read()
	if err != nil || gotFirst != first || got != payload {
		p.t.Fatalf("%s: read %#x %.200q (%v), want %#x %.200q", p.name, gotFirst, got, err, first, payload)
	}
}

// wantClose reads a close frame.
func (p *peer) wantClose(code uint16, reason string) {
	p.t.Helper()
	p.want(closing, string(binary.BigEndian.AppendUint16(nil, code))+reason)
}

// wantPing reads a ping and returns its payload.
func (p *peer) wantPing() string {
	p.t.Helper()
	first, payload, err := p.read()
	if err != nil || first != ping {
		p.t.Fatalf("%s: read %#x %q (%v), want a ping", p.name, first, payload, err)
	}
	return payload
}

// skip passes over frames that begin with the byte first.
func (p *peer) skip(first byte) {
	p.t.Helper()
	for {
		_ = p.conn.SetReadDeadline(time.Now().Add(longest))
		next, err := p.br.Peek(1)
		if err == nil && next[0] == first {
			_, _, err = p.read()
		} else if err == nil {
			return
		}
		if err != nil {
			p.t.Fatalf("%s: %v", p.name, err)
		}
	}
}

// wantBytes reads exactly these bytes.
func (p *peer) wantBytes(want []byte) {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	got := make([]byte, len(want))
	if n, err := io.ReadFull(p.br, got); err != nil || !bytes.Equal(got, want) {
		p.t.Fatalf("%s: read % x (%v), want % x", p.name, got[:n], err, want)
	}
}

// wantEOF waits for the other end to close the connection, or its half of it.
func (p *peer) wantEOF() {
	p.t.Helper()
	if n, err := p.rest(); n != 0 || err != nil {
		p.t.Fatalf("%s: %d bytes and %v, want the end of the stream", p.name, n, err)
	}
}

// wantReset waits for the other end to reset the connection.
func (p *peer) wantReset() {
	p.t.Helper()
	if n, err := p.rest(); n != 0 || !errors.Is(err, syscall.ECONNRESET) {
		p.t.Fatalf("%s: %d bytes and %v, want a reset", p.name, n, err)
	}
}

// wantNothing checks that nothing has arrived that was not read.
func (p *peer) wantNothing() {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(soon))
	if b, err := p.br.Peek(1); !errors.Is(err, os.ErrDeadlineExceeded) {
		p.t.Fatalf("%s: read % x (%v), want nothing", p.name, b, err)
	}
}

// rest reads up to the end of the connection: nil for an orderly one.
func (p *peer) rest() (int64, error) {
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	return io.Copy(io.Discard, p.br)
}

// answerClose answers the close frame that was read last, and waits for the
// other end to close, as a client does, or closes itself, as an upstream does.
func (p *peer) answerClose(code uint16) {
	p.t.Helper()
	p.send(p.closeFrame(code, ""))
	if p.masks {
		p.wantEOF()
	}
	p.end()
}

// leave reads a close frame, answers it and closes. Unlike want, it may be
// called by any goroutine.
func (p *peer) leave(code uint16, reason string) {
	first, payload, err := p.read()
	want := string([]byte{byte(code >> 8), byte(code)}) + reason
	if err != nil || first != closing || payload != want {
		p.t.Errorf("%s: read %#x %q (%v), want a close frame with %d %s", p.name, first, payload, err, code, reason)
	}
	_, _ = p.conn.Write(p.closeFrame(code, ""))
	if p.masks {
		if n, err := p.rest(); n != 0 || err != nil {
			p.t.Errorf("%s: %d bytes and %v behind the close frame", p.name, n, err)
		}
	}
	p.end()
}

// end closes the connection: its peer reads the end of the stream.
func (p *peer) end() { _ = p.conn.Close() }

// reset closes the connection: its peer's next call fails.
func (p *peer) reset() {
	_ = p.conn.SetLinger(0)
	_ = p.conn.Close()
}

// request reads the head of a request, as upstream.
func (p *peer) request() *http.Request {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	r, err := http.ReadRequest(p.br)
	if err != nil {
		p.t.Fatalf("%s: read request: %v", p.name, err)
	}
	return r
}

// agree accepts a handshake, as upstream, and sends frames right behind.
func (p *peer) agree(r *http.Request, frames ...[]byte) {
	p.t.Helper()
	proof := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(proof[:]) + "\r\n\r\n"
	p.send(append([][]byte{[]byte(head)}, frames...)...)
}

// response reads the head of a response, as client.
func (p *peer) response() *http.Response {
	p.t.Helper()
	_ = p.conn.SetReadDeadline(time.Now().Add(longest))
	r, err := http.ReadResponse(p.br, nil)
	if err != nil {
		p.t.Fatalf("%s: read response: %v", p.name, err)
	}
	return r
}
