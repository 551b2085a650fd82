package evloop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"runtime"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

var certificate = func() tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), DNSNames: []string{"test"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}()

// wire is what a client's records go by, or where they are kept instead.
type wire struct {
	peer
	records *bytes.Buffer
}

func (w *wire) Write(p []byte) (int, error) {
	if w.records != nil {
		return w.records.Write(p)
	}
	return w.peer.Write(p)
}

// tlsPair returns a descriptor that is the server's side of TLS behind its handshake, and
// the client's side. raw is what is below that.
func tlsPair(t testing.TB, version uint16) (fd int, server *TLS, client *tls.Conn, raw *wire) {
	t.Helper()
	fd, other := tcpPair(t)
	raw = &wire{peer: other}
	f := os.NewFile(uintptr(fd), "server")
	conn, err := net.FileConn(f)
	if err := errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	server = Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}, MaxVersion: version, DynamicRecordSizingDisabled: true})
	client = tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	done := make(chan error, 1)
	go func() { done <- server.Handshake() }()
	if err := errors.Join(client.Handshake(), receiveError(done)); err != nil {
		t.Fatal(err)
	}
	sc, err := conn.(*net.TCPConn).SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var dupErr error
	err = sc.Control(func(p uintptr) { fd, dupErr = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) })
	if err := errors.Join(err, dupErr, conn.Close()); err != nil {
		t.Fatal(err)
	}
	return fd, server, client, raw
}

func receiveError(c <-chan error) error {
	select {
	case err := <-c:
		return err
	case <-time.After(patience):
		return errors.New("no handshake")
	}
}

func onTLS(t *testing.T, test func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire)) {
	for name, version := range map[string]uint16{"1.2": tls.VersionTLS12, "1.3": tls.VersionTLS13} {
		t.Run(name, func(t *testing.T) {
			onBoth(t, func(t *testing.T, l *Loop) {
				fd, server, client, raw := tlsPair(t, version)
				p := add(t, l, fd)
				p.Secure(server)
				until(t, l, "writable", func() bool { return p.Writable() })
				wantRead(t, &p.Socket, 10, "", nil)
				test(t, l, p, client, raw)
			})
		})
	}
}

// What the peer sends is read as it was meant, however its records arrive.
func TestTLSReads(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, _ *wire) {
		want := make([]byte, 300<<10)
		_, _ = rand.Read(want)
		go func() {
			for b := want; len(b) > 0; {
				n := min(len(b), 1+len(b)/3)
				if _, err := client.Write(b[:n]); err != nil {
					t.Error(err)
					return
				}
				b = b[n:]
			}
		}()
		var got []byte
		p.do = func() {
			buf := make([]byte, 7000)
			n, err := p.Read(buf)
			if err != nil {
				t.Error(err)
			}
			got = append(got, buf[:n]...)
			if p.Readable() {
				p.Again()
			}
		}
		until(t, l, "all of it", func() bool { return len(got) >= len(want) || t.Failed() })
		if !bytes.Equal(got, want) {
			t.Error("read something else")
		}
		turn(t, l)
		turn(t, l)
		if p.Readable() {
			t.Error("readable, and there is nothing")
		}
	})
}

// A record of which only a part has arrived is no end and no error.
func TestTLSReadsByteByByte(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire) {
		raw.records = new(bytes.Buffer)
		write(t, client, "hello")
		record := raw.records.Bytes()
		raw.records = nil
		for i, b := range record {
			until(t, l, "quiet", func() bool {
				n, err := p.Read(make([]byte, 10))
				if n != 0 || err != nil {
					t.Fatalf("behind %d bytes: read %d, %v", i, n, err)
				}
				return !p.Readable()
			})
			if _, err := raw.Write([]byte{b}); err != nil {
				t.Fatal(err)
			}
		}
		until(t, l, "a record", func() bool { return p.Readable() })
		wantRead(t, &p.Socket, 10, "hello", nil)
	})
}

// What is written to a peer that reads slowly arrives all the same, and no more of it is
// taken than there is room for.
func TestTLSWrites(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, _ *wire) {
		want := make([]byte, 8<<20)
		_, _ = rand.Read(want)
		left, full := want, false
		p.do = func() {
			for p.Open() && p.Writable() && len(left) > 0 {
				n, err := p.Write(left[:min(len(left), 50_000)])
				if err != nil {
					t.Fatal(err)
				}
				left = left[n:]
			}
			if len(left) == 0 {
				if err := p.CloseWrite(); err != nil {
					t.Error(err)
				}
				p.do = nil
			} else if !full {
				full = true
			}
		}
		p.Again()
		until(t, l, "no room", func() bool { return full })
		if outstanding, _ := p.Outstanding(); outstanding == 0 && runtime.GOOS == "linux" {
			t.Error("nothing is outstanding")
		}
		got := make(chan []byte)
		go func() {
			b, err := io.ReadAll(client)
			if err != nil {
				t.Error(err)
			}
			got <- b
		}()
		until(t, l, "all of it", func() bool { return len(left) == 0 && len(p.tls.carrier.out) == 0 })
		if !bytes.Equal(receiveFrom(t, got, "the end"), want) {
			t.Error("read something else")
		}
		if _, err := p.Write([]byte("x")); err == nil {
			t.Error("written behind the end")
		}
	})
}

