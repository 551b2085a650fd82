package proxy_test

import (
	"bytes"
	"compress/flate"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
	"wswarden/proxy/admin/api"
)

// strict is a policy of which every rule is violated by everybody.
func strict(webhook string) policies.Policy {
	const now = time.Millisecond
	return policies.Policy{
		Name:       "p",
		Mode:       policies.ModeObserve,
		Dialect:    "rac",
		Handshakes: policies.Handshakes{PerIPRate: 0.001, Burst: 1, TotalRate: 0.001, TotalBurst: 1},
		Connections: policies.Connections{
			Max: 1, PerIP: 1, PerIdentity: 1,
			Identity: policies.Identity{From: policies.FromHeader, Name: "X-User", Required: true},
			OnExcess: policies.ExcessEvictOldest,
		},
		Heartbeat:         policies.Heartbeat{Interval: now, Timeout: now},
		UpstreamHeartbeat: policies.UpstreamHeartbeat{Interval: now, Timeout: now},
		FirstMessage:      policies.FirstMessage{Timeout: now},
		Idle:              policies.Idle{Timeout: now},
		Lifetime:          policies.Lifetime{Max: now},
		Stall:             policies.Stall{Timeout: now},
		Messages:          policies.Messages{MaxBytes: 50, Rate: 0.001, BytesPerSecond: 1024, ValidateUTF8: true},
		Inspect:           policies.Inspect{MaxBytes: 150},
		Subscriptions:     policies.Subscriptions{Max: 1, MaxPerTopic: 1, Allow: []string{"a*"}, OnExcess: policies.ExcessClose},
		Release: policies.Release{
			Unsubscribe: true, Farewell: []string{"farewell"}, Grace: now,
			Webhook: policies.Webhook{URL: webhook, Timeout: time.Second, Attempts: 1},
		},
	}
}

// deflater compresses messages that refer to those before them.
type deflater struct {
	*flate.Writer
	out bytes.Buffer
}

func newDeflater() *deflater {
	d := new(deflater)
	d.Writer, _ = flate.NewWriter(&d.out, flate.BestCompression)
	return d
}

func (d *deflater) message(content string) string {
	d.out.Reset()
	_, _ = io.WriteString(d, content)
	_ = d.Flush()
	return strings.TrimSuffix(d.out.String(), "\x00\x00\xff\xff")
}

// turn is what one peer sends next, once the other has got all that was before.
type turn struct {
	upstream bool // it, and not the client
	send     []byte
	wait     func() // before
}

// traffic is what passes in a session behind its handshake, in order. Then the client
// ends its stream, and upstream its own.
func traffic(t *testing.T, violated func(causes ...policies.Cause)) map[string][]turn {
	const compressed = text | 0x40
	client := func(first byte, payload string) turn { return turn{send: encode(true, first, payload)} }
	upstream := func(first byte, payload string) turn {
		return turn{upstream: true, send: encode(false, first, payload)}
	}
	fromClient, fromUpstream := newDeflater(), newDeflater()
	a, b := subscribe(`"a1"`), subscribe(`"b"`)

	said := []turn{
		upstream(text, `{"type":"connected"}`),
		client(compressed, fromClient.message(a)),
		client(compressed, fromClient.message(a)), // refers to the one before
		client(compressed, fromClient.message(b)), // not allowed
		client(compressed, fromClient.message(subscribe(`"a2"`))),
		upstream(compressed, fromUpstream.message(`{"type":"SUBSCRIBED","payload":{"pnr":"a1"}}`)),
		client(text, `{"type":"a","type":"b"}`),
		client(text, "no UTF-8: \xff"),
		client(text, `{"cut`), // no JSON
		client(textBegins, strings.Repeat("x", 100)),
		client(ping, "between fragments"),
		client(goesOn, strings.Repeat("y", 100)),
		client(goesEnd, ""),
		client(compressed, fromClient.message(strings.Repeat("z", 1000))),
		client(compressed, fromClient.message(a)), // which nobody can read any more
		upstream(pong, "between fragments"),
		upstream(ping, "are you there?"),
		client(pong, "are you there?"),
		client(text, strings.Repeat("long ", 10_000)),
		upstream(text, strings.Repeat("longer ", 100_000)),
	}
	for range 40 {
		said = append(said, client(ping, "?"))
	}
	ends := turn{send: encode(true, closing, "\x0f\xa0done"), wait: func() {
		violated(policies.IdleTimeout, policies.MaxAge)
	}}
	answer := turn{upstream: true, send: encode(false, closing, "\x0f\xa0done"), wait: func() {
		time.Sleep(20 * time.Millisecond) // well beyond release.grace
	}}
	return map[string][]turn{
		"what rules are about": append(said, ends, answer),
		"no frames of a client's": {
			client(text, "a message"),
			{send: []byte("\x83\x85\x01\x02\x03\x04 reserved opcode")},
			{upstream: true, send: encode(false, text, "unmoved")},
			{send: []byte("\x81\x05plain"), wait: func() { violated(policies.ProtocolError) }},
			{send: encode(true, closing, "\x03\xed")},
			{send: []byte{0x81}},
		},
		"no frames of upstream's": {
			{upstream: true, send: encode(true, text, "masked")},
			client(text, "a message"),
			{upstream: true, send: []byte("HTTP/1.1 400 after all\r\n\r\n")},
			client(closing, "\x03\xe8"),
		},
		"half a header":  {client(text, "a message"), {send: []byte{0x81, 0xfe, 0x01}}},
		"half a message": {client(textBegins, subscribe(`"a1"`)), {send: []byte{0x80, 0xff}}},
		"half a close":   {client(text, "a message"), {send: []byte{0x88, 0x82, 1, 2, 3}}},
		"silence":        {{send: nil, wait: func() { violated(policies.NoFirstMessage) }}},
	}
}

