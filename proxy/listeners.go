package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"sync"
	"syscall"

	"wswarden/config"
	"wswarden/proxy/admin/api"
)

// listeners are those that clients come by. All goroutines may use it.
type listeners struct {
	mu     sync.Mutex
	list   []*listener     // in the configuration's order
	serve  func(*listener) // begins to serve one; nil: not yet
	closed bool
}

// listener is one of them.
type listener struct {
	net.Listener
	configured string // the address as the configuration has it
	raw        syscall.RawConn
}

// open binds an address.
func (s *Server) open(address string, cfg *config.Config) (*listener, error) {
	tune := func(_, _ string, c syscall.RawConn) error { return tuneRaw(c, cfg) }
	lc := net.ListenConfig{Control: tune, KeepAlive: -1}
	ln, err := lc.Listen(context.Background(), "tcp", address)
	if err != nil {
		return nil, err
	}
	raw, err := ln.(*net.TCPListener).SyscallConn()
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &listener{patientListener{ln, s.log}, address, raw}, nil
}

// tuneRaw sets a listener's options, which accepted sockets inherit.
func tuneRaw(c syscall.RawConn, cfg *config.Config) (err error) {
	controlErr := c.Control(func(fd uintptr) { err = tuneSocket(int(fd), cfg, keepIdle) })
	return errors.Join(controlErr, err)
}

// openMissing binds the addresses of a configuration on which nobody listens yet.
func (s *Server) openMissing(cfg *config.Config) (opened []*listener, problem *config.Problem) {
	there := s.listeners.addresses()
	others := len(there) > 0
	for i, l := range cfg.Listeners {
		if found := slices.Index(there, l.Address); found >= 0 {
			there = slices.Delete(there, found, found+1)
			continue
		}
		ln, err := s.open(l.Address, cfg)
		if err != nil {
			closeAll(opened)
			return nil, notOpened(i, l.Address, err, others)
		}
		opened = append(opened, ln)
	}
	return opened, nil
}

// notOpened says why a listener cannot be opened; others: there are some already.
func notOpened(i int, address string, err error, others bool) *config.Problem {
	why, remedy := err.Error(), "use another"
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		why = e.Err.Error()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		remedy = "stop who has it, or use another port"
		if others {
			remedy += "; to move a listener of wswarden's own to another host, restart it"
		}
	}
	return &config.Problem{
		Key:  fmt.Sprintf("listeners[%d].address", i),
		Text: fmt.Sprintf("%s cannot be listened on: %s; %s", address, why, remedy),
	}
}

func closeAll(list []*listener) {
	for _, ln := range list {
		_ = ln.Close()
	}
}

// swap has those of a configuration serve, of which some were opened for it, and closes
// all others. What came by these lives on.
func (l *listeners) swap(cfg *config.Config, opened []*listener) api.Changes {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := api.Changes{Added: []string{}, Changed: []string{}, Removed: []string{}}
	if l.closed {
		closeAll(opened)
		return changes
	}
	before, after := l.list, make([]*listener, 0, len(cfg.Listeners))
	for _, want := range cfg.Listeners {
		isIt := func(ln *listener) bool { return ln.configured == want.Address }
		if i := slices.IndexFunc(before, isIt); i >= 0 {
			after = append(after, before[i])
			before = slices.Delete(slices.Clone(before), i, i+1)
			continue
		}
		i := slices.IndexFunc(opened, isIt)
		ln := opened[i]
		opened = slices.Delete(opened, i, i+1)
		after = append(after, ln)
		changes.Added = append(changes.Added, want.Address)
		if l.serve != nil {
			l.serve(ln)
		}
	}
	for _, ln := range after {
		_ = tuneRaw(ln.raw, cfg)
	}
	for _, ln := range before {
		changes.Removed = append(changes.Removed, ln.configured)
		_ = ln.Close()
	}
	l.list = after
	return changes
}

// begin has all serve, and those that follow.
func (l *listeners) begin(serve func(*listener)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.serve = serve
	for _, ln := range l.list {
		serve(ln)
	}
}

// close closes all of them; there follow no others.
func (l *listeners) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	closeAll(l.list)
}

// addresses returns them as they were configured.
func (l *listeners) addresses() (list []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, ln := range l.list {
		list = append(list, ln.configured)
	}
	return list
}

// addrs returns where they listen.
func (l *listeners) addrs() []net.Addr {
	l.mu.Lock()
	defer l.mu.Unlock()
	addrs := make([]net.Addr, len(l.list))
	for i, ln := range l.list {
		addrs[i] = ln.Addr()
	}
	return addrs
}
