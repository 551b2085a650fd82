package observability

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// copies puts the files that belong to a configuration of Prometheus into a folder.
func copies(t *testing.T, configuration, token string) (path string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"prometheus.yml": configuration,
		"rules.yml":      read(t, "rules.yml"),
		"alerts.yml":     read(t, "alerts.yml"),
		"wswarden.token": token,
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "prometheus.yml")
}

// discovered replaces Kubernetes by a file, as Debian's Prometheus cannot ask it.
func discovered(t *testing.T) string {
	t.Helper()
	return replaced(t, read(t, "prometheus-kubernetes.yml"),
		"kubernetes_sd_configs:\n      - role: pod", "file_sd_configs:\n      - files: [pods.json]",
		"/etc/prometheus/secrets/wswarden/token", "wswarden.token")
}

// replaced replaces texts that must be there, each by the one behind it.
func replaced(t *testing.T, text string, pairs ...string) string {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		if !strings.Contains(text, pairs[i]) {
			t.Fatalf("there is no %q", pairs[i])
		}
		text = strings.ReplaceAll(text, pairs[i], pairs[i+1])
	}
	return text
}

func promtool(t *testing.T, args ...string) []byte {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.CommandContext(t.Context(), tool(t, "promtool"), args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("promtool %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.String())
	}
	return out
}

func TestFilesAreValid(t *testing.T) {
	t.Parallel()
	promtool(t, "check", "config", copies(t, read(t, "prometheus.yml"), "token"))
	promtool(t, "check", "config", copies(t, discovered(t), "token"))
	promtool(t, "check", "rules", "rules.yml", "alerts.yml")
}

// Each alert fires on what it is for, and none on a healthy wswarden.
func TestAlertsOnSyntheticSeries(t *testing.T) {
	t.Parallel()
	promtool(t, "test", "rules", "alerts_test.yml")
	var file struct {
		Tests []struct {
			Name  string
			Exprs []struct {
				Samples []struct{ Labels string } `yaml:"exp_samples"`
			} `yaml:"promql_expr_test"`
		}
	}
	if err := yaml.Unmarshal([]byte(read(t, "alerts_test.yml")), &file); err != nil {
		t.Fatal(err)
	}
	fired := map[string]bool{}
	for _, test := range file.Tests {
		for _, e := range test.Exprs {
			for _, s := range e.Samples {
				for _, r := range rules(t, "alerts.yml") {
					if strings.Contains(s.Labels, `alertname="`+r.Alert+`", alertstate="firing"`) {
						fired[r.Alert] = true
					}
				}
			}
		}
	}
	for _, r := range rules(t, "alerts.yml") {
		if !fired[r.Alert] {
			t.Errorf("nothing makes %s fire", r.Alert)
		}
	}
}

// Of all pods, exactly those with a sidecar are asked, once, and are told apart.
func TestPodsAreFound(t *testing.T) {
	t.Parallel()
	type pod struct {
		Targets []string          `json:"targets"`
		Labels  map[string]string `json:"labels"`
	}
	container := func(address, name, port, phase string) pod {
		return pod{[]string{address}, map[string]string{
			"__meta_kubernetes_namespace":               "trains",
			"__meta_kubernetes_pod_name":                "rac-0",
			"__meta_kubernetes_pod_phase":               phase,
			"__meta_kubernetes_pod_container_name":      name,
			"__meta_kubernetes_pod_container_port_name": port,
		}}
	}
	pods, err := json.Marshal([]pod{
		container("10.0.0.1:9090", "wswarden", "admin", "Running"),
		container("10.0.0.1:8080", "wswarden", "clients", "Running"),
		container("10.0.0.1:5000", "rac", "admin", "Running"),
		container("10.0.0.2:9090", "wswarden", "admin", "Failed"),
	})
	if err != nil {
		t.Fatal(err)
	}
	path := copies(t, discovered(t), "token")
	if err := os.WriteFile(filepath.Join(filepath.Dir(path), "pods.json"), pods, 0o600); err != nil {
		t.Fatal(err)
	}
	var targets []struct{ Labels map[string]string }
	if err := json.Unmarshal(promtool(t, "check", "service-discovery", "--timeout=1s", path, "wswarden"), &targets); err != nil {
		t.Fatal(err)
	}
	asked := slices.DeleteFunc(targets, func(target struct{ Labels map[string]string }) bool { return len(target.Labels) == 0 })
	if len(asked) != 1 {
		t.Fatalf("%d pods are asked, not one: %v", len(asked), asked)
	}
	for label, want := range map[string]string{"job": "wswarden", "instance": "10.0.0.1:9090", "namespace": "trains", "pod": "rac-0"} {
		if got := asked[0].Labels[label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
}

// Each file opens with the problem that it solves.
func TestFilesSayWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"prometheus.yml", "prometheus-kubernetes.yml", "rules.yml", "alerts.yml", "alerts_test.yml"} {
		if !strings.HasPrefix(read(t, name), "# ") {
			t.Errorf("%s does not", name)
		}
	}
	if readDashboard(t).Description == "" {
		t.Error("grafana-dashboard.json does not")
	}
}

var command = regexp.MustCompile("`(wswarden [^`]+)`")

// Whoever an alert wakes up is told what to do, in commands that there are.
func TestAlertsSayWhatToDo(t *testing.T) {
	t.Parallel()
	for _, r := range rules(t, "alerts.yml") {
		if severity := r.Labels["severity"]; severity != "critical" && severity != "warning" {
			t.Errorf("%s has severity %q", r.Alert, severity)
		}
		if summary := r.Annotations["summary"]; summary == "" || len(summary) > 120 {
			t.Errorf("%s has no summary, or a long one: %q", r.Alert, summary)
		}
		if len(r.Annotations["description"]) < 100 {
			t.Errorf("%s does not say what to do", r.Alert)
		}
	}
}

// A dashboard that overlaps, or has an id twice, is repaired by Grafana as it likes.
func TestDashboardIsWellFormed(t *testing.T) {
	t.Parallel()
	d := readDashboard(t)
	type cell struct{ x, y int }
	ids, cells := map[int]string{}, map[cell]string{}
	for _, p := range d.Panels {
		if other, twice := ids[p.ID]; twice {
			t.Errorf("panels %q and %q have the same id", p.Title, other)
		}
		ids[p.ID] = p.Title
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("panel %q is wider than the page", p.Title)
		}
		for x := range p.GridPos.W {
			for y := range p.GridPos.H {
				at := cell{p.GridPos.X + x, p.GridPos.Y + y}
				if other, taken := cells[at]; taken {
					t.Fatalf("panels %q and %q overlap", p.Title, other)
				}
				cells[at] = p.Title
			}
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("panel %q shows nothing", p.Title)
		}
		for _, target := range p.Targets {
			if target.Datasource.UID != "${datasource}" {
				t.Errorf("panel %q asks %q, whatever is chosen", p.Title, target.Datasource.UID)
			}
		}
	}
	var names []string
	for _, v := range d.Templating.List {
		names = append(names, v.Name)
		if v.Type == "query" && v.Datasource.UID != "${datasource}" {
			t.Errorf("variable %s asks %q", v.Name, v.Datasource.UID)
		}
	}
	if want := []string{"datasource", "instance", "policy"}; !slices.Equal(names, want) {
		t.Errorf("variables %v, want %v", names, want)
	}
}
