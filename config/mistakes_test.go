package config

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// upstreamLine is the first line of most files here: the one key without a
// default. What a test adds begins in line 2.
const upstreamLine = "upstream: {url: http://127.0.0.1:5000}\n"

// mistake is a file in which something is wrong, and all that is said of it.
type mistake struct{ file, want string }

// mistakes are those that a person makes. Each is found with its place in one run, and
// nothing else is said.
func mistakes(t *testing.T) (all []mistake) {
	for _, some := range []func(*testing.T) []mistake{
		mistakesInSyntaxAndValues, mistakesInTheWholeFile, mistakesInAdmin, mistakesInTracing,
		mistakesInAdmission, mistakesInStore, mistakesInDialects, mistakesInOrder, contradictions,
		mistakesInModes, mistakesInExpansions, mistakesInListeners, mistakesInUpstream, mistakesInMatches,
	} {
		all = append(all, some(t)...)
	}
	return all
}

func TestMistakes(t *testing.T) {
	all := mistakes(t)
	if len(all) < 100 {
		t.Errorf("only %d mistakes", len(all))
	}
	for _, m := range all {
		wantProblems(t, m.file, m.want)
	}
}

func wantProblems(t *testing.T, file, want string) {
	t.Helper()
	c, err := Parse("w.yaml", []byte(file))
	switch {
	case err == nil:
		t.Errorf("accepted:\n%s\nwant: %s", file, want)
	case err.Error() != want:
		t.Errorf("file:\n%s\ngot:  %s\nwant: %s", file, err, want)
	case c != nil:
		t.Errorf("a configuration beside the error %v", err)
	}
}

