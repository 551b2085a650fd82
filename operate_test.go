package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wswarden/proxy/admin"
	"wswarden/proxy/admin/api"
)

// source is what the admin API tells of in these tests: sessions that do nothing.
type source struct {
	mu       sync.Mutex
	sessions []api.Session
	draining bool
	did      []string
	looks    func(ctx context.Context, s *source) // at each listing; nil: nothing happens

	reloaded      api.Reloaded
	refusal       error // of a reload
	configuration api.Configuration
}

const operatorToken = "a-token-that-is-long-enough"

// operated starts an admin API of three sessions.
func operated(t *testing.T, token string) (s *source, address string, server *admin.Server) {
	t.Helper()
	s = &source{reloaded: api.Reloaded{Before: api.Configuration{Loaded: time.Date(2026, 1, 1, 7, 33, 4, 0, time.Local), Why: "start"}}}
	opened := time.Now().Add(-2*time.Hour - 13*time.Minute)
	for i := range 3 {
		n := i + 1
		s.sessions = append(s.sessions, api.Session{
			ID: api.ID(n), Policy: "passengers", Address: netip.AddrFrom4([4]byte{10, 1, 2, byte(n)}),
			Identity: api.HashIdentity(fmt.Sprint("user", n)), State: api.StateOpen,
			Opened: opened, Active: opened, Age: api.InSeconds(2*time.Hour + 13*time.Minute), Idle: api.Seconds(n),
			UpstreamToClient: api.Flow{Messages: 7, Bytes: 1258291}, Ping: 0.012, Subscriptions: n,
		})
	}
	server, err := admin.New(admin.Options{Address: "127.0.0.1:0", Token: token, Source: s, Metrics: prometheus.NewRegistry()})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = server.Serve() }()
	t.Cleanup(func() { _ = server.Close(); <-done })
	return s, server.Addr().String(), server
}

func (s *source) Sessions(ctx context.Context, f api.Filter) iter.Seq[[]api.Session] {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.looks != nil {
		s.looks(ctx, s)
	}
	fit := slices.DeleteFunc(slices.Clone(s.sessions), func(x api.Session) bool { return !f.Fits(&x) })
	return func(yield func([]api.Session) bool) { yield(fit) }
}

func (s *source) Session(_ context.Context, id api.ID) (api.Detail, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, x := range s.sessions {
		if x.ID == id {
			return api.Detail{Session: x, SubscribedTo: []api.Subscription{{Topic: "1722500001", State: "live"}},
				Next: []api.Forecast{{Rule: "heartbeat", Action: "ping_client", At: x.Opened, In: 12}}}, true
		}
	}
	return api.Detail{}, false
}

func (s *source) EndOne(ctx context.Context, id api.ID, code uint16, reason string) (ended int, found bool) {
	ended = s.end(fmt.Sprint(id, " ", code, " ", reason), func(x *api.Session) bool { return x.ID == id })
	return ended, ended > 0
}

func (s *source) End(_ context.Context, f api.Filter, code uint16, reason string) int {
	return s.end(fmt.Sprint(f.Query().Encode(), " ", code, " ", reason), f.Fits)
}

func (s *source) end(what string, which func(x *api.Session) bool) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, strings.TrimSpace(what))
	n := len(s.sessions)
	s.sessions = slices.DeleteFunc(s.sessions, func(x api.Session) bool { return which(&x) })
	return n - len(s.sessions)
}

func (s *source) Topics(context.Context, api.Filter) ([]api.Topic, bool) {
	return []api.Topic{{Topic: "a", Policy: "passengers", Sessions: 1, Live: 1}, {Topic: "b\x1b[2J", Policy: "passengers", Sessions: 3, Live: 2, Pending: 1}}, false
}

func (s *source) Events(ctx context.Context, replay int) <-chan api.Event {
	events := make(chan api.Event, 1)
	events <- api.Event{Kind: api.EventOpened, Session: 1, Policy: "passengers", Address: netip.MustParseAddr("10.1.2.1")}
	return events
}

