package config

import (
	"strings"
	"testing"
)

func mistakesInAdmission(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		{"policies: [{refuse_with: 403}]", `w.yaml:2:13: policies[0].refuse_with: 403 is not text; put it into quotes`},
		{"policies: [{refuse_with: reset}]", `w.yaml:2:13: policies[0].refuse_with: reset is not known; use one of status, close`},

		// origins
		{"policies: [{match: {origin: https://a.com}}]", `w.yaml:2:21: policies[0].match.origin: must be a list, not https://a.com; write each item in a line of its own, after "- "`},
		{"policies: [{match: {origin: [\"https://a.com/chat\"]}}]", `w.yaml:2:30: policies[0].match.origin[0]: https://a.com/chat is not a pattern of origins; write one such as https://example.com, https://*.example.com or http://localhost:*`},
		{"policies:\n  - origins:\n      allow:\n        - https://a.com\n        - https://a.*\n        - \"\"",
			`w.yaml:6:11: policies[0].origins.allow[1]: https://a.* is not a pattern of origins; write one such as https://example.com, https://*.example.com or http://localhost:*
w.yaml:7:11: policies[0].origins.allow[2]: "" is not a pattern of origins; write one such as https://example.com, https://*.example.com or http://localhost:*`},

		// rates
		{"policies: [{handshakes: {per_ip_rate: -1}}]", `w.yaml:2:26: policies[0].handshakes.per_ip_rate: -1 is out of range; write a number, 0 or more`},
		{"policies: [{handshakes: {total_rate: 5/s}}]", `w.yaml:2:26: policies[0].handshakes.total_rate: 5/s is not a number; write how many in a second, such as 20`},
		{"policies: [{handshakes: {burst: 20}}]", `w.yaml:2:26: policies[0].handshakes.burst: 20 has no effect without a rate; write per_ip_rate, or remove it`},
		{"policies: [{handshakes: {per_ip_rate: 5, total_burst: 20}}]", `w.yaml:2:42: policies[0].handshakes.total_burst: 20 has no effect without a rate; write total_rate, or remove it`},
		{"policies: [{handshakes: {total_rate: x, total_burst: 20}}]", `w.yaml:2:26: policies[0].handshakes.total_rate: x is not a number; write how many in a second, such as 20`},
		{"policies: [{handshakes: {per_ip_rate: 5, burst: -1}}]", `w.yaml:2:42: policies[0].handshakes.burst: -1 is below zero; write 0 or more`},
		{"policies: [{handshakes: {total_rate: 5, total_burst: -1}}]", `w.yaml:2:41: policies[0].handshakes.total_burst: -1 is below zero; write 0 or more`},

		// limits
		{"policies: [{connections: {max: -1}}]", `w.yaml:2:27: policies[0].connections.max: -1 is below zero; write 0 or more`},
		{"policies: [{connections: {per_ip: -1}}]", `w.yaml:2:27: policies[0].connections.per_ip: -1 is below zero; write 0 or more`},
		{"policies: [{connections: {per_identity: -1}}]", `w.yaml:2:27: policies[0].connections.per_identity: -1 is below zero; write 0 or more`},
		{"policies: [{connections: {max: 5, per_ip: 6}}]", `w.yaml:2:35: policies[0].connections.per_ip: 6 has no effect, as max is 5; write less, or remove it`},
		{"policies: [{connections: {max: 5, per_identity: 6, identity: {from: query, name: token}}}]", `w.yaml:2:35: policies[0].connections.per_identity: 6 has no effect, as max is 5; write less, or remove it`},
		{"policies: [{connections: {on_excess: close}}]", `w.yaml:2:27: policies[0].connections.on_excess: close is not known; use one of reject, evict_oldest`},
		{"policies: [{connections: {close_code: 1006}}]", `w.yaml:2:27: policies[0].connections.close_code: 1006 may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},

		// identities: where from
		{"policies: [{connections: {per_identity: 3}}]", `w.yaml:2:27: policies[0].connections.per_identity: 3 has no effect without an identity; write identity.from: query, header, cookie, certificate or message, or remove it`},
		{"policies:\n  - connections:\n      identity:\n        required: true\n        name: token",
			`w.yaml:5:9: policies[0].connections.identity.required: true would refuse everybody, as no identity is looked for; write from: query, header, cookie or certificate, or remove it
w.yaml:6:9: policies[0].connections.identity.name: token has no effect without from; write from: query, header, cookie or certificate, or remove it`},
		{"policies: [{connections: {per_identity: 3, identity: {from: path}}}]", `w.yaml:2:55: policies[0].connections.identity.from: path is not known; use one of query, header, cookie, certificate, message`},
		{"policies: [{connections: {per_identity: 3, identity: {from: 5, required: true}}}]", `w.yaml:2:55: policies[0].connections.identity.from: 5 is not text; put it into quotes`},

		// identities in a handshake
		{"policies: [{connections: {identity: {from: query}}}]", `w.yaml:2:27: policies[0].connections.identity.name: is missing; write the name of the query parameter, such as token`},
		{"policies: [{connections: {identity: {from: header, name: \"\"}}}]", `w.yaml:2:52: policies[0].connections.identity.name: is missing; write the name of the header, such as X-User`},
		{"policies: [{connections: {identity: {from: cookie, required: true}}}]", `w.yaml:2:27: policies[0].connections.identity.name: is missing; write the name of the cookie, such as session`},
		{"policies: [{connections: {identity: {from: query, name: \"?token=\"}}}]", `w.yaml:2:51: policies[0].connections.identity.name: ?token= is not the name of a query parameter; write one such as token`},
		{"policies: [{connections: {identity: {from: query, name: user%20id}}}]", `w.yaml:2:51: policies[0].connections.identity.name: user%20id is not the name of a query parameter; write one such as token`},
		{"policies: [{connections: {identity: {from: query, name: \"a\\nb\"}}}]", `w.yaml:2:51: policies[0].connections.identity.name: "a\nb" is not the name of a query parameter; write one such as token`},
		{"policies: [{connections: {identity: {from: header, name: \"X-User:\"}}}]", `w.yaml:2:52: policies[0].connections.identity.name: X-User: is not the name of a header; write one such as X-User`},
		{"policies: [{connections: {identity: {from: header, name: X User}}}]", `w.yaml:2:52: policies[0].connections.identity.name: "X User" is not the name of a header; write one such as X-User`},
		{"policies: [{connections: {identity: {from: cookie, name: sitzung=ä}}}]", `w.yaml:2:52: policies[0].connections.identity.name: sitzung=ä is not the name of a cookie; write one such as session`},
		{"policies: [{connections: {identity: {from: cookie, name: 5}}}]", `w.yaml:2:52: policies[0].connections.identity.name: 5 is not text; put it into quotes`},

		// identities in a message
		{"policies: [{connections: {per_identity: 3, identity: {from: message}}}]", `w.yaml:2:55: policies[0].connections.identity.from: message needs a dialect, which tells how clients say who they are; write dialect: and its name into the policy, or use query, header or cookie`},
		{"policies: [{dialect: pusher, connections: {per_identity: 3, identity: {from: message}}}]", `w.yaml:2:72: policies[0].connections.identity.from: message cannot be done: dialect pusher has no rule for identify; add one, or use query, header or cookie`},
		{ownDialect + "policies:\n  - dialect: own\n    connections:\n      identity:\n        from: message", `w.yaml:11:9: policies[0].connections.identity.from: message cannot be done: dialect own has no rule for identify; add one, or use query, header or cookie`},
		{"policies: [{dialect: rac, connections: {identity: {from: message, name: irctcId}}}]", `w.yaml:2:67: policies[0].connections.identity.name: irctcId has no effect with from: message, as the dialect knows where the identity is; remove it`},
		{"policies: [{dialect: rac, connections: {identity: {from: message, required: true}}}]", `w.yaml:2:67: policies[0].connections.identity.required: true cannot be done, as no handshake has an identity that comes in a message; use from: query, header, cookie or certificate, or remove it and set first_message.timeout`},
		{"policies: [{dialect: rca, connections: {identity: {from: message}}}]", `w.yaml:2:13: policies[0].dialect: rca is not a known dialect; did you mean rac?`},
		{"policies: [{dialect: 5, connections: {identity: {from: message}}}]", `w.yaml:2:13: policies[0].dialect: 5 is not text; put it into quotes`},

		// pressure
		{"pressure: {heap: -1}", `w.yaml:2:12: pressure.heap: -1 is below zero; write 0 or more`},
		{"pressure: {heap: 512}", `w.yaml:2:12: pressure.heap: 512 is less than a process without sessions has; write 16MiB or more, such as 512MiB, or 0 to switch it off`},
		{"pressure: {heap: 80%}", `w.yaml:2:12: pressure.heap: 80% is not a size; write bytes, or a whole number and KiB, MiB or GiB, such as 64KiB`},
		{"pressure: 512MiB", `w.yaml:2:1: pressure: must be a section, not 512MiB; write keys below it, such as heap:`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

func mistakesInStore(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		{"kind: etcd", `w.yaml:2:9: store.kind: etcd is not known; use one of memory, redis`},
		{"kind: etcd, url: \"redis://a\", cluster: true", `w.yaml:2:9: store.kind: etcd is not known; use one of memory, redis`},
		{"kind: 1, url: \"redis://a\", cluster: true", `w.yaml:2:9: store.kind: 1 is not text; put it into quotes`},
		{"on_failure: ignore", `w.yaml:2:9: store.on_failure: ignore is not known; use one of allow, deny`},
		{"kind: memory, cluster: true", `w.yaml:2:23: store.cluster: true has no effect with kind memory; write kind: redis, or remove it`},
		{"url: \"redis://a\"", `w.yaml:2:9: store.url: has no effect with kind memory; write kind: redis, or remove it`},
		{"kind: redis", `w.yaml:2:1: store.url: is missing; write that of Redis, such as redis://127.0.0.1:6379, or kind: memory`},
		{"kind: redis, url: \"\"", `w.yaml:2:22: store.url: is missing; write that of Redis, such as redis://127.0.0.1:6379, or kind: memory`},
		{"kind: redis, url: [a]", `w.yaml:2:22: store.url: must be one value, not a list; if it is text, put it into quotes`},
		{"kind: redis, url: \"http://me:secret@a\"", `w.yaml:2:22: store.url: http://a is not a redis:// or rediss:// URL; write one such as redis://127.0.0.1:6379`},
		{"kind: redis, url: \"unix://a/run/redis.sock\"", `w.yaml:2:22: store.url: unix://a/run/redis.sock is not a redis:// or rediss:// URL; write one such as redis://127.0.0.1:6379`},
		{"kind: redis, url: \"redis://a:0\"", `w.yaml:2:22: store.url: has no port from 1 to 65535; write one such as redis://127.0.0.1:6379`},
		{"kind: redis, url: \"redis://a/seats\"", `w.yaml:2:22: store.url: has more behind its host than the number of a database; write one such as redis://127.0.0.1:6379/0`},
		{"kind: redis, url: \"redis://a/1/2\"", `w.yaml:2:22: store.url: has more behind its host than the number of a database; write one such as redis://127.0.0.1:6379/0`},
		{"kind: redis, url: \"redis://a#1\"", `w.yaml:2:22: store.url: has more behind its host than the number of a database; write one such as redis://127.0.0.1:6379/0`},
		{"kind: redis, url: \"redis://a/1\", cluster: true", `w.yaml:2:22: store.url: redis://a/1 has a database, and a cluster has none to choose from; write one such as redis://127.0.0.1:6379`},
		{"kind: redis, url: \"redis://127.0.0.1:6391:77/0\"", `w.yaml:2:22: store.url: has no port from 1 to 65535; write one such as redis://127.0.0.1:6379`},
		{"kind: redis, url: \"redis://a?addr=b:6379\"", `w.yaml:2:22: store.url: has addr, and only a cluster has further nodes; write cluster: true, or leave addr out`},
		{"kind: redis, url: \"redis://a?addr=b:1&addr=c\", cluster: true", `w.yaml:2:22: store.url: c is not an address; write host:port, such as ?addr=127.0.0.2:6379`},

		{"lease: 0s", `w.yaml:2:9: store.lease: 0s is too short to be renewed in time; write 1s or more, such as 30s`},
		{"lease: 999ms", `w.yaml:2:9: store.lease: 999ms is too short to be renewed in time; write 1s or more, such as 30s`},
		{"lease: -1s", `w.yaml:2:9: store.lease: -1s is too short to be renewed in time; write 1s or more, such as 30s`},
		{"lease: 30, timeout: 20s", `w.yaml:2:9: store.lease: 30 has no unit; write 30s`},
		{"timeout: 10s", `w.yaml:2:9: store.timeout: 10s is not below a third of store.lease, so that leases may end before they are renewed; write less than 10s, or a longer lease`},
		{"lease: 1s", `w.yaml:2:1: store.timeout: 500ms is not below a third of store.lease, so that leases may end before they are renewed; write less than 333ms, or a longer lease`},
		{"timeout: 0s", `w.yaml:2:9: store.timeout: 0s is not above zero; write a duration such as 500ms`},
		{"connect_timeout: 0s", `w.yaml:2:9: store.connect_timeout: 0s is not above zero; write a duration such as 5s`},
		{"takeover_timeout: -1s", `w.yaml:2:9: store.takeover_timeout: -1s is not above zero; write a duration such as 5s`},
	} {
		all = append(all, mistake{upstreamLine + "store: {" + row.file + "}", row.want})
	}
	return all
}

