package main

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"wswarden/config"
	"wswarden/policies"
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

// The README's file is one that is accepted.
func TestReadmeConfiguration(t *testing.T) {
	text, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "```yaml\n")
	example, _, found := strings.Cut(rest, "```")
	if !found {
		t.Fatal("README.md has no YAML")
	}
	c, err := config.Parse("README.md", []byte(example))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Policies) != 2 || c.Policies[0].Name != "passengers" {
		t.Errorf("policies: %+v", c.Policies)
	}
}
