// Package upstreams knows the addresses of upstream's servers, and which of them a
// handshake is to try.
//
// A Pool is made of a configuration, and the one after a reload of the one before:
// what both have goes on as it is. Names are looked up on demand (names.go). Each
// Address counts its sessions and has a breaker (address.go), the Pool asks all of
// them for their health where that is configured (health.go), and Pick puts them in
// order (pick.go). What is decided is in package policies; here it is carried out.
package upstreams

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"wswarden/config"
	"wswarden/policies"
)

// Options is what a Pool needs of the outside. The zero Options will do for servers
// without TLS. All but TLS and Failing are those of the first Pool for all that come
// after it.
type Options struct {
	// Log must not block: event loops write to it. Nil: nobody wants to know.
	Log *slog.Logger
	// Registerer gets the metrics. Nil: nobody wants to know.
	Registerer prometheus.Registerer
	// TLS returns how to speak to a server that has TLS, for health checks; it is asked
	// for each of them. Without a ServerName the server's own is used. Nil: the defaults.
	TLS func(config.Server) *tls.Config
	// Failing is called after each round of health checks for each address that they find
	// down while another one is usable: it is time for its sessions to go there, and for
	// those that have come since the round before. New and Close wait for it, so that it
	// must not. Nil: nobody wants to know.
	Failing func(*Address)
	// Lookup returns the addresses of a name, the preferred ones first, and no later than
	// ctx is done. Nil: the system's.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Now is the clock of breakers and of waves of losses, which is that of Lost. Nil: that
	// of event loops.
	Now func() policies.Moment
}

// Pool is the addresses of one configuration. Its methods may be called from any
// goroutine; those that may block say so.
type Pool struct {
	config  config.Upstream
	options Options
	book    *book
	servers []server
	names   []*name // of these servers, each once

	// Guarded by book.mu.
	built   uint64   // book.version that members are of; 0: of none
	members []member // never changed, but replaced
	err     error    // why there are none

	stopChecks context.CancelFunc
	checks     sync.WaitGroup
}

// server is one of upstream's.
type server struct {
	config.Server
	fixed netip.AddrPort // where it is, unless name is set or it is a unix socket
	name  *name
}

// member is an address in a Pool.
type member struct {
	*Address
	server config.Server // which may have another name than Address.Server
	// second: it is of another family than the one that the resolver puts first. What is
	// not listening on ::1 as well as on 127.0.0.1 has not failed.
	second bool
}

// New makes the Pool of a valid configuration. Previous is the one that it takes the
// place of, or nil: addresses, counts, breakers and answers of name servers go on where
// the new one has them as well. Previous does no more health checks and is not shown in
// metrics any more, but handshakes that have begun with it can go on; it needs no Close.
// So New is called when nothing else can fail any more. It waits for nothing slow.
func New(c config.Upstream, previous *Pool, options Options) *Pool {
	p := &Pool{config: c, options: options}
	if previous == nil {
		p.book = newBook(options)
	} else {
		previous.endChecks()
		p.book = previous.book
	}
	for _, text := range c.Servers() {
		s, ok := config.ServerOf(text)
		if !ok {
			continue
		}
		entry := server{Server: s}
		if s.Network == "tcp" {
			if at, err := netip.ParseAddrPort(s.Address); err == nil {
				entry.fixed = netip.AddrPortFrom(at.Addr().Unmap(), at.Port())
			} else if entry.name = p.book.name(s.Address); !slices.Contains(p.names, entry.name) {
				p.names = append(p.names, entry.name)
			}
		}
		p.servers = append(p.servers, entry)
	}
	p.book.install(p)
	if previous == nil && options.Registerer != nil {
		options.Registerer.MustRegister(collector{p.book})
	}
	ctx, cancel := context.WithCancel(context.Background())
	p.stopChecks = cancel
	if c.Health.Path != "" {
		p.checks.Go(func() { p.checkHealth(ctx) })
	}
	return p
}

// Close ends all that runs for the Pool and those before it, and waits for it. Sessions
// may still leave their addresses.
func (p *Pool) Close() {
	p.endChecks()
	p.book.close()
}

func (p *Pool) endChecks() {
	p.stopChecks()
	p.checks.Wait()
}

// current returns the addresses as far as they are known, or an error if none is.
func (p *Pool) current() ([]member, error) {
	b := p.book
	b.mu.Lock()
	defer b.mu.Unlock()
	if p.built != b.version {
		p.build()
	}
	return p.members, p.err
}

// await is current once the names that have to be looked up are, or when ctx is done or
// timeout is over. While there are addresses from before, it waits only for name servers
// that are quick.
func (p *Pool) await(ctx context.Context, timeout time.Duration) ([]member, error) {
	flights, hold := p.book.refresh(p.names, p.config.DialTimeout)
	members, err := p.current()
	if len(flights) == 0 || len(members) > 0 && hold <= 0 {
		return members, err
	}
	if len(members) > 0 {
		timeout = min(timeout, hold)
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	for _, flight := range flights {
		select {
		case <-flight:
		case <-ctx.Done():
		}
	}
	return p.current()
}
