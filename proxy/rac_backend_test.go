package proxy_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// welcome is what the RAC backend sends together with its 101.
const welcome = `{"type":"CONNECTION_SUCCESS","clientId":"client_1"}`

// racBackend is the RAC backend at its end of one connection. It keeps what the
// client is subscribed to until it is told otherwise, also when the connection is
// long gone, and answers no protocol ping.
type racBackend struct {
	*peer
	done chan struct{} // closed when the connection has ended; then the rest may be read

	held []string // topics
	most int      // that were held at a time
	saw  []string // +topic, -topic, or the message
	end  string   // close and its code, reset, or lost
}

// wantDone waits for the end of the connection.
func (b *racBackend) wantDone() {
	b.t.Helper()
	select {
	case <-b.done:
	case <-time.After(longest):
		b.t.Fatal("the backend's connection does not end")
	}
}

// answer is sent to the client.
func (b *racBackend) answer(payload string) {
	_, _ = b.conn.Write(b.frame(text, payload)) // reading will find the end
}

// serve reads until the connection has ended.
func (b *racBackend) serve() {
	defer close(b.done)
	defer func() { _ = b.conn.Close() }()
	for {
		first, payload, err := b.read()
		switch {
		case errors.Is(err, syscall.ECONNRESET):
			b.end = "reset"
			return
		case err != nil:
			b.end = "lost"
			return
		case first == closing:
			b.end = "close"
			if len(payload) >= 2 {
				b.end += " " + strconv.Itoa(int(payload[0])<<8|int(payload[1]))
			}
			_, _ = b.conn.Write(b.frame(closing, payload))
			return
		case first == text:
			b.handle(payload)
		}
	}
}

func (b *racBackend) handle(payload string) {
	var m struct {
		Type    string
		Payload struct{ PNR string }
	}
	if json.Unmarshal([]byte(payload), &m) != nil {
		b.saw = append(b.saw, payload)
		b.answer(`{"type":"ERROR","message":"Invalid message format"}`)
		return
	}
	topic, answer := m.Payload.PNR, `d","payload":{"pnr":"`+m.Payload.PNR+`"}}`
	switch m.Type {
	case "subscribe:offers":
		b.subscribe(topic)
		b.answer(`{"type":"subscribe` + answer)
	case "unsubscribe:offers":
		b.unsubscribe(topic)
		b.answer(`{"type":"unsubscribe` + answer)
	case "SUBSCRIBE":
		b.subscribe("broadcasts")
		b.answer(`{"type":"SUBSCRIBED"}`)
	case "UNSUBSCRIBE":
		b.unsubscribe("broadcasts")
		b.answer(`{"type":"UNSUBSCRIBED"}`)
	default:
		b.saw = append(b.saw, payload)
	}
}

func (b *racBackend) subscribe(topic string) {
	b.saw = append(b.saw, "+"+topic)
	if !slices.Contains(b.held, topic) {
		b.held = append(b.held, topic)
		b.most = max(b.most, len(b.held))
	}
}

func (b *racBackend) unsubscribe(topic string) {
	b.saw = append(b.saw, "-"+topic)
	b.held = slices.DeleteFunc(b.held, func(held string) bool { return held == topic })
}

// fill sends messages until nothing more is taken.
func (p *peer) fill() {
	p.t.Helper()
	messages := bytes.Repeat(p.frame(text, strings.Repeat("b", 1020)), 64)
	rest := messages
	for full := 0; full < 3; {
		_ = p.conn.SetWriteDeadline(time.Now().Add(soon))
		n, err := p.conn.Write(rest)
		if rest = rest[n:]; len(rest) == 0 {
			rest = messages
		}
		switch {
		case n > 0:
			full = 0
		case errors.Is(err, os.ErrDeadlineExceeded):
			full++
		default:
			p.t.Fatalf("%s: send: %v", p.name, err)
		}
	}
}

// racSession is a session with the RAC backend, behind dialect rac.
type racSession struct {
	*warden
	client  *peer
	backend *racBackend
	reports *reports
}

// prepareRAC starts wswarden in front of a RAC backend that has yet to accept.
func prepareRAC(t *testing.T, policy policies.Policy) *racSession {
	t.Helper()
	s := &racSession{reports: listenForReports(t)}
	policy.Dialect = "rac"
	policy.Release.Unsubscribe = true
	policy.Release.Webhook = policies.Webhook{URL: s.reports.url, Timeout: longest, Attempts: 1}
	s.warden = startWith(t, proxy.New, func(c *config.Config) { c.Policies[0] = policy })
	return s
}

