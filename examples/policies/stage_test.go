package policies_test

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/fasthttp/websocket"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

const (
	// longest bounds every wait for what must happen.
	longest = 30 * time.Second
	// quick is to what a test cuts the one duration that it is about. All other values
	// are those of the file.
	quick = time.Second
)

// load reads a configuration of this folder.
func load(t *testing.T, file string) *config.Config {
	t.Helper()
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Policies) != 1 {
		t.Fatalf("%s has %d policies, not one", file, len(cfg.Policies))
	}
	return cfg
}

// cut makes a rule's duration quick, whose rule has to be on.
func cut(t *testing.T, rule *time.Duration) {
	t.Helper()
	if *rule < quick {
		t.Fatalf("%v is off, or too short to be cut", *rule)
	}
	*rule = quick
}

// slow makes a rate so low that it is of no matter how fast the machine is: what passes
// at once is the burst.
func slow(t *testing.T, rate *policies.PerSecond) {
	t.Helper()
	if *rate == 0 {
		t.Fatal("the rate is off")
	}
	*rate = max(*rate/10000, 0.001)
}

// stage is wswarden under a configuration, with an upstream that the test plays.
type stage struct {
	t        *testing.T
	file     string
	policy   policies.Policy
	address  string
	ended    sessionLog
	upstream chan *end // one for each session
}

// start runs wswarden with the file, in which it changes addresses, and what the test
// says. Upstream answers each message with what answer returns; nil: with nothing.
func start(t *testing.T, file string, change func(*policies.Policy), answer func(message string) []string) *stage {
	t.Helper()
	s := &stage{t: t, file: file, ended: make(sessionLog, 1000), upstream: make(chan *end, 1000)}
	url := s.serve(answer)
	cfg := load(t, file)
	cfg.Listeners[0].Address = "127.0.0.1:0"
	cfg.Upstream.URL = url
	cfg.Admin.Address = ""
	cfg.Drain.Spread = 0
	cfg.Pressure = policies.Pressure{} // of the process, in which there are a hundred of them here
	if change != nil {
		change(&cfg.Policies[0])
	}
	if err := cfg.Validate(); err != nil {
		t.Fatal(err)
	}
	s.policy = cfg.Policies[0]
	server, err := proxy.New(cfg, slog.New(s.ended), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	s.address = server.Addrs()[0].String()
	ctx, drain := context.WithCancel(context.Background())
	drained := make(chan error, 1)
	go func() { drained <- server.Run(ctx) }()
	t.Cleanup(func() {
		drain()
		if err := <-drained; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
	return s
}

// serve starts the upstream and returns its URL.
func (s *stage) serve(answer func(string) []string) string {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		s.t.Fatal(err)
	}
	upgrader := websocket.Upgrader{CheckOrigin: func(*http.Request) bool { return true }}
	server := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		conn, err := upgrader.Upgrade(w, r, nil)
		if err != nil {
			s.t.Errorf("upstream: %v", err)
			return
		}
		e := newEnd("upstream", s.t, conn)
		s.upstream <- e
		e.read(answer)
	})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = server.Serve(ln)
	}()
	s.t.Cleanup(func() {
		_ = server.Close()
		<-done
	})
	return "http://" + ln.Addr().String()
}

// dial asks for a session, on the path that the policy is for, and with headers, names and
// values in turn. Where the policy asks for an identity there is one, unless the header for
// it is empty.
func (s *stage) dial(headers ...string) (*websocket.Conn, *http.Response, error) {
	header, anonymous := http.Header{}, false
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			anonymous = true
		} else {
			header.Set(headers[i], headers[i+1])
		}
	}
	path := strings.NewReplacer("**", "", "*", "key").Replace(s.policy.Match.Path)
	if path == "" {
		path = "/ws"
	}
	identity, query := s.policy.Connections.Identity, ""
	switch {
	case identity.From == policies.FromQuery:
		query = "?" + identity.Name + "=somebody"
	case identity.From == policies.FromHeader && header.Get(identity.Name) == "" && !anonymous:
		header.Set(identity.Name, "somebody else's secret")
	}
	dialer := websocket.Dialer{HandshakeTimeout: longest}
	return dialer.Dial("ws://"+s.address+path+query, header)
}

// open begins a session of a client that reads and answers pings.
func (s *stage) open(headers ...string) (client, upstream *end) {
	s.t.Helper()
	client, upstream = s.openMute(headers...)
	client.listen()
	return client, upstream
}

// openMute begins a session of a client that has vanished: it reads nothing and so
// answers no ping, until it is told to listen.
func (s *stage) openMute(headers ...string) (client, upstream *end) {
	s.t.Helper()
	conn, _, err := s.dial(headers...)
	if err != nil {
		s.t.Fatalf("handshake: %v", err)
	}
	return newEnd("client", s.t, conn), wait(s.t, s.upstream, "a session's upstream")
}

// wantRefused checks that a handshake is refused, and when it may be tried again.
func (s *stage) wantRefused(status int, headers ...string) {
	s.t.Helper()
	conn, response, err := s.dial(headers...)
	if err == nil {
		_ = conn.Close()
		s.t.Fatalf("admitted, want %d", status)
	}
	if response == nil || response.StatusCode != status {
		s.t.Fatalf("handshake: %v, %+v, want %d", err, response, status)
	}
	if again := response.Header.Get("Retry-After"); (again != "") != (status != http.StatusForbidden) {
		s.t.Errorf("status %d with Retry-After %q", status, again)
	}
}

// wantEnd waits until a session has ended and nothing of it is left.
func (s *stage) wantEnd(cause policies.Cause) {
	s.t.Helper()
	if got := wait(s.t, s.ended, "the end of a session"); got != cause.String() {
		s.t.Errorf("session ended for %s, want %s", got, cause)
	}
}

// wantNoEnd checks that no session has ended.
func (s *stage) wantNoEnd() {
	s.t.Helper()
	select {
	case cause := <-s.ended:
		s.t.Errorf("a session has ended for %s", cause)
	default:
	}
}

// wantRelay checks that messages pass as they are, both ways.
func (s *stage) wantRelay(client, upstream *end) {
	s.t.Helper()
	talk := talks(s.file)
	client.say(talk)
	upstream.want(talk)
	upstream.say(talk)
	client.want(talk)
}

// sessionLog is a log that keeps what sessions have ended for.
type sessionLog chan string

func (l sessionLog) Enabled(context.Context, slog.Level) bool { return true }
func (l sessionLog) WithAttrs([]slog.Attr) slog.Handler       { return l }
func (l sessionLog) WithGroup(string) slog.Handler            { return l }

func (l sessionLog) Handle(_ context.Context, r slog.Record) error {
	if r.Message == "session ended" {
		r.Attrs(func(a slog.Attr) bool {
			if a.Key == "cause" {
				l <- a.Value.String()
			}
			return true
		})
	}
	return nil
}
