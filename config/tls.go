package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
)

// Load reads the files. The certificate has its Leaf; it may have expired. A nil pool:
// clients are not asked for a certificate. Without TLS, all is zero. The error is
// Problems that name the key, such as tls.cert, and the file, and say what to do; they
// never show what is in a file. A valid Config's files have been read once already, but
// they may have changed since.
func (t ListenerTLS) Load() (tls.Certificate, *x509.CertPool, error) {
	f := t.read()
	if err := f.err("tls."); err != nil || len(f.certs) == 0 {
		return tls.Certificate{}, nil, err
	}
	return f.certs[0], f.pool, nil
}

func (t ListenerTLS) read() (f tlsFiles) {
	if t.On() {
		f.pair(t.Cert, t.Key)
		f.roots("client_ca", t.ClientCA)
	}
	return f
}

// Load reads the files, as that of ListenerTLS does. There are no certs without Cert,
// and nil roots are the system's.
func (t UpstreamTLS) Load() (certs []tls.Certificate, roots *x509.CertPool, err error) {
	f := t.read()
	if err := f.err("upstream.tls."); err != nil {
		return nil, nil, err
	}
	return f.certs, f.pool, nil
}

func (t UpstreamTLS) read() (f tlsFiles) {
	if t.Cert != "" {
		f.pair(t.Cert, t.Key)
	}
	f.roots("ca", t.CA)
	return f
}

// tlsFiles are the names of those that the configuration has.
func (c *Config) tlsFiles() (names []string) {
	for _, l := range c.Listeners {
		names = append(names, l.TLS.Cert, l.TLS.Key, l.TLS.ClientCA)
	}
	names = append(names, c.Upstream.TLS.Cert, c.Upstream.TLS.Key, c.Upstream.TLS.CA)
	return slices.DeleteFunc(names, func(name string) bool { return name == "" })
}

// tlsFiles are what a section's files hold.
type tlsFiles struct {
	certs    []tls.Certificate
	pool     *x509.CertPool
	unusable []tlsFile
}

type tlsFile struct{ key, name, wrong string }

// err tells of those that are unusable. What their keys are in is before them.
func (f *tlsFiles) err(section string) error {
	var problems Problems
	for _, file := range f.unusable {
		problems = append(problems, Problem{Key: section + file.key, Text: plain(file.name) + " " + file.wrong})
	}
	if len(problems) == 0 {
		return nil
	}
	return problems
}

// pair reads a certificate and its key, which may be in one file.
func (f *tlsFiles) pair(certName, keyName string) {
	certs, wrong := readTLS(certName)
	if wrong == "" {
		wrong = wrongChain(certs)
	}
	key, wrongKey := readTLS(keyName)
	if wrong == "" && wrongKey == "" {
		pair, err := tls.X509KeyPair(certs, key)
		if err == nil {
			f.certs = append(f.certs, pair)
			return
		}
		wrongKey = ofKey(key, err)
	}
	f.wrong("cert", certName, wrong)
	f.wrong("key", keyName, wrongKey)
}

// roots reads those of other sides' certificates.
func (f *tlsFiles) roots(key, name string) {
	if name == "" {
		return
	}
	text, wrong := readTLS(name)
	f.pool = x509.NewCertPool()
	if wrong == "" && !f.pool.AppendCertsFromPEM(text) {
		wrong = noCertificate
	}
	f.wrong(key, name, wrong)
}

// wrong notes what is wrong with a file; nothing if that is empty.
func (f *tlsFiles) wrong(key, name, wrong string) {
	if wrong != "" {
		f.unusable = append(f.unusable, tlsFile{key, name, wrong})
	}
}

const noCertificate = "has no certificate; name a file in PEM, which has a line -----BEGIN CERTIFICATE-----"

// readTLS reads a file of certificates, of which there may be as many as a system trusts,
// or of a key.
func readTLS(name string) (text []byte, wrong string) {
	text, err := readSmall(name, maxFile)
	switch {
	case err != nil:
		return nil, fmt.Sprintf("cannot be read: %v; name a file that wswarden may read", err)
	case len(text) > maxFile:
		return nil, fmt.Sprintf("is longer than %s; name another", size(maxFile))
	}
	return text, ""
}

// wrongChain says what is wrong with a certificate and those between it and its root;
// empty if they can be sent to the other side.
func wrongChain(text []byte) (wrong string) {
	n := 0
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		n++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Sprintf("has a certificate, number %d in it, that is malformed; write the file anew", n)
		}
	}
	if n == 0 {
		return noCertificate
	}
	return ""
}

// ofKey says what is wrong with the key of a certificate that is not. Nothing of what is
// in the file is told.
func ofKey(text []byte, err error) string {
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		switch {
		case !strings.HasSuffix(block.Type, "PRIVATE KEY"):
		case block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "":
			return "has a key with a passphrase; write it without one, as openssl pkey does, and let only wswarden read it"
		case strings.Contains(err.Error(), "does not match"):
			return "is not the key of the certificate, which has to be the first in its file; name the one that belongs to it"
		default:
			return "has a key that cannot be used; name one of ECDSA, Ed25519 or RSA"
		}
	}
	return "has no key; name a file in PEM, which has a line -----BEGIN PRIVATE KEY-----"
}
