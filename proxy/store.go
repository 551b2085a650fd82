package proxy

import (
	"context"
	"errors"
	"fmt"

	"wswarden/proxy/quota"
)

// ErrNoStore is what New returns where the store does not answer in time, and
// limits must not be left to one replica.
var ErrNoStore = errors.New("store cannot be used")

// newStore makes the store of connection limits that the configuration asks for.
func (s *Server) newStore() (quota.Store, error) {
	c := s.setup().Store
	if c.Kind != "redis" {
		return quota.NewMemory(c.TakeoverTimeout), nil
	}
	store, err := quota.NewRedis(context.Background(), quota.RedisOptions{
		URL:            c.URL,
		Cluster:        c.Cluster,
		Lease:          c.Lease,
		Timeout:        c.Timeout,
		ConnectTimeout: c.ConnectTimeout,
		Takeover:       c.TakeoverTimeout,
		Deny:           c.OnFailure == "deny",
		Log:            s.log,
		Registerer:     s.registry,
	})
	switch {
	case errors.Is(err, quota.ErrURL):
		return nil, fmt.Errorf("store.url: %w", err)
	case errors.Is(err, quota.ErrRefused):
		return nil, fmt.Errorf("%w: %w; check store.url and store.cluster", ErrNoStore, err)
	case err != nil:
		return nil, fmt.Errorf("%w: it cannot be reached within store.connect_timeout, %s: %w; start it, or allow to do without by store.on_failure: allow", ErrNoStore, c.ConnectTimeout, err)
	}
	return store, nil
}
