package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"time"

	"github.com/valyala/fasthttp"
)

// passOn gives the client upstream's refusal as it is; begun is what has been
// read of it. It may go on for any time: a drain waits for it no longer than
// for any other response.
func (o *opening) passOn(begun []byte) {
	o.end()
	o.leaveAddress()
	o.server.handshakes.count(handshakeRefused)
	o.admission.trace.Refused(time.Now(), statusOf(begun), "")
	o.admission.leave()
	var upstream detached
	var err error
	upstream.fd, upstream.secure, err = o.upstream.Detach()
	end := o.server.forwarder.late.begin(nil)
	o.server.leave()
	go func() {
		defer end()
		var conn net.Conn
		if err == nil {
			conn, err = upstream.attach()
		}
		answered := o.answerBy(func(a *answered) error {
			if err != nil {
				return err
			}
			br := readers.Get().(*bufio.Reader)
			br.Reset(io.MultiReader(bytes.NewReader(begun), conn))
			a.upstream = &upstreamConn{Conn: conn, br: br, single: true}
			return nil
		})
		if !answered && conn != nil {
			_ = conn.Close()
		}
	}()
}

// answerBy has fasthttp answer the client after all, from a goroutine. If it cannot, which
// it reports, prepare is not called.
func (o *opening) answerBy(prepare func(*answered) error) bool {
	conn, err := o.client.attach()
	if err != nil {
		o.server.log.Error("handshake not answered", "error", err)
		return false
	}
	a := &answered{Conn: conn, request: "GET / HTTP/1.1\r\nHost: upstream\r\n\r\n"}
	a.refused = prepare(a)
	_ = o.server.http.ServeConn(a)
	return true
}

// answered is a client's connection that fasthttp has given up for a session
// that does not come about. It is served a second time, now that the answer is
// known; of the request nothing matters any more but that it is a GET.
type answered struct {
	net.Conn
	request  string        // not read yet
	upstream *upstreamConn // has the answer, if refused is nil
	refused  error
}

func (a *answered) Read(p []byte) (int, error) {
	if len(a.request) > 0 {
		n := copy(p, a.request)
		a.request = a.request[n:]
		return n, nil
	}
	return a.Conn.Read(p)
}

// NetConn returns the connection itself, for those who look for its descriptor.
func (a *answered) NetConn() net.Conn { return a.Conn }

// answer is what serve does for such a connection.
func (a *answered) answer(ctx *fasthttp.RequestCtx, f *forwarder) {
	var refused *refusal
	var not *notAdmitted
	switch {
	case errors.As(a.refused, &refused):
		refuse(ctx, refused)
		return
	case errors.As(a.refused, &not):
		not.refuse(ctx)
		return
	case a.refused != nil:
		f.fail(ctx, a.refused)
		ctx.SetConnectionClose()
		return
	}
	if err := a.upstream.readHead(&ctx.Response.Header); err != nil {
		a.upstream.close()
		f.fail(ctx, err)
	} else {
		f.respond(ctx, a.upstream)
	}
	ctx.SetConnectionClose() // what the client sends next may be frames
}
