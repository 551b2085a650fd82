package proxy_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	coder "github.com/coder/websocket"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// edgeApp is one of several upstreams. It tells its name with each answer.
type edgeApp struct {
	name   string
	unwell atomic.Bool // health checks fail
	url    string
	late   chan chan struct{} // a handshake that says so is answered when what is sent here is closed
}

func startEdgeApp(t *testing.T, name string) *edgeApp {
	a := &edgeApp{name: name, late: make(chan chan struct{})}
	var ln net.Listener
	ln, a.url = edgeListen(t, "http", nil)
	edgeServe(t, ln, a.serve)
	return a
}

func (a *edgeApp) serve(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("X-App", a.name)
	switch {
	case r.URL.Path == "/health" && a.unwell.Load():
		w.WriteHeader(http.StatusInternalServerError)
	case r.Header.Get("Upgrade") == "":
	default:
		if r.Header.Get("Late") != "" {
			answer := make(chan struct{})
			a.late <- answer
			<-answer
		}
		conn, err := coder.Accept(w, r, nil)
		if err != nil {
			return
		}
		_, _, _ = conn.Read(context.Background())
		_ = conn.CloseNow()
	}
}

// address of the app, as metrics have it.
func (a *edgeApp) address() string { return strings.TrimPrefix(a.url, "http://") }

// visit opens a session, and tells by whom it is served.
func (e *edge) visit(lines ...string) (client *edgePeer, app string) {
	e.t.Helper()
	client = e.client(nil)
	client.send([]byte(interopRequest(lines...)))
	return client, client.wantStatus(http.StatusSwitchingProtocols).Header.Get("X-App")
}

// ask makes a plain request, and returns its answer's status and by whom it is.
func (e *edge) ask(request string) (status int, header http.Header) {
	e.t.Helper()
	client := e.client(nil)
	defer edgeClose(client.conn)
	client.send([]byte(request))
	r, _ := client.response()
	return r.StatusCode, r.Header
}

// An address that refuses connections is left alone, and clients are told at once when to
// come back. A trial finds out that it is there again.
func TestBreaker(t *testing.T) {
	t.Parallel()
	const plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
	path := edgeSocket(t)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = "unix:" + path
		c.Upstream.Breaker = config.Breaker{Failures: 4, RetryAfter: time.Hour}
	})
	series := `wswarden_upstream_breaker_open{address="unix:` + path + `"}`
	for i, request := range []string{interopRequest(), plain, plain, interopRequest()} {
		if e.metric(series) != "0" {
			t.Errorf("open after %d failures", i)
		}
		if status, header := e.ask(request); status != http.StatusBadGateway || header.Get("Retry-After") != "" {
			t.Errorf("%d: status %d, %v", i, status, header)
		}
	}
	e.wantMetric(series, "1")
	e.wantLog(1, "upstream's breaker opened", "failures=4")

	ln, err := net.Listen("unix", path) // it is there again, and yet is not asked
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	for _, request := range []string{interopRequest(), plain} {
		status, header := e.ask(request)
		seconds, err := strconv.Atoi(header.Get("Retry-After"))
		if status != http.StatusServiceUnavailable || err != nil || seconds < 1 || seconds > 2*3600 {
			t.Errorf("status %d, %v", status, header)
		}
	}
	if status, body := e.admin("/readyz"); status != http.StatusServiceUnavailable {
		t.Errorf("/readyz: %d, %s", status, body)
	}
	_ = ln.(*net.UnixListener).SetDeadline(time.Unix(1, 0))
	if _, err := ln.Accept(); err == nil {
		t.Error("it was connected to")
	}
	_ = ln.(*net.UnixListener).SetDeadline(time.Time{})

	e.reload(func(c *config.Config) { c.Upstream.Breaker.RetryAfter = time.Millisecond })
	time.Sleep(2 * time.Millisecond)
	client, upstream := e.open(nil, ln) // the trial
	e.wantMetric(series, "0")
	e.wantLog(1, "upstream's breaker closed")
	edgeAlive(client, upstream)
	edgeBye(client, upstream)
	e.until("ready", func() bool { status, _ := e.admin("/readyz"); return status == http.StatusOK })
}

