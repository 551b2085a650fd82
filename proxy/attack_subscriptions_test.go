package proxy_test

import (
	"bytes"
	"compress/flate"
	"crypto/sha1"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"

	"wswarden/policies"
)

// A message whose beginning was held back does not reach upstream in part, when
// upstream closes before the rest of it has come.
func TestUpstreamClosesWhileMessageIsHeld(t *testing.T) {
	t.Parallel()
	w := start(t, atMost(2, policies.ExcessReject))
	client, upstream := w.open()
	whole := subscribe(`"a"`)
	client.send(client.frame(textBegins, whole[:9]), client.frame(ping, "held"))
	upstream.want(ping, "held")
	upstream.send(upstream.closeFrame(1000, ""))
	client.wantClose(1000, "")
	client.send(client.frame(goesEnd, whole[9:]), client.closeFrame(1000, ""))
	upstream.want(text, whole)
	upstream.want(text, unsubscribe(`"a"`))
	upstream.wantClose(1000, "")
	upstream.end()
	client.end()
	w.wantEnd(policies.UpstreamClose, 1000)
}

// What a client asks for behind upstream's close frame is limited and undone as
// before: there are servers that still read it. The client is told nothing any more.
func TestSubscriptionsBehindUpstreamsClose(t *testing.T) {
	t.Parallel()
	w := start(t, atMost(1, policies.ExcessReject))
	client, upstream := w.open()
	upstream.send(upstream.closeFrame(1000, ""))
	client.wantClose(1000, "")
	client.send(client.frame(text, subscribe(`"a"`)), client.frame(text, subscribe(`"b"`)), client.closeFrame(1000, ""))
	upstream.want(text, subscribe(`"a"`))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.wantClose(1000, "")
	upstream.end()
	client.wantEOF()
	client.end()
	w.wantEnd(policies.UpstreamClose, 1000)
}

// The records ahead of the one for which a session ends have been acted upon: an
// unsubscribe among them reaches upstream.
func TestUnsubscribeAheadOfTheEnd(t *testing.T) {
	const rs = "\x1e"
	stream := func(id string) string {
		return `{"type":4,"invocationId":"` + id + `","target":"Offers","arguments":[]}` + rs
	}
	cancel := func(id string) string { return `{"type":5,"invocationId":"` + id + `"}` + rs }
	for name, last := range map[string]string{"too many": stream("2") + stream("3"), "unreadable": stream("2") + "{"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			policy := atMost(1, policies.ExcessClose)
			policy.Dialect = "signalr"
			w := start(t, policy)
			client, upstream := w.open()
			client.send(client.frame(text, stream("1")))
			upstream.want(text, stream("1"))
			client.send(client.frame(text, cancel("1")+last))
			upstream.want(text, cancel("1")+stream("2"))
			upstream.want(text, cancel("2"))
			if first, _, err := upstream.read(); first != closing || err != nil {
				t.Errorf("read %#x (%v), want a close frame", first, err)
			}
		})
	}
}

// A client that is slowed down, and then waits for an upstream that takes nothing,
// is read from again once upstream does. Which message upstream's system is the
// first not to take is not known, so all are tried as the last one.
func TestDelayedClientOfSlowUpstream(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Messages: policies.Messages{Rate: 2000, Burst: 1, OnExcess: policies.ExcessDelay}})
	long := strings.Repeat("x", 100_000)
	type pair struct{ client, upstream *peer }
	var pairs []pair
	for n := range 12 {
		client, upstream := w.open()
		pairs = append(pairs, pair{client, upstream})
		for range n {
			client.send(client.frame(text, long), client.frame(text, "second"), client.frame(text, "third"))
			time.Sleep(soon / 20)
		}
	}
	time.Sleep(soon)
	for n, p := range pairs {
		for range n {
			p.upstream.want(text, long)
			p.upstream.want(text, "second")
			p.upstream.want(text, "third")
		}
	}
}

// Upstream's close reaches a client that is slowed down, whose answer is waited for.
func TestUpstreamClosesWhileClientIsDelayed(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Messages: policies.Messages{Rate: 0.001, Burst: 1, OnExcess: policies.ExcessDelay}})
	client, upstream := w.open()
	client.send(client.frame(text, "1"), client.frame(text, "2"), client.frame(text, "3"))
	upstream.want(text, "1")
	upstream.want(text, "2")
	upstream.wantNothing()
	upstream.send(upstream.closeFrame(1000, "bye"))
	client.wantClose(1000, "bye")
	client.send(client.closeFrame(1000, "bye"))
	upstream.want(text, "3")
	upstream.wantClose(1000, "bye")
	upstream.end()
	client.wantEOF()
	client.end()
	w.wantEnd(policies.UpstreamClose, 1000)
}

