package config

import (
	"errors"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Lists of sections append in the order of the files' names; sections are one.
func TestFolder(t *testing.T) {
	inFolder(t, map[string]string{
		"c/10-base.yaml":    upstreamLine + "drain:\n  timeout: 1m\npolicies:\n  - {name: a, match: {path: /a}}\nlisteners: [{address: \":1\"}]",
		"c/20-more.yml":     "drain:\n  reason: bye\npolicies:\n  - name: b\n    match: {path: /b}\n    idle: {timeout: 5m}\ndialects: [{name: x, heartbeat: [{text: x}]}]",
		"c/3.yaml":          "policies: [{}]\ndialects: [{name: y, heartbeat: [{text: y}]}]\nlisteners: [{address: \":2\"}, {address: \":3\"}]",
		"c/empty.yaml":      "# nothing\n",
		"c/.hidden.yaml":    "no: sense",
		"c/notes.txt":       "no: sense",
		"c/w.yaml.bak":      "no: sense",
		"c/sub/deeper.yaml": "no: sense",
		"c/folder.yaml/w":   "no: sense",
	})
	t.Setenv("WSWARDEN_POLICIES_1_IDLE_TIMEOUT", "6m")
	t.Setenv("WSWARDEN_POLICIES_2_IDLE_TIMEOUT", "7m")
	l, err := Source{Path: "c"}.Load()
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, p := range l.Policies {
		names = append(names, p.Name, p.Idle.Timeout.String())
	}
	if want := []string{"a", "0s", "b", "6m0s", "policy-3", "7m0s"}; !slices.Equal(names, want) {
		t.Errorf("policies %q, want %q", names, want)
	}
	if l.Drain.Timeout != time.Minute || l.Drain.Reason != "bye" || len(l.Dialects) != 2 || !slices.Equal(l.Listeners, listenersOn(":1", ":2", ":3")) {
		t.Errorf("got %+v", l.Config)
	}
	for key, want := range map[string]string{
		"drain.timeout": "c/10-base.yaml:3", "drain.reason": "c/20-more.yml:2", "drain.spread": "default",
		"policies[0]": "c/10-base.yaml:5", "policies[1].match.path": "c/20-more.yml:5", "policies[1].idle.timeout": "environment WSWARDEN_POLICIES_1_IDLE_TIMEOUT",
		"policies[2]": "c/3.yaml:1", "listeners[2].address": "c/3.yaml:3", "dialects[1].name": "c/3.yaml:2",
	} {
		if got := l.Places.Of(key); got != want {
			t.Errorf("%s is from %s, want %s", key, got, want)
		}
	}
	want := []string{"c", "c/10-base.yaml", "c/20-more.yml", "c/3.yaml", "c/empty.yaml", "c/folder.yaml"}
	if !slices.Equal(l.Files, want) {
		t.Errorf("files %q, want %q", l.Files, want)
	}
}

// A ConfigMap's files are links through a hidden folder, which is another one later.
func TestFolderOfAConfigMap(t *testing.T) {
	inFolder(t, map[string]string{
		"c/..2024_01/w.yaml": upstreamLine + "drain: {reason: \"${file:bye}\"}", "c/..2024_01/bye": "old\n",
		"c/..2024_02/w.yaml": upstreamLine + "drain: {reason: \"${file:bye}\"}", "c/..2024_02/bye": "new\n",
	})
	for link, to := range map[string]string{"c/..data": "..2024_01", "c/w.yaml": "..data/w.yaml", "c/bye": "..data/bye"} {
		if err := os.Symlink(to, link); err != nil {
			t.Fatal(err)
		}
	}
	before, err := Source{Path: "c"}.Load()
	if err != nil || before.Drain.Reason != "old" {
		t.Fatalf("%+v, %v", before.Config, err)
	}
	if err := os.Symlink("..2024_02", "c/..data_tmp"); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename("c/..data_tmp", "c/..data"); err != nil {
		t.Fatal(err)
	}
	after, err := Source{Path: "c"}.Load()
	if err != nil || after.Drain.Reason != "new" || after.Digest == before.Digest {
		t.Errorf("%+v, %v", after.Config, err)
	}
}

func TestMistakesInFolders(t *testing.T) {
	for _, row := range folderMistakes {
		files := map[string]string{}
		for name, text := range row.files {
			files["c/"+name] = strings.Replace(text, "UP\n", upstreamLine, 1)
		}
		inFolder(t, files)
		if err := os.MkdirAll("c", 0o700); err != nil {
			t.Fatal(err)
		}
		l, err := Source{Path: "c"}.Load()
		if err == nil || err.Error() != row.want {
			t.Errorf("files: %q\ngot:  %v\nwant: %s", row.files, err, row.want)
		}
		names := slices.Sorted(maps.Keys(files))
		if l == nil || l.Config != nil || !slices.Equal(l.Files, append([]string{"c"}, names...)) {
			t.Errorf("beside the error: %+v, want files %q", l, names)
		}
	}
}

// folderMistakes are those of several files in one folder. UP is upstreamLine.
var folderMistakes = []struct {
	files map[string]string
	want  string
}{
	{nil, `c: has no *.yaml or *.yml; put one into it, or name a file`},
	{map[string]string{"a.yaml": "log: {level: info}"}, `c: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
	{map[string]string{"a.yaml": "", "b.yaml": "log: {level: info}\nupstream: {dial_timeout: 1s}"}, `c/b.yaml:2:1: upstream.url: is missing; write the server to stand in front of, such as http://127.0.0.1:5000`},
	{map[string]string{"a.yaml": "UP\n", "b.yaml": "UP\n"}, `c/b.yaml:1:12: upstream.url: is set in c/a.yaml:1:12 already; remove one`},
	{map[string]string{"a.yaml": "UP\ndrain:\n  timeout: 1m", "b.yaml": "log: {level: info}\ndrain:\n  timeout: 1m"}, `c/b.yaml:3:3: drain.timeout: is set in c/a.yaml:3:3 already; remove one`},
	{map[string]string{"a.yaml": "UP\ntrusted_proxies: [10.0.0.0/8]", "b.yaml": "trusted_proxies: [11.0.0.0/8]"}, `c/b.yaml:1:1: trusted_proxies: is set in c/a.yaml:2:1 already; remove one`},
	{map[string]string{"a.yaml": "UP\nadmin: {hosts: [a]}", "b.yaml": "admin: {hosts: [b]}"}, `c/b.yaml:1:9: admin.hosts: is set in c/a.yaml:2:9 already; remove one`},
	{map[string]string{"a.yaml": "UP\nlog: {level: info}", "b.yaml": "log: {level: info}", "c.yaml": "log: {level: loud}"},
		"c/b.yaml:1:7: log.level: is set in c/a.yaml:2:7 already; remove one\nc/c.yaml:1:7: log.level: is set in c/a.yaml:2:7 already; remove one"},
	{map[string]string{"a.yaml": "UP\nlog: {level: info, level: warn}", "b.yaml": "log: {format: text, format: json}"},
		"c/a.yaml:2:20: log.level: is written twice, first in line 2; remove one\nc/b.yaml:1:21: log.format: is written twice, first in line 1; remove one"},

	// names
	{map[string]string{"a.yaml": "UP\npolicies:\n  - {name: p, match: {path: /a}}", "b.yaml": "policies:\n  - name: p\n    match: {path: /b}"},
		`c/b.yaml:2:5: policies[1].name: p is the name of policies[0] in c/a.yaml:3:5 already; use another`},
	{map[string]string{"a.yaml": "UP\ndialects: [{name: d, heartbeat: [{text: a}]}]", "b.yaml": "dialects: [{name: d, heartbeat: [{text: b}]}]"},
		`c/b.yaml:1:13: dialects[1].name: d is the name of dialects[0] in c/a.yaml:2:12 already; use another`},
	{map[string]string{"a.yaml": "UP\nlisteners: [{address: \":80\"}]", "b.yaml": "listeners: [{address: \":80\"}]"},
		`c/b.yaml:1:14: listeners[1].address: :80 is listeners[0] in c/a.yaml:2:13 already; remove one`},
	{map[string]string{"a.yaml": "UP\nlisteners: [{address: \":80\"}]", "b.yaml": "listeners: [{address: \"127.0.0.1:80\"}]"},
		`c/b.yaml:1:14: listeners[1].address: 127.0.0.1:80 and listeners[0] in c/a.yaml:2:13, :80, cannot both be listened on; remove one`},
	{map[string]string{"a.yaml": "UP\npolicies:\n  - name: rest", "b.yaml": "policies:\n  - name: chat\n    match: {path: /chat}"},
		`c/b.yaml:3:5: policies[1].match: selects nothing, as policies[0] in c/a.yaml:3:5 (rest) comes first and selects all of it; move this policy above that one`},
	{map[string]string{"a.yaml": "UP\npolicies:\n  - {match: {path: /a}}", "b.yaml": "policies:\n  - {match: {path: /b}, dialect: rca}"},
		`c/b.yaml:2:25: policies[1].dialect: rca is not a known dialect; did you mean rac?`},

	// what is between keys of two files
	{map[string]string{"a.yaml": "UP\ndrain: {timeout: 5s}", "b.yaml": "drain: {spread: 6s}"}, `c/b.yaml:1:9: drain.spread: 6s is longer than drain.timeout; write 5s or less`},
	{map[string]string{"a.yaml": "drain: {spread: 26s}", "b.yaml": "UP\ndrain: {reason: a}"}, `c/a.yaml:1:9: drain.spread: 26s is longer than drain.timeout; write 25s or less`},

	// all at once, by files, then lines; nothing that may be in a file that cannot be read
	{map[string]string{"a.yaml": "UP\nlog: {level: loud}\ndrane: {}", "b.yaml": "policies:\n  - idle: {timeout: 5}\n", "c.yaml": "drain: {timeout: 5}\n"},
		`c/a.yaml:2:7: log.level: loud is not known; use one of debug, info, warn, error
c/a.yaml:3:1: drane: is not a known key; did you mean drain?
c/b.yaml:2:12: policies[0].idle.timeout: 5 has no unit; write 5s
c/c.yaml:1:9: drain.timeout: 5 has no unit; write 5s`},
	{map[string]string{"a.yaml": "upstream: {url: [\n", "b.yaml": "log: {level: loud, format: 5}\n", "c.yaml": "- a", "d.yaml": "drain: 5s"},
		`c/a.yaml:1:1: is not valid YAML: did not find expected node content
c/b.yaml:1:20: log.format: 5 is not text; put it into quotes
c/c.yaml:1:1: must be a section, not a list; write keys below it, such as listeners:
c/d.yaml:1:1: drain: must be a section, not 5s; write keys below it, such as timeout:`},
	{map[string]string{"a.yaml": "UP\ndrain: {reason: a}", "b.yaml": "drain:\n", "c.yaml": "drain: [a]"},
		`c/b.yaml:1:1: drain: has no value; write one or remove it
c/c.yaml:1:1: drain: must be a section, not a list; write keys below it, such as timeout:`},
	{map[string]string{"a.yaml": "UP\npolicies: []", "b.yaml": "policies: []"}, `c/a.yaml:2:1: policies: is empty; add a policy, or remove the key for the default`},
}

func TestFilesThatCannotBeRead(t *testing.T) {
	inFolder(t, map[string]string{"c/a.yaml": "log: {level: 5}"})
	if err := os.Symlink("none", "c/b.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(os.DevNull, "c/c.yaml"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(syscall.Mkfifo("c/d.yaml", 0o600), os.WriteFile("c/e.yaml", nil, 0o600), os.Truncate("c/e.yaml", 3<<30)); err != nil {
		t.Fatal(err)
	}
	l, err := Source{Path: "c"}.Load()
	want := `c/a.yaml:1:7: log.level: 5 is not text; put it into quotes
c/b.yaml: cannot be read: no such file or directory; let it be a file that wswarden may read, or remove it
c/c.yaml: is not a file; let it be one, or remove it
c/d.yaml: is not a file but a pipe, which can be read only once; let it be a file, or remove it
c/e.yaml: is longer than 4MiB; split it into several in a folder, or remove it`
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	if want := []string{"c", "c/a.yaml", "c/b.yaml", "c/c.yaml", "c/d.yaml", "c/e.yaml"}; !slices.Equal(l.Files, want) {
		t.Errorf("files %q, want %q", l.Files, want)
	}

	for path, want := range map[string]string{
		"none":     "none: cannot be read: no such file or directory; let it be a file that wswarden may read, or name another",
		"c/c.yaml": "c/c.yaml: is not a file; let it be one, or name another",
		"c/d.yaml": "c/d.yaml: is not a file but a pipe, which can be read only once; let it be a file, or name another",
		"c/e.yaml": "c/e.yaml: is longer than 4MiB; split it into several in a folder, or name another",
	} {
		l, err := Source{Path: path}.Load()
		if err == nil || err.Error() != want || !slices.Equal(l.Files, []string{path}) {
			t.Errorf("got %v and %q", err, l.Files)
		}
	}
}

// Whoever waits for a change knows which files to look at, and sees one, also while
// something is wrong.
func TestFilesAndDigest(t *testing.T) {
	inFolder(t, map[string]string{
		"w.yaml": upstreamLine + "admin: {token_file: token}\ndrain:\n  reason: ${file:bye}${BYE}${file:bye}\n", "token": goodToken, "bye": "bye",
	})
	t.Setenv("BYE", "bye")
	source := Source{Path: "w.yaml"}
	load := func(wantErr bool) *Loaded {
		t.Helper()
		l, err := source.Load()
		if (err != nil) != wantErr || (l.Config == nil) != wantErr {
			t.Fatalf("%+v, %v", l.Config, err)
		}
		if want := []string{"w.yaml", "bye", "token"}; !slices.Equal(l.Files, want) {
			t.Errorf("files %q, want %q", l.Files, want)
		}
		return l
	}
	first := load(false)
	if again := load(false); again.Digest != first.Digest || !reflect.DeepEqual(again.Config, first.Config) {
		t.Error("nothing has changed, and yet it has")
	}
	seen := map[[32]byte]string{first.Digest: "nothing"}
	changes := []struct {
		what  string
		do    func() error
		wrong bool
	}{
		{"the file", func() error { return appendTo("w.yaml", "# more\n") }, false},
		{"a variable of a value", func() error { t.Setenv("BYE", "by"); return nil }, false},
		{"a variable of a key", func() error { t.Setenv("WSWARDEN_LOG_LEVEL", "warn"); return nil }, false},
		{"a file of a value", func() error { return appendTo("bye", "bye") }, false},
		{"the token", func() error { return appendTo("token", "00") }, false},
		{"a token that is wrong", func() error { return appendTo("token", " 00") }, true},
		{"a file that is gone", func() error { return os.Remove("bye") }, true},
	}
	for _, change := range changes {
		if err := change.do(); err != nil {
			t.Fatal(err)
		}
		digest := load(change.wrong).Digest
		if before, known := seen[digest]; known {
			t.Errorf("%s has changed, and the digest is that of %s", change.what, before)
		}
		seen[digest] = change.what
	}
}

func appendTo(name, text string) error {
	old, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	return os.WriteFile(name, append(old, text...), 0o600)
}

func TestFilesOfPath(t *testing.T) {
	inFolder(t, map[string]string{"w": upstreamLine, "c/x.yaml": upstreamLine})
	for _, path := range []string{"w", "c", "c/", "./c/../c", "c/x.yaml"} {
		if _, err := Load(path); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	here, err := filepath.Abs("c")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Load(here); err != nil {
		t.Error(err)
	}
}