func (s *source) Drain() api.Draining {
	s.mu.Lock()
	defer s.mu.Unlock()
	d := api.Draining{Sessions: len(s.sessions), Already: s.draining, Timeout: 25}
	s.draining = true
	return d
}

func (s *source) Policies() []api.Policy { return nil }

func (s *source) Reload(context.Context) (api.Reloaded, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.did = append(s.did, "reload")
	return s.reloaded, s.refusal
}

func (s *source) Configuration() api.Configuration { return s.configuration }

func (s *source) Report(_ context.Context, policy string, window time.Duration) api.Report {
	r := api.Report{To: time.Now(), Policies: []api.PolicyReport{}}
	r.From = r.To.Add(-window)
	if policy == "" || policy == "passengers" {
		r.Policies = append(r.Policies, api.PolicyReport{Policy: "passengers", Sessions: 4120, Judged: 4120, Rules: []api.RuleReport{
			{Rule: "subscriptions.max", Setting: "20", Mode: "observe", Hit: 37, Needed: &api.Percentiles{Sessions: 4120, P50: 4, P90: 11, P99: 24, Max: 412}},
		}})
	}
	return r
}

func (s *source) Ready(context.Context) api.Readiness {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining {
		return api.Readiness{Checks: map[string]string{"drain": "draining", "upstream": "ok"}}
	}
	return api.Readiness{Ready: true, Checks: map[string]string{"drain": "ok", "upstream": "ok"}}
}

// operate runs a command line.
func operate(args ...string) (code int, stdout, stderr string) {
	var out, remarks bytes.Buffer
	code = run(args, &out, &remarks)
	return code, out.String(), remarks.String()
}

const (
	known   = "0000000000000001"
	unknown = "00000000000000ff"
)

