package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"math"
	"time"
)

var errResponseChunk = errors.New("upstream sent a malformed chunk")

// responseBody is a response's body as fasthttp writes it to the client: by
// WriteTo, each piece as soon as it has arrived, out of the connection's own
// buffer. After an error fasthttp closes the connection to the client in
// mid-body, which no client takes for the end.
type responseBody struct {
	forwarder *forwarder
	x         *exchange
	br        *bufio.Reader
	framing   framing
	left      int // bytes of the body, or of the chunk
	begun     bool
	ended     bool
	closed    bool
}

type framing uint8

const (
	byLength framing = iota
	byChunks
	byClose
)

// newResponseBody takes length as fasthttp tells it: -1 chunked, -2 until the
// connection ends.
func newResponseBody(f *forwarder, x *exchange, length int) *responseBody {
	b := &responseBody{forwarder: f, x: x, br: x.uc.br, left: length}
	switch {
	case length == -1:
		b.framing, b.left = byChunks, 0
	case length < 0:
		b.framing, b.left = byClose, math.MaxInt
	}
	return b
}

// SupportsBodyWriteTo makes fasthttp call WriteTo and not Read.
func (b *responseBody) SupportsBodyWriteTo() bool { return true }

// WriteTo writes chunks through fasthttp, which sends each at once. A body with
// a length would wait in its buffer, so that goes to the connection itself:
// the head has been flushed, and nothing else is to be written before the end.
func (b *responseBody) WriteTo(w io.Writer) (int64, error) {
	if b.framing == byLength {
		w = b.x.ctx.Conn()
	}
	return b.writeTo(w)
}

func (b *responseBody) writeTo(w io.Writer) (int64, error) {
	var total int64
	for {
		piece, err := b.peek()
		if err == io.EOF {
			return total, nil
		}
		if err == nil {
			err = b.x.ctx.SetWriteDeadline(time.Now().Add(progressTimeout))
		}
		if err != nil {
			return total, err
		}
		n, err := w.Write(piece)
		total += int64(n)
		b.discard(n)
		if err != nil {
			return total, err
		}
	}
}

// Read is there for io.Reader; fasthttp prefers WriteTo.
func (b *responseBody) Read(p []byte) (int, error) {
	piece, err := b.peek()
	n := copy(p, piece)
	b.discard(n)
	return n, err
}

// Close ends the exchange.
func (b *responseBody) Close() error {
	if !b.closed {
		b.closed = true
		b.forwarder.finish(b.x, b.ended)
	}
	return nil
}

// peek returns the part of the body that has arrived, at least one byte; io.EOF
// after the last. It stays valid until discard.
func (b *responseBody) peek() ([]byte, error) {
	if b.ended {
		return nil, io.EOF
	}
	if b.left == 0 {
		if err := b.nextChunk(); err != nil {
			return nil, err
		}
	}
	if b.br.Buffered() == 0 {
		if _, err := b.br.Peek(1); err == io.EOF && b.framing == byClose {
			b.ended = true
			return nil, io.EOF
		} else if err != nil {
			return nil, noEOF(err)
		}
	}
	return b.br.Peek(min(b.br.Buffered(), b.left))
}

func (b *responseBody) discard(n int) {
	_, _ = b.br.Discard(n)
	b.left -= n
}

// nextChunk reads up to a chunk's data, or to the end of the body: io.EOF.
func (b *responseBody) nextChunk() error {
	if b.framing == byLength {
		b.ended = true
		return io.EOF
	}
	if b.begun {
		if line, err := b.br.ReadSlice('\n'); err != nil {
			return noEOF(err)
		} else if string(line) != "\r\n" {
			return errResponseChunk
		}
	}
	b.begun = true
	line, err := b.br.ReadSlice('\n')
	if err != nil {
		return noEOF(err)
	}
	if b.left, err = chunkSize(line); err != nil || b.left > 0 {
		return err
	}
	// fasthttp sends what is read here behind its own last chunk.
	if err := b.x.ctx.Response.Header.ReadTrailer(b.br); err != nil {
		return noEOF(err)
	}
	b.ended = true
	return io.EOF
}

// chunkSize reads the line before a chunk, RFC 9112 §7.1. Extensions are for
// the next hop only and go.
func chunkSize(line []byte) (int, error) {
	line, ended := bytes.CutSuffix(line, []byte("\r\n"))
	if !ended || hasControls(line) {
		return 0, errResponseChunk
	}
	line, _, _ = bytes.Cut(line, []byte(";"))
	line = bytes.TrimRight(line, " \t")
	if len(line) == 0 || len(line) > 15 {
		return 0, errResponseChunk
	}
	size := 0
	for _, c := range line {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, errResponseChunk
		}
		size = size<<4 | int(c)
	}
	return size, nil
}

// noEOF keeps a body that breaks off from looking like one that ends.
func noEOF(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
