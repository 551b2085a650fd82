package proxy_test

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// startDraining runs wswarden with the default drain but for what adjust
// changes.
func startDraining(t *testing.T, drain config.Drain) *warden {
	t.Helper()
	return startWith(t, proxy.New, func(c *config.Config) {
		drain.CloseCode, drain.Reason = 1012, "back soon"
		c.Drain = drain
		c.Admin.Address = "127.0.0.1:0"
		c.Policies[0] = policies.Policy{}
	})
}

// A drain ends sessions evenly over its spread, and each client reads why. A
// busy machine can hold up one round; a drain that bunches fails them all.
func TestDrainSpreadsSessions(t *testing.T) {
	const sessions, rounds = 1000, 3
	for round := 1; ; round++ {
		tenths := drainSessions(t, sessions, 2*time.Second)
		t.Logf("clients told in each tenth of the spread: %v", tenths)
		if slices.Max(tenths) <= sessions*15/100 {
			return
		}
		if round == rounds {
			t.Fatal("more than 15 % of the clients in a tenth")
		}
	}
}

// drainSessions returns how many clients were told in each tenth of the spread.
func drainSessions(t *testing.T, sessions int, spread time.Duration) []int {
	w := startDraining(t, config.Drain{Timeout: longest, Spread: spread})
	clients, upstreams := make([]*peer, sessions), make([]*peer, sessions)
	for i := range clients {
		clients[i], upstreams[i] = w.open()
	}
	told := make([]time.Time, sessions)
	var leaving sync.WaitGroup
	for i := range clients {
		leaving.Go(func() { upstreams[i].leave(1001, "drain") })
		leaving.Go(func() {
			_, _ = clients[i].br.Peek(1)
			told[i] = time.Now()
			clients[i].leave(1012, "back soon")
		})
	}
	began := time.Now()
	w.drain()
	leaving.Wait()
	w.wantDrained()
	for range sessions {
		w.wantEnd(policies.Drain, 1012)
	}
	tenths := make([]int, 10)
	for _, at := range told {
		tenths[min(int(at.Sub(began)*10/spread), 9)]++
	}
	t.Logf("%d sessions drained in %s", sessions, time.Since(began).Round(time.Millisecond))
	return tenths
}

// A stuck session delays the drain to its timeout, is reset then, and delays no
// other session.
func TestDrainResetsStuckSessions(t *testing.T) {
	t.Parallel()
	const timeout = 1500 * time.Millisecond
	w := startDraining(t, config.Drain{Timeout: timeout})

	// One does not answer, one is in the middle of a message, one reads nothing.
	silent, silentUp := w.open()
	talking, talkingUp := w.open()
	half := talking.frame(text, "a message")[:9]
	talking.send(half)
	talkingUp.wantBytes(half)
	deaf, deafUp := w.open()
	stop := deafUp.flood()
	time.Sleep(soon)

	healthy := make([][2]*peer, 20)
	for i := range healthy {
		healthy[i][0], healthy[i][1] = w.open()
	}
	began := time.Now()
	w.drain()
	for _, p := range healthy {
		p[0].leave(1012, "back soon")
		p[1].leave(1001, "drain")
		w.wantEnd(policies.Drain, 1012)
	}
	healthyTook := time.Since(began)

	silent.wantClose(1012, "back soon")
	silent.wantReset()
	wantAfter(t, began, timeout)
	silentUp.wantClose(1001, "drain")
	silentUp.wantReset()
	talkingUp.wantReset()
	for range 3 {
		w.wantEnd(policies.Drain, 1012)
	}
	w.wantDrained()
	stop()
	if _, err := deaf.rest(); err == nil {
		t.Error("a client that reads nothing was closed in an orderly way, want a reset")
	}
	t.Logf("%d healthy sessions left after %s, the stuck ones after %s of %s",
		len(healthy), healthyTook.Round(time.Millisecond), time.Since(began).Round(time.Millisecond), timeout)
}

// A message under way is completed before the close frame.
func TestDrainWaitsForTheEndOfAMessage(t *testing.T) {
	t.Parallel()
	w := startDraining(t, config.Drain{Timeout: longest})
	client, upstream := w.open()
	client.send(client.frame(textBegins, "once upon a "))
	upstream.want(textBegins, "once upon a ")
	w.drain()
	time.Sleep(soon)
	client.send(client.frame(goesEnd, "time"))
	upstream.want(goesEnd, "time")
	client.leave(1012, "back soon")
	upstream.leave(1001, "drain")
	w.wantEnd(policies.Drain, 1012)
	w.wantDrained()
}

