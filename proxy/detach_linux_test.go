package proxy

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/proxy/evloop"
)

// Connections that cannot leave Go's poller as descriptors are short are closed, and not
// forgotten. Not in parallel: others need descriptors.
func TestDetachWithoutDescriptors(t *testing.T) {
	short := func(f func() error) error {
		var limit unix.Rlimit
		if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unix.Setrlimit(unix.RLIMIT_NOFILE, &limit) }()
		if err := unix.Setrlimit(unix.RLIMIT_NOFILE, &unix.Rlimit{Cur: 1, Max: limit.Max}); err != nil {
			t.Fatal(err)
		}
		return f()
	}
	for name, detach := range map[string]func(net.Conn) error{
		"client": func(conn net.Conn) error {
			c := &clientConn{Conn: conn}
			defer c.Close() // as fasthttp does
			_, _, err := detachHijacked(c)
			return err
		},
		"client with TLS": func(conn net.Conn) error {
			client := &clientConn{Conn: conn}
			c := &secureConn{TLS: evloop.Server(client, &tls.Config{}), client: client}
			defer c.Close()
			_, _, err := detachHijacked(c)
			return err
		},
		"upstream": func(conn net.Conn) error {
			_, err := detach(conn)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ln, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer ln.Close()
			peer, err := net.Dial("tcp", ln.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer peer.Close()
			conn, err := ln.Accept()
			if err != nil {
				t.Fatal(err)
			}
			if err := short(func() error { return detach(conn) }); !errors.Is(err, unix.EMFILE) {
				t.Fatal("not short of descriptors: ", err)
			}
			_ = peer.SetReadDeadline(time.Now().Add(10 * time.Second))
			if _, err := io.Copy(io.Discard, peer); os.IsTimeout(err) {
				t.Error("its peer waits for ever")
			}
		})
	}
}
