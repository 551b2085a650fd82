package proxy_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
	"wswarden/proxy/admin/api"
)

// startOperated is start, with an admin API.
func startOperated(t *testing.T, policy policies.Policy) *warden {
	t.Helper()
	return startWith(t, proxy.New, func(c *config.Config) {
		c.Policies[0] = policy
		c.Admin.Address = "127.0.0.1:0"
	})
}

// call asks the admin API, and reads its answer into answer unless that is nil.
func (w *warden) call(method, path string, answer any) (status int) {
	w.t.Helper()
	request, err := http.NewRequest(method, "http://"+w.server.AdminAddr().String()+path, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longest}
	response, err := client.Do(request)
	if err != nil {
		w.t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		w.t.Fatal(err)
	}
	if answer != nil && response.StatusCode < 300 {
		if err := json.Unmarshal(text, answer); err != nil {
			w.t.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return response.StatusCode
}

// list returns the sessions of a query.
func (w *warden) list(query string) []api.Session {
	w.t.Helper()
	var page api.Page
	if status := w.call("GET", "/v1/sessions?"+query, &page); status != http.StatusOK {
		w.t.Fatalf("list %s: status %d", query, status)
	}
	return page.Sessions
}

// A session is listed with all that it has done, and is gone when it has ended.
func TestSessionIsListed(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{
		Name:        "passengers",
		Dialect:     "rac",
		Heartbeat:   policies.Heartbeat{Interval: time.Millisecond, Timeout: longest, Liveness: policies.LivenessPong},
		Connections: policies.Connections{Identity: policies.Identity{From: policies.FromQuery, Name: "token"}},
	})
	if sessions := w.list(""); len(sessions) != 0 {
		t.Errorf("nobody is there, and yet %v", sessions)
	}
	before := time.Now()
	client := w.ask("/?token=secret")
	upstream := w.let(client)
	ping := client.wantPing()
	client.send(client.frame(pong, ping), client.frame(text, subscribe(`"4711"`)), client.frame(text, "hello"))
	upstream.want(text, subscribe(`"4711"`))
	upstream.want(text, "hello")
	upstream.send(upstream.frame(text, strings.Repeat("x", 1000)))
	for { // pings may come in between
		first, payload, err := client.read()
		if err != nil {
			t.Fatal(err)
		}
		if first == text && len(payload) == 1000 {
			break
		}
	}

	sessions := w.list("")
	if len(sessions) != 1 {
		t.Fatalf("%d sessions, want 1", len(sessions))
	}
	s := sessions[0]
	if s.Policy != "passengers" || s.Address != netip.MustParseAddr("127.0.0.1") || s.State != api.StateOpen ||
		s.Identity != api.HashIdentity("secret") || s.Subscriptions != 1 || s.Ping <= 0 || s.Cause != "" {
		t.Errorf("listed as %+v", s)
	}
	fromClient := uint64(len(client.frame(pong, ping)) + len(client.frame(text, subscribe(`"4711"`))) + len(client.frame(text, "hello")))
	if s.ClientToUpstream.Messages != 2 || s.ClientToUpstream.Bytes < fromClient {
		t.Errorf("from the client: %+v, want 2 messages, %d bytes", s.ClientToUpstream, fromClient)
	}
	if want := (api.Flow{Messages: 1, Bytes: 1004}); s.UpstreamToClient != want {
		t.Errorf("from upstream: %+v, want %+v", s.UpstreamToClient, want)
	}
	if s.Opened.Before(before.Add(-time.Second)) || s.Active.Before(s.Opened) || s.Age < s.Idle || s.Idle < 0 {
		t.Errorf("opened %v, active %v, for %v, idle %v", s.Opened, s.Active, s.Age, s.Idle)
	}

	for query, want := range map[string]int{
		"policy=passengers": 1, "policy=other": 0, "identity=secret": 1, "identity=wrong": 0,
		"identity_hash=" + s.Identity: 1, "address=127.0.0.0/8": 1, "address=10.0.0.1": 0,
		"topic=4711": 1, "topic=4712": 0, "state=open": 1, "state=closing": 0,
		"older_than=1ns": 1, "older_than=1h": 0, "idle_for=1h": 0,
	} {
		if got := len(w.list(query)); got != want {
			t.Errorf("%s: %d sessions, want %d", query, got, want)
		}
	}

	var topics api.Topics
	w.call("GET", "/v1/topics", &topics)
	if want := (api.Topic{Topic: "4711", Policy: "passengers", Sessions: 1, Pending: 1}); len(topics.Topics) != 1 || topics.Topics[0] != want {
		t.Errorf("topics: %+v, want %+v", topics, want)
	}
	client.end()
	upstream.leave(1001, policies.ClientLost.String())
	w.wantEnd(policies.ClientLost, 1001)
	if sessions := w.list(""); len(sessions) != 0 {
		t.Errorf("it has ended, and yet %v", sessions)
	}
	if status := w.call("GET", "/v1/sessions/"+s.ID.String(), nil); status != http.StatusNotFound {
		t.Errorf("it has ended, and yet status %d", status)
	}
}

// The detail of a session says what each rule will do next.
func TestSessionInDetail(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{
		Name:      "p",
		Heartbeat: policies.Heartbeat{Interval: time.Minute, Timeout: 10 * time.Second},
		Idle:      policies.Idle{Timeout: time.Hour, CloseCode: 4001},
		Lifetime:  policies.Lifetime{Max: 12 * time.Hour},
	})
	client, upstream := w.open()
	client.send(client.frame(text, "hello"))
	upstream.want(text, "hello")
	var d api.Detail
	if status := w.call("GET", "/v1/sessions/"+w.list("")[0].ID.String(), &d); status != http.StatusOK {
		t.Fatalf("status %d", status)
	}
	next := ""
	for _, f := range d.Next {
		next += fmt.Sprintf("%s: %s %s %d in %.0f s\n", f.Rule, f.Action, f.Cause, f.CloseCode, f.In)
		if off := time.Until(f.At) - f.In.Duration(); off.Abs() > 5*time.Second {
			t.Errorf("%s: at %v, in %v", f.Rule, f.At, f.In.Duration())
		}
	}
	want := "heartbeat: ping_client  0 in 60 s\nidle: end idle 4001 in 3600 s\nlifetime: end max_age 1012 in 43200 s\n"
	if next != want {
		t.Errorf("next:\n%swant\n%s", next, want)
	}
	if d.Times.FirstMessage == nil || d.Times.Message == nil || d.Times.ClientFrame == nil || d.Times.UpstreamFrame != nil || d.Times.Deadline != nil {
		t.Errorf("times: %+v", d.Times)
	}
}

