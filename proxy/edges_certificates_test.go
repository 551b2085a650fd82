package proxy_test

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
)

// shown is the name in the certificate that the listener shows to a new client.
func (e *edge) shown(secure *tls.Config) string {
	e.t.Helper()
	conn := edgeDial(e.t, e.address(), secure).(*tls.Conn)
	defer edgeClose(conn)
	return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
}

// admits reports whether a client's plain request is answered, by whom ever.
func (e *edge) admits(secure *tls.Config) bool {
	e.t.Helper()
	secure = secure.Clone()
	secure.ServerName = "localhost"
	conn, err := tls.Dial("tcp", e.address().String(), secure)
	if err != nil {
		return false
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(longest))
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\n\r\n"))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return false
	}
	_ = response.Body.Close()
	return true
}

// replace puts another file in a file's place, as those do that renew certificates.
func replace(t *testing.T, file string, content []byte) {
	t.Helper()
	if err := os.WriteFile(file+".new", content, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(file+".new", file); err != nil {
		t.Fatal(err)
	}
}

// A certificate that is renewed is for the next client. Sessions do not notice, whatever
// way the files are replaced by.
func TestCertificateRenewed(t *testing.T) {
	t.Parallel()
	for name, where := range map[string]func(t *testing.T, folder string) (file func(name string) string, renew func(edgePair)){
		"by rename": func(t *testing.T, folder string) (func(string) string, func(edgePair)) {
			file := func(name string) string { return filepath.Join(folder, name) }
			return file, func(pair edgePair) {
				replace(t, file("tls.crt"), pair.cert)
				replace(t, file("tls.key"), pair.key)
			}
		},
		"by a link, as in Kubernetes": func(t *testing.T, folder string) (func(string) string, func(edgePair)) {
			file := func(name string) string { return filepath.Join(folder, name) }
			data, generation := file("..data"), 0
			renew := func(pair edgePair) {
				generation++
				next := file(".." + strconv.Itoa(generation))
				if err := os.Mkdir(next, 0o700); err != nil {
					t.Fatal(err)
				}
				replace(t, filepath.Join(next, "tls.crt"), pair.cert)
				replace(t, filepath.Join(next, "tls.key"), pair.key)
				if err := os.Symlink(filepath.Base(next), data+"_tmp"); err != nil {
					t.Fatal(err)
				}
				if err := os.Rename(data+"_tmp", data); err != nil {
					t.Fatal(err)
				}
				if generation > 1 {
					_ = os.RemoveAll(file(".." + strconv.Itoa(generation-1)))
				}
			}
			for _, name := range []string{"tls.crt", "tls.key"} {
				if err := os.Symlink(filepath.Join("..data", name), file(name)); err != nil {
					t.Fatal(err)
				}
			}
			return file, renew
		},
		"in place": func(t *testing.T, folder string) (func(string) string, func(edgePair)) {
			file := func(name string) string { return filepath.Join(folder, name) }
			return file, func(pair edgePair) {
				for name, content := range map[string][]byte{"tls.crt": pair.cert, "tls.key": pair.key} {
					if err := os.WriteFile(file(name), append(content, "\n# "+time.Now().String()...), 0o600); err != nil {
						t.Fatal(err)
					}
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file, renew := where(t, t.TempDir())
			ca := newEdgeCA(t)
			renew(ca.issue(t, named("first")))
			ln, server := edgeListen(t, "http", nil)
			e := startEdge(t, func(c *config.Config) {
				c.Upstream.URL = server
				c.Listeners[0].TLS.Cert, c.Listeners[0].TLS.Key = file("tls.crt"), file("tls.key")
			})
			var clients, upstreams []*edgePeer
			for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
				for range renewedSessions / 2 {
					client, upstream := e.open(ca.client(version), ln)
					clients, upstreams = append(clients, client), append(upstreams, upstream)
				}
			}
			for _, name := range []string{"first", "second", "third"} {
				if name != "first" {
					renew(ca.issue(t, named(name)))
				}
				for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
					if got := e.shown(ca.client(version)); got != name {
						t.Errorf("%s: shows the %s, want the %s", tls.VersionName(version), got, name)
					}
				}
				for i := range clients {
					edgeAlive(clients[i], upstreams[i])
				}
			}
			for i := range clients {
				edgeBye(clients[i], upstreams[i])
			}
			e.wantEnded(len(clients), policies.ClientClose)
		})
	}
}

