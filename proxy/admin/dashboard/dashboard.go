// Package dashboard is the page for people at the admin address. It asks the admin
// API, from its own origin alone.
//
// src holds the sources, dist what they are built into:
//
//	npm ci --prefix proxy/admin/dashboard && npm run build --prefix proxy/admin/dashboard
package dashboard

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"time"
)

//go:embed dist
var dist embed.FS

// policy lets the page load and ask nothing but its own origin, and nobody frame it.
const policy = "default-src 'self'; base-uri 'none'; object-src 'none'; form-action 'none'; frame-ancestors 'none'"

// types of the files there are; the system's own table may know others.
var types = map[string]string{
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".css":  "text/css; charset=utf-8",
	".svg":  "image/svg+xml",
}

// file is one that is served.
type file struct {
	body []byte
	kind string
	etag string
}

// Handler answers GET and HEAD for / and what is below /assets/; anything else is 404.
// The files hold no secret: they may be given to anybody.
func Handler() http.Handler {
	files := map[string]file{}
	root, err := fs.Sub(dist, "dist")
	if err == nil {
		err = fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
			if err != nil || entry.IsDir() {
				return err
			}
			body, err := fs.ReadFile(root, name)
			sum := sha256.Sum256(body)
			files["/"+name] = file{body, typeOf(name), `"` + hex.EncodeToString(sum[:12]) + `"`}
			return err
		})
	}
	if err != nil {
		panic("dashboard: " + err.Error()) // the files are in the binary
	}
	files["/"] = files["/index.html"]
	delete(files, "/index.html")
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, known := files[r.URL.Path]
		switch {
		case !known:
			http.NotFound(w, r)
			return
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			w.Header().Set("Allow", "GET, HEAD")
			http.Error(w, "GET or HEAD only", http.StatusMethodNotAllowed)
			return
		}
		header := w.Header()
		header.Set("Content-Type", f.kind)
		header.Set("ETag", f.etag)
		header.Set("Cache-Control", "no-cache") // asked for again, and then mostly 304
		header.Set("Content-Security-Policy", policy)
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(f.body))
	})
}

func typeOf(name string) string {
	if kind, known := types[path.Ext(name)]; known {
		return kind
	}
	return mime.TypeByExtension(path.Ext(name))
}
