package main

import (
	"bytes"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"wswarden/config"
)

// checked runs a command with files of these texts in the present folder.
func checked(t *testing.T, files map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	t.Chdir(t.TempDir())
	for name, text := range files {
		if err := os.MkdirAll(filepath.Dir(name), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out, problems bytes.Buffer
	code = run(args, &out, &problems)
	return code, out.String(), problems.String()
}

const checkUpstream = "upstream: { url: http://127.0.0.1:5000 }\n"

func TestCheck(t *testing.T) {
	files := map[string]string{
		"one.yaml": checkUpstream,
		"two.yaml": checkUpstream + "policies: [{ match: { path: /a } }, { name: rest }]\n",
		"bad.yaml": checkUpstream + "drain: { timeuot: 5s }\nlog:\n  level: loud\n",

		"conf.d/a.yaml": checkUpstream + "policies: [{ match: { path: /a } }]\n",
		"conf.d/b.yml":  "policies: [{ name: rest }]\n",
		"both/a.yaml":   checkUpstream + "log: { level: info }\n",
		"both/b.yaml":   "log:\n  level: ${NOT_SET_ANYWHERE}\n",
		"none/a.txt":    checkUpstream,
	}
	for name, tt := range map[string]struct {
		args           []string
		code           int
		stdout, stderr string
	}{
		"right":   {[]string{"one.yaml"}, 0, "one.yaml: ok, 1 policy\n", ""},
		"several": {[]string{"one.yaml", "two.yaml"}, 0, "one.yaml: ok, 1 policy\ntwo.yaml: ok, 2 policies\n", ""},
		"folder":  {[]string{"conf.d"}, 0, "conf.d: ok, 2 policies\n", ""},
		"file by file": {[]string{"conf.d/a.yaml", "conf.d/b.yml", "conf.d"}, 1,
			"conf.d/a.yaml: ok, 1 policy\nconf.d/b.yml:1:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000\nconf.d: ok, 2 policies\n",
			"wswarden: 1 of 3 configurations cannot be used\n"},
		"wrong folder": {[]string{"both"}, 1, "both/b.yaml:2:3: log.level: is set in both/a.yaml:2:8 already; remove one\n", "wswarden: the configuration cannot be used\n"},
		"empty folder": {[]string{"none"}, 1, "none: has no *.yaml or *.yml; put one into it, or name a file\n", "wswarden: the configuration cannot be used\n"},
		"flags":        {[]string{"--upstream", "http://a"}, 0, "flags: ok, 1 policy\n", ""},
		"wrong": {[]string{"bad.yaml"}, 1,
			"bad.yaml:2:10: drain.timeuot: is not a known key; did you mean timeout?\nbad.yaml:4:3: log.level: loud is not known; use one of debug, info, warn, error\n",
			"wswarden: the configuration cannot be used\n"},
		"one of several wrong": {[]string{"none.yaml", "one.yaml"}, 1,
			"none.yaml: cannot be read: no such file or directory; let it be a file that wswarden may read, or name another\none.yaml: ok, 1 policy\n",
			"wswarden: 1 of 2 configurations cannot be used\n"},
		"wrong flags": {[]string{"--upstream", "a"}, 1,
			"--upstream: upstream.url: a is not an http:// or https:// URL, nor unix: and a path; write one such as http://127.0.0.1:5000\n",
			"wswarden: the configuration cannot be used\n"},

		"nothing":             {nil, 2, "", "wswarden: nothing to check: name a FILE or DIR, or give --upstream URL\n"},
		"both":                {[]string{"one.yaml", "--upstream", "http://a"}, 2, "", "wswarden: FILE excludes --upstream and --listen: say these in the file, as upstream.url and listeners\n"},
		"print of several":    {[]string{"one.yaml", "two.yaml", "--print"}, 2, "", "wswarden: --print and --explain are for one FILE or DIR\n"},
		"print and explain":   {[]string{"one.yaml", "--print", "--explain", "GET /"}, 2, "", "wswarden: --print excludes --explain: ask one by one\n"},
		"header of nothing":   {[]string{"one.yaml", "-H", "a: b"}, 2, "", "wswarden: -H is for --explain\n"},
		"listener of nothing": {[]string{"one.yaml", "--listener", "a"}, 2, "", "wswarden: --listener is for --explain\n"},
		"no such listener":    {[]string{"one.yaml", "--explain", "GET /", "--listener", "a"}, 1, "", "wswarden: --listener a names none; give the name of a listener or, of one without, its address, as --print shows them\n"},
		"not a request":       {[]string{"one.yaml", "--explain", "/chat"}, 2, "", "wswarden: --explain \"/chat\" is not a request; write one such as 'GET /path'\n"},
		"no request":          {[]string{"one.yaml", "--explain="}, 2, "", "wswarden: --explain \"\" is not a request; write one such as 'GET /path'\n"},
		"not a header":        {[]string{"one.yaml", "--explain", "GET /", "-H", "a"}, 2, "", "wswarden: -H \"a\" is not a header; write one such as 'Origin: https://example.com'\n"},
		"not an address":      {[]string{"one.yaml", "--explain", "GET /", "--from", "a"}, 2, "", "wswarden: --from a is not an address; write one such as 10.1.2.3\n"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := checked(t, files, append([]string{"check"}, tt.args...)...)
			if code != tt.code || stdout != tt.stdout || stderr != tt.stderr {
				t.Errorf("got %d\n%s\n%s\nwant %d\n%s\n%s", code, stdout, stderr, tt.code, tt.stdout, tt.stderr)
			}
		})
	}
}

// What check prints can be checked.
func TestCheckPrint(t *testing.T) {
	t.Setenv("WSWARDEN_LOG_LEVEL", "warn")
	code, stdout, stderr := checked(t, map[string]string{"w.yaml": checkUpstream}, "check", "w.yaml", "--print")
	if code != 0 || stderr != "" {
		t.Fatalf("%d, %s", code, stderr)
	}
	for _, want := range []string{"url: http://127.0.0.1:5000 # w.yaml:1\n", "level: warn # environment WSWARDEN_LOG_LEVEL\n", "format: json # default\n"} {
		if !strings.Contains(stdout, want) {
			t.Errorf("no %q in\n%s", want, stdout)
		}
	}
	code, stdout, stderr = checked(t, map[string]string{"printed.yaml": stdout}, "check", "printed.yaml")
	if code != 0 || stdout != "printed.yaml: ok, 1 policy\n" {
		t.Errorf("%d, %s%s", code, stdout, stderr)
	}
}

// What is most likely a slip in the environment is told, and is no error.
func TestCheckUnknownVariables(t *testing.T) {
	t.Setenv("WSWARDEN_DRAIN_TIMOUT", "secret")
	t.Setenv("WSWARDEN_SERVICE_HOST", "10.0.0.1")
	code, stdout, stderr := checked(t, map[string]string{"w.yaml": checkUpstream}, "check", "w.yaml")
	if code != 0 || stdout != "w.yaml: ok, 1 policy\n" || stderr != "WSWARDEN_DRAIN_TIMOUT: names no key; did you mean WSWARDEN_DRAIN_TIMEOUT?\n" {
		t.Errorf("%d, %s%s", code, stdout, stderr)
	}
}

// Nothing that comes from ${…} is told, whatever is asked for.
func TestCheckTellsWhatIsWritten(t *testing.T) {
	t.Setenv("CHECK_SECRET", "secret")
	files := map[string]string{
		"conf.d/a.yaml": "upstream:\n  url: http://${CHECK_SECRET}:5000\npolicies:\n  - match: { path: \"/${CHECK_SECRET}/*\", host: [a.org, \"${file:host}\"] }\n",
		"conf.d/b.yaml": "policies:\n  - origins: { allow: [\"https://${CHECK_SECRET}.org\"] }\n    connections: { identity: { from: cookie, name: \"${CHECK_SECRET}\" } }\n",
		"conf.d/host":   "secret.org\n",
	}
	for args, want := range map[string]string{
		"--print": "  url: http://${CHECK_SECRET}:5000 # conf.d/a.yaml:2\n",
		"--explain": `handshake: path /, host localhost, origin https://b.org
policies[0] policy-1 (conf.d/a.yaml:4): / does not fit match.path, /${CHECK_SECRET}/*; localhost does not fit match.host, a.org, ${file:host}
policies[1] policy-2 (conf.d/b.yaml:2): selects it
  origin: not allowed: it is not that of localhost, and origins.allow is https://${CHECK_SECRET}.org
  identity: missing, and not required: no cookie ${CHECK_SECRET}
answer: 403, origin not allowed
`,
	} {
		line := []string{"check", "conf.d", args}
		if args == "--explain" {
			line = append(line, "GET /", "-H", "Origin: https://b.org")
		}
		code, stdout, stderr := checked(t, files, line...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, want) {
			t.Errorf("%d, %s, got\n%s\nwant\n%s", code, stderr, stdout, want)
		}
		if strings.Contains(stdout, "secret") {
			t.Errorf("a secret in\n%s", stdout)
		}
	}
}

func TestCheckExplain(t *testing.T) {
	const file = checkUpstream + `trusted_proxies: [10.0.0.0/8]
policies:
  - name: admin
    match: { path: /admin/**, host: [a.org, b.org] }
    connections: { identity: { from: cookie, name: sid } }
  - name: pages
    match: { origin: ["*.example.com"] }
    origins: { allow: ["https://*.example.com"] }
    refuse_with: close
  - name: rest
    match: { path: /chat/* }
    connections: { identity: { from: query, name: token, required: true } }
`
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"the first": {[]string{"GET /x/../admin/%78", "-H", "Host: A.org:8080", "-H", "Cookie: a=b; sid=me"}, `handshake: path /admin/x, host a.org:8080, no origin
policies[0] admin (w.yaml:4): selects it
  origin: none, so nothing is asked of it
  identity: found in cookie sid, 2744ccd10c7533bd in logs
answer: upstream's, if the policy's rates and limits allow it
`},
		"a page": {[]string{"GET /", "-H", "Origin: http://x.example.com"}, `handshake: path /, host localhost, origin http://x.example.com
policies[0] admin (w.yaml:4): / does not fit match.path, /admin/**; localhost does not fit match.host, a.org, b.org
policies[1] pages (w.yaml:7): selects it
  origin: not allowed: it is not that of localhost, and origins.allow is https://*.example.com
  identity: none is looked for
answer: 403, origin not allowed
  as refuse_with is close, in a close frame behind a 101
`},
		"behind a proxy": {[]string{"GET /chat/1?token=a", "-H", "Host: inner", "-H", "X-Forwarded-Host: a.org", "-H", "Origin: https://a.org", "--from", "10.1.2.3"}, `handshake: path /chat/1, host inner, origin https://a.org
policies[0] admin (w.yaml:4): /chat/1 does not fit match.path, /admin/**; inner does not fit match.host, a.org, b.org
policies[1] pages (w.yaml:7): https://a.org does not fit match.origin, *.example.com
policies[2] rest (w.yaml:11): selects it
  origin: allowed
  identity: found in query token, ca978112ca1bbdca in logs
answer: upstream's, if the policy's rates and limits allow it
`},
		"nobody": {[]string{"GET /chat/1"}, `handshake: path /chat/1, host localhost, no origin
policies[0] admin (w.yaml:4): /chat/1 does not fit match.path, /admin/**; localhost does not fit match.host, a.org, b.org
policies[1] pages (w.yaml:7): it has no origin, and match.origin is *.example.com
policies[2] rest (w.yaml:11): selects it
  origin: none, so nothing is asked of it
  identity: missing: query token is required
answer: 403, no identity, or more than one
`},
		"two": {[]string{"GET /chat/1?token=a&token=b", "-H", "Host: a.org"}, `handshake: path /chat/1, host a.org, no origin
policies[0] admin (w.yaml:4): /chat/1 does not fit match.path, /admin/**
policies[1] pages (w.yaml:7): it has no origin, and match.origin is *.example.com
policies[2] rest (w.yaml:11): selects it
  origin: none, so nothing is asked of it
  identity: in doubt: query token could be read in two ways
answer: 403, no identity, or more than one
`},
		"no policy": {[]string{"GET /other", "-H", "Host: a.org"}, `handshake: path /other, host a.org, no origin
policies[0] admin (w.yaml:4): /other does not fit match.path, /admin/**
policies[1] pages (w.yaml:7): it has no origin, and match.origin is *.example.com
policies[2] rest (w.yaml:11): /other does not fit match.path, /chat/*
answer: 404, no policy for this WebSocket
`},
		"absolute": {[]string{"GET http://a.org/admin"}, `handshake: path /admin, host a.org, no origin
policies[0] admin (w.yaml:4): selects it
  origin: none, so nothing is asked of it
  identity: missing, and not required: no cookie sid
answer: upstream's, if the policy's rates and limits allow it
`},
		"no handshake": {[]string{"GET /admin/x", "-H", "Upgrade: h2c"}, "no handshake: it asks for no WebSocket, and goes upstream as any other request, whatever the policies say\n"},
		"malformed": {[]string{"POST /"}, `handshake: path /, host localhost, no origin
answer: 400, handshake with another method than GET
`},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := checked(t, map[string]string{"w.yaml": file}, append([]string{"check", "w.yaml", "--explain"}, tt.args...)...)
			if code != 0 || stderr != "" || stdout != tt.want {
				t.Errorf("%d, %s, got\n%s\nwant\n%s", code, stderr, stdout, tt.want)
			}
		})
	}
}