// While only one of two files is there the last certificate stays in use, and the log is
// told once.
func TestCertificateHalfRenewed(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	until := func(at time.Time) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = at }
	}
	soon, later := time.Now().Add(48*time.Hour).Truncate(time.Second), time.Now().Add(96*time.Hour).Truncate(time.Second)
	first, second := ca.issue(t, named("first"), until(soon)), ca.issue(t, named("second"), until(later))
	own := config.ListenerTLS{Cert: edgeFile(t, "cert.pem", first.cert), Key: edgeFile(t, "key.pem", first.key)}
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = "http://127.0.0.1:1"
		c.Listeners[0].Name, c.Listeners[0].TLS = "public", own
	})
	expires := func(at time.Time) {
		t.Helper()
		got, err := strconv.ParseFloat(e.metric(`wswarden_tls_certificate_expiry_timestamp_seconds{listener="public"}`), 64)
		if err != nil || int64(got) != at.Unix() {
			t.Errorf("expires at %v (%v), want %v", got, err, at.Unix())
		}
	}
	const notUsed = "changed certificate is not used"
	expires(soon)
	for _, half := range [][]byte{second.cert, second.cert[:100], nil} {
		replace(t, own.Cert, half)
		before := len(e.log.with(notUsed))
		for range 3 {
			if got := e.shown(ca.client(tls.VersionTLS13)); got != "first" {
				t.Errorf("shows the %s", got)
			}
		}
		if told := e.wantLog(before+1, notUsed); len(told) != before+1 {
			t.Errorf("told %d times of one change", len(told)-before)
		}
	}
	expires(soon)
	replace(t, own.Cert, second.cert)
	replace(t, own.Key, second.key)
	if got := e.shown(ca.client(tls.VersionTLS13)); got != "second" {
		t.Errorf("shows the %s", got)
	}
	expires(later)
}

// A reload may change which certificate is used, and whether there is any.
func TestCertificateReloaded(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	secure := ca.client(tls.VersionTLS13)
	ln, server := edgeListen(t, "http", nil)
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = server
		c.Listeners[0].TLS = ca.listener(t, "first")
	})
	client, upstream := e.open(secure, ln)
	if done := e.reload(func(c *config.Config) { c.Listeners[0].TLS = ca.listener(t, "second") }); len(done.Listeners.Changed) != 1 {
		t.Errorf("%+v", done)
	}
	if got := e.shown(secure); got != "second" {
		t.Errorf("shows the %s", got)
	}
	edgeAlive(client, upstream)

	e.reload(func(c *config.Config) { c.Listeners[0].TLS.ClientCA = edgeFile(t, "ca.pem", ca.pem) })
	if e.admits(secure) {
		t.Error("a client without a certificate is admitted")
	}
	e.reload(func(c *config.Config) { c.Listeners[0].TLS = config.ListenerTLS{} })
	plainClient, plainUpstream := e.open(nil, ln)
	edgeAlive(plainClient, plainUpstream)
	edgeAlive(client, upstream)
	edgeBye(plainClient, plainUpstream)
	edgeBye(client, upstream)
}