const (
	observedRequest = "GET /ws?token=1 HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://elsewhere.example\r\n" +
		"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\ntraceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\n%s\r\n"
	observedResponse = "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSet-Cookie: a=b\r\n\r\n"
)

// heard is what two peers have received.
type heard struct{ upstream, client string }

// converse plays a session between a client and an upstream that are connected somehow.
func converse(t *testing.T, dial, accept func() *net.TCPConn, header string, turns []turn) (h heard) {
	t.Helper()
	read := func(conn *net.TCPConn, n int) string {
		t.Helper()
		_ = conn.SetReadDeadline(time.Now().Add(longest))
		b := make([]byte, n)
		got, err := io.ReadFull(conn, b)
		if err != nil {
			t.Fatalf("%d of %d bytes arrive: %v", got, n, err)
		}
		return string(b)
	}
	head := func(conn *net.TCPConn) (head string) {
		for !strings.HasSuffix(head, "\r\n\r\n") {
			head += read(conn, 1)
		}
		return head
	}
	client := dial()
	defer client.Close()
	_, _ = fmt.Fprintf(client, observedRequest, header)
	upstream := accept()
	defer upstream.Close()
	h.upstream = head(upstream)
	_, _ = io.WriteString(upstream, observedResponse)
	h.client = head(client)
	for _, turn := range turns {
		if turn.wait != nil {
			turn.wait()
		}
		if turn.upstream {
			_, _ = upstream.Write(turn.send)
			h.client += read(client, len(turn.send))
			continue
		}
		_, _ = client.Write(turn.send)
		if held := heldBack(turn.send); held == 0 {
			h.upstream += read(upstream, len(turn.send))
		}
	}
	// What wswarden does not pass on before it knows what it is comes with the end.
	_ = client.CloseWrite()
	rest, err := io.ReadAll(upstream)
	h.upstream += string(rest)
	if err != nil {
		t.Errorf("upstream's connection ends with %v", err)
	}
	_ = upstream.CloseWrite()
	return h
}

// heldBack is how many bytes of a control frame or a header are there, if it is not
// whole.
func heldBack(b []byte) int {
	switch {
	case len(b) > 0 && len(b) < 4, len(b) == 5 && b[0] == 0x88:
		return len(b)
	}
	return 0
}

