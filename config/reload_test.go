package config

import (
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
)

const running = upstreamLine + `
admin: {hosts: [a.internal]}
log: {level: info, format: json}
store: {kind: redis, url: "redis://me:secret@a/1", lease: 30s}
tracing: {otlp_endpoint: "http://collector:4318"}
listeners: [{address: "unix:a", mode: 0600, group: app}, {address: ":2"}]
policies: [{name: a, match: {path: /a}}, {name: b}]
`

// What can change while wswarden runs, and what is said of the rest: never what it was.
func TestReload(t *testing.T) {
	for _, row := range []struct{ old, new, want string }{
		{"", "", ""},
		{"level: info", "level: debug", ""},
		{"http://127.0.0.1:5000", "http://127.0.0.1:6000", ""},
		{"{name: b}", "{name: c, mode: observe}", ""},
		{"policies:", "drain: {timeout: 1m}\ntrusted_proxies: [10.0.0.0/8]\npressure: {heap: 1GiB}\npolicies:", ""},
		{"hosts: [a.internal]", "hosts: [a.internal], token_file: token", ""},
		{"http://127.0.0.1:5000", "http://127.0.0.1:6000, breaker: {failures: 1}, health: {path: /a}, proxy_protocol: v1", ""},
		{"{url: http://127.0.0.1:5000}", "{urls: [http://a, http://b], sticky: {from: cookie, name: sid}}", ""},
		{"{address: \"unix:a\", mode: 0600, group: app}, {address: \":2\"}", "{address: \"unix:b\", mode: 0660}, {address: \":2\", name: c}", ""},
		{"{address: \"unix:a\", ", "{address: \"unix:./a\", name: b, proxy_protocol: true, ", ""},

		{"mode: 0600, group: app", "group: app", `w.yaml:7:13: listeners[0].mode: cannot change to 0660 while wswarden runs; restart it`},
		{"mode: 0600, group: app", "mode: 0660, owner: \"${GEHEIM}\"", `w.yaml:7:13: listeners[0].group: cannot change to "" while wswarden runs; restart it` + "\n" +
			`w.yaml:7:33: listeners[0].mode: cannot change to 0660 while wswarden runs; restart it` + "\n" +
			`w.yaml:7:45: listeners[0].owner: cannot change to ${GEHEIM} while wswarden runs; restart it`},
		{"0600", "6", `w.yaml:7:33: listeners[0].mode: 6 is not a mode; write four octal digits from 0000 to 0777, such as 0660`},
		{"format: json", "format: text", `w.yaml:4:20: log.format: cannot change from json to text while wswarden runs; restart it`},
		{"log: {level: info, format: json}\nstore", "log: {format: text}\nstore", `w.yaml:4:7: log.format: cannot change from json to text while wswarden runs; restart it`},
		{"hosts: [a.internal]", "hosts: [b.internal]", `w.yaml:3:9: admin.hosts: cannot change while wswarden runs; restart it`},
		{"hosts: [a.internal]", "address: \"127.0.0.1:1\", hosts: [a.internal]", `w.yaml:3:9: admin.address: cannot change to 127.0.0.1:1 while wswarden runs; restart it`},
		{"lease: 30s", "lease: 1m30s", `w.yaml:5:52: store.lease: cannot change to 1m30s while wswarden runs; restart it`},
		{"lease: 30s", "cluster: true", `w.yaml:5:22: store.url: redis://a/1 has a database, and a cluster has none to choose from; write one such as redis://127.0.0.1:6379` + "\n" +
			`w.yaml:5:52: store.cluster: cannot change to true while wswarden runs; restart it`},
		{"secret@a/1", "secret@b/1", `w.yaml:5:22: store.url: cannot change to redis://b/1 while wswarden runs; restart it`},
		{"me:secret", "me:geheim", `w.yaml:5:22: store.url: cannot change to redis://a/1 while wswarden runs; restart it`},
		{"me:secret", "me:${GEHEIM}", `w.yaml:5:22: store.url: cannot change to redis://me:xxxxx@a/1 while wswarden runs; restart it`},
		{"kind: redis, url: \"redis://me:secret@a/1\"", "kind: memory", `w.yaml:5:1: store.url: cannot change to "" while wswarden runs; restart it` + "\n" +
			`w.yaml:5:9: store.kind: cannot change from redis to memory while wswarden runs; restart it`},
		{"http://collector:4318", "http://other:4318", `w.yaml:6:11: tracing.otlp_endpoint: cannot change to http://other:4318 while wswarden runs; restart it`},
		{"http://collector:4318\"", "http://collector:4318\", sample_ratio: 0.5", `w.yaml:6:51: tracing.sample_ratio: cannot change to 0.5 while wswarden runs; restart it`},

		// with all else that is wrong, but not of what is wrong itself
		{"format: json}\nstore: {kind: redis", "format: loud}\nstore: {kind: rdis", `w.yaml:4:20: log.format: loud is not known; use one of json, text` + "\n" +
			`w.yaml:5:9: store.kind: rdis is not known; use one of memory, redis`},
		{"hosts: [a.internal]", "hosts: [\"b:80\"]", `w.yaml:3:17: admin.hosts[0]: b:80 has a port; write the name alone, b`},
		{"30s}\ntracing: {", "1m}\ntracing: {sample_ratio: 2, ", `w.yaml:5:52: store.lease: cannot change to 1m while wswarden runs; restart it` + "\n" +
			`w.yaml:6:11: tracing.sample_ratio: 2 is out of range; write a number from 0 to 1`},
	} {
		inFolder(t, map[string]string{"w.yaml": running, "token": goodToken})
		t.Setenv("GEHEIM", "geheim")
		source := Source{Path: "w.yaml"}
		current, err := source.Load()
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(running, row.old, row.new, 1)
		if err := os.WriteFile("w.yaml", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		l, err := source.Reload(current.Config)
		switch {
		case row.want == "" && (err != nil || l.Config == nil):
			t.Errorf("%s: %v", row.new, err)
		case row.want != "" && (err == nil || err.Error() != row.want || l.Config != nil):
			t.Errorf("%s:\ngot  %v\nwant %s", row.new, err, row.want)
		}
		if !slices.Contains(l.Files, "w.yaml") {
			t.Errorf("files %q", l.Files)
		}
	}
}

// A key that is not there is its default, and no list is an empty one.
func TestReloadOfTheSame(t *testing.T) {
	inFolder(t, map[string]string{"w.yaml": upstreamLine + "store: {lease: 30s}\nadmin: {hosts: []}\n"})
	source := Source{Path: "w.yaml"}
	if _, err := source.Reload(valid()); err != nil {
		t.Error(err)
	}
	l, err := Source{Upstream: "http://127.0.0.1:5000"}.Reload(valid())
	if err != nil || !reflect.DeepEqual(l.Config, valid()) {
		t.Errorf("%+v, %v", l.Config, err)
	}
}

// The keys that cannot change are such as there are, and no section of a list.
func TestUnchangeableKeys(t *testing.T) {
	for _, name := range unchangeable {
		if !slices.ContainsFunc(Keys(), func(k Key) bool { return within(k.Name, name) && !strings.Contains(k.Name, "[]") }) {
			t.Errorf("there is no key %s", name)
		}
	}
}