// Who sends all clients away is not ready, whatever health checks know by then, and is
// ready for a trial. Nothing is dialled to find that out.
func TestBreakerIsNotReady(t *testing.T) {
	t.Parallel()
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = "unix:" + edgeSocket(t)
		c.Upstream.Breaker = config.Breaker{Failures: 1, RetryAfter: time.Hour}
		c.Upstream.Health = config.Health{Path: "/", Interval: time.Hour, Timeout: time.Second, Failures: 100}
	})
	if status, _ := e.ask(interopRequest()); status != http.StatusBadGateway {
		t.Errorf("status %d", status)
	}
	if status, body := e.admin("/readyz?verbose"); status != http.StatusServiceUnavailable || !strings.Contains(body, "held_back") {
		t.Errorf("/readyz: %d, %s", status, body)
	}
	e.reload(func(c *config.Config) { c.Upstream.Breaker.RetryAfter = time.Millisecond })
	e.until("ready", func() bool { status, _ := e.admin("/readyz"); return status == http.StatusOK })
	e.wantMetric("wswarden_upstream_up", "0")
}

// A trial that fails has others wait again.
func TestBreakerTrialFails(t *testing.T) {
	t.Parallel()
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = "unix:" + edgeSocket(t)
		c.Upstream.Breaker = config.Breaker{Failures: 1, RetryAfter: time.Hour}
	})
	want := func(statuses ...int) {
		t.Helper()
		for i, want := range statuses {
			if got, _ := e.ask(interopRequest()); got != want {
				t.Errorf("%d: status %d, want %d", i, got, want)
			}
		}
	}
	want(http.StatusBadGateway, http.StatusServiceUnavailable)
	e.reload(func(c *config.Config) { c.Upstream.Breaker.RetryAfter = time.Millisecond })
	time.Sleep(2 * time.Millisecond)
	want(http.StatusBadGateway)
	e.reload(func(c *config.Config) { c.Upstream.Breaker.RetryAfter = time.Hour })
	want(http.StatusServiceUnavailable, http.StatusServiceUnavailable)
	e.reload(func(c *config.Config) { c.Upstream.Breaker = config.Breaker{RetryAfter: time.Hour} }) // never
	want(http.StatusBadGateway, http.StatusBadGateway, http.StatusBadGateway)
}

// Sessions go to the address that has the fewest. One that is not there is passed over,
// and no client notices.
func TestSeveralUpstreams(t *testing.T) {
	t.Parallel()
	a, b := startEdgeApp(t, "a"), startEdgeApp(t, "b")
	dead := "unix:" + edgeSocket(t)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URLs = []string{dead, a.url, b.url}
		c.Upstream.Breaker = config.Breaker{Failures: 3, RetryAfter: time.Hour}
	})
	const each = 5
	var clients []*edgePeer
	at := map[string]int{}
	for range 2 * each {
		client, app := e.visit()
		clients = append(clients, client)
		at[app]++
	}
	if at["a"] != each || at["b"] != each {
		t.Errorf("sessions are at %v", at)
	}
	for _, app := range []*edgeApp{a, b} {
		e.wantMetric(`wswarden_upstream_address_sessions{address="`+app.address()+`"}`, strconv.Itoa(each))
	}
	e.wantMetric(`wswarden_upstream_address_up{address="`+dead+`"}`, "0")
	for range 5 {
		if status, header := e.ask("GET / HTTP/1.1\r\nHost: h\r\n\r\n"); status != http.StatusOK || header.Get("X-App") == "" {
			t.Errorf("status %d, %v", status, header)
		}
	}
	if status, body := e.admin("/readyz"); status != http.StatusOK {
		t.Errorf("/readyz: %d, %s", status, body)
	}
	for _, client := range clients {
		edgeClose(client.conn)
	}
	e.wantEnded(2*each, policies.ClientLost)
	for _, app := range []*edgeApp{a, b} {
		e.wantMetric(`wswarden_upstream_address_sessions{address="`+app.address()+`"}`, "0")
	}
}

