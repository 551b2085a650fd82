//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"time"
)

// The case has every proxy speak the same TLS: version 1.3, AES-128-GCM, X25519, and
// one certificate. What is not the same, such as how many bytes are in a record, is
// each proxy's own way.

// tlsIdleSessions is how many sessions are idle at most: this process holds the other
// end of each, and needs more memory for it.
const tlsIdleSessions = 2000

// certificate is what proxies show their clients.
type certificate struct {
	File  string // with the key
	roots *x509.CertPool
}

// tlsName is what the certificate is for.
const tlsName = "benchmark.test"

func newCertificate(dir string) (*certificate, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		DNSNames:     []string{tlsName},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return nil, err
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, err
	}
	secret, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return nil, err
	}
	c := &certificate{File: filepath.Join(dir, "certificate.pem"), roots: x509.NewCertPool()}
	c.roots.AddCert(parsed)
	text := append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret})...)
	return c, os.WriteFile(c.File, text, 0o600)
}

// client returns the configuration of clients that remember sessions there.
func (c *certificate) client(memory tls.ClientSessionCache) *tls.Config {
	return &tls.Config{
		ServerName: tlsName, RootCAs: c.roots, ClientSessionCache: memory,
		MinVersion: tls.VersionTLS13, CurvePreferences: []tls.CurveID{tls.X25519},
	}
}

// strangers are clients that take tickets, as browsers do, and have none.
type strangers struct{}

func (strangers) Get(string) (*tls.ClientSessionState, bool) { return nil, false }
func (strangers) Put(string, *tls.ClientSessionState)        {}

// open is openSession for a process whose clients may need TLS.
func (p *process) open(ctx context.Context, client int) (net.Conn, error) {
	if p.tls == nil {
		return openSession(ctx, p.address, client)
	}
	dialer := net.Dialer{Timeout: patience, KeepAlive: -1}
	bare, err := dialer.DialContext(ctx, "tcp", p.address)
	if err != nil {
		return nil, err
	}
	conn := tls.Client(bare, p.tls)
	if err := begin(conn, p.address, client); err != nil {
		return nil, err
	}
	if state := conn.ConnectionState(); state.CipherSuite != tls.TLS_AES_128_GCM_SHA256 || state.DidResume != p.known {
		conn.Close()
		return nil, fmt.Errorf("TLS with %s, resumed: %v, want AES-128-GCM and %v", tls.CipherSuiteName(state.CipherSuite), state.DidResume, p.known)
	}
	return conn, nil
}

// openAll opens count sessions.
func (p *process) openAll(ctx context.Context, count int) ([]net.Conn, error) {
	conns := make([]net.Conn, count)
	err := each(ctx, count, func(i int) (err error) {
		conns[i], err = p.open(ctx, i)
		return err
	})
	if err == nil {
		return conns, nil
	}
	for _, conn := range conns {
		if conn != nil {
			conn.Close()
		}
	}
	return nil, err
}

// closeAll is closeSession for each.
func closeAll(ctx context.Context, conns []net.Conn) error {
	return each(ctx, len(conns), func(i int) error { return closeSession(conns[i]) })
}

// overTLS measures a process of its own whose clients come by TLS; those of plain do
// not, but are the same otherwise.
func (b *bench) overTLS(ctx context.Context, e *entrant, w work, to results) (err error) {
	// The clients' share is larger than elsewhere, and takes longer.
	w = work{echoes: w.echoes/2 + 1, messages: w.messages/4 + 1, handshakes: w.handshakes/4 + 1, sessions: w.sessions}
	secured := b.place
	if e.name != plain {
		secured.TLS = b.certificate
	}
	p, err := b.startAt(ctx, e, secured)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = p.explain(err)
		}
		err = errors.Join(err, p.stop())
	}()

	idle := min(w.sessions, tlsIdleSessions)
	kib, err := b.grown(ctx, p, idle)
	if err != nil {
		return err
	}
	to.add(tlsIdle, e.name, kib/float64(idle))
	cpu, err := p.echoes(ctx, echoConnections, echoMessage, w.echoes)
	if err != nil {
		return err
	}
	to.add(tlsEcho, e.name, cpu.Seconds()*1e6/float64(w.echoes))
	if cpu, err = p.echoes(ctx, bulkConnections, bulkMessage, w.messages); err != nil {
		return err
	}
	to.add(tlsBulk, e.name, cpu.Seconds()*1e9/float64(2*w.messages*bulkMessage)) // there and back
	if cpu, err = p.handshakes(ctx, w.handshakes); err != nil {
		return err
	}
	to.add(tlsHandshake, e.name, cpu.Seconds()*1e6/float64(w.handshakes))
	if secured.TLS == nil {
		return nil
	}
	if cpu, err = p.resumptions(ctx, secured.TLS, w.handshakes); err != nil {
		return err
	}
	to.add(tlsResumed, e.name, cpu.Seconds()*1e6/float64(w.handshakes))
	return nil
}

// handshakes is sessions, after some that are not measured.
func (p *process) handshakes(ctx context.Context, count int) (time.Duration, error) {
	if _, err := sessions(ctx, p, count/10+1); err != nil {
		return 0, err
	}
	return sessions(ctx, p, count)
}

// resumptions is handshakes of clients that have been there before.
func (p *process) resumptions(ctx context.Context, c *certificate, count int) (time.Duration, error) {
	p.tls = c.client(tls.NewLRUClientSessionCache(0))
	if _, err := sessions(ctx, p, 1); err != nil {
		return 0, err
	}
	p.known = true
	return p.handshakes(ctx, count)
}

// echoes has count messages echoed, one at a time in each session, and returns what that
// cost the process.
func (p *process) echoes(ctx context.Context, connections, size, count int) (cpu time.Duration, err error) {
	conns, err := p.openAll(ctx, connections)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeAll(ctx, conns)) }()
	type message struct{ frame, want, got []byte }
	messages := make([]message, connections)
	for i := range messages {
		frame, want := noise(i, size)
		messages[i] = message{frame, want, make([]byte, len(want))}
	}
	run := func(count int) error {
		return shared(ctx, connections, count, func(session, _ int) error {
			conn, m := conns[session], messages[session]
			if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
				return err
			}
			if _, err := conn.Write(m.frame); err != nil {
				return err
			}
			if _, err := io.ReadFull(conn, m.got); err != nil {
				return err
			}
			if !bytes.Equal(m.got, m.want) {
				return errors.New("the echo differs")
			}
			return nil
		})
	}
	// The first messages of a connection pay for its buffers.
	if err := run(4 * connections); err != nil {
		return 0, err
	}
	return spent(p, func() error { return run(count) })
}