// What each command prints, and its exit code: 0 done, 1 not done, 2 not understood. An
// error is one line.
func TestOperate(t *testing.T) {
	t.Parallel()
	// Nobody is here to be hashed on the way.
	hashed := "identity_hash=" + api.HashIdentity("user2")
	for _, tt := range []struct {
		args   string
		code   int
		stdout string // a part of it; empty: there is nothing
		stderr string
		did    string
	}{
		{"sessions list", 0, "0000000000000001  passengers  10.1.2.1  0a041b9462caa4a3  open   2h13m    1s         7  1.2 MiB  12ms     1\n", "", ""},
		{"sessions", 0, "0000000000000003  passengers", "", ""},
		{"sessions list --sort idle --limit 1", 0, known, "1 of 3 sessions\n", ""},
		{"sessions list --identity user2", 0, "0000000000000002", "", ""},
		{"sessions list --policy nobody", 0, "ID  POLICY", "", ""},
		{"sessions list --state gone", 2, "", "--state: \"gone\" is not known", ""},
		{"sessions list --older-than 5", 2, "", "--older-than: ", ""},
		{"sessions list --policy=", 2, "", "--policy: is empty", ""},
		{"sessions list --sort size", 2, "", "--sort: ", ""},
		{"sessions list --limit -1", 2, "", "--limit", ""},
		{"sessions list --output yaml", 2, "", "--output yaml", ""},
		{"sessions list now", 2, "", "now", ""},
		{"sessions lits", 2, "", "lits", ""},

		{"sessions show " + known, 0, "in 12s     heartbeat          pings the client\n", "", ""},
		{"sessions show " + unknown, 1, "", "there is no session " + unknown, ""},
		{"sessions show 1", 2, "", "16 hexadecimal digits", ""},
		{"sessions show", 2, "", "arg", ""},

		{"sessions kill " + known, 0, "1 session ended\n", "", known + " 0"},
		{"sessions kill --code 1012 --reason later " + known, 0, "1 session ended\n", "", known + " 1012 later"},
		{"sessions kill " + unknown, 1, "0 sessions ended\n", "there is no session " + unknown, unknown + " 0"},
		{"sessions kill --code 1006 " + known, 1, "", "code: 1006 may not be sent", ""},
		{"sessions kill --identity user2 --yes", 0, "1 session ended\n", "", hashed + " 0"},
		{"sessions kill --policy nobody --yes", 0, "0 sessions ended\n", "", "policy=nobody 0"},
		{"sessions kill --policy passengers", 2, "", "--yes", ""},
		{"sessions kill --policy= --older-than 1h --yes", 2, "", "--policy: is empty", ""},
		{"sessions kill --yes", 2, "", "which sessions?", ""},
		{"sessions kill --policy passengers --yes " + known, 2, "", "not both", ""},
		{"sessions kill 1", 2, "", "16 hexadecimal digits", ""},

		{"sessions watch --count 1", 0, "3 shown of 3", "", ""},
		{"sessions watch --interval 0s", 2, "", "--interval", ""},
		{"sessions watch --limit 0", 2, "", "--limit", ""},

		{"topics", 0, `b\u001b[2J  passengers         3     2        1` + "\n", "", ""},
		{"topics --limit 1", 0, "TOPIC", "1 of 2 topics\n", ""},
		{"topics --limit 0", 1, "", "limit: ", ""},
		{"report", 0, "passengers: 4,120 sessions in the last hour\n\n  subscriptions.max: 20 would have hit 37 of 4,120 sessions (0.9 %);\n", "", ""},
		{"report --window 10m --policy passengers", 0, "in the last 10m\n", "", ""},
		{"report --window 3h", 1, "", "window: ", ""},
		{"report --window 60", 2, "", "window", ""},
		{"report --policy nobody", 1, "", `there is no policy "nobody"`, ""},
		{"report now", 2, "", "now", ""},
		{"reload", 0, "nothing to change: this configuration is in use since 07:33:04 (start)\n", "", "reload"},
		{"reload now", 2, "", "now", ""},
		{"drain", 0, "draining 3 sessions, for 25s at most\n", "", ""},
		{"healthcheck", 0, "ready\n", "", ""},
		{"healthcheck --live", 0, "live\n", "", ""},
		{"events --kind open", 2, "", "--kind open", ""},
		{"events --session 1", 2, "", "16 hexadecimal digits", ""},
		{"events --replay 257", 1, "", "replay: ", ""},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			s, address, _ := operated(t, "")
			code, stdout, stderr := operate(append(strings.Fields(tt.args), "--admin", address)...)
			if code != tt.code {
				t.Errorf("exit code %d, want %d", code, tt.code)
			}
			if !strings.Contains(stdout, tt.stdout) || tt.stdout == "" && stdout != "" || strings.Contains(stdout, "\x1b") {
				t.Errorf("it prints\n%s, want\n%s", stdout, tt.stdout)
			}
			if !strings.Contains(stderr, tt.stderr) || tt.stderr == "" && stderr != "" || strings.Count(stderr, "\n") > 1 ||
				tt.code != 0 && !strings.HasPrefix(stderr, "wswarden: ") {
				t.Errorf("it remarks %q, want %q in one line", stderr, tt.stderr)
			}
			if did := strings.Join(s.did, ", "); did != tt.did {
				t.Errorf("%q was done, want %q", did, tt.did)
			}
		})
	}
}

// Of several ids, those that are known end, and the others are named.
func TestOperateKillSeveral(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, "")
	code, stdout, stderr := operate("sessions", "kill", "--admin", address, unknown, known, "00000000000000fe", "0000000000000002")
	if code != 1 || stdout != "2 sessions ended\n" || !strings.Contains(stderr, unknown) || !strings.Contains(stderr, "00000000000000fe") {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
}

