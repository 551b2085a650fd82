//go:build linux

package examples

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const token = "a-token-that-nobody-guesses"

// composed is examples/compose/compose.yaml as docker compose reads it, unknown keys and
// names that are nowhere refused.
var composed = sync.OnceValues(func() (*types.Project, error) {
	folder, err := filepath.Abs("compose")
	if err != nil {
		return nil, err
	}
	return loader.LoadWithContext(context.Background(), types.ConfigDetails{
		WorkingDir:  folder,
		ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(folder, "compose.yaml")}},
		Environment: types.Mapping{},
	}, func(o *loader.Options) { o.ResolvePaths = true })
})

func service(t *testing.T, name string) types.ServiceConfig {
	t.Helper()
	project, err := composed()
	if err != nil {
		t.Fatal(err)
	}
	s, err := project.GetService(name)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestComposeIsHardened(t *testing.T) {
	t.Parallel()
	project, err := composed()
	if err != nil {
		t.Fatal(err)
	}
	if len(project.Services) != 4 {
		t.Errorf("%d services, want 4", len(project.Services))
	}
	for name, s := range project.Services {
		if !s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}) || s.Privileged {
			t.Errorf("%s is not hardened", name)
		}
		for _, port := range s.Ports {
			if port.HostIP != "127.0.0.1" {
				t.Errorf("%s: port %s is open to the world", name, port.Published)
			}
		}
		for _, v := range s.Volumes {
			if _, err := os.Stat(v.Source); v.Type == types.VolumeTypeBind && (err != nil || !v.ReadOnly) {
				t.Errorf("%s: %s: %v, read-only: %t", name, v.Source, err, v.ReadOnly)
			}
		}
	}
	if rac := service(t, "rac"); len(rac.Ports) > 0 || len(rac.Networks) != 1 || !bool(project.Networks["inside"].Internal) {
		t.Error("rac can be reached without wswarden")
	}
}

// Who waits for another's health waits for something.
func TestComposeWaits(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, on, until string }{
		{"wswarden", "rac", types.ServiceConditionStarted},
		{"prometheus", "wswarden", types.ServiceConditionHealthy},
		{"grafana", "prometheus", types.ServiceConditionHealthy},
	} {
		if got := service(t, test.name).DependsOn[test.on].Condition; got != test.until {
			t.Errorf("%s waits until %s is %q, want %s", test.name, test.on, got, test.until)
		}
		own := service(t, test.on).HealthCheck != nil
		if fromImage := test.on == "wswarden"; test.until == types.ServiceConditionHealthy && own == fromImage {
			t.Errorf("%s: health check of its own: %t, in its image: %t", test.on, own, fromImage)
		}
	}
	if grace, drain := *service(t, "wswarden").StopGracePeriod, drainOf(t, "compose/wswarden/wswarden.yaml"); time.Duration(grace) < drain+time.Second {
		t.Errorf("stop_grace_period %v is too short for drain.timeout %v", grace, drain)
	}
}

// drainOf is drain.timeout of a configuration.
func drainOf(t *testing.T, name string) time.Duration {
	t.Helper()
	var file struct {
		Drain struct{ Timeout time.Duration }
	}
	if err := yaml.Unmarshal([]byte(read(t, name)), &file); err != nil || file.Drain.Timeout == 0 {
		t.Fatalf("%s: drain.timeout %v, %v", name, file.Drain.Timeout, err)
	}
	return file.Drain.Timeout
}

// mountsOf are the files of a service, with folders of its own, which a test may change.
func mountsOf(t *testing.T, s types.ServiceConfig) (mounts []mount) {
	t.Helper()
	dir := folder(t)
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		copied := filepath.Join(dir, v.Target)
		write(t, copied, "")
		if out, err := exec.Command("sh", "-c", `rm "$2" && cp -r "$1" "$2"`, "sh", v.Source, copied).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		mounts = append(mounts, mount{copied, v.Target})
	}
	for _, secret := range s.Secrets {
		target := "/run/secrets/" + secret.Source
		mounts = append(mounts, mount{write(t, dir+target, token+"\n"), target})
	}
	// As an engine does it for the names of other services.
	return append(mounts, mount{write(t, dir+"/etc/hosts", "127.0.0.1 localhost rac wswarden\n"), "/etc/hosts"})
}

// serviceContainer is a service's container.
func serviceContainer(t *testing.T, name string) container {
	t.Helper()
	s := service(t, name)
	if got := filepath.Join(s.Build.Context, s.Build.Dockerfile); got != absolute(t, "../"+images[name]) {
		t.Fatalf("%s is built from %s", name, got)
	}
	c := of(t, name, mountsOf(t, s)...)
	c.ReadOnly = s.ReadOnly
	if s.Command != nil {
		c.Args = append(c.Args[:1], s.Command...)
	}
	for key, value := range s.Environment {
		c.Env = append(c.Env, key+"="+*value)
	}
	return c
}

func absolute(t *testing.T, name string) string {
	t.Helper()
	name, err := filepath.Abs(name)
	if err != nil {
		t.Fatal(err)
	}
	return name
}

