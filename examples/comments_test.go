//go:build linux

package examples

import (
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"testing"
)

// comment is what every file opens with, behind what is for a machine.
var comment = regexp.MustCompile(`^(# (syntax|yaml-language-server).*\n\n)?# [A-Za-z.][^\n]{20,}\n`)

func TestFilesSayWhatTheyAreFor(t *testing.T) {
	t.Parallel()
	files := []string{"../Dockerfile", "../.dockerignore", "../.goreleaser.yaml"}
	for _, dir := range []string{"compose", "kubernetes", "systemd"} {
		if err := fs.WalkDir(os.DirFS(dir), ".", func(name string, entry fs.DirEntry, err error) error {
			if ext := filepath.Ext(name); err == nil && !entry.IsDir() && ext != ".gitignore" && ext != ".token" {
				files = append(files, filepath.Join(dir, name))
			}
			return err
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(files) < 15 {
		t.Errorf("only %d files", len(files))
	}
	for _, name := range files {
		if !comment.MatchString(read(t, name)) {
			t.Errorf("%s does not begin by saying what it is for", name)
		}
	}
}
