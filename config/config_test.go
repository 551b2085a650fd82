package config

import (
	"net/netip"
	"reflect"
	"strings"
	"testing"
	"time"

	"wswarden/policies"
)

// valid is the default with the one key that it lacks.
func valid() *Config {
	c := Default()
	c.Upstream.URL = "http://127.0.0.1:5000"
	return c
}

func TestDefaultLacksUpstreamOnly(t *testing.T) {
	problems, _ := Default().Validate().(Problems)
	if len(problems) != 1 || problems[0].Key != "upstream.url" {
		t.Errorf("Default: %v", problems)
	}
	if err := valid().Validate(); err != nil {
		t.Errorf("Default with an upstream: %v", err)
	}
}

// listenersOn are listeners of which only the address is given.
func listenersOn(addresses ...string) (list []Listener) {
	for _, address := range addresses {
		l := defaultListener()
		l.Address = address
		list = append(list, l)
	}
	return list
}

// Each row says how its file differs from the default.
var accepted = []struct {
	file string
	want func(*Config)
}{
	{"", func(*Config) {}},
	{"# a comment\n", func(*Config) {}},
	{"drain: {}\npolicies: [{}]", func(*Config) {}},
	{"listeners: [{address: \":80\"}, {address: \"[::1]:0\"}, {address: \"[::1]:0\"}]", func(c *Config) {
		c.Listeners = listenersOn(":80", "[::1]:0", "[::1]:0")
	}},
	{"listeners: [{address: \"unix:a\", mode: 0600, owner: app, group: \"1000\", proxy_protocol: true}, {address: \"unix:b\", mode: \"0777\"}, {address: \"systemd:my socket\", name: a, tls: {min_version: 1.2}}]", func(c *Config) {
		c.Listeners = listenersOn("unix:a", "unix:b", "systemd:my socket")
		c.Listeners[0].Mode, c.Listeners[0].Owner, c.Listeners[0].Group, c.Listeners[0].ProxyProtocol = "0600", "app", "1000", true
		c.Listeners[1].Mode, c.Listeners[2].Name = "0777", "a"
	}},
	{"listeners: [{proxy_protocol: true}]\ntrusted_proxies: [10.0.0.0/8]", func(c *Config) {
		c.Listeners[0].ProxyProtocol = true
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}
	}},
	{"trusted_proxies: [10.0.0.0/8, \"fd00::/8\"]", func(c *Config) {
		c.TrustedProxies = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	}},
	{"admin: {address: \"\"}", func(c *Config) { c.Admin.Address = "" }},
	{"admin: {address: \"localhost:1\"}", func(c *Config) { c.Admin.Address = "localhost:1" }},
	{"admin: {address: \"[::1]:1\"}", func(c *Config) { c.Admin.Address = "[::1]:1" }},
	{"admin: {hosts: [wswarden.internal]}\ntracing: {otlp_endpoint: \"https://a.com/otlp\", sample_ratio: 0.1}", func(c *Config) {
		c.Admin.Hosts = []string{"wswarden.internal"}
		c.Tracing = Tracing{Endpoint: "https://a.com/otlp", SampleRatio: 0.1}
	}},
	{"drain: {timeout: 1m30s, spread: 0s, close_code: 4000, reason: \"\"}", func(c *Config) {
		c.Drain = Drain{Timeout: 90 * time.Second, CloseCode: 4000}
	}},
	{"drain: {timeout: 0, spread: 0}", func(c *Config) { c.Drain.Timeout, c.Drain.Spread = 0, 0 }},
	{"drain: {reason: \"42\"}", func(c *Config) { c.Drain.Reason = "42" }},
	{"log: {level: debug, format: text}", func(c *Config) { c.Log = Log{"debug", "text"} }},
	{"store: {kind: redis, url: \"rediss://me:se%40cret@[::1]:6380/2?pool_size=5\", lease: 1s, timeout: 333ms, on_failure: deny}\npressure: {heap: 16MiB}", func(c *Config) {
		c.Store.Kind, c.Store.URL, c.Store.OnFailure = "redis", "rediss://me:se%40cret@[::1]:6380/2?pool_size=5", "deny"
		c.Store.Lease, c.Store.Timeout = time.Second, 333*time.Millisecond
		c.Pressure.Heap = 16 << 20
	}},
	{"store: {kind: redis, url: \"redis://a/?addr=b:1&addr=c:2\", cluster: true, connect_timeout: 1s, takeover_timeout: 2s}", func(c *Config) {
		c.Store.Kind, c.Store.URL, c.Store.Cluster = "redis", "redis://a/?addr=b:1&addr=c:2", true
		c.Store.ConnectTimeout, c.Store.TakeoverTimeout = time.Second, 2*time.Second
	}},
	{"log: &l {level: warn}\ndrain: {reason: &r bye}\npolicies: [{name: *r}]", func(c *Config) {
		c.Log.Level = "warn"
		c.Drain.Reason = "bye"
		c.Policies[0].Name = "bye"
	}},

	// a policy's absent keys take their defaults, however deep
	{"policies: [{heartbeat: {interval: 5s}}]", func(c *Config) {
		c.Policies[0].Heartbeat.Interval = 5 * time.Second
	}},
	{"policies: [{heartbeat: {interval: 0s, timeout: 0s}}]", func(c *Config) {
		c.Policies[0].Heartbeat.Interval = 0
		c.Policies[0].Heartbeat.Timeout = 0
	}},
	{"policies: [{upstream_heartbeat: {interval: 5s}, stall: {timeout: 0s, close_code: 1013}}]", func(c *Config) {
		c.Policies[0].UpstreamHeartbeat.Interval = 5 * time.Second
		c.Policies[0].Stall = policies.Stall{CloseCode: 1013}
	}},
	{"policies: [{first_message: {timeout: 1s}, idle: {timeout: 2s}, lifetime: {max: 3h, jitter: 1}}]", func(c *Config) {
		c.Policies[0].FirstMessage.Timeout = time.Second
		c.Policies[0].Idle.Timeout = 2 * time.Second
		c.Policies[0].Lifetime = policies.Lifetime{Max: 3 * time.Hour, Jitter: 1}
	}},
	{"policies: [{release: {farewell: ['{\"type\":\"UNSUBSCRIBE\"}', bye], grace: 250ms}}]", func(c *Config) {
		c.Policies[0].Release.Farewell = []string{`{"type":"UNSUBSCRIBE"}`, "bye"}
		c.Policies[0].Release.Grace = 250 * time.Millisecond
	}},
	{"policies: [{release: {unsubscribe: false, webhook: {url: \"https://a.com:8443/end?key=1\", timeout: 500ms, attempts: 1}}}]", func(c *Config) {
		c.Policies[0].Release.Unsubscribe = false
		c.Policies[0].Release.Webhook = policies.Webhook{URL: "https://a.com:8443/end?key=1", Timeout: 500 * time.Millisecond, Attempts: 1}
	}},
	{"policies: [{messages: {max_bytes: 1MiB, rate: 2.5, burst: 20, bytes_per_second: 1KiB, validate_utf8: true, on_excess: delay}, inspect: {max_bytes: 1MiB}}]", func(c *Config) {
		c.Policies[0].Messages = policies.Messages{MaxBytes: 1 << 20, Rate: 2.5, Burst: 20, BytesPerSecond: 1024, ValidateUTF8: true, OnExcess: policies.ExcessDelay}
		c.Policies[0].Inspect.MaxBytes = 1 << 20
	}},
	{"policies: [{dialect: rac, messages: {max_bytes: 1MiB}, inspect: {max_bytes: 16MiB, oversize: forward}}]", func(c *Config) {
		c.Policies[0].Dialect = "rac"
		c.Policies[0].Messages.MaxBytes = 1 << 20
		c.Policies[0].Inspect = policies.Inspect{MaxBytes: 16 << 20, Oversize: policies.OversizeForward}
	}},
	{"policies: [{messages: {max_bytes: 1MiB}}]", func(c *Config) { c.Policies[0].Messages.MaxBytes = 1 << 20 }},
	{"policies: [{dialect: rac, subscriptions: {max: 20, max_per_topic: 5, on_excess: evict_oldest, allow: [\"*\"], deny: [a*b, c], close_code: 4000}}]", func(c *Config) {
		c.Policies[0].Dialect = "rac"
		c.Policies[0].Subscriptions = policies.Subscriptions{Max: 20, MaxPerTopic: 5, OnExcess: policies.ExcessEvictOldest,
			Allow: []string{"*"}, Deny: []string{"a*b", "c"}, CloseCode: 4000}
	}},
	{"policies: [{match: {path: /**, host: [example.com, \"*.example.com\", \"[::1]\"]}}]", func(c *Config) {
		c.Policies[0].Match = policies.Match{Path: "/**", Host: []string{"example.com", "*.example.com", "[::1]"}}
	}},
	{"listeners: [{address: \":1\", name: a}, {address: \"unix:b\"}, {address: \":2\", name: a}]\npolicies: [{match: {subprotocol: [\"graphql-*\", \"*\"], header: [{name: X-Portal, value: \"p *\"}, {name: X-A}], listener: [\"unix:b\", a]}}]", func(c *Config) {
		c.Listeners = listenersOn(":1", "unix:b", ":2")
		c.Listeners[0].Name, c.Listeners[2].Name = "a", "a"
		c.Policies[0].Match = policies.Match{Subprotocol: []string{"graphql-*", "*"}, Header: []policies.HeaderMatch{{Name: "X-Portal", Value: "p *"}, {Name: "X-A"}}, Listener: []string{"unix:b", "a"}}
	}},
	{"policies: [{match: {path: /a*/*/**}}]", func(c *Config) { c.Policies[0].Match.Path = "/a*/*/**" }},

	{"policies: [{match: {origin: [\"null\", \"https://*.example.com\"]}, refuse_with: close, origins: {allow: [\"*\"]}, handshakes: {per_ip_rate: 0.1, total_rate: 5, total_burst: 20}}]", func(c *Config) {
		c.Policies[0].Match.Origin = []string{"null", "https://*.example.com"}
		c.Policies[0].RefuseWith = policies.RefuseWithClose
		c.Policies[0].Origins.Allow = []string{"*"}
		c.Policies[0].Handshakes = policies.Handshakes{PerIPRate: 0.1, TotalRate: 5, TotalBurst: 20}
	}},
	{"policies: [{connections: {max: 5, per_ip: 5, per_identity: 5, identity: {from: query, name: \"user[id]\", required: true}, on_excess: evict_oldest, close_code: 4001}}]", func(c *Config) {
		c.Policies[0].Connections = policies.Connections{Max: 5, PerIP: 5, PerIdentity: 5, OnExcess: policies.ExcessEvictOldest, CloseCode: 4001,
			Identity: policies.Identity{From: policies.FromQuery, Name: "user[id]", Required: true}}
	}},
	// an identity alone is for the log
	{"policies: [{connections: {identity: {from: cookie, name: __Host-sid}}}]", func(c *Config) {
		c.Policies[0].Connections.Identity = policies.Identity{From: policies.FromCookie, Name: "__Host-sid"}
	}},
	{"policies: [{dialect: rac, connections: {per_identity: 1, identity: {from: message}}}]", func(c *Config) {
		c.Policies[0].Dialect = "rac"
		c.Policies[0].Connections.PerIdentity, c.Policies[0].Connections.Identity.From = 1, policies.FromMessage
	}},

	// names
	{"policies: [{name: a}]", func(c *Config) { c.Policies[0].Name = "a" }},
	{"policies: [{match: {path: /a}}, {match: {path: /b}, name: b}, {match: {path: /c}}]", func(c *Config) {
		for i, name := range []string{"policy-1", "b", "policy-3"} {
			p := policies.Default()
			p.Name = name
			p.Match.Path = []string{"/a", "/b", "/c"}[i]
			c.Policies = append(c.Policies, p)
		}
		c.Policies = c.Policies[1:]
	}},
}