// Who has the same value comes to the same address, by plain HTTP too, for as long as it
// is there.
func TestSticky(t *testing.T) {
	t.Parallel()
	for from, line := range map[string]string{
		config.StickyHeader: "X-Room: %s",
		config.StickyCookie: "Cookie: a=b; X-Room=%s",
		config.StickyQuery:  "",
	} {
		t.Run(from, func(t *testing.T) {
			t.Parallel()
			var urls []string
			for name := range 3 {
				urls = append(urls, startEdgeApp(t, strconv.Itoa(name)).url)
			}
			e := startEdge(t, func(c *config.Config) {
				c.Upstream.URLs = urls
				c.Upstream.Sticky = config.Sticky{From: from, Name: "X-Room"}
				c.Upstream.Breaker.Failures = 1
			})
			where := func(room string) string {
				t.Helper()
				at := ""
				for _, plain := range []bool{false, true, false, true} {
					request := interopRequest()
					if plain {
						request = "GET /interop HTTP/1.1\r\nHost: h\r\n\r\n"
					}
					if line == "" {
						request = strings.Replace(request, "/interop", "/interop?q=1&X-Room="+url.QueryEscape(room), 1)
					} else {
						request = strings.TrimSuffix(request, "\r\n") + fmt.Sprintf(line, room) + "\r\n\r\n"
					}
					_, header := e.ask(request)
					app := header.Get("X-App")
					if at == "" {
						at = app
					}
					if app != at || app == "" {
						t.Errorf("room %s is at %q, and then at %q", room, at, app)
					}
				}
				return at
			}
			at, rooms := map[string]string{}, map[string]int{}
			for i := range 12 {
				room := "room-" + strconv.Itoa(i)
				at[room] = where(room)
				rooms[at[room]]++
			}
			// One of the others is gone: nobody moves who was not there.
			e.reload(func(c *config.Config) { c.Upstream.URLs = urls[1:] })
			for room, before := range at {
				if got := where(room); before != "0" && got != before {
					t.Errorf("%s was at %s and is at %s", room, before, got)
				}
			}
		})
	}
}

// states counts the sessions that there are by what becomes of them.
func (e *edge) states() map[string]int {
	e.t.Helper()
	_, text := e.admin("/v1/sessions?limit=1000")
	states := map[string]int{}
	for _, state := range []string{"open", "finishing", "closing"} {
		states[state] = strings.Count(text, `"state":"`+state+`"`)
	}
	return states
}

