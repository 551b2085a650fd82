package proxy

import (
	"bufio"
	"context"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
	"wswarden/proxy/evloop"
)

// blackHole returns an address that answers no connection: its listener's queue
// is full.
func blackHole(t *testing.T) netip.AddrPort {
	t.Helper()
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Close(fd) })
	if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := unix.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	address := netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), uint16(name.(*unix.SockaddrInet4).Port))
	for {
		conn, err := net.DialTimeout("tcp", address.String(), 200*time.Millisecond)
		if err != nil {
			return address
		}
		t.Cleanup(func() { _ = conn.Close() })
	}
}

// answerOne runs a server for whose upstream the addresses are found, and returns
// the status of one handshake.
func answerOne(t *testing.T, addresses ...netip.AddrPort) int {
	t.Helper()
	cfg := config.Default()
	cfg.Listeners[0].Address = "127.0.0.1:0"
	cfg.Admin.Address = ""
	for _, address := range addresses {
		cfg.Upstream.URLs = append(cfg.Upstream.URLs, "http://"+address.String())
	}
	cfg.Upstream.DialTimeout = time.Second
	s, err := newServer(cfg, slog.New(slog.DiscardHandler), Options{}, evloop.New)
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Run(ctx) }()
	defer func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}()
	conn, err := net.Dial("tcp", s.Addrs()[0].String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_, _ = conn.Write([]byte("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"))
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	return response.StatusCode
}

// A name may have addresses of which only the last one answers.
func TestEveryAddressIsTried(t *testing.T) {
	teapot, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = teapot.Close() })
	go func() {
		for {
			conn, err := teapot.Accept()
			if err != nil {
				return
			}
			_, _ = http.ReadRequest(bufio.NewReader(conn))
			_, _ = conn.Write([]byte("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\n\r\n"))
			_ = conn.Close()
		}
	}()
	good := netip.MustParseAddrPort(teapot.Addr().String())
	refusing := netip.MustParseAddrPort("127.0.0.1:1")
	silent := blackHole(t)

	for _, test := range []struct {
		name      string
		addresses []netip.AddrPort
		want      int
	}{
		{"the only one", []netip.AddrPort{good}, http.StatusTeapot},
		{"behind one that refuses", []netip.AddrPort{refusing, good}, http.StatusTeapot},
		{"behind one that is silent", []netip.AddrPort{silent, good}, http.StatusTeapot},
		{"behind both", []netip.AddrPort{silent, refusing, good}, http.StatusTeapot},
		{"one that refuses", []netip.AddrPort{refusing}, http.StatusBadGateway},
		{"one that is silent", []netip.AddrPort{silent}, http.StatusGatewayTimeout},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			if got := answerOne(t, test.addresses...); got != test.want {
				t.Errorf("status %d, want %d", got, test.want)
			}
		})
	}
}