// A client has to have a certificate, or a valid one if any, as the configuration asks.
// Who could connect before it changed, and would resume that, is asked anew.
func TestClientCertificates(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		ca, other := newEdgeCA(t), newEdgeCA(t)
		secure := func(by *edgeCA, adjust ...func(*x509.Certificate)) *tls.Config {
			c := ca.client(version)
			c.ClientSessionCache = tls.NewLRUClientSessionCache(0)
			if by != nil {
				cert := by.issue(t, adjust...).load(t)
				// Not only if the server names its root.
				c.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &cert, nil }
			}
			return c
		}
		expired := func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) }
		roots := edgeFile(t, "roots.pem", ca.pem)
		ln, server := edgeListen(t, "http", nil)
		edgeServe(t, ln, func(http.ResponseWriter, *http.Request) {})
		e := startEdge(t, func(c *config.Config) {
			c.Upstream.URL = server
			c.Listeners[0].TLS = ca.listener(t, "edge")
			c.Listeners[0].TLS.ClientCA = roots
		})
		without, own, foreign, old := secure(nil), secure(ca), secure(other), secure(ca, expired)
		want := func(when string, withoutOK, ownOK, foreignOK bool) {
			t.Helper()
			for name, c := range map[string]struct {
				secure *tls.Config
				ok     bool
			}{"none": {without, withoutOK}, "own": {own, ownOK}, "foreign": {foreign, foreignOK}, "expired": {old, false}} {
				for range 2 { // the second may resume
					if got := e.admits(c.secure); got != c.ok {
						t.Errorf("%s: %s certificate: admitted: %v", when, name, got)
					}
				}
			}
		}
		want("required", false, true, false)
		e.reload(func(c *config.Config) { c.Listeners[0].TLS.ClientAuth = config.AuthOptional })
		want("optional", true, true, false)
		replace(t, roots, other.pem)
		want("other roots", true, false, true)
		e.reload(func(c *config.Config) { c.Listeners[0].TLS.ClientAuth = config.AuthRequire })
		want("required again", false, false, true)
		replace(t, roots, append(other.pem, ca.pem...))
		want("both roots", false, true, true)
	})
}

// The identity may be any part of a client's certificate.
func TestIdentityFromCertificate(t *testing.T) {
	t.Parallel()
	link := func(s string) []*url.URL { u, _ := url.Parse(s); return []*url.URL{u} }
	everything := func(s string) func(*x509.Certificate) {
		return func(c *x509.Certificate) {
			c.Subject.CommonName, c.Subject.Organization = s, []string{"of " + s}
			c.DNSNames, c.EmailAddresses = []string{s + ".example", "z.example"}, []string{s + "@example.com"}
			c.URIs = link("spiffe://example.com/" + s)
		}
	}
	parts := map[string]func(c *x509.Certificate){ // of one that has nothing else of another one
		"subject": func(c *x509.Certificate) {
			c.Subject.CommonName, c.Subject.Organization = "alice", []string{"of alice"}
		},
		"common_name": func(c *x509.Certificate) { c.Subject.CommonName = "alice" },
		"dns":         func(c *x509.Certificate) { c.DNSNames = []string{"alice.example", "another.example"} },
		"email":       func(c *x509.Certificate) { c.EmailAddresses = []string{"alice@example.com"} },
		"uri":         func(c *x509.Certificate) { c.URIs = link("spiffe://example.com/alice") },
	}
	for _, part := range policies.CertificateParts {
		t.Run(part, func(t *testing.T) {
			t.Parallel()
			ca := newEdgeCA(t)
			ln, server := edgeListen(t, "http", nil)
			e := startEdge(t, func(c *config.Config) {
				c.Upstream.URL = server
				c.Listeners[0].TLS = ca.listener(t, "edge")
				c.Listeners[0].TLS.ClientCA, c.Listeners[0].TLS.ClientAuth = edgeFile(t, "ca.pem", ca.pem), config.AuthOptional
				c.Policies[0].Connections.PerIdentity = 1
				c.Policies[0].Connections.Identity = policies.Identity{From: policies.FromCertificate, Name: part, Required: true}
			})
			with := func(adjust ...func(*x509.Certificate)) *tls.Config {
				c := ca.client(tls.VersionTLS13)
				c.Certificates = []tls.Certificate{ca.issue(t, adjust...).load(t)}
				return c
			}
			refused := func(who string, secure *tls.Config, status int) {
				t.Helper()
				client := e.client(secure)
				client.send([]byte(interopRequest()))
				if r, body := client.response(); r.StatusCode != status {
					t.Errorf("%s: status %d, %s", who, r.StatusCode, body)
				}
			}
			client, upstream := e.open(with(everything("alice")), ln)
			refused("the same part of another certificate", with(everything("bob"), parts[part]), http.StatusTooManyRequests)
			refused("no certificate", ca.client(tls.VersionTLS13), http.StatusForbidden)
			if part != "subject" && part != "common_name" {
				refused("without the part", with(func(c *x509.Certificate) { c.DNSNames = nil }), http.StatusForbidden)
			}
			bob, bobs := e.open(with(everything("bob")), ln)
			edgeBye(bob, bobs)
			edgeBye(client, upstream)
			again, upstream := e.open(with(everything("alice")), ln)
			edgeBye(again, upstream)
		})
	}
}