func TestAcceptedFiles(t *testing.T) {
	for _, row := range accepted {
		want := valid()
		row.want(want)
		got, err := Parse("w.yaml", []byte(upstreamLine+row.file))
		if err != nil {
			t.Errorf("file:\n%s\n%v", row.file, err)
		} else if !reflect.DeepEqual(got, want) {
			t.Errorf("file:\n%s\ngot  %+v\nwant %+v", row.file, got, want)
		}
	}
}

func TestSizes(t *testing.T) {
	for text, want := range map[string]int64{
		"0": 0, "65536": 65536, "100B": 100, "64KB": 64_000, "64KiB": 65536, "64 KiB": 65536,
		"2MB": 2_000_000, "1MiB": 1 << 20, "1GB": 1_000_000_000, "3GiB": 3 << 30, "9223372036854775807": 1<<63 - 1,
	} {
		c, err := Parse("w.yaml", []byte(upstreamLine+"policies: [{messages: {max_bytes: "+text+"}}]"))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := c.Policies[0].Messages.MaxBytes; got != want {
			t.Errorf("%s is %d, want %d", text, got, want)
		}
	}
}

func TestServerOf(t *testing.T) {
	for url, want := range map[string]Server{
		"http://127.0.0.1:5000": {"tcp", "127.0.0.1:5000", false},
		"http://example.com":    {"tcp", "example.com:80", false},
		"http://example.com/":   {"tcp", "example.com:80", false},
		"HTTP://a:":             {"tcp", "a:80", false},
		"http://[::1]:5000":     {"tcp", "[::1]:5000", false},
		"http://[::1]":          {"tcp", "[::1]:80", false},
		"ws://a":                {"tcp", "a:80", false},
		"https://a":             {"tcp", "a:443", true},
		"wss://a":               {"tcp", "a:443", true},
		"HTTPS://a:80":          {"tcp", "a:80", true},
		"unix:/run/app.sock":    {"unix", "/run/app.sock", false},
		"unix:app":              {"unix", "app", false},
	} {
		c := Default()
		c.Upstream.URL = url
		if err := c.Validate(); err != nil {
			t.Errorf("%s: %v", url, err)
		}
		if got, ok := ServerOf(url); got != want || !ok {
			t.Errorf("%s is %+v, want %+v", url, got, want)
		}
	}
	for _, url := range []string{"", "::", "unix:", "http://"} {
		if got, ok := ServerOf(url); ok {
			t.Errorf("%s is %+v", url, got)
		}
	}
}