// Whatever is wrong with a URL, nobody is told its password.
func TestPasswordsAreNotShown(t *testing.T) {
	const unreadable = `: is not a URL (nor shown, as it may hold a password); write one such as redis://user:password@127.0.0.1:6379, and %40 for an @ in the password, %2F for a /`
	for _, text := range []string{
		"redis://:secret", "redis://me:secret", "redis://me:secret@", "redis://:secret@:6379", "redis:me:secret@a", "me:secret@a:6379", "//me:secret@a b",
		"secret@a", "redis://me:se%cret@a", "redis://me:/secret@a", "redis://me:12/secret@a", "redis://me:12?secret@a", "redis://me:12#secret@a",
		"redis://me:a@b/secret@a", "redis://me:secret\xff@a", "redis://me:secret@a/\xff",
	} {
		t.Setenv("WSWARDEN_STORE_URL", text)
		t.Setenv("WSWARDEN_STORE_KIND", "redis")
		_, err := Parse("w.yaml", []byte(upstreamLine))
		if want := "WSWARDEN_STORE_URL: store.url" + unreadable; err == nil || err.Error() != want {
			t.Errorf("%q: got %v", text, err)
		}
		t.Setenv("WSWARDEN_STORE_KIND", "memory")
		if _, err := Parse("w.yaml", []byte(upstreamLine)); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", text, err)
		}
	}
	for _, text := range []string{"redis://:secret@a:99999", "redis://me:secret@a/x", "https://me:secret@a", "redis://a/x?password=secret"} {
		c := valid()
		c.Store.Kind, c.Store.URL = "redis", text
		if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), "store.url: ") || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// A URL in a wrong place is told without what may be secret in it.
