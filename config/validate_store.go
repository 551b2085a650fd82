package config

import (
	"net/url"
	"strconv"
	"strings"
	"time"

	"wswarden/policies"
)

const (
	// leastLease is long enough for a renewal that comes late.
	leastLease = time.Second
	// leastHeap is about what a process without sessions has: what is below it has
	// most likely lost its unit.
	leastHeap = 16 << 20
)

func (v *validator) store(s Store) {
	memory := s.Kind == "memory" && !v.problems.cover("store.kind")
	switch {
	case memory && s.URL != "":
		v.wrong("store.url", "has no effect with kind memory; write kind: redis, or remove it")
	case s.URL != "":
		v.storeURL(s)
	case s.Kind == "redis":
		v.wrong("store.url", "is missing; write that of Redis, such as redis://127.0.0.1:6379, or kind: memory")
	}
	if memory && s.Cluster {
		v.wrong("store.cluster", "%v has no effect with kind memory; write kind: redis, or remove it", s.Cluster)
	}

	v.aboveZero("store.connect_timeout", s.ConnectTimeout, "5s")
	v.aboveZero("store.timeout", s.Timeout, "500ms")
	v.aboveZero("store.takeover_timeout", s.TakeoverTimeout, "5s")
	if s.Lease < leastLease {
		v.wrong("store.lease", "%s is too short to be renewed in time; write %s or more, such as 30s", s.Lease, public(leastLease.String()))
	}
	if third := s.Lease / 3; s.Timeout >= third && !v.problems.cover("store.lease") {
		v.wrong("store.timeout", "%s is not below a third of store.lease, so that leases may end before they are renewed; write less than %s, or a longer lease",
			s.Timeout, v.other("store.lease", third.Truncate(time.Millisecond)))
	}
}

// storeURL checks the URL of Redis. It shows as little of it as it can.
func (v *validator) storeURL(s Store) {
	const key, example = "store.url", public("redis://127.0.0.1:6379")
	shown := s.Redacted()
	if shown == "" {
		v.wrong(key, "is not a URL (nor shown, as it may hold a password); write one such as redis://user:password@127.0.0.1:6379, and %%40 for an @ in the password, %%2F for a /")
		return
	}
	u, _ := url.Parse(s.URL) // Redacted could
	database := strings.Trim(u.Path, "/")
	_, err := strconv.ParseUint(database, 10, 31)
	switch {
	case u.Scheme != "redis" && u.Scheme != "rediss":
		v.wrong(key, "%s is not a redis:// or rediss:// URL; write one such as %s", plain(shown), example)
	case !validPort(u.Port()), strings.Contains(u.Hostname(), ":") && !strings.HasPrefix(u.Host, "["):
		v.wrong(key, "has no port from 1 to 65535; write one such as %s", example)
	case database != "" && err != nil || u.Fragment != "":
		v.wrong(key, "has more behind its host than the number of a database; write one such as %s/0", example)
	case s.Cluster && strings.Trim(database, "0") != "":
		v.wrong(key, "%s has a database, and a cluster has none to choose from; write one such as %s", plain(shown), example)
	case !s.Cluster && u.Query().Has("addr"):
		v.wrong(key, "has addr, and only a cluster has further nodes; write cluster: true, or leave addr out")
	}
	for _, node := range u.Query()["addr"] {
		v.address(key, node, "?addr=127.0.0.2:6379")
	}
}

func (v *validator) pressure(p policies.Pressure) {
	if p.Heap > 0 && p.Heap < leastHeap {
		v.wrong("pressure.heap", "%v is less than a process without sessions has; write %s or more, such as 512MiB, or 0 to switch it off", p.Heap, public(size(leastHeap)))
	}
}
