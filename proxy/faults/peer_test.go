//go:build linux

package faults

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// peer is one end of a session: a client, or upstream. It says what its script has when
// the test has it do so; of its own accord it answers pings and close frames, and compares
// what it hears.
type peer struct {
	t      *testing.T
	conn   net.Conn
	br     *bufio.Reader
	client bool

	says, hears script
	said        atomic.Int64 // messages that it has begun to write, the last one perhaps in vain
	heard       atomic.Int64 // messages that have arrived in full
	bytes       atomic.Int64 // of payloads that have arrived

	writing sync.Mutex
	halfway bool // a message is under way whose rest is not sent yet
	closed  bool // the close frame was sent
	hushed  bool // pings are not answered yet
	owed    []byte

	over chan struct{} // closed when the connection has come to its end
	code ws.StatusCode // of the close frame that has arrived, when over; 0: none has
}

// begin has the peer listen. The connection is closed when nothing more can arrive.
func (p *peer) begin() {
	_ = p.conn.SetDeadline(time.Now().Add(patience))
	p.over = make(chan struct{})
	go p.listen()
	p.t.Cleanup(func() {
		_ = p.conn.Close()
		<-p.over
	})
}

func (p *peer) name() string {
	if p.client {
		return "client"
	}
	return "upstream"
}

func (p *peer) listen() {
	defer close(p.over)
	defer p.conn.Close()
	for n := 0; ; n++ {
		if n >= len(p.hears.sizes) {
			_, _ = p.header() // of a message too many
			return
		}
		payload := p.hears.payload(n)
		for _, want := range p.hears.headers(n) {
			got, ok := p.header()
			if !ok {
				return
			}
			mask, masked := got.Mask, got.Masked
			if got.Mask, got.Masked = want.Mask, want.Masked; got != want || masked == p.client {
				p.t.Errorf("%s: frame %+v in message %d, want %+v", p.name(), got, n, want)
				return
			}
			if !p.body(payload[:want.Length], mask, n) {
				return
			}
			payload = payload[want.Length:]
		}
		p.heard.Add(1)
	}
}

// header returns the next data frame's. It is not ok at the end.
func (p *peer) header() (h ws.Header, ok bool) {
	for {
		h, err := ws.ReadHeader(p.br)
		if err != nil {
			return h, false
		}
		if !h.OpCode.IsControl() {
			if p.heard.Load() == int64(len(p.hears.sizes)) {
				p.t.Errorf("%s: a message more than was sent", p.name())
				return h, false
			}
			return h, true
		}
		body := make([]byte, h.Length)
		if _, err := io.ReadFull(p.br, body); err != nil {
			return h, false
		}
		ws.Cipher(body, h.Mask, 0)
		switch h.OpCode {
		case ws.OpPing:
			p.answer(body)
		case ws.OpClose:
			p.code, _ = ws.ParseCloseFrameData(body)
			p.close(p.code)
			if p.client { // wswarden is the first to end the stream, and upstream towards it
				_, _ = io.Copy(io.Discard, p.br)
			}
			return h, false
		}
	}
}

// body reads a frame's payload, which has to be this one.
func (p *peer) body(want []byte, mask [4]byte, n int) (ok bool) {
	var buf [32 << 10]byte
	for at := 0; at < len(want); {
		k, err := p.br.Read(buf[:min(len(buf), len(want)-at)])
		ws.Cipher(buf[:k], mask, at)
		if !bytes.Equal(buf[:k], want[at:at+k]) {
			p.t.Errorf("%s: wrong bytes in message %d", p.name(), n)
			return false
		}
		p.bytes.Add(int64(k))
		if at += k; err != nil {
			return false
		}
	}
	return true
}

// say sends all messages up to the n-th that were not sent yet. An error is the end, of
// which listen tells.
func (p *peer) say(n int) {
	for i := int(p.said.Load()); i < n; i++ {
		p.writing.Lock()
		b := p.says.wire(i, p.client)
		if p.halfway {
			b, p.halfway = b[len(b)/2:], false
		}
		p.said.Add(1)
		_, err := p.conn.Write(b)
		p.writing.Unlock()
		if err != nil {
			return
		}
	}
}

// sayHalf sends the first half of the next message.
func (p *peer) sayHalf() {
	p.writing.Lock()
	defer p.writing.Unlock()
	b := p.says.wire(int(p.said.Load()), p.client)
	_, _ = p.conn.Write(b[:len(b)/2])
	p.halfway = true
}

// answer answers a ping.
func (p *peer) answer(payload []byte) {
	if p.writing.TryLock() { // while it is sending it is seen to live
		defer p.writing.Unlock()
		if p.hushed {
			p.owed = payload
			return
		}
		p.control(ws.NewPongFrame(payload))
	}
}

// close sends a close frame, once. It cannot within a message's frame.
func (p *peer) close(code ws.StatusCode) {
	p.writing.Lock()
	defer p.writing.Unlock()
	if p.closed || p.halfway {
		return
	}
	p.closed = true
	p.control(ws.NewCloseFrame(ws.NewCloseFrameBody(code, "")))
}

func (p *peer) control(f ws.Frame) {
	if p.halfway {
		return
	}
	if p.client {
		f = ws.MaskFrameInPlace(f)
	}
	_, _ = p.conn.Write(ws.MustCompileFrame(f))
}
