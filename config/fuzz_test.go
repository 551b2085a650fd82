package config

import (
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
)

// FuzzLoad: no file, nor two in a folder, make the loader panic. What it accepts is
// valid, fits the schema, and is the same once it is printed and loaded again. What it
// refuses is told in lines that each name a line of a file.
func FuzzLoad(f *testing.F) {
	seeds := []string{
		upstreamLine,
		upstreamLine + "listeners: [{address: \":80\"}]\ntrusted_proxies: [10.0.0.0/8]\nadmin: {address: \"\"}\n",
		upstreamLine + "drain: {timeout: 5s, spread: 1s, close_code: 1001, reason: bye}\nlog: {level: debug, format: text}\n",
		upstreamLine + "policies:\n  - &a\n    match: {path: /a/**, host: [a.com]}\n    heartbeat: {interval: 5s, jitter: 1}\n  - release: {farewell: ['{}'], grace: 1s}\n    messages: {max_bytes: 1MiB}\n",
		upstreamLine + "policies:\n  - dialect: rac\n    subscriptions: {max: 5, deny: [a*]}\n    messages: {rate: 0.5, burst: 2, validate_utf8: true}\n    release: {unsubscribe: false, webhook: {url: http://a, attempts: 1}}\n",
		upstreamLine + "store: {kind: redis, url: \"redis://:a@b:1/2?c=d\", lease: 9s, on_failure: deny}\npressure: {heap: 1GiB}\n",
		upstreamLine + "policies:\n  - match: {origin: [\"https://*.a.com\", \"null\"]}\n    refuse_with: close\n    origins: {allow: [\"*\", \"http://[::1]:*\"]}\n    handshakes: {per_ip_rate: 5, burst: 9, total_rate: 50}\n    connections: {max: 9, per_ip: 3, per_identity: 1, identity: {from: header, name: X-User, required: true}, on_excess: evict_oldest}\n",
		upstreamLine + "admin: {address: \":1\", token_file: /dev/zero, hosts: [a, \"b:1\"]}\ntracing: {otlp_endpoint: \"http://a?b\"}\n",
		upstreamLine + "store: {kind: redis, url: \"redis://a:/b@c\"}\n",
		upstreamLine + "dialects:\n  - name: own\n    subscribe:\n      - {match: &m {a.b: 1, \"[0]\": ~}, topic: t, capture: {c: d}, unsubscribe: '{{c}}'}\n    heartbeat: [{match: *m}, {text: ping}]\n",
		upstreamLine + "dialects: [{name: a, subscribe: [{match: {\"a\\nb\": 1, ? [x] : y}, topic: a..b}]}]\n",
		upstreamLine + "policies: [{match: {path: /a/**}}, {match: {path: /a/*}}, {match: {host: [a]}}]\n", "log: &l {level: *l}\n", "a: &a [*a]\n", "? [a]\n: b\n", "a: 1\n---\nb: 2\n", "drain:\n\ttimeout: 5\n", "log: \"\\\n", "!!binary a: b\n",
		upstreamLine + "drain:\n  timeout: ${TEN}s\n  reason: $${TEN} ${WORD}$\npressure:\n  heap: ${TEN}0MiB\nlog: {level: \"${WORD}\"}\n",
		upstreamLine + "trusted_proxies: [\"${TEN}.0.0.0/8\"]\npolicies:\n  - connections:\n      max: !!int ${TEN}\n    messages:\n      validate_utf8: ${TRUE}\n    release: {webhook: {url: \"http://a?b=${WORD}\"}}\n",
		upstreamLine + "dialects: [{name: \"${WORD}\", subscribe: [{match: {a: \"${TEN}\", b: \"$${\"}, topic: t}]}]\npolicies: [{dialect: warn}]\n",
		upstreamLine + "policies: [{name: \"${NONE}\"}, {name: \"${file:none}\"}, {name: \"${\"}, {name: \"${-}\"}]\n",
		upstreamLine + "policies: [{messages: {rate: 1_000}, handshakes: {per_ip_rate: 1_0, total_rate: 1__0}, heartbeat: {interval: 30s, jitter: 0.0_1}}]\n",
		"upstream: {urls: [http://a, \"wss://b:1\", \"unix:/run/c\"], proxy_protocol: v2, breaker: {failures: 0}, health: {path: \"/a?b\", interval: 3s}, sticky: {from: header, name: X-A}}\n",
		"upstream:\n  url: \"unix:a\"\n  tls: {ca: /dev/null, cert: \"${file:none}\", server_name: \"a:1\"}\n",
		upstreamLine + "listeners:\n  - {address: \"unix:/run/${WORD}\", mode: 0660, owner: app, tls: {min_version: 1.3, cert: /dev/null, key: /dev/zero}}\n  - {address: \"systemd:a\", name: \"${WORD}\", mode: 0_1}\n",
		upstreamLine + "listeners: [{address: \"unix:a\", mode: 0600, name: \"${WORD}\", proxy_protocol: true, tls: {min_version: 1.2}}]\npolicies:\n  - match: {listener: [warn], subprotocol: [a*], header: [{name: X-A, value: \"*b\"}, {name: \"${WORD}\"}]}\n  - connections: {identity: {from: certificate, name: dns}}\n",
		upstreamLine + "policies: [{match: {header: [{name: X-A}], listener: [\"127.0.0.1:8080\"]}}]\n",
		upstreamLine + "policies: [{mode: observe, on_reload: enforce, idle: {timeout: 5m, mode: observe}}]\n",
	}
	folders := [][2]string{
		{upstreamLine + "policies: [{match: {path: /a}}]\nlog: {level: info}", "policies: [{match: {path: /b}}]\nlog: {format: text}\n"},
		{upstreamLine + "policies: []\n", "listeners: [{address: \":80\"}]\ndialects: [{name: a, heartbeat: [{text: a}]}]\npolicies: [{dialect: a}]\n"},
		{upstreamLine + "policies: [{name: a}]\n", "policies: [{name: a}]\nupstream: {url: http://b}\nlog: {level: info, level: info}\n"},
		{"log: [\n", upstreamLine + "log: 5\n"},
	}
	environ := map[string]string{"TEN": "10", "WORD": "warn", "TRUE": "true"}
	load := func(first, second string) (*Loaded, error) {
		r := newReader()
		r.environ = func(name string) (string, bool) {
			value, ok := environ[name]
			return value, ok
		}
		files := []file{{name: "w.yaml", text: []byte(first)}}
		if second != "" {
			files = append(files, file{name: "x.yaml", text: []byte(second)})
			r.folder = "folder"
		}
		return r.load(files, nil, nil)
	}
	valid := 0
	add := func(first, second string) {
		if _, err := load(first, second); err == nil {
			valid++
		}
		f.Add(first, second)
	}
	for _, seed := range seeds {
		add(seed, "")
	}
	for _, seed := range folders {
		add(seed[0], seed[1])
	}
	if valid < 16 {
		f.Fatalf("only %d of the seeds are valid", valid)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		texts := map[string]string{"w.yaml": first}
		if second != "" {
			texts["x.yaml"] = second
		}
		l, err := load(first, second)
		if err != nil {
			wantPlaces(t, l, err, texts)
			return
		}
		if err := l.Validate(); err != nil {
			t.Fatalf("accepted, but: %v", err)
		}
		printed := printed(t, l.Config, l.Places)
		for _, text := range append(slices.Collect(maps.Values(texts)), printed) {
			if err := fitsSchema(t, text); err != nil && !(second != "" && strings.Contains(err.Error(), "minItems")) {
				t.Fatalf("accepted, but: %v in\n%s", err, text) // an empty list is none beside another file's
			}
		}
		again, err := load(printed, "")
		switch {
		case strings.Contains(printed, redacted):
		case err != nil:
			t.Fatalf("%v in\n%s", err, printed)
		case !sameValues(t, again.Config, l.Config):
			t.Fatalf("not what it was:\n%s", printed)
		}
	})
}

// sameValues compares what can be written: no list is an empty one.
func sameValues(t *testing.T, a, b *Config) bool {
	x, y := *a, *b
	x.written, y.written = nil, nil
	return printed(t, &x, nil) == printed(t, &y, nil)
}

func wantPlaces(t *testing.T, l *Loaded, err error, texts map[string]string) {
	t.Helper()
	var problems Problems
	if !errors.As(err, &problems) || l.Config != nil || err.Error() == "" {
		t.Fatalf("configuration %v beside error %q", l.Config, err)
	}
	if got := strings.Count(err.Error(), "\n") + 1; got != len(problems) {
		t.Fatalf("%d problems in %d lines: %s", len(problems), got, err)
	}
	for _, p := range problems {
		if len(texts) > 1 && p.Place == "folder" {
			continue
		}
		text, known := texts[p.at.name]
		lines := 1
		for _, end := range []string{"\n", "\r", "\u0085", "\u2028", "\u2029"} {
			lines += strings.Count(text, end)
		}
		if !known || p.at.line < 1 || p.at.line > lines || p.at.column < 1 || !strings.HasPrefix(p.String(), p.at.name+":") {
			t.Fatalf("line %d of %d: %s", p.at.line, lines, p)
		}
	}
}