// The end of the records is the end, and so is that of the connection; an end in the
// middle of one is an error.
func TestTLSEnds(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire) {
		write(t, client, "bye")
		if err := client.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		wantEnd(t, l, p, "bye")
	})
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire) {
		write(t, client, "bye")
		_ = raw.Close()
		wantEnd(t, l, p, "bye")
	})
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire) {
		if _, err := raw.Write([]byte{23, 3, 3, 0, 40, 1}); err != nil {
			t.Fatal(err)
		}
		_ = raw.Close()
		until(t, l, "the end", func() bool {
			n, err := p.Read(make([]byte, 10))
			if n != 0 || err == io.EOF {
				t.Fatal(n, err)
			}
			return err != nil
		})
	})
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, raw *wire) {
		if _, err := raw.Write([]byte{23, 3, 3, 0, 40}); err != nil {
			t.Fatal(err)
		}
		if _, err := raw.Write(make([]byte, 40)); err != nil { // nobody has encrypted that
			t.Fatal(err)
		}
		until(t, l, "an error", func() bool {
			n, err := p.Read(make([]byte, 10))
			if n != 0 || err == io.EOF {
				t.Fatal(n, err)
			}
			return err != nil
		})
		if _, err := client.Read(make([]byte, 1)); err == nil || err == io.EOF {
			t.Errorf("the peer is told %v, want an alert", err)
		}
	})
}

// From a socket to another one, and back to a net.Conn.
func TestTLSMoves(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, _ *wire) {
		to := &probe{}
		write(t, client, "first, second")
		until(t, l, "data", func() bool { return p.Readable() })
		until(t, l, "some of it", func() bool {
			buf := make([]byte, 5)
			n, err := p.Read(buf)
			return n == 5 && err == nil && string(buf) == "first"
		})
		p.Move(&to.Socket, to)
		wantRead(t, &to.Socket, 2, ", ", nil)
		if n, err := to.Write([]byte("answer")); n != 6 || err != nil {
			t.Fatal(n, err)
		}
		fd, secure, err := to.Detach()
		if err != nil {
			t.Fatal(err)
		}
		f := os.NewFile(uintptr(fd), "server")
		conn, err := net.FileConn(f)
		if err := errors.Join(err, f.Close()); err != nil {
			t.Fatal(err)
		}
		if err := secure.Carry(conn); err != nil {
			t.Fatal(err)
		}
		defer secure.Close()
		if _, err := secure.Write([]byte(" and more")); err != nil {
			t.Fatal(err)
		}
		if err := secure.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 100)
		if n, err := secure.Read(buf); string(buf[:n]) != "second" || err != nil {
			t.Errorf("read %q, %v", buf[:n], err)
		}
		if b, err := io.ReadAll(client); string(b) != "answer and more" || err != nil {
			t.Errorf("the peer reads %q, %v", b, err)
		}
	})
}

func TestTLSReset(t *testing.T) {
	onTLS(t, func(t *testing.T, l *Loop, p *probe, client *tls.Conn, _ *wire) {
		p.Reset()
		if _, err := client.Read(make([]byte, 1)); !errors.Is(err, unix.ECONNRESET) {
			t.Errorf("peer reads %v, want a reset", err)
		}
	})
}

// BenchmarkTLSEcho is the way of a message of 128 bytes to the loop and back.
func BenchmarkTLSEcho(b *testing.B) {
	l, err := New()
	if err != nil {
		b.Fatal(err)
	}
	fd, server, client, _ := tlsPair(b, tls.VersionTLS13)
	e := &bounce{}
	if err := l.Add(&e.Socket, fd, e); err != nil {
		b.Fatal(err)
	}
	e.Secure(server)
	ended := make(chan error)
	go func() { ended <- l.Run() }()
	message := make([]byte, 64)
	for b.Loop() {
		if _, err := client.Write(message); err != nil {
			b.Fatal(err)
		}
		if _, err := io.ReadFull(client, message); err != nil {
			b.Fatal(err)
		}
	}
	_ = l.Do(e.Close)
	_ = l.Stop()
	if err := <-ended; err != nil {
		b.Fatal(err)
	}
	if err := l.Close(); err != nil {
		b.Fatal(err)
	}
}
