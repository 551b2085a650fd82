package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"
	"golang.org/x/sys/unix"

	"wswarden/config"
	"wswarden/proxy"
)

const (
	// statusInterval is how often systemctl status is told the number of sessions.
	statusInterval = 10 * time.Second
	// afterDrain is for what follows a drain: reports, traces, logs.
	afterDrain = 10 * time.Second
)

// systemd is told how wswarden is, if it has started it: sd_notify(3). All goroutines
// may use it; to nil nobody listens.
type systemd struct {
	log      *slog.Logger
	watchdog time.Duration // at which it wants to hear that all is well; 0: it does not
	drain    atomic.Int64  // drain.timeout
	failed   sync.Once

	mu     sync.Mutex
	silent bool // another process tells it now
}

// newSystemd: successor tells whether there was a process before this one.
func newSystemd(log *slog.Logger, successor bool) *systemd {
	if successor {
		_ = os.Unsetenv("WATCHDOG_PID") // the predecessor's
	}
	s := &systemd{log: log}
	var err error
	if s.watchdog, err = daemon.SdWatchdogEnabled(false); err != nil {
		log.Warn("systemd's watchdog is not served", "error", err.Error())
	}
	return s
}

func (s *systemd) tell(lines ...string) {
	if s == nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.silent {
		return
	}
	if _, err := daemon.SdNotify(false, strings.Join(lines, "\n")); err != nil {
		s.failed.Do(func() { s.log.Warn("systemd cannot be told", "error", err.Error()) })
	}
}

// ready: this process serves; takes tells whether it takes over from another one.
func (s *systemd) ready(takes bool) {
	lines := []string{"READY=1"}
	if takes {
		lines = append(lines, fmt.Sprint("MAINPID=", os.Getpid()))
	}
	s.tell(lines...)
}

// reloading comes before a reload or a replacement, reloaded after it, whatever came of
// it.
func (s *systemd) reloading() {
	var now unix.Timespec
	_ = unix.ClockGettime(unix.CLOCK_MONOTONIC, &now)
	s.tell("RELOADING=1", fmt.Sprint("MONOTONIC_USEC=", now.Nano()/1000))
}

func (s *systemd) reloaded() { s.tell("READY=1") }

// silence has the successor alone be heard.
func (s *systemd) silence() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.silent = true
}

// use notes the configuration in use.
func (s *systemd) use(c *config.Config) { s.drain.Store(int64(c.Drain.Timeout)) }

// watch tells of the server until over: how many sessions it has, that its event loops
// answer, and that it drains.
func (s *systemd) watch(over context.Context, server *proxy.Server) {
	if os.Getenv("NOTIFY_SOCKET") == "" {
		return
	}
	interval := statusInterval
	if s.watchdog > 0 {
		interval = min(interval, s.watchdog/2)
	}
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	doing, draining := "Serving", server.Draining().Done()
	for {
		lines := []string{fmt.Sprintf("STATUS=%s, %d sessions", doing, server.Sessions())}
		if s.watchdog > 0 && answers(over, server, interval) {
			lines = append(lines, daemon.SdNotifyWatchdog)
		}
		s.tell(lines...)
		select {
		case <-over.Done():
			if draining != nil { // it took no time
				s.stopping()
			}
			return
		case <-ticker.C:
		case <-draining:
			doing, draining = "Draining", nil
			s.stopping()
		}
	}
}

// stopping has systemd wait for the drain, which may take longer than the unit allows.
func (s *systemd) stopping() {
	extend := time.Duration(s.drain.Load()) + afterDrain
	s.tell(daemon.SdNotifyStopping, fmt.Sprint("EXTEND_TIMEOUT_USEC=", extend.Microseconds()))
}

// answers reports whether every event loop does, in time.
func answers(ctx context.Context, server *proxy.Server, within time.Duration) bool {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	return server.Answers(ctx) == nil
}
