package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math/big"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy"
)

// table returns the rows of the README's table behind a mark, cell by cell.
func table(t *testing.T, mark string) (rows [][]string) {
	t.Helper()
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, found := strings.Cut(string(text), "<!-- "+mark+" -->\n")
	if !found {
		t.Fatalf("README.md has no mark %q", mark)
	}
	for line := range strings.Lines(rest) {
		line = strings.TrimSpace(line)
		if !strings.HasPrefix(line, "|") {
			break
		}
		cells := strings.Split(strings.Trim(line, "|"), "|")
		for i := range cells {
			cells[i] = strings.TrimSpace(cells[i])
		}
		rows = append(rows, cells)
	}
	if len(rows) < 3 {
		t.Fatalf("README.md: the table %q has no rows", mark)
	}
	return rows[2:]
}

func TestReadmeKeys(t *testing.T) {
	rows := table(t, "keys")
	keys := config.Keys()
	if len(rows) != len(keys) {
		t.Errorf("%d rows for %d keys", len(rows), len(keys))
	}
	for i, key := range keys[:min(len(keys), len(rows))] {
		want := []string{"`" + key.Name + "`", key.Type, key.Default}
		if got := rows[i][:3]; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("row %d: %q, want %q", i+1, got, want)
		}
		if len(rows[i]) != 4 || rows[i][3] == "" {
			t.Errorf("%s: its meaning is not one cell", key.Name)
		}
	}
}

// A row of this table stands for a key in all the rules where it is the same.
func TestReadmeDialectKeys(t *testing.T) {
	var rules []string
	var want [][]string // key, where, type, default
	for _, key := range config.DialectKeys() {
		where, name, found := strings.Cut(strings.TrimPrefix(key.Name, "dialects[]."), "[].")
		if !found {
			where, name = "a dialect", where
		} else if !slices.Contains(rules, where) {
			rules = append(rules, where)
		}
		name = "`" + name + "`"
		same := func(row []string) bool { return row[0] == name && row[2] == key.Type && row[3] == key.Default }
		if i := slices.IndexFunc(want, same); i >= 0 {
			want[i][1] += ", " + where
		} else {
			want = append(want, []string{name, where, key.Type, key.Default})
		}
	}
	rows := table(t, "dialect keys")
	if len(rows) != len(want) {
		t.Errorf("%d rows for %d keys", len(rows), len(want))
	}
	for i, row := range rows[:min(len(rows), len(want))] {
		if want[i][1] == strings.Join(rules, ", ") {
			want[i][1] = "every rule"
		}
		if len(row) != 5 || row[4] == "" || fmt.Sprint(row[:4]) != fmt.Sprint(want[i]) {
			t.Errorf("row %d: %q, want %q and a meaning", i+1, row, want[i])
		}
	}
}

func TestReadmeCauses(t *testing.T) {
	rows := table(t, "causes")
	causes := policies.Causes()
	if len(rows) != len(causes) {
		t.Errorf("%d rows for %d causes", len(rows), len(causes))
	}
	code := func(c uint16) string {
		if c == 0 {
			return "as sent"
		}
		return fmt.Sprint(c)
	}
	for i, cause := range causes[:min(len(causes), len(rows))] {
		client, upstream := cause.Codes()
		want := []string{"`" + cause.String() + "`", code(client), code(upstream)}
		got := []string{rows[i][0], rows[i][2], rows[i][3]}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("row %d: %q, want %q", i+1, got, want)
		}
	}
}

func TestReadmeRefusals(t *testing.T) {
	rows, refusals := table(t, "refusals"), policies.Refusals()
	if len(rows) != len(refusals) {
		t.Fatalf("%d rows for %d reasons", len(rows), len(refusals))
	}
	for i, why := range refusals {
		code := fmt.Sprint(why.CloseCode())
		if why == policies.RefusedPressure {
			code = "none: nothing is begun then"
		}
		name, _, _ := strings.Cut(rows[i][0], ":")
		want := []string{"`" + why.String() + "`", fmt.Sprint(why.Status()), code}
		if got := []string{name, rows[i][1], rows[i][2]}; fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("row %d: %q, want %q", i+1, got, want)
		}
	}
}

