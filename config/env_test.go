package config

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
)

func TestEnvironmentWins(t *testing.T) {
	for _, row := range []struct {
		variable, value string
		got             func(*Config) any
		want            any
	}{
		{"WSWARDEN_UPSTREAM_URL", "http://other", func(c *Config) any { return c.Upstream.URL }, "http://other"},
		{"WSWARDEN_UPSTREAM_DIAL_TIMEOUT", "750ms", func(c *Config) any { return c.Upstream.DialTimeout }, 750 * time.Millisecond},
		{"WSWARDEN_ADMIN_ADDRESS", "127.0.0.1:1", func(c *Config) any { return c.Admin.Address }, "127.0.0.1:1"},
		{"WSWARDEN_ADMIN_ADDRESS", "", func(c *Config) any { return c.Admin.Address }, ""},
		{"WSWARDEN_LISTENERS_0_NAME", "5", func(c *Config) any { return c.Listeners[0].Name }, "5"},
		{"WSWARDEN_POLICIES_1_MATCH_HEADER_0_VALUE", "b*", func(c *Config) any { return c.Policies[1].Match.Header }, []policies.HeaderMatch{{Name: "X-A", Value: "b*"}}},
		{"WSWARDEN_DRAIN_CLOSE_CODE", "4001", func(c *Config) any { return c.Drain.CloseCode }, uint16(4001)},
		{"WSWARDEN_DRAIN_REASON", "true: 5", func(c *Config) any { return c.Drain.Reason }, "true: 5"},
		{"WSWARDEN_LISTENERS_0_ADDRESS", ":1", func(c *Config) any { return c.Listeners[0].Address }, ":1"},
		{"WSWARDEN_TRUSTED_PROXIES", "[10.0.0.0/8, 11.0.0.0/8]", func(c *Config) any { return fmt.Sprint(c.TrustedProxies) }, "[10.0.0.0/8 11.0.0.0/8]"},
		{"WSWARDEN_TRUSTED_PROXIES", "[]", func(c *Config) any { return len(c.TrustedProxies) }, 0},
		{"WSWARDEN_POLICIES_0_NAME", "a", func(c *Config) any { return c.Policies[0].Name }, "a"},
		{"WSWARDEN_POLICIES_1_HEARTBEAT_JITTER", "0.5", func(c *Config) any { return c.Policies[1].Heartbeat.Jitter }, 0.5},
		{"WSWARDEN_POLICIES_1_MESSAGES_MAX_BYTES", "1KiB", func(c *Config) any { return c.Policies[1].Messages.MaxBytes }, int64(1024)},
		{"WSWARDEN_POLICIES_1_RELEASE_FAREWELL", `['{"a":1}']`, func(c *Config) any { return c.Policies[1].Release.Farewell }, []string{`{"a":1}`}},
		{"WSWARDEN_POLICIES_1_MESSAGES_RATE", "1e3", func(c *Config) any { return c.Policies[1].Messages.Rate }, policies.PerSecond(1000)},
		{"WSWARDEN_POLICIES_1_MESSAGES_VALIDATE_UTF8", "True", func(c *Config) any { return c.Policies[1].Messages.ValidateUTF8 }, true},
		{"WSWARDEN_POLICIES_1_RELEASE_UNSUBSCRIBE", "false", func(c *Config) any { return c.Policies[1].Release.Unsubscribe }, false},
		{"WSWARDEN_POLICIES_1_SUBSCRIPTIONS_MAX", "0", func(c *Config) any { return c.Policies[1].Subscriptions.Max }, 0},
		{"WSWARDEN_POLICIES_1_DIALECT", "own", func(c *Config) any { return c.Policies[1].Dialect }, "own"},
		{"WSWARDEN_POLICIES_1_RELEASE_WEBHOOK_ATTEMPTS", "7", func(c *Config) any { return c.Policies[1].Release.Webhook.Attempts }, 7},
		{"WSWARDEN_STORE_LEASE", "1m", func(c *Config) any { return c.Store.Lease }, time.Minute},
		{"WSWARDEN_STORE_ON_FAILURE", "deny", func(c *Config) any { return c.Store.OnFailure }, "deny"},
		{"WSWARDEN_PRESSURE_HEAP", "512MiB", func(c *Config) any { return c.Pressure.Heap }, int64(512 << 20)},
		{"WSWARDEN_POLICIES_1_MATCH_ORIGIN", "[https://a.com]", func(c *Config) any { return c.Policies[1].Match.Origin }, []string{"https://a.com"}},
		{"WSWARDEN_POLICIES_1_REFUSE_WITH", "close", func(c *Config) any { return c.Policies[1].RefuseWith }, policies.RefuseWithClose},
		{"WSWARDEN_POLICIES_1_ORIGINS_ALLOW", `["*"]`, func(c *Config) any { return c.Policies[1].Origins.Allow }, []string{"*"}},
		{"WSWARDEN_POLICIES_1_HANDSHAKES_TOTAL_RATE", "0.5", func(c *Config) any { return c.Policies[1].Handshakes.TotalRate }, policies.PerSecond(0.5)},
		{"WSWARDEN_POLICIES_1_CONNECTIONS_IDENTITY_FROM", "", func(c *Config) any { return c.Policies[1].Connections.Identity.From }, policies.IdentitySource("")},
		{"WSWARDEN_POLICIES_1_CONNECTIONS_ON_EXCESS", "evict_oldest", func(c *Config) any { return c.Policies[1].Connections.OnExcess }, policies.ExcessEvictOldest},
		{"WSWARDEN_DIALECTS_0_RECORDS", "batch", func(c *Config) any { return c.Dialects[0].Records }, dialects.Batch},
		{"WSWARDEN_DIALECTS_0_SUBSCRIBE_0_TOPIC", "a.B", func(c *Config) any { return c.Dialects[0].Subscribe[0].Topic }, "a.B"},
		{"WSWARDEN_DIALECTS_0_SUBSCRIBE_0_MATCH", "{a.B: x, y: 1}", func(c *Config) any { return c.Dialects[0].Subscribe[0].Match },
			dialects.Fields{{Name: "a.B", Value: "x"}, {Name: "y", Value: 1.0}}},

		// neither a policy that there is not, nor what Kubernetes sets
		{"WSWARDEN_POLICIES_2_NAME", "c", func(c *Config) any { return len(c.Policies) }, 2},
		{"WSWARDEN_PORT", "tcp://10.0.0.1:80", func(c *Config) any { return c.Upstream.URL }, "http://127.0.0.1:5000"},
	} {
		t.Run(row.variable+"="+row.value, func(t *testing.T) {
			t.Setenv(row.variable, row.value)
			c, err := Parse("w.yaml", []byte(upstreamLine+`
drain: {reason: bye}
trusted_proxies: [12.0.0.0/8, 13.0.0.0/8, 14.0.0.0/8]
dialects: [{name: own, subscribe: [{match: {type: subscribe}, topic: topic}]}]
policies:
  - match: {path: /first}
  - name: second
    match: {header: [{name: X-A, value: a}]}
    heartbeat: {jitter: 0.9}
    connections: {max: 9}
    release: {webhook: {url: "http://127.0.0.1:1"}}
`))
			if err != nil {
				t.Fatal(err)
			}
			if got := row.got(c); !reflect.DeepEqual(got, row.want) {
				t.Errorf("got %v, want %v", got, row.want)
			}
		})
	}
}

