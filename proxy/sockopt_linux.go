package proxy

import (
	"errors"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
)

// unsentLimit bounds the bytes that the system keeps for a peer beside those on
// their way. More would only delay pings and close frames, and hide a peer that
// takes nothing.
const unsentLimit = 128 << 10

// tuneSocket returns the options that every socket gets before it is connected.
// Accepted sockets inherit them from their listener, which saves calls.
func tuneSocket(cfg *config.Config) func(network, address string, c syscall.RawConn) error {
	userTimeout := userTimeout(cfg)
	return func(_, _ string, c syscall.RawConn) error {
		var err error
		set := func(fd, level, option, value int) {
			err = errors.Join(err, unix.SetsockoptInt(fd, level, option, value))
		}
		controlErr := c.Control(func(p uintptr) {
			fd := int(p)
			set(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1)
			set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, 30)
			set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, 10)
			set(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3)
			set(fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit)
			if userTimeout > 0 {
				set(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout/time.Millisecond))
			}
		})
		return errors.Join(controlErr, err)
	}
}

// userTimeout is after how long the system gives up a peer that acknowledges
// nothing (RFC 5482). It comes after the policies' stall, which ends such
// sessions in a better way, and is off where a policy has that off.
func userTimeout(cfg *config.Config) (longest time.Duration) {
	for _, p := range cfg.Policies {
		if p.Stall.Timeout <= 0 {
			return 0
		}
		longest = max(longest, p.Stall.Timeout)
	}
	return longest + 10*time.Second
}
