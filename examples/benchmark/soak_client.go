//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"time"
)

// soakClient is the client of one session. It belongs to one goroutine.
type soakClient struct {
	net.Conn
	messageReader
	number int
	key    []byte
	mute   bool   // it answers no pings
	in     []byte // what has arrived
	used   int    // bytes of in that were read
}

// closed says that the server sends a close frame.
type closed struct {
	code   int
	reason string
}

func (c *closed) Error() string { return fmt.Sprintf("closed with %d %q", c.code, c.reason) }

// refusedHandshake is the status that a handshake is answered with.
type refusedHandshake int

func (r refusedHandshake) Error() string { return fmt.Sprintf("handshake answered with %d", int(r)) }

// dialSoak does a handshake for a target, with more lines of a head if there are any.
// The error is a refusedHandshake if there is an answer, but no session.
func dialSoak(ctx context.Context, address string, config *tls.Config, number int, target, more string) (*soakClient, error) {
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	conn, err := dialer.DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	if config != nil {
		conn = tls.Client(conn, config)
	}
	c := &soakClient{Conn: conn, number: number, key: numbered{number: number}.key()}
	if err := c.handshake(address, target, more); err != nil {
		conn.Close()
		return nil, err
	}
	return c, nil
}

// bare returns the connection without TLS.
func (c *soakClient) bare() *net.TCPConn {
	if secure, ok := c.Conn.(*tls.Conn); ok {
		return secure.NetConn().(*net.TCPConn)
	}
	return c.Conn.(*net.TCPConn)
}

func (c *soakClient) handshake(host, target, more string) error {
	if err := c.SetDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if _, err := io.WriteString(c.Conn, soakRequest(host, target, more)); err != nil {
		return err
	}
	for {
		if head, _, whole := bytes.Cut(c.in, []byte("\r\n\r\n")); whole {
			c.used = len(head) + 4
			var status int
			if _, err := fmt.Sscanf(string(head), "HTTP/1.1 %d", &status); err != nil || status != 101 {
				return errors.Join(err, refusedHandshake(status))
			}
			if !bytes.Contains(append(head, "\r\n"...), handshakeAccept) {
				return fmt.Errorf("handshake answered with %q", head)
			}
			return nil
		}
		if err := c.fill(512); err != nil {
			return fmt.Errorf("handshake: %w after %q", err, c.in)
		}
	}
}

func soakRequest(host, target, more string) string {
	return fmt.Sprintf("GET %s HTTP/1.1\r\nHost: %s\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"+
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: %s\r\n%s\r\n", target, host, handshakeKey, more)
}

// fill reads what has arrived, with room for so much at least.
func (c *soakClient) fill(room int) error {
	c.in, c.used = append(c.in[:0], c.in[c.used:]...), 0
	c.in = slices.Grow(c.in, room)
	n, err := c.Read(c.in[len(c.in):cap(c.in)])
	c.in = c.in[:len(c.in)+n]
	if n > 0 {
		return nil
	}
	return err
}

// next returns the message that comes next, which is valid until the one after it. The
// error is os.ErrDeadlineExceeded if none comes by then, or is a *closed.
func (c *soakClient) next(by time.Time) (opcode byte, message []byte, err error) {
	if err := c.SetReadDeadline(by); err != nil {
		return 0, nil, err
	}
	for {
		rest := c.in[c.used:]
		header, payload := bareFrame(rest)
		if header == 0 || len(rest) < header+payload {
			if err := c.fill(max(header+payload-len(rest), 512)); err != nil {
				return 0, nil, err
			}
			continue
		}
		c.used += header + payload
		first, body := rest[0], rest[header:header+payload]
		switch first & 0xF {
		case opPing:
			if !c.mute {
				if err := c.send(opPong, body); err != nil {
					return 0, nil, err
				}
			}
		case opPong:
			return 0, nil, errors.New("a pong came that nobody asked for")
		case opClose:
			if len(body) < 2 {
				return 0, nil, &closed{code: 1005}
			}
			return 0, nil, &closed{int(binary.BigEndian.Uint16(body)), string(body[2:])}
		default:
			if opcode, message, ok := c.add(first, body); ok {
				return opcode, message, nil
			}
		}
	}
}

// send sends a message, or a control frame.
func (c *soakClient) send(opcode byte, payload []byte) error {
	return c.write(appendFrame(nil, opcode, c.key, payload))
}

func (c *soakClient) write(frames []byte) error {
	if err := c.SetWriteDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	_, err := c.Write(frames)
	return err
}

// want waits for a message.
func (c *soakClient) want(opcode byte, message []byte) error {
	gotOpcode, got, err := c.next(time.Now().Add(patience))
	if err == nil && (gotOpcode != opcode || !bytes.Equal(got, message)) {
		err = fmt.Errorf("%.80q came instead of %.80q", got, message)
	}
	return err
}

// echo has a message of so many bytes sent back.
func (c *soakClient) echo(size int) error {
	noise := soakNoise()
	payload := noise[rand.IntN(len(noise)-size):][:size]
	if err := c.send(opBinary, payload); err != nil {
		return err
	}
	return c.want(opBinary, payload)
}

// soakNoise is what messages are cut from.
var soakNoise = sync.OnceValue(func() []byte {
	_, frame := noise(1, 2<<20)
	return frame
})

// rest is silent for a while, but answers pings. Nobody is to send anything.
func (c *soakClient) rest(d time.Duration) error {
	_, got, err := c.next(time.Now().Add(d))
	switch {
	case err == nil:
		return fmt.Errorf("%.80q came, though nothing is due", got)
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil
	}
	return err
}

// leave does the close handshake.
func (c *soakClient) leave() error {
	if err := c.send(opClose, binary.BigEndian.AppendUint16(nil, 1000)); err != nil {
		return err
	}
	return c.ends(1000, patience, false)
}

// ended waits for the server to close the session, whatever it sends before.
func (c *soakClient) ended(code int, within time.Duration) error {
	return c.ends(code, within, true)
}

func (c *soakClient) ends(code int, within time.Duration, answer bool) error {
	by := time.Now().Add(within)
	for {
		_, _, err := c.next(by)
		var end *closed
		switch {
		case err == nil:
			continue
		case !errors.As(err, &end):
			return fmt.Errorf("%w instead of a close frame with %d", err, code)
		case end.code != code:
			return fmt.Errorf("%w instead of %d", err, code)
		}
		break
	}
	if answer {
		// It may have been closed meanwhile, which is as well.
		_ = c.send(opClose, binary.BigEndian.AppendUint16(nil, uint16(code)))
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		return err
	}
	if n, err := io.Copy(io.Discard, c.Conn); n > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		return fmt.Errorf("%d bytes behind the close frame, %v", n, err)
	}
	return c.bare().Close()
}
