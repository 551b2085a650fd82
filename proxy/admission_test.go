package proxy_test

import (
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// ask connects a client and sends a handshake for target with these header lines.
func (w *warden) ask(target string, headers ...string) *peer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client := newPeer(w.t, "client", conn.(*net.TCPConn))
	request := strings.Replace(string(handshake), "/ws", target, 1)
	for _, header := range headers {
		request = strings.TrimSuffix(request, "\r\n") + header + "\r\n\r\n"
	}
	client.send([]byte(request))
	return client
}

// let has a client in: it accepts its handshake as upstream does.
func (w *warden) let(client *peer) (upstream *peer) {
	w.t.Helper()
	upstream = w.accept()
	upstream.agree(upstream.request())
	if status := client.response().StatusCode; status != http.StatusSwitchingProtocols {
		w.t.Fatalf("handshake: status %d", status)
	}
	return upstream
}

// wantRefused reads a refusal, which asks a client to come back unless it is of no
// use.
func (p *peer) wantRefused(why policies.Refusal) {
	p.t.Helper()
	r := p.response()
	body := make([]byte, 100)
	n, _ := r.Body.Read(body)
	if r.StatusCode != why.Status() || string(body[:n]) != why.Reason()+"\n" {
		p.t.Fatalf("handshake: status %d, %q, want %d, %q", r.StatusCode, body[:n], why.Status(), why.Reason())
	}
	seconds, err := strconv.Atoi(r.Header.Get("Retry-After"))
	if mayComeBack := why.Status() != http.StatusForbidden; mayComeBack != (err == nil && seconds > 0) {
		p.t.Errorf("%s: Retry-After: %q", why, r.Header.Get("Retry-After"))
	}
	p.wantEOF()
	p.end()
}

// bye ends a session from the client's side.
func (w *warden) bye(client, upstream *peer) {
	w.t.Helper()
	client.send(client.closeFrame(1000, ""))
	upstream.wantClose(1000, "")
	upstream.answerClose(1000)
	client.wantClose(1000, "")
	client.end()
	w.wantEnd(policies.ClientClose, 1000)
}

// wantNoSeats checks that nobody is counted any more.
func (w *warden) wantNoSeats() {
	w.t.Helper()
	w.until(func() bool { return w.server.LimitedKeys() == 0 })
}

// until waits for what is about to happen without being told of it.
func (w *warden) until(happened func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(longest); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("it does not happen")
		}
	}
}

func byQuery(perIdentity int, onExcess policies.Excess) policies.Connections {
	return policies.Connections{
		PerIdentity: perIdentity,
		Identity:    policies.Identity{From: policies.FromQuery, Name: "id"},
		OnExcess:    onExcess,
	}
}

// Whoever is over a limit is refused, upstream does not hear of it, and those who
// have a session keep it. Who leaves makes room.
func TestConnectionLimits(t *testing.T) {
	t.Parallel()
	from := func(addr string) string { return "X-Forwarded-For: " + addr }
	for _, c := range []struct {
		name   string
		limits policies.Connections
		// Handshakes, each a target and a header line, in order.
		first, second [2]string // of one key, whose limit is 2
		third         [2]string // as well
		other         [2]string // of another one
		why           policies.Refusal
	}{
		{"query", byQuery(2, ""), [2]string{"/?id=a"}, [2]string{"/?x=1&id=a"}, [2]string{"/?%69d=%61"}, [2]string{"/?id=b"}, policies.RefusedPerIdentity},
		{"header", policies.Connections{PerIdentity: 2, Identity: policies.Identity{From: policies.FromHeader, Name: "X-User"}},
			[2]string{"/", "X-User: a"}, [2]string{"/", "x-user:a "}, [2]string{"/x", "X-USER: a"}, [2]string{"/", "X-User: A"}, policies.RefusedPerIdentity},
		{"cookie", policies.Connections{PerIdentity: 2, Identity: policies.Identity{From: policies.FromCookie, Name: "sid"}},
			[2]string{"/", "Cookie: sid=a"}, [2]string{"/", "Cookie: x=1; sid=a; y=2"}, [2]string{"/", "cookie: x=sid; sid=a"}, [2]string{"/", "Cookie: SID=a"}, policies.RefusedPerIdentity},
		{"no identity", byQuery(2, ""), [2]string{"/?id=a"}, [2]string{"/?id=a"}, [2]string{"/?id=a"}, [2]string{"/"}, policies.RefusedPerIdentity},
		{"address", policies.Connections{PerIP: 2}, [2]string{"/", from("192.0.2.1")}, [2]string{"/", from("::ffff:192.0.2.1")}, [2]string{"/", from("192.0.2.1:99")}, [2]string{"/", from("192.0.2.2")}, policies.RefusedPerIP},
		{"network", policies.Connections{PerIP: 2}, [2]string{"/", from("2001:db8::1")}, [2]string{"/", from("2001:db8::ffff:2")}, [2]string{"/", from("[2001:db8:0:0:9::]:1")}, [2]string{"/", from("2001:db8:0:1::1")}, policies.RefusedPerIP},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWith(t, proxy.New, func(cfg *config.Config) {
				cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				cfg.Policies[0] = policies.Policy{Connections: c.limits}
			})
			ask := func(how [2]string) *peer {
				if how[1] == "" {
					return w.ask(how[0])
				}
				return w.ask(how[0], how[1])
			}
			one := ask(c.first)
			oneUp := w.let(one)
			two := ask(c.second)
			twoUp := w.let(two)
			ask(c.third).wantRefused(c.why)
			other := ask(c.other)
			otherUp := w.let(other) // the next that upstream hears of
			w.wantAlive(one, oneUp)
			w.wantAlive(two, twoUp)

			w.bye(one, oneUp)
			three := ask(c.third)
			threeUp := w.let(three)
			w.bye(two, twoUp)
			w.bye(three, threeUp)
			w.bye(other, otherUp)
			w.wantNoSeats()
		})
	}
}

