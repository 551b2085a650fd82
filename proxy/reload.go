package proxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/admin"
	"wswarden/proxy/admin/api"
)

// A reload puts another configuration into use, or changes nothing at all. New sessions
// live under it from the moment at which it is the current one; those that there are
// move to it one by one, each on its loop.

// reloads are what there is to know of configurations that were read.
type reloads struct {
	mu      sync.Mutex // held during one
	load    func(current *config.Config) (*config.Loaded, error)
	applied func(*config.Config)

	state            atomic.Pointer[api.Configuration]
	successes, fails prometheus.Counter
}

func (r *reloads) register(register promauto.Factory) {
	r.state.Store(&api.Configuration{Loaded: time.Now(), Why: "start"})
	outcomes := register.NewCounterVec(prometheus.CounterOpts{Name: "wswarden_config_reloads_total", Help: "Configurations that were read while it runs: put into use (applied), or not (refused)."}, []string{"outcome"})
	r.successes, r.fails = outcomes.WithLabelValues("applied"), outcomes.WithLabelValues("refused")
	gauge := func(name, help string, value func(*api.Configuration) float64) {
		register.NewGaugeFunc(prometheus.GaugeOpts{Name: name, Help: help}, func() float64 { return value(r.state.Load()) })
	}
	gauge("wswarden_config_loaded_timestamp_seconds", "When the configuration in use was loaded.", func(c *api.Configuration) float64 {
		return float64(c.Loaded.UnixMilli()) / 1000
	})
	gauge("wswarden_config_last_reload_successful", "1 if the latest configuration that was read is the one in use.", func(c *api.Configuration) float64 {
		if c.Failed != nil {
			return 0
		}
		return 1
	})
}

// refused notes that the latest configuration is not the one in use.
func (r *reloads) refused(err error) {
	now, c := time.Now(), *r.state.Load()
	c.Failed, c.Problems, c.First = &now, strings.Split(err.Error(), "\n"), ""
	var problems config.Problems
	if errors.As(err, &problems) && len(problems) > 0 {
		c.First = config.Problem{Place: problems[0].Place, Key: problems[0].Key}.String()
	}
	r.state.Store(&c)
	r.fails.Inc()
}

// ReloadFrom has Reload read configurations from load, which is given the one in use,
// and call applied with each that is put into use. Nil: nothing is to be called. It is
// called before Run.
func (s *Server) ReloadFrom(load func(current *config.Config) (*config.Loaded, error), applied func(*config.Config)) {
	s.reloads.load, s.reloads.applied = load, applied
}

// mostTold is how many problems the log is told of, as many readers of logs take only
// so much of a line.
const mostTold = 20

// errNoSource: ReloadFrom was not called.
var errNoSource = errors.New("there is nothing to read a configuration from")

// Reload reads the configuration again, for a reason that the log is told. On an error
// nothing has changed: config.Problems, admin.ErrDraining, or what kept a listener from
// being opened. It returns when every session has moved, and may be called from any
// goroutine but an event loop's.
func (s *Server) Reload(ctx context.Context, why string) (api.Reloaded, error) {
	r := &s.reloads
	r.mu.Lock()
	defer r.mu.Unlock()
	if !s.ready() {
		s.log.Info("configuration not read, as wswarden drains", "why", why)
		return api.Reloaded{}, admin.ErrDraining
	}
	if r.load == nil {
		return api.Reloaded{}, errNoSource
	}
	began, before := time.Now(), s.setup()
	loaded, err := r.load(before.Config)
	var changes api.Reloaded
	if err == nil {
		changes, err = s.apply(ctx, loaded)
	}
	if err != nil {
		r.refused(err)
		problems := r.state.Load().Problems
		told := problems[:min(len(problems), mostTold)]
		s.log.Error("configuration refused, nothing has changed", "why", why, "problems", told, "others", len(problems)-len(told))
		return api.Reloaded{}, err
	}
	changes.Changed = changes.Changed || !reflect.DeepEqual(before.Config, loaded.Config)
	changes.Before = *r.state.Load()
	now := api.Configuration{Loaded: began, Why: why}
	if !changes.Changed {
		now.Loaded, now.Why = changes.Before.Loaded, changes.Before.Why
	}
	r.state.Store(&now)
	r.successes.Inc()
	changes.Took = api.InSeconds(time.Since(began))
	if r.applied != nil {
		r.applied(loaded.Config)
	}
	s.log.Info("configuration reloaded", "why", why, "changed", changes.Changed, "sessions", changes.Sessions, "ending", changes.Ending,
		"took", changes.Took.Duration().Round(time.Microsecond).String(),
		slog.Group("policies", "added", changes.Policies.Added, "changed", changes.Policies.Changed, "removed", changes.Policies.Removed),
		slog.Group("listeners", "added", changes.Listeners.Added, "changed", changes.Listeners.Changed, "removed", changes.Listeners.Removed),
		"settings", changes.Settings)
	return changes, nil
}