// The file's rac and wswarden, as they are.
func TestComposeRuns(t *testing.T) {
	rac := serviceContainer(t, "rac").start(t)
	eventually(t, "rac", func() bool { return get(t, "http://127.0.0.1:5000/api/health", "") == http.StatusOK })
	c := serviceContainer(t, "wswarden")
	c.Env = append(c.Env, atOnce)
	wantChecked(t, c)
	p := c.start(t)
	p.wantLog("serving")
	i, err := inspect("..", "Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it to be healthy", func() bool {
		_, err := c.run(t, i.health...)
		return err == nil
	})

	leaker := dial(t, "127.0.0.1:8080")
	leaker.want("CONNECTION_SUCCESS")
	leaker.say(`{"type":"subscribe:offers","payload":{"pnr":"1722500001"}}`)
	leaker.want(`"subscribed"`)
	if err := leaker.conn.NetConn().Close(); err != nil { // without a word
		t.Fatal(err)
	}
	eventually(t, "rac to forget it", func() bool {
		var health struct{ Clients, Subscriptions, Unsubscribes int }
		answer, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get("http://127.0.0.1:5000/api/health")
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = answer.Body.Close() }()
		text, _ := io.ReadAll(answer.Body)
		return json.Unmarshal(text, &health) == nil && health.Unsubscribes == 1 && health.Clients+health.Subscriptions == 0
	})

	t.Run("Prometheus may ask", func(t *testing.T) {
		if with, without := get(t, "http://wswarden:9090/metrics", token), get(t, "http://wswarden:9090/metrics", ""); with != 200 || without != 401 {
			t.Errorf("status %d with the token, %d without", with, without)
		}
	})
	t.Run("a file that is saved is read", func(t *testing.T) {
		file := filepath.Join(c.Mounts[0].Source, "wswarden.yaml")
		text := strings.Replace(read(t, file), "max: 20,", "max: 30,", 1)
		if err := os.Rename(write(t, file+"~", text), file); err != nil {
			t.Fatal(err)
		}
		p.wantLog("configuration reloaded")
	})
	client := dial(t, "127.0.0.1:8080")
	p.signal(syscall.SIGTERM)
	client.wantClose(1012)
	p.wantExit(0)
	rac.signal(syscall.SIGTERM)
	rac.wantExit(0)
}

// wantChecked checks that wswarden check has nothing to say on a container's
// configuration.
func wantChecked(t *testing.T, c container) {
	t.Helper()
	file := c.Args[slices.Index(c.Args, "--config")+1]
	if out, err := c.run(t, c.Args[0], "check", file); err != nil || !strings.Contains(out, ": ok,") {
		t.Errorf("check: %v\n%s", err, out)
	}
}

// Prometheus understands what it is given, and finds it where it looks.
func TestComposePrometheus(t *testing.T) {
	t.Parallel()
	promtool, err := exec.LookPath("promtool")
	if err != nil {
		skip(t, "promtool is not installed (Debian: apt-get install --no-install-recommends prometheus): nothing says whether Prometheus understands its file")
	}
	mounts := mountsOf(t, service(t, "prometheus"))
	at := slices.IndexFunc(mounts, func(m mount) bool { return m.Target == "/etc/prometheus/prometheus.yml" })
	if at < 0 {
		t.Fatalf("it has no configuration: %v", mounts)
	}
	if out, err := exec.Command(promtool, "check", "config", "--syntax-only", mounts[at].Source).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	var file struct {
		RuleFiles     []string `yaml:"rule_files"`
		ScrapeConfigs []struct {
			Authorization struct {
				CredentialsFile string `yaml:"credentials_file"`
			}
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, mounts[at].Source)), &file); err != nil {
		t.Fatal(err)
	}
	for _, name := range append(file.RuleFiles, file.ScrapeConfigs[0].Authorization.CredentialsFile) {
		if !filepath.IsAbs(name) {
			name = filepath.Join("/etc/prometheus", name)
		}
		if !slices.ContainsFunc(mounts, func(m mount) bool { return m.Target == name }) {
			t.Errorf("nothing is mounted at %s", name)
		}
	}
}

// Grafana finds its data and its dashboard.
func TestComposeGrafana(t *testing.T) {
	t.Parallel()
	var sources struct{ Datasources []struct{ Type, URL string } }
	var dashboards struct {
		Providers []struct{ Options struct{ Path string } }
	}
	var dashboard struct{ UID string }
	for name, v := range map[string]any{
		"compose/grafana/datasources.yaml":     &sources,
		"compose/grafana/dashboards.yaml":      &dashboards,
		"observability/grafana-dashboard.json": &dashboard,
	} {
		if err := yaml.Unmarshal([]byte(read(t, name)), v); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	if s := sources.Datasources[0]; s.Type != "prometheus" || s.URL != "http://prometheus:9090" {
		t.Errorf("data of %+v", s)
	}
	if !slices.ContainsFunc(service(t, "grafana").Volumes, func(v types.ServiceVolumeConfig) bool {
		return filepath.Dir(v.Target) == dashboards.Providers[0].Options.Path && filepath.Base(v.Source) == "grafana-dashboard.json"
	}) {
		t.Error("no dashboard is where it looks")
	}
	if !strings.Contains(read(t, "compose/compose.yaml"), "http://127.0.0.1:3000/d/"+dashboard.UID+".") &&
		!strings.Contains(read(t, "compose/compose.yaml"), "http://127.0.0.1:3000/d/"+dashboard.UID+" ") {
		t.Error("the dashboard is not where compose.yaml says")
	}
}
