package dashboard_test

import (
	"bytes"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"wswarden/proxy/admin/dashboard"
)

func get(t *testing.T, method, path, etag string) *http.Response {
	t.Helper()
	r := httptest.NewRequest(method, path, nil)
	if etag != "" {
		r.Header.Set("If-None-Match", etag)
	}
	w := httptest.NewRecorder()
	dashboard.Handler().ServeHTTP(w, r)
	return w.Result()
}

func TestHandler(t *testing.T) {
	for _, c := range []struct {
		method, path string
		status       int
		kind         string
	}{
		{"GET", "/", 200, "text/html; charset=utf-8"},
		{"HEAD", "/", 200, "text/html; charset=utf-8"},
		{"GET", "/assets/app.js", 200, "text/javascript; charset=utf-8"},
		{"GET", "/assets/style.css", 200, "text/css; charset=utf-8"},
		{"GET", "/assets/icon.svg", 200, "image/svg+xml"},
		{"GET", "/index.html", 404, ""}, // one address for one page
		{"GET", "/assets/", 404, ""},
		{"GET", "/assets/../index.html", 404, ""},
		{"GET", "/assets/none.js", 404, ""},
		{"POST", "/", 405, ""},
	} {
		r := get(t, c.method, c.path, "")
		if r.StatusCode != c.status {
			t.Errorf("%s %s: %d, want %d", c.method, c.path, r.StatusCode, c.status)
		}
		if c.status != http.StatusOK {
			continue
		}
		if kind := r.Header.Get("Content-Type"); kind != c.kind {
			t.Errorf("%s is %q, want %q", c.path, kind, c.kind)
		}
		if policy := r.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "default-src 'self';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s has the policy %q", c.path, policy)
		}
		if r.Header.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s may be used without asking", c.path)
		}
		if again := get(t, c.method, c.path, r.Header.Get("ETag")); again.StatusCode != http.StatusNotModified {
			t.Errorf("%s, known by its ETag: %d, want 304", c.path, again.StatusCode)
		}
	}
}

// What is embedded is what the sources build, with the licence of the library in it.
func TestDistIsBuiltFromSources(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		missing(t, "Node is not installed: whether dist is what src builds is not tested")
	}
	if _, err := os.Stat("node_modules/esbuild"); err != nil {
		missing(t, "whether dist is what src builds is not tested until you run: npm ci --prefix proxy/admin/dashboard")
	}
	built := t.TempDir()
	if said, err := exec.Command(node, "build.js", built).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	want, got := files(t, built), files(t, "dist")
	for name := range got {
		if want[name] == nil {
			t.Errorf("dist/%s is not built from anything", name)
		}
	}
	for name, text := range want {
		if !bytes.Equal(text, got[name]) {
			t.Errorf("dist/%s is not what src builds; run: npm run build --prefix proxy/admin/dashboard", name)
		}
	}
	for _, name := range []string{"assets/app.js", "assets/style.css"} {
		if !bytes.Contains(got[name], []byte("Copyright (c) 2022 Leon Sorokin")) {
			t.Errorf("dist/%s does not have the licence of uPlot", name)
		}
	}
}

func files(t *testing.T, root string) map[string][]byte {
	t.Helper()
	found := map[string][]byte{}
	err := fs.WalkDir(os.DirFS(root), ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		found[name], err = os.ReadFile(filepath.Join(root, name))
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
