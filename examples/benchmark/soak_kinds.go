//go:build linux

package main

import (
	"fmt"
	"strings"
	"text/template"
	"time"
)

// soakKind is what some sessions of the soak are like. Each kind has a policy of its
// own, by whose name its paths end, so that what wswarden counts can be compared with
// what the clients have done. Of every kind, one client of eight comes by TLS.
type soakKind struct {
	name     string
	crowd    int    // how many of a thousand who are there all the time; after their end they come back
	comers   int    // how many of those who come and go, beside the other kinds'
	policy   string // keys of the policy, after its name and match; {{u 2}} are two units
	numbered bool   // messages are
	head     string // more lines of the request's

	healthy bool // what goes wrong is wswarden's fault
	// live is what the client does from the answer to its handshake until its session
	// has ended, by cause. nil: there is none, as the handshake is refused, with status.
	live   life
	cause  string
	status int
	may    bool // it may be admitted as well
	// come replaces what comes before: it is counted nowhere.
	come func(s *soak, number int) error
}

// life is what a client does until its session has ended. An error says that it has not
// gone as it should.
type life func(s *soak, k *soakKind, c *soakClient) error

// Kinds that others know by name.
const (
	unwanted = "unwanted" // upstream refuses them
	frozen   = "frozen"   // upstream does not answer pings
	hasty    = "hasty"    // who do not wait for an answer
	nowhere  = "nowhere"  // has no policy
)

// steadyPings are more than one a minute, so that many are answered, but leave time for
// that on any machine.
const steadyPings = "heartbeat: { interval: {{steady}}, timeout: {{steady}} }"

var soakKinds = []soakKind{
	// The crowd. The first five live for as long as the soak does.
	{name: "fast", crowd: 100, policy: steadyPings, healthy: true, live: liveFast, cause: "client_close"},
	{name: plainly, numbered: true, crowd: 320, policy: steadyPings, healthy: true, live: livePlainly, cause: "client_close"},
	{name: reading, numbered: true, crowd: 150, policy: steadyPings + "\n    dialect: rac\n    subscriptions: { max: 12 }", healthy: true, live: liveReading, cause: "client_close"},
	{name: "quiet", crowd: 250, policy: steadyPings, healthy: true, live: liveQuiet, cause: "client_close"},
	{name: "big", crowd: 20, policy: steadyPings + "\n    messages: { max_bytes: 2MiB }", healthy: true, live: liveBig, cause: "client_close"},
	{name: "returns", crowd: 80, policy: steadyPings, healthy: true, live: leaves(15), cause: "client_close"},
	{name: "dies", crowd: 60, policy: steadyPings, live: dies(15), cause: "client_lost"},
	{name: "deaf", crowd: 10, comers: 3, policy: "heartbeat: { interval: {{u 2}}, timeout: {{u 2}} }", live: liveDeaf, cause: "heartbeat_timeout"},
	{name: "stuffed", crowd: 10, comers: 1, policy: "heartbeat: { interval: 0s }\n    stall: { timeout: {{u 3}} }\n    release: { grace: {{u 2}} }", live: liveStuffed, cause: "stalled"},

	// Who come and go, each in a way of its own.
	{name: "visits", comers: 35, healthy: true, live: leaves(3), cause: "client_close"},
	{name: "breaks", comers: 13, live: dies(3), cause: "client_lost"},
	{name: "sent-away", comers: 5, healthy: true, live: says(sayClose, 1000), cause: "upstream_close"},
	{name: "dropped", comers: 5, healthy: true, live: says(sayDrop, 1014), cause: "upstream_lost"},
	{name: frozen, comers: 3, policy: "upstream_heartbeat: { interval: {{u 2}}, timeout: {{u 2}} }", live: waits(1014), cause: "upstream_timeout"},
	{name: "idle", comers: 3, policy: "idle: { timeout: {{u 2}} }", live: waits(1001), cause: "idle"},
	{name: "silent", comers: 3, policy: "first_message: { timeout: {{u 2}} }", live: waits(1001), cause: "first_message"},
	{name: "aged", comers: 3, policy: "lifetime: { max: {{u 2}} }", live: liveAged, cause: "max_age"},
	{name: "unmasked", comers: 3, live: sends(1002, appendFrame(nil, opText, nil, []byte("no mask"))), cause: "protocol_error"},
	{name: "giant", comers: 3, policy: "messages: { max_bytes: 4KiB }", live: sends(1009, appendFrame(nil, opBinary, []byte("mask"), make([]byte, 5000))), cause: "message_too_big"},
	{name: "garbled", comers: 3, policy: "messages: { validate_utf8: true }", live: sends(1007, appendFrame(nil, opText, []byte("mask"), []byte{0xFF})), cause: "invalid_utf8"},
	{name: "hurried", comers: 3, policy: "messages: { rate: 5, burst: 5 }", live: sends(1008, manyFrames(20)), cause: "message_rate"},
	{name: "greedy", comers: 3, policy: "dialect: rac\n    subscriptions: { max: 3, on_excess: close }", live: liveGreedy, cause: "subscription_limit"},
	{name: "doubled", comers: 3, policy: "connections: { per_identity: 1, identity: { from: query, name: client }, on_excess: evict_oldest }", live: liveDoubled, cause: "superseded"},
	{name: "twins", comers: 3, policy: "dialect: rac\n    connections: { per_identity: 1, identity: { from: message } }", live: liveTwins, cause: "client_close"},
	{name: "killed", comers: 1, policy: "connections: { per_identity: 9, identity: { from: query, name: client } }", live: liveKilled, cause: "killed"},

	// Who are refused.
	{name: "foreign", comers: 4, policy: "origins: { allow: [https://here.example] }", head: "Origin: https://there.example\r\n", status: 403},
	{name: "crowded", comers: 4, policy: "connections: { max: 1 }", status: 503, may: true, live: leaves(3), cause: "client_close"},
	{name: "too-often", comers: 4, policy: "handshakes: { per_ip_rate: 1 }", status: 429, may: true, live: leaves(3), cause: "client_close"},
	{name: unwanted, comers: 4, status: 403},
	{name: nowhere, comers: 4, status: 404},
	{name: hasty, comers: 4, come: comeHastily},
}