func TestConnectionLimitOfThePolicy(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: policies.Connections{Max: 1}})
	client := w.ask("/")
	upstream := w.let(client)
	w.ask("/").wantRefused(policies.RefusedMax)
	w.bye(client, upstream)
	client = w.ask("/")
	w.bye(client, w.let(client))
}

// What upstream could take for another identity than wswarden does is refused, and
// so is none where one is required.
func TestIdentity(t *testing.T) {
	t.Parallel()
	identity := func(from policies.IdentitySource, name string) policies.Connections {
		return policies.Connections{Identity: policies.Identity{From: from, Name: name, Required: true}}
	}
	for _, c := range []struct {
		name     string
		rule     policies.Connections
		target   string
		headers  []string
		admitted bool
	}{
		{"query", identity("query", "id"), "/?id=a", nil, true},
		{"twice the same", identity("query", "id"), "/?id=a&id=a", nil, true},
		{"two", identity("query", "id"), "/?id=a&id=b", nil, false},
		{"two, one escaped", identity("query", "id"), "/?id=a&i%64=b", nil, false},
		{"empty", identity("query", "id"), "/?id=", nil, false},
		{"none", identity("query", "id"), "/?ID=a", nil, false},
		{"no query", identity("query", "id"), "/id=a", nil, false},
		{"header", identity("header", "x-user"), "/", []string{"X-User: a"}, true},
		{"two headers", identity("header", "X-User"), "/", []string{"X-User: a", "x-user: b"}, false},
		{"no header", identity("header", "X-User"), "/", []string{"X-User:"}, false},
		{"cookie", identity("cookie", "sid"), "/", []string{"Cookie: a=b; sid=1"}, true},
		{"two cookies", identity("cookie", "sid"), "/", []string{"Cookie: sid=2; sid=1"}, false},
		{"two lines of cookies", identity("cookie", "sid"), "/", []string{"Cookie: sid=2", "Cookie: sid=1"}, false},
		{"no cookie", identity("cookie", "sid"), "/", []string{"Cookie: xsid=1; sid"}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Connections: c.rule})
			client := w.ask(c.target, c.headers...)
			if !c.admitted {
				client.wantRefused(policies.RefusedIdentity)
				return
			}
			w.bye(client, w.let(client))
		})
	}
}

// The log knows a session's identity by a hash.
func TestIdentityIsHashed(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: byQuery(0, "")})
	client := w.ask("/?id=alice")
	upstream := w.let(client)
	client.send(client.closeFrame(1000, ""))
	upstream.leave(1000, "")
	client.wantClose(1000, "")
	client.end()
	const sum = "2bd806c97f0e00af" // of alice, by SHA-256
	if e := w.wantEnd(policies.ClientClose, 1000); e.identity != sum {
		t.Errorf("identity %q, want %q", e.identity, sum)
	}
}