// An operator ends a session: it is told what the operator wants it told, upstream is
// released, and the log has it.
func TestSessionIsKilled(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		query, reason string
		code          uint16
	}{
		{"", "killed", 1008},
		{"?code=4711&reason=come%20back", "come back", 4711},
	} {
		w := startOperated(t, policies.Policy{Name: "p", Dialect: "rac", Release: policies.Release{Unsubscribe: true}})
		client, upstream := w.open()
		stays, staysUp := w.open()
		client.send(client.frame(text, subscribe(`"4711"`)))
		upstream.want(text, subscribe(`"4711"`))
		id := w.list("topic=4711")[0].ID
		var ended api.Ended
		if status := w.call("DELETE", "/v1/sessions/"+id.String()+c.query, &ended); status != http.StatusOK || ended.Ended != 1 {
			t.Errorf("status %d, %+v", status, ended)
		}
		client.leave(c.code, c.reason)
		upstream.want(text, unsubscribe(`"4711"`))
		upstream.leave(1001, "killed")
		if got := w.wantEnd(policies.Killed, c.code); got.unsubscribed != 1 {
			t.Errorf("%d unsubscribed", got.unsubscribed)
		}
		if status := w.call("DELETE", "/v1/sessions/"+id.String(), nil); status != http.StatusNotFound {
			t.Errorf("killed twice: status %d", status)
		}
		w.wantAlive(stays, staysUp)
	}
}

