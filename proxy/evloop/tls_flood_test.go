package evloop

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"crypto/hkdf"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net"
	"os"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// expandLabel is HKDF-Expand-Label (RFC 8446 §7.1).
func expandLabel(secret []byte, label string, n int) []byte {
	l := "tls13 " + label
	info := []byte{byte(n >> 8), byte(n), byte(len(l))}
	info = append(append(info, l...), 0)
	out, err := hkdf.Expand(sha256.New, secret, string(info), n)
	if err != nil {
		panic(err)
	}
	return out
}

// sealer makes the records of a client that has its secrets at hand.
type sealer struct {
	secret, iv []byte
	aead       cipher.AEAD
	seq        uint64
}

func (s *sealer) key(secret []byte) {
	b, _ := aes.NewCipher(expandLabel(secret, "key", 16))
	s.aead, _ = cipher.NewGCM(b)
	s.secret, s.iv, s.seq = secret, expandLabel(secret, "iv", 12), 0
}

func (s *sealer) record(dst []byte, typ byte, data []byte) []byte {
	nonce := bytes.Clone(s.iv)
	var seq [8]byte
	binary.BigEndian.PutUint64(seq[:], s.seq)
	for i := range seq {
		nonce[4+i] ^= seq[i]
	}
	s.seq++
	n := len(data) + 1 + 16
	head := []byte{0x17, 3, 3, byte(n >> 8), byte(n)}
	dst = append(dst, head...)
	return s.aead.Seal(dst, nonce, append(bytes.Clone(data), typ), head)
}

// A peer can send any number of records that hold nothing but changes of its keys, and ask
// for as many answers. A turn takes a bounded part of them, and answers that it does not
// take end the connection.
func TestTLSKeyUpdates(t *testing.T) {
	for name, asks := range map[string]byte{"quiet": 0, "asking": 1} {
		t.Run(name, func(t *testing.T) {
			l, err := New()
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			fd, other := tcpPair(t)
			f := os.NewFile(uintptr(fd), "server")
			conn, err := net.FileConn(f)
			if err := errors.Join(err, f.Close()); err != nil {
				t.Fatal(err)
			}
			err = errors.Join(other.(*net.TCPConn).SetReadBuffer(4<<10), conn.(*net.TCPConn).SetWriteBuffer(4<<10))
			if err != nil {
				t.Fatal(err)
			}
			server := Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
			var secrets strings.Builder
			client := tls.Client(other, &tls.Config{InsecureSkipVerify: true, KeyLogWriter: &secrets, MinVersion: tls.VersionTLS13})
			done := make(chan error, 1)
			go func() { done <- server.Handshake() }()
			if err := errors.Join(client.Handshake(), receiveError(done)); err != nil {
				t.Fatal(err)
			}
			if suite := client.ConnectionState().CipherSuite; suite != tls.TLS_AES_128_GCM_SHA256 {
				t.Skip("the records of this test are for another suite than", tls.CipherSuiteName(suite))
			}
			var s sealer
			for line := range strings.Lines(secrets.String()) {
				if strings.HasPrefix(line, "CLIENT_TRAFFIC_SECRET_0") {
					secret, _ := hex.DecodeString(strings.Fields(line)[2])
					s.key(secret)
				}
			}
			sc, err := conn.(*net.TCPConn).SyscallConn()
			if err != nil {
				t.Fatal(err)
			}
			_ = sc.Control(func(p uintptr) { fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) })
			if err := errors.Join(err, conn.Close()); err != nil {
				t.Fatal(err)
			}

			const updates = 40_000
			var flood []byte
			letters := 0
			for i := range updates {
				flood = s.record(flood, 22, []byte{24, 0, 0, 1, asks})
				s.key(expandLabel(s.secret, "traffic upd", 32))
				if i%15 == 0 { // or it would be too much for TLS itself
					flood = s.record(flood, 23, []byte{'x'})
					letters++
				}
			}
			p := add(t, l, fd)
			p.Secure(server)
			go func() { _, _ = other.Write(flood) }()
			buf := make([]byte, readBudget)
			got, most := 0, 0
			p.do = func() {
				var n int
				n, err = p.Read(buf)
				got += n
				most = max(most, server.carrier.spent)
				if err != nil {
					p.Close()
				}
			}
			until(t, l, "the end", func() bool { return got == letters || err != nil })
			if most > readBudget+2*recordSize {
				t.Errorf("a turn took %d bytes, want %d", most, readBudget)
			}
			if asks == 0 && err != nil || asks == 1 && err != errAnswersNotTaken {
				t.Errorf("%v, behind %d of %d letters", err, got, letters)
			}
		})
	}
}
