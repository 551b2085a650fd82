package main

import (
	"fmt"
	"os"
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