// A message under way is completed before an operator's close frame.
func TestKilledBehindAMessage(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	client, upstream := w.open()
	upstream.send(upstream.frame(textBegins, "once upon a "))
	client.want(textBegins, "once upon a ")
	var ended api.Ended
	if w.call("DELETE", "/v1/sessions?policy=p&reason=enough", &ended); ended.Ended != 1 {
		t.Fatalf("%d ended", ended.Ended)
	}
	if s := w.list("state=finishing"); len(s) != 1 || s[0].Cause != "killed" {
		t.Errorf("finishing: %+v", s)
	}
	if w.call("DELETE", "/v1/sessions?policy=p", &ended); ended.Ended != 0 {
		t.Errorf("%d ended that did already", ended.Ended)
	}
	if status := w.call("DELETE", "/v1/sessions/"+w.list("")[0].ID.String(), &ended); status != http.StatusOK || ended.Ended != 0 {
		t.Errorf("status %d, %d ended that did already", status, ended.Ended)
	}
	upstream.send(upstream.frame(goesEnd, "time"))
	client.want(goesEnd, "time")
	client.wantClose(1008, "enough")
	if s := w.list("state=closing"); len(s) != 1 || s[0].Cause != "killed" {
		t.Errorf("closing: %+v", s)
	}
	client.answerClose(1008)
	upstream.leave(1001, "killed")
	w.wantEnd(policies.Killed, 1008)
}

// Of many sessions, those end that the filter means, and no others.
func TestManyAreKilled(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Admin.Address = "127.0.0.1:0"
		c.Policies = []policies.Policy{{Name: "a", Match: policies.Match{Path: "/a"}}, {Name: "b"}}
	})
	const each = 50
	for range each {
		w.let(w.ask("/a"))
		w.let(w.ask("/b"))
	}
	var ended api.Ended
	if w.call("DELETE", "/v1/sessions?policy=a", &ended); ended.Ended != each {
		t.Errorf("%d ended, want %d", ended.Ended, each)
	}
	if n := len(w.list("policy=b&state=open")); n != each {
		t.Errorf("%d are left, want %d", n, each)
	}
}

// Both peers are told the session's id, and whoever says one of his own is not
// believed.
func TestSessionHeader(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	for _, forged := range []string{"X-Wswarden-Session: forged", "x_wswarden_session: forged"} {
		client := w.ask("/", forged)
		upstream := w.accept()
		request := upstream.request()
		id := request.Header.Get("X-Wswarden-Session")
		if _, err := api.ParseID(id); err != nil || len(request.Header["X-Wswarden-Session"]) != 1 || request.Header["X_wswarden_session"] != nil {
			t.Errorf("upstream got %q", request.Header)
		}
		upstream.agree(request)
		if got := client.response().Header["X-Wswarden-Session"]; len(got) != 1 || got[0] != id {
			t.Errorf("the client got %q, upstream %q", got, id)
		}
		if status := w.call("GET", "/v1/sessions/"+id, nil); status != http.StatusOK {
			t.Errorf("session %s: status %d", id, status)
		}
	}
	plain := w.dialWith("GET /plain HTTP/1.1\r\nHost: test\r\nX-Wswarden-Session: forged\r\n\r\n")
	server := w.accept()
	if got := server.request().Header["X-Wswarden-Session"]; got != nil {
		t.Errorf("a plain request has %q", got)
	}
	server.send([]byte("HTTP/1.1 204 No Content\r\n\r\n"))
	plain.response()
}

// watch returns the events that happen from now on.
func (w *warden) watch(query string) <-chan api.Event {
	w.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, "GET", "http://"+w.server.AdminAddr().String()+"/v1/events?"+query, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatalf("%v, %+v", err, response)
	}
	events := make(chan api.Event, 1000)
	go func() {
		defer close(events)
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			data, found := strings.CutPrefix(lines.Text(), "data: ")
			var e api.Event
			if found && json.Unmarshal([]byte(data), &e) == nil {
				events <- e
			}
		}
	}()
	w.t.Cleanup(func() {
		cancel()
		_ = response.Body.Close()
		for range events {
		}
	})
	return events
}

