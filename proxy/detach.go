package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// detach takes a connection away from Go's poller and returns its descriptor,
// which is the caller's to close. It is duplicated, and the original closed,
// for only so does Go's poller let go of it. The connection is closed in any
// case.
func detach(conn net.Conn) (fd int, err error) {
	defer func() { err = errors.Join(err, conn.Close()) }()
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, errors.New("connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, err
	}
	controlErr := raw.Control(func(p uintptr) {
		fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0)
	})
	return fd, errors.Join(controlErr, err)
}

// detachHijacked does the same for a connection that fasthttp has given up, and
// returns the bytes of it that its reader has taken already.
func detachHijacked(conn net.Conn) (fd int, early []byte, err error) {
	early, err = readBuffered(conn)
	hijacked, ok := conn.(interface{ UnsafeConn() net.Conn })
	if !ok {
		return -1, nil, errors.Join(err, conn.Close())
	}
	fd, detachErr := detach(hijacked.UnsafeConn())
	return fd, early, errors.Join(err, detachErr)
}

// readBuffered reads what conn's reader holds and nothing from the network: a
// deadline that is over stops it there.
func readBuffered(conn net.Conn) (b []byte, err error) {
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	var buf [512]byte
	for {
		n, err := conn.Read(buf[:])
		b = append(b, buf[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return b, nil
		}
		if err != nil {
			return b, err
		}
	}
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }
