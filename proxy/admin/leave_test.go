package admin

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"testing"
	"time"
)

// A server that leaves answers who has come, though nothing was asked yet, and nobody
// else.
func TestLeave(t *testing.T) {
	s, err := New(Options{Address: "127.0.0.1:0", Source: new(fake)})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	conn, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	for len(s.open) == 0 {
		time.Sleep(time.Millisecond)
	}
	left := make(chan struct{})
	go func() {
		defer close(left)
		s.Leave()
	}()
	if err := <-served; err != nil {
		t.Errorf("served until %v", err)
	}
	if late, err := net.Dial("tcp", s.Addr().String()); err == nil {
		_ = late.Close()
		t.Error("it still takes connections")
	}
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	_, _ = io.WriteString(conn, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
	if r, err := http.ReadResponse(bufio.NewReader(conn), nil); err != nil || r.StatusCode != http.StatusOK || !r.Close {
		t.Errorf("%+v, %v, want 200 and the end of the connection", r, err)
	}
	<-left
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
