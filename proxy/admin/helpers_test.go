package admin

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"iter"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wswarden/proxy/admin/api"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fake is a Source of sessions that are only told of.
type fake struct {
	mu        sync.Mutex
	sessions  []api.Session
	topics    []api.Topic
	truncated bool
	policies  []api.Policy
	readiness api.Readiness
	asked     []string // to end, in words

	reloaded      api.Reloaded
	refusal       error // of a reload
	configuration api.Configuration
	report        api.Report // of every policy

	between func() // what happens after each batch; nil: nothing
	events  func(ctx context.Context, replay int) <-chan api.Event
}

// beginning is the moment at which session 0 was opened.
var beginning = time.Date(2026, 11, 23, 8, 0, 0, 123456789, time.UTC)

// session makes one of many that differ in all that there is; those with the same
// number are the same.
func session(i int) api.Session {
	s := api.Session{
		ID:               api.ID(uint64(i+1) * 0x9e3779b97f4a7c15), // in no order
		Policy:           []string{"passengers", "staff", "default"}[i%3],
		Address:          netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}),
		Identity:         api.HashIdentity(fmt.Sprint(i % 1000)),
		State:            api.States()[i%7%4],
		Opened:           beginning.Add(time.Duration(i) * time.Second),
		Active:           beginning.Add(time.Duration(i*7919%100_000) * time.Second),
		Age:              api.Seconds(200_000 - i),
		Idle:             api.Seconds(200_000 - i*7919%100_000),
		ClientToUpstream: api.Flow{Messages: uint64(i % 11), Bytes: uint64(i * 31 % 1001)},
		UpstreamToClient: api.Flow{Messages: uint64(i % 13), Bytes: uint64(i)},
		Ping:             api.Seconds(i%50) / 1000,
		Subscriptions:    i % 21,
	}
	if s.State == api.StateClosing || s.State == api.StateFinishing {
		s.Cause = "idle"
	}
	return s
}

func sessions(n int) []api.Session {
	all := make([]api.Session, n)
	for i := range all {
		all[i] = session(i)
	}
	return all
}

func (f *fake) Sessions(ctx context.Context, filter api.Filter) iter.Seq[[]api.Session] {
	f.mu.Lock()
	all := f.sessions
	f.mu.Unlock()
	return func(yield func([]api.Session) bool) {
		batch := make([]api.Session, 0, 100)
		for len(all) > 0 && ctx.Err() == nil {
			batch = batch[:0]
			n := min(cap(batch), len(all))
			for i := range all[:n] {
				if filter.Fits(&all[i]) {
					batch = append(batch, all[i])
				}
			}
			all = all[n:]
			if len(batch) > 0 && !yield(batch) {
				return
			}
			clear(batch) // it was valid until now
			if f.between != nil {
				f.between()
			}
		}
	}
}

func (f *fake) Session(_ context.Context, id api.ID) (api.Detail, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.sessions, func(s api.Session) bool { return s.ID == id })
	if i < 0 {
		return api.Detail{}, false
	}
	return api.Detail{Session: f.sessions[i]}, true
}

func (f *fake) EndOne(ctx context.Context, id api.ID, code uint16, reason string) (ended int, found bool) {
	d, found := f.Session(ctx, id)
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(id, " ", code, " ", reason))
	if found && d.State == api.StateOpen {
		ended = 1
	}
	return ended, found
}

func (f *fake) End(ctx context.Context, filter api.Filter, code uint16, reason string) (n int) {
	for batch := range f.Sessions(ctx, filter) {
		n += len(batch)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint(filter.Query().Encode(), " ", code, " ", reason))
	return n
}

func (f *fake) Topics(context.Context, api.Filter) ([]api.Topic, bool) { return f.topics, f.truncated }

func (f *fake) Events(ctx context.Context, replay int) <-chan api.Event {
	if f.events == nil {
		return nil
	}
	return f.events(ctx, replay)
}

func (f *fake) Drain() api.Draining {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, "drain")
	return api.Draining{Sessions: len(f.sessions), Already: len(f.asked) > 1, Timeout: 25}
}

func (f *fake) Policies() []api.Policy { return f.policies }