// Of the many sessions that an address takes along, a few clients are told at once, and
// the others within the time by which a drain is spread. Who leaves before is answered.
func TestWaveOfLosses(t *testing.T) {
	t.Parallel()
	const sessions, atOnce = 30, 5
	never := 100_000 * time.Hour
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Upstream.Breaker.Failures = atOnce
		c.Drain.Spread, c.Drain.Timeout = never, never
	})
	clients, upstreams := make([]*edgePeer, sessions), make([]*edgePeer, sessions)
	for i := range sessions {
		clients[i], upstreams[i] = e.open(nil, ln)
		upstreams[i].say("welcome")
		clients[i].want(text, "welcome")
	}
	for i, upstream := range upstreams {
		if i%2 == 0 {
			edgeReset(upstream.conn)
		} else {
			edgeClose(upstream.conn) // as of a process that is killed
		}
	}
	var states map[string]int
	e.until("all lost", func() bool { states = e.states(); return states["open"] == 0 })
	if states["closing"] < atOnce || states["closing"] > 2*atOnce || states["closing"]+states["finishing"] != sessions {
		t.Errorf("sessions: %v", states)
	}
	e.wantMetric(`wswarden_upstream_address_sessions{address="`+ln.Addr().String()+`"}`, strconv.Itoa(sessions))

	// Nobody knows who has been told but the clients.
	waiting, told := clients, 0
	for told < states["closing"] {
		var still []*edgePeer
		for _, client := range waiting {
			_ = client.conn.SetReadDeadline(time.Now().Add(5 * time.Millisecond))
			if _, err := client.br.Peek(1); err != nil {
				still = append(still, client)
				continue
			}
			told++
			client.wantClose(1014, policies.UpstreamLost.String())
			client.sendClose(1014)
			client.wantEnd()
			edgeClose(client.conn)
		}
		waiting = still
	}
	if told > states["closing"] {
		t.Errorf("%d clients are told, of %d sessions that close", told, states["closing"])
	}
	// One says something, and closes; two go.
	waiting[0].say("is anybody there?")
	waiting[0].send(waiting[0].frame(ping, "?"))
	waiting[0].sendClose(1000)
	waiting[0].wantClose(1014, policies.UpstreamLost.String())
	waiting[0].wantEnd()
	edgeClose(waiting[0].conn)
	edgeReset(waiting[1].conn)
	edgeClose(waiting[2].conn)
	told += 3
	e.wantLog(told, `msg="session ended"`)

	// A drain ends the others.
	e.reload(func(c *config.Config) { c.Drain.Spread = 0 })
	e.drain()
	for _, client := range waiting[3:] {
		client.wantClose(1014, policies.UpstreamLost.String())
		client.sendClose(1014)
		client.wantEnd()
		edgeClose(client.conn)
	}
	e.end()
	e.wantLog(sessions, `msg="session ended"`)
	if lost, gone := len(e.log.with("cause=upstream_lost ")), len(e.log.with("cause=client_lost ")); lost+gone != sessions || gone > 0 {
		t.Errorf("%d sessions are lost, of %d the client has gone:\n%s", lost, gone, e.log)
	}
}

// An address that health checks find down loses its sessions to the others, one by one.
func TestUnhealthyUpstream(t *testing.T) {
	t.Parallel()
	a, b := startEdgeApp(t, "a"), startEdgeApp(t, "b")
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URLs = []string{a.url, b.url}
		c.Upstream.Health = config.Health{Path: "/health", Interval: 250 * time.Millisecond, Timeout: 250 * time.Millisecond, Failures: 2}
		c.Drain.Spread, c.Drain.Timeout = soon, longest
	})
	up := func(app *edgeApp, want string) {
		t.Helper()
		e.wantMetric(`wswarden_upstream_address_up{address="`+app.address()+`"}`, want)
	}
	const each = 4
	var leaving, staying []*edgePeer
	for range 2 * each {
		client, app := e.visit()
		if app == "a" {
			leaving = append(leaving, client)
		} else {
			staying = append(staying, client)
		}
	}
	if len(leaving) != each {
		t.Fatalf("%d sessions at a", len(leaving))
	}
	a.unwell.Store(true)
	for _, client := range leaving {
		client.wantClose(1014, "upstream's address has failed its health checks")
		client.sendClose(1014)
		client.wantEnd()
		edgeClose(client.conn)
	}
	up(a, "0")
	for range 3 {
		client, app := e.visit()
		if app != "b" {
			t.Errorf("a new session is at %s", app)
		}
		staying = append(staying, client)
	}

	// Nobody is better off without the last one, which is asked for want of another.
	b.unwell.Store(true)
	up(b, "0")
	e.until("not ready", func() bool { status, _ := e.admin("/readyz"); return status == http.StatusServiceUnavailable })
	client, _ := e.visit()
	edgeClose(client.conn)

	a.unwell.Store(false)
	up(a, "1")
	for _, client := range staying { // as there is another one again
		client.wantClose(1014, "upstream's address has failed its health checks")
		client.sendClose(1014)
		edgeClose(client.conn)
	}
	client, app := e.visit()
	if app != "a" {
		t.Errorf("a new session is at %s", app)
	}
	edgeClose(client.conn)
	e.until("ready", func() bool { status, _ := e.admin("/readyz"); return status == http.StatusOK })
}

