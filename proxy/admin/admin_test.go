package admin

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"go.uber.org/goleak"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// serve runs an admin server until the test ends and returns a function that
// asks it for a path.
func serve(t *testing.T, ready func() bool, metrics prometheus.Gatherer) func(path string) (status int, body string) {
	t.Helper()
	s, err := New("127.0.0.1:0", ready, metrics)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	client := &http.Client{Transport: &http.Transport{}}
	t.Cleanup(func() {
		client.CloseIdleConnections()
		if err := s.Close(); err != nil {
			t.Error(err)
		}
		if err := <-served; err != nil {
			t.Error(err)
		}
	})
	return func(path string) (int, string) {
		t.Helper()
		resp, err := client.Get("http://" + s.Addr().String() + path)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = resp.Body.Close() }()
		body, err := io.ReadAll(resp.Body)
		if err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, string(body)
	}
}

func yes() bool { return true }

func TestHealthAndReadiness(t *testing.T) {
	draining := false
	get := serve(t, func() bool { return !draining }, nil)
	for _, step := range []struct {
		draining bool
		path     string
		status   int
		body     string
	}{
		{false, "/healthz", 200, "ok\n"},
		{false, "/readyz", 200, "ready\n"},
		{true, "/healthz", 200, "ok\n"},
		{true, "/readyz", 503, "draining\n"},
		{false, "/metrics", 404, "404 page not found\n"}, // there are none
	} {
		draining = step.draining
		if status, body := get(step.path); status != step.status || body != step.body {
			t.Errorf("draining %v: %s: %d %q, want %d %q", step.draining, step.path, status, body, step.status, step.body)
		}
	}
}

func TestMetricsAreThoseOfTheRegistry(t *testing.T) {
	registry := NewRegistry()
	counter := prometheus.NewCounter(prometheus.CounterOpts{Name: "wswarden_things_total", Help: "Things."})
	registry.MustRegister(counter)
	get := serve(t, yes, registry)

	counter.Add(3)
	status, body := get("/metrics")
	if status != 200 {
		t.Fatalf("%d %s", status, body)
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
	if _, body := get("/metrics"); strings.Contains(body, "stray_total") {
		t.Error("the global registry is shown")
	}
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
	get := serve(t, yes, registry)
	if status, body := get("/metrics"); status != 200 || !strings.Contains(body, "\nsound 1\n") {
		t.Errorf("%d %s", status, body)
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
	get := serve(t, yes, s)
	var scrapes sync.WaitGroup
	for range maxScrapes {
		scrapes.Go(func() { get("/metrics") })
		<-s.asked
	}
	if status, _ := get("/metrics"); status != 503 {
		t.Errorf("one more: %d", status)
	}
	if status, _ := get("/healthz"); status != 200 {
		t.Errorf("health beside slow scrapes: %d", status)
	}
	close(s.release)
	scrapes.Wait()
}

func TestCloseWaitsForNobodyForEver(t *testing.T) {
	s := slow{make(chan struct{}), make(chan struct{})}
	admin, err := New("127.0.0.1:0", yes, s)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- admin.Serve() }()
	client := &http.Client{Transport: &http.Transport{}}
	answered := make(chan error, 1)
	go func() {
		_, err := client.Get("http://" + admin.Addr().String() + "/metrics")
		answered <- err
	}()
	<-s.asked
	if err := admin.Close(); err != nil {
		t.Error(err)
	}
	if err := <-served; err != nil {
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
