package proxy_test

import (
	"context"
	"errors"
	"net/http"
	"sync/atomic"
	"testing"

	coder "github.com/coder/websocket"
	fast "github.com/fasthttp/websocket"
	"github.com/valyala/fasthttp"
)

// interopLibrary makes both ends of connections with one WebSocket library.
// With compress, it offers or accepts permessage-deflate, and compresses every
// message however small where it lets itself be told to.
type interopLibrary struct {
	name string
	// dial connects as a client that offers interop.v1 and interop.v2.
	dial func(t *testing.T, address string, compress bool) *interopPeer
	// listen serves as an upstream that chooses interop.v2.
	listen func(t *testing.T, compress bool) (address string, accepted <-chan *interopPeer)
}

var interopLibraries = []interopLibrary{
	{"node-ws", interopNodeDial, interopNodeListen},
	{"coder", interopCoderDial, interopCoderListen},
	{"gobwas", interopGobwasDial, interopGobwasListen},
	{"fasthttp", interopFastDial, interopFastListen},
}

var (
	interopOffered = []string{"interop.v1", "interop.v2"}
	interopChosen  = "interop.v2"
)

// interopPeer is one end of a connection, whatever library made it. What
// arrives comes out of the channels; the library answers pings by itself.
type interopPeer struct {
	subprotocol string // as the library tells it
	extensions  string // of the 101; known to clients

	messages chan interopMessage
	pings    chan string
	pongs    chan string
	closed   chan interopClose

	write func(interopMessage) error
	ping  func() error
	close func(code int, reason string) error
}

type interopMessage struct {
	binary  bool
	payload []byte
}

type interopClose struct {
	code   int
	reason string
}

func newInteropPeer() *interopPeer {
	return &interopPeer{
		messages: make(chan interopMessage, 16),
		pings:    make(chan string, 16),
		pongs:    make(chan string, 16),
		closed:   make(chan interopClose, 2), // coder may tell the same twice
	}
}

// coder/websocket

func interopCoderMode(compress bool) (coder.CompressionMode, int) {
	if compress {
		return coder.CompressionContextTakeover, 1
	}
	return coder.CompressionDisabled, 0
}

func interopCoderDial(t *testing.T, address string, compress bool) *interopPeer {
	p := newInteropPeer()
	mode, threshold := interopCoderMode(compress)
	conn, response, err := coder.Dial(t.Context(), "ws://"+address, &coder.DialOptions{
		Subprotocols:         interopOffered,
		CompressionMode:      mode,
		CompressionThreshold: threshold,
		OnPingReceived:       p.coderPing,
		OnPongReceived:       p.coderPong,
	})
	if err != nil {
		t.Fatalf("dial with coder: %v", err)
	}
	p.extensions = response.Header.Get("Sec-WebSocket-Extensions")
	p.serveCoder(t, conn)
	return p
}

func interopCoderListen(t *testing.T, compress bool) (string, <-chan *interopPeer) {
	accepted := make(chan *interopPeer, 1)
	mode, threshold := interopCoderMode(compress)
	ln := interopListen(t)
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p := newInteropPeer()
		conn, err := coder.Accept(w, r, &coder.AcceptOptions{
			Subprotocols:         []string{interopChosen},
			CompressionMode:      mode,
			CompressionThreshold: threshold,
			OnPingReceived:       p.coderPing,
			OnPongReceived:       p.coderPong,
		})
		if err != nil {
			t.Errorf("accept with coder: %v", err)
			return
		}
		p.serveCoder(t, conn)
		accepted <- p
	})}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Close() })
	return ln.Addr().String(), accepted
}

func (p *interopPeer) coderPing(_ context.Context, payload []byte) bool {
	p.pings <- string(payload)
	return true
}

func (p *interopPeer) coderPong(_ context.Context, payload []byte) { p.pongs <- string(payload) }

