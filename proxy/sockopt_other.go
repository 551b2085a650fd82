//go:build !linux

package proxy

import (
	"golang.org/x/sys/unix"

	"wswarden/config"
)

// tuneSocket does the least: these systems are for development.
func tuneSocket(fd int, _ *config.Config) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

func (c *clientConn) writeLast([]byte) int { return 0 }