func TestSecretsAreNotShownElsewhere(t *testing.T) {
	const section = `: must be a section, not `
	for _, row := range []mistake{
		{"store: redis://me:secret@a", `w.yaml:2:1: store` + section + `redis://me:xxxxx@a; write keys below it, such as kind:`},
		{"store: {kind: \"redis://:se cret@a\"}", `w.yaml:2:9: store.kind: redis://:xxxxx@a is not known; use one of memory, redis`},
		{"tracing: https://secret@a/x", `w.yaml:2:1: tracing` + section + `https://xxxxx@a/x; write keys below it, such as otlp_endpoint:`},
		{"tracing: \"http://a/?api_key=secret\"", `w.yaml:2:1: tracing` + section + `http://a/?xxxxx; write keys below it, such as otlp_endpoint:`},
		{"tracing: \"http://me:secret@a/x?secret\"", `w.yaml:2:1: tracing` + section + `http://me:xxxxx@a/x?xxxxx; write keys below it, such as otlp_endpoint:`},
		{"tracing: \"http://a/#secret\"", `w.yaml:2:1: tracing` + section + `http://a/#xxxxx; write keys below it, such as otlp_endpoint:`},
		{"policies: [\"https://a/x?token=secret\"]", `w.yaml:2:12: policies[0]` + section + `https://a/x?xxxxx; write keys below it, such as name:`},
		{"policies: [{release: \"https://a/x?token=secret\"}]", `w.yaml:2:13: policies[0].release` + section + `https://a/x?xxxxx; write keys below it, such as unsubscribe:`},
		{"policies: [{release: {webhook: \"https://a/x?a=1&token=se\\ncret\"}}]", `w.yaml:2:23: policies[0].release.webhook` + section + `https://a/x?xxxxx; write keys below it, such as url:`},
		{"policies: [{release: {webhook: {timeout: \"https://a/x?token=secret\"}}}]", `w.yaml:2:33: policies[0].release.webhook.timeout: https://a/x?xxxxx is not a duration; write a number and ms, s, m or h, such as 30s`},
		{"policies: [{release: {webhook: {attempts: \"https://a/x?token=secret\"}}}]", `w.yaml:2:33: policies[0].release.webhook.attempts: https://a/x?xxxxx is not a count; write a whole number, such as 20`},
		{"drain: {\"https://a/x?token=secret\": 5s}", `w.yaml:2:9: drain.https://a/x?xxxxx: is not a known key; known here: timeout, spread, close_code, reason`},
		{"drain: {reason: \"https://a/x?token=secret" + strings.Repeat("t", 100) + "\"}", `w.yaml:2:9: drain.reason: "https://a/x?xxxxx" has 124 bytes, and a close frame takes 123; shorten it`},
	} {
		wantProblems(t, upstreamLine+row.file, row.want)
	}
	for _, row := range []mistake{
		{"{url: \"redis://me:se%cret/@a\"}", `w.yaml:1:12: upstream.url: redis://me:xxxxx@a is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000`},
		{"{url: \"http://secret@a\"}", `w.yaml:1:12: upstream.url: http://xxxxx@a has a user, which is not supported; write http://a`},
		{"{urls: [\"http://a/?token=secret\"]}", `w.yaml:1:19: upstream.urls[0]: http://a/?xxxxx has more than host and port; write http://a`},
	} {
		wantProblems(t, "upstream: "+row.file, row.want)
	}
}

func TestRedacted(t *testing.T) {
	for text, want := range map[string]string{
		"":                                     "",
		"redis://a":                            "redis://a",
		"rediss://me:secret@a:1/2?pool_size=3": "rediss://a:1/2",
		"redis://:se%40cret@[::1]:6379":        "redis://[::1]:6379",
		"redis://me:12/secret@a":               "",
	} {
		if got := (Store{URL: text}).Redacted(); got != want {
			t.Errorf("%s is shown as %q, want %q", text, got, want)
		}
	}
}