func (p *interopPeer) serveCoder(t *testing.T, conn *coder.Conn) {
	ctx := context.Background()
	conn.SetReadLimit(-1)
	p.subprotocol = conn.Subprotocol()
	p.write = func(m interopMessage) error {
		kind := coder.MessageText
		if m.binary {
			kind = coder.MessageBinary
		}
		return conn.Write(ctx, kind, m.payload)
	}
	p.ping = func() error { return conn.Ping(ctx) }
	var closing atomic.Bool
	p.close = func(code int, reason string) error {
		// Either Close reads the answer, which must have the same code then, or
		// the goroutine below.
		closing.Store(true)
		if conn.Close(coder.StatusCode(code), reason) == nil {
			p.closed <- interopClose{code: code}
		}
		return nil
	}
	t.Cleanup(func() { _ = conn.CloseNow() })
	go func() {
		for {
			kind, payload, err := conn.Read(ctx)
			if err != nil {
				var e coder.CloseError
				if errors.As(err, &e) {
					p.closed <- interopClose{int(e.Code), e.Reason}
				} else if !closing.Load() {
					p.closed <- interopClose{reason: err.Error()}
				}
				return
			}
			p.messages <- interopMessage{kind == coder.MessageBinary, payload}
		}
	}()
}

// fasthttp/websocket

func interopFastDial(t *testing.T, address string, compress bool) *interopPeer {
	dialer := fast.Dialer{Subprotocols: interopOffered, EnableCompression: compress}
	conn, response, err := dialer.Dial("ws://"+address, nil)
	if err != nil {
		t.Fatalf("dial with fasthttp: %v", err)
	}
	p := newInteropPeer()
	p.extensions = response.Header.Get("Sec-WebSocket-Extensions")
	p.useFast(conn)
	t.Cleanup(func() { _ = conn.Close() })
	go p.readFast(conn)
	return p
}

func interopFastListen(t *testing.T, compress bool) (string, <-chan *interopPeer) {
	accepted := make(chan *interopPeer, 1)
	upgrader := fast.FastHTTPUpgrader{Subprotocols: []string{interopChosen}, EnableCompression: compress}
	ln := interopListen(t)
	server := &fasthttp.Server{NoDefaultDate: true, Handler: func(ctx *fasthttp.RequestCtx) {
		if !fast.FastHTTPIsWebSocketUpgrade(ctx) {
			return // somebody who looks for who had the port before
		}
		err := upgrader.Upgrade(ctx, func(conn *fast.Conn) {
			p := newInteropPeer()
			p.useFast(conn)
			accepted <- p
			p.readFast(conn)
		})
		if err != nil {
			t.Errorf("accept with fasthttp: %v", err)
		}
	}}
	go func() { _ = server.Serve(ln) }()
	t.Cleanup(func() { _ = server.Shutdown() })
	return ln.Addr().String(), accepted
}

func (p *interopPeer) useFast(conn *fast.Conn) {
	p.subprotocol = conn.Subprotocol()
	p.write = func(m interopMessage) error {
		kind := fast.TextMessage
		if m.binary {
			kind = fast.BinaryMessage
		}
		return conn.WriteMessage(kind, m.payload)
	}
	p.ping = func() error { return conn.WriteMessage(fast.PingMessage, []byte("fasthttp pings")) }
	p.close = func(code int, reason string) error {
		return conn.WriteMessage(fast.CloseMessage, fast.FormatCloseMessage(code, reason))
	}
	pong := conn.PingHandler()
	conn.SetPingHandler(func(payload string) error {
		p.pings <- payload
		return pong(payload)
	})
	conn.SetPongHandler(func(payload string) error {
		p.pongs <- payload
		return nil
	})
}

func (p *interopPeer) readFast(conn *fast.Conn) {
	for {
		kind, payload, err := conn.ReadMessage()
		if err != nil {
			e := &fast.CloseError{Text: err.Error()}
			errors.As(err, &e)
			p.closed <- interopClose{e.Code, e.Text}
			return
		}
		p.messages <- interopMessage{kind == fast.BinaryMessage, payload}
	}
}
