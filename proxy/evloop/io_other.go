//go:build unix && !linux

package evloop

import (
	"errors"

	"golang.org/x/sys/unix"
)

func newPoller() (poller, error) { return newPollPoller() }

func receive(fd int, p []byte) (int, unix.Errno) { return transfer(unix.Read, fd, p) }

func send(fd int, p []byte) (int, unix.Errno) { return transfer(unix.Write, fd, p) }

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