// The newest wins. The oldest session ends, upstream is told all that it held, and
// only when upstream has let go of it does it hear of the newcomer.
func TestEvictOldest(t *testing.T) {
	t.Parallel()
	policy := atMost(10, policies.ExcessReject)
	policy.Connections = byQuery(2, policies.ExcessEvictOldest)
	w := start(t, policy)
	oldest := w.ask("/?id=a")
	oldestUp := w.let(oldest)
	older := w.ask("/?id=a")
	olderUp := w.let(older)
	oldest.send(oldest.frame(text, subscribe("1")), oldest.frame(text, subscribe("2")))
	oldestUp.want(text, subscribe("1"))
	oldestUp.want(text, subscribe("2"))

	newest := w.ask("/?id=a")
	oldest.wantClose(1008, "superseded")
	oldestUp.want(text, unsubscribe("1"))
	oldestUp.want(text, unsubscribe("2"))
	oldestUp.wantClose(1001, "superseded")
	w.wantNobody()
	oldestUp.answerClose(1001)
	newestUp := w.let(newest) // while the oldest has not answered
	oldest.answerClose(1008)
	w.wantEnd(policies.Superseded, 1008)
	w.wantAlive(older, olderUp)
	w.bye(older, olderUp)
	w.bye(newest, newestUp)
	w.wantNoSeats()
}

// wantNobody checks that nobody knocks at upstream.
func (w *warden) wantNobody() {
	w.t.Helper()
	_ = w.upstream.SetDeadline(time.Now().Add(soon))
	if conn, err := w.upstream.Accept(); err == nil {
		_ = conn.Close()
		w.t.Error("a connection to upstream, too early")
	}
}

// A client whose upstream has not answered yet gives way to a newer one, too.
func TestEvictOpening(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: byQuery(1, policies.ExcessEvictOldest)})
	first := w.ask("/?id=a")
	firstUp := w.accept()
	firstUp.request()
	second := w.ask("/?id=a")
	first.wantRefused(policies.RefusedSuperseded)
	firstUp.wantEOF()
	w.wantNobody()
	firstUp.end()
	w.bye(second, w.let(second))
	w.wantNoSeats()
}

// A session that is ending keeps nobody out, but it is waited for.
func TestEndingIsNotCounted(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: byQuery(1, policies.ExcessReject)})
	first := w.ask("/?id=a")
	firstUp := w.let(first)
	first.send(first.closeFrame(1000, ""))
	firstUp.wantClose(1000, "")
	second := w.ask("/?id=a")
	w.wantNobody()
	firstUp.answerClose(1000)
	first.wantClose(1000, "")
	first.end()
	secondUp := w.let(second)
	w.wantEnd(policies.ClientClose, 1000)
	w.bye(second, secondUp)
}

// The zombie holds the seat for as long as its last ping may be answered, and not
// a moment longer.
func TestDeadIsNotCounted(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{
		Connections: byQuery(1, policies.ExcessReject),
		Heartbeat:   policies.Heartbeat{Interval: soon, Timeout: soon},
	})
	first := w.ask("/?id=a")
	firstUp := w.let(first)
	first.wantPing()
	firstUp.wantClose(1001, "heartbeat_timeout")
	second := w.ask("/?id=a") // while upstream has not answered
	firstUp.answerClose(1001)
	w.let(second)
}

// A newcomer does not wait for ever for the one whose seat it takes over, and that
// one's seat is not free before it has gone.
func TestTakeoverTimeout(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(c *config.Config) {
		c.Store.TakeoverTimeout = soon
		c.Policies[0] = policies.Policy{Connections: byQuery(1, policies.ExcessEvictOldest)}
	})
	first := w.ask("/?id=a")
	firstUp := w.let(first)
	w.ask("/?id=a").wantRefused(policies.RefusedTakeover)
	first.wantClose(1008, "superseded")
	first.answerClose(1008)
	w.ask("/?id=a").wantRefused(policies.RefusedTakeover)
	firstUp.wantClose(1001, "superseded")
	firstUp.answerClose(1001)
	w.wantEnd(policies.Superseded, 1008)
	w.wantNoSeats()
	third := w.ask("/?id=a")
	w.bye(third, w.let(third))
}

// Whatever becomes of a handshake, its seat is free again afterwards.
func TestSeatsComeBack(t *testing.T) {
	t.Parallel()
	for name, ends := range map[string]func(w *warden, client, upstream *peer){
		"upstream refuses": func(_ *warden, client, upstream *peer) {
			upstream.send([]byte("HTTP/1.1 401 Unauthorized\r\nContent-Length: 0\r\n\r\n"))
			if status := client.response().StatusCode; status != http.StatusUnauthorized {
				client.t.Errorf("status %d", status)
			}
		},
		"upstream leaves": func(_ *warden, client, upstream *peer) {
			upstream.end()
			if status := client.response().StatusCode; status != http.StatusBadGateway {
				client.t.Errorf("status %d", status)
			}
		},
		"upstream agrees to something else": func(_ *warden, client, upstream *peer) {
			upstream.send([]byte("HTTP/1.1 101 Switching Protocols\r\n\r\n"))
			if status := client.response().StatusCode; status != http.StatusBadGateway {
				client.t.Errorf("status %d", status)
			}
			upstream.wantEOF() // and is waited for
			upstream.end()
		},
		"client leaves, upstream agrees": func(w *warden, client, upstream *peer) {
			client.reset()
			upstream.agree(&http.Request{Header: http.Header{"Sec-Websocket-Key": {"dGhlIHNhbXBsZSBub25jZQ=="}}})
			upstream.wantClose(1001, "client_lost")
			upstream.answerClose(1001)
			w.wantEnd(policies.ClientLost, 1001)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := start(t, policies.Policy{Connections: byQuery(1, policies.ExcessReject)})
			client := w.ask("/?id=a")
			upstream := w.accept()
			upstream.request()
			ends(w, client, upstream)
			w.wantNoSeats()
			client = w.ask("/?id=a")
			w.bye(client, w.let(client))
		})
	}
}