// What may be said of upstream, and what is said of its servers.
func TestAcceptedUpstreams(t *testing.T) {
	t.Chdir(tlsFolder(t))
	for text, want := range map[string]string{
		"url: http://a": "http://a",
		"urls: [http://a, https://b, \"ws://c:1\", \"unix:/run/d\"], tls: {ca: cert.pem, server_name: d.internal}":             "http://a https://b ws://c:1 unix:/run/d",
		"url: \"\", urls: [https://a], tls: {cert: both.pem, key: both.pem, server_name: \"::1\"}":                             "https://a",
		"url: wss://a, urls: [], tls: {ca: chain.pem}, proxy_protocol: v2, breaker: {failures: 0}":                             "wss://a",
		"url: http://a, health: {path: \"/a?b=%20\", interval: 1s, timeout: 1s, failures: 1}, breaker: {retry_after: 1s}":      "http://a",
		"urls: [http://10.0.0.1, http://10.0.0.2], sticky: {from: cookie, name: sid}, proxy_protocol: \"\"":                    "http://10.0.0.1 http://10.0.0.2",
		"url: \"http://app.internal\", sticky: {from: query, name: a}":                                                         "http://app.internal",
		"url: http://127.0.0.1:80, breaker: {failures: 5, retry_after: 5s}, health: {interval: 10s, timeout: 2s, failures: 3}": "http://127.0.0.1:80", // the defaults
	} {
		text = "upstream: {" + text + "}"
		c, err := Parse("w.yaml", []byte(text))
		if err != nil {
			t.Errorf("%s: %v", text, err)
		} else if got := strings.Join(c.Upstream.Servers(), " "); got != want {
			t.Errorf("%s has %s, want %s", text, got, want)
		}
		if err := fitsSchema(t, text); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

func TestFromFlags(t *testing.T) {
	t.Setenv("WSWARDEN_LOG_LEVEL", "warn")
	t.Setenv("WSWARDEN_UPSTREAM_URL", "http://127.0.0.1:1")
	t.Setenv("WSWARDEN_UPSTREAM_URLS", "[http://127.0.0.1:2]")
	want := valid()
	want.Log.Level = "warn"
	want.Listeners[0].Address = "127.0.0.1:0"
	got, err := FromFlags("http://127.0.0.1:5000", "127.0.0.1:0")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, %v", got, err)
	}

	want.Listeners = Default().Listeners
	got, err = FromFlags("http://127.0.0.1:5000", "")
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("without --listen: got %+v, %v", got, err)
	}

	_, err = FromFlags("127.0.0.1", "here")
	wantErr := "--listen: listeners[0].address: here is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path\n" +
		"--upstream: upstream.url: 127.0.0.1 is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000"
	if err == nil || err.Error() != wantErr {
		t.Errorf("got  %v\nwant %s", err, wantErr)
	}
}
