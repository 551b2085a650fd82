package proxy

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"
)

// patientListener outlasts a shortage of descriptors or memory: fasthttp would
// take it for the end of the listener. Connections wait in the backlog until
// sessions end.
type patientListener struct {
	net.Listener
	log *slog.Logger
}

const (
	shortestPause = 5 * time.Millisecond
	longestPause  = 500 * time.Millisecond
)

func (l patientListener) Accept() (net.Conn, error) {
	for pause := shortestPause; ; pause = min(2*pause, longestPause) {
		conn, err := l.Listener.Accept()
		if err == nil || !isShortage(err) {
			return conn, err
		}
		if pause == shortestPause {
			l.log.Error("connections have to wait", "listener", l.Addr().String(), "error", err)
		}
		time.Sleep(pause)
	}
}

// isShortage reports whether accept(2) may succeed later.
func isShortage(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
