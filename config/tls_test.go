package config

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// certified is a certificate that signs itself, and its key, in PEM.
type certified struct{ cert, key []byte }

func newCertified(name string, until time.Time) certified {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	of := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: until.Add(-time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true}
	cert, err := x509.CreateCertificate(rand.Reader, of, of, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		panic(err)
	}
	return certified{block("CERTIFICATE", cert), block("PRIVATE KEY", der)}
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

var (
	ownCertificate     = sync.OnceValue(func() certified { return newCertified("own", time.Now().Add(time.Hour)) })
	expiredCertificate = sync.OnceValue(func() certified { return newCertified("expired", time.Now().Add(-time.Hour)) })
)

// secretInKey is in no message.
const secretInKey = "c2VjcmV0"

// tlsFolder returns one with files of every kind, and a slash behind it.
func tlsFolder(t *testing.T) string {
	t.Helper()
	own, expired := ownCertificate(), expiredCertificate()
	malformed := block("CERTIFICATE", []byte("no certificate"))
	encrypted := pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"Proc-Type": "4,ENCRYPTED", "DEK-Info": "AES-256-CBC,00"}, Bytes: []byte("secret")})
	folder := t.TempDir() + "/"
	for name, text := range map[string][]byte{
		"cert.pem": own.cert, "key.pem": own.key, "both.pem": append(bytes.Clone(own.key), own.cert...),
		"expired.pem": expired.cert, "expired.key": expired.key,
		"chain.pem": append(bytes.Clone(own.cert), expired.cert...), "broken.pem": append(bytes.Clone(own.cert), malformed...),
		"malformed.pem": malformed, "empty.pem": nil, "text.pem": []byte("no PEM"),
		"encrypted.key": block("ENCRYPTED PRIVATE KEY", []byte("secret")), "old.key": encrypted, "unknown.key": block("PRIVATE KEY", []byte("secret")),
	} {
		if err := os.WriteFile(folder+name, text, 0o644); err != nil { // for everybody to read, as is each his own affair
			t.Fatal(err)
		}
	}
	return folder
}

func TestListenerTLS(t *testing.T) {
	in := tlsFolder(t)
	for name, tt := range map[string]struct {
		ListenerTLS
		certs int // in its chain
		roots bool
	}{
		"off":               {ListenerTLS{}, 0, false},
		"server":            {ListenerTLS{Cert: in + "cert.pem", Key: in + "key.pem"}, 1, false},
		"one file for both": {ListenerTLS{Cert: in + "both.pem", Key: in + "both.pem"}, 1, false},
		"chain":             {ListenerTLS{Cert: in + "chain.pem", Key: in + "key.pem"}, 2, false},
		"expired":           {ListenerTLS{Cert: in + "expired.pem", Key: in + "expired.key"}, 1, false},
		"clients":           {ListenerTLS{Cert: in + "cert.pem", Key: in + "key.pem", ClientCA: in + "chain.pem"}, 1, true},
	} {
		cert, roots, err := tt.Load()
		if err != nil || len(cert.Certificate) != tt.certs || (roots != nil) != tt.roots {
			t.Errorf("%s: %d certificates, roots %v, %v", name, len(cert.Certificate), roots, err)
		}
		if tt.certs > 0 && cert.Leaf == nil {
			t.Errorf("%s: no leaf", name)
		}
	}
}

func TestUpstreamTLS(t *testing.T) {
	in := tlsFolder(t)
	certs, roots, err := UpstreamTLS{}.Load()
	if len(certs) != 0 || roots != nil || err != nil {
		t.Errorf("without files: %d certificates, roots %v, %v", len(certs), roots, err)
	}
	certs, roots, err = UpstreamTLS{CA: in + "cert.pem", Cert: in + "cert.pem", Key: in + "key.pem"}.Load()
	if len(certs) != 1 || roots == nil || err != nil {
		t.Errorf("with files: %d certificates, roots %v, %v", len(certs), roots, err)
	}
}

