package proxy

import (
	"errors"
	"net"
	"os"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/proxy/evloop"
)

// detached is a connection that has left Go's poller. Its descriptor is the holder's to
// close.
type detached struct {
	fd     int
	secure *evloop.TLS // nil: nothing is encrypted
}

func (d detached) close() { closeDescriptor(d.fd) }

// add puts the connection on a loop, as Loop.Add does. On an error it is closed.
func (d detached) add(loop *evloop.Loop, s *evloop.Socket, handler evloop.Handler) error {
	if err := loop.Add(s, d.fd, handler); err != nil {
		d.close()
		return err
	}
	if d.secure != nil {
		s.Secure(d.secure)
	}
	return nil
}

// attach gives the connection to Go's poller. The descriptor is closed with it, or at once
// on an error.
func (d detached) attach() (net.Conn, error) {
	file := os.NewFile(uintptr(d.fd), "socket")
	conn, err := net.FileConn(file)
	if err := errors.Join(err, file.Close()); err != nil || d.secure == nil {
		return conn, err
	}
	if err := d.secure.Carry(conn); err != nil {
		return nil, errors.Join(err, conn.Close())
	}
	return d.secure, nil
}

// detachHijacked takes a client's connection that fasthttp has given up away from Go's
// poller. It returns the bytes, too, that fasthttp's reader has taken from it already.
func detachHijacked(conn net.Conn) (d detached, early []byte, err error) {
	early, err = readBuffered(conn)
	if err != nil {
		return d, nil, err
	}
	if hijacked, ok := conn.(interface{ UnsafeConn() net.Conn }); ok {
		conn = hijacked.UnsafeConn()
	}
	client := clientOf(conn)
	if client == nil {
		return d, nil, errors.New("connection is no client's")
	}
	client.admitted = nil // it is the caller's now
	if secure, ok := conn.(*secureConn); ok {
		d.secure = secure.TLS
	}
	d.fd, err = detachDescriptor(client.Conn)
	client.detached = err == nil
	return d, early, err
}

// detach takes a connection to upstream away from Go's poller.
func detach(conn net.Conn) (d detached, err error) {
	if secure, ok := conn.(*evloop.TLS); ok {
		d.secure, conn = secure, secure.NetConn()
	}
	if d.fd, err = detachDescriptor(conn); err != nil {
		_ = conn.Close()
	}
	return d, err
}

// detachDescriptor returns a connection's descriptor, and closes the connection.
//
// The descriptor is a duplicate, and the original is closed: only so does Go's
// poller let go of it. That cannot be left to fasthttp, for while there are two,
// closing one neither ends the connection nor an event loop's watch of it.
func detachDescriptor(conn net.Conn) (fd int, err error) {
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
	if err := errors.Join(controlErr, err); err != nil {
		return -1, err
	}
	_ = conn.Close()
	return fd, nil
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
		if err != nil { // the end of a stream of records, which remains to be met
			return b, nil
		}
	}
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }
