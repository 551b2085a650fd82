//go:build linux

package main

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// socket is a connection outside the runtime's poller: the bare calls leave
// more of the two cores to the proxy. Its methods never block.
type socket struct {
	fd  int
	out []byte // still to be written
}

// detach takes a connection over from the runtime.
func detach(conn *net.TCPConn) (socket, error) {
	defer conn.Close()
	raw, err := conn.SyscallConn()
	if err != nil {
		return socket{}, err
	}
	fd, dupErr := -1, error(nil)
	err = raw.Control(func(original uintptr) {
		fd, dupErr = unix.FcntlInt(original, unix.F_DUPFD_CLOEXEC, 0)
	})
	return socket{fd: fd}, errors.Join(err, dupErr)
}

// attach gives the connection to the runtime, too: it may block there.
func (s *socket) attach() (net.Conn, error) {
	fd, err := unix.FcntlInt(uintptr(s.fd), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	file := os.NewFile(uintptr(fd), "session")
	defer file.Close()
	return net.FileConn(file)
}

// watch has the poller name id whenever there may be more to read, or room to
// write after there was none. hangup comes with the last bytes.
func (s *socket) watch(poller, id int) error {
	return unix.EpollCtl(poller, unix.EPOLL_CTL_ADD, s.fd, &unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLET | hangup, Fd: int32(id),
	})
}

const hangup = unix.EPOLLRDHUP

// flush writes what the peer takes of out.
func (s *socket) flush() error {
	for len(s.out) > 0 {
		n, err := transfer(syscall.SYS_WRITE, s.fd, s.out)
		if n < 0 || err != nil {
			return err
		}
		s.out = s.out[n:]
	}
	return nil
}

// read returns 0 while nothing has arrived, and io.EOF at the end.
func (s *socket) read(b []byte) (int, error) {
	n, err := transfer(syscall.SYS_READ, s.fd, b)
	if n == 0 && err == nil {
		return 0, io.EOF
	}
	return max(n, 0), err
}

// transfer returns -1 if the call would block.
func transfer(call uintptr, fd int, b []byte) (int, error) {
	n, _, errno := syscall.RawSyscall(call, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	switch errno {
	case 0:
		return int(n), nil
	case syscall.EAGAIN:
		return -1, nil
	default:
		return 0, errno
	}
}