// Whatever is wrong with a file is told with its key, and nothing of what is in it.
func TestMistakesInTLSFiles(t *testing.T) {
	in := tlsFolder(t)
	const noCert, noKey = "has no certificate; name a file in PEM, which has a line -----BEGIN CERTIFICATE-----", "has no key; name a file in PEM, which has a line -----BEGIN PRIVATE KEY-----"
	const passphrase = "has a key with a passphrase; write it without one, as openssl pkey does, and let only wswarden read it"
	for _, row := range []struct{ cert, key, ca, want string }{
		{"none", "key.pem", "", "tls.cert: @none cannot be read: no such file or directory; name a file that wswarden may read"},
		{"", "key.pem", "", "tls.cert: @ cannot be read: not a file; name a file that wswarden may read"},
		{"empty.pem", "key.pem", "", "tls.cert: @empty.pem " + noCert},
		{"text.pem", "none", "", "tls.cert: @text.pem " + noCert + "\ntls.key: @none cannot be read: no such file or directory; name a file that wswarden may read"},
		{"key.pem", "cert.pem", "", "tls.cert: @key.pem " + noCert},
		{"malformed.pem", "key.pem", "", "tls.cert: @malformed.pem has a certificate, number 1 in it, that is malformed; write the file anew"},
		{"broken.pem", "key.pem", "", "tls.cert: @broken.pem has a certificate, number 2 in it, that is malformed; write the file anew"},
		{"cert.pem", "cert.pem", "", "tls.key: @cert.pem " + noKey},
		{"cert.pem", "text.pem", "", "tls.key: @text.pem " + noKey},
		{"cert.pem", "expired.key", "", "tls.key: @expired.key is not the key of the certificate, which has to be the first in its file; name the one that belongs to it"},
		{"cert.pem", "encrypted.key", "", "tls.key: @encrypted.key " + passphrase},
		{"cert.pem", "old.key", "", "tls.key: @old.key " + passphrase},
		{"cert.pem", "unknown.key", "", "tls.key: @unknown.key has a key that cannot be used; name one of ECDSA, Ed25519 or RSA"},
		{"cert.pem", "key.pem", "key.pem", "tls.client_ca: @key.pem " + noCert},
		{"cert.pem", "key.pem", "malformed.pem", "tls.client_ca: @malformed.pem " + noCert},
	} {
		tls := ListenerTLS{Cert: in + row.cert, Key: in + row.key}
		if row.ca != "" {
			tls.ClientCA = in + row.ca
		}
		want := strings.ReplaceAll(row.want, "@", in)
		if _, _, err := tls.Load(); err == nil || err.Error() != want {
			t.Errorf("%+v:\ngot  %v\nwant %s", row, err, want)
		} else if strings.Contains(err.Error(), secretInKey) {
			t.Errorf("a secret in %v", err)
		}

		up := UpstreamTLS{Cert: tls.Cert, Key: tls.Key, CA: tls.ClientCA}
		want = strings.ReplaceAll(strings.ReplaceAll(want, "tls.client_ca", "tls.ca"), "tls.", "upstream.tls.")
		if _, _, err := up.Load(); err == nil || err.Error() != want {
			t.Errorf("%+v:\ngot  %v\nwant %s", row, err, want)
		}
	}
}

// A certificate that is another and can be used is no other configuration, and one that
// cannot be is told.
func TestTLSFilesAreLookedAt(t *testing.T) {
	in := tlsFolder(t)
	name := filepath.Join(in, "w.yaml")
	file := upstreamLine + "listeners: [{address: \":0\", tls: {cert: " + in + "cert.pem, key: " + in + "key.pem}}]\n"
	if err := os.WriteFile(name, []byte(file), 0o600); err != nil {
		t.Fatal(err)
	}
	load := func() *Loaded {
		l, _ := Source{Path: name}.Load()
		return l
	}
	put := func(name string, text []byte) {
		if err := os.WriteFile(in+name, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first := load()
	if got, want := strings.Join(first.Files, " "), name+" "+in+"cert.pem "+in+"key.pem"; got != want || first.Config == nil {
		t.Errorf("files %s, want %s", got, want)
	}
	put("cert.pem", expiredCertificate().cert)
	if l := load(); l.Config != nil || l.Digest == first.Digest || len(l.Files) != 3 {
		t.Errorf("another's key: files %q, the same: %v", l.Files, l.Digest == first.Digest)
	}
	put("key.pem", expiredCertificate().key)
	if l := load(); l.Config == nil || l.Digest != first.Digest {
		t.Error("another certificate is another configuration")
	}
}
