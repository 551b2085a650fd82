package config

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

// everyKind has a dialect with whatever can be written into one.
const everyKind = `
dialects:
  - name: own
    subscribe:
      - match: { Z.b: x, '["a b"]': "", c: "true" }
        has: ["[0]", k]
        topic: =all
        capture: { C: c.D, b: a }
        unsubscribe: '{"u":{{topic}} }'
        refusal: |
          {"r": " # no comment",
          "s": {{reason}}}
    ack: [{ match: { a: b }, topic: t }]
`

// parsePlaces is Parse, and tells where the values come from.
func parsePlaces(name, text string) (*Config, Places, error) {
	return places(newReader().load([]file{{name: name, text: []byte(text)}}, nil, nil))
}

func places(l *Loaded, err error) (*Config, Places, error) { return l.Config, l.Places, err }

func printed(t *testing.T, c *Config, from Places) string {
	t.Helper()
	var text bytes.Buffer
	if err := Print(&text, c, from); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

// What is printed is the same configuration again, and prints the same.
func TestPrintedLoadsAgain(t *testing.T) {
	for _, file := range []string{
		"", everySetting, everyKind, everyKind + everySetting,
		"drain: {reason: \"a # b\"}\npolicies: [{name: \"5\", match: {path: /1}}, {name: \"no: it is\", match: {path: /2}}, {name: \" a \\t\\n\\x85\\u2028'\\\"\"}]",
		"listeners: [{address: \"unix:a b\", name: \"5\", mode: 0600, owner: \"1000\", tls: {min_version: 1.2}}, {address: \"systemd:a\"}]",
		"listeners: [{address: \":0\"}, {address: \"[::1]:0\"}]\ntrusted_proxies: [10.0.0.0/8, \"fd00::/8\"]\nadmin: {address: \"\", hosts: [\"5\", a]}\ntracing: {otlp_endpoint: \"http://a\", sample_ratio: 1e-3}",
		"policies: [{release: {farewell: [\"" + strings.Repeat("word ", 100) + "\", \"{}\", \"- a\", \"null\"]}, messages: {rate: 1e9, bytes_per_second: 12345}}]",
		"store: {kind: redis, url: \"redis://a/2\"}\npressure: {heap: 1GiB}",
	} {
		c, from, err := parsePlaces("w.yaml", upstreamLine+file)
		if err != nil {
			t.Fatal(err)
		}
		text := printed(t, c, from)
		again, places, err := parsePlaces("again.yaml", text)
		if err != nil {
			t.Errorf("%v in\n%s", err, text)
			continue
		}
		// A list that is empty was perhaps not there.
		if got, want := printed(t, again, nil), printed(t, c, nil); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
		if got, want := allLeaves(again), allLeaves(c); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		for key := range strings.Lines(printed(t, again, places)) {
			if strings.Contains(key, "# default") {
				t.Errorf("not every key is printed: of the second, %s", key)
			}
		}
	}
}

func TestPrintTellsPlaces(t *testing.T) {
	t.Setenv("WSWARDEN_DRAIN_TIMEOUT", "1m")
	t.Setenv("WSWARDEN_TRUSTED_PROXIES", "[10.0.0.0/8]")
	t.Setenv("WSWARDEN_POLICIES_0_IDLE_TIMEOUT", "5m")
	c, from, err := parsePlaces("w.yaml", upstreamLine+`
log:
  level: warn
drain: { timeout: 3s, reason: bye }
policies:
  - heartbeat:
      interval: 5s
    release:
      farewell:
        - a
        - b
dialects: [{ name: own, heartbeat: [{ match: { a: 1 } }] }]
`)
	if err != nil {
		t.Fatal(err)
	}
	text := printed(t, c, from)
	for _, want := range []string{
		"listeners:\n  - address: 127.0.0.1:8080 # default\n",
		"trusted_proxies: [10.0.0.0/8] # environment WSWARDEN_TRUSTED_PROXIES\n",
		"      min_version: \"1.2\" # default\n",
		"  url: http://127.0.0.1:5000 # w.yaml:1\n  urls: [] # default\n",
		"drain:\n  timeout: 1m # environment WSWARDEN_DRAIN_TIMEOUT\n  spread: 10s # default\n  close_code: 1012 # default\n  reason: bye # w.yaml:5\n",
		"log:\n  level: warn # w.yaml:4\n  format: json # default\n",
		"  url: \"\" # default\n  cluster: false # default\n",
		"      - match:\n          a: 1 # w.yaml:13\n        has: [] # default\n",
		"    subscribe: [] # default\n",
		"  - name: default # default\n",
		"    heartbeat:\n      interval: 5s # w.yaml:8\n      timeout: 10s # default\n      jitter: 0.1 # default\n",
		"      timeout: 5m # environment WSWARDEN_POLICIES_0_IDLE_TIMEOUT\n",
		"      farewell: [a, b] # w.yaml:10\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}

	c, from, err = places(Source{Upstream: "http://127.0.0.1:5000", Listen: ":0"}.Load())
	if err != nil {
		t.Fatal(err)
	}
	text = printed(t, c, from)
	for _, want := range []string{"  - address: :0 # flag --listen\n", "  url: http://127.0.0.1:5000 # flag --upstream\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

func TestPrintHoldsNoSecret(t *testing.T) {
	c, from, err := parsePlaces("w.yaml", upstreamLine+`store: { kind: redis, url: "rediss://me:secret@a:1/2?password=secret" }
policies:
  - release: { webhook: { url: "https://a.com/end?key=secret" } }
`)
	if err != nil {
		t.Fatal(err)
	}
	text := printed(t, c, from)
	for _, want := range []string{"  url: rediss://a:1/2 # w.yaml:2, redacted\n", "        url: https://a.com/end # w.yaml:4, redacted\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	if strings.Contains(text, "secret") {
		t.Errorf("a secret in\n%s", text)
	}
	if _, err := Parse("again.yaml", []byte(text)); err != nil {
		t.Errorf("%v in\n%s", err, text)
	}
}
