package proxy

import (
	"net"
	"slices"
	"sync"

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

func closeAll(list []*listener) {
	for _, ln := range list {
		_ = ln.Close()
	}
}

// swap has those of a configuration serve, of which some were opened for it, and closes
// all others. What came by these lives on.
func (l *listeners) swap(cfg *config.Config, opened []*listener, settings []*listenerSettings) api.Changes {
	l.mu.Lock()
	defer l.mu.Unlock()
	changes := api.Changes{Added: []string{}, Changed: []string{}, Removed: []string{}}
	if l.closed {
		closeAll(opened)
		return changes
	}
	before, after := l.list, make([]*listener, 0, len(cfg.Listeners))
	var known []string
	for _, ln := range before {
		known = append(known, ln.settings.Load().Known())
	}
	for at, want := range cfg.Listeners {
		isIt := func(ln *listener) bool { return ln.configured == want.Address }
		if i := slices.IndexFunc(before, isIt); i >= 0 {
			if last := before[i].use(settings[at]); last.Listener != want {
				changes.Changed = append(changes.Changed, want.Address)
			}
			after = append(after, before[i])
			before = slices.Delete(slices.Clone(before), i, i+1)
			continue
		}
		i := slices.IndexFunc(opened, isIt)
		ln := opened[i]
		ln.use(settings[at])
		opened = slices.Delete(opened, i, i+1)
		after = append(after, ln)
		changes.Added = append(changes.Added, want.Address)
		if l.serve != nil {
			l.serve(ln)
		}
	}
	for _, ln := range after {
		if !isUnix(ln.Addr()) {
			_ = tuneRaw(ln.raw, cfg)
		}
	}
	for _, ln := range before {
		changes.Removed = append(changes.Removed, ln.configured)
		_ = ln.Close()
	}
	after[0].edges.forget(known, settings)
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