// Programs get what the API says.
func TestOperateJSON(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		args string
		into any
		want string
	}{
		{"sessions list --sort idle", &api.Page{}, `{"sessions":[{"id":"0000000000000001"`},
		{"sessions list --policy nobody", &api.Page{}, `{"sessions":[],"matched":0}`},
		{"sessions show " + known, &api.Detail{}, `{"id":"0000000000000001"`},
		{"sessions kill " + known, &api.Ended{}, `{"ended":1}`},
		{"sessions watch --count 1", &api.Page{}, `{"time":"`},
		{"topics", &api.Topics{}, `"topic":"b\u001b[2J"`},
		{"report", &api.Report{}, `"policies":[{"policy":"passengers","sessions":4120,`},
		{"reload", &api.Reloaded{}, `{"changed":false,"policies":{"added":[],`},
		{"drain", &api.Draining{}, `{"sessions":3,"timeout_seconds":25}`},
		{"healthcheck", &api.Readiness{}, `{"ready":true,"checks":{"configuration":"ok","drain":"ok","upstream":"ok"}}`},
	} {
		t.Run(tt.args, func(t *testing.T) {
			t.Parallel()
			_, address, _ := operated(t, "")
			code, stdout, stderr := operate(append(strings.Fields(tt.args), "--admin", address, "--output", "json")...)
			if code != 0 || stderr != "" || !strings.Contains(stdout, tt.want) {
				t.Errorf("%d, %q, %q", code, stdout, stderr)
			}
			if err := json.Unmarshal([]byte(stdout), tt.into); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestOperateNotReady(t *testing.T) {
	t.Parallel()
	s, address, _ := operated(t, "")
	s.Drain()
	if code, stdout, stderr := operate("healthcheck", "--admin", address); code != 1 || stdout != "" || stderr != "wswarden: not ready: drain: draining\n" {
		t.Errorf("%d, %q, %q", code, stdout, stderr)
	}
	if code, _, _ := operate("healthcheck", "--live", "--admin", address); code != 0 {
		t.Errorf("it does not count as live: %d", code)
	}
	if code, stdout, _ := operate("drain", "--admin", address); code != 0 || !strings.Contains(stdout, "had begun before") {
		t.Errorf("%d, %q", code, stdout)
	}
}

// drain --wait is done when the last session has gone, or the whole of wswarden.
func TestOperateDrainWaits(t *testing.T) {
	t.Parallel()
	for name, last := range map[string]func(ctx context.Context, s *source, server *admin.Server){
		"sessions": func(_ context.Context, s *source, _ *admin.Server) { s.sessions = s.sessions[1:] },
		"wswarden": func(_ context.Context, _ *source, server *admin.Server) { go func() { _ = server.Close() }() },
		"wswarden, while it lists them": func(ctx context.Context, _ *source, server *admin.Server) {
			go func() { _ = server.Close() }()
			<-ctx.Done()
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, address, server := operated(t, "")
			looked := 0
			s.looks = func(ctx context.Context, s *source) {
				if looked++; len(s.sessions) > 1 {
					s.sessions = s.sessions[1:]
				} else if len(s.sessions) == 1 {
					last(ctx, s, server)
				}
			}
			code, stdout, stderr := operate("drain", "--wait", "--admin", address)
			if code != 0 || !strings.HasSuffix(stdout, "\ndrained\n") || stderr != "" || looked < 3 {
				t.Errorf("%d after %d looks, %q, %q", code, looked, stdout, stderr)
			}
		})
	}
}

// The token comes from a flag, from the environment, or from wswarden's own file.
func TestOperateToken(t *testing.T) {
	_, address, _ := operated(t, operatorToken)
	folder := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(folder, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	right := write("token", operatorToken+"\n")
	wrong := write("wrong", "another-token-of-that-length\n")
	short := write("short", "x\n")
	file := write("wswarden.yaml", "upstream: { url: http://127.0.0.1:5000 }\nadmin: { address: '"+address+"', token_file: "+right+" }\n")
	off := write("off.yaml", "upstream: { url: http://127.0.0.1:5000 }\nadmin: { address: '' }\n")
	for _, tt := range []struct {
		name string
		env  [2]string // address and token file
		args []string
		code int
		want string
	}{
		{"none", [2]string{}, []string{"--admin", address}, 1, "wants a token; give the file"},
		{"flag", [2]string{}, []string{"--admin", address, "--token-file", right}, 0, ""},
		{"wrong", [2]string{}, []string{"--admin", "http://" + address, "--token-file", wrong}, 1, "does not know this token"},
		{"short", [2]string{}, []string{"--admin", address, "--token-file", short}, 2, "--token-file: "},
		{"no file", [2]string{}, []string{"--admin", address, "--token-file", filepath.Join(folder, "x")}, 2, "--token-file: "},
		{"environment", [2]string{address, right}, nil, 0, ""},
		{"flag and environment", [2]string{"127.0.0.1:1", wrong}, []string{"--admin", address, "--token-file", right}, 0, ""},
		{"file", [2]string{}, []string{"--config", file}, 0, ""},
		{"file and flag", [2]string{}, []string{"--config", file, "--token-file", wrong}, 1, "does not know this token"},
		{"file without", [2]string{}, []string{"--config", off}, 2, "admin.address"},
		{"no such file", [2]string{}, []string{"--config", filepath.Join(folder, "y")}, 2, "y"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			for i, name := range []string{"WSWARDEN_ADMIN_ADDRESS", "WSWARDEN_ADMIN_TOKEN_FILE"} {
				t.Setenv(name, tt.env[i])
				if tt.env[i] == "" {
					_ = os.Unsetenv(name)
				}
			}
			code, _, stderr := operate(append([]string{"sessions", "list"}, tt.args...)...)
			if code != tt.code || !strings.Contains(stderr, tt.want) || tt.want == "" && stderr != "" || strings.Contains(stderr, operatorToken) {
				t.Errorf("%d, %q, want %d and %q", code, stderr, tt.code, tt.want)
			}
		})
	}
}

// An address at which there is no admin API, or one that does not answer.
func TestOperateUnreachable(t *testing.T) {
	t.Parallel()
	ln := listen(t)
	nobody := ln.Addr().String()
	_ = ln.Close()
	hangs := listen(t).Addr().String()
	other := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(other.Close)
	for address, want := range map[string]string{
		nobody:    "is wswarden running",
		hangs:     "has not answered for 50ms",
		other.URL: "does not seem to be an admin address of wswarden",
	} {
		for _, command := range []string{"sessions list", "sessions show " + known, "sessions kill " + known, "sessions watch", "topics", "events", "report", "reload", "drain", "healthcheck"} {
			args := append(strings.Fields(command), "--admin", address)
			if address == hangs {
				args = append(args, "--timeout", "50ms")
			}
			code, stdout, stderr := operate(args...)
			if code != 1 || stdout != "" || !strings.Contains(stderr, want) || strings.Count(stderr, "\n") != 1 {
				t.Errorf("%s at %s: %d, %q, %q", command, address, code, stdout, stderr)
			}
		}
	}
}

// Events are followed until the stream ends, which is a failure.
func TestOperateEvents(t *testing.T) {
	t.Parallel()
	for output, want := range map[string]string{"table": "opened      0000000000000001  passengers  10.1.2.1\n", "json": `"session":"0000000000000001"`} {
		_, address, server := operated(t, "")
		out := &signalling{written: make(chan struct{})}
		go func() {
			<-out.written
			_ = server.Close()
		}()
		var stderr bytes.Buffer
		code := run([]string{"events", "--admin", address, "--output", output}, out, &stderr)
		if code != 1 || !strings.Contains(out.String(), want) || !strings.Contains(stderr.String(), "broken off") {
			t.Errorf("%d, %q, %q", code, out.String(), stderr.String())
		}
	}
}

// signalling tells when something was written to it.
type signalling struct {
	bytes.Buffer
	once    sync.Once
	written chan struct{}
}

func (s *signalling) Write(p []byte) (int, error) {
	defer s.once.Do(func() { close(s.written) })
	return s.Buffer.Write(p)
}

// An identity that standard input tells is in no process list.
func TestOperateIdentityFromInput(t *testing.T) {
	t.Parallel()
	_, address, _ := operated(t, "")
	cmd := command(t, "sessions", "list", "--identity", "-", "--admin", address)
	cmd.Stdin = strings.NewReader("user2\n")
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "0000000000000002") || strings.Contains(string(out), known) {
		t.Errorf("%v, %s", err, out)
	}
	cmd = command(t, "sessions", "list", "--identity", "-", "--admin", address)
	if err := cmd.Run(); cmd.ProcessState.ExitCode() != 2 {
		t.Errorf("without input: %v", err)
	}
}