// What a policy asks of the listener, the subprotocol and other headers.
func TestCheckExplainEdges(t *testing.T) {
	t.Setenv("CHECK_SECRET", "secret")
	const file = checkUpstream + `listeners: [{ address: "unix:w.sock", name: front }, { address: "127.0.0.1:8080" }]
policies:
  - match: { listener: [front], subprotocol: ["graphql-*", chat] }
  - match: { header: [{ name: X-Portal, value: "${CHECK_SECRET}" }, { name: X-Kind }], listener: ["127.0.0.1:8080"] }
  - match: { header: [{ name: "X-${CHECK_SECRET}" }] }
  - match: { path: /rest }
`
	for name, tt := range map[string]struct {
		args []string
		want string
	}{
		"all of it": {[]string{"--listener", "front", "-H", "Sec-WebSocket-Protocol: a, graphql-ws"}, `handshake: path /, host localhost, no origin
policies[0] policy-1 (w.yaml:4): selects it
  origin: none, so nothing is asked of it
  identity: none is looked for
answer: upstream's, if the policy's rates and limits allow it
`},
		"nothing": {[]string{"-H", "X-Portal: a", "-H", "X-Portal: b"}, `handshake: path /, host localhost, no origin
policies[0] policy-1 (w.yaml:4): it has no subprotocol, and match.subprotocol is graphql-*, chat; no --listener is given, and match.listener is front
policies[1] policy-2 (w.yaml:5): its X-Portal, a, b, does not fit match.header, ${CHECK_SECRET}; it has no header X-Kind, which match.header asks for; no --listener is given, and match.listener is 127.0.0.1:8080
policies[2] policy-3 (w.yaml:6): it has no header X-${CHECK_SECRET}, which match.header asks for
policies[3] policy-4 (w.yaml:7): / does not fit match.path, /rest
answer: 404, no policy for this WebSocket
`},
		"other": {[]string{"--listener", "127.0.0.1:8080", "-H", "X-Secret:", "-H", "Sec-WebSocket-Protocol: a, b"}, `handshake: path /, host localhost, no origin
policies[0] policy-1 (w.yaml:4): a, b does not fit match.subprotocol, graphql-*, chat; 127.0.0.1:8080 does not fit match.listener, front
policies[1] policy-2 (w.yaml:5): it has no header X-Portal, which match.header asks for; it has no header X-Kind, which match.header asks for
policies[2] policy-3 (w.yaml:6): selects it
  origin: none, so nothing is asked of it
  identity: none is looked for
answer: upstream's, if the policy's rates and limits allow it
`},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := checked(t, map[string]string{"w.yaml": file}, append([]string{"check", "w.yaml", "--explain", "GET /"}, tt.args...)...)
			if code != 0 || stderr != "" || stdout != tt.want {
				t.Errorf("%d, %s, got\n%s\nwant\n%s", code, stderr, stdout, tt.want)
			}
		})
	}
}

