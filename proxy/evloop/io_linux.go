package evloop

import (
	"encoding/binary"
	"net/netip"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// None of these calls can block, so they pass Go's scheduler by: telling it of
// each costs more than a tenth of a relayed message. (syscall and not unix makes
// them, as it is one jump less.)

func receive(fd int, p []byte) (int, unix.Errno) {
	return transfer(unix.SYS_RECVFROM, fd, p)
}

func send(fd int, p []byte) (int, unix.Errno) {
	return transfer(unix.SYS_SENDTO, fd, p)
}

func transfer(trap uintptr, fd int, p []byte) (int, unix.Errno) {
	for {
		n, _, errno := syscall.RawSyscall6(trap, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)),
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

func closeDescriptor(fd int) { _, _, _ = syscall.RawSyscall(unix.SYS_CLOSE, uintptr(fd), 0, 0) }

// dial returns a non-blocking TCP socket that is being connected.
func dial(address netip.AddrPort, prepare func(fd int) error) (int, error) {
	family := unix.AF_INET6
	if address.Addr().Unmap().Is4() {
		family = unix.AF_INET
	}
	fd, err := unix.Socket(family, unix.SOCK_STREAM|unix.SOCK_NONBLOCK|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return -1, err
	}
	if err := prepare(fd); err != nil {
		closeDescriptor(fd)
		return -1, err
	}
	if errno := connect(fd, address); errno != 0 && errno != unix.EINPROGRESS {
		closeDescriptor(fd)
		return -1, errno
	}
	return fd, nil
}

func connect(fd int, address netip.AddrPort) unix.Errno {
	var port [2]byte
	binary.BigEndian.PutUint16(port[:], address.Port())
	var name unsafe.Pointer
	var size uintptr
	if addr := address.Addr().Unmap(); addr.Is4() {
		sa := unix.RawSockaddrInet4{Family: unix.AF_INET, Port: binary.NativeEndian.Uint16(port[:]), Addr: addr.As4()}
		name, size = unsafe.Pointer(&sa), unix.SizeofSockaddrInet4
	} else {
		sa := unix.RawSockaddrInet6{Family: unix.AF_INET6, Port: binary.NativeEndian.Uint16(port[:]), Addr: addr.As16()}
		name, size = unsafe.Pointer(&sa), unix.SizeofSockaddrInet6
	}
	_, _, errno := syscall.RawSyscall(unix.SYS_CONNECT, uintptr(fd), uintptr(name), size)
	return errno
}
