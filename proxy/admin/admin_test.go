package admin

import (
	"errors"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

func withMetrics(metrics prometheus.Gatherer) func(*Options) {
	return func(o *Options) { o.Metrics = metrics }
}

func TestHealthAndReadiness(t *testing.T) {
	ready := checks(true, map[string]string{"drain": "ok", "upstream": "ok"})
	draining := checks(false, map[string]string{"drain": "it drains", "upstream": "ok"})
	down := checks(false, map[string]string{"drain": "it drains", "upstream": "connection refused"})
	w := start(t, new(fake), withToken) // which none of them needs
	for _, step := range []struct {
		path   string
		status int
		body   string
	}{
		{"/healthz", 200, "ok\n"},
		{"/healthz?from=a-probe", 200, "ok\n"},
		{"/readyz", 200, "ready\n"},
		{"/readyz?verbose", 200, `{"ready":true,"checks":{"configuration":"ok","drain":"ok","upstream":"ok"}}` + "\n"},
	} {
		w.readiness = ready
		if r, body := w.ask("GET", step.path); r.StatusCode != step.status || body != step.body {
			t.Errorf("ready: %s: %d %q, want %d %q", step.path, r.StatusCode, body, step.status, step.body)
		}
	}

	w.readiness = draining
	if r, body := w.ask("GET", "/healthz"); r.StatusCode != 200 || body != "ok\n" {
		t.Errorf("draining: %d %q", r.StatusCode, body)
	}
	if e := w.refused(503, "GET", "/readyz"); !strings.HasPrefix(e.Message, "not ready: drain;") {
		t.Errorf("draining: %q", e.Message)
	}
	w.readiness = down
	if e := w.refused(503, "GET", "/readyz"); !strings.HasPrefix(e.Message, "not ready: drain, upstream;") {
		t.Errorf("upstream down: %q", e.Message)
	}
	if r, body := w.ask("GET", "/readyz?verbose"); r.StatusCode != 503 || !strings.Contains(body, `"upstream":"connection refused"`) {
		t.Errorf("upstream down: %d %q", r.StatusCode, body)
	}
}

func TestMetricsAreThoseOfTheRegistry(t *testing.T) {
	registry := NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "wswarden_things_total", Help: "Things."})
	registry.MustRegister(counter)
	w := start(t, new(fake), withMetrics(registry))

	counter.Add(3)
	r, body := w.ask("GET", "/metrics")
	if r.StatusCode != 200 {
		t.Fatalf("%d %s", r.StatusCode, body)
	}
	for _, line := range []string{"wswarden_things_total 3\n", "\ngo_goroutines "} {
		if !strings.Contains(body, line) {
			t.Errorf("no %q in\n%s", line, body)
		}
	}

	// What is registered with the library's global registry is not ours.
	stray := prometheus.NewCounter(prometheus.CounterOpts{Name: "stray_total", Help: "Somebody else's."})
	prometheus.MustRegister(stray)
	defer prometheus.Unregister(stray)
	if _, body := w.ask("GET", "/metrics"); strings.Contains(body, "stray_total") {
		t.Error("the global registry is shown")
	}
}

func TestWhatIsNotGivenIsNotThere(t *testing.T) {
	w := start(t, new(fake))
	for _, path := range []string{"/metrics", "/", "/assets/page.js"} {
		w.refused(404, "GET", path)
	}
}

func TestDashboard(t *testing.T) {
	page := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Cache-Control", "max-age=60")
		_, _ = w.Write([]byte("page " + r.URL.Path))
	})
	w := start(t, new(fake), withToken, func(o *Options) { o.Dashboard = page })
	for _, path := range []string{"/", "/assets/page.js", "/?theme=dark"} {
		r, body := w.ask("GET", path) // without the token, for which the page asks
		if want, _, _ := strings.Cut("page "+path, "?"); r.StatusCode != 200 || body != want {
			t.Errorf("%s: %d %q", path, r.StatusCode, body)
		}
		if cache := r.Header.Get("Cache-Control"); cache != "max-age=60" {
			t.Errorf("%s: Cache-Control: %s", path, cache)
		}
	}
	w.refused(401, "GET", "/other")
}

// broken is a metric that cannot be told.
type broken struct{ desc *prometheus.Desc }

func (b broken) Describe(descs chan<- *prometheus.Desc) { descs <- b.desc }
func (b broken) Collect(metrics chan<- prometheus.Metric) {
	metrics <- prometheus.NewInvalidMetric(b.desc, errors.New("broken"))
}

func TestOneBrokenMetricTakesNoOtherAway(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(
		broken{prometheus.NewDesc("broken", "Broken.", nil, nil)},
		prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "sound", Help: "Sound."}, func() float64 { return 1 }),
	)
	w := start(t, new(fake), withMetrics(registry))
	if r, body := w.ask("GET", "/metrics"); r.StatusCode != 200 || !strings.Contains(body, "\nsound 1\n") {
		t.Errorf("%d %s", r.StatusCode, body)
	}
}

// slow is a gatherer that takes until it is released.
type slow struct{ asked, release chan struct{} }

func (s slow) Gather() ([]*dto.MetricFamily, error) {
	s.asked <- struct{}{}
	<-s.release
	return nil, nil
}

func TestScrapesAtATimeAreFew(t *testing.T) {
	s := slow{make(chan struct{}), make(chan struct{})}
	w := start(t, new(fake), withMetrics(s))
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() { w.ask("GET", "/metrics") })
		<-s.asked
	}
	if r, _ := w.ask("GET", "/metrics"); r.StatusCode != 503 {
		t.Errorf("one more: %d", r.StatusCode)
	}
	if r, _ := w.ask("GET", "/healthz"); r.StatusCode != 200 {
		t.Errorf("health beside slow scrapes: %d", r.StatusCode)
	}
	close(s.release)
	scrapes.Wait()
}

func TestCloseWaitsForNobodyForEver(t *testing.T) {
	t.Parallel() // it takes a second
	s := slow{make(chan struct{}), make(chan struct{})}
	w := start(t, new(fake), withMetrics(s))
	answered := make(chan error, 1)
	go func() {
		_, err := w.client.Get("http://" + w.admin.Addr().String() + "/metrics")
		answered <- err
	}()
	<-s.asked
	if err := w.admin.Close(); err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("answered after Close")
	}
	close(s.release)
}

func BenchmarkGather(b *testing.B) {
	registry := NewRegistry()
	for b.Loop() {
		if _, err := registry.Gather(); err != nil {
			b.Fatal(err)
		}
	}
}
