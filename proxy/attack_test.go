package proxy_test

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// A refusal of upstream's whose body never ends holds up no drain beyond its
// time.
func TestDrainDuringRefusal(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) { c.Drain.Timeout = soon })
	client := w.dial()
	upstream := w.accept()
	upstream.request()
	upstream.send([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 10\r\n\r\nhal"))
	if status := client.response().StatusCode; status != http.StatusForbidden {
		t.Fatalf("status %d", status)
	}
	w.drain()
	w.wantDrained()
}

// Upstream may refuse with a head as long as any other response's.
func TestRefusalWithLongHead(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client := w.dial()
	upstream := w.accept()
	upstream.request()
	upstream.send([]byte("HTTP/1.1 401 Unauthorized\r\nX-Long: " + strings.Repeat("x", 8000) + "\r\nContent-Length: 2\r\n\r\nno"))
	if status := client.response().StatusCode; status != http.StatusUnauthorized {
		t.Fatalf("status %d", status)
	}
}

// A legacy server may refuse in HTTP/1.0.
func TestRefusalInOldHTTP(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client := w.dial()
	upstream := w.accept()
	upstream.request()
	upstream.send([]byte("HTTP/1.0 404 File not found\r\nServer: SimpleHTTP/0.6\r\n\r\nno"))
	upstream.end()
	r := client.response()
	body, err := io.ReadAll(r.Body)
	if r.StatusCode != http.StatusNotFound || string(body) != "no" || err != nil {
		t.Fatalf("status %d, body %q (%v)", r.StatusCode, body, err)
	}
}

// A request whose head just fits is refused by upstream, not for its length.
func TestRefusalOfLongRequest(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	client := newPeer(t, "client", conn.(*net.TCPConn))
	head := bytes.TrimSuffix(handshake, []byte("\r\n"))
	head = append(head[:len(head):len(head)], "X-Long: "...)
	head = append(head, strings.Repeat("x", 16<<10-len(head)-8)...)
	client.send(head, []byte("\r\n\r\n"))
	upstream := w.accept()
	upstream.request()
	upstream.send([]byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 2\r\n\r\nno"))
	if status := client.response().StatusCode; status != http.StatusUnauthorized {
		t.Fatalf("status %d", status)
	}
}

// Upstream, whose client takes nothing any more, is read from again as soon as
// that client is lost: it can take leave.
func TestClientLostWhileUpstreamWaits(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{})
	client, upstream := w.open()

	message := upstream.frame(text, strings.Repeat("x", 1<<20))
	_ = upstream.conn.SetWriteBuffer(64 << 10)
	for {
		_ = upstream.conn.SetWriteDeadline(time.Now().Add(soon))
		n, err := upstream.conn.Write(message)
		if err != nil {
			message = message[n:]
			break
		}
	}
	_ = client.conn.CloseWrite()
	upstream.wantClose(1001, "client_lost")
	upstream.send(message, upstream.closeFrame(1001, ""))
	upstream.end()
	w.wantEnd(policies.ClientLost, 1001)
}

// A client that is not read from, as upstream takes slowly what it has sent, can
// give no sign of life. It is not dead.
func TestHeartbeatWhileUpstreamIsSlow(t *testing.T) {
	t.Parallel()
	message := encode(true, text, strings.Repeat("x", 4<<20))
	w := start(t, policies.Policy{Heartbeat: policies.Heartbeat{Interval: soon, Timeout: soon}})
	client, upstream := w.open()
	go func() { _, _ = client.conn.Write(message) }()

	buf := make([]byte, 4<<10)
	for end := time.Now().Add(8 * soon); time.Now().Before(end); time.Sleep(soon / 10) {
		if _, err := upstream.br.Read(buf); err != nil {
			w.wantEnd(policies.NoCause, 0)
			t.Fatal(err)
		}
	}
	client.reset()
	w.wantEnd(policies.ClientLost, 1001)
}

// fasthttp drops a handshake without a word when its client is lost while the
// answers to earlier requests wait for it. A drain must not wait for such a one.
// Where the client's system stops taking them is not known, so all is tried.
func TestClientLostAheadOfHandshake(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) { c.Drain.Timeout = soon })
	var upstreams, clients sync.WaitGroup
	defer upstreams.Wait()
	defer w.upstream.Close()
	upstreams.Go(func() {
		for {
			conn, err := w.upstream.AcceptTCP()
			if err != nil {
				return
			}
			upstreams.Go(func() { answerPlain(conn) })
		}
	})
	for _, length := range []string{"2000", "3000", "4000"} {
		plain := []byte("GET / HTTP/1.1\r\nHost: test\r\nX-Length: " + length + "\r\n\r\n")
		for requests := 1; requests < 120; requests++ {
			conn, err := net.Dial("tcp", w.address)
			if err != nil {
				t.Fatal(err)
			}
			client := newPeer(t, "client", conn.(*net.TCPConn))
			_ = client.conn.SetReadBuffer(4 << 10)
			client.send(bytes.Repeat(plain, requests), handshake)
			clients.Go(func() {
				time.Sleep(2 * soon) // for the answers to fill what there is
				client.reset()
			})
		}
	}
	clients.Wait()
	w.drain()
	w.wantDrained()
}

// answerPlain is an upstream that gives every plain request a body as long as
// its X-Length says, and every handshake the end of the connection.
func answerPlain(conn net.Conn) {
	defer conn.Close()
	br := bufio.NewReader(conn)
	for {
		r, err := http.ReadRequest(br)
		if err != nil || r.Header.Get("Upgrade") != "" {
			return
		}
		length, _ := strconv.Atoi(r.Header.Get("X-Length"))
		answer := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", length, strings.Repeat("x", length))
		if _, err := conn.Write([]byte(answer)); err != nil {
			return
		}
	}
}
