package proxy_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"

	"wswarden/config"
)

// edgeCA signs certificates.
type edgeCA struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newEdgeCA(t *testing.T) *edgeCA {
	t.Helper()
	ca := &edgeCA{}
	template := &x509.Certificate{
		Subject: pkix.Name{CommonName: "root of " + t.Name()}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}
	ca.key, ca.cert = edgeSign(t, template, nil)
	ca.pem = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.cert.Raw})
	return ca
}

func edgeSign(t *testing.T, template *x509.Certificate, by *edgeCA) (*ecdsa.PrivateKey, *x509.Certificate) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template.NotBefore = time.Now().Add(-time.Hour)
	if template.NotAfter.IsZero() {
		template.NotAfter = time.Now().Add(24 * time.Hour)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		t.Fatal(err)
	}
	parent, signer := template, key
	if by != nil {
		parent, signer = by.cert, by.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return key, cert
}

// edgePair is a certificate with its key, in PEM.
type edgePair struct{ cert, key []byte }

// issue returns a certificate for a server on this machine, and for any client.
func (ca *edgeCA) issue(t *testing.T, adjust ...func(*x509.Certificate)) edgePair {
	t.Helper()
	template := &x509.Certificate{
		Subject:     pkix.Name{CommonName: "edge"},
		KeyUsage:    x509.KeyUsageDigitalSignature,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
		DNSNames:    []string{"localhost"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback},
	}
	for _, adjust := range adjust {
		adjust(template)
	}
	key, cert := edgeSign(t, template, ca)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return edgePair{
		pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Raw}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}),
	}
}

func named(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = name }
}

func (p edgePair) load(t *testing.T) tls.Certificate {
	t.Helper()
	cert, err := tls.X509KeyPair(p.cert, p.key)
	if err != nil {
		t.Fatal(err)
	}
	return cert
}

// file writes a file in a folder of the test's own, and returns its name.
func edgeFile(t *testing.T, name string, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// pool has the root alone.
func (ca *edgeCA) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(ca.cert)
	return pool
}

// listener returns what a listener with TLS needs in its configuration.
func (ca *edgeCA) listener(t *testing.T, name string) config.ListenerTLS {
	pair := ca.issue(t, named(name))
	return config.ListenerTLS{
		Cert: edgeFile(t, "cert.pem", pair.cert), Key: edgeFile(t, "key.pem", pair.key),
		ClientAuth: config.AuthRequire, MinVersion: config.TLS12,
	}
}

// client returns what a client needs that is to speak one version.
func (ca *edgeCA) client(version uint16) *tls.Config {
	return &tls.Config{RootCAs: ca.pool(), MinVersion: version, MaxVersion: version}
}
