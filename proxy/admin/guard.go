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
)

// guard lets through to the routes who may ask.
//
// A page of somebody else's, in an operator's browser, may not: neither across origins,
// nor by a name that it has made point here (DNS rebinding). Without a token that is all
// that keeps it out.
type guard struct {
	routes      *routes
	token       [sha256.Size]byte // hashed, so that no comparison tells its length
	needsToken  bool
	hosts       []string
	crossOrigin http.CrossOriginProtection
}

func newGuard(o Options, routes *routes) *guard {
	host, _, _ := net.SplitHostPort(o.Address)
	g := &guard{
		routes:     routes,
		token:      sha256.Sum256([]byte(o.Token)),
		needsToken: o.Token != "",
		hosts:      []string{"localhost", hostName(host)},
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
	case g.needsToken && !g.routes.open(r) && !g.hasToken(r):
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

func (g *guard) hasToken(r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	got := sha256.Sum256([]byte(strings.TrimLeft(token, " ")))
	return subtle.ConstantTimeCompare(got[:], g.token[:]) == 1 && strings.EqualFold(scheme, "Bearer")
}