// What a client sent long ago, and is passed on slowly, is no sign of its life.
func TestDeadClientThatIsDelayed(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: 2 * soon, Timeout: 2 * soon},
		Messages:  policies.Messages{Rate: 20, Burst: 1, OnExcess: policies.ExcessDelay},
		Release:   policies.Release{Grace: soon},
	})
	client, upstream := w.open()
	go func() { _, _ = upstream.rest() }()
	client.send(bytes.Repeat(client.frame(text, "x"), 5000))
	w.wantEnd(policies.HeartbeatTimeout, 1001)
	_ = upstream
}

// A pong that waits behind what its client sent too fast has not been missed.
func TestPongOfDelayedClient(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Heartbeat: policies.Heartbeat{Interval: 8 * soon, Timeout: soon, Liveness: policies.LivenessPong},
		Messages:  policies.Messages{Rate: 10, Burst: 1, OnExcess: policies.ExcessDelay},
	})
	client, upstream := w.open()
	mark := client.wantPing()
	many := bytes.Repeat(client.frame(text, "x"), 8)
	client.send(many, client.frame(pong, mark))
	for range 8 {
		upstream.want(text, "x")
	}
	w.wantAlive(client, upstream)
}

// Little that is inflated to much is read over many turns: refusals that nobody
// reads do not pile up, and no other session waits for long.
func TestInflatedFlood(t *testing.T) {
	policy := atMost(1, policies.ExcessReject)
	policy.Dialect = "json-rpc"
	policy.Release.Grace = soon
	w := start(t, policy)
	type pair struct{ client, upstream *peer }
	var others []pair // one on each loop
	for range runtime.GOMAXPROCS(0) {
		client, upstream := w.open()
		others = append(others, pair{client, upstream})
	}
	client := w.dialOffering("permessage-deflate")
	upstream := w.accept()
	upstream.agreeTo(upstream.request(), "permessage-deflate; client_no_context_takeover; server_no_context_takeover")
	if status := client.response().StatusCode; status != http.StatusSwitchingProtocols {
		t.Fatalf("handshake: status %d", status)
	}

	record := `{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["logs"]}`
	batch := "[" + strings.Repeat(record+",", 900) + record + "]"
	var packed bytes.Buffer
	deflater, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = deflater.Write([]byte(batch))
	_ = deflater.Flush()
	frame := client.frame(0xc1, string(bytes.TrimSuffix(packed.Bytes(), []byte("\x00\x00\xff\xff"))))

	inUse := func() uint64 {
		var m runtime.MemStats
		runtime.GC()
		runtime.ReadMemStats(&m)
		return m.HeapAlloc
	}
	before := inUse()
	go func() {
		for {
			if _, err := client.conn.Write(bytes.Repeat(frame, 1000)); err != nil {
				return
			}
		}
	}()
	go func() { _, _ = upstream.rest() }()
	for range 1000 {
		for _, o := range others {
			o.client.send(o.client.frame(text, "{}"))
			o.upstream.want(text, "{}")
		}
	}
	if after := inUse(); after > before+8<<20 {
		t.Errorf("%d MB are kept", (after-before)>>20)
	}
	client.reset()
	w.wantEnd(policies.ClientLost, 1001)
}

// dialOffering dials and offers extensions.
func (w *warden) dialOffering(extensions string) *peer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client := newPeer(w.t, "client", conn.(*net.TCPConn))
	client.send(bytes.TrimSuffix(handshake, []byte("\r\n")), []byte("Sec-WebSocket-Extensions: "+extensions+"\r\n\r\n"))
	return client
}

// agreeTo accepts a handshake, as upstream, and agrees to extensions.
func (p *peer) agreeTo(r *http.Request, extensions string) {
	p.t.Helper()
	proof := sha1.Sum([]byte(r.Header.Get("Sec-WebSocket-Key") + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	p.send([]byte("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: " +
		base64.StdEncoding.EncodeToString(proof[:]) + "\r\nSec-WebSocket-Extensions: " + extensions + "\r\n\r\n"))
}

// Of what upstream has not read when it breaks the connection, nothing is reported
// as undone.
func TestResetUpstreamHasUndoneNothing(t *testing.T) {
	t.Parallel()
	reports := make(chan string, 1)
	hook := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		reports <- string(body)
	}))
	defer hook.Close()
	policy := atMost(0, policies.ExcessReject)
	policy.Release.Webhook = policies.Webhook{URL: hook.URL, Timeout: longest, Attempts: 1}
	w := start(t, policy)
	client, upstream := w.open()
	client.send(client.frame(text, subscribe(`"a"`)))
	upstream.want(text, subscribe(`"a"`))
	client.end()
	if _, err := upstream.br.Peek(1); err != nil { // it has come, and is not read
		t.Fatal(err)
	}
	upstream.reset()
	w.wantEnd(policies.ClientLost, 1001)
	if got := <-reports; !strings.Contains(got, `"unsubscribed":false`) {
		t.Errorf("reported: %s", got)
	}
}
