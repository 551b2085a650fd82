package config

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"
)

// inFolder makes files in a new folder, and that the present one.
func inFolder(t *testing.T, files map[string]string) {
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
}

// What stands for a value is as that value, whatever its type.
func TestExpansions(t *testing.T) {
	inFolder(t, map[string]string{"secrets/pw": "pa:ss\n", "line": "one\r\n", "lines": "one\n\ntwo\n\n", "empty": "", "cr": "\r", "size": "64KiB"})
	for name, value := range map[string]string{
		"URL": "http://other:1", "HOST": "other", "IDLE": "17m", "MAX": "20", "RATE": "0.5", "JITTER": "0.25", "YES": "true", "CODE": "4007",
		"NET": "10.7.0.0/16", "WORD": "warn", "EMPTY": "", "NESTED": "${HOST} $${", "_x1": "low", "NUMBER": "42", "YAML": "[a, b]: {c}",
	} {
		t.Setenv(name, value)
	}
	for _, row := range []struct {
		file string
		want func(*Config)
	}{
		{"upstream: {url: \"${URL}\"}", func(c *Config) { c.Upstream.URL = "http://other:1" }},
		{"upstream:\n  url: http://${HOST}:${NUMBER}", func(c *Config) { c.Upstream.URL = "http://other:42" }},
		{"drain:\n  timeout: ${IDLE}", func(c *Config) { c.Drain.Timeout = 17 * time.Minute }},
		{"drain: {close_code: \"${CODE}\"}", func(c *Config) { c.Drain.CloseCode = 4007 }},
		{"drain:\n  close_code: !!int ${CODE}", func(c *Config) { c.Drain.CloseCode = 4007 }},
		{"pressure:\n  heap: ${MAX}MiB", func(c *Config) { c.Pressure.Heap = 20 << 20 }},
		{"log:\n  level: ${WORD}", func(c *Config) { c.Log.Level = "warn" }},
		{"tracing: {sample_ratio: \"${JITTER}\"}", func(c *Config) { c.Tracing.SampleRatio = 0.25 }},
		{"trusted_proxies: [\"${NET}\", 10.0.0.0/8]", func(c *Config) {
			c.TrustedProxies = append(c.TrustedProxies, netip.MustParsePrefix("10.7.0.0/16"), netip.MustParsePrefix("10.0.0.0/8"))
		}},
		{"policies:\n  - connections:\n      max: ${MAX}\n    handshakes:\n      per_ip_rate: ${RATE}\n    messages:\n      validate_utf8: ${YES}\n    inspect:\n      max_bytes: ${file:size}", func(c *Config) {
			p := &c.Policies[0]
			p.Connections.Max, p.Handshakes.PerIPRate, p.Messages.ValidateUTF8, p.Inspect.MaxBytes = 20, 0.5, true, 64<<10
		}},
		{"drain: &d\n  reason: &r ${HOST}\npolicies: [{name: *r}]", func(c *Config) { c.Drain.Reason, c.Policies[0].Name = "other", "other" }},

		// text is text, whatever it looks like, and is not looked at again
		{"drain: {reason: \"${NUMBER}\"}", func(c *Config) { c.Drain.Reason = "42" }},
		{"drain: {reason: \"${EMPTY}\"}", func(c *Config) { c.Drain.Reason = "" }},
		{"drain: {reason: \"${NESTED}\"}", func(c *Config) { c.Drain.Reason = "${HOST} $${" }},
		{"drain: {reason: \"${YAML}\"}", func(c *Config) { c.Drain.Reason = "[a, b]: {c}" }},
		{"drain: {reason: \"${_x1}${HOST}\"}", func(c *Config) { c.Drain.Reason = "lowother" }},

		// what only looks like it
		{"drain: {reason: \"$${HOST}\"}", func(c *Config) { c.Drain.Reason = "${HOST}" }},
		{"drain: {reason: \"$$${HOST} $$ $ {HOST} $HOST $${\"}", func(c *Config) { c.Drain.Reason = "$${HOST} $$ $ {HOST} $HOST ${" }},
		{"drain: {reason: \"${HOST}$${${HOST}\"} # ${NONE}", func(c *Config) { c.Drain.Reason = "other${other" }},

		// files
		{"store: {kind: redis, url: \"redis://:${file:secrets/pw}@redis:6379/0\"}", func(c *Config) { c.Store.Kind, c.Store.URL = "redis", "redis://:pa:ss@redis:6379/0" }},
		{"drain: {reason: \"${file:line}\"}", func(c *Config) { c.Drain.Reason = "one" }},
		{"drain: {reason: \"${file:./secrets/../lines}\"}", func(c *Config) { c.Drain.Reason = "one\n\ntwo\n" }},
		{"drain: {reason: \"<${file:empty}>\"}", func(c *Config) { c.Drain.Reason = "<>" }},
		{"drain: {reason: \"${file:cr}\"}", func(c *Config) { c.Drain.Reason = "\r" }},
	} {
		want := valid()
		row.want(want)
		text := row.file
		if !strings.Contains(text, "upstream:") {
			text = upstreamLine + text
		}
		got, err := Parse("w.yaml", []byte(text))
		if err != nil {
			t.Errorf("file:\n%s\n%v", text, err)
		} else if got.written = nil; !reflect.DeepEqual(got, want) {
			t.Errorf("file:\n%s\ngot  %+v\nwant %+v", text, got, want)
		}
		if err := fitsSchema(t, text); err != nil {
			t.Errorf("%v in\n%s", err, text)
		}
	}
}

