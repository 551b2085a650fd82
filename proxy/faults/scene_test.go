//go:build linux

package faults

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"iter"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// scene is wswarden with clients that come over one link, and an upstream behind another.
type scene struct {
	t        *testing.T
	warden   *warden
	client   *link // between clients and wswarden
	upstream *link // between wswarden and upstream
	dial     func(address string) (net.Conn, error)

	secure bool // both links carry TLS
	echoes bool // upstream is an echo, not a peer with a script

	mu     sync.Mutex
	visits map[string]*visit // by the path that they ask for

	asked atomic.Int64 // handshakes that upstream has not answered yet
}

// visit is a client's wish for a session.
type visit struct {
	client   *peer      // nil: it has none
	status   int        // of the answer; 0: there was none
	upstream chan *peer // has it once that has agreed

	clientSays, upstreamSays script
}

// session as its peers see it.
type session struct{ client, upstream *peer }

// newScene starts one with a policy, in YAML. Secure: with TLS on both links.
func newScene(t *testing.T, policy string, secure bool) *scene {
	t.Helper()
	s := emptyScene(t)
	s.secure = secure
	s.upstream = newLink(t, "upstream", s.listen(t, "127.0.0.1:0"))
	s.warden = start(t, s.configuration(s.upstream.address, policy))
	s.client = newLink(t, "client", s.warden.address)
	return s
}

// echoes returns a scene with an upstream that is an echo, whose parts are yet to come.
func echoes(t *testing.T) *scene {
	s := emptyScene(t)
	s.echoes = true
	return s
}

// use has clients go straight to a wswarden.
func (s *scene) use(w *warden) { s.warden, s.client = w, &link{address: w.address} }

// emptyScene is one whose parts are yet to come.
func emptyScene(t *testing.T) *scene {
	return &scene{
		t:      t,
		dial:   func(address string) (net.Conn, error) { return net.DialTimeout("tcp", address, patience) },
		visits: make(map[string]*visit),
	}
}

// configuration of wswarden in front of an upstream, with a policy in YAML.
func (s *scene) configuration(upstream, policy string) string {
	listener, scheme, authority := "", "http", ""
	if s.secure {
		p := pair()
		listener, scheme, authority = fmt.Sprintf("tls: { cert: %q, key: %q }", p.cert, p.key), "https", fmt.Sprintf("tls: { ca: %q, server_name: test }, ", p.cert)
	}
	return fmt.Sprintf(`
listeners: [{ address: "0.0.0.0:0", %s }]
upstream: { %surl: "%s://%s", dial_timeout: %s, handshake_timeout: %[5]s, breaker: { retry_after: 50ms } }
admin: { address: "127.0.0.1:0" }
drain: { spread: 0s, timeout: 500ms }
policies: [{ %s }]
`, listener, authority, scheme, upstream, 2*unit, policy)
}

// beats is a policy, in YAML, in which a second is a unit of time.
func beats(policy string) string { return strings.ReplaceAll(policy, " 1s", " "+unit.String()) }

// pings finds who is silent in two units, and waits one for who does not close.
var pings = beats("heartbeat: { interval: 1s, timeout: 1s }, upstream_heartbeat: { interval: 1s, timeout: 1s }, release: { grace: 1s }")

// listen has upstream wait for sessions, and returns where.
func (s *scene) listen(t *testing.T, address string) string {
	t.Helper()
	ln, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	s.serve(t, ln)
	return ln.Addr().String()
}

func (s *scene) serve(t *testing.T, ln net.Listener) {
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			if s.secure {
				conn = tls.Server(conn, pair().server)
			}
			serving.Go(func() { s.accept(conn) })
		}
	})
	t.Cleanup(func() {
		_ = ln.Close()
		serving.Wait()
	})
}

// accept answers a handshake, as upstream.
func (s *scene) accept(conn net.Conn) {
	_ = conn.SetDeadline(time.Now().Add(patience))
	id := ""
	upgrader := ws.Upgrader{OnRequest: func(uri []byte) error {
		id = strings.TrimPrefix(string(uri), "/")
		return nil
	}}
	s.asked.Add(1)
	defer s.asked.Add(-1)
	if _, err := upgrader.Upgrade(conn); err != nil {
		_ = conn.Close()
		return
	}
	s.mu.Lock()
	v := s.visits[id]
	s.mu.Unlock()
	p := &peer{t: s.t, conn: conn, br: bufio.NewReader(conn), says: v.upstreamSays, hears: v.clientSays}
	p.begin()
	v.upstream <- p
}

