package config

import (
	"strings"
	"testing"
)

// FuzzParse: no text makes Parse panic; what it accepts is valid, and
// fits the schema; what it refuses is told in lines that each name a line of the file.
func FuzzParse(f *testing.F) {
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
	}
	valid := 0
	for _, seed := range seeds {
		if _, err := Parse("w.yaml", []byte(seed)); err == nil {
			valid++
		}
		f.Add(seed)
	}
	if valid < 8 {
		f.Fatalf("only %d of the seeds are valid", valid)
	}
	f.Fuzz(func(t *testing.T, text string) {
		c, err := Parse("w.yaml", []byte(text))
		if err == nil {
			if err := c.Validate(); err != nil {
				t.Fatalf("accepted, but: %v", err)
			}
			if err := fitsSchema(t, text); err != nil {
				t.Fatalf("accepted, but: %v", err)
			}
			return
		}
		if c != nil || err.Error() == "" {
			t.Fatalf("configuration %v beside error %q", c, err)
		}
		lines := strings.Count(text, "\n") + strings.Count(text, "\r") + strings.Count(text, "\u0085") +
			strings.Count(text, "\u2028") + strings.Count(text, "\u2029") + 1
		problems := err.(Problems)
		if got := strings.Count(err.Error(), "\n") + 1; got != len(problems) {
			t.Fatalf("%d problems in %d lines: %s", len(problems), got, err)
		}
		for _, p := range problems {
			if p.line < 1 || p.line > lines || p.column < 1 || !strings.HasPrefix(p.String(), "w.yaml:") {
				t.Fatalf("line %d of %d: %s", p.line, lines, p)
			}
		}
	})
}