func (f *fake) Reload(context.Context) (api.Reloaded, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, "reload")
	return f.reloaded, f.refusal
}

func (f *fake) Configuration() api.Configuration {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.configuration
}

func (f *fake) Report(_ context.Context, policy string, window time.Duration) api.Report {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, fmt.Sprint("report ", policy, " ", window))
	report := f.report
	report.To = beginning
	report.From = beginning.Add(-window)
	report.Policies = slices.DeleteFunc(slices.Clone(report.Policies), func(p api.PolicyReport) bool {
		return policy != "" && policy != p.Policy
	})
	return report
}

func (f *fake) Ready(context.Context) api.Readiness {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.readiness
}

// takeAsked returns what was asked for since the last call.
func (f *fake) takeAsked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	asked := strings.Join(f.asked, "\n")
	f.asked = nil
	return asked
}

// world is an admin server that runs until the test ends, and its client.
type world struct {
	testing.TB
	*fake
	admin  *Server
	client *http.Client
	log    *text
}

// start runs a server on loopback, with what else the options say.
func start(t testing.TB, f *fake, with ...func(*Options)) *world {
	t.Helper()
	w := &world{TB: t, fake: f, client: &http.Client{Transport: &http.Transport{}}, log: new(text)}
	w.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	o := Options{Address: "127.0.0.1:0", Source: f, Log: slog.New(slog.NewTextHandler(w.log, nil))}
	for _, with := range with {
		with(&o)
	}
	admin, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	w.admin = admin
	served := make(chan error, 1)
	go func() { served <- admin.Serve() }()
	t.Cleanup(func() {
		w.client.CloseIdleConnections()
		if err := admin.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return w
}

const token = "correct horse battery staple"

func withToken(o *Options) { o.Token = token }

// open sends a request, whose answer the caller closes. The header has names and values
// in turn; the Host is one of them.
func (w *world) open(ctx context.Context, method, path string, header ...string) *http.Response {
	w.Helper()
	r, err := http.NewRequestWithContext(ctx, method, "http://"+w.admin.Addr().String()+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			r.Host = header[i+1]
		} else {
			r.Header.Add(header[i], header[i+1])
		}
	}
	response, err := w.client.Do(r)
	if err != nil {
		w.Fatal(err)
	}
	return response
}

// ask sends a request and returns the whole answer, which has to be as it is described.
func (w *world) ask(method, path string, header ...string) (*http.Response, string) {
	w.Helper()
	response := w.open(context.Background(), method, path, header...)
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		w.Fatal(err)
	}
	if path != "/v1/openapi.yaml" && len(body) < 16<<10 {
		described(w, w.admin, response, body)
	}
	return response, string(body)
}

// get asks for what has to be there.
func get[T any](w *world, path string) (answer T) {
	w.Helper()
	response, body := w.ask("GET", path)
	if response.StatusCode != 200 {
		w.Fatalf("GET %s: %d %s", path, response.StatusCode, body)
	}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		w.Fatalf("GET %s: %v in %.200s", path, err, body)
	}
	return answer
}

// refused asks for what has to be refused with a status, and returns why.
func (w *world) refused(status int, method, path string, header ...string) (e api.Error) {
	w.Helper()
	response, body := w.ask(method, path, header...)
	if response.StatusCode != status {
		w.Errorf("%s %s %q: %d %.200s, want %d", method, path, header, response.StatusCode, body, status)
	}
	if err := json.Unmarshal([]byte(body), &e); err != nil || e.Message == "" {
		w.Errorf("%s %s: %q is no api.Error: %v", method, path, body, err)
	}
	return e
}

// text is what is written, at any time.
type text struct {
	mu sync.Mutex
	b  strings.Builder
}

func (x *text) Write(p []byte) (int, error) {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.Write(p)
}

func (x *text) String() string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return x.b.String()
}

func ids(sessions []api.Session) []api.ID {
	ids := make([]api.ID, len(sessions))
	for i, s := range sessions {
		ids[i] = s.ID
	}
	return ids
}

// checks makes a readiness.
func checks(ready bool, checks map[string]string) api.Readiness {
	return api.Readiness{Ready: ready, Checks: maps.Clone(checks)}
}
