package proxy

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

// resolver turns upstream's address into those to connect to. A name is looked
// up again when the last answer is older than resolveEvery; while that fails,
// the last answer holds.
type resolver struct {
	address string // host:port

	mu    sync.Mutex
	found []netip.AddrPort
	err   error
	until time.Time // zero: for ever
}

const (
	resolveEvery = 5 * time.Second
	retryEvery   = time.Second // so that handshakes do not queue for a failure
)

// lookup may be called from any goroutine and can take up to timeout.
func (r *resolver) lookup(timeout time.Duration) ([]netip.AddrPort, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if time.Now().Before(r.until) || len(r.found) > 0 && r.until.IsZero() {
		return r.found, r.err
	}
	if literal, err := netip.ParseAddrPort(r.address); err == nil {
		r.found = []netip.AddrPort{literal}
		return r.found, nil
	}
	found, err := resolve(r.address, timeout)
	switch {
	case err == nil:
		r.found, r.err, r.until = found, nil, time.Now().Add(resolveEvery)
	case len(r.found) > 0:
		r.until = time.Now().Add(retryEvery)
	default:
		r.err, r.until = err, time.Now().Add(retryEvery)
	}
	return r.found, r.err
}

func resolve(address string, timeout time.Duration) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, fmt.Errorf("port of %s: %w", address, err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	found := make([]netip.AddrPort, len(addrs))
	for i, addr := range addrs {
		found[i] = netip.AddrPortFrom(addr, uint16(port))
	}
	return found, nil
}
