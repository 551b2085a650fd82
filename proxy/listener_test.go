package proxy

import (
	"log/slog"
	"net"
	"os"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"wswarden/config"
)

// scarce fails as often as it has errors, and then accepts.
type scarce struct {
	net.Listener
	errors []error
}

func (s *scarce) Accept() (net.Conn, error) {
	if len(s.errors) > 0 {
		err := s.errors[0]
		s.errors = s.errors[1:]
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", err)}
	}
	return s.Listener.Accept()
}

func TestListenerOutlastsShortage(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	client, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()

	log := slog.New(slog.DiscardHandler)
	patient := &listener{
		Listener: &scarce{ln, []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED}},
		log:      log,
		edges:    newEdges(prometheus.NewRegistry(), log),
	}
	patient.settings.Store(&listenerSettings{Listener: config.Listener{Name: "public"}})
	conn, err := patient.Accept()
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.Close()
	_ = ln.Close()
	if _, err := patient.Accept(); err == nil {
		t.Error("a closed listener accepts")
	}
}