// apply puts a valid configuration into use.
func (s *Server) apply(ctx context.Context, loaded *config.Loaded) (changes api.Reloaded, err error) {
	cfg := loaded.Config
	opened, settings, problem := s.openMissing(cfg)
	if problem != nil {
		problem.Place = loaded.Places.At(problem.Key)
		return changes, config.Problems{*problem}
	}
	before := s.setup()
	changes.Settings = config.Changed(before.Config, cfg)
	after, err := s.newSetup(cfg)
	if err != nil {
		closeAll(opened)
		return changes, err
	}
	if s.admin != nil {
		token, err := cfg.Admin.Token()
		if err != nil {
			closeAll(opened)
			return changes, fmt.Errorf("admin.token_file: %w", err)
		}
		if s.admin.SetToken(token) {
			changes.Changed = true
			if key := "admin.token_file"; !slices.Contains(changes.Settings, key) {
				changes.Settings = append(changes.Settings, key)
			}
		}
	}
	s.use(after)
	changes.Listeners = s.listeners.swap(cfg, opened, settings)
	changes.Policies = policyChanges(before.Config, cfg)
	var seats []*seating
	for _, w := range s.workers {
		moved, ending, lacking := s.moveAll(ctx, w, before, after)
		changes.Sessions += moved
		changes.Ending += ending
		seats = append(seats, lacking...)
	}
	slices.SortFunc(seats, func(a, b *seating) int { return cmp.Compare(a.opened, b.opened) })
	for _, seating := range seats {
		seating.take()
	}
	for _, k := range before.all() {
		if name := k.policy.Name; after.named[name] == nil {
			s.vectors.forget(name)
			s.ledger.Forget(name)
			s.reporter.Forget(name)
		}
	}
	return changes, nil
}

// policyChanges tells policies apart by their names.
func policyChanges(before, after *config.Config) api.Changes {
	c := api.Changes{Added: []string{}, Changed: []string{}, Removed: []string{}}
	named := make(map[string]*policies.Policy)
	for i := range before.Policies {
		named[before.Policies[i].Name] = &before.Policies[i]
	}
	for i := range after.Policies {
		p := &after.Policies[i]
		switch last := named[p.Name]; {
		case last == nil:
			c.Added = append(c.Added, p.Name)
		case !sameRules(last, p, before, after):
			c.Changed = append(c.Changed, p.Name)
		}
		delete(named, p.Name)
	}
	for i := range before.Policies {
		if name := before.Policies[i].Name; named[name] != nil {
			c.Removed = append(c.Removed, name)
		}
	}
	return c
}

// moveAll moves a worker's sessions to where their policies are now. It returns how many
// have moved, how many are to end, and which need other seats.
func (s *Server) moveAll(ctx context.Context, w *worker, before, after *setup) (moved, ending int, seats []*seating) {
	tune := userTimeout(before.Config) != userTimeout(after.Config)
	visit := func(e *session) int {
		if e.ends() {
			return 0
		}
		if tune {
			e.tune(after.Config)
		}
		name := e.policy.Name
		k := after.named[name]
		if slices.Contains(after.retired, k) {
			if k.leaves() && e.drainAt == policies.Never {
				e.drainAt = w.loop.Now() + spread(after.Drain.Spread)
				e.recheck()
				ending++
			}
			return 0
		}
		if k == nil || k == e.kind() {
			return 0
		}
		if seating := e.move(k); seating != nil {
			seats = append(seats, seating)
		}
		moved++
		return scanStep // a part of it is written to sockets
	}
	// Half a reload would be worse than none.
	scanWorker(context.WithoutCancel(ctx), w, visit, func() bool { return true })
	return moved, ending, seats
}

// Reload implements admin.Source.
func (o operator) Reload(ctx context.Context) (api.Reloaded, error) {
	return o.Server.Reload(ctx, "POST /v1/reload")
}

// Configuration implements admin.Source.
func (o operator) Configuration() api.Configuration { return *o.reloads.state.Load() }