// The README's files are such as are accepted.
func TestReadmeConfiguration(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	token := filepath.Join(t.TempDir(), "token")
	if err := os.WriteFile(token, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	cert, key := selfSigned(t)
	for name, value := range map[string]string{"APP_HOST": "127.0.0.1", "MAX_SESSIONS": "100", "IDLE": "10m"} {
		t.Setenv(name, value)
	}
	var names []string
	for i, rest := range strings.Split(string(text), "```yaml\n")[1:] {
		example, _, _ := strings.Cut(rest, "```")
		if !strings.Contains(example, "upstream:") {
			example += "upstream: { url: http://127.0.0.1:5000 }\n"
		}
		example = strings.NewReplacer("/etc/wswarden/token", token, "/run/secrets/redis", token,
			"/etc/wswarden/tls.crt", cert, "/etc/wswarden/tls.key", key, "/etc/wswarden/machines.pem", cert, "/etc/wswarden/legacy-ca.pem", cert).Replace(example)
		c, err := config.Parse(fmt.Sprintf("example %d", i+1), []byte(example))
		if err != nil {
			t.Error(err)
			continue
		}
		for _, policy := range c.Policies {
			names = append(names, policy.Name+" "+policy.Dialect)
		}
	}
	if want := []string{"passengers rac", "everybody-else ", "passengers ", "default ", "default chat", "machines ", "people ", "default ", "default ", "staff ", "passengers rac", "default ", "default ", "default "}; !slices.Equal(names, want) {
		t.Errorf("policies and their dialects: %q, want %q", names, want)
	}
}

// selfSigned returns the files of a certificate and its key.
func selfSigned(t *testing.T) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"localhost"}, NotAfter: time.Now().Add(time.Hour)}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	return write("cert.pem", "CERTIFICATE", cert), write("key.pem", "PRIVATE KEY", secret)
}

func TestReadmeMetrics(t *testing.T) {
	c := config.Default()
	c.Upstream.URL, c.Listeners[0].Address, c.Admin.Address = "http://127.0.0.1:1", "127.0.0.1:0", "127.0.0.1:0"
	c.Policies[0].Release.Webhook.URL = "http://127.0.0.1:1"
	c.Listeners[0].TLS.Cert, c.Listeners[0].TLS.Key = selfSigned(t)
	c.Store.Kind, c.Store.URL = "redis", "redis://127.0.0.1:1"
	server, err := proxy.New(c, slog.New(slog.DiscardHandler), proxy.Options{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- server.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	response, err := http.Get("http://" + server.AdminAddr().String() + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	metrics, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	var got, want []string
	for line := range strings.Lines(string(metrics)) {
		if name, found := strings.CutPrefix(line, "# TYPE wswarden_"); found {
			got = append(got, "wswarden_"+strings.Fields(name)[0])
		}
	}
	for _, row := range table(t, "metrics") {
		want = append(want, strings.Trim(row[0], "`"))
	}
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("/metrics has %q, the README %q", got, want)
	}
}

// The README's table of dialects has those that there are.
func TestReadmeDialects(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "| dialect | for |")
	var got []string
	for line := range strings.Lines(rest) {
		if cells := strings.Split(line, "|"); len(cells) > 2 && strings.Contains(cells[1], "`") {
			got = append(got, strings.Trim(cells[1], " `"))
		} else if len(got) > 0 {
			break
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, config.Builtins()) {
		t.Errorf("README.md has %q, built in are %q", got, config.Builtins())
	}
}

// The README's table of routes has those of the API's own description.
func TestReadmeRoutes(t *testing.T) {
	text, err := os.ReadFile("proxy/admin/openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var description struct {
		Paths map[string]map[string]any `yaml:"paths"`
	}
	if err := yaml.Unmarshal(text, &description); err != nil {
		t.Fatal(err)
	}
	want := make(map[string]bool)
	for path, methods := range description.Paths {
		if strings.HasPrefix(path, "/debug/pprof/") {
			path = "/debug/pprof/" // the README has one row for all profiles
		}
		for method := range methods {
			if method != "parameters" {
				want[strings.ToUpper(method)+" "+path] = true
			}
		}
	}
	got := make(map[string]bool)
	for _, row := range table(t, "routes") {
		for _, match := range regexp.MustCompile("`([A-Z]+ /[^`]*)`").FindAllStringSubmatch(row[0], -1) {
			got[match[1]] = true
		}
	}
	if !maps.Equal(got, want) {
		t.Errorf("README.md has %q, the description %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}
}
