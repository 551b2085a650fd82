package upstreams

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"wswarden/policies"
)

const (
	// resolveEvery is how old an answer of the name servers may be when it is used, and
	// retryEvery how long it takes until they are asked again after none.
	resolveEvery = 5 * time.Second
	retryEvery   = time.Second
	// patience is how long a lookup may hold up handshakes that could have the last answer.
	patience = 100 * time.Millisecond
	// maxAnswer bounds the addresses of one name.
	maxAnswer = 256
)

// name is a host:port to be looked up. All but address is guarded by book.mu.
type name struct {
	address string

	found    []netip.AddrPort // the last answer, sorted
	prefers4 bool             // it began with an address of IPv4
	err      error            // why there is no other since; nil: the last lookup was good
	until    policies.Moment  // it is looked up again then; Never: at once

	flight chan struct{} // closed when the lookup is over that is under way; nil: none is
	began  policies.Moment
}

// failure says why nothing is found. book.mu is held.
func (n *name) failure() error {
	if n.err == nil {
		return &net.DNSError{Err: "no answer in time", Name: n.address, IsTimeout: true}
	}
	return n.err
}

// name returns the one of a host:port, which the latest Pool may have already.
func (b *book) name(address string) *name {
	b.mu.Lock()
	defer b.mu.Unlock()
	n := b.names[address]
	if n == nil {
		n = &name{address: address}
		b.names[address] = n
	}
	return n
}

// refresh looks up those names whose answers are too old, and returns what is closed
// when the lookups that are under way end, and for how long those that there are answers
// from before for may hold up anything.
func (b *book) refresh(names []*name, timeout time.Duration) (flights []<-chan struct{}, hold time.Duration) {
	if len(names) == 0 {
		return nil, 0
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.now()
	for _, n := range names {
		if n.flight == nil && now >= n.until && !b.closed {
			n.flight, n.began = make(chan struct{}), now
			b.lookups.Go(func() { b.resolve(n, timeout) })
		}
		if n.flight != nil {
			flights = append(flights, n.flight)
			hold = max(hold, patience-(now-n.began))
		}
	}
	return flights, hold
}

// resolve looks a name up.
func (b *book) resolve(n *name, timeout time.Duration) {
	ctx, cancel := context.WithTimeout(b.ctx, timeout)
	defer cancel()
	found, err := b.find(ctx, n.address)

	b.mu.Lock()
	failed := n.err != nil
	b.settle(n, found, err)
	holds := len(n.found) > 0
	close(n.flight)
	n.flight = nil
	b.mu.Unlock()

	switch {
	case b.ctx.Err() != nil:
	case err != nil && !failed:
		b.tell(slog.LevelWarn, "upstream's name not resolved", "name", n.address, "last_answer_holds", holds, "error", text(err))
	case err == nil && failed:
		b.tell(slog.LevelInfo, "upstream's name resolved again", "name", n.address, "addresses", len(found))
	}
}

// settle takes in what a lookup has found. mu is held.
func (b *book) settle(n *name, found []netip.AddrPort, err error) {
	n.err = err
	if err != nil {
		n.until = b.now() + retryEvery
		if len(n.found) == 0 {
			b.version++
		}
		return
	}
	n.until = b.now() + resolveEvery
	prefers4 := found[0].Addr().Is4()
	slices.SortFunc(found, netip.AddrPort.Compare)
	found = slices.Compact(found)
	found = found[:min(len(found), maxAnswer)]
	if prefers4 != n.prefers4 || !slices.Equal(found, n.found) {
		n.found, n.prefers4 = found, prefers4
		b.version++
	}
}

// find returns at least one address, or an error.
func (b *book) find(ctx context.Context, address string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %s: %w", address, err)
	}
	addrs, err := b.lookup(ctx, host)
	if err != nil {
		return nil, err
	}
	if len(addrs) == 0 {
		return nil, &net.DNSError{Err: "it has no address", Name: host, IsNotFound: true}
	}
	found := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		found[i] = netip.AddrPortFrom(addr.Unmap(), uint16(port))
	}
	return found, nil
}
