package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// detachHijacked takes a connection that fasthttp has given up away from Go's
// poller. It returns its descriptor, which is the caller's to close, and the
// bytes that fasthttp's reader has taken from it already.
//
// The descriptor is a duplicate, and the original is closed: only so does Go's
// poller let go of it. That cannot be left to fasthttp, for while there are two,
// closing one neither ends the connection nor an event loop's watch of it.
func detachHijacked(conn net.Conn) (fd int, early []byte, err error) {
	early, err = readBuffered(conn)
	if err != nil {
		return -1, nil, err
	}
	if hijacked, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
		conn = hijacked.UnsafeConn()
	}
	sc, ok := conn.(syscall.Conn)
	if !ok {
		return -1, nil, errors.New("connection has no descriptor")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return -1, nil, err
	}
	if client, ok := conn.(*clientConn); ok {
		client.admitted = nil // it is the caller's now
	}
	controlErr := raw.Control(func(p uintptr) {
		fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0)
	})
	if err := errors.Join(controlErr, err); err != nil {
		return -1, nil, err
	}
	_ = conn.Close()
	return fd, early, nil
}

// attach gives a descriptor to Go's poller. It is closed with the connection,
// or at once on an error.
func attach(fd int) (net.Conn, error) {
	file := os.NewFile(uintptr(fd), "socket")
	conn, err := net.FileConn(file)
	return conn, errors.Join(err, file.Close())
}

// readBuffered reads what conn's reader holds and nothing from the network: a
// deadline that is over stops it there.
func readBuffered(conn net.Conn) (b []byte, err error) {
	if err := conn.SetReadDeadline(time.Unix(1, 0)); err != nil {
		return nil, err
	}
	buf := buffers.Get().(*[]byte)
	defer buffers.Put(buf)
	for {
		n, err := conn.Read(*buf)
		b = append(b, (*buf)[:n]...)
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return b, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }
