package proxy

import (
	"net/netip"
	"strconv"
	"strings"
	"testing"

	"wswarden/config"
	"wswarden/policies"
)

// What is expected of a handshake is what a server does with it.
func TestExpect(t *testing.T) {
	t.Parallel()
	c, err := config.Parse("w.yaml", []byte(`
upstream: { url: http://127.0.0.1:5000 }
trusted_proxies: [10.0.0.0/8]
policies:
  - name: admin
    match: { path: /admin/** }
    connections: { identity: { from: query, name: token, required: true } }
  - name: pages
    match: { origin: ["*.example.com"] }
    origins: { allow: ["https://*.example.com"] }
  - name: own
    match: { host: [own.org] }
  - name: watched
    match: { host: [watched.org] }
    connections: { identity: { from: query, name: token, required: true } }
    mode: observe
`))
	if err != nil {
		t.Fatal(err)
	}
	const upgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
	for _, tt := range []struct {
		target, headers, from string
		path, policy          string
		status                int
		reason                string
		identified            bool
	}{
		{"/admin/x?token=a", "Host: a\r\n", "127.0.0.1", "/admin/x", "admin", 0, "", true},
		{"/x/../%61dmin//x?token=a", "Host: a\r\n", "127.0.0.1", "/admin/x", "admin", 0, "", true},
		{"/admin/", "Host: a\r\n", "127.0.0.1", "/admin/", "admin", 403, "no identity, or more than one", false},
		{"/admin?token=a&token=b", "Host: a\r\n", "127.0.0.1", "/admin", "admin", 403, "no identity, or more than one", true},
		{"/", "Host: own.org\r\norigin: https://evil.org\r\n", "127.0.0.1", "/", "own", 403, "origin not allowed", false},
		{"/", "Host: OWN.org:80\r\nOrigin: https://own.org\r\n", "127.0.0.1", "/", "own", 0, "", false},
		{"/", "Host: own.org\r\nX-Forwarded-Host: evil.org\r\nOrigin: https://evil.org\r\n", "127.0.0.1", "/", "own", 403, "origin not allowed", false},
		{"/", "Host: own.org\r\nX-Forwarded-Host: front.org\r\nOrigin: https://front.org\r\n", "10.1.2.3", "/", "own", 0, "", false},
		{"/", "Host: b\r\nOrigin: https://a.example.com\r\n", "127.0.0.1", "/", "pages", 0, "", false},
		{"/", "Host: watched.org\r\nOrigin: https://evil.org\r\n", "127.0.0.1", "/", "watched", 0, "", false},
		{"/", "Host: b\r\n", "127.0.0.1", "/", "", 404, "no policy for this WebSocket", false},
		{"/", "Host: b\r\nHost: c\r\n", "127.0.0.1", "", "", 400, "malformed head", false},
		{"/", "Host: b\r\nOrigin: a\r\nOrigin: b\r\n", "127.0.0.1", "/", "", 400, "handshake with more than one Origin", false},
	} {
		e := Expect(c, []byte("GET "+tt.target+" HTTP/1.1\r\n"+tt.headers+upgrade+"\r\n"), netip.MustParseAddr(tt.from), "")
		policy := ""
		if e.Policy != nil {
			policy = e.Policy.Name
		}
		if e.Path != tt.path || policy != tt.policy || e.Status != tt.status || e.Reason != tt.reason ||
			(e.Identity != "" || e.IdentityDoubtful) != tt.identified {
			t.Errorf("%s with %q: %+v under %q", tt.target, tt.headers, e, policy)
		}
	}
	if e := Expect(c, []byte("GET\r\n\r\n"), netip.Addr{}, ""); e.Status != 400 {
		t.Errorf("a head that is none: %+v", e)
	}
}

// The configuration names no header in which nothing is ever found, and takes any other.
func TestNamedHeadersPass(t *testing.T) {
	t.Parallel()
	for _, kinds := range headerKinds {
		for _, kind := range kinds {
			c := config.Default()
			c.Upstream.URL = "http://127.0.0.1:5000"
			c.Policies[0].Connections.Identity = policies.Identity{From: policies.FromHeader, Name: kind.name}
			if err, passes := c.Validate(), new(requestHead).passes([]byte(kind.name), peer{trusted: true}); passes != (err == nil) {
				t.Errorf("%s passes: %v, and what is wrong is %v", kind.name, passes, err)
			}
		}
	}
}

// The configuration is right with a match's path exactly if who asks for that very path
// is selected. If it is not, what is to be written instead selects who asks so.
func TestMatchedPathsCanBeMet(t *testing.T) {
	t.Parallel()
	c := config.Default()
	c.Upstream.URL = "http://127.0.0.1:5000"
	wrong := func(path string) error {
		c.Policies[0].Match.Path = path
		return c.Validate()
	}
	escaped := strings.NewReplacer(" ", "%20", "100%", "100%25")
	selects := func(path, asked string) bool {
		head := "GET " + escaped.Replace(asked) + " HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
			"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
		e := Expect(c, []byte(head), netip.Addr{}, "")
		return (&policies.Match{Path: path}).Fits(&e.Request)
	}
	paths := []string{"", "/b"}
	for range 2 {
		var longer []string
		for _, path := range paths {
			for _, segment := range []string{
				"", "a", ".", "..", "...", ".a", "100%", "%zz", "a b", "é", "a+b", `a\..`, // as they are
				"%2e", "%2E%2e", "%2F", "%c3%A9", "%3Fa", "%ff",
			} {
				longer = append(longer, path+"/"+segment)
			}
		}
		for _, path := range longer {
			err := wrong(path)
			if met := selects(path, path); met != (err == nil) {
				t.Errorf("%s selects who asks for it: %v, and what is wrong is %v", path, met, err)
			}
			if err == nil {
				continue
			}
			_, instead, _ := strings.Cut(err.Error(), "; write ")
			if unquoted, err := strconv.Unquote(instead); err == nil {
				instead = unquoted
			}
			if wrong(instead) != nil || !selects(instead, path) {
				t.Errorf("%v: which does not select who asks for %s", err, path)
			}
		}
		paths = longer
	}
}
