package proxy

import (
	"fmt"
	"reflect"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/evloop"
	"wswarden/proxy/quota"
	"wswarden/proxy/upstreams"
)

// setup is a configuration in use, with what is made of it. A reload makes another
// one: who has to see one and the same throughout keeps the pointer.
type setup struct {
	*config.Config
	kinds    []*kind          // of its policies, in their order
	retired  []*kind          // of policies that are gone, but have sessions
	named    map[string]*kind // all of them, by their policy's name
	upstream *upstream
}

// setup returns the configuration in use. It may be called from any goroutine.
func (s *Server) setup() *setup { return s.current.Load() }

// newSetup makes ready what a valid configuration names. What has a name that is in
// use already, goes on counting where that one is.
func (s *Server) newSetup(cfg *config.Config) (*setup, error) {
	before := s.setup()
	after := &setup{Config: cfg, named: make(map[string]*kind)}
	var err error
	if after.upstream, err = newUpstream(cfg, s.edges, s.log); err != nil {
		return nil, err
	}
	for i := range cfg.Policies {
		policy := &cfg.Policies[i]
		dialect, err := cfg.Dialect(policy.Dialect)
		if err != nil {
			return nil, fmt.Errorf("policies[%d].dialect: %w", i, err)
		}
		k := &kind{
			policy:      policy,
			settings:    cfg.Settings(i),
			dialect:     dialect,
			webhook:     s.reporter.Hook(policy.Name, policy.Release.Webhook),
			limitPrefix: limitPrefix(policy.Name),
		}
		if before != nil {
			k.since = evloop.Now()
		}
		last := before.kind(policy.Name)
		if last == nil {
			last = new(kind)
			k.metrics, k.tallies = s.vectors.of(policy.Name), make([]tally, s.loops)
		} else {
			k.metrics, k.tallies = last.metrics, last.tallies
			if sameRules(last.policy, policy, before.Config, cfg) {
				k.since = last.since
			}
		}
		k.perIP, k.total = rates(last.perIP, policy.Handshakes.PerIP()), rates(last.total, policy.Handshakes.Total())
		after.kinds = append(after.kinds, k)
		after.named[policy.Name] = k
	}
	now := evloop.Now()
	for _, k := range before.all() {
		name := k.policy.Name
		if after.named[name] != nil {
			continue
		}
		if k.gone == policies.Never {
			last := *k
			last.gone = now
			k = &last
		}
		// A handshake that is under way may become another session.
		if k.sum().live > 0 || now < k.gone+s.longestHandshake(before.Config) {
			after.named[name] = k
			after.retired = append(after.retired, k)
		}
	}
	return after, nil
}

// longestHandshake is for how long one may be under way that was admitted before.
func (s *Server) longestHandshake(cfg *config.Config) time.Duration {
	if s.forgetAtOnce {
		return 0
	}
	return cfg.Upstream.DialTimeout + cfg.Upstream.HandshakeTimeout + cfg.Store.TakeoverTimeout + 10*time.Second
}

// sameRules reports whether a policy is in one configuration what another one is in the
// other.
func sameRules(a, b *policies.Policy, in, other *config.Config) bool {
	return reflect.DeepEqual(a, b) && (a.Dialect == "" || reflect.DeepEqual(in.Dialects, other.Dialects))
}

// rates are those of a pace: the last ones, so that no debt is forgotten. Nil: there is
// no limit.
func rates(last *quota.Rates, pace policies.Pace) *quota.Rates {
	switch {
	case !pace.On():
		return nil
	case last == nil:
		return quota.NewRates(pace)
	}
	last.Change(pace, evloop.Now())
	return last
}

// The zero pointer stands for what is before the first configuration.

// kind returns that of a policy's name; nil: there is none.
func (c *setup) kind(policy string) *kind {
	if c == nil {
		return nil
	}
	return c.named[policy]
}

// all returns the kinds of all policies that sessions live under.
func (c *setup) all() []*kind {
	if c == nil {
		return nil
	}
	return append(c.kinds[:len(c.kinds):len(c.kinds)], c.retired...)
}

// use puts a configuration into use. Nothing can fail any more.
func (s *Server) use(c *setup) {
	var before *upstreams.Pool
	if last := s.setup(); last != nil {
		before = last.upstream.pool
	}
	c.upstream.pool = upstreams.New(c.Config.Upstream, before, upstreams.Options{
		Log:        s.log,
		Registerer: s.registry,
		TLS:        c.upstream.tlsFor,
		Failing:    s.leaveAddress,
	})
	s.current.Store(c)
}

// match returns the kind of the first policy that fits; nil if none does.
func (c *setup) match(r *policies.Request) *kind {
	if i := matching(c.Config, r); i >= 0 {
		return c.kinds[i]
	}
	return nil
}

// matching returns the index of the first policy that fits; -1 if none does.
func matching(c *config.Config, r *policies.Request) int {
	for i := range c.Policies {
		if c.Policies[i].Match.Fits(r) {
			return i
		}
	}
	return -1
}
