package wsframe

import (
	"bufio"
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/fasthttp/websocket"
)

// newPeer returns the library's end of a connection on which sender has sent
// stream, in pieces of the lengths in cuts.
func newPeer(t *testing.T, stream, cuts []byte, sender Sender, deflate bool) *websocket.Conn {
	conn := &memoryConn{stream: stream, cuts: cuts}
	var c *websocket.Conn
	var err error
	if sender == Client {
		c, err = accept(conn, deflate)
	} else {
		c, err = dial(conn, deflate)
	}
	if err != nil {
		t.Fatal("handshake:", err)
	}
	return c
}

const (
	key       = "MDEyMzQ1Njc4OWFiY2RlZg=="
	extension = "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
)

func accept(conn *memoryConn, deflate bool) (*websocket.Conn, error) {
	r := &http.Request{Method: http.MethodGet, Header: http.Header{
		"Connection":               {"Upgrade"},
		"Upgrade":                  {"websocket"},
		"Sec-Websocket-Version":    {"13"},
		"Sec-Websocket-Key":        {key},
		"Sec-Websocket-Extensions": {extension},
	}}
	upgrader := websocket.Upgrader{EnableCompression: deflate, ReadBufferSize: 512, WriteBufferSize: 512}
	return upgrader.Upgrade(hijacker{conn: conn}, r, nil)
}

// hijacker is a response that is nothing but its connection.
type hijacker struct {
	http.ResponseWriter
	conn net.Conn
}

func (h hijacker) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return h.conn, bufio.NewReadWriter(bufio.NewReaderSize(h.conn, 16), bufio.NewWriterSize(h.conn, 16)), nil
}

func dial(conn *memoryConn, deflate bool) (*websocket.Conn, error) {
	conn.answers, conn.deflate = true, deflate
	dialer := websocket.Dialer{
		EnableCompression: deflate, ReadBufferSize: 512, WriteBufferSize: 512,
		NetDial: func(_, _ string) (net.Conn, error) { return conn, nil },
	}
	c, _, err := dialer.Dial("ws://upstream/", nil)
	return c, err
}

// memoryConn gives a stream in pieces and drops what is written. One that
// answers takes the first write for a handshake, and gives its response first.
type memoryConn struct {
	stream, cuts []byte
	answers      bool
	deflate      bool
	head         []byte
}

func (c *memoryConn) Read(p []byte) (int, error) {
	if len(c.head) > 0 {
		n := copy(p, c.head)
		c.head = c.head[n:]
		return n, nil
	}
	if len(c.stream) == 0 {
		return 0, io.EOF
	}
	n := copy(p, c.stream[:pieceLength(&c.cuts, len(c.stream))])
	c.stream = c.stream[n:]
	return n, nil
}

func (c *memoryConn) Write(p []byte) (int, error) {
	if c.answers {
		c.answers = false
		r, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(p)))
		if err != nil {
			return 0, err
		}
		sum := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
		head := "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Accept: " + base64.StdEncoding.EncodeToString(sum[:]) + "\r\n"
		if c.deflate {
			head += "Sec-WebSocket-Extensions: " + extension + "\r\n"
		}
		c.head = []byte(head + "\r\n")
	}
	return len(p), nil
}

func (c *memoryConn) Close() error                     { return nil }
func (c *memoryConn) LocalAddr() net.Addr              { return nil }
func (c *memoryConn) RemoteAddr() net.Addr             { return nil }
func (c *memoryConn) SetDeadline(time.Time) error      { return nil }
func (c *memoryConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memoryConn) SetWriteDeadline(time.Time) error { return nil }
