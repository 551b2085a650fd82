//go:build !linux

package proxy

import (
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
)

// tuneSocket does the least: these systems are for development.
func tuneSocket(fd int, _ *config.Config, _ time.Duration) error {
	return unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
}

const keepIdle, keepInterval time.Duration = 0, 0

func userTimeout(*config.Config) time.Duration { return 0 }

func setUserTimeout(int, *config.Config) error { return nil }

func spreadKeepIdle() time.Duration { return keepIdle }

func (c *clientConn) writeLast([]byte) int { return 0 }
