package evloop

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// receive and send cannot block, so they pass Go's scheduler by: telling it of
// each call costs more than a tenth of a relayed message.

func receive(fd int, p []byte) (int, unix.Errno) {
	return transfer(unix.SYS_RECVFROM, fd, p)
}

func send(fd int, p []byte) (int, unix.Errno) {
	return transfer(unix.SYS_SENDTO, fd, p)
}

func transfer(trap uintptr, fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
			unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL, 0, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno != 0 {
			return 0, errno
		}
		return int(n), 0
	}
}
