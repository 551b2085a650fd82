// Package config turns YAML files, the environment and the defaults into
// one validated Config. All that is wrong is reported at once, each problem in
// one line that names the place, the key, the value and what to do.
//
// Of several files, lists of sections (listeners, dialects, policies) append, and
// any other key is set in one of them. In values, ${NAME} stands for a variable of
// the environment and ${file:/path} for what is in a file, without the end of its
// last line; $${ is the text ${. What comes from there is never shown.
//
// Every key has an environment variable that wins over the file: WSWARDEN_ and
// the key in capitals, its dots and indexes as underscores, such as
// WSWARDEN_DRAIN_TIMEOUT or, for the first policy of all files,
// WSWARDEN_POLICIES_0_IDLE_TIMEOUT. A list is written there as in YAML, [a, b].
// A variable that is set but empty counts as set.
package config

import (
	"net/netip"
	"net/url"
	"strings"
	"time"
	"unicode/utf8"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

// Config is everything that wswarden can be told. It is not changed once in
// use, so that any goroutine may read it.
type Config struct {
	// Listeners are the addresses to serve on, at least one.
	Listeners []Listener `mapstructure:"listeners"`
	// TrustedProxies are the networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix `mapstructure:"trusted_proxies"`
	Upstream       Upstream       `mapstructure:"upstream"`
	Admin          Admin          `mapstructure:"admin"`
	Drain          Drain          `mapstructure:"drain"`
	Log            Log            `mapstructure:"log"`
	Tracing        Tracing        `mapstructure:"tracing"`
	Store          Store          `mapstructure:"store"`
	// Pressure sheds sessions before memory runs out.
	Pressure policies.Pressure `mapstructure:"pressure"`
	// Dialects beside the built-in ones, over which they win.
	Dialects []dialects.Spec `mapstructure:"dialects"`
	// Policies, at least one. A session lives under the first that matches.
	Policies []policies.Policy `mapstructure:"policies"`

	// written is what may be shown of the values that ${…} is part of. Nil: there are
	// none.
	written writings
}

// Drain says how sessions are ended when wswarden shuts down.
type Drain struct {
	// Timeout after which what is left is reset. Zero: at once.
	Timeout time.Duration `mapstructure:"timeout"`
	// Spread is the time over which close frames go out evenly, so that
	// clients do not come back together; at most Timeout. Zero: all at once.
	Spread time.Duration `mapstructure:"spread"`
	// CloseCode and Reason (at most 123 bytes) for the clients.
	CloseCode uint16 `mapstructure:"close_code"`
	Reason    string `mapstructure:"reason"`
}

// Log says what is logged, and how.
type Log struct {
	// Level is debug, info, warn or error.
	Level string `mapstructure:"level"`
	// Format is json or text.
	Format string `mapstructure:"format"`
}

// Store says where connection limits are counted.
type Store struct {
	// Kind is memory, for one replica, or redis, for several.
	Kind string `mapstructure:"kind"`
	// URL of Redis: redis://host:port/db, or rediss:// for TLS, perhaps with a user
	// and a password. With Cluster, ?addr=host:port names further nodes.
	URL string `mapstructure:"url"`
	// Cluster: URL is that of a Redis Cluster.
	Cluster bool `mapstructure:"cluster"`
	// Lease is how long the sessions of a replica that has died are still counted.
	// It is a second at least.
	Lease time.Duration `mapstructure:"lease"`
	// OnFailure says what becomes of handshakes while Redis cannot be asked: allow
	// counts this replica's own sessions only, deny refuses what is limited.
	OnFailure string `mapstructure:"on_failure"`
	// ConnectTimeout for Redis to answer at the start. It is above zero.
	ConnectTimeout time.Duration `mapstructure:"connect_timeout"`
	// Timeout of one request to Redis. It is above zero, and below a third of Lease:
	// a renewal that fails can be tried again.
	Timeout time.Duration `mapstructure:"timeout"`
	// TakeoverTimeout bounds how long a handshake waits for the session whose seat
	// it takes over to end. It is above zero.
	TakeoverTimeout time.Duration `mapstructure:"takeover_timeout"`
}

// Redacted returns URL as it may be shown: without user, password and options. It
// is empty if nobody can tell what of URL these are.
func (s Store) Redacted() string {
	u, err := url.Parse(s.URL)
	if err != nil || u.Hostname() == "" || !utf8.ValidString(s.URL) || strings.Contains(u.Path+u.RawQuery+u.Fragment, "@") {
		return ""
	}
	return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path}).String()
}

// Default returns the configuration that applies where nothing is said. It
// lacks only Upstream.URL, or URLs, to be valid.
func Default() *Config {
	return &Config{
		Listeners: []Listener{defaultListener()},
		Upstream:  defaultUpstream(),
		Admin:     Admin{Address: "127.0.0.1:9090"},
		Drain: Drain{
			Timeout:   25 * time.Second,
			Spread:    10 * time.Second,
			CloseCode: policies.CodeServiceRestart,
			Reason:    "service restart",
		},
		Log:     Log{Level: "info", Format: "json"},
		Tracing: Tracing{SampleRatio: 1},
		Store: Store{
			Kind:            "memory",
			Lease:           30 * time.Second,
			OnFailure:       "allow",
			ConnectTimeout:  5 * time.Second,
			Timeout:         500 * time.Millisecond,
			TakeoverTimeout: 5 * time.Second,
		},
		Policies: []policies.Policy{policies.Default()},
	}
}
