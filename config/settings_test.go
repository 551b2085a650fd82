package config

import (
	"encoding/json"
	"reflect"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wswarden/policies"
)

// everySetting is a policy with a value for every key.
const everySetting = `
policies:
  - name: passengers
    match: { path: /p/**, host: [example.com], origin: ["*"], subprotocol: [rac*], header: [{ name: X-Portal, value: p* }, { name: X-A }], listener: ["127.0.0.1:8080"] }
    mode: enforce
    on_reload: enforce
    dialect: rac
    refuse_with: close
    origins: { allow: ["https://*.example.com", "null"], mode: observe }
    handshakes: { per_ip_rate: 0.5, burst: 2, total_rate: 500, total_burst: 600, mode: observe }
    connections: { max: 9, per_ip: 8, per_identity: 3, identity: { from: cookie, name: sid, required: true }, on_excess: evict_oldest, close_code: 4001, mode: enforce }
    heartbeat: { interval: 1m30s, timeout: 1500ms, jitter: 0.5, liveness: pong, close_code: 4002, mode: observe }
    upstream_heartbeat: { interval: 1h, timeout: 1m, close_code: 4003, mode: observe }
    first_message: { timeout: 1h0m1s, close_code: 4004, mode: enforce }
    idle: { timeout: 10m, close_code: 4005, mode: observe }
    lifetime: { max: 100h30m, jitter: 1, close_code: 4006, mode: observe }
    stall: { timeout: 20s, close_code: 4007, mode: observe }
    messages: { max_bytes: 1MiB, rate: 2.5, burst: 20, bytes_per_second: 100000, validate_utf8: true, on_excess: delay, close_code: 4008, mode: observe }
    inspect: { max_bytes: 2MiB, oversize: forward, mode: observe }
    subscriptions: { max: 20, max_per_topic: 5, on_excess: evict_oldest, allow: [a*], deny: [b, c], close_code: 4009, mode: observe }
    release: { unsubscribe: false, farewell: ['{"a":1}', bye], grace: 250ms, webhook: { url: "https://a.com:8443/end", timeout: 500ms, attempts: 1 } }
`

// What Settings returns can be written into a file again, and is the same policy.
func TestSettingsAreWhatAFileHas(t *testing.T) {
	for _, file := range []string{"", everySetting} {
		c, err := Parse("w.yaml", []byte(upstreamLine+file))
		if err != nil {
			t.Fatal(err)
		}
		text, err := yaml.Marshal(map[string]any{"policies": []any{c.Settings(0)}})
		if err != nil {
			t.Fatal(err)
		}
		again, err := Parse("again.yaml", []byte(upstreamLine+string(text)))
		if err != nil {
			t.Fatalf("%v in\n%s", err, text)
		}
		if got, want := again.Settings(0), c.Settings(0); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
		if got, want := allLeaves(again), allLeaves(c); !reflect.DeepEqual(got, want) {
			t.Errorf("got  %v\nwant %v", got, want)
		}
	}
}

func TestSettings(t *testing.T) {
	c, err := Parse("w.yaml", []byte(upstreamLine+everySetting))
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(c.Settings(0))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{` +
		`"connections":{"close_code":4001,"identity":{"from":"cookie","name":"sid","required":true},"max":9,"mode":"enforce","on_excess":"evict_oldest","per_identity":3,"per_ip":8},` +
		`"dialect":"rac",` +
		`"first_message":{"close_code":4004,"mode":"enforce","timeout":"1h0m1s"},` +
		`"handshakes":{"burst":2,"mode":"observe","per_ip_rate":0.5,"total_burst":600,"total_rate":500},` +
		`"heartbeat":{"close_code":4002,"interval":"1m30s","jitter":0.5,"liveness":"pong","mode":"observe","timeout":"1.5s"},` +
		`"idle":{"close_code":4005,"mode":"observe","timeout":"10m"},` +
		`"inspect":{"max_bytes":"2MiB","mode":"observe","oversize":"forward"},` +
		`"lifetime":{"close_code":4006,"jitter":1,"max":"100h30m","mode":"observe"},` +
		`"match":{"header":[{"name":"X-Portal","value":"p*"},{"name":"X-A","value":""}],"host":["example.com"],"listener":["127.0.0.1:8080"],"origin":["*"],"path":"/p/**","subprotocol":["rac*"]},` +
		`"messages":{"burst":20,"bytes_per_second":"100000","close_code":4008,"max_bytes":"1MiB","mode":"observe","on_excess":"delay","rate":2.5,"validate_utf8":true},` +
		`"mode":"enforce",` +
		`"name":"passengers",` +
		`"on_reload":"enforce",` +
		`"origins":{"allow":["https://*.example.com","null"],"mode":"observe"},` +
		`"refuse_with":"close",` +
		`"release":{"farewell":["{\"a\":1}","bye"],"grace":"250ms","unsubscribe":false,"webhook":{"attempts":1,"timeout":"500ms","url":"https://a.com:8443/end"}},` +
		`"stall":{"close_code":4007,"mode":"observe","timeout":"20s"},` +
		`"subscriptions":{"allow":["a*"],"close_code":4009,"deny":["b","c"],"max":20,"max_per_topic":5,"mode":"observe","on_excess":"evict_oldest"},` +
		`"upstream_heartbeat":{"close_code":4003,"interval":"1h","mode":"observe","timeout":"1m"}}`
	if string(text) != want {
		t.Errorf("got  %s\nwant %s", text, want)
	}
}

// Every key of a policy is there, with its default: an empty list is a list.
func TestSettingsOfDefault(t *testing.T) {
	p := policies.Default()
	settings := (&Config{Policies: []policies.Policy{p}}).Settings(0)
	for _, row := range []struct {
		section, key string
		want         any
	}{
		{"match", "host", []any{}},
		{"heartbeat", "interval", "30s"},
		{"idle", "timeout", "0s"},
		{"messages", "max_bytes", "0"},
		{"inspect", "max_bytes", "64KiB"},
		{"subscriptions", "max", 0},
		{"stall", "close_code", uint16(0)},
	} {
		if got := settings[row.section].(map[string]any)[row.key]; !reflect.DeepEqual(got, row.want) {
			t.Errorf("%s.%s is %#v, want %#v", row.section, row.key, got, row.want)
		}
	}
}

func TestSettingsHoldNoSecret(t *testing.T) {
	for text, want := range map[string]string{
		"":                                      "",
		"https://me:secret@a.com:1/end?key=2#3": "https://a.com:1/end",
		"http://a.com/a%2Fb?secret":             "http://a.com/a%2Fb",
		"http://me:se%cret@a.com":               "",
	} {
		p := policies.Default()
		p.Release.Webhook.URL = text
		got := (&Config{Policies: []policies.Policy{p}}).Settings(0)["release"].(map[string]any)["webhook"].(map[string]any)["url"]
		if got != want || p.Release.Webhook.URL != text {
			t.Errorf("%s is shown as %s, want %s", text, got, want)
		}
	}
}

func TestDurationsInSettings(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "0s", time.Millisecond: "1ms", 30 * time.Second: "30s", time.Minute: "1m", 90 * time.Second: "1m30s", 10 * time.Minute: "10m",
		100 * time.Second: "1m40s", time.Hour: "1h", 10 * time.Hour: "10h", time.Hour + 10*time.Minute: "1h10m", time.Hour + time.Second: "1h0m1s",
		time.Hour + 10*time.Second: "1h0m10s",
	} {
		if got := duration(d); got != want {
			t.Errorf("%v is written %s, want %s", d, got, want)
		}
	}
}
