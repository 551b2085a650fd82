package upstreams

import (
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"

	"wswarden/config"
	"wswarden/policies"
)

// Address is one that a connection to upstream can be made to. It is the same as long as
// it is in use, over reloads and changes of names. Its methods may be called from any
// goroutine, event loops too: they are quick and wait for nothing.
type Address struct {
	// Network is tcp or unix.
	Network string
	// AddrPort of tcp.
	AddrPort netip.AddrPort
	// Path of a unix socket.
	Path string
	// Server that it is one of: whether there is TLS, and for whom. Of several without TLS
	// it is any.
	Server config.Server

	book  *book
	label string
	hash  uint64 // of label

	sessions atomic.Int64
	open     atomic.Bool // as circuit
	unwell   atomic.Bool // as health

	mu      sync.Mutex // held for a few steps
	circuit policies.Circuit
	health  policies.Health
	losses  policies.Losses

	used  bool            // by the latest Pool; guarded by book.mu
	since policies.Moment // it is not; guarded by book.mu
}

// String returns the address as metrics and logs show it: host:port, with the server's
// host behind it if it has TLS, or unix:path.
func (a *Address) String() string { return a.label }

// Target returns what net.Dial takes.
func (a *Address) Target() (network, address string) {
	if a.Network == "unix" {
		return a.Network, a.Path
	}
	return a.Network, a.AddrPort.String()
}

// Host returns the host of the server's URL, which a certificate is for; empty for a unix
// socket.
func (a *Address) Host() string { return hostOf(a.Server) }

func hostOf(s config.Server) string {
	host, _, _ := net.SplitHostPort(s.Address)
	if s.Network == "unix" {
		host = ""
	}
	return host
}

// Enter counts a session, from the dial on: so handshakes at the same moment see each
// other, and spread.
func (a *Address) Enter() { a.sessions.Add(1) }

// Leave is called once for each Enter, when the session is gone or has not come about.
func (a *Address) Leave() { a.sessions.Add(-1) }

// Sessions returns how many have entered and not left.
func (a *Address) Sessions() int { return int(a.sessions.Load()) }

// Connected tells of a connection that was made, with TLS where that is to be. It closes
// the breaker.
func (a *Address) Connected() {
	a.mu.Lock()
	closed := a.circuit.Connected(a.book.now())
	a.open.Store(false)
	a.mu.Unlock()
	if closed {
		a.book.tell(slog.LevelInfo, "upstream's breaker closed", "address", a.label)
	}
}

// Failed tells of a connection that could not be made, for the address's sake: not for
// want of descriptors, nor because the client has gone.
func (a *Address) Failed(err error) {
	a.mu.Lock()
	rules := a.book.breaker.Load()
	opened := a.circuit.Failed(rules, a.book.now())
	failures := a.circuit.Failures()
	a.open.Store(a.circuit.Open(rules))
	a.mu.Unlock()
	if opened {
		a.book.tell(slog.LevelWarn, "upstream's breaker opened", "address", a.label,
			"failures", failures, "retry_after", rules.RetryAfter.String(), "error", text(err))
	}
}

// Down reports whether nobody is to be sent there: health checks have found it down, or
// the breaker is open.
func (a *Address) Down() bool { return a.unwell.Load() || a.open.Load() }

// usable reports whether clients can go there: it is well, and its breaker is closed or
// due for a trial. That trial is some client's: an address would wait for it for ever if it
// took one to be usable.
func (a *Address) usable(now policies.Moment) bool { return !a.unwell.Load() && a.wait(now) == 0 }

// Lost tells of a session whose connection to the address broke without a close frame,
// and reports whether it is one of a wave: more within a second than breaker.failures (5 if
// that is zero), and than a twentieth of the sessions. Then the ends of the clients' sides
// are to be spread.
func (a *Address) Lost(now policies.Moment) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.losses.Wave(a.book.breaker.Load().Failures, a.Sessions(), now)
}

// admits reports whether a dial may go there; if the breaker is open, it is the trial.
func (a *Address) admits(now policies.Moment) bool {
	if !a.open.Load() {
		return true
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.circuit.Admits(a.book.breaker.Load(), now)
}

// wait returns how long it is until the breaker lets a trial through.
func (a *Address) wait(now policies.Moment) policies.Moment {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.circuit.Wait(a.book.breaker.Load(), now)
}

// apply has the rules of a new configuration seen at once.
func (a *Address) apply(rules *policies.Breaker, healthChecks bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.open.Store(a.circuit.Open(rules))
	if !healthChecks {
		a.health = policies.Health{}
		a.unwell.Store(false)
	}
}

// forget makes it an address that nobody has tried yet.
func (a *Address) forget() {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.circuit, a.health = policies.Circuit{}, policies.Health{}
	a.open.Store(false)
	a.unwell.Store(false)
}

// labelOf makes it unique among addresses that differ.
func labelOf(s config.Server, at netip.AddrPort) string {
	label := at.String()
	if s.Network == "unix" {
		label = "unix:" + s.Address
	} else if s.TLS {
		label += " (" + hostOf(s) + ")"
	}
	return strings.ToValidUTF8(label, "?") // as labels of metrics have to be
}