// In a dialect, values are expanded, and paths are not.
func TestExpansionsInDialects(t *testing.T) {
	t.Setenv("TYPE", "5")
	c, err := Parse("w.yaml", []byte(upstreamLine+`dialects:
  - name: own
    subscribe:
      - match: { '["${TYPE}"]': "${TYPE}", b: "$${TYPE}" }
        topic: topic
`))
	if err != nil {
		t.Fatal(err)
	}
	if got := c.Dialects[0].Subscribe[0].Match; len(got) != 2 || got[0].Name != `["${TYPE}"]` || got[0].Value != "5" || got[1].Value != "${TYPE}" {
		t.Errorf("got %+v", got)
	}
}

// The environment is not expanded, nor are the flags.
func TestNoExpansions(t *testing.T) {
	t.Setenv("WSWARDEN_DRAIN_REASON", "${HOST} $${")
	t.Setenv("WSWARDEN_POLICIES_0_RELEASE_FAREWELL", `["${HOST}"]`)
	c, err := Parse("w.yaml", []byte(upstreamLine+"drain: {reason: \"${NONE\"}"))
	if err == nil || c != nil { // the file's own is judged, too
		t.Errorf("got %v, %v", c, err)
	}
	c, err = Parse("w.yaml", []byte(upstreamLine))
	if err != nil || c.Drain.Reason != "${HOST} $${" || c.Policies[0].Release.Farewell[0] != "${HOST}" {
		t.Errorf("got %+v, %v", c, err)
	}
}

// A file is looked for where the one is that names it.
func TestExpansionsBesideTheirFile(t *testing.T) {
	inFolder(t, map[string]string{
		"conf/w.yaml": upstreamLine + "drain: {reason: \"${file:bye}\"}", "conf/bye": "there", "bye": "here",
	})
	c, err := Load("conf/w.yaml")
	if err != nil || c.Drain.Reason != "there" {
		t.Errorf("got %v, %v", c, err)
	}
}

