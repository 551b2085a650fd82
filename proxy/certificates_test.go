package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wswarden/config"
)

// A file that cannot be read for a moment, as descriptors are short or its mode is set
// behind its content, is read later.
func TestCertificateIsReadLater(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cert")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("1")
	synctest.Test(t, func(t *testing.T) {
		content, loads, fails := "", 0, false
		load := func() (*tls.Config, error) {
			loads++
			if fails {
				return nil, errors.New("too many open files")
			}
			b, err := os.ReadFile(name)
			content = string(b)
			return &tls.Config{}, err
		}
		c, err := newCertificates(slog.New(slog.DiscardHandler), load, name)
		if err != nil {
			t.Fatal(err)
		}
		write("new")
		fails = true
		for range 100 {
			c.current()
		}
		if loads != 2 {
			t.Errorf("%d loads, want one that fails", loads-1)
		}
		fails = false
		time.Sleep(retryEvery)
		c.current()
		if content != "new" {
			t.Errorf("still %q", content)
		}
	})
}

// Where files cannot be read for ever, as a network's file system is gone, that holds up
// nobody.
func TestCertificateThatIsNeverRead(t *testing.T) {
	name := filepath.Join(t.TempDir(), "cert")
	back := make(chan bool)
	first := &tls.Config{}
	load := func() (*tls.Config, error) {
		if _, err := os.Stat(name); err != nil {
			return first, nil
		}
		<-back
		return nil, errors.New("is gone")
	}
	c, err := newCertificates(slog.New(slog.DiscardHandler), load, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if c.current() != first {
			t.Error("it is not the one before")
		}
	}
	close(back)
	for !c.mu.TryLock() { // who reads comes to an end
		runtime.Gosched()
	}
}

// What metrics tell of a listener is what is in use, and goes with it.
func TestListenerMetrics(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	registry := prometheus.NewRegistry()
	e := newEdges(registry, log)
	want := func(expiry, waits map[string]float64) {
		t.Helper()
		wantSeries(t, registry, "wswarden_tls_certificate_expiry_timestamp_seconds", expiry)
		wantSeries(t, registry, "wswarden_listener_waits_total", waits)
	}
	none, waits := map[string]float64{}, map[string]float64{"public": 0}
	name := filepath.Join(t.TempDir(), "cert")
	write := func(text string) {
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	load := func() (*tls.Config, error) {
		b, err := os.ReadFile(name) // as long as it expires late
		leaf := &x509.Certificate{NotAfter: time.Unix(int64(len(b)), 0)}
		return &tls.Config{Certificates: []tls.Certificate{{Leaf: leaf}}}, err
	}
	write("1")
	secure, err := newCertificates(log, load, name)
	if err != nil {
		t.Fatal(err)
	}
	want(none, none) // it is not in use
	l := &listener{edges: e}
	l.use(&listenerSettings{Listener: config.Listener{Name: "public"}, secure: secure})
	for _, text := range []string{"1", "22", "333"} {
		write(text)
		secure.current()
		want(map[string]float64{"public": float64(len(text))}, waits)
	}
	plain := []*listenerSettings{{Listener: config.Listener{Name: "public"}}}
	e.forget([]string{"public"}, plain)
	want(none, waits) // it has no TLS any more
	e.forget([]string{"public"}, nil)
	want(none, none) // it is gone
}
