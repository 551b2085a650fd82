package proxy

import (
	"errors"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"
)

// exchange is one request and its response. Two goroutines share it: fasthttp's
// reads upstream and writes to the client; the exchange's own reads the client:
// first the request's body, which it passes to upstream, and then, watching,
// nothing but the end, on which it closes the upstream connection. So either
// direction moves on its own, as when upstream answers before it has read all.
type exchange struct {
	ctx  *fasthttp.RequestCtx
	uc   *upstreamConn
	body *requestBody // nil: none

	bodyRead atomic.Bool // the client's request has been read to its end
	cut      bool        // upstream did not take the request's head
	done     chan struct{}

	// Guarded by mu: deadlines are set by both goroutines.
	mu       sync.Mutex
	stopping bool // the reading of the client has to end
	answered bool // the head of the response is there

	// Of the exchange's own goroutine until stop has returned.
	sent      bool  // the whole request has been written to upstream
	clientErr error // what the client did for which uc is closed
}

var (
	errStopped    = errors.New("exchange is over")
	errClientGone = malformed("client has closed the connection")
)

func newExchange(ctx *fasthttp.RequestCtx, uc *upstreamConn, body *requestBody) *exchange {
	x := &exchange{ctx: ctx, uc: uc, body: body, done: make(chan struct{})}
	x.bodyRead.Store(body == nil || body.ended)
	return x
}

// roundTripHead sends the request and reads the response's head. The time
// limit starts anew when the request has been sent, however long that takes.
func (x *exchange) roundTripHead(request []byte, limit time.Duration) error {
	_ = x.uc.SetDeadline(time.Now().Add(limit))
	_, err := x.uc.Write(request)
	x.cut = err != nil
	if x.body != nil && !x.body.ended {
		_ = x.uc.SetReadDeadline(time.Time{})
		x.body.answerLimit = limit
	}
	x.start()
	// Upstream may have answered, and closed, without waiting for the request.
	headErr := x.uc.readHead(&x.ctx.Response.Header)
	if headErr != nil && err != nil {
		return errors.Join(errNoAnswer, err)
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	x.answered = true
	_ = x.uc.SetReadDeadline(time.Time{})
	return headErr
}

// start runs the exchange's own goroutine, which stop ends.
func (x *exchange) start() { go x.readClient() }

// stop ends the exchange's own goroutine and waits for it. It may be called
// more than once.
func (x *exchange) stop() {
	x.mu.Lock()
	if x.stopping {
		x.mu.Unlock()
		return
	}
	x.stopping = true
	_ = x.ctx.SetReadDeadline(time.Unix(1, 0))
	_ = x.uc.SetWriteDeadline(time.Unix(1, 0))
	x.mu.Unlock()
	<-x.done
	_ = x.ctx.SetReadDeadline(time.Time{})
}

func (x *exchange) readClient() {
	defer close(x.done)
	if x.body != nil && !x.body.ended && !x.upload() {
		return
	}
	x.sent = true
	if x.armClient(time.Time{}) == nil && untilHangup(x.ctx.Conn()) == nil {
		x.giveUp(errClientGone)
	}
}

// giveUp closes the upstream connection because of the client.
func (x *exchange) giveUp(err error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.stopping { // or err is only what stop does to a read
		x.clientErr = err
		_ = x.uc.Conn.Close()
	}
}

// upload passes the rest of the request's body on, and reports whether all of
// it is written.
func (x *exchange) upload() bool {
	buffer := buffers.Get().(*[]byte)
	defer buffers.Put(buffer)
	for !x.body.ended {
		err := x.armClient(time.Now().Add(progressTimeout))
		var piece []byte
		if err == nil {
			piece, err = x.body.next(*buffer)
		}
		if err != nil {
			x.giveUp(err)
			return false
		}
		if x.body.ended {
			x.bodyRead.Store(true)
		}
		if x.armUpstream(time.Now().Add(progressTimeout)) != nil {
			return false
		}
		if _, err = x.uc.Write(piece); err != nil {
			x.awaitAnswer() // which may be the reason
			return false
		}
	}
	x.awaitAnswer()
	return true
}

func (x *exchange) armClient(deadline time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopping {
		return errStopped
	}
	return x.ctx.SetReadDeadline(deadline)
}

func (x *exchange) armUpstream(deadline time.Time) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.stopping {
		return errStopped
	}
	return x.uc.SetWriteDeadline(deadline)
}