// What happens to a session is told while it happens.
func TestEventsOfASession(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{
		Name:          "p",
		Dialect:       "rac",
		Subscriptions: policies.Subscriptions{Max: 1},
		Connections:   policies.Connections{Max: 1},
	})
	events := w.watch("")
	want := func(kind api.EventKind) api.Event {
		t.Helper()
		select {
		case e := <-events:
			if e.Kind != kind || e.Policy != "p" || e.Address != netip.MustParseAddr("127.0.0.1") {
				t.Fatalf("%+v, want %s", e, kind)
			}
			return e
		case <-time.After(longest):
			t.Fatalf("no event %s", kind)
			panic("not reached")
		}
	}
	client, upstream := w.open()
	id := want(api.EventOpened).Session
	w.dial().wantRefused(policies.RefusedMax)
	if e := want(api.EventRefused); e.Reason != "max" || e.Limit != "connections.max" || e.Session == id {
		t.Errorf("%+v", e)
	}
	client.send(client.frame(text, subscribe(`"a"`)), client.frame(text, subscribe(`"b"`)))
	if e := want(api.EventSubscribed); e.Topic != "a" || e.Session != id {
		t.Errorf("%+v", e)
	}
	if e := want(api.EventLimitHit); e.Limit != "subscriptions.max" || e.Session != id {
		t.Errorf("%+v", e)
	}
	upstream.want(text, subscribe(`"a"`))
	if first, _, err := client.read(); first != text || err != nil { // the refusal
		t.Fatal(first, err)
	}
	w.bye(client, upstream)
	e := want(api.EventEnded)
	if e.Session != id || e.Ending == nil {
		t.Fatalf("%+v", e)
	}
	if end := e.Ending; end.Cause != "client_close" || end.Side != "client" || end.ClientCode != 1000 || end.UpstreamCode != 1000 ||
		end.Subscriptions != 1 || end.ReleaseOutcome != "closed" || end.ClientToUpstream.Messages != 2 {
		t.Errorf("%+v", end)
	}
	// Who comes late can have the endings.
	if late := <-w.watch("replay=10"); late.Session != id || late.Kind != api.EventEnded {
		t.Errorf("replayed: %+v", late)
	}
}

// An operator can begin a drain, as a signal does.
func TestOperatorDrains(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	client, upstream := w.open()
	var d api.Draining
	if status := w.call("POST", "/v1/drain", &d); status != http.StatusAccepted || d.Sessions != 1 || d.Already {
		t.Errorf("status %d, %+v", status, d)
	}
	client.wantClose(1012, "service restart")
	if w.call("POST", "/v1/drain", &d); !d.Already {
		t.Errorf("again: %+v", d)
	}
	client.answerClose(1012)
	upstream.leave(1001, "drain")
	w.wantEnd(policies.Drain, 1012)
	w.wantDrained()
}

// Who cannot reach upstream is not ready.
func TestReadyMeansUpstream(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	_ = w.upstream.Close()
	if status := w.call("GET", "/readyz", nil); status != http.StatusServiceUnavailable {
		t.Errorf("status %d", status)
	}
	if status := w.call("GET", "/healthz", nil); status != http.StatusOK {
		t.Errorf("healthy: status %d", status)
	}
}

// A policy is shown with all its settings, filled in, and how many live under it.
func TestPoliciesAreShown(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p", Idle: policies.Idle{Timeout: 90 * time.Second}})
	w.open()
	var list api.Policies
	w.call("GET", "/v1/policies", &list)
	if len(list.Policies) != 1 || list.Policies[0].Name != "p" || list.Policies[0].Sessions != 1 || list.Policies[0].Mode != "enforce" {
		t.Fatalf("%+v", list)
	}
	if idle, _ := list.Policies[0].Settings["idle"].(map[string]any); idle["timeout"] != "1m30s" && idle["timeout"] != "90s" {
		t.Errorf("idle: %v", list.Policies[0].Settings["idle"])
	}
}