// Whatever rules would do, with a policy that observes both peers get the very bytes
// that they would get without wswarden between them, but for the headers that tell who
// the client is.
func TestObserveIsTransparent(t *testing.T) {
	t.Parallel()
	webhook := listenOn(t, "127.0.0.1")
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Policies[0] = strict("http://" + webhook.Addr().String())
		c.Admin.Address = "127.0.0.1:0"
	})
	events := w.watch("kind=would_have")
	violated := func(causes ...policies.Cause) {
		w.until(func() bool {
			got := w.metrics()
			for _, cause := range causes {
				if got[fmt.Sprintf(`wswarden_would_have_ended_total{cause="%s",policy="p"}`, cause)] == 0 {
					return false
				}
			}
			return true
		})
	}
	other := w.observed() // who holds all seats, and the topic
	through := func(ln *net.TCPListener) func() *net.TCPConn {
		return func() *net.TCPConn {
			_ = ln.SetDeadline(time.Now().Add(longest))
			conn, err := ln.AcceptTCP()
			if err != nil {
				t.Fatal(err)
			}
			return conn
		}
	}
	to := func(address string) func() *net.TCPConn {
		return func() *net.TCPConn {
			conn, err := net.Dial("tcp", address)
			if err != nil {
				t.Fatal(err)
			}
			return conn.(*net.TCPConn)
		}
	}
	straight := listenOn(t, "127.0.0.1")
	for name, turns := range traffic(t, violated) {
		t.Run(name, func(t *testing.T) {
			w.t = t
			header := "X-User: a\r\n"
			if name == "silence" {
				header = ""
			}
			untouched := slices.Clone(turns)
			for i := range untouched {
				untouched[i].wait = nil
			}
			want := converse(t, to(straight.Addr().String()), through(straight), header, untouched)
			got := converse(t, to(w.address), through(w.upstream), header, turns)
			wantSameHead(t, "upstream", &got.upstream, &want.upstream, "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
			wantSameHead(t, "the client", &got.client, &want.client)
			if got.upstream != want.upstream || got.client != want.client {
				t.Errorf("upstream got %d bytes, the client %d, want %d and %d, each the same", len(got.upstream), len(got.client), len(want.upstream), len(want.client))
			}
		})
	}
	w.t = t

	// Everything was noticed.
	missing := []string{}
	got := w.metrics()
	for _, cause := range policies.Causes() {
		name := fmt.Sprintf(`wswarden_would_have_ended_total{cause="%s",policy="p"}`, cause)
		pings := cause == policies.HeartbeatTimeout || cause == policies.UpstreamTimeout || cause == policies.ConnectionLimit || cause == policies.Stalled
		if cause.Observable() && !pings && got[name] == 0 {
			missing = append(missing, name)
		}
	}
	for _, why := range policies.Refusals() {
		// The first limit that is met hides the others.
		hidden := why == policies.RefusedTotalRate || why == policies.RefusedMax || why == policies.RefusedPerIP
		if name := fmt.Sprintf(`wswarden_would_have_refused_total{policy="p",reason="%s"}`, why); why.Observable() && !hidden && got[name] == 0 {
			missing = append(missing, name)
		}
	}
	for _, limit := range []policies.Limit{
		policies.LimitSubscriptionsMax, policies.LimitSubscriptionsMaxPerTopic, policies.LimitSubscriptionsAllow, policies.LimitMessagesRate,
		policies.LimitMessagesMaxBytes, policies.LimitInspectMaxBytes, policies.LimitConnectionsPerIdentity, policies.LimitHandshakesPerIPRate,
	} {
		if name := fmt.Sprintf(`wswarden_limit_hits_total{limit="%s",mode="observe",policy="p"}`, limit); got[name] == 0 {
			missing = append(missing, name)
		}
	}
	for _, side := range []string{"client", "upstream"} {
		if name := fmt.Sprintf(`wswarden_would_have_pinged_total{policy="p",side="%s"}`, side); got[name] == 0 {
			missing = append(missing, name)
		}
	}
	for _, name := range missing {
		t.Errorf("%s is 0", name)
	}
	for name, value := range got {
		if strings.Contains(name, `mode="enforce"`) && value > 0 || strings.HasPrefix(name, "wswarden_handshakes_refused_total") && value > 0 {
			t.Errorf("%s is %v", name, value)
		}
	}
	other.close()
	told := map[string]bool{}
	for len(events) > 0 {
		e := <-events
		if id := e.Session.String() + " " + e.Rule; e.Rule == "" || told[id] {
			t.Errorf("told twice, or not of what: %+v", e)
		} else {
			told[id] = true
		}
	}
	if len(told) < 20 {
		t.Errorf("events tell of %d", len(told))
	}
	_ = webhook.SetDeadline(time.Now().Add(soon))
	if conn, err := webhook.Accept(); err == nil {
		_ = conn.Close()
		t.Error("the webhook was called")
	}
}