// awaitAnswer starts the time limit for the head of the response.
func (x *exchange) awaitAnswer() {
	x.mu.Lock()
	defer x.mu.Unlock()
	if !x.answered {
		_ = x.uc.SetReadDeadline(time.Now().Add(x.body.answerLimit))
	}
}

// buffers hold a request's head, or a piece of its body.
var buffers = sync.Pool{New: func() any {
	b := make([]byte, 32<<10)
	return &b
}}

// requestBody reads a request's body in pieces that are framed for upstream.
type requestBody struct {
	reader      io.Reader
	header      *fasthttp.RequestHeader
	conn        net.Conn
	chunked     bool
	left        int // bytes, unless chunked
	ended       bool
	answerLimit time.Duration
}

// newRequestBody returns nil if there is no body.
func newRequestBody(ctx *fasthttp.RequestCtx, chunked bool) *requestBody {
	length := ctx.Request.Header.ContentLength()
	reader := ctx.RequestBodyStream()
	if reader == nil || !chunked && length <= 0 {
		return nil
	}
	return &requestBody{reader: reader, header: &ctx.Request.Header, conn: ctx.Conn(), chunked: chunked, left: length}
}

// appendFirst appends the first piece to a head in one of the buffers.
func (b *requestBody) appendFirst(dst []byte) ([]byte, error) {
	dst = slices.Grow(dst, firstRoom)
	piece, err := b.next(dst[len(dst):cap(dst)])
	return append(dst, piece...), err
}

const (
	chunkHeadRoom = 16 + len("\r\n") // a chunk's size in hex
	chunkTailRoom = len("\r\n0\r\n")
	firstRoom     = 9 << 10 // what fasthttp reads ahead, and its framing
)

// next reads what has arrived into buf, waiting for at least one byte, and
// returns it with its framing. A chunk keeps its bytes but not its borders.
func (b *requestBody) next(buf []byte) ([]byte, error) {
	if !b.chunked {
		n, err := b.reader.Read(buf[:min(len(buf), b.left)])
		b.left -= n
		switch {
		case b.left == 0:
			b.ended = true
			return buf[:n], nil
		case err == io.EOF: // fasthttp takes this for the end
			return nil, io.ErrUnexpectedEOF
		}
		return buf[:n], err
	}

	n, err := b.reader.Read(buf[chunkHeadRoom : len(buf)-chunkTailRoom])
	start, end := chunkHeadRoom, chunkHeadRoom+n
	if n > 0 {
		var size [chunkHeadRoom]byte
		line := append(strconv.AppendInt(size[:0], int64(n), 16), "\r\n"...)
		start -= len(line)
		copy(buf[start:], line)
		end += copy(buf[end:], "\r\n")
	}
	if err == io.EOF {
		// fasthttp says the same where the connection ended between two chunks.
		if hungUp(b.conn) {
			return nil, io.ErrUnexpectedEOF
		}
		b.ended = true
		trailers := b.header.TrailerHeader()
		if !mayTrail(trailers) {
			return nil, errRequestChunk
		}
		piece := append(buf[start:end], "0\r\n"...)
		return append(piece, trailers...), nil
	}
	var network net.Error
	if err == nil || err == io.ErrUnexpectedEOF || errors.As(err, &network) {
		return buf[start:end], err
	}
	return nil, errRequestChunk
}

// mayTrail reports whether every line before the empty one may be one behind a body:
// none frames, routes, or says who the client is, RFC 9110 §6.5.1. A server that merges
// trailers with the head would take it for what wswarden has let pass there.
func mayTrail(lines []byte) bool {
	for len(lines) > 2 {
		line, name, _ := cutLine(lines)
		lines = lines[len(line):]
		if checkLine(line, name) != nil || kindOf(name) != plainHeader {
			return false
		}
	}
	return true
}
