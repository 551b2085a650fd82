package proxy_test

import (
	"bufio"
	"io"
	"net"
	"sync"
	"testing"

	"github.com/gobwas/httphead"
	"github.com/gobwas/ws"
	"github.com/gobwas/ws/wsflate"
)

// gobwas/ws, which leaves reading and writing frames to its user and compresses
// without context takeover only.

func interopGobwasDial(t *testing.T, address string, compress bool) *interopPeer {
	dialer := ws.Dialer{Protocols: interopOffered}
	if compress {
		dialer.Extensions = []httphead.Option{wsflate.DefaultParameters.Option()}
	}
	conn, early, handshake, err := dialer.Dial(t.Context(), "ws://"+address)
	if err != nil {
		t.Fatalf("dial with gobwas: %v", err)
	}
	p := newInteropPeer()
	p.subprotocol = handshake.Protocol
	for _, extension := range handshake.Extensions {
		p.extensions = string(extension.Name)
	}
	if early == nil {
		early = bufio.NewReader(conn)
	}
	p.serveGobwas(t, conn, early, ws.StateClientSide, len(handshake.Extensions) > 0)
	return p
}

func interopGobwasListen(t *testing.T, compress bool) (string, <-chan *interopPeer) {
	accepted := make(chan *interopPeer, 1)
	ln := interopListen(t)
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			extension := wsflate.Extension{Parameters: wsflate.DefaultParameters}
			upgrader := ws.Upgrader{Protocol: func(name []byte) bool { return string(name) == interopChosen }}
			if compress {
				upgrader.Negotiate = extension.Negotiate
			}
			handshake, err := upgrader.Upgrade(conn)
			if err != nil {
				t.Errorf("accept with gobwas: %v", err)
				_ = conn.Close()
				continue
			}
			p := newInteropPeer()
			p.subprotocol = handshake.Protocol
			_, deflate := extension.Accepted()
			p.serveGobwas(t, conn, bufio.NewReader(conn), ws.StateServerSide, deflate)
			accepted <- p
		}
	}()
	return ln.Addr().String(), accepted
}

func (p *interopPeer) serveGobwas(t *testing.T, conn net.Conn, r io.Reader, role ws.State, deflate bool) {
	var writing sync.Mutex
	send := func(f ws.Frame) error {
		writing.Lock()
		defer writing.Unlock()
		_, err := conn.Write(interopBytes(role, f))
		return err
	}
	p.write = func(m interopMessage) (err error) {
		f := ws.NewTextFrame(m.payload)
		if m.binary {
			f = ws.NewBinaryFrame(m.payload)
		}
		if deflate {
			if f, err = wsflate.CompressFrame(f); err != nil {
				return err
			}
		}
		return send(f)
	}
	p.ping = func() error { return send(ws.NewPingFrame([]byte("gobwas pings"))) }
	p.close = func(code int, reason string) error {
		return send(ws.NewCloseFrame(ws.NewCloseFrameBody(ws.StatusCode(code), reason)))
	}
	t.Cleanup(func() { _ = conn.Close() })
	go func() {
		p.closed <- p.readGobwas(r, role, send)
		_ = conn.Close()
	}()
}

// readGobwas reads frames up to the other end's close frame.
func (p *interopPeer) readGobwas(r io.Reader, role ws.State, send func(ws.Frame) error) interopClose {
	var message interopMessage
	var state wsflate.MessageState
	for {
		f, err := interopReadFrame(r)
		if err != nil {
			return interopClose{reason: err.Error()}
		}
		f = ws.UnmaskFrameInPlace(f)
		if f.Header, err = state.UnsetBits(f.Header); err != nil {
			return interopClose{reason: err.Error()}
		}
		switch f.Header.OpCode {
		case ws.OpPing:
			p.pings <- string(f.Payload)
			if err := send(ws.NewPongFrame(f.Payload)); err != nil {
				return interopClose{reason: err.Error()}
			}
		case ws.OpPong:
			p.pongs <- string(f.Payload)
		case ws.OpClose:
			_ = send(ws.NewCloseFrame(f.Payload)) // it is the answer, or too much
			code, reason := ws.ParseCloseFrameData(f.Payload)
			return interopClose{int(code), reason}
		case ws.OpText, ws.OpBinary:
			message = interopMessage{binary: f.Header.OpCode == ws.OpBinary}
			fallthrough
		default:
			message.payload = append(message.payload, f.Payload...)
			if !f.Header.Fin {
				continue
			}
			if state.IsCompressed() {
				if message.payload, err = wsflate.DefaultHelper.Decompress(message.payload); err != nil {
					return interopClose{reason: err.Error()}
				}
			}
			p.messages <- message
		}
	}
}