// path returns the one at or below which its handshakes are.
func (k *soakKind) path() string {
	if k.numbered {
		return numberedPath + k.name
	}
	return soakPath + k.name
}

// target returns that of a client's handshake.
func (k *soakKind) target(number int) string {
	if k.numbered {
		return fmt.Sprintf("%s/%d", k.path(), number)
	}
	return fmt.Sprintf("%s?client=%d", k.path(), number)
}

// soakPlace is what the soak's configuration depends on.
type soakPlace struct {
	place
	TLSPort     int
	Certificate *certificate
	Token       string
	unit        time.Duration
}

// config returns wswarden's configuration.
func (p soakPlace) config() ([]byte, error) {
	var text strings.Builder
	text.WriteString(`
listeners:
  - address: "127.0.0.1:{{.Port}}"
  - address: "127.0.0.1:{{.TLSPort}}"
    tls: { cert: "{{.Certificate.File}}", key: "{{.Certificate.File}}" }
upstream: { url: "http://{{.Upstream}}" }
admin: { address: "127.0.0.1:{{.AdminPort}}", token_file: "{{.Token}}" }
drain: { timeout: 2s, spread: 1s }
log: { level: warn }
policies:
`)
	for _, k := range soakKinds {
		if k.name == nowhere {
			continue
		}
		fmt.Fprintf(&text, "  - name: %s\n    match: { path: %s/** }\n    %s\n", k.name, k.path(), k.policy)
	}
	times := template.FuncMap{
		"u":      func(n int) time.Duration { return time.Duration(n) * p.unit },
		"steady": func() time.Duration { return max(10*p.unit, patience/2) },
	}
	parsed, err := template.New("").Funcs(times).Parse(text.String())
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = parsed.Execute(&b, p)
	return []byte(b.String()), err
}
