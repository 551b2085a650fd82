package admin

import (
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

func TestToken(t *testing.T) {
	f := &fake{readiness: checks(true, nil), sessions: sessions(1)}
	w := start(t, f, withToken, withMetrics(prometheus.NewRegistry()))
	guarded := []string{
		"/v1/sessions", "/v1/sessions/" + f.sessions[0].ID.String(), "/v1/topics", "/v1/policies", "/v1/openapi.yaml",
		"/metrics", "/debug/pprof/", "/debug/pprof/heap",
	}
	for _, row := range []struct {
		header []string
		status int
	}{
		{nil, 401},
		{[]string{"Authorization", ""}, 401},
		{[]string{"Authorization", "Bearer"}, 401},
		{[]string{"Authorization", "Bearer wrong"}, 401},
		{[]string{"Authorization", "Bearer " + token + "s"}, 401},
		{[]string{"Authorization", "Bearer " + token[1:]}, 401},
		{[]string{"Authorization", "Basic " + token}, 401},
		{[]string{"Authorization", token}, 401},
		{[]string{"Authorization", "Bearer " + token}, 200},
		{[]string{"Authorization", "bearer " + token}, 200}, // RFC 9110 §11.1
	} {
		for _, path := range guarded {
			r, body := w.ask("GET", path, row.header...)
			if r.StatusCode != row.status {
				t.Errorf("%s %q: %d %.200s, want %d", path, row.header, r.StatusCode, body, row.status)
			}
			if challenge := r.Header.Get("WWW-Authenticate"); (challenge == "Bearer") != (row.status == 401) {
				t.Errorf("%s %q: WWW-Authenticate: %q", path, row.header, challenge)
			}
		}
	}

	// Neither a path that is not there, nor another way to write one that is, is a way
	// around the token.
	for _, path := range []string{"/v1/none", "/none", "/", "//v1/sessions", "/healthz/../v1/sessions", "/%76%31/sessions", "/v1%2Fsessions"} {
		w.refused(401, "GET", path)
	}
	for _, method := range []string{"DELETE", "POST", "PUT", "HEAD", "OPTIONS"} {
		if r, _ := w.ask(method, "/v1/sessions"); r.StatusCode != 401 {
			t.Errorf("%s: %d", method, r.StatusCode)
		}
	}
	w.refused(401, "POST", "/v1/drain")
	w.refused(401, "POST", "/v1/reload")
	w.refused(401, "DELETE", "/v1/sessions?policy=default")
	if asked := w.takeAsked(); asked != "" {
		t.Errorf("done without a token: %s", asked)
	}
	if log := w.log.String(); strings.Contains(log, token) {
		t.Errorf("the log has the token: %s", log)
	}
}

func TestHost(t *testing.T) {
	w := start(t, &fake{readiness: checks(true, nil)}, func(o *Options) {
		o.Hosts = []string{"Wswarden.Example"}
	})
	for host, status := range map[string]int{
		"localhost":             200,
		"localhost:9090":        200,
		"LOCALHOST.:9090":       200,
		"127.0.0.1":             200,
		"10.1.2.3:9090":         200,
		"[::1]":                 200,
		"[fe80::1]:9090":        200,
		"wswarden.example":      200,
		"WSWARDEN.example.:443": 200,

		"foreign.example":           403,
		"foreign.example:9090":      403,
		"localhost.foreign.example": 403,
		"127.0.0.1.foreign.example": 403,
		"other.wswarden.example":    403,
		"127.1":                     403,
		"2130706433":                403,
		":9090":                     403,
		".":                         403,
	} {
		for _, path := range []string{"/v1/policies", "/healthz", "/readyz", "/v1/openapi.yaml"} {
			if r, body := w.ask("GET", path, "Host", host); r.StatusCode != status {
				t.Errorf("%s%s: %d %.200s, want %d", host, path, r.StatusCode, body, status)
			}
		}
		if status == 403 {
			w.refused(403, "GET", "/none", "Host", host)
			w.refused(403, "POST", "/v1/drain", "Host", host)
		}
	}
	if asked := w.takeAsked(); asked != "" {
		t.Errorf("done for a foreign host: %s", asked)
	}
}

func TestTheHostOfTheAddressIsKnown(t *testing.T) {
	w := start(t, new(fake), func(o *Options) { o.Address = "localhost:0" })
	_, port, _ := net.SplitHostPort(w.admin.Addr().String())
	if r, _ := w.ask("GET", "/healthz", "Host", "localhost:"+port); r.StatusCode != 200 {
		t.Errorf("localhost: %d", r.StatusCode)
	}
	g := newGuard(Options{Address: "Admin.Internal:9090"}, nil, nil)
	if !g.ownHost("admin.internal:9090") || g.ownHost("internal") {
		t.Error("the address's own name is not known, or another is")
	}
}

// Health checks of the older kind send no Host at all; browsers always do.
func TestNoHost(t *testing.T) {
	w := start(t, new(fake))
	conn, err := net.Dial("tcp", w.admin.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	if _, err := conn.Write([]byte("GET /healthz HTTP/1.0\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	answer := make([]byte, 15)
	if n, err := conn.Read(answer); err != nil || string(answer[:n]) != "HTTP/1.0 200 OK" {
		t.Errorf("%q, %v", answer[:n], err)
	}
}

func TestOrigin(t *testing.T) {
	w := start(t, &fake{sessions: sessions(3)})
	own := w.admin.Addr().String()
	for _, row := range []struct {
		header []string
		reads  int // the status of what reads
		acts   int // and of what changes something
	}{
		{nil, 200, 202},
		{[]string{"Origin", "http://" + own}, 200, 202},
		{[]string{"Origin", "https://" + own}, 200, 202}, // TLS ends in front
		{[]string{"Origin", "http://localhost:9090", "Host", "localhost:9090"}, 200, 202},
		{[]string{"Sec-Fetch-Site", "same-origin", "Origin", "http://" + own}, 200, 202},
		{[]string{"Sec-Fetch-Site", "none"}, 200, 202},

		{[]string{"Origin", "null"}, 403, 403},
		{[]string{"Origin", "http://foreign.example"}, 403, 403},
		{[]string{"Origin", "http://localhost:3000", "Host", "localhost:9090"}, 403, 403},
		{[]string{"Origin", "http://" + own + ".foreign.example"}, 403, 403},
		{[]string{"Origin", "ftp://" + own}, 403, 403},
		{[]string{"Origin", "http://" + own, "Origin", "http://foreign.example"}, 403, 403},
		{[]string{"Origin", "http://foreign.example", "Sec-Fetch-Site", "same-origin"}, 403, 403},
		// A link to here is followed, a form that is sent here is not.
		{[]string{"Sec-Fetch-Site", "cross-site"}, 200, 403},
		{[]string{"Sec-Fetch-Site", "same-site"}, 200, 403},
	} {
		for _, path := range []string{"/v1/sessions", "/healthz"} {
			if r, body := w.ask("GET", path, row.header...); r.StatusCode != row.reads {
				t.Errorf("GET %s %q: %d %.200s, want %d", path, row.header, r.StatusCode, body, row.reads)
			}
		}
		if r, body := w.ask("POST", "/v1/drain", row.header...); r.StatusCode != row.acts {
			t.Errorf("POST %q: %d %.200s, want %d", row.header, r.StatusCode, body, row.acts)
		}
		if asked := w.takeAsked(); asked != "" && row.acts == 403 {
			t.Errorf("%q: done all the same: %s", row.header, asked)
		}
	}
}

func TestHeadersOfEveryAnswer(t *testing.T) {
	w := start(t, &fake{readiness: checks(true, nil)})
	for _, path := range []string{"/v1/sessions", "/v1/none", "/v1/sessions?limit=0", "/healthz", "/v1/openapi.yaml", "/debug/pprof/"} {
		r, _ := w.ask("GET", path)
		for name, part := range map[string]string{
			"Content-Security-Policy": "default-src 'self'",
			"X-Content-Type-Options":  "nosniff",
			"Referrer-Policy":         "no-referrer",
			"Cache-Control":           "no-store",
		} {
			if value := r.Header.Get(name); !strings.Contains(value, part) {
				t.Errorf("%s: %s: %q", path, name, value)
			}
		}
		if csp := r.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "frame-ancestors 'none'") {
			t.Errorf("%s: may be framed: %s", path, csp)
		}
	}
}

func TestNoRoute(t *testing.T) {
	w := start(t, new(fake))
	for _, row := range []struct {
		method, path string
		status       int
		allow        string
	}{
		{"GET", "/none", 404, ""},
		{"GET", "/v1/", 404, ""},
		{"GET", "/v1/sessions/", 404, ""},
		{"DELETE", "/v1/sessions/", 404, ""}, // an id that is empty is not all of them
		{"DELETE", "/v1/sessions/0000000000000001/more", 404, ""},
		{"POST", "/v1/sessions", 405, "DELETE, GET, HEAD"},
		{"GET", "/v1/drain", 405, "POST"},
		{"DELETE", "/v1/topics", 405, "GET, HEAD"},
		{"OPTIONS", "/v1/sessions", 405, "DELETE, GET, HEAD"},
	} {
		w.refused(row.status, row.method, row.path)
		if r, _ := w.ask(row.method, row.path); r.Header.Get("Allow") != row.allow || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %s: %v", row.method, row.path, r.Header)
		}
	}
}

func TestNothingOfPprofIsInTheServerThatAllShare(t *testing.T) {
	r, _ := http.NewRequest("GET", "/debug/pprof/", nil)
	if _, pattern := http.DefaultServeMux.Handler(r); pattern != "" {
		t.Errorf("http.DefaultServeMux has %s", pattern)
	}
}