// Upstream has to be who it should be, and is shown a certificate where it asks for one.
// Another one is as if it were not there.
func TestUpstreamCertificates(t *testing.T) {
	t.Parallel()
	ca, other := newEdgeCA(t), newEdgeCA(t)
	own := other.issue(t, named("wswarden"))
	elsewhere := ca.issue(t, func(c *x509.Certificate) { c.DNSNames, c.IPAddresses = []string{"app.internal"}, nil })
	demanding := &tls.Config{MaxVersion: tls.VersionTLS12, ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: other.pool()}
	for name, c := range map[string]struct {
		cert   edgePair
		roots  *edgeCA
		server *tls.Config
		adjust func(*config.UpstreamTLS)
		well   bool
	}{
		"well":                      {ca.issue(t), ca, &tls.Config{}, nil, true},
		"another root":              {ca.issue(t), other, &tls.Config{}, nil, false},
		"another name":              {elsewhere, ca, &tls.Config{}, nil, false},
		"another name that is told": {elsewhere, ca, &tls.Config{}, func(c *config.UpstreamTLS) { c.ServerName = "app.internal" }, true},
		"asks for a certificate":    {ca.issue(t), ca, demanding, nil, false}, // until TLS 1.3, whose server is late to say so
		"asks for one and gets it": {ca.issue(t), ca, demanding, func(c *config.UpstreamTLS) {
			c.Cert, c.Key = edgeFile(t, "own.pem", own.cert), edgeFile(t, "own.key", own.key)
		}, true},
		"is old": {ca.issue(t), ca, &tls.Config{MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10}, nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := c.server.Clone()
			server.Certificates = []tls.Certificate{c.cert.load(t)}
			ln, url := edgeListen(t, "https", server)
			app := &edgeScene{}
			edgeServe(t, ln, app.serve)
			app.edge = startEdge(t, func(cfg *config.Config) {
				cfg.Upstream.URL, cfg.Upstream.TLS.CA = url, edgeFile(t, "ca.pem", c.roots.pem)
				cfg.Upstream.Breaker.Failures, cfg.Upstream.Breaker.RetryAfter = 2, time.Hour
				if c.adjust != nil {
					c.adjust(&cfg.Upstream.TLS)
				}
			})
			ask := func(request string) int {
				client := app.client(nil)
				defer edgeClose(client.conn)
				client.send([]byte(request))
				r, _ := client.response()
				return r.StatusCode
			}
			const plain = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"
			wants := []int{http.StatusBadGateway, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusServiceUnavailable}
			if c.well {
				wants = []int{http.StatusSwitchingProtocols, http.StatusOK, http.StatusSwitchingProtocols, http.StatusOK}
			}
			for i, want := range wants {
				if got := ask([]string{interopRequest(), plain}[i%2]); got != want {
					t.Errorf("%d: status %d, want %d; the log:\n%s", i, got, want, app.log)
				}
			}
		})
	}
}

