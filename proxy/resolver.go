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
	until time.Time // zero: for ever
}

const resolveEvery = 5 * time.Second

// lookup may be called from any goroutine and can take up to timeout.
func (r *resolver) lookup(timeout time.Duration) ([]netip.AddrPort, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.found) > 0 && (r.until.IsZero() || time.Now().Before(r.until)) {
		return r.found, nil
	}
	if literal, err := netip.ParseAddrPort(r.address); err == nil {
		r.found = []netip.AddrPort{literal}
		return r.found, nil
	}
	found, err := resolve(r.address, timeout)
	if err != nil && len(r.found) == 0 {
		return nil, err
	}
	if err == nil {
		r.found = found
	}
	r.until = time.Now().Add(resolveEvery)
	return r.found, nil
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
