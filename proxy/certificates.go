package proxy

import (
	"crypto/tls"
	"log/slog"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"wswarden/config"
)

// certificates are read from files, and again when these have changed: what is new is for
// the handshakes that follow, and no session notices.
type certificates struct {
	files []string
	load  func() (*tls.Config, error)
	log   *slog.Logger

	server *tls.Config // for a listener: each handshake has what is current
	loaded atomic.Pointer[tls.Config]

	mu     sync.Mutex // of who looks at the files
	stamps []stamp
	told   func(*tls.Config) // of what is in use; nil: nobody is
	failed time.Time         // the latest files could not be used; zero: they are in use
}

// patienceWithFiles is how long a handshake waits for them.
const patienceWithFiles = 200 * time.Millisecond

// retryEvery is how often files are read that could not be used, and have not changed.
const retryEvery = time.Second

// stamp tells whether a file is the one that was read.
type stamp struct {
	changed time.Time
	size    int64
	file    os.FileInfo
}

func stampOf(name string) (s stamp) {
	if info, err := os.Stat(name); err == nil {
		s = stamp{info.ModTime(), info.Size(), info}
	}
	return s
}

func (s stamp) same(as stamp) bool {
	return s.changed.Equal(as.changed) && s.size == as.size && (s.file == nil) == (as.file == nil) &&
		(s.file == nil || os.SameFile(s.file, as.file))
}

func newCertificates(log *slog.Logger, load func() (*tls.Config, error), files ...string) (*certificates, error) {
	c := &certificates{load: load, log: log}
	for _, name := range files {
		if name != "" && !slices.Contains(c.files, name) {
			c.files = append(c.files, name)
		}
	}
	c.server = &tls.Config{GetConfigForClient: func(*tls.ClientHelloInfo) (*tls.Config, error) { return c.current(), nil }}
	c.stamps = c.stamp()
	loaded, err := load()
	c.loaded.Store(loaded)
	return c, err
}

// follow tells what is in use, and what will be.
func (c *certificates) follow(tell func(*tls.Config)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.told = tell
	tell(c.loaded.Load())
}

func (c *certificates) stamp() (stamps []stamp) {
	for _, name := range c.files {
		stamps = append(stamps, stampOf(name))
	}
	return stamps
}

// current returns what is to be used for the next handshake. It may be called from any
// goroutine. Looking at the files takes some microseconds of the hundreds that a
// handshake takes; where it takes long, as their file system is gone, nobody waits for it.
func (c *certificates) current() *tls.Config {
	if c.mu.TryLock() {
		looked := make(chan struct{})
		go func() {
			defer close(looked)
			defer c.mu.Unlock()
			c.look()
		}()
		patience := time.NewTimer(patienceWithFiles)
		defer patience.Stop()
		select {
		case <-looked:
		case <-patience.C:
		}
	}
	return c.loaded.Load()
}

// look reads the files if they have changed. The caller has the lock.
func (c *certificates) look() {
	stamps := c.stamp()
	same := slices.EqualFunc(stamps, c.stamps, stamp.same)
	if same && (c.failed.IsZero() || time.Since(c.failed) < retryEvery) {
		return
	}
	c.stamps = stamps
	loaded, err := c.load()
	if err != nil {
		// Perhaps only one of two files is there yet, or there was no descriptor left.
		c.failed = time.Now()
		if !same {
			c.log.Warn("changed certificate is not used, the last one stays in use", "files", c.files, "error", err.Error())
		}
		return
	}
	c.failed = time.Time{}
	c.loaded.Store(loaded)
	if c.told != nil {
		c.told(loaded)
	}
	c.log.Info("certificate changed", "files", c.files)
}

// protocols are those that wswarden speaks over TLS (RFC 7301).
var protocols = []string{"http/1.1"}

// minVersions are those of the configuration's words.
var minVersions = map[string]uint16{config.TLS12: tls.VersionTLS12, config.TLS13: tls.VersionTLS13}

// secureListener returns what a listener's TLS needs; nil if it has none.
func (s *Server) secureListener(l config.Listener) (*certificates, error) {
	if !l.TLS.On() {
		return nil, nil
	}
	load := func() (*tls.Config, error) {
		cert, roots, err := l.TLS.Load()
		if err != nil {
			return nil, err
		}
		c := &tls.Config{
			Certificates:                []tls.Certificate{cert},
			ClientCAs:                   roots,
			MinVersion:                  minVersions[l.TLS.MinVersion],
			NextProtos:                  protocols,
			DynamicRecordSizingDisabled: true, // messages are short or many records long
		}
		switch {
		case roots == nil:
		case l.TLS.ClientAuth == config.AuthOptional:
			c.ClientAuth = tls.VerifyClientCertIfGiven
		default:
			c.ClientAuth = tls.RequireAndVerifyClientCert
		}
		return c, nil
	}
	return newCertificates(s.log, load, l.TLS.Cert, l.TLS.Key, l.TLS.ClientCA)
}
