package config

import "testing"

// Policies that no handshake meets.
func mistakesInOrder(*testing.T) (all []mistake) {
	const same = "comes first and selects the same; write another match, or one policy instead of both"
	const part = "comes first and selects all of it; move this policy above that one"
	for _, row := range []mistake{
		{"policies:\n  - name: everybody\n  - name: admin\n    match:\n      path: /admin/**", `w.yaml:5:5: policies[1].match: selects nothing, as policies[0] (everybody) ` + part},
		{"policies:\n  - name: a\n  - name: b", `w.yaml:4:5: policies[1].match: selects nothing, as policies[0] (a) ` + same},
		{"policies: [{match: {path: /a/**}}, {match: {path: /a/b}}]", `w.yaml:2:37: policies[1].match: selects nothing, as policies[0] (policy-1) ` + part},
		{"policies: [{match: {path: /a/*}}, {match: {path: /b}}, {match: {path: /a/b*}}]", `w.yaml:2:57: policies[2].match: selects nothing, as policies[0] (policy-1) ` + part},
		{"policies: [{match: {path: /**}}, {}]", `w.yaml:2:34: policies[1].match: selects nothing, as policies[0] (policy-1) ` + same},
		{"policies: [{match: {host: [\"*.a.org\"]}}, {match: {host: [x.a.org], path: /x}}]", `w.yaml:2:43: policies[1].match: selects nothing, as policies[0] (policy-1) ` + part},
		{"policies: [{match: {host: [A.org]}}, {match: {host: [a.org]}}]", `w.yaml:2:39: policies[1].match: selects nothing, as policies[0] (policy-1) ` + same},
		{"policies: [{match: {origin: [\"*\"]}}, {match: {origin: [\"https://a.org\"]}}]", `w.yaml:2:39: policies[1].match: selects nothing, as policies[0] (policy-1) ` + part},
		{"policies:\n  - match: {path: /a}\n  - name: rest\n  - match: {path: /b}\n  - match: {path: /c}",
			`w.yaml:5:5: policies[2].match: selects nothing, as policies[1] (rest) ` + part + "\n" +
				`w.yaml:6:5: policies[3].match: selects nothing, as policies[1] (rest) ` + part},
		// of a match that is wrong itself, nothing is known
		{"policies: [{match: {path: a}}, {match: {path: /a}}, {match: {pth: /a}}]",
			`w.yaml:2:21: policies[0].match.path: a does not begin with /; write a path such as /chat/*` + "\n" +
				`w.yaml:2:62: policies[2].match.pth: is not a known key; did you mean path?`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

// What could be done, but has no effect beside something else.
func contradictions(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		// addresses
		{"listeners: [{address: \":80\"}, {address: \"127.0.0.1:80\"}]", `w.yaml:2:32: listeners[1].address: 127.0.0.1:80 and listeners[0], :80, cannot both be listened on; remove one`},
		{"listeners: [{address: \"localhost:80\"}, {address: \"127.0.0.1:80\"}]", `w.yaml:2:41: listeners[1].address: 127.0.0.1:80 and listeners[0], localhost:80, cannot both be listened on; remove one`},
		{"listeners: [{address: \"0.0.0.0:9090\"}]", `w.yaml:1:1: admin.address: 127.0.0.1:9090 and listeners[0], 0.0.0.0:9090, cannot both be listened on; use another port`},
		{"admin: {address: \"localhost:8080\"}", `w.yaml:2:9: admin.address: localhost:8080 and listeners[0], 127.0.0.1:8080, cannot both be listened on; use another port`},
		{"admin: {address: \"localhost:5000\"}", `w.yaml:1:12: upstream.url: http://127.0.0.1:5000 is admin.address of wswarden itself; change one of them`},
		{"listeners: [{address: \":5000\"}]", `w.yaml:1:12: upstream.url: http://127.0.0.1:5000 is reached at listeners[0], :5000, of wswarden itself; change one of them`},

		// heartbeats
		{"policies: [{heartbeat: {interval: 5s, timeout: 15s}}]", `w.yaml:2:39: policies[0].heartbeat.timeout: 15s is longer than the interval, and no ping is sent while one waits for its answer; write 5s or less, or a longer interval`},
		{"policies: [{heartbeat: {timeout: 10m}}]", `w.yaml:2:25: policies[0].heartbeat.timeout: 10m is longer than the interval, and no ping is sent while one waits for its answer; write 30s or less, or a longer interval`},
		{"policies: [{heartbeat: {interval: 0s, timeout: 5s}}]", `w.yaml:2:39: policies[0].heartbeat.timeout: 5s has no effect without pings; write an interval such as 30s, or remove it`},
		{"policies: [{upstream_heartbeat: {timeout: 5s}}]", `w.yaml:2:34: policies[0].upstream_heartbeat.timeout: 5s has no effect without pings; write an interval such as 30s, or remove it`},
		{"policies: [{upstream_heartbeat: {interval: 1s, timeout: 5s}}]", `w.yaml:2:48: policies[0].upstream_heartbeat.timeout: 5s is longer than the interval, and no ping is sent while one waits for its answer; write 1s or less, or a longer interval`},

		// ages
		{"policies: [{idle: {timeout: 2h}, lifetime: {max: 1h}}]", `w.yaml:2:20: policies[0].idle.timeout: 2h has no effect, as lifetime.max ends sessions at 1h; write less, or a longer lifetime`},
		{"policies: [{first_message: {timeout: 10s}, lifetime: {max: 10s}}]", `w.yaml:2:29: policies[0].first_message.timeout: 10s has no effect, as lifetime.max ends sessions at 10s; write less, or a longer lifetime`},

		// messages
		{"policies: [{dialect: rac, messages: {max_bytes: 1MiB}}]", `w.yaml:2:38: policies[0].messages.max_bytes: 1MiB has no effect, as messages are read and none may be longer than inspect.max_bytes, 64KiB; write less, or a larger inspect.max_bytes`},
		{"policies: [{messages: {validate_utf8: true, max_bytes: 2KiB}, inspect: {max_bytes: 1KiB}}]", `w.yaml:2:45: policies[0].messages.max_bytes: 2KiB has no effect, as messages are read and none may be longer than inspect.max_bytes, 1KiB; write less, or a larger inspect.max_bytes`},
		{"policies: [{messages: {on_excess: drop}}]", `w.yaml:2:24: policies[0].messages.on_excess: drop has no effect without a limit; write rate: or bytes_per_second:, or remove it`},

		// handshakes, connections, subscriptions
		{"policies: [{handshakes: {per_ip_rate: 20, total_rate: 5}}]", `w.yaml:2:26: policies[0].handshakes.per_ip_rate: 20 has no effect, as total_rate is 5; write less, or a higher total_rate`},
		{"policies: [{handshakes: {per_ip_rate: 2, burst: 20, total_rate: 5, total_burst: 10}}]", `w.yaml:2:42: policies[0].handshakes.burst: 20 has no effect, as total_burst is 10; write less, or a larger total_burst`},
		{"policies: [{connections: {on_excess: evict_oldest}}]", `w.yaml:2:27: policies[0].connections.on_excess: evict_oldest has no effect without a limit; write max:, per_ip: or per_identity:, or remove it`},
		{"policies: [{dialect: rac, subscriptions: {on_excess: close}}]", `w.yaml:2:43: policies[0].subscriptions.on_excess: close has no effect without a limit; write max:, max_per_topic:, allow: or deny:, or remove it`},
		{"policies: [{dialect: rac, subscriptions: {max: 5, deny: [a, \"*\"]}}]", `w.yaml:2:61: policies[0].subscriptions.deny[1]: * denies every topic; write fewer, or allow: with those that are meant`},

		// webhook
		{"policies: [{release: {webhook: {attempts: 3, timeout: 1s}}}]", `w.yaml:2:33: policies[0].release.webhook.attempts: 3 has no effect without a url; write one such as https://example.com/sessions, or remove it` + "\n" +
			`w.yaml:2:46: policies[0].release.webhook.timeout: 1s has no effect without a url; write one such as https://example.com/sessions, or remove it`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

// Of policies and rules that only observe.
func mistakesInModes(*testing.T) (all []mistake) {
	const more = ` cannot be done, as the policy observes; write mode: enforce for the policy, and observe for each rule that is to observe`
	const off = ` has no effect, as the rule is off; write `
	for _, row := range []mistake{
		{"policies: [{mode: watch}]", `w.yaml:2:13: policies[0].mode: watch is not known; use one of enforce, observe`},
		{"policies: [{mode: \"\"}]", `w.yaml:2:13: policies[0].mode: "" is not known; use one of enforce, observe`},
		{"policies: [{on_reload: close}]", `w.yaml:2:13: policies[0].on_reload: close is not known; use one of keep, enforce`},
		{"policies: [{idle: {timeout: 5m, mode: true}}]", `w.yaml:2:33: policies[0].idle.mode: true is not text; put it into quotes`},
		{"policies: [{idle: {timeout: 5m, mode: monitor}}]", `w.yaml:2:33: policies[0].idle.mode: monitor is not known; use one of enforce, observe`},
		{"policies: [{release: {mode: observe}}]", `w.yaml:2:23: policies[0].release.mode: is not a known key; known here: unsubscribe, farewell, grace, webhook`},
		{"policies:\n  - mode: observe\n    idle:\n      timeout: 5m\n      mode: enforce\n    origins: {mode: enforce}",
			`w.yaml:6:7: policies[0].idle.mode: enforce` + more + "\n" + `w.yaml:7:15: policies[0].origins.mode: enforce` + more},
		{"policies: [{mode: obsrve, idle: {timeout: 5m, mode: enforce}}]", `w.yaml:2:13: policies[0].mode: obsrve is not known; use one of enforce, observe`},
		{"policies: [{idle: {mode: observe}}]", `w.yaml:2:20: policies[0].idle.mode: observe` + off + `a timeout such as 10m, or remove it`},
		{"policies: [{heartbeat: {interval: 0s, mode: observe}}]", `w.yaml:2:39: policies[0].heartbeat.mode: observe` + off + `an interval such as 30s, or remove it`},
		{"policies: [{upstream_heartbeat: {mode: observe}}]", `w.yaml:2:34: policies[0].upstream_heartbeat.mode: observe` + off + `an interval such as 30s, or remove it`},
		{"policies: [{first_message: {mode: observe}}]", `w.yaml:2:29: policies[0].first_message.mode: observe` + off + `a timeout such as 10s, or remove it`},
		{"policies: [{lifetime: {jitter: 0.5, mode: observe}}]", `w.yaml:2:37: policies[0].lifetime.mode: observe` + off + `max: such as 12h, or remove it`},
		{"policies: [{stall: {timeout: 0s, mode: observe}}]", `w.yaml:2:34: policies[0].stall.mode: observe` + off + `a timeout such as 30s, or remove it`},
		{"policies: [{messages: {mode: observe}}]", `w.yaml:2:24: policies[0].messages.mode: observe` + off + `max_bytes:, rate:, bytes_per_second: or validate_utf8:, or remove it`},
		{"policies: [{handshakes: {mode: observe}}]", `w.yaml:2:26: policies[0].handshakes.mode: observe` + off + `per_ip_rate: or total_rate:, or remove it`},
		{"policies: [{connections: {mode: observe, identity: {from: query, name: token}}}]", `w.yaml:2:27: policies[0].connections.mode: observe` + off + `max:, per_ip: or per_identity:, or remove it`},
		{"policies: [{dialect: rac, subscriptions: {mode: observe}}]", `w.yaml:2:43: policies[0].subscriptions.mode: observe` + off + `max:, max_per_topic:, allow: or deny:, or remove it`},
		{"policies: [{origins: {allow: [\"*\"], mode: observe}}]", `w.yaml:2:37: policies[0].origins.mode: observe` + off + `allow: without *, or remove it`},
		// of a rule whose limit could not be read, nothing is known
		{"policies: [{idle: {timeout: 5, mode: observe}}]", `w.yaml:2:20: policies[0].idle.timeout: 5 has no unit; write 5s`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

// What only looks like a contradiction.
func TestNoDoubts(t *testing.T) {
	for _, file := range []string{
		"policies: [{match: {path: /a/b}}, {match: {path: /a/**}}, {}]",
		"policies: [{match: {host: [a.org], path: /a}}, {match: {host: [a.org]}}, {match: {path: /a}}]",
		"policies: [{heartbeat: {interval: 5s}}]",
		"policies: [{heartbeat: {interval: 5s, timeout: 10s}}]", // the default, written down
		"policies: [{dialect: rac, messages: {max_bytes: 1MiB}, inspect: {oversize: forward}}]",
		"policies: [{messages: {max_bytes: 1MiB}}]",
		"policies: [{mode: observe, origins: {mode: observe}, stall: {mode: observe}, idle: {timeout: 5m, mode: observe}}]", // said twice
		"policies: [{heartbeat: {mode: enforce}, idle: {mode: enforce}, on_reload: enforce}]",
		"policies: [{connections: {mode: observe, identity: {from: query, name: token, required: true}}}]",
		"listeners: [{address: \"127.0.0.1:80\"}, {address: \"[::1]:80\"}, {address: \"127.0.0.2:80\"}, {address: \"10.0.0.1:80\"}]",
		"listeners: [{address: \"0.0.0.0:80\"}, {address: \"[::1]:80\"}]",
		"listeners: [{address: \":0\"}, {address: \"127.0.0.1:0\"}]\nadmin: {address: \"127.0.0.1:0\"}",
	} {
		if _, err := Parse("w.yaml", []byte(upstreamLine+file)); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
}
