package webhook

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"wswarden/policies"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// fixture is a Reporter with what it tells the world.
type fixture struct {
	*Reporter
	t        testing.TB
	registry *prometheus.Registry
	log      safeBuffer
}

// start makes a Reporter that is closed when the test ends. It waits exactly as
// long as the backoff allows.
func start(t testing.TB) *fixture {
	f := &fixture{t: t, registry: prometheus.NewRegistry()}
	f.Reporter = New(slog.New(slog.NewTextHandler(&f.log, nil)), f.registry)
	f.jitter = func(bound time.Duration) time.Duration { return bound }
	t.Cleanup(func() { f.closeWithin(0) })
	return f
}

// impatient makes a Reporter that never waits before another attempt.
func impatient(t *testing.T) *fixture {
	f := start(t)
	f.jitter = func(time.Duration) time.Duration { return 0 }
	return f
}

func (f *fixture) closeWithin(d time.Duration) {
	ctx, cancel := context.WithTimeout(context.Background(), d)
	defer cancel()
	f.Close(ctx)
}

// hook returns a webhook of the policy "p" with a patient timeout.
func (f *fixture) hook(url string, attempts int) *Hook {
	return f.Hook("p", policies.Webhook{URL: url, Timeout: time.Minute, Attempts: attempts})
}

// metric returns the sum of the metric's values with all of the labels' values.
func (f *fixture) metric(name string, values ...string) (sum float64) {
	f.t.Helper()
	families, err := f.registry.Gather()
	if err != nil {
		f.t.Fatal(err)
	}
	for _, family := range families {
		if family.GetName() != name {
			continue
		}
	next:
		for _, m := range family.GetMetric() {
			for _, value := range values {
				found := false
				for _, label := range m.GetLabel() {
					found = found || label.GetValue() == value
				}
				if !found {
					continue next
				}
			}
			sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
		}
	}
	return sum
}

func (f *fixture) outcome(word string) int {
	f.t.Helper()
	return int(f.metric("wswarden_webhook_reports_total", word))
}

func (f *fixture) attempts(word string) int {
	f.t.Helper()
	return int(f.metric("wswarden_webhook_attempts_total", word))
}

func (f *fixture) queued() int {
	f.t.Helper()
	return int(f.metric("wswarden_webhook_queue_reports"))
}

// wantOutcomes fails unless these and no others were counted.
func (f *fixture) wantOutcomes(want map[string]int) {
	f.t.Helper()
	for _, word := range outcomeWords {
		if got := f.outcome(word); got != want[word] {
			f.t.Errorf("%s: %d, want %d", word, got, want[word])
		}
	}
}

// settle waits until no report is left.
func (f *fixture) settle() {
	f.t.Helper()
	f.until(func() bool { return f.queued() == 0 })
}

// until waits for a condition that is bound to come.
func (f *fixture) until(condition func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !condition(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			f.t.Fatal("it does not come")
		}
	}
}

// safeBuffer is written and read by different goroutines.
type safeBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *safeBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *safeBuffer) lines() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return strings.FieldsFunc(b.buf.String(), func(r rune) bool { return r == '\n' })
}

// aReport returns a report with an odd value in each field.
func aReport() *Report {
	return &Report{
		Session:   0xbeef,
		Policy:    "passengers",
		Identity:  `"A" <tte>`,
		Client:    netip.MustParseAddr("2001:db8::7"),
		Cause:     policies.ClientLost,
		CloseCode: 1001,
		Opened:    time.Date(2026, 3, 4, 5, 6, 7, 8_999_999, time.FixedZone("", 5*3600+1800)),
		Closed:    time.Date(2026, 3, 4, 5, 6, 8, 0, time.UTC),
	}
}

// sized returns a report that counts so many bytes.
func sized(size int) *Report {
	r := new(Report)
	r.Add(bytes.Repeat([]byte("x"), size-r.bytes()-subscriptionOverhead), Live, true)
	return r
}

// request is what a server has seen.
type request struct {
	at     time.Time
	header http.Header
	body   string
}

// script is a server's handler that gives its answers one after the other, the
// last one for ever, and keeps what it was asked.
type script struct {
	answers []http.HandlerFunc

	mu   sync.Mutex
	seen []request
}

func (s *script) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	answer := s.answers[min(len(s.seen), len(s.answers)-1)]
	s.seen = append(s.seen, request{time.Now(), r.Header, string(body)})
	s.mu.Unlock()
	answer(w, r)
}

func (s *script) requests() []request {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]request(nil), s.seen...)
}

// status answers with a status and nothing else.
func status(code int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code) }
}

// hang answers when the client has gone, which the server looks out for once the
// body is read.
func hang(_ http.ResponseWriter, r *http.Request) {
	_, _ = io.Copy(io.Discard, r.Body)
	<-r.Context().Done()
}

// inMemory has the Reporter speak to an HTTP server of its own over pipes,
// wherever it dials, so that both can live by a test's own clock: it is called in a
// synctest bubble.
func (f *fixture) inMemory(handler http.Handler) {
	ln := &pipes{make(chan net.Conn), make(chan struct{})}
	server := &http.Server{Handler: handler}
	served := make(chan struct{})
	go func() {
		defer close(served)
		_ = server.Serve(ln)
	}()
	f.client.Transport.(*http.Transport).DialContext = func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		select {
		case ln.conns <- theirs:
			return ours, nil
		case <-ln.closed:
			return nil, net.ErrClosed
		}
	}
	f.t.Cleanup(func() {
		f.closeWithin(0)
		_ = server.Close()
		<-served
		time.Sleep(time.Second) // by the test's clock: a connection cut in mid-body lingers
	})
}

// pipes is a listener.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func (p *pipes) Accept() (net.Conn, error) {
	select {
	case conn := <-p.conns:
		return conn, nil
	case <-p.closed:
		return nil, net.ErrClosed
	}
}
func (p *pipes) Close() error   { close(p.closed); return nil }
func (p *pipes) Addr() net.Addr { return &net.TCPAddr{} }