// An identity that comes with a certificate is not known beforehand. Who comes by the
// only listener need not say so.
func TestCheckExplainCertificate(t *testing.T) {
	server := httptest.NewTLSServer(nil)
	defer server.Close()
	pair := server.TLS.Certificates[0]
	key, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	code, stdout, stderr := checked(t, map[string]string{
		"cert.pem": block("CERTIFICATE", pair.Certificate[0]) + block("PRIVATE KEY", key),
		"w.yaml": checkUpstream + `listeners: [{ name: front, tls: { cert: cert.pem, key: cert.pem, client_ca: cert.pem } }]
policies:
  - match: { listener: [front] }
    connections: { identity: { from: certificate, name: common_name } }
`,
	}, "check", "w.yaml", "--explain", "GET /")
	const want = `handshake: path /, host localhost, no origin
policies[0] default (w.yaml:4): selects it
  origin: none, so nothing is asked of it
  identity: comes with the client's certificate, if at all: its common_name
answer: upstream's, if the policy's rates and limits allow it
`
	if code != 0 || stderr != "" || stdout != want {
		t.Errorf("%d, %s, got\n%s\nwant\n%s", code, stderr, stdout, want)
	}
}

func TestSchemaCommand(t *testing.T) {
	code, stdout, stderr := checked(t, nil, "schema")
	if code != 0 || stderr != "" || stdout != string(config.Schema()) || !json.Valid([]byte(stdout)) {
		t.Errorf("%d, %s", code, stderr)
	}
	if code, _, stderr := checked(t, nil, "schema", "now"); code != 2 || stderr == "" {
		t.Errorf("with an argument: %d, %s", code, stderr)
	}
}
