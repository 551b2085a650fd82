package proxy

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
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
