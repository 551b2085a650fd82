package evloop

import (
	"os"

	"golang.org/x/sys/unix"
)

// ConnectUnix connects a new socket s to the unix socket at path. unix.EAGAIN: who
// listens there has as many waiting as it takes; it can be tried again.
func (l *Loop) ConnectUnix(s *Socket, path string, handler Handler) error {
	fd, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return os.NewSyscallError("socket", err)
	}
	unix.CloseOnExec(fd)
	if err = unix.SetNonblock(fd, true); err == nil {
		err = unix.Connect(fd, &unix.SockaddrUnix{Name: path})
	}
	if err == nil {
		err = l.Add(s, fd, handler)
	}
	if err != nil {
		closeDescriptor(fd)
		return os.NewSyscallError("connect", err)
	}
	return nil
}
