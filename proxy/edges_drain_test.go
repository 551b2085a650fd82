package proxy_test

import (
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"wswarden/config"
)

// edgeLate are answers that fasthttp gives up, and which come in two parts.
var edgeLate = map[string]struct {
	request string
	status  int
}{
	"to a client that reads to the end": {"GET / HTTP/1.0\r\nHost: h\r\n\r\n", http.StatusOK},
	"ahead of the request's end":        {"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n" + strings.Repeat("x", 20_000), http.StatusOK},
	"to a handshake":                    {interopRequest(), http.StatusForbidden},
}

const edgeFirst, edgeSecond = "first;", "second"

// startLate has upstream answer in two parts, each of which waits for its channel: asked is
// closed when it could begin.
func startLate(t *testing.T, status int, drainTimeout time.Duration) (e *edge, asked, begin, goOn chan bool) {
	ln, server := edgeListen(t, "http", nil)
	asked, begin, goOn = make(chan bool), make(chan bool), make(chan bool)
	edgeServe(t, ln, func(w http.ResponseWriter, r *http.Request) {
		close(asked)
		<-begin
		w.WriteHeader(status)
		_, _ = io.WriteString(w, edgeFirst)
		_ = http.NewResponseController(w).Flush()
		select {
		case <-goOn:
			_, _ = io.WriteString(w, edgeSecond)
		case <-r.Context().Done():
		}
	})
	return startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Drain.Timeout = drainTimeout
	}), asked, begin, goOn
}

// wantBegun reads up to the first part.
func (p *edgePeer) wantBegun() {
	p.t.Helper()
	var got strings.Builder
	for !strings.Contains(got.String(), edgeFirst) {
		b, err := p.br.ReadByte()
		if err != nil {
			p.t.Fatalf("%q, %v", &got, err)
		}
		got.WriteByte(b)
	}
}

// A drain, and who leaves to another process, wait for all answers.
func TestDrainWaitsForAnswers(t *testing.T) {
	t.Parallel()
	for way, leave := range map[string]func(e *edge){
		"drain":     func(e *edge) { e.drain() },
		"hand over": func(e *edge) { e.server.HandOver() },
	} {
		for name, late := range edgeLate {
			t.Run(way+", "+name, func(t *testing.T) {
				t.Parallel()
				e, asked, begin, goOn := startLate(t, late.status, longest)
				client := e.client(nil)
				client.send([]byte(late.request))
				<-asked
				leave(e)
				e.wantLog(1, "msg=draining")
				close(begin)
				client.wantBegun()
				select {
				case err := <-e.drained:
					e.drained <- err
					t.Error("Run has returned while there was an answer under way")
				case <-time.After(50 * time.Millisecond): // in which it would have
				}
				close(goOn)
				rest, err := io.ReadAll(client.br)
				if !strings.Contains(string(rest), edgeSecond) {
					t.Errorf("%q instead of the other part, %v", rest, err)
				}
				edgeClose(client.conn)
				e.end()
			})
		}
	}
}

// A client that takes the end of its connection for that of the answer is told by a reset
// that there should be more.
func TestDrainCutsAnswers(t *testing.T) {
	t.Parallel()
	e, _, begin, _ := startLate(t, http.StatusOK, 50*time.Millisecond)
	close(begin)
	client := e.client(nil)
	client.send([]byte(edgeLate["to a client that reads to the end"].request))
	client.wantBegun()
	e.end()
	if rest, err := io.ReadAll(client.br); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%q, %v, want a reset", rest, err)
	}
}

// Where the client has gone before it had the answers that it had asked for earlier, what
// comes behind them is not waited for, and does not keep its connection to upstream.
func TestDrainWithoutTheClient(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "http", nil)
	asked, reset, gone := make(chan bool), make(chan bool), make(chan bool)
	edgeServe(t, ln, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/short" {
			_, _ = io.WriteString(w, "short")
			return
		}
		close(asked)
		<-reset
		_, _ = io.WriteString(w, edgeFirst)
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		close(gone)
	})
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Drain.Timeout = longest
	})
	client := e.client(nil)
	client.send([]byte("GET /short HTTP/1.1\r\nHost: h\r\n\r\nGET / HTTP/1.0\r\nHost: h\r\n\r\n"))
	<-asked
	edgeReset(client.conn)
	close(reset)
	select {
	case <-gone:
	case <-time.After(longest):
		t.Error("the connection to upstream is kept")
	}
	e.end()
}

// A connection to upstream on which a handshake was refused is nobody's, and is not kept
// among those that are idle, which have a limit.
func TestRefusedHandshakesAreNotIdle(t *testing.T) {
	t.Parallel()
	ln, server := edgeListen(t, "http", nil)
	closed := make(chan bool, 1)
	edgeServe(t, ln, func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "no", http.StatusUnauthorized) },
		func(_ net.Conn, state http.ConnState) {
			if state == http.StateClosed {
				closed <- true
			}
		})
	e := startEdge(t, func(c *config.Config) { c.Upstream.URL = server })
	client := e.client(nil)
	client.send([]byte(interopRequest()))
	client.wantStatus(http.StatusUnauthorized)
	select {
	case <-closed:
	case <-time.After(2 * time.Second): // an idle one lives for four
		t.Error("it is kept")
	}
}

// A client that takes the end of its connection for that of the answer is told of an answer
// that upstream breaks off, over TLS too, which has an end of its own.
func TestBrokenAnswersLookBroken(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		ca := newEdgeCA(t)
		ln, server := edgeListen(t, "http", nil)
		goOn := make(chan bool)
		edgeServe(t, ln, func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, edgeFirst)
			_ = http.NewResponseController(w).Flush()
			<-goOn
			panic(http.ErrAbortHandler)
		})
		e := startEdge(t, func(c *config.Config) {
			c.Upstream.URL = server
			c.Listeners[0].TLS = ca.listener(t, "edge")
		})
		client := e.client(ca.client(version))
		client.send([]byte("GET / HTTP/1.0\r\nHost: h\r\n\r\n"))
		client.wantBegun()
		close(goOn)
		if rest, err := io.ReadAll(client.br); err == nil {
			t.Errorf("%q, and a clean end", rest)
		}
	})
}

// An answer that begins when nobody waits for it any more is cut at once.
func TestDrainCutsWhatBeginsLater(t *testing.T) {
	t.Parallel()
	e, asked, begin, _ := startLate(t, http.StatusOK, 50*time.Millisecond)
	client := e.client(nil)
	client.send([]byte(edgeLate["to a client that reads to the end"].request))
	<-asked
	e.end()
	close(begin)
	if answer, err := io.ReadAll(client.br); err == nil {
		t.Errorf("%q, and a clean end", answer)
	}
}
