package proxy

import (
	"errors"
	"log/slog"
	"net"
	"syscall"
	"time"

	"wswarden/policies"
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
		switch tcp, ok := conn.(*net.TCPConn); {
		case err == nil && ok:
			return &clientConn{TCPConn: tcp}, nil
		case err == nil || !isShortage(err):
			return conn, err
		}
		if pause == shortestPause {
			l.log.Error("connections have to wait", "listener", l.Addr().String(), "error", err)
		}
		time.Sleep(pause)
	}
}

// clientConn is a client's connection as long as it is HTTP's.
type clientConn struct {
	*net.TCPConn
	admitted *admission // to a session that has not taken it over yet
	last     bool       // what is written next is the last, and is followed by Close
}

// Write has the last bytes leave together with the end of the stream.
func (c *clientConn) Write(b []byte) (n int, err error) {
	if c.last {
		n = c.writeLast(b)
	}
	if n < len(b) {
		var more int
		more, err = c.TCPConn.Write(b[n:])
		n += more
	}
	return n, err
}

// Close gives back what was admitted, too.
func (c *clientConn) Close() error {
	if c.admitted != nil {
		c.admitted.leave()
		c.admitted.trace.Refused(time.Now(), 0, policies.ClientLost.String())
	}
	return c.TCPConn.Close()
}

// isShortage reports whether accept(2), or a dial, may succeed once sessions have ended.
func isShortage(err error) bool {
	for _, errno := range [...]syscall.Errno{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.ECONNABORTED} {
		if errors.Is(err, errno) {
			return true
		}
	}
	return false
}
