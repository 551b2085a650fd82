package proxy_test

import (
	"cmp"
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

const (
	// longest bounds every wait for what must happen.
	longest = 30 * time.Second
	// soon is a period in which a peer has no chance to answer in time, and
	// which a test can afford to sit out.
	soon = 150 * time.Millisecond
)

// handshake is a client's request.
var handshake = []byte("GET /ws HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
	"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")

// build is proxy.New, or what stands for it.
type build func(*config.Config, *slog.Logger, proxy.Options) (*proxy.Server, error)

// warden is wswarden in front of an upstream that the test plays.
type warden struct {
	t        *testing.T
	server   *proxy.Server
	address  string
	dialer   net.Dialer // for clients
	upstream *net.TCPListener
	log      sessionLog
	next     *config.Config // that a reload reads
	drain    context.CancelFunc
	drained  chan error // what Run has returned
}

// start runs wswarden with one policy until the end of the test. Peers have long
// to answer a close frame unless the policy says otherwise.
func start(t *testing.T, policy policies.Policy) *warden {
	t.Helper()
	build := proxy.New
	if strings.HasPrefix(t.Name(), "TestOnPoll/") {
		build = proxy.NewPortable
	}
	return startWith(t, build, func(c *config.Config) { c.Policies[0] = policy })
}

func startWith(t *testing.T, build build, adjust func(*config.Config)) *warden {
	t.Helper()
	w := &warden{t: t, log: make(sessionLog, 4096), drained: make(chan error, 1)}
	w.upstream = listenOn(t, "127.0.0.1")
	cfg := config.Default()
	cfg.Listeners[0].Address = "127.0.0.1:0"
	cfg.Upstream.URL = "http://" + w.upstream.Addr().String()
	cfg.Admin.Address = ""
	cfg.Drain.Spread = 0
	adjust(cfg)
	complete(cfg)
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	var err error
	if w.server, err = build(cfg, slog.New(w.log), proxy.Options{}); err != nil {
		t.Fatal(err)
	}
	w.server.ReloadFrom(func(*config.Config) (*config.Loaded, error) {
		return &config.Loaded{Config: w.next}, w.next.Validate()
	}, nil)
	w.next = cfg
	w.address = w.server.Addrs()[0].String()
	var ctx context.Context
	ctx, w.drain = context.WithCancel(context.Background())
	go func() { w.drained <- w.server.Run(ctx) }()
	t.Cleanup(func() {
		w.drain()
		w.wantDrained()
	})
	return w
}

// complete gives policies what they need to be valid.
func complete(cfg *config.Config) {
	for i := range cfg.Policies {
		policy := &cfg.Policies[i]
		if policy.Name == "" {
			policy.Name = "test"
		}
		if policy.Heartbeat.Liveness == "" {
			policy.Heartbeat.Liveness = policies.LivenessAny
		}
		if policy.Release.Grace == 0 {
			policy.Release.Grace = longest
		}
		if policy.Messages.OnExcess == "" {
			policy.Messages.OnExcess = policies.ExcessClose
		}
		if policy.Inspect.MaxBytes == 0 {
			policy.Inspect.MaxBytes = policies.Default().Inspect.MaxBytes
		}
		if policy.Inspect.Oversize == "" {
			policy.Inspect.Oversize = policies.OversizeClose
		}
		policy.Mode = cmp.Or(policy.Mode, policies.ModeEnforce)
		policy.OnReload = cmp.Or(policy.OnReload, policies.OnReloadKeep)
		if policy.RefuseWith == "" {
			policy.RefuseWith = policies.RefuseWithStatus
		}
		if policy.Connections.OnExcess == "" {
			policy.Connections.OnExcess = policies.ExcessReject
		}
		if policy.Subscriptions.OnExcess == "" {
			policy.Subscriptions.OnExcess = policies.ExcessReject
		}
	}
}

// wantDrained waits until Run has returned nil.
func (w *warden) wantDrained() {
	w.t.Helper()
	select {
	case err := <-w.drained:
		if err != nil {
			w.t.Errorf("Run: %v", err)
		}
		w.drained <- nil // for the next to ask
	case <-time.After(longest):
		w.t.Fatal("Run does not return")
	}
}

func listenOn(t *testing.T, host string) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return ln.(*net.TCPListener)
}

// open begins a session and returns its two peers.
func (w *warden) open() (client, upstream *peer) {
	w.t.Helper()
	client = w.dial()
	upstream = w.accept()
	upstream.agree(upstream.request())
	if status := client.response().StatusCode; status != http.StatusSwitchingProtocols {
		w.t.Fatalf("handshake: status %d", status)
	}
	return client, upstream
}

// dial connects a client and sends its handshake.
func (w *warden) dial() *peer {
	w.t.Helper()
	conn, err := w.dialer.Dial("tcp", w.address)
	if err != nil {
		w.t.Fatal(err)
	}
	client := newPeer(w.t, "client", conn.(*net.TCPConn))
	client.send(handshake)
	return client
}

// accept takes the connection that wswarden makes to upstream.
func (w *warden) accept() *peer {
	w.t.Helper()
	_ = w.upstream.SetDeadline(time.Now().Add(longest))
	conn, err := w.upstream.AcceptTCP()
	if err != nil {
		w.t.Fatalf("no connection to upstream: %v", err)
	}
	return newPeer(w.t, "upstream", conn)
}

// wantEnd waits until a session has ended and nothing of it is left.
func (w *warden) wantEnd(cause policies.Cause, code uint16) ending {
	w.t.Helper()
	select {
	case got := <-w.log:
		if got.cause != cause.String() || got.code != code {
			w.t.Errorf("session ended for %s with code %d, want %s with %d", got.cause, got.code, cause, code)
		}
		return got
	case <-time.After(longest):
		w.t.Fatalf("session does not end, want %s", cause)
		panic("not reached")
	}
}

// wantAlive checks that a session still relays, and what it does not: the next
// frame on either side is the one that the other sends now.
func (w *warden) wantAlive(client, upstream *peer) {
	w.t.Helper()
	client.send(client.frame(text, "from the client"))
	upstream.want(text, "from the client")
	upstream.send(upstream.frame(text, "from upstream"))
	client.want(text, "from upstream")
	select {
	case got := <-w.log:
		w.t.Errorf("session ended for %s", got.cause)
	default:
	}
}

// ending is what the log tells of a session that has ended.
type ending struct {
	cause    string
	code     uint16
	duration time.Duration
	identity string

	subscriptions, unsubscribed int
}

// sessionLog is a log that keeps the lines on sessions.
type sessionLog chan ending

func (l sessionLog) Enabled(context.Context, slog.Level) bool { return true }
func (l sessionLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l sessionLog) WithGroup(string) slog.Handler            { return l }

func (l sessionLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message != "session ended" {
		return nil
	}
	var e ending
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key {
		case "cause":
			e.cause = a.Value.String()
		case "identity":
			e.identity = a.Value.String()
		case "client_code":
			e.code = uint16(a.Value.Int64())
		case "subscriptions":
			e.subscriptions = int(a.Value.Int64())
		case "unsubscribed":
			e.unsubscribed = int(a.Value.Int64())
		case "duration":
			e.duration, _ = time.ParseDuration(a.Value.String())
		}
		return true
	})
	l <- e
	return nil
}
