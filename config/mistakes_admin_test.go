package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// tokenFile makes a file with that content and returns its name.
func tokenFile(t *testing.T, content string) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(name, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return name
}

const goodToken = "3b1f6a0c9d2e4857"

func mistakesInAdmin(t *testing.T) (all []mistake) {
	const openToAll = ` is not on loopback, and without a token whoever reaches it could end sessions; write token_file: and a file with a token, or an address such as 127.0.0.1:9090`
	good := tokenFile(t, goodToken)
	for _, row := range []mistake{
		{"address: localhost", `w.yaml:2:9: admin.address: localhost is not an address; write host:port, such as 127.0.0.1:9090`},
		{"address: 127.0.0.1:8080", `w.yaml:2:9: admin.address: 127.0.0.1:8080 is a listener already; use another port`},
		{"address: \"127.0.0.1:8080\", token_file: " + good, `w.yaml:2:9: admin.address: 127.0.0.1:8080 is a listener already; use another port`},

		// without a token
		{"address: \"0.0.0.0:9090\"", `w.yaml:2:9: admin.address: 0.0.0.0:9090` + openToAll},
		{"address: \":9090\"", `w.yaml:2:9: admin.address: :9090` + openToAll},
		{"address: \"[::]:9090\"", `w.yaml:2:9: admin.address: [::]:9090` + openToAll},
		{"address: \"10.0.0.5:9090\"", `w.yaml:2:9: admin.address: 10.0.0.5:9090` + openToAll},
		{"address: \"wswarden.internal:9090\"", `w.yaml:2:9: admin.address: wswarden.internal:9090` + openToAll},
		{"address: \"localhost.example.com:9090\"", `w.yaml:2:9: admin.address: localhost.example.com:9090` + openToAll},
		{"address: \":9090\", token_file: \"\"", `w.yaml:2:9: admin.address: :9090` + openToAll},
		{"address: \":9090\", token_file: 5", `w.yaml:2:27: admin.token_file: 5 is not text; put it into quotes`},

		// names
		{"hosts: wswarden.internal", `w.yaml:2:9: admin.hosts: must be a list, not wswarden.internal; write each item in a line of its own, after "- "`},
		{"hosts: [\"wswarden:9090\"]", `w.yaml:2:17: admin.hosts[0]: wswarden:9090 has a port; write the name alone, wswarden`},
		{"hosts: [a, \"*.example.com\"]", `w.yaml:2:20: admin.hosts[1]: *.example.com is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [\"http://wswarden\"]", `w.yaml:2:17: admin.hosts[0]: http://wswarden is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [\"\"]", `w.yaml:2:17: admin.hosts[0]: "" is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [\"a b\"]", `w.yaml:2:17: admin.hosts[0]: "a b" is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [\"a..b\", .a]", `w.yaml:2:17: admin.hosts[0]: a..b is not the name of a host; write one such as wswarden.internal` + "\n" +
			`w.yaml:2:25: admin.hosts[1]: .a is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [wärter.de]", `w.yaml:2:17: admin.hosts[0]: wärter.de is not the name of a host; write one such as wswarden.internal`},
		{"hosts: [9090]", `w.yaml:2:17: admin.hosts[0]: 9090 is not text; put it into quotes`},
		{"address: \"\", hosts: [\"*\"]", `w.yaml:2:30: admin.hosts[0]: * is not the name of a host; write one such as wswarden.internal`},
	} {
		all = append(all, mistake{upstreamLine + "admin: {" + row.file + "}", row.want})
	}
	return all
}

func TestAdminAddresses(t *testing.T) {
	good := tokenFile(t, goodToken)
	for _, admin := range []string{
		"address: \"127.0.0.1:0\"", "address: \"127.9.9.9:9090\"", "address: \"[::1]:9090\"", "address: \"localhost:9090\"", "address: \"LocalHost:9090\"",
		"address: \":9090\", token_file: " + good, "address: \"wswarden.internal:9090\", token_file: " + good,
		"hosts: [wswarden, wswarden.internal, my_service, xn--wrter-gra.de, 10.0.0.5, a.]",
		"address: \"\", token_file: /nowhere", // what is off needs no file
	} {
		if _, err := Parse("w.yaml", []byte(upstreamLine+"admin: {"+admin+"}")); err != nil {
			t.Errorf("%s: %v", admin, err)
		}
	}
}

// What is wrong with a token is told once, with the file and without its content, by
// the configuration and by Token.
func TestMistakesInTokens(t *testing.T) {
	const advice = "; write one line into it, such as openssl rand -hex 32 prints"
	for _, row := range []struct{ content, want string }{
		{"", "is empty"},
		{"\n", "is empty"},
		{"\r\n\n", "is empty"},
		{"short-and-secret", ""},
		{"shortandsecret", "is shorter than 16 bytes"},
		{"shortandsecret\n\n", "is shorter than 16 bytes"},
		{"secret in many words", "has a space, a second line or a letter outside of ASCII"},
		{"a-long-secret-line\na-long-secret-line\n", "has a space, a second line or a letter outside of ASCII"},
		{"\n a-long-secret-line", "has a space, a second line or a letter outside of ASCII"},
		{"a-long-secret-line \n", "has a space, a second line or a letter outside of ASCII"},
		{"a-long-secret-line\x00", "has a space, a second line or a letter outside of ASCII"},
		{"a-long-secret-line\xff", "has a space, a second line or a letter outside of ASCII"},
		{"\ufeffa-long-secret-line", "has a space, a second line or a letter outside of ASCII"},
		{"ein-geheimschlüssel", "has a space, a second line or a letter outside of ASCII"},
		{strings.Repeat("secret", 1000), "is longer than 4096 bytes"},
		{strings.Repeat("x", 4096) + "\r\n", ""},
	} {
		name := tokenFile(t, row.content)
		c := valid()
		c.Admin.TokenFile = name
		token, tokenErr := c.Admin.Token()
		err := c.Validate()
		if row.want == "" {
			if want := strings.TrimRight(row.content, "\r\n"); err != nil || tokenErr != nil || token != want {
				t.Errorf("%q: got %q, %v and %v", row.content, token, tokenErr, err)
			}
			continue
		}
		want := name + " " + row.want + advice
		if err == nil || err.Error() != "admin.token_file: "+want {
			t.Errorf("%q: got %v, want %s", row.content, err, want)
		}
		if tokenErr == nil || tokenErr.Error() != want || token != "" {
			t.Errorf("%q: got %q and %v", row.content, token, tokenErr)
		}
	}
}

func TestTokensThatCannotBeRead(t *testing.T) {
	good := tokenFile(t, goodToken)
	for name, want := range map[string]string{
		filepath.Dir(good) + "/none": "no such file or directory",
		good + "/token":              "not a directory",
		filepath.Dir(good):           "not a file",
		os.DevNull:                   "not a file",
	} {
		c := valid()
		c.Admin = Admin{Address: ":9090", TokenFile: name}
		want = "admin.token_file: " + name + " cannot be read: " + want + "; name a file that wswarden may read"
		if err := c.Validate(); err == nil || err.Error() != want {
			t.Errorf("got  %v\nwant %s", err, want)
		}
	}
	if token, err := (Admin{}).Token(); token != "" || err != nil {
		t.Errorf("without a file: %q, %v", token, err)
	}
}

func TestTokenFromEnvironment(t *testing.T) {
	t.Setenv("WSWARDEN_ADMIN_ADDRESS", ":9090")
	t.Setenv("WSWARDEN_ADMIN_TOKEN_FILE", tokenFile(t, goodToken+"\n"))
	c, err := Parse("w.yaml", []byte(upstreamLine))
	if err != nil {
		t.Fatal(err)
	}
	if token, err := c.Admin.Token(); token != goodToken || err != nil {
		t.Errorf("got %q, %v", token, err)
	}
}

func mistakesInTracing(*testing.T) (all []mistake) {
	for _, row := range []mistake{
		{"otlp_endpoint: 127.0.0.1:4318", `w.yaml:2:11: tracing.otlp_endpoint: is not an http:// or https:// URL (nor shown, as it may hold a key); write that of a collector, such as http://127.0.0.1:4318`},
		{"otlp_endpoint: \"grpc://a:4317\"", `w.yaml:2:11: tracing.otlp_endpoint: grpc://a:4317 is not an http:// or https:// URL; write that of a collector, such as http://127.0.0.1:4318`},
		{"otlp_endpoint: \"http://:4318\"", `w.yaml:2:11: tracing.otlp_endpoint: http://:4318 is not an http:// or https:// URL; write that of a collector, such as http://127.0.0.1:4318`},
		{"otlp_endpoint: \"http://a:0\"", `w.yaml:2:11: tracing.otlp_endpoint: http://a:0 has no port from 1 to 65535; write one such as http://127.0.0.1:4318`},
		{"otlp_endpoint: \"https://me:secret@a\"", `w.yaml:2:11: tracing.otlp_endpoint: https://a has a user (not shown), which is not supported; leave it out, and give the collector's headers in OTEL_EXPORTER_OTLP_HEADERS`},
		{"otlp_endpoint: \"http://u:SecretPw@h:1/?q=SecretQ\"", `w.yaml:2:11: tracing.otlp_endpoint: http://h:1/ has a user (not shown), which is not supported; leave it out, and give the collector's headers in OTEL_EXPORTER_OTLP_HEADERS`},
		{"otlp_endpoint: \"https://a/?key=secret\"", `w.yaml:2:11: tracing.otlp_endpoint: has a query or fragment (not shown, as it may hold a key), which no collector's URL has; leave it out`},
		{"otlp_endpoint: \"https://a#x\"", `w.yaml:2:11: tracing.otlp_endpoint: has a query or fragment (not shown, as it may hold a key), which no collector's URL has; leave it out`},
		{"otlp_endpoint: 4318", `w.yaml:2:11: tracing.otlp_endpoint: 4318 is not text; put it into quotes`},
		{"endpoint: \"http://a\"", `w.yaml:2:11: tracing.endpoint: is not a known key; known here: otlp_endpoint, sample_ratio`},
		{"sample_ratio: 1.5", `w.yaml:2:11: tracing.sample_ratio: 1.5 is out of range; write a number from 0 to 1`},
		{"sample_ratio: -0.1", `w.yaml:2:11: tracing.sample_ratio: -0.1 is out of range; write a number from 0 to 1`},
		{"sample_ratio: 10%", `w.yaml:2:11: tracing.sample_ratio: 10% is not a number; write one from 0 to 1`},
	} {
		all = append(all, mistake{upstreamLine + "tracing: {" + row.file + "}", row.want})
	}
	return all
}
