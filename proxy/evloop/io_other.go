//go:build unix && !linux

package evloop

import (
	"errors"
	"net/netip"

	"golang.org/x/sys/unix"
)

func newPoller() (poller, error) { return newPollPoller() }

func receive(fd int, p []byte) (int, unix.Errno) { return transfer(unix.Read, fd, p) }

// send takes a socket that is still being connected for one without room.
func send(fd int, p []byte) (int, unix.Errno) {
	n, errno := transfer(unix.Write, fd, p)
	if errno == unix.ENOTCONN {
		errno = unix.EAGAIN
	}
	return n, errno
}

func transfer(call func(int, []byte) (int, error), fd int, p []byte) (int, unix.Errno) {
	for {
		n, err := call(fd, p)
		var errno unix.Errno
		switch {
		case err == nil:
			return n, 0
		case errors.Is(err, unix.EINTR):
		case errors.As(err, &errno):
			return 0, errno
		default:
			return 0, unix.EIO
		}
	}
}

func closeDescriptor(fd int) { _ = unix.Close(fd) }

// dial returns a non-blocking TCP socket that is being connected.
func dial(address netip.AddrPort, prepare func(fd int) error) (int, error) {
	family, name := unix.AF_INET6, unix.Sockaddr(&unix.SockaddrInet6{Port: int(address.Port()), Addr: address.Addr().As16()})
	if addr := address.Addr().Unmap(); addr.Is4() {
		family, name = unix.AF_INET, &unix.SockaddrInet4{Port: int(address.Port()), Addr: addr.As4()}
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM, 0)
	if err != nil {
		return -1, err
	}
	unix.CloseOnExec(fd)
	if err := errors.Join(unix.SetNonblock(fd, true), prepare(fd)); err != nil {
		closeDescriptor(fd)
		return -1, err
	}
	if err := unix.Connect(fd, name); err != nil && !errors.Is(err, unix.EINPROGRESS) {
		closeDescriptor(fd)
		return -1, err
	}
	return fd, nil
}