// knock has a client ask for a session in which messages of these sizes are sent, by
// default the usual ones.
func (s *scene) knock(address string, sizes []int) *visit {
	if sizes == nil {
		sizes = usual
	}
	s.mu.Lock()
	n := len(s.visits) + 1
	v := &visit{
		upstream:   make(chan *peer, 1),
		clientSays: script{uint64(n), sizes}, upstreamSays: script{uint64(n) << 32, sizes},
	}
	if s.echoes {
		v.upstreamSays = v.clientSays
	}
	id := strconv.Itoa(n)
	s.visits[id] = v
	s.mu.Unlock()

	conn, err := s.dial(address)
	if err != nil {
		return v
	}
	if s.secure {
		conn = tls.Client(conn, pair().client)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	br, _, err := ws.Dialer{}.Upgrade(conn, &url.URL{Scheme: "ws", Host: "test", Path: "/" + id})
	if err != nil {
		_ = conn.Close()
		var refused ws.StatusError
		errors.As(err, &refused)
		v.status = int(refused)
		return v
	}
	if br == nil {
		br = bufio.NewReader(conn)
	}
	v.status, v.client = http.StatusSwitchingProtocols, &peer{t: s.t, conn: conn, br: br, client: true, says: v.clientSays, hears: v.upstreamSays}
	v.client.begin()
	return v
}

// open opens n sessions.
func (s *scene) open(n int, sizes []int) []*session {
	s.t.Helper()
	all := make([]*session, n)
	door := make(chan struct{}, 50) // at a time
	var opening sync.WaitGroup
	for i := range all {
		opening.Go(func() {
			door <- struct{}{}
			defer func() { <-door }()
			v := s.knock(s.client.address, sizes)
			if v.client == nil {
				s.t.Errorf("handshake: %d", v.status)
				return
			}
			if all[i] = (&session{client: v.client}); s.echoes {
				return
			}
			select {
			case all[i].upstream = <-v.upstream:
			case <-time.After(patience):
				s.t.Error("no session at upstream")
			}
		})
	}
	opening.Wait()
	if s.t.Failed() {
		s.t.FailNow()
	}
	return all
}

// openAgain opens a session as soon as there can be one again.
func (s *scene) openAgain(sizes []int) *session {
	s.t.Helper()
	var v *visit
	within(s.t, "a client has a session", func() bool {
		v = s.knock(s.client.address, sizes)
		return v.client != nil
	})
	if s.echoes {
		return &session{client: v.client}
	}
	return &session{v.client, <-v.upstream}
}

// converse has both peers of each session say their first n messages, and waits until
// they are heard.
func converse(t *testing.T, all []*session, n int) {
	t.Helper()
	var saying sync.WaitGroup
	for p := range peers(all) {
		saying.Go(func() { p.say(n) })
	}
	within(t, "everything was heard", func() bool {
		for p := range peers(all) {
			if p.heard.Load() < int64(n) && !ended(p) {
				return false
			}
		}
		return true
	})
	saying.Wait()
	for p := range peers(all) {
		if heard := p.heard.Load(); heard < int64(n) {
			t.Fatalf("the %s has heard %d of %d messages", p.name(), heard, n)
		}
	}
}

// peers are those of all sessions that the test plays.
func peers(all []*session) iter.Seq[*peer] {
	return func(yield func(*peer) bool) {
		for _, s := range all {
			if !yield(s.client) || s.upstream != nil && !yield(s.upstream) {
				return
			}
		}
	}
}

// bye has the clients close, and waits for the end.
func bye(t *testing.T, all []*session) {
	t.Helper()
	for _, s := range all {
		s.client.close(ws.StatusNormalClosure)
	}
	for p := range peers(all) {
		wantEnd(t, p, "1000")
	}
}

func ended(p *peer) bool {
	select {
	case <-p.over:
		return true
	default:
		return false
	}
}

// wantEnd waits until a peer's connection has come to its end: with a close code, or cut;
// empty: however.
func wantEnd(t *testing.T, p *peer, want string) {
	t.Helper()
	select {
	case <-p.over:
	case <-time.After(patience):
		t.Fatalf("%s: the connection stays open", p.name())
	}
	got := "cut"
	if p.code != 0 {
		got = strconv.Itoa(int(p.code))
	}
	if want != "" && got != want {
		t.Errorf("%s: the end is %s, want %s", p.name(), got, want)
	}
}

// sayHalf has one peer of each session send half a frame, and waits until the other one
// has it.
func sayHalf(t *testing.T, all []*session, fromClient bool) {
	t.Helper()
	for _, s := range all {
		from, to := s.upstream, s.client
		if fromClient {
			from, to = to, from
		}
		before := to.bytes.Load()
		from.sayHalf()
		within(t, "half a frame has arrived", func() bool { return to.bytes.Load() > before || ended(to) })
	}
}

// wantCounted checks that nothing is left of sessions, which all ended for one cause, and
// that what is counted is what they were.
func (s *scene) wantCounted(all []*session, cause string) {
	s.t.Helper()
	got := s.warden.wantNothingLeft(s.t, map[string]int{cause: len(all)}, map[string]int{"switched": len(all)})
	messages := got.by("wswarden_messages_total", "direction")
	var said, heard [2]int64
	for _, s := range all {
		client, upstream := s.client, s.upstream
		if upstream == nil {
			upstream = client // an echo
		}
		said[0], heard[0] = said[0]+client.said.Load(), heard[0]+upstream.heard.Load()
		said[1], heard[1] = said[1]+upstream.said.Load(), heard[1]+client.heard.Load()
	}
	for i, direction := range []string{"client_to_upstream", "upstream_to_client"} {
		if n := int64(messages[direction]); n < heard[i] || n > said[i] {
			s.t.Errorf("%s: %d messages are counted, %d were said and %d heard", direction, n, said[i], heard[i])
		}
	}
}