// A handshake that was under way when its address was found down makes a session that is
// not to stay there, either.
func TestUnhealthyUpstreamAnswersLate(t *testing.T) {
	t.Parallel()
	apps := map[string]*edgeApp{"a": startEdgeApp(t, "a"), "b": startEdgeApp(t, "b")}
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URLs = []string{apps["a"].url, apps["b"].url}
		c.Upstream.HandshakeTimeout = longest
		c.Upstream.Health = config.Health{Path: "/health", Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Failures: 2}
		c.Drain.Timeout = longest
	})
	at := map[string]*edgePeer{}
	for range apps { // one has a session at each of them
		client, app := e.visit()
		at[app] = client
	}
	late := e.client(nil)
	late.send([]byte(interopRequest("Late: yes")))
	var by string
	var answer chan struct{}
	select {
	case answer = <-apps["a"].late:
		by = "a"
	case answer = <-apps["b"].late:
		by = "b"
	}
	wantLeave := func(client *edgePeer) {
		t.Helper()
		client.wantClose(1014, "upstream's address has failed its health checks")
		client.sendClose(1014)
		client.wantEnd()
	}
	apps[by].unwell.Store(true)
	wantLeave(at[by])
	close(answer)
	late.wantStatus(http.StatusSwitchingProtocols)
	wantLeave(late)
	for _, client := range []*edgePeer{late, at["a"], at["b"]} {
		edgeClose(client.conn)
	}
}

// Whose address is down is spared by a reload after which it is only observed, or after
// which nobody asks for its address's health. It is not spared for good.
func TestUnhealthyUpstreamAndReloads(t *testing.T) {
	t.Parallel()
	a, b := startEdgeApp(t, "a"), startEdgeApp(t, "b")
	health := config.Health{Path: "/health", Interval: 100 * time.Millisecond, Timeout: 100 * time.Millisecond, Failures: 2}
	never := 100_000 * time.Hour
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URLs, c.Upstream.Health = []string{a.url, b.url}, health
		c.Drain.Spread, c.Drain.Timeout = never, never
	})
	at := map[string]*edgePeer{}
	for range 2 { // one is at each of them
		client, app := e.visit()
		defer edgeClose(client.conn)
		at[app] = client
	}
	get := func(path string, answer any) {
		t.Helper()
		if _, body := e.admin(path); json.Unmarshal([]byte(body), answer) != nil {
			t.Errorf("%s: %s", path, body)
		}
	}
	wantLeaving := func(want bool) {
		t.Helper()
		e.until(fmt.Sprintf("leaving: %v", want), func() bool {
			var page api.Page
			var leaving bool
			get("/v1/sessions", &page)
			for _, s := range page.Sessions {
				var d api.Detail
				get("/v1/sessions/"+s.ID.String(), &d)
				leaving = leaving || d.Upstream == a.address() && slices.ContainsFunc(d.Next, func(f api.Forecast) bool {
					return f.Rule == "drain" && f.Cause == policies.UpstreamLost.String() && f.CloseCode == 1014
				})
			}
			return leaving == want
		})
	}
	a.unwell.Store(true)
	wantLeaving(true)
	e.reload(func(c *config.Config) { c.Policies[0].Mode = policies.ModeObserve })
	wantLeaving(false)
	e.reload(func(c *config.Config) { c.Policies[0].Mode = policies.ModeEnforce })
	wantLeaving(true)
	e.reload(func(c *config.Config) { c.Upstream.Health.Path = "" })
	wantLeaving(false)
	e.reload(func(c *config.Config) { c.Upstream.Health, c.Drain.Spread = health, 0 })
	at["a"].wantClose(1014, "upstream's address has failed its health checks")
}