// While sessions are draining, handshakes are refused, readiness is gone, and
// plain requests are served.
func TestServiceWhileDraining(t *testing.T) {
	t.Parallel()
	w := startDraining(t, config.Drain{Timeout: longest, Spread: 3 * time.Second})
	admin := "http://" + w.server.AdminAddr().String()
	if status := w.get(admin + "/readyz"); status != http.StatusOK {
		t.Errorf("ready: status %d", status)
	}
	w.accept().end() // whether upstream is there was found out by asking it
	client, upstream := w.open()
	client.send(client.frame(textBegins, "wait for me"))
	upstream.want(textBegins, "wait for me")

	w.drain()
	for w.get(admin+"/readyz") != http.StatusServiceUnavailable {
		time.Sleep(time.Millisecond)
	}
	if status := w.get(admin + "/healthz"); status != http.StatusOK {
		t.Errorf("healthy: status %d", status)
	}

	late := w.dial()
	refused := late.response()
	after, err := strconv.Atoi(refused.Header.Get("Retry-After"))
	if refused.StatusCode != http.StatusServiceUnavailable || err != nil || after < 1 || after > 4 {
		t.Errorf("handshake: %s, Retry-After %q, want 503 and 1 to 4 seconds", refused.Status, refused.Header.Get("Retry-After"))
	}

	plain := w.dialWith("GET /plain HTTP/1.1\r\nHost: test\r\n\r\n")
	server := w.accept()
	if r := server.request(); r.URL.Path != "/plain" {
		t.Errorf("upstream got %s", r.URL)
	}
	server.send([]byte("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"))
	if served := plain.response(); served.StatusCode != http.StatusOK || !served.Close {
		t.Errorf("plain request: %s, Connection: close is %v", served.Status, served.Close)
	}

	client.send(client.frame(goesEnd, ""))
	upstream.want(goesEnd, "")
	client.leave(1012, "back soon")
	upstream.leave(1001, "drain")
	w.wantDrained()
	if conn, err := net.Dial("tcp", w.address); err == nil {
		_ = conn.Close()
		t.Error("a drained server still accepts")
	}
}

// get returns the status of a request on a connection of its own.
func (w *warden) get(url string) int {
	w.t.Helper()
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: longest}
	response, err := client.Get(url)
	if err != nil {
		w.t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func TestDrainOfNothing(t *testing.T) {
	t.Parallel()
	w := startDraining(t, config.Drain{Timeout: 2 * longest, Spread: 2 * longest})
	w.drain()
	w.wantDrained() // in less than the spread, or it fails
}

// A handshake that began before the drain becomes a session, which is ended like
// the others, or is refused: it is never just dropped.
func TestDrainDuringHandshakes(t *testing.T) {
	t.Parallel()
	const handshakes = 40
	w := startDraining(t, config.Drain{Timeout: longest, Spread: 200 * time.Millisecond})
	clients := make([]*peer, handshakes)
	for i := range clients {
		clients[i] = w.dial()
	}
	upstreams := make([]*peer, handshakes)
	for i := range upstreams {
		upstreams[i] = w.accept() // so all are under way
	}
	w.drain()
	for w.refuses() != http.StatusServiceUnavailable {
		time.Sleep(time.Millisecond)
	}
	for i, upstream := range upstreams {
		switch r := upstream.request(); i % 4 {
		case 0:
			upstream.send([]byte("HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n"))
		case 1: // a welcome is not lost either
			upstream.agree(r, upstream.frame(text, "welcome"))
		default:
			upstream.agree(r)
		}
	}
	var leaving sync.WaitGroup
	for i := range clients {
		leaving.Go(func() { upstreams[i].leaveUnlessRefused() })
	}
	told, refused, welcomed := 0, 0, 0
	for _, client := range clients {
		switch status := client.response().StatusCode; status {
		case http.StatusSwitchingProtocols:
			if first, _ := client.br.Peek(1); len(first) == 1 && first[0] == text {
				client.want(text, "welcome")
				welcomed++
			}
			client.leave(1012, "back soon")
			told++
		case http.StatusForbidden:
			refused++
		default:
			t.Errorf("status %d", status)
		}
	}
	leaving.Wait()
	if told != handshakes*3/4 || refused != handshakes/4 || welcomed != handshakes/4 {
		t.Errorf("%d told, %d refused, %d welcomed", told, refused, welcomed)
	}
	w.wantDrained()
}

// refuses returns the status that a new handshake gets, which must not reach
// upstream.
func (w *warden) refuses() int {
	w.t.Helper()
	late := w.dialWith(strings.Replace(string(handshake), "Version: 13", "Version: 12", 1))
	return late.response().StatusCode
}

// leaveUnlessRefused leaves as an upstream whose handshake was completed does.
func (p *peer) leaveUnlessRefused() {
	if first, err := p.br.Peek(1); err == nil && first[0] == closing {
		p.leave(1001, "drain")
	}
}

func (w *warden) dialWith(request string) *peer {
	w.t.Helper()
	conn, err := net.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(fmt.Errorf("dial: %w", err))
	}
	client := newPeer(w.t, "client", conn.(*net.TCPConn))
	client.send([]byte(request))
	return client
}
