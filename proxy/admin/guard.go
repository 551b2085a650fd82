package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
)

// guard lets through to the routes who may ask.
//
// A page of somebody else's, in an operator's browser, may not: neither across origins,
// nor by a name that it has made point here (DNS rebinding). Without a token that is all
// that keeps it out.
type guard struct {
	routes      *routes
	token       *atomic.Pointer[credential] // the server's
	hosts       []string
	crossOrigin http.CrossOriginProtection
}

// credential is a token, hashed, so that no comparison tells its length.
type credential [sha256.Size]byte

// newCredential returns nil if no token is needed.
func newCredential(token string) *credential {
	if token == "" {
		return nil
	}
	c := credential(sha256.Sum256([]byte(token)))
	return &c
}

func newGuard(o Options, token *atomic.Pointer[credential], routes *routes) *guard {
	host, _, _ := net.SplitHostPort(o.Address)
	g := &guard{
		routes: routes,
		token:  token,
		hosts:  []string{"localhost", hostName(host)},
	}
	for _, name := range o.Hosts {
		g.hosts = append(g.hosts, hostName(name))
	}
	return g
}

func (g *guard) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cross-Origin-Resource-Policy", "same-origin")
	h.Set("Cache-Control", "no-store")
	switch {
	case !g.ownHost(r.Host):
		refuse(w, refusal(http.StatusForbidden, "the host is not known here; list it in admin.hosts"))
	case !ownOrigin(r), g.crossOrigin.Check(r) != nil:
		refuse(w, refusal(http.StatusForbidden, "pages of other origins may not ask"))
	case !g.routes.open(r) && !g.hasToken(r):
		h.Set("WWW-Authenticate", "Bearer")
		refuse(w, refusal(http.StatusUnauthorized, "the token is missing or wrong; send Authorization: Bearer and what is in admin.token_file"))
	default:
		g.routes.ServeHTTP(w, r)
	}
}

// ownHost reports whether no foreign page can have made the browser use this Host:
// an address is not resolved, and browsers send one.
func (g *guard) ownHost(host string) bool {
	if host == "" {
		return true
	}
	name := host
	if n, _, err := net.SplitHostPort(host); err == nil {
		name = n
	}
	name = hostName(name)
	_, err := netip.ParseAddr(name)
	return err == nil || name != "" && slices.Contains(g.hosts, name)
}

// hostName is a name without what does not matter in it.
func hostName(name string) string {
	name = strings.TrimSuffix(strings.TrimPrefix(name, "["), "]")
	return strings.ToLower(strings.TrimSuffix(name, "."))
}

// ownOrigin reports whether no page of another origin asks.
func ownOrigin(r *http.Request) bool {
	for _, origin := range r.Header.Values("Origin") {
		u, err := url.Parse(origin)
		if err != nil || !strings.EqualFold(u.Host, r.Host) || u.Scheme != "http" && u.Scheme != "https" {
			return false
		}
	}
	return true
}

// hasToken reports whether a request has the token, or needs none.
func (g *guard) hasToken(r *http.Request) bool {
	want := g.token.Load()
	if want == nil {
		return true
	}
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
