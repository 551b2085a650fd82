package upstreams

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/evloop"
)

// book is what outlives a reload: the Pools of one server, the one after the other,
// share it.
type book struct {
	log     *slog.Logger
	lookup  func(ctx context.Context, host string) ([]netip.Addr, error)
	now     func() policies.Moment
	breaker atomic.Pointer[policies.Breaker] // of the latest Pool

	ctx     context.Context // of lookups
	cancel  context.CancelFunc
	lookups sync.WaitGroup

	mu        sync.Mutex // held for a walk over servers and addresses at most
	version   uint64     // of what Pools are built from; above zero
	latest    *Pool
	names     map[string]*name    // by host:port; of the latest Pool
	addresses map[string]*Address // by label
	closed    bool

	telling sync.Mutex // held for a few steps
	owed    policies.Moment
	untold  int // lines, since the last that was written
}

// forgetAfter is how long it is known what an address was like that is in no configuration
// any more, and if it has no session, that there is one: a handshake that is under way may
// have it still, or a name server that answers with another part of what there is each time.
const forgetAfter = time.Minute

func newBook(o Options) *book {
	b := &book{
		log:       o.Log,
		lookup:    o.Lookup,
		now:       o.Now,
		version:   1,
		names:     make(map[string]*name),
		addresses: make(map[string]*Address),
	}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if b.log == nil {
		b.log = slog.New(slog.DiscardHandler)
	}
	if b.now == nil {
		b.now = evloop.Now
	}
	if b.lookup == nil {
		b.lookup = func(ctx context.Context, host string) ([]netip.Addr, error) {
			return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
		}
	}
	return b
}

// install makes p the latest Pool.
func (b *book) install(p *Pool) {
	rules := &policies.Breaker{
		Failures:   p.config.Breaker.Failures,
		RetryAfter: p.config.Breaker.RetryAfter,
		Trial:      p.config.DialTimeout,
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.breaker.Store(rules)
	b.latest = p
	p.build()
	clear(b.names)
	for _, n := range p.names {
		b.names[n.address] = n
	}
	for _, a := range b.addresses {
		a.apply(rules, p.config.Health.Path != "")
	}
}

// close ends the lookups that are under way, and lets none begin.
func (b *book) close() {
	b.mu.Lock()
	b.closed = true
	b.mu.Unlock()
	b.cancel()
	b.lookups.Wait()
}

// build finds the members of a Pool anew. book.mu is held.
func (p *Pool) build() {
	b := p.book
	p.built = b.version
	p.members, p.err = nil, nil
	seen := make(map[*Address]bool)
	add := func(s config.Server, at netip.AddrPort, second bool) {
		if a := b.address(s, at); !seen[a] {
			seen[a] = true
			p.members = append(p.members, member{a, s, second})
		}
	}
	var failed []error
	for _, s := range p.servers {
		if s.name == nil {
			add(s.Server, s.fixed, false)
			continue
		}
		for _, at := range s.name.found {
			add(s.Server, at, at.Addr().Is4() != s.name.prefers4)
		}
		failed = append(failed, s.name.failure())
	}
	switch {
	case len(p.servers) == 0:
		p.err = errNoServer
	case len(p.members) == 0:
		p.err = errors.Join(failed...)
	}
	if b.latest == p {
		b.retire(seen)
	}
}

// address returns the one that there is, or a new one. mu is held.
func (b *book) address(s config.Server, at netip.AddrPort) *Address {
	label := labelOf(s, at)
	a := b.addresses[label]
	if a == nil {
		a = &Address{Network: s.Network, AddrPort: at, Server: s, book: b, label: label, hash: hash(label), since: b.now()}
		if s.Network == "unix" {
			a.Path = s.Address
		}
		b.addresses[label] = a
	}
	return a
}

// retire tells the addresses in use from the others, and forgets those that are of no
// use to anybody. mu is held.
func (b *book) retire(used map[*Address]bool) {
	now := b.now()
	for label, a := range b.addresses {
		switch {
		case used[a]:
			if !a.used && now-a.since > forgetAfter {
				a.forget() // it was not looked at since, and need not even be the same server
			}
			a.used = true
		case a.used:
			a.used, a.since = false, now
		case a.Sessions() == 0 && now-a.since > forgetAfter:
			delete(b.addresses, label)
		}
	}
}

// linePace is how many lines there may be in the log of what many addresses do at once.
var linePace = policies.Pace{Rate: 1, Burst: 30}

// tell has a line in the log, unless there are too many; the next line says so.
func (b *book) tell(level slog.Level, what string, about ...any) {
	b.telling.Lock()
	owed, wait := linePace.Take(b.owed, b.now())
	b.owed = owed
	untold := b.untold
	if b.untold = 0; wait > 0 {
		b.untold = untold + 1
	}
	b.telling.Unlock()
	if wait > 0 {
		return
	}
	if untold > 0 {
		about = append(about, "others_since", untold)
	}
	b.log.Log(context.Background(), level, what, about...)
}

// text returns an error as a line of the log takes it.
func text(err error) string {
	const most = 200 // bytes: what a server has sent may be in it
	if err == nil {
		return ""
	}
	s := err.Error()
	return s[:min(len(s), most)]
}