// Each row adds one mistake to a file that is right but for it.
func mistakesInSyntaxAndValues(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		// YAML
		{"drain:\n\ttimeout: 5s", `w.yaml:3:1: is not valid YAML: a tab in the indentation; use spaces`},
		{"drain:\n  timeout: 5s\n\tspread: 1s", `w.yaml:4:1: is not valid YAML: a tab in the indentation; use spaces`},
		{"log: level: info", `w.yaml:2:1: is not valid YAML: mapping values are not allowed in this context`},
		{"log: {level: info\ndrain: {spread: 1s}", `w.yaml:2:1: is not valid YAML: did not find expected ',' or '}'`},
		{"log:\n  level: \"info\n", `w.yaml:3:3: is not valid YAML: found unexpected end of stream`},
		{"log:\n  level: *unset", `w.yaml:3:3: is not valid YAML: unknown anchor 'unset' referenced`},
		{"log:\n  level: \"\x01\"", `w.yaml:3:3: is not valid YAML: control characters are not allowed`},
		{"log:\n  level: \"\xff\"", `w.yaml:3:3: is not valid YAML: invalid leading UTF-8 octet`},
		{"...\nlog: {level: warn}", `w.yaml:3:1: is not valid YAML: did not find expected <document start>`},
		{"---\nlog: {level: warn}", `w.yaml:2:1: is not valid YAML: a second document begins; keep one, without ---`},

		// keys
		{"drane: {timeout: 5s}", `w.yaml:2:1: drane: is not a known key; did you mean drain?`},
		{"Drain: {timeout: 5s}", `w.yaml:2:1: Drain: is not a known key; did you mean drain?`},
		{"drain: {timoeut: 5s}", `w.yaml:2:9: drain.timoeut: is not a known key; did you mean timeout?`},
		{"drain: {reason: \"äöü€\", timeuot: 5s}", `w.yaml:2:25: drain.timeuot: is not a known key; did you mean timeout?`}, // columns are letters
		{"log: {colour: true}", `w.yaml:2:7: log.colour: is not a known key; known here: level, format`},
		{"plugins: {kind: memory}", `w.yaml:2:1: plugins: is not a known key; known here: listeners, trusted_proxies, upstream, admin, drain, log, tracing, store, pressure, dialects, policies`},
		{"listeners:\n  - address: 127.0.0.1:1\n    tsl: {cert: a.pem}", `w.yaml:4:5: listeners[0].tsl: is not a known key; did you mean tls?`},
		{"policies:\n  - name: a\n    sample: 10%", `w.yaml:4:5: policies[0].sample: is not a known key; known here: name, match, mode, on_reload, dialect, refuse_with, origins, handshakes, connections, heartbeat, upstream_heartbeat, first_message, idle, lifetime, stall, messages, inspect, subscriptions, release`},
		{"policies:\n  - heartbeat:\n      interval: 5s\n      intervall: 6s", `w.yaml:5:7: policies[0].heartbeat.intervall: is not a known key; did you mean interval?`},
		{"drain.timeout: 5s", `w.yaml:2:1: drain.timeout: is not a known key; known here: listeners, trusted_proxies, upstream, admin, drain, log, tracing, store, pressure, dialects, policies`},
		{"1: x", `w.yaml:2:1: 1: is not a known key; known here: listeners, trusted_proxies, upstream, admin, drain, log, tracing, store, pressure, dialects, policies`},
		{"\"a b\\nc\": x", `w.yaml:2:1: "a b\nc": is not a known key; known here: listeners, trusted_proxies, upstream, admin, drain, log, tracing, store, pressure, dialects, policies`},
		{"log: {<<: {level: info}}", `w.yaml:2:7: log.<<: is not a known key; known here: level, format`},
		{"log:\n  level: info\nlog:\n  level: warn", `w.yaml:4:1: log: is written twice, first in line 2; remove one`},
		{"log:\n  level: info\n  format: text\n  level: warn", `w.yaml:5:3: log.level: is written twice, first in line 3; remove one`},

		// shapes
		{"drain: 5s", `w.yaml:2:1: drain: must be a section, not 5s; write keys below it, such as timeout:`},
		{"drain: [5s]", `w.yaml:2:1: drain: must be a section, not a list; write keys below it, such as timeout:`},
		{"drain:", `w.yaml:2:1: drain: has no value; write one or remove it`},
		{"drain:\n  timeout:", `w.yaml:3:3: drain.timeout: has no value; write one or remove it`},
		{"listeners: 127.0.0.1:8080", `w.yaml:2:1: listeners: must be a list, not 127.0.0.1:8080; write each item in a line of its own, after "- "`},
		{"listeners: {address: 127.0.0.1:8080}", `w.yaml:2:1: listeners: must be a list, not a section; write each item in a line of its own, after "- "`},
		{"listeners: [127.0.0.1:8080]", `w.yaml:2:13: listeners[0]: must be a section, not 127.0.0.1:8080; write keys below it, such as address:`},
		{"log: {level: [info]}", `w.yaml:2:7: log.level: must be one value, not a list; if it is text, put it into quotes`},
		{"log: {level: {info: true}}", `w.yaml:2:7: log.level: must be one value, not a section; if it is text, put it into quotes`},
		{"drain: {reason: 42}", `w.yaml:2:9: drain.reason: 42 is not text; put it into quotes`},
		{"drain: {reason: true}", `w.yaml:2:9: drain.reason: true is not text; put it into quotes`},
		{"drain: {reason: 2001-01-01}", `w.yaml:2:9: drain.reason: 2001-01-01 is not text; put it into quotes`},

		// durations
		{"drain: {timeout: 5}", `w.yaml:2:9: drain.timeout: 5 has no unit; write 5s`},
		{"drain: {timeout: \"1.5\"}", `w.yaml:2:9: drain.timeout: 1.5 has no unit; write 1.5s`},
		{"drain: {timeout: 1d}", `w.yaml:2:9: drain.timeout: 1d is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"drain: {timeout: soon enough}", `w.yaml:2:9: drain.timeout: "soon enough" is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"drain: {timeout: true}", `w.yaml:2:9: drain.timeout: true is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"drain: {spread: -1s}", `w.yaml:2:9: drain.spread: -1s is below zero; write 0s or more`},
		{"drain: {timeout: 5s}", `w.yaml:2:1: drain.spread: 10s is longer than drain.timeout; write 5s or less`},
		{"drain: {timeout: -5s}", `w.yaml:2:9: drain.timeout: -5s is below zero; write 0s or more`},
		{"drain: {timeout: 99999999999h}", `w.yaml:2:9: drain.timeout: 99999999999h is too long; write less than 292 years, or remove it`},

		// close codes and reasons
		{"drain: {close_code: 1005}", `w.yaml:2:9: drain.close_code: 1005 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain: {close_code: 0}", `w.yaml:2:9: drain.close_code: 0 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain: {close_code: 70000}", `w.yaml:2:9: drain.close_code: 70000 is not a close code; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain: {close_code: restart}", `w.yaml:2:9: drain.close_code: restart is not a close code; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain: {close_code: \"1012\"}", `w.yaml:2:9: drain.close_code: "1012" is text, not a number; remove the quotes`},
		{"policies: [{idle: {close_code: 1006}}]", `w.yaml:2:20: policies[0].idle.close_code: 1006 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"policies: [{stall: {close_code: 1015}}]", `w.yaml:2:21: policies[0].stall.close_code: 1015 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"policies: [{lifetime: {close_code: 2999}}]", `w.yaml:2:24: policies[0].lifetime.close_code: 2999 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain: {reason: " + strings.Repeat("ä", 62) + "}", `w.yaml:2:9: drain.reason: "äääääääääääääääääääääääääääääääääääääääääääääääääääääääää"... has 124 bytes, and a close frame takes 123; shorten it`},

		// addresses and networks
		{"listeners: []", `w.yaml:2:1: listeners: is empty; add an address, or remove the key for the default`},
		{"listeners: [{address: localhost}]", `w.yaml:2:14: listeners[0].address: localhost is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path`},
		{"listeners: [{address: \"127.0.0.1:http\"}]", `w.yaml:2:14: listeners[0].address: 127.0.0.1:http is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path`},
		{"listeners: [{address: \"127.0.0.1:65536\"}]", `w.yaml:2:14: listeners[0].address: 127.0.0.1:65536 is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path`},
		{"listeners:\n  - address: 127.0.0.1:1\n  - address: 127.0.0.1:1", `w.yaml:4:5: listeners[1].address: 127.0.0.1:1 is listeners[0] already; remove one`},
		{"trusted_proxies: 10.0.0.0/8", `w.yaml:2:1: trusted_proxies: must be a list, not 10.0.0.0/8; write each item in a line of its own, after "- "`},
		{"trusted_proxies: [10.0.0.1]", `w.yaml:2:19: trusted_proxies[0]: 10.0.0.1 has no prefix length; write 10.0.0.1/32`},
		{"trusted_proxies:\n  - 10.0.0.0/8\n  - 10.0.0.0/33", `w.yaml:4:5: trusted_proxies[1]: 10.0.0.0/33 is not a network; write one such as 10.0.0.0/8`},
		{"trusted_proxies: [10.1.2.3/8]", `w.yaml:2:19: trusted_proxies[0]: 10.1.2.3/8 has bits set behind its prefix; write 10.0.0.0/8`},
		{"trusted_proxies: [\"::ffff:10.0.0.0/104\"]", `w.yaml:2:19: trusted_proxies[0]: ::ffff:10.0.0.0/104 fits no IPv4 address; write it as an IPv4 network, such as 10.0.0.0/8`},
		{"trusted_proxies: [~]", `w.yaml:2:19: trusted_proxies[0]: has no value; write one or remove it`},

		// log
		{"log: {level: verbose}", `w.yaml:2:7: log.level: verbose is not known; use one of debug, info, warn, error`},
		{"log: {format: \"\"}", `w.yaml:2:7: log.format: "" is not known; use one of json, text`},

		// policies
		{"policies: []", `w.yaml:2:1: policies: is empty; add a policy, or remove the key for the default`},
		{"policies: [~]", `w.yaml:2:12: policies[0]: has no value; write one or remove it`},
		{"policies: [{name: \"\"}]", `w.yaml:2:13: policies[0].name: is empty; write a name, or remove the key for the default`},
		{"policies: [{name: a, match: {path: /a}}, {name: a}]", `w.yaml:2:43: policies[1].name: a is the name of policies[0] already; use another`},
		{"policies: [{name: policy-2, match: {path: /a}}, {}]", `w.yaml:2:49: policies[1].name: policy-2 is the name of policies[0] already; use another`},
		{"policies: [{match: {path: chat}}]", `w.yaml:2:21: policies[0].match.path: chat does not begin with /; write a path such as /chat/*`},
		{"policies: [{match: {path: /**/chat}}]", `w.yaml:2:21: policies[0].match.path: /**/chat has ** that is not the whole last segment; use * for any text within one`},
		{"policies: [{match: {path: /chat**}}]", `w.yaml:2:21: policies[0].match.path: /chat** has ** that is not the whole last segment; use * for any text within one`},
		{"policies:\n  - match: {path: \"/chat?room=1\"}", `w.yaml:3:13: policies[0].match.path: /chat?room=1 has a query or fragment, which no path has; leave it out`},
		{"policies: [{match: {host: example.com}}]", `w.yaml:2:21: policies[0].match.host: must be a list, not example.com; write each item in a line of its own, after "- "`},
		{"policies: [{match: {host: [\"\"]}}]", `w.yaml:2:28: policies[0].match.host[0]: "" is not a host; write one such as example.com or *.example.com`},
		{"policies: [{match: {host: [a.com, \"*\"]}}]", `w.yaml:2:35: policies[0].match.host[1]: * is not a host; write one such as example.com or *.example.com`},
		{"policies: [{match: {host: [\"http://a.com\"]}}]", `w.yaml:2:28: policies[0].match.host[0]: http://a.com is not a host; write one such as example.com or *.example.com`},
		{"policies: [{match: {host: [\"a.com:80\"]}}]", `w.yaml:2:28: policies[0].match.host[0]: a.com:80 has a port, or lacks brackets; write the host alone, such as example.com or [::1]`},
		{"policies: [{match: {host: [\"::1\"]}}]", `w.yaml:2:28: policies[0].match.host[0]: ::1 has a port, or lacks brackets; write the host alone, such as example.com or [::1]`},
		{"policies: [{heartbeat: {timeout: 0s}}]", `w.yaml:2:25: policies[0].heartbeat.timeout: 0s is not above zero; write a duration such as 10s`},
		{"policies: [{upstream_heartbeat: {interval: 5s, timeout: 0s}}]", `w.yaml:2:48: policies[0].upstream_heartbeat.timeout: 0s is not above zero; write a duration such as 10s`},
		{"policies: [{heartbeat: {jitter: 1.1}}]", `w.yaml:2:25: policies[0].heartbeat.jitter: 1.1 is out of range; write a number from 0 to 1`},
		{"policies: [{lifetime: {jitter: -0.1}}]", `w.yaml:2:24: policies[0].lifetime.jitter: -0.1 is out of range; write a number from 0 to 1`},
		{"policies: [{lifetime: {jitter: .nan}}]", `w.yaml:2:24: policies[0].lifetime.jitter: .nan is not a number; write one from 0 to 1`},
		{"policies: [{lifetime: {jitter: \"0.1\"}}]", `w.yaml:2:24: policies[0].lifetime.jitter: "0.1" is text, not a number; remove the quotes`},
		{"policies: [{heartbeat: {liveness: ping}}]", `w.yaml:2:25: policies[0].heartbeat.liveness: ping is not known; use one of any, pong`},
		{"policies: [{messages: {max_bytes: -1}}]", `w.yaml:2:24: policies[0].messages.max_bytes: -1 is below zero; write 0 or more`},
		{"policies: [{messages: {max_bytes: 64k}}]", `w.yaml:2:24: policies[0].messages.max_bytes: 64k is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB`},
		{"policies: [{messages: {max_bytes: 1.5MiB}}]", `w.yaml:2:24: policies[0].messages.max_bytes: 1.5MiB is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB`},
		{"policies: [{messages: {max_bytes: 9999999999GiB}}]", `w.yaml:2:24: policies[0].messages.max_bytes: 9999999999GiB is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB`},
		{"policies: [{release: {grace: 0s}}]", `w.yaml:2:23: policies[0].release.grace: 0s is not above zero; write a duration such as 2s`},
		{"policies: [{release: {farewell: [bye, \"\"]}}]", `w.yaml:2:39: policies[0].release.farewell[1]: "" is not a text message; write one or remove it`},
		{"policies: [{release: {farewell: [{type: UNSUBSCRIBE}]}}]", `w.yaml:2:34: policies[0].release.farewell[0]: must be one value, not a section; if it is text, put it into quotes`},

		// messages and their reading
		{"policies: [{messages: {rate: -1}}]", `w.yaml:2:24: policies[0].messages.rate: -1 is out of range; write a number, 0 or more`},
		{"policies: [{messages: {rate: 1e999}}]", `w.yaml:2:24: policies[0].messages.rate: 1e999 is not a number; write how many in a second, such as 20`},
		{"policies: [{messages: {rate: 20/s}}]", `w.yaml:2:24: policies[0].messages.rate: 20/s is not a number; write how many in a second, such as 20`},
		{"policies: [{messages: {rate: \"20\"}}]", `w.yaml:2:24: policies[0].messages.rate: "20" is text, not a number; remove the quotes`},
		{"policies:\n  - messages:\n      burst: 20", `w.yaml:4:7: policies[0].messages.burst: 20 has no effect without a rate; write one, or remove it`},
		{"policies: [{messages: {rate: 20, burst: 1.5}}]", `w.yaml:2:34: policies[0].messages.burst: 1.5 is not a count; write a whole number, such as 20`},
		{"policies: [{messages: {rate: 20, burst: -1}}]", `w.yaml:2:34: policies[0].messages.burst: -1 is below zero; write 0 or more`},
		{"policies: [{messages: {rate: 20, burst: \"5\"}}]", `w.yaml:2:34: policies[0].messages.burst: "5" is text, not a number; remove the quotes`},
		{"policies: [{messages: {rate: 1e-300, on_excess: delay}}]", `w.yaml:2:24: policies[0].messages.rate: 1e-300 is hardly ever; write 0.001 or more, or 0 for no limit`},
		{"policies: [{idle: {timeout: 1ns}}]", `w.yaml:2:20: policies[0].idle.timeout: 1ns is shorter than anything takes; write 1ms or more`},
		{"policies: [{idle: {timeout: 9999999h}}]", `w.yaml:2:20: policies[0].idle.timeout: 9999999h is too long; write less than 292 years, or remove it`},
		{"policies: [{messages: {rate: 1_000}}]", `w.yaml:2:24: policies[0].messages.rate: 1_000 is not a number; write how many in a second, such as 20`},
		{"policies: [{handshakes: {total_rate: 1_000}}]", `w.yaml:2:26: policies[0].handshakes.total_rate: 1_000 is not a number; write how many in a second, such as 20`},
		{"policies: [{connections: {max: 1_000}}]", `w.yaml:2:27: policies[0].connections.max: 1_000 is not a count; write a whole number, such as 20`},
		{"policies: [{heartbeat: {jitter: 0.0_1}}]", `w.yaml:2:25: policies[0].heartbeat.jitter: 0.0_1 is not a number; write one from 0 to 1`},
		{"drain: {timeout: 1_000}", `w.yaml:2:9: drain.timeout: 1_000 is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"policies: [" + strings.Repeat("{}, ", 2000) + "]", `w.yaml:2:1: policies: 2000 are too many; write 1000 or fewer`},
		{"listeners: [" + strings.Repeat("{}, ", 1001) + "]", `w.yaml:2:1: listeners: 1001 are too many; write 1000 or fewer`},
		{"policies: [{messages: {rate: x, burst: 5}}]", `w.yaml:2:24: policies[0].messages.rate: x is not a number; write how many in a second, such as 20`},
		{"policies: [{messages: {bytes_per_second: 64}}]", `w.yaml:2:24: policies[0].messages.bytes_per_second: 64 lets hardly a message pass; write 1KiB or more, or 0 for no limit`},
		{"policies: [{messages: {bytes_per_second: -1KiB}}]", `w.yaml:2:24: policies[0].messages.bytes_per_second: -1024 is below zero; write 0 or more`},
		{"policies: [{messages: {validate_utf8: yes}}]", `w.yaml:2:24: policies[0].messages.validate_utf8: yes is neither true nor false; write one of them`},
		{"policies: [{messages: {validate_utf8: 1}}]", `w.yaml:2:24: policies[0].messages.validate_utf8: 1 is neither true nor false; write one of them`},
		{"policies: [{messages: {validate_utf8: \"true\"}}]", `w.yaml:2:24: policies[0].messages.validate_utf8: "true" is text, neither true nor false; remove the quotes`},
		{"policies: [{messages: {on_excess: reject}}]", `w.yaml:2:24: policies[0].messages.on_excess: reject is not known; use one of close, drop, delay`},
		{"policies: [{inspect: {max_bytes: 0}}]", `w.yaml:2:23: policies[0].inspect.max_bytes: 0 is out of range; write a size above 0, at most 16MiB`},
		{"policies: [{inspect: {max_bytes: -1}}]", `w.yaml:2:23: policies[0].inspect.max_bytes: -1 is out of range; write a size above 0, at most 16MiB`},
		{"policies: [{inspect: {max_bytes: 17MiB}}]", `w.yaml:2:23: policies[0].inspect.max_bytes: 17825792 is out of range; write a size above 0, at most 16MiB`},
		{"policies: [{inspect: {oversize: drop}}]", `w.yaml:2:23: policies[0].inspect.oversize: drop is not known; use one of close, forward`},
		{"policies: [{dialect: rac, messages: {max_bytes: 1MiB}, inspect: {max_bytes: 2M}}]", `w.yaml:2:66: policies[0].inspect.max_bytes: 2M is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB`},

		// subscriptions
		{"policies:\n  - subscriptions:\n      on_excess: close\n      max: 20", `w.yaml:5:7: policies[0].subscriptions.max: has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it`},
		{"policies: [{subscriptions: {max_per_topic: 20}}]", `w.yaml:2:29: policies[0].subscriptions.max_per_topic: has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it`},
		{"policies: [{dialect: \"\", subscriptions: {allow: [\"*\"]}}]", `w.yaml:2:42: policies[0].subscriptions.allow: has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it`},
		{"policies:\n  - subscriptions:\n      deny:\n        - a\n        - b", `w.yaml:4:7: policies[0].subscriptions.deny: has no effect without a dialect, which tells what a subscription is; write dialect: and its name into the policy, or remove it`},
		{"policies: [{dialect: 5, subscriptions: {max: 20}}]", `w.yaml:2:13: policies[0].dialect: 5 is not text; put it into quotes`},
		{"policies: [{dialect: rac, subscriptions: {max: -1}}]", `w.yaml:2:43: policies[0].subscriptions.max: -1 is below zero; write 0 or more`},
		{"policies: [{dialect: rac, subscriptions: {max: many}}]", `w.yaml:2:43: policies[0].subscriptions.max: many is not a count; write a whole number, such as 20`},
		{"policies: [{dialect: rac, subscriptions: {max_per_topic: -1}}]", `w.yaml:2:43: policies[0].subscriptions.max_per_topic: -1 is below zero; write 0 or more`},
		{"policies: [{dialect: rac, subscriptions: {on_excess: drop}}]", `w.yaml:2:43: policies[0].subscriptions.on_excess: drop is not known; use one of reject, close, evict_oldest`},
		{"policies: [{dialect: rac, subscriptions: {close_code: 999}}]", `w.yaml:2:43: policies[0].subscriptions.close_code: 999 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"policies:\n  - dialect: rac\n    subscriptions:\n      allow:\n        - a\n        - \"\"", `w.yaml:7:11: policies[0].subscriptions.allow[1]: "" is not a pattern of topics; write one or remove it`},
		{"policies: [{dialect: rac, subscriptions: {deny: [\"\"]}}]", `w.yaml:2:50: policies[0].subscriptions.deny[0]: "" is not a pattern of topics; write one or remove it`},

		// webhook
		{"policies: [{release: {unsubscribe: no}}]", `w.yaml:2:23: policies[0].release.unsubscribe: no is neither true nor false; write one of them`},
		{"policies:\n  - release:\n      webhook:\n        url: a.com/hook", `w.yaml:5:9: policies[0].release.webhook.url: a.com/hook is not an http:// or https:// URL; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"ftp://a.com\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: ftp://a.com is not an http:// or https:// URL; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"http://:80/x\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: http://:80/x is not an http:// or https:// URL; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"https://me:secret@a.com\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: https://a.com has a user (not shown), which is not supported; leave it out`},
		{"policies: [{release: {webhook: {url: \"http://u:SecretPw@h/path?token=SecretQ\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: http://h/path has a user (not shown), which is not supported; leave it out`},
		{"policies: [{release: {webhook: {url: \"ht tp://SecretPw@h/\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: is not an http:// or https:// URL (nor shown, as it may hold a key); write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"me:SecretPw@h/?token=SecretQ\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: is not an http:// or https:// URL (nor shown, as it may hold a key); write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"ws://a.com/end?token=SecretQ\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: ws://a.com/end is not an http:// or https:// URL; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"http://a.com:0/end?token=SecretQ\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: http://a.com:0/end has no port from 1 to 65535; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"http://a.com:70000\"}}}]", `w.yaml:2:33: policies[0].release.webhook.url: http://a.com:70000 has no port from 1 to 65535; write one such as https://example.com/sessions`},
		{"policies: [{release: {webhook: {url: \"http://a.com\", timeout: 0s}}}]", `w.yaml:2:54: policies[0].release.webhook.timeout: 0s is not above zero; write a duration such as 2s`},
		{"policies: [{release: {webhook: {url: \"http://a.com\", attempts: 0}}}]", `w.yaml:2:54: policies[0].release.webhook.attempts: 0 is not above zero; write how often to try, such as 5`},
		{"policies: [{release: {webhook: {url: \"http://a.com\", attempts: -1}}}]", `w.yaml:2:54: policies[0].release.webhook.attempts: -1 is below zero; write 0 or more`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

func mistakesInTheWholeFile(*testing.T) (all []mistake) {
	return []mistake{
		{"", `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"# nothing\n", `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"---\n", `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"log: {level: info}\nupstream:\n  dial_timeout: 1s", `w.yaml:2:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
		{"- upstream", `w.yaml:1:1: must be a section, not a list; write keys below it, such as listeners:`},
		{"upstream", `w.yaml:1:1: must be a section, not upstream; write keys below it, such as listeners:`},
		{"upstream: {url: [a]}", `w.yaml:1:12: upstream.url: must be one value, not a list; if it is text, put it into quotes`},
		{"upstream: {url: 127.0.0.1:5000}", `w.yaml:1:12: upstream.url: 127.0.0.1:5000 is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: localhost:5000}", `w.yaml:1:12: upstream.url: localhost:5000 is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: \"http://:80\"}", `w.yaml:1:12: upstream.url: http://:80 is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: \"http://a b\"}", `w.yaml:1:12: upstream.url: "http://a b" is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: http://a/chat}", `w.yaml:1:12: upstream.url: http://a/chat has more than host and port; write http://a`},
		{"upstream: {url: \"http://a:5000?x\"}", `w.yaml:1:12: upstream.url: http://a:5000?xxxxx has more than host and port; write http://a:5000`},
		{"upstream: {url: \"http://a#\"}", `w.yaml:1:12: upstream.url: http://a# has more than host and port; write http://a`},
		{"upstream: {url: http://me:secret@a}", `w.yaml:1:12: upstream.url: http://me:xxxxx@a has a user, which is not supported; write http://a`},
		{"upstream: {url: http://a:0}", `w.yaml:1:12: upstream.url: http://a:0 has no port from 1 to 65535; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: http://a:65536}", `w.yaml:1:12: upstream.url: http://a:65536 has no port from 1 to 65535; write one such as http://127.0.0.1:5000`},
		{"upstream: {url: http://127.0.0.1:8080}", `w.yaml:1:12: upstream.url: http://127.0.0.1:8080 is a listener of wswarden itself; change one of them`},
		{"upstream: {url: http://a, dial_timeout: 0s}", `w.yaml:1:27: upstream.dial_timeout: 0s is not above zero; write a duration such as 2s`},
		{"upstream: {url: http://a, handshake_timeout: -1s}", `w.yaml:1:27: upstream.handshake_timeout: -1s is not above zero; write a duration such as 5s`},
	}
}

// What later versions may know is not silently ignored by this one.
func TestKeysNotYetKnown(t *testing.T) {
	for _, file := range []string{
		"upstream: {retries: 5}",
		"listeners: [{backlog: 1024}]",
		"policies: [{sample: 0.1}]",
		"policies: [{match: {method: [GET]}}]",
	} {
		if _, err := Parse("w.yaml", []byte(file)); err == nil || !strings.Contains(err.Error(), ": is not a known key; ") {
			t.Errorf("%s: got %v", file, err)
		}
	}
}

// All problems come at once, in the order of the file's lines.
func TestProblemsComeTogether(t *testing.T) {
	wantProblems(t, `listeners:
  - address: 127.0.0.1
log:
  level: loud
drain:
  timeout: 5
  spread: 1m
policies:
  - { name: a, match: { path: /a } }
  - release: { grace: 0s }
    name: a
    heartbeat:
      interval: -1s
      jitter: 7
      pings: 3
`, `w.yaml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000
w.yaml:2:5: listeners[0].address: 127.0.0.1 is not an address; write host:port, such as 127.0.0.1:8080, or unix:/path
w.yaml:4:3: log.level: loud is not known; use one of debug, info, warn, error
w.yaml:6:3: drain.timeout: 5 has no unit; write 5s
w.yaml:10:16: policies[1].release.grace: 0s is not above zero; write a duration such as 2s
w.yaml:11:5: policies[1].name: a is the name of policies[0] already; use another
w.yaml:13:7: policies[1].heartbeat.interval: -1s is below zero; write 0s or more
w.yaml:14:7: policies[1].heartbeat.jitter: 7 is out of range; write a number from 0 to 1
w.yaml:15:7: policies[1].heartbeat.pings: is not a known key; known here: interval, timeout, jitter, liveness, close_code, mode`)
}

// What could not be read has its default, of which nothing more is said.
func TestProblemsDoNotFollowFromOthers(t *testing.T) {
	wantProblems(t, upstreamLine+"drain: {spread: 1m, timeout: 90}", `w.yaml:2:21: drain.timeout: 90 has no unit; write 90s`)
	wantProblems(t, upstreamLine+"drain: {spread: 20, timeout: 5s}", `w.yaml:2:9: drain.spread: 20 has no unit; write 20s`)
}

func TestProblemsOfAliases(t *testing.T) {
	wantProblems(t, upstreamLine+`policies:
  - heartbeat: &slow
      interval: 5
    match: {path: /slow}
  - heartbeat: *slow
`, `w.yaml:4:7: policies[0].heartbeat.interval: 5 has no unit; write 5s
w.yaml:4:7: policies[1].heartbeat.interval: 5 has no unit; write 5s`)
}

// What is no configuration at all is told of in so many lines.
func TestProblemsHaveAnEnd(t *testing.T) {
	_, err := Parse("w.yaml", []byte(upstreamLine+"trusted_proxies:\n"+strings.Repeat("- x\n", 3000)))
	lines := strings.Split(err.Error(), "\n")
	if want := "w.yaml:1003:3: there is more that is wrong; correct what is told first"; len(lines) != maxProblems+1 || lines[maxProblems] != want {
		t.Errorf("%d lines, the last is %s", len(lines), lines[len(lines)-1])
	}
}

// A mistake at the end of a long file is found at its place, and that takes about as long
// as to read the file: line by line it would be minutes.
func TestSyntaxErrorsFarDown(t *testing.T) {
	var b strings.Builder
	b.WriteString(upstreamLine + "policies:\n")
	for i := range maxSections / 2 {
		fmt.Fprintf(&b, "  - name: p%d\n    match: { path: /p%d/** }\n    heartbeat: {\n      interval: 15s, timeout: 5s }\n", i, i)
	}
	for _, row := range []mistake{
		{"---\nlog: {level: debug}", `w.yaml:2003:1: is not valid YAML: a second document begins; keep one, without ---`},
		{"log: {level: debug}\n---", `w.yaml:2004:1: is not valid YAML: a second document begins; keep one, without ---`},
		{"log:\n  level: *unset\ndrain: {spread: 1s}", `w.yaml:2004:3: is not valid YAML: unknown anchor 'unset' referenced`},
		{"log:\n  level: \"\x01\"\ndrain: {spread: 1s}", `w.yaml:2004:3: is not valid YAML: control characters are not allowed`},
		{"log:\n  level: \"\xff\"\ndrain: {spread: 1s}", `w.yaml:2004:3: is not valid YAML: invalid leading UTF-8 octet`},
		{" log: {level: debug}\ndrain: {spread: 1s}", `w.yaml:2003:2: is not valid YAML: did not find expected key`},
		{"log: {level: debug\ndrain: {spread: 1s}\n", `w.yaml:2003:1: is not valid YAML: did not find expected ',' or '}'`},
		{"log:\n  level: \"debug\ndrain: {spread: 1s}\n", `w.yaml:2004:3: is not valid YAML: found unexpected end of stream`},
		{"log:\n\tlevel: debug\ndrain: {spread: 1s}\n", `w.yaml:2004:1: is not valid YAML: a tab in the indentation; use spaces`},
	} {
		_, err := Parse("w.yaml", []byte(b.String()+row.file))
		if err == nil || err.Error() != row.want {
			t.Errorf("behind many policies:\n%s\ngot:  %v\nwant: %s", row.file, err, row.want)
		}
	}
}

func TestLoadMissingFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "none.yaml")
	_, err := Load(file)
	if want := file + ": cannot be read: no such file or directory; let it be a file that wswarden may read, or name another"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	file := filepath.Join(t.TempDir(), "w.yaml")
	if err := os.WriteFile(file, []byte(upstreamLine+"drain: {timeout: 30}"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(file)
	if want := file + ":2:9: drain.timeout: 30 has no unit; write 30s"; err == nil || err.Error() != want {
		t.Errorf("got %v, want %s", err, want)
	}
}

// Validate of a configuration that no file was read for names keys only.
func TestValidateNamesKeys(t *testing.T) {
	c := Default()
	c.Drain.CloseCode = 1006
	c.Drain.Reason = "\xff"
	err := c.Validate()
	want := `upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000
drain.close_code: 1006 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999
drain.reason: "\xff" is not valid UTF-8; write text`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}
