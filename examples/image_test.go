//go:build linux

package examples

import (
	"debug/elf"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"wswarden/config"
)

// of returns a container of an image, as the Dockerfile says that it is to be started.
func of(t *testing.T, name string, mounts ...mount) container {
	t.Helper()
	i, err := inspect("..", images[name])
	if err != nil {
		t.Fatal(err)
	}
	return container{
		Root:     rootOf(t, name, mounts),
		ReadOnly: true,
		Mounts:   mounts,
		Args:     slices.Concat(i.entrypoint, i.command),
	}
}

// There is nothing in it to break in with, and nothing that it was built from.
func TestImageHasNothingElse(t *testing.T) {
	t.Parallel()
	root := filepath.Join(os.Getenv(imagesVar), "wswarden", "root")
	var files []string
	if err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			files = append(files, "/"+name)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if want := []string{"/etc/ssl/certs/ca-certificates.crt", "/wswarden"}; !slices.Equal(files, want) {
		t.Errorf("%q, want %q", files, want)
	}
	certificates, err := os.ReadFile(filepath.Join(root, "etc/ssl/certs/ca-certificates.crt"))
	if err != nil || strings.Count(string(certificates), "BEGIN CERTIFICATE") < 50 {
		t.Errorf("the world's certificate authorities are not there: %v", err)
	}
	program, err := elf.Open(filepath.Join(root, "wswarden"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = program.Close() }()
	if libraries, err := program.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it is not static: %q, %v", libraries, err)
	}
}

func TestImageSays(t *testing.T) {
	t.Parallel()
	i, err := inspect("..", images["wswarden"])
	if err != nil {
		t.Fatal(err)
	}
	if i.baseOfStage != "scratch" || i.user != "65532:65532" || i.exposed != "8080" {
		t.Errorf("from %s, user %s, port %s", i.baseOfStage, i.user, i.exposed)
	}
	if i.health[0] != "/wswarden" || i.health[1] != "healthcheck" {
		t.Errorf("health is asked by %q", i.health)
	}
	if !strings.Contains(i.labels, `org.opencontainers.image.version="v0.0.0-test"`) {
		t.Errorf("labels are %s", i.labels)
	}
	if config.Default().Admin.Address != "127.0.0.1:9090" {
		t.Error("the Dockerfile names another default of admin.address")
	}
}

// What an engine does with an image, from its start to its end.
func TestImageRuns(t *testing.T) {
	upstream := serveUpstream(t, "127.0.0.1:5000")
	c := of(t, "wswarden")
	if out, err := c.run(t, "/wswarden", "version"); err != nil || !strings.HasPrefix(out, "wswarden v0.0.0-test go") {
		t.Errorf("version: %v, %s", err, out)
	}
	i, err := inspect("..", images["wswarden"])
	if err != nil {
		t.Fatal(err)
	}
	if out, err := c.run(t, i.health...); err == nil {
		t.Errorf("it is healthy before it runs: %s", out)
	}

	c.Env = []string{atOnce}
	c.Args = []string{i.entrypoint[0], "serve", "--upstream", "http://127.0.0.1:5000", "--listen", ":8080"}
	p := c.start(t)
	p.wantLog("serving")
	wantNobody(t, p)
	if out, err := c.run(t, i.health...); err != nil {
		t.Errorf("it is not healthy: %v, %s", err, out)
	}
	client := dial(t, "127.0.0.1:8080")
	client.wantEcho("hello")

	p.signal(syscall.SIGTERM)
	client.wantClose(1012)
	p.wantExit(0)

	upstream.stop()
	p = c.start(t)
	p.wantLog("serving")
	if out, err := c.run(t, i.health...); err == nil {
		t.Errorf("it is healthy without upstream: %s", out)
	}
	if status := get(t, "http://127.0.0.1:9090/healthz", ""); status != http.StatusOK {
		t.Errorf("it does not live: %d", status)
	}
}

// Without a file it says which one it wants, and where.
func TestImageWithoutConfiguration(t *testing.T) {
	c := of(t, "wswarden")
	out, err := c.run(t, c.Args...)
	if err == nil || !strings.Contains(out, "/etc/wswarden/wswarden.yaml") {
		t.Errorf("%v: %s", err, out)
	}
}