// observed opens a session of the user a, subscribed to a1.
func (w *warden) observed() (s struct{ close func() }) {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client := newPeer(w.t, "client", conn.(*net.TCPConn))
	client.send(bytes.Replace(handshake, []byte("Host: test"), []byte("Host: test\r\nX-User: a"), 1))
	upstream := w.accept()
	upstream.agree(upstream.request())
	client.response()
	client.send(client.frame(text, subscribe(`"a1"`)))
	upstream.want(text, subscribe(`"a1"`))
	s.close = func() {
		client.send(client.closeFrame(1000, ""))
		upstream.answerClose(1000)
		client.wantClose(1000, "")
		client.end()
	}
	return s
}

// wantSameHead compares two heads but for their order, and cuts them off.
func wantSameHead(t *testing.T, who string, got, want *string, added ...string) {
	t.Helper()
	split := func(text *string) http.Header {
		head, rest, _ := strings.Cut(*text, "\r\n\r\n")
		*text = rest
		first, lines, _ := strings.Cut(head, "\r\n")
		h := http.Header{"": {first}}
		for line := range strings.SplitSeq(lines, "\r\n") {
			name, value, _ := strings.Cut(line, ": ")
			h[name] = append(h[name], value)
		}
		return h
	}
	g, w := split(got), split(want)
	for _, name := range added {
		delete(g, name)
	}
	if !maps.EqualFunc(g, w, slices.Equal[[]string]) {
		t.Errorf("%s got the head %v, want %v", who, g, w)
	}
}

// A rule that observes by itself leaves the others as they are.
func TestObserveOneRule(t *testing.T) {
	t.Parallel()
	policy := atMost(1, policies.ExcessClose)
	policy.Name = "p"
	policy.Subscriptions.Mode = policies.ModeObserve
	policy.Idle = policies.Idle{Timeout: time.Millisecond, Mode: policies.ModeObserve}
	policy.Messages = policies.Messages{MaxBytes: 200}
	policy.Inspect = policies.Inspect{MaxBytes: 150, Mode: policies.ModeObserve}
	w := startOperated(t, policy)
	client, upstream := w.open()
	for _, topic := range []string{`"a"`, `"b"`} {
		client.send(client.frame(text, subscribe(topic)))
		upstream.want(text, subscribe(topic))
	}
	w.wantMetrics(map[string]float64{
		`wswarden_limit_hits_total{limit="subscriptions.max",mode="observe",policy="p"}`: 1,
		`wswarden_would_have_ended_total{cause="subscription_limit",policy="p"}`:         1,
		`wswarden_would_have_ended_total{cause="idle",policy="p"}`:                       1,
	})
	long := strings.Repeat("x", 151)
	client.send(client.frame(text, long), client.frame(textBegins, long[:100]), client.frame(goesEnd, long[100:]))
	upstream.want(text, long)
	upstream.want(text, long) // it was held back as long as it could be read
	id := w.list("")[0].ID
	var detail api.Detail
	w.call("GET", "/v1/sessions/"+id.String(), &detail)
	if slices.Sort(detail.WouldHave); !slices.Equal(detail.WouldHave, []string{"idle", "inspect.max_bytes", "subscriptions.max"}) {
		t.Errorf("would have: %q", detail.WouldHave)
	}
	var found api.Report
	w.call("GET", "/v1/report", &found)
	for _, rule := range found.Policies[0].Rules {
		if rule.Rule == "subscriptions.max" && (rule.Hit != 1 || rule.Mode != "observe" || rule.Needed.Max != 2) {
			t.Errorf("report: %+v, %+v", rule, rule.Needed)
		}
	}
	client.send(client.frame(text, strings.Repeat("x", 201)))
	upstream.want(text, unsubscribe(`"a"`))
	upstream.want(text, unsubscribe(`"b"`))
	upstream.answerClose(1001)
	client.wantClose(1009, "message too big")
	client.end()
	w.wantEnd(policies.MessageTooBig, 1009)
}