func mistakesInExpansions(t *testing.T) (all []mistake) {
	const write = "; write ${NAME} or ${file:/path}, or $${ for the text ${"
	const nameless = "has a ${…} that names neither a variable nor a file" + write
	folder := t.TempDir()
	path := func(name, text string) string {
		name = filepath.Join(folder, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	big, latin := path("big", strings.Repeat("x", 64<<10+1)), path("latin", "\xe4")
	t.Setenv("EXPAND_A", "5")
	t.Setenv("EXPAND_LIST", "[a, b]")
	t.Setenv("EXPAND_LATIN", "\xe4")
	t.Setenv("EXPAND_HOST", "10.1.2.3")
	t.Setenv("EXPAND_SECRET", "se cret")
	for _, row := range []mistake{
		{"drain:\n  reason: ${EXPAND_NONE}", `w.yaml:3:3: drain.reason: ${EXPAND_NONE} is not set in the environment; set EXPAND_NONE, or write $${ for the text ${`},
		{"drain:\n  reason: ${EXPAND_NONE}-${EXPAND_A}-${EXPAND_NOR}", `w.yaml:3:3: drain.reason: ${EXPAND_NONE} is not set in the environment; set EXPAND_NONE, or write $${ for the text ${` + "\n" +
			`w.yaml:3:3: drain.reason: ${EXPAND_NOR} is not set in the environment; set EXPAND_NOR, or write $${ for the text ${`},
		{"drain: {reason: \"a ${EXPAND_A\"}", `w.yaml:2:9: drain.reason: has a ${ without its }` + write},
		{"drain: {reason: \"${\"}", `w.yaml:2:9: drain.reason: has a ${ without its }` + write},
		{"drain: {reason: \"${}\"}", `w.yaml:2:9: drain.reason: ` + nameless},
		{"drain: {reason: \"${EXPAND_A:-7}\"}", `w.yaml:2:9: drain.reason: ` + nameless},
		{"drain: {reason: \"${ EXPAND_A }\"}", `w.yaml:2:9: drain.reason: ` + nameless},
		{"drain: {reason: \"${1}\"}", `w.yaml:2:9: drain.reason: ` + nameless},
		{"drain: {reason: \"${env:EXPAND_A}\"}", `w.yaml:2:9: drain.reason: ` + nameless},
		{"drain: {reason: \"${file:}\"}", `w.yaml:2:9: drain.reason: ${file:} names no file; write one, such as ${file:/run/secrets/password}`},
		{"drain: {reason: \"${file:/no/such}\"}", `w.yaml:2:9: drain.reason: ${file:/no/such} cannot be read: no such file or directory; name a file that wswarden may read`},
		{"drain: {reason: \"${file:no/such}\"}", `w.yaml:2:9: drain.reason: ${file:no/such} cannot be read: no such file or directory; name a file that wswarden may read`},
		{"drain: {reason: \"${file:/dev/zero}\"}", `w.yaml:2:9: drain.reason: ${file:/dev/zero} cannot be read: not a file; name a file that wswarden may read`},
		{"drain: {reason: \"${file:" + folder + "}\"}", `w.yaml:2:9: drain.reason: ${file:` + folder + `} cannot be read: not a file; name a file that wswarden may read`},
		{"drain: {reason: \"${file:" + big + "}\"}", `w.yaml:2:9: drain.reason: ${file:` + big + `} has more than 64KiB; name a file that holds the value alone`},
		{"drain: {reason: \"${file:" + latin + "}\"}", `w.yaml:2:9: drain.reason: ${file:` + latin + `} is not valid UTF-8; let it hold text`},
		{"drain: {reason: \"${EXPAND_LATIN}\"}", `w.yaml:2:9: drain.reason: ${EXPAND_LATIN} is not valid UTF-8; let it hold text`},
		{"drain: {reason: ${EXPAND_A}}", `w.yaml:2:1: is not valid YAML: did not find expected ',' or '}'; put ${…} into quotes within { } and [ ]`},
		{"trusted_proxies:\n  - ${EXPAND_NET}\n  - 10.0.0.0/8", `w.yaml:3:5: trusted_proxies[0]: ${EXPAND_NET} is not set in the environment; set EXPAND_NET, or write $${ for the text ${`},

		// what it stands for is of the key's type, and one value
		{"trusted_proxies: ${EXPAND_LIST}", `w.yaml:2:1: trusted_proxies: must be a list, not ${EXPAND_LIST}; write each item in a line of its own, after "- "`},
		{"drain: ${EXPAND_A}", `w.yaml:2:1: drain: must be a section, not ${EXPAND_A}; write keys below it, such as timeout:`},
		{"drain:\n  timeout: ${EXPAND_A}", `w.yaml:3:3: drain.timeout: ${EXPAND_A} has no unit; write ${EXPAND_A}s`},
		{"drain:\n  close_code: ${EXPAND_A}", `w.yaml:3:3: drain.close_code: ${EXPAND_A} may not be sent in a close frame; use 1000 to 1003, 1007 to 1014, or 3000 to 4999`},
		{"drain:\n  spread: ${EXPAND_A}m", `w.yaml:3:3: drain.spread: ${EXPAND_A}m is longer than drain.timeout; write 25s or less`},
		{"drain:\n  timeout: ${EXPAND_A}s", `w.yaml:2:1: drain.spread: 10s is longer than drain.timeout; write ${EXPAND_A}s or less`},
		{"log:\n  level: ${EXPAND_SECRET}", `w.yaml:3:3: log.level: ${EXPAND_SECRET} is not known; use one of debug, info, warn, error`},
		{"policies:\n  - connections:\n      max: ${EXPAND_SECRET}", `w.yaml:4:7: policies[0].connections.max: ${EXPAND_SECRET} is not a count; write a whole number, such as 20`},
		{"trusted_proxies:\n  - ${EXPAND_HOST}", `w.yaml:3:5: trusted_proxies[0]: ${EXPAND_HOST} has no prefix length; write ${EXPAND_HOST}/32`},
		{"trusted_proxies:\n  - ${EXPAND_HOST}/8", `w.yaml:3:5: trusted_proxies[0]: ${EXPAND_HOST}/8 has bits set behind its prefix; write …`},
		{"admin:\n  token_file: ${EXPAND_SECRET}", `w.yaml:3:3: admin.token_file: ${EXPAND_SECRET} cannot be read: no such file or directory; name a file that wswarden may read`},
		{"policies:\n  - dialect: ${EXPAND_SECRET}", `w.yaml:3:5: policies[0].dialect: ${EXPAND_SECRET} is not a known dialect; known here: ` + strings.Join(Builtins(), ", ")},
		{ownDialect + "        unsubscribe: \"${EXPAND_SECRET} {{room}}\"", `w.yaml:7:9: dialects[0].subscribe[0].unsubscribe: cannot be used; to be told what is wrong, write out what the dialect has as ${…}`},
		{"store:\n  kind: redis\n  url: http://me:${EXPAND_SECRET}@${EXPAND_HOST}/?a=literal", `w.yaml:4:3: store.url: is not a URL (nor shown, as it may hold a password); write one such as redis://user:password@127.0.0.1:6379, and %40 for an @ in the password, %2F for a /`},
		{"store:\n  kind: redis\n  url: http://me:${EXPAND_A}@${EXPAND_HOST}/?a=literal", `w.yaml:4:3: store.url: http://me:xxxxx@${EXPAND_HOST}/ is not a redis:// or rediss:// URL; write one such as redis://127.0.0.1:6379`},
	} {
		all = append(all, mistake{upstreamLine + row.file, row.want})
	}
	return all
}

// What has a ${…} in it is shown as it was written, with its place.
func TestExpansionsAreShownAsWritten(t *testing.T) {
	inFolder(t, map[string]string{"pw": "secret\n", "bits": "8\n", "w.yaml": upstreamLine + `store:
  kind: redis
  url: redis://me:${file:pw}@${SECRET}:6379/0
drain: { timeout: "${IDLE}", reason: "$${not}" }
trusted_proxies: ["10.0.0.0/${file:bits}", 11.0.0.0/8]
dialects: [{ name: own, subscribe: [{ match: { type: "${SECRET}", b: "$${" }, topic: t }] }]
policies:
  - name: "${SECRET}"
    idle: { timeout: "${IDLE}" }
    connections:
      max: ${MAX}
    origins: { allow: ["https://${SECRET}.com", "https://open.com"] }
    release: { webhook: { url: "https://a.com/${SECRET}?key=literal" }, farewell: ["$${bye}"] }
`})
	t.Setenv("IDLE", "17m")
	t.Setenv("MAX", "177")
	t.Setenv("SECRET", "secret")
	l, err := Source{Path: "w.yaml"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	text := printed(t, l.Config, l.Places)
	for _, want := range []string{
		"  url: redis://me:${file:pw}@${SECRET}:6379/0 # w.yaml:4\n",
		"  timeout: ${IDLE} # w.yaml:5\n", "  reason: $${not} # w.yaml:5\n",
		"trusted_proxies: ['10.0.0.0/${file:bits}', 11.0.0.0/8] # w.yaml:6\n",
		"          type: ${SECRET} # w.yaml:7\n          b: $${ # w.yaml:7\n",
		"  - name: ${SECRET} # w.yaml:9\n", "      max: ${MAX} # w.yaml:12\n",
		"      allow: ['https://${SECRET}.com', 'https://open.com'] # w.yaml:13\n",
		"      farewell: ['$${bye}'] # w.yaml:14\n",
		"        url: https://a.com/${SECRET} # w.yaml:14, redacted\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	settings := fmt.Sprint(l.Settings(0))
	for _, want := range []string{"name:${SECRET}", "timeout:${IDLE}", "max:${MAX}", "allow:[https://${SECRET}.com https://open.com]", "url:https://a.com/${SECRET}", "farewell:[$${bye}]"} {
		if !strings.Contains(settings, want) {
			t.Errorf("no %q in\n%s", want, settings)
		}
	}
	if got := l.Shown("store.url"); got != "redis://me:${file:pw}@${SECRET}:6379/0" {
		t.Errorf("store.url is shown as %s", got)
	}
	for _, shown := range []string{text, settings} {
		if regexp.MustCompile(`secret\b|17|literal`).MatchString(shown) {
			t.Errorf("a secret in\n%s", shown)
		}
	}

	// and it can be loaded again
	again, err := Parse("w.yaml", []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	l.Config.Policies[0].Release.Webhook.URL = "https://a.com/secret"
	if got, want := allLeaves(again), allLeaves(l.Config); !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

func TestSecretsBesideExpansions(t *testing.T) {
	for written, want := range map[string]string{
		"${URL}":                               "${URL}",
		"redis://${HOST}:6379/0":               "redis://${HOST}:6379/0",
		"redis://:${file:/run/pw}@redis/0":     "redis://:${file:/run/pw}@redis/0",
		"redis://me:${PW}@redis:${PORT}":       "redis://me:${PW}@redis:${PORT}",
		"redis://${ME}:${PW}@redis":            "redis://${ME}:${PW}@redis",
		"redis://${AUTH}@redis":                "redis://${AUTH}@redis",
		"redis://me:secret@${HOST}:6379":       "redis://${HOST}:6379",
		"redis://secret@${HOST}":               "redis://${HOST}",
		"redis://me:secret${PW}@${HOST}/${N}":  "redis://${HOST}/${N}",
		"redis://${ME}:secret@${HOST}":         "redis://${HOST}",
		"redis://${ME}secret@${HOST}":          "redis://${HOST}",
		"redis://me:${A}/secret@${HOST}":       "",
		"me:secret@${HOST}":                    "",
		"https://a/${X}?key=${K}&b=${file:?@}": "https://a/${X}?key=${K}&b=${file:?@}",
		"https://a/${X}?key=secret":            "https://a/${X}",
		"https://a/${X}?key=${K}&b=secret":     "https://a/${X}",
		"https://a/${X}?${K}":                  "https://a/${X}",
		"https://a/${X}#secret":                "https://a/${X}",
		"https://a/$${X}/${Y}":                 "https://a/$${X}/${Y}",
		"redis://me:$${secret}@${HOST}/0":      "redis://${HOST}/0",
		"redis://me:$${${PW}@${HOST}/0":        "redis://${HOST}/0",
	} {
		if got := withoutLiteralSecrets(written); got != want {
			t.Errorf("%s is shown as %q, want %q", written, got, want)
		}
	}
}
