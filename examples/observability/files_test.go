package observability

import (
	"encoding/json"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// tool returns one of the programs of Debian's package prometheus.
func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		absent := t.Skipf
		if os.Getenv("CI") == "true" {
			absent = t.Fatalf
		}
		absent("%s is not installed (Debian: apt-get install --no-install-recommends prometheus): nothing says whether Prometheus understands these files", name)
	}
	return path
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// expression is one of PromQL, and where it stands.
type expression struct {
	place, text string
	labels      []string // that its result has to have
}

type rule struct {
	Alert, Record, Expr string
	Labels, Annotations map[string]string
}

// rules reads a file of them.
func rules(t *testing.T, name string) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	if err := yaml.Unmarshal([]byte(read(t, name)), &file); err != nil {
		t.Fatal(err)
	}
	for _, group := range file.Groups {
		all = append(all, group.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", name)
	}
	return all
}

type panel struct {
	ID          int
	Type, Title string
	GridPos     struct{ H, W, X, Y int }
	Targets     []struct {
		Expr, LegendFormat string
		Datasource         struct{ UID string }
	}
}

type dashboard struct {
	Description, UID string
	SchemaVersion    int
	Panels           []panel
	Annotations      struct {
		List []struct{ Name, Expr, TitleFormat string }
	}
	Templating struct {
		List []struct {
			Name, Type string
			Query      any
			Datasource struct{ UID string }
		}
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	if err := json.Unmarshal([]byte(read(t, "grafana-dashboard.json")), &d); err != nil {
		t.Fatal(err)
	}
	return d
}

var (
	variables  = strings.NewReplacer("$instance", ".*", "$policy", ".*", "$__rate_interval", "1m")
	inTemplate = regexp.MustCompile(`\{\{ ?(?:\$labels\.)?([a-z]+) ?\}\}`)
	inQuery    = regexp.MustCompile(`^label_values\((.+), ([a-z]+)\)$`)
)

// labelsOf returns those that a legend or an annotation names.
func labelsOf(template string) (labels []string) {
	for _, m := range inTemplate.FindAllStringSubmatch(template, -1) {
		labels = append(labels, m[1])
	}
	return labels
}

// expressions returns all that the files have, with Grafana's variables standing for everything.
func expressions(t *testing.T) (all []expression) {
	t.Helper()
	for _, r := range slices.Concat(rules(t, "rules.yml"), rules(t, "alerts.yml")) {
		all = append(all, expression{
			place:  r.Record + r.Alert,
			text:   r.Expr,
			labels: labelsOf(r.Annotations["summary"] + r.Annotations["description"]),
		})
	}
	d := readDashboard(t)
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			all = append(all, expression{"panel " + p.Title, variables.Replace(target.Expr), labelsOf(target.LegendFormat)})
		}
	}
	for _, a := range d.Annotations.List {
		all = append(all, expression{"annotation " + a.Name, variables.Replace(a.Expr), labelsOf(a.TitleFormat)})
	}
	for _, v := range d.Templating.List {
		if query, ok := v.Query.(map[string]any); ok {
			text, _ := query["query"].(string)
			m := inQuery.FindStringSubmatch(variables.Replace(text))
			if m == nil {
				t.Fatalf("variable %s: %q is no query for the values of a label", v.Name, text)
			}
			all = append(all, expression{"variable " + v.Name, m[1], m[2:]})
		}
	}
	return all
}