// startRAC begins a session in which the client's first messages come right behind
// its handshake: no rule's time is over before they are there.
func startRAC(t *testing.T, policy policies.Policy, messages ...string) *racSession {
	t.Helper()
	s := prepareRAC(t, policy)
	s.connect(messages...)
	s.serve()
	s.wantWelcome()
	return s
}

// connect connects a client that speaks at once.
func (s *racSession) connect(messages ...string) {
	s.t.Helper()
	s.client = s.dial()
	for _, m := range messages {
		s.client.send(s.client.frame(text, m))
	}
}

// serve has the backend accept the next connection.
func (s *racSession) serve() {
	s.t.Helper()
	b := &racBackend{peer: s.accept(), done: make(chan struct{})}
	b.agree(b.request(), b.frame(text, welcome))
	go b.serve()
	s.t.Cleanup(func() {
		_ = b.conn.Close()
		<-b.done
	})
	s.backend = b
}

// wantWelcome reads the answer to the client's handshake, and the welcome.
func (s *racSession) wantWelcome() {
	s.t.Helper()
	if status := s.client.response().StatusCode; status != http.StatusSwitchingProtocols {
		s.t.Fatalf("handshake: status %d", status)
	}
	s.client.want(text, welcome)
}

// wantAnswers reads n messages of the backend's or of wswarden's, and counts their
// types.
func (s *racSession) wantAnswers(n int) map[string]int {
	s.t.Helper()
	types := make(map[string]int)
	for range n {
		first, payload, err := s.client.read()
		var m struct{ Type string }
		if err == nil {
			err = json.Unmarshal([]byte(payload), &m)
		}
		if err != nil || first != text {
			s.t.Fatalf("client: read %#x %q (%v) after %v, want a message", first, payload, err, types)
		}
		types[m.Type]++
	}
	return types
}

// wantReleased waits for the end of the backend's connection, which must have seen
// exactly this, and hold nothing after it.
func (s *racSession) wantReleased(end string, saw ...string) {
	s.t.Helper()
	s.wantUpstream(end, saw...)
	if len(s.backend.held) > 0 {
		s.t.Errorf("the backend holds %d subscriptions: %v", len(s.backend.held), s.backend.held)
	}
}

func (s *racSession) wantUpstream(end string, saw ...string) {
	s.t.Helper()
	s.backend.wantDone()
	if s.backend.end != end {
		s.t.Errorf("the backend's connection ended by %s, want %s", s.backend.end, end)
	}
	if !slices.Equal(s.backend.saw, saw) {
		s.t.Errorf("the backend saw %q, want %q", s.backend.saw, saw)
	}
}

// reports is an HTTP server that is told of the end of sessions.
type reports struct {
	t    *testing.T
	url  string
	came chan report
}

// report is one as the README has it.
type report struct {
	ID            string
	Policy        string
	Identity      string
	Client        string
	Cause         string
	CloseCode     uint16 `json:"close_code"`
	Opened        time.Time
	Closed        time.Time
	Subscriptions []reported
}

type reported struct {
	Topic        string
	State        string
	Unsubscribed bool
}

func listenForReports(t *testing.T) *reports {
	r := &reports{t: t, came: make(chan report, 10)}
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		var got report
		err := json.NewDecoder(q.Body).Decode(&got)
		if key := q.Header.Get("Idempotency-Key"); err != nil || q.Method != http.MethodPost || key == "" || key != got.ID {
			t.Errorf("webhook: %s %+v (%v) with key %q", q.Method, got, err, key)
		}
		r.came <- got
	}))
	t.Cleanup(server.Close)
	r.url = server.URL + "/released"
	return r
}

// want waits for the report of a session that had these subscriptions, all of
// them in the same state; an empty one is any.
func (r *reports) want(cause policies.Cause, state string, unsubscribed bool, topics ...string) report {
	r.t.Helper()
	got := r.next()
	want := make([]reported, len(topics))
	for i, topic := range topics {
		want[i] = reported{topic, state, unsubscribed}
	}
	if state == "" {
		for i := range got.Subscriptions {
			got.Subscriptions[i].State = ""
		}
	}
	if got.Cause != cause.String() || !slices.Equal(got.Subscriptions, want) {
		r.t.Errorf("reported: %s with %+v, want %s with %+v", got.Cause, got.Subscriptions, cause, want)
	}
	return got
}

func (r *reports) next() report {
	r.t.Helper()
	select {
	case got := <-r.came:
		return got
	case <-time.After(longest):
		r.t.Fatal("no report comes")
		panic("not reached")
	}
}