// A certificate for upstream that has changed is shown on the next connection, though
// upstream would go on where the last one was.
func TestUpstreamIsShownTheNewCertificate(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		ca := newEdgeCA(t)
		first, second := ca.issue(t, named("first")), ca.issue(t, named("second"))
		cert, key := edgeFile(t, "cert.pem", first.cert), edgeFile(t, "key.pem", first.key)
		ln, server := edgeListen(t, "https", &tls.Config{
			Certificates: []tls.Certificate{ca.issue(t).load(t)}, MinVersion: version, MaxVersion: version,
			ClientAuth: tls.RequireAndVerifyClientCert, ClientCAs: ca.pool(),
		})
		e := startEdge(t, func(c *config.Config) {
			c.Upstream.URL = server
			c.Upstream.TLS = config.UpstreamTLS{CA: edgeFile(t, "ca.pem", ca.pem), Cert: cert, Key: key}
		})
		shown := func() (name string, resumed bool) {
			client, upstream := e.open(nil, ln)
			state := upstream.conn.(*tls.Conn).ConnectionState()
			edgeBye(client, upstream)
			return state.PeerCertificates[0].Subject.CommonName, state.DidResume
		}
		for i, resumes := range []bool{false, true} {
			if name, resumed := shown(); name != "first" || resumed != resumes {
				t.Errorf("%d: %q, resumed: %v", i, name, resumed)
			}
		}
		replace(t, cert, second.cert)
		replace(t, key, second.key)
		if name, _ := shown(); name != "second" {
			t.Errorf("%q is shown; the log:\n%s", name, e.log)
		}
	})
}

// forLocalhost is for a connection that was dialled without TLS.
func forLocalhost(c *tls.Config) *tls.Config {
	c = c.Clone()
	c.ServerName = "localhost"
	return c
}

// A client that does not trust the listener's certificate has completed no handshake.
func TestFailedHandshakeIsCountedOnce(t *testing.T) {
	eachTLS(t, func(t *testing.T, version uint16) {
		e := startEdgeTLS(t, version, func(*config.Config) {})
		conn := edgeDial(t, e.address(), nil)
		if err := tls.Client(conn, forLocalhost(newEdgeCA(t).client(version))).Handshake(); err == nil {
			t.Fatal("it is trusted")
		}
		edgeClose(conn)
		const handshakes = `wswarden_tls_handshakes_total{outcome="%s",side="client"}`
		e.wantMetric(fmt.Sprintf(handshakes, "failed"), "1")
		e.wantMetric(fmt.Sprintf(handshakes, "completed"), "0")
		edgeClose(edgeDial(t, e.address(), e.secure))
		e.wantMetric(fmt.Sprintf(handshakes, "completed"), "1")
		e.wantMetric(fmt.Sprintf(handshakes, "failed"), "1")
	})
}

// What is told of a certificate's expiry is of the one in use, though handshakes begun
// before a reload go on with those before.
func TestExpiryAfterReload(t *testing.T) {
	t.Parallel()
	ca := newEdgeCA(t)
	expires := func(hours int) func(*x509.Certificate) {
		return func(c *x509.Certificate) { c.NotAfter = time.Now().Add(time.Duration(hours) * time.Hour) }
	}
	pair := func(p edgePair) config.ListenerTLS {
		return config.ListenerTLS{Cert: edgeFile(t, "cert.pem", p.cert), Key: edgeFile(t, "key.pem", p.key)}
	}
	before, after := pair(ca.issue(t, expires(10))), pair(ca.issue(t, expires(20)))
	e := startEdge(t, func(c *config.Config) {
		c.Upstream.URL = "http://127.0.0.1:1"
		c.Listeners[0].Name, c.Listeners[0].TLS = "public", before
	})
	early := edgeDial(t, e.address(), nil)
	edgeClose(edgeDial(t, e.address(), ca.client(tls.VersionTLS13))) // the early one has been accepted
	e.reload(func(c *config.Config) { c.Listeners[0].TLS = after })
	const series = `wswarden_tls_certificate_expiry_timestamp_seconds{listener="public"}`
	want := e.metric(series)
	other := ca.issue(t, expires(1))
	replace(t, before.Cert, other.cert)
	replace(t, before.Key, other.key)
	if err := tls.Client(early, forLocalhost(ca.client(tls.VersionTLS13))).Handshake(); err != nil {
		t.Error(err)
	}
	edgeClose(early)
	if got := e.metric(series); got != want {
		t.Errorf("%s, want that of what is in use, %s", got, want)
	}
}