// A mistake in the environment names the variable.
func TestEnvironmentMistakes(t *testing.T) {
	for _, row := range []struct{ variable, value, want string }{
		{"WSWARDEN_DRAIN_TIMEOUT", "5", `WSWARDEN_DRAIN_TIMEOUT: drain.timeout: 5 has no unit; write 5s`},
		{"WSWARDEN_DRAIN_TIMEOUT", "", `WSWARDEN_DRAIN_TIMEOUT: drain.timeout: "" is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"WSWARDEN_DRAIN_SPREAD", "1h", `WSWARDEN_DRAIN_SPREAD: drain.spread: 1h0m0s is longer than drain.timeout; write 25s or less`},
		{"WSWARDEN_DRAIN_CLOSE_CODE", "1006", `WSWARDEN_DRAIN_CLOSE_CODE: drain.close_code: 1006 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"WSWARDEN_DRAIN_REASON", "\xff", `WSWARDEN_DRAIN_REASON: drain.reason: "\xff" is not valid UTF-8; write text`},
		{"WSWARDEN_UPSTREAM_URL", "ftp://a\nb", `WSWARDEN_UPSTREAM_URL: upstream.url: "ftp://a\nb" is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"WSWARDEN_UPSTREAM_URLS", "http://a", `WSWARDEN_UPSTREAM_URLS: upstream.urls: must be a list, not http://a; write [a, b]`},
		{"WSWARDEN_UPSTREAM_URLS", "[http://a]", `WSWARDEN_UPSTREAM_URLS: upstream.urls: cannot be beside upstream.url; remove one of them`},
		{"WSWARDEN_LOG_LEVEL", "trace", `WSWARDEN_LOG_LEVEL: log.level: trace is not known; use one of debug, info, warn, error`},
		{"WSWARDEN_TRUSTED_PROXIES", "10.0.0.0/8", `WSWARDEN_TRUSTED_PROXIES: trusted_proxies: must be a list, not 10.0.0.0/8; write [a, b]`},
		{"WSWARDEN_TRUSTED_PROXIES", "[10.0.0.0/8, x]", `WSWARDEN_TRUSTED_PROXIES: trusted_proxies[1]: x is not a network; write one such as 10.0.0.0/8`},
		{"WSWARDEN_TRUSTED_PROXIES", "[10.1.0.0/8]", `WSWARDEN_TRUSTED_PROXIES: trusted_proxies[0]: 10.1.0.0/8 has bits set behind its prefix; write 10.0.0.0/8`},
		{"WSWARDEN_TRUSTED_PROXIES", "[", `WSWARDEN_TRUSTED_PROXIES: trusted_proxies: must be a list, not [; write [a, b]`},
		{"WSWARDEN_TRUSTED_PROXIES", "", `WSWARDEN_TRUSTED_PROXIES: trusted_proxies: must be a list, not ""; write [a, b]`},
		{"WSWARDEN_LISTENERS_0_ADDRESS", "80", `WSWARDEN_LISTENERS_0_ADDRESS: listeners[0].address: 80 is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path`},
		{"WSWARDEN_POLICIES_0_NAME", "", `WSWARDEN_POLICIES_0_NAME: policies[0].name: is empty; write a name, or remove the key for the default`},
		{"WSWARDEN_POLICIES_0_HEARTBEAT_JITTER", "NaN", `WSWARDEN_POLICIES_0_HEARTBEAT_JITTER: policies[0].heartbeat.jitter: NaN is out of range; write a number from 0 to 1`},
		{"WSWARDEN_POLICIES_0_HEARTBEAT_JITTER", "much", `WSWARDEN_POLICIES_0_HEARTBEAT_JITTER: policies[0].heartbeat.jitter: much is not a number; write one from 0 to 1`},
		{"WSWARDEN_POLICIES_0_MESSAGES_MAX_BYTES", "-1KiB", `WSWARDEN_POLICIES_0_MESSAGES_MAX_BYTES: policies[0].messages.max_bytes: -1024 is below zero; write 0 or more`},
		{"WSWARDEN_POLICIES_0_MESSAGES_RATE", "Inf", `WSWARDEN_POLICIES_0_MESSAGES_RATE: policies[0].messages.rate: +Inf is out of range; write a number, 0 or more`},
		{"WSWARDEN_POLICIES_0_MESSAGES_VALIDATE_UTF8", "1", `WSWARDEN_POLICIES_0_MESSAGES_VALIDATE_UTF8: policies[0].messages.validate_utf8: 1 is neither true nor false; write one of them`},
		{"WSWARDEN_POLICIES_0_SUBSCRIPTIONS_MAX", "5", `WSWARDEN_POLICIES_0_SUBSCRIPTIONS_MAX: policies[0].subscriptions.max: has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it`},
		{"WSWARDEN_STORE_URL", "redis://a", `WSWARDEN_STORE_URL: store.url: has no effect with kind memory; write kind: redis, or remove it`},
		{"WSWARDEN_STORE_KIND", "", `WSWARDEN_STORE_KIND: store.kind: "" is not known; use one of memory, redis`},
		{"WSWARDEN_PRESSURE_HEAP", "512", `WSWARDEN_PRESSURE_HEAP: pressure.heap: 512 is less than a process without sessions has; write 16MiB or more, such as 512MiB, or 0 to switch it off`},
		{"WSWARDEN_POLICIES_0_ORIGINS_ALLOW", "[a.com, a/b]", `WSWARDEN_POLICIES_0_ORIGINS_ALLOW: policies[0].origins.allow[1]: a/b is not a pattern of origins; write one such as https://example.com, https://*.example.com or http://localhost:*`},
		{"WSWARDEN_POLICIES_0_CONNECTIONS_PER_IDENTITY", "3", `WSWARDEN_POLICIES_0_CONNECTIONS_PER_IDENTITY: policies[0].connections.per_identity: 3 has no effect without an identity; write identity.from: query, header, cookie, certificate or message, or remove it`},
		{"WSWARDEN_POLICIES_0_DIALECT", "rca", `WSWARDEN_POLICIES_0_DIALECT: policies[0].dialect: rca is not a known dialect; did you mean rac?`},
		{"WSWARDEN_DIALECTS_0_SUBSCRIBE_0_MATCH", "type=a", `WSWARDEN_DIALECTS_0_SUBSCRIBE_0_MATCH: dialects[0].subscribe[0].match: must be a section, not type=a; write {path: value}`},
		{"WSWARDEN_DIALECTS_0_SUBSCRIBE_0_MATCH", "{type: [a]}", `WSWARDEN_DIALECTS_0_SUBSCRIBE_0_MATCH: dialects[0].subscribe[0].match.type: must be one value, not a list; if it is text, put it into quotes`},
		{"WSWARDEN_POLICIES_0_RELEASE_FAREWELL", "[bye, 5]", `WSWARDEN_POLICIES_0_RELEASE_FAREWELL: policies[0].release.farewell[1]: 5 is not text; put it into quotes`},
	} {
		t.Run(row.variable+"="+row.value, func(t *testing.T) {
			t.Setenv(row.variable, row.value)
			_, err := Parse("w.yaml", []byte(upstreamLine+"trusted_proxies:\n  - 12.0.0.0/8\n  - 13.0.0.0/8\n"+
				"dialects: [{name: own, subscribe: [{match: {type: subscribe}, topic: topic}]}]"))
			if err == nil || err.Error() != row.want {
				t.Errorf("got:  %v\nwant: %s", err, row.want)
			}
		})
	}
}

// Every key of the types has a default, and its variable wins over it.
func TestEveryKeyHasDefaultAndVariable(t *testing.T) {
	examples := map[string]string{ // valid, and no default
		"duration": "17s", "size": "7KiB", "close code": "4007", "0 to 1": "0.7",
		"count": "7", "number": "0.7", "true, false": "true",
		"list of networks": "[10.7.0.0/16]", "list of texts": "[seven]", "text": "seven",
		"listeners[].address": "unix:seven", "listeners[].mode": "0770", "listeners[].tls.cert": "both.pem", "listeners[].tls.key": "both.pem",
		"listeners[].tls.client_ca": "both.pem", "listeners[].tls.client_auth": "optional", "listeners[].tls.min_version": "1.3",
		"upstream.url": "https://seven", "upstream.urls": "[https://seven]", "upstream.tls.ca": "both.pem", "upstream.tls.cert": "both.pem", "upstream.tls.key": "both.pem",
		"upstream.proxy_protocol": "v2", "upstream.health.path": "/seven", "upstream.sticky.from": "header",
		"policies[].match.header[].name": "X-Seven", "policies[].match.listener": "[front]",
		"admin.address": "127.0.0.1:7", "policies[].match.path": "/seven", "log.level": "error", "log.format": "text", "policies[].heartbeat.liveness": "pong",
		"policies[].messages.on_excess": "drop", "policies[].inspect.oversize": "forward", "policies[].subscriptions.on_excess": "close",
		"policies[].release.unsubscribe": "false", "policies[].release.webhook.url": "https://seven",
		"store.kind": "redis", "store.url": "redis://seven", "store.timeout": "7s", "store.on_failure": "deny", "pressure.heap": "17MiB",
		"admin.token_file": tokenFile(t, goodToken), "tracing.otlp_endpoint": "https://seven",
		"policies[].mode": "observe", "policies[].on_reload": "enforce", "policies[].lifetime.max": "17h", "enforce, observe": "observe",
		"policies[].refuse_with": "close", "policies[].connections.identity.from": "header", "policies[].connections.on_excess": "evict_oldest",
	}
	besides := map[string][][2]string{ // which go together
		"store.kind": {{"store.url", "redis://seven"}}, "store.url": {{"store.kind", "redis"}},
		"store.cluster": {{"store.kind", "redis"}, {"store.url", "redis://seven"}}, "upstream.urls": {{"upstream.url", ""}},
	}
	// A list counts as its first item.
	first := strings.NewReplacer("[]", "[0]")
	t.Chdir(tlsFolder(t))
	file := []byte(`# without what is here some keys may not be given
listeners: [{address: "unix:six", name: front, tls: {cert: cert.pem, key: key.pem, client_ca: cert.pem}}]
upstream:
  url: https://six
  tls: {cert: cert.pem, key: key.pem}
  health: {path: /six, interval: 18s}
  sticky: {from: query, name: six}
dialects: [{name: seven, subscribe: [{match: {type: subscribe}, topic: topic}]}]
policies:
  - name: default
    match: {header: [{name: X-Six, value: six}]}
    dialect: rac
    messages: {rate: 1}
    idle: {timeout: 1h}
    first_message: {timeout: 1h}
    lifetime: {max: 9h}
    handshakes: {per_ip_rate: 0.1, total_rate: 1}
    connections: {max: 100, identity: {from: query, name: token}}
    subscriptions: {max: 100}
    upstream_heartbeat: {interval: 20s}
    release: {webhook: {url: "https://six"}}
`)
	want, err := Parse("w.yaml", file)
	if err != nil {
		t.Fatal(err)
	}
	for _, key := range Keys() {
		value, ok := examples[key.Name]
		if !ok {
			value, ok = examples[key.Type]
		}
		if !ok || key.Default == "" || key.Default == value {
			t.Errorf("%+v: no default, or no example in this test", key)
			continue
		}
		t.Run(key.Name, func(t *testing.T) {
			t.Setenv(Variable(first.Replace(key.Name)), value)
			changes := map[string]bool{key.Name: true}
			for _, other := range besides[key.Name] {
				t.Setenv(Variable(other[0]), other[1])
				changes[other[0]] = true
			}
			got, err := Parse("w.yaml", file)
			if err != nil {
				t.Fatal(err)
			}
			gotLeaves, wantLeaves := allLeaves(got), allLeaves(want)
			for name := range wantLeaves {
				if changed := gotLeaves[name] != wantLeaves[name]; changed != changes[name] {
					t.Errorf("%s is %s, and was %s", name, gotLeaves[name], wantLeaves[name])
				}
			}
		})
	}
}

// allLeaves lists values by key; of lists of sections, the first item's.
func allLeaves(c *Config) map[string]string {
	all := map[string]string{}
	var add func(path string, section reflect.Value)
	add = func(path string, section reflect.Value) {
		for key, value := range leaves(section) {
			if key = join(path, key); isSectionList(value.Type()) {
				add(key+"[]", firstItem(value))
			} else {
				all[key] = fmt.Sprint(value)
			}
		}
	}
	add("", reflect.ValueOf(c).Elem())
	return all
}

// Rows of every type, as they stand in the README's table.
func TestKeys(t *testing.T) {
	all := Keys()
	for _, want := range []Key{
		{"listeners[].address", "text", "127.0.0.1:8080"},
		{"listeners[].mode", "text", `""`},
		{"listeners[].tls.min_version", "1.2, 1.3", "1.2"},
		{"trusted_proxies", "list of networks", "[]"},
		{"upstream.urls", "list of texts", "[]"},
		{"upstream.sticky.from", "header, cookie, query", `""`},
		{"policies[].match.header[].name", "text", "required"},
		{"upstream.url", "text", "required"},
		{"drain.timeout", "duration", "25s"},
		{"drain.close_code", "close code", "1012"},
		{"log.level", "debug, info, warn, error", "info"},
		{"policies[].name", "text", "default, or policy-N of several"},
		{"policies[].match.path", "text", `""`},
		{"store.kind", "memory, redis", "memory"},
		{"admin.hosts", "list of texts", "[]"},
		{"tracing.sample_ratio", "0 to 1", "1"},
		{"store.url", "text", `""`},
		{"pressure.heap", "size", "0"},
		{"policies[].match.origin", "list of texts", "[]"},
		{"policies[].refuse_with", "status, close", "status"},
		{"policies[].handshakes.per_ip_rate", "number", "0"},
		{"policies[].connections.identity.from", "query, header, cookie, certificate, message", `""`},
		{"policies[].connections.identity.required", "true, false", "false"},
		{"policies[].heartbeat.jitter", "0 to 1", "0.1"},
		{"policies[].messages.max_bytes", "size", "0"},
		{"policies[].messages.rate", "number", "0"},
		{"policies[].messages.burst", "count", "0"},
		{"policies[].messages.validate_utf8", "true, false", "false"},
		{"policies[].inspect.max_bytes", "size", "64KiB"},
		{"policies[].subscriptions.on_excess", "reject, close, evict_oldest", "reject"},
		{"policies[].release.farewell", "list of texts", "[]"},
		{"policies[].release.webhook.attempts", "count", "5"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("no row %+v", want)
		}
	}
	for _, key := range all {
		if strings.HasPrefix(key.Name, "dialects") {
			t.Errorf("%s is a key of dialects", key.Name)
		}
	}
	all = DialectKeys()
	for _, want := range []Key{
		{"dialects[].name", "text", "required"},
		{"dialects[].records", "one, lines, rs, nul, batch", "one"},
		{"dialects[].subscribe[].match", "paths and values", "{}"},
		{"dialects[].subscribe[].topic", "text", "required"},
		{"dialects[].released[].topic", "text", `""`},
		{"dialects[].heartbeat[].lacks", "list of texts", "[]"},
	} {
		if !slices.Contains(all, want) {
			t.Errorf("no row %+v of dialects", want)
		}
	}
}