func TestSeatsComeBackFromNowhere(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: policies.Connections{Max: 1}})
	_ = w.upstream.Close()
	for range 3 {
		client := w.ask("/")
		if status := client.response().StatusCode; status != http.StatusBadGateway {
			t.Errorf("status %d", status)
		}
	}
	w.wantNoSeats()
}

// The handshake of a client that does not wait for the answer before it is never
// begun: then its connection gives the seat back.
func TestSeatOfOneWhoHasGone(t *testing.T) {
	t.Parallel()
	w := start(t, policies.Policy{Connections: policies.Connections{Max: 1}})
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		t.Fatal(err)
	}
	client := newPeer(t, "client", conn.(*net.TCPConn))
	client.send([]byte("GET /plain HTTP/1.1\r\nHost: test\r\n\r\n"), handshake)
	upstream := w.accept()
	upstream.request()
	client.reset()
	upstream.send([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	w.until(func() bool {
		_ = w.upstream.SetDeadline(time.Now().Add(soon))
		if conn, err := w.upstream.AcceptTCP(); err == nil { // it was begun after all
			_ = conn.Close()
		}
		return w.server.LimitedKeys() == 0
	})
}

func TestOrigins(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name     string
		allow    []string
		headers  []string
		admitted bool
	}{
		{"none", nil, nil, true},
		{"same host", nil, []string{"Origin: http://test"}, true},
		{"same host, another port", nil, []string{"Origin: https://test:8443"}, true},
		{"another", nil, []string{"Origin: https://evil.example"}, false},
		{"another, in another spelling of the header", nil, []string{"oRIGIN: https://evil.example"}, false},
		{"null", nil, []string{"Origin: null"}, false},
		{"a part of it", nil, []string{"Origin: https://test.evil.example"}, false},
		{"allowed", []string{"https://*.example.com"}, []string{"Origin: https://app.example.com"}, true},
		{"not allowed", []string{"https://*.example.com"}, []string{"Origin: https://app.example.org"}, false},
		{"any", []string{"*"}, []string{"Origin: null"}, true},
		{"as the proxy says", nil, []string{"Origin: https://app.example", "X-Forwarded-Host: app.example"}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := startWith(t, proxy.New, func(cfg *config.Config) {
				cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
				cfg.Policies[0] = policies.Policy{Origins: policies.Origins{Allow: c.allow}}
			})
			client := w.ask("/", c.headers...)
			if !c.admitted {
				client.wantRefused(policies.RefusedOrigin)
				return
			}
			w.bye(client, w.let(client))
		})
	}
}

// Origins select a policy as well.
func TestMatchOrigin(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(cfg *config.Config) {
		cfg.Policies = []policies.Policy{
			{Name: "portal", Match: policies.Match{Origin: []string{"https://portal.example"}},
				Origins: policies.Origins{Allow: []string{"https://portal.example"}}, Connections: policies.Connections{Max: 1}},
			{Name: "others"},
		}
	})
	const portal = "Origin: https://portal.example"
	client := w.ask("/", portal)
	upstream := w.let(client)
	w.ask("/", portal).wantRefused(policies.RefusedMax)
	other := w.ask("/")
	w.bye(other, w.let(other))
	w.bye(client, upstream)
}

func TestHandshakeRates(t *testing.T) {
	t.Parallel()
	w := startWith(t, proxy.New, func(cfg *config.Config) {
		cfg.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
		cfg.Policies[0] = policies.Policy{Handshakes: policies.Handshakes{PerIPRate: 0.001, Burst: 2, TotalRate: 0.001, TotalBurst: 3}}
	})
	const one, two = "X-Forwarded-For: 192.0.2.1", "X-Forwarded-For: 192.0.2.2"
	for range 2 {
		client := w.ask("/", one)
		w.bye(client, w.let(client))
	}
	w.ask("/", one).wantRefused(policies.RefusedIPRate)
	client := w.ask("/", two)
	w.bye(client, w.let(client))
	w.ask("/", two).wantRefused(policies.RefusedTotalRate)
}
