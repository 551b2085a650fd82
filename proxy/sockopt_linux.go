package proxy

import (
	"math/rand/v2"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"wswarden/config"
)

// unsentLimit bounds the bytes that the system keeps for a peer beside those on
// their way. More would only delay pings and close frames, and hide a peer that
// takes nothing.
const unsentLimit = 128 << 10

const (
	keepIdle     = 30 * time.Second
	keepInterval = 10 * time.Second
	// keepSpread is by how much longer, by chance, a connection to upstream is silent
	// before it is probed. Thousands of them may have fallen silent at the same moment,
	// and so many probes at once the system drops.
	keepSpread = 30 * time.Second
	// leastUserTimeout has three probes go unanswered before a silent connection is
	// given up: the system does so once it is silent for the user timeout and one probe
	// is unanswered, whatever TCP_KEEPCNT says.
	leastUserTimeout = keepIdle + keepSpread + 3*keepInterval
)

// tuneSocket sets the options that every socket gets before it is connected.
// Accepted sockets inherit them from their listener, which saves calls.
func tuneSocket(fd int, cfg *config.Config, idle time.Duration) error {
	options := [...]struct{ level, option, value int }{
		{unix.IPPROTO_TCP, unix.TCP_NODELAY, 1},
		{unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, unsentLimit},
		{unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout(cfg) / time.Millisecond)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(idle / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepInterval / time.Second)},
		{unix.IPPROTO_TCP, unix.TCP_KEEPCNT, 3},
		{unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1},
	}
	for _, o := range options {
		if err := unix.SetsockoptInt(fd, o.level, o.option, o.value); err != nil {
			return os.NewSyscallError("setsockopt", err)
		}
	}
	return nil
}

// setUserTimeout sets the only option that depends on the configuration.
func setUserTimeout(fd int, cfg *config.Config) error {
	err := unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(userTimeout(cfg)/time.Millisecond))
	return os.NewSyscallError("setsockopt", err)
}

// spreadKeepIdle is after how much silence a connection to upstream is probed.
func spreadKeepIdle() time.Duration { return keepIdle + rand.N(keepSpread+1) }

// userTimeout is after how long the system gives up a peer that acknowledges
// nothing (RFC 5482). It comes after the policies' stall, which ends such
// sessions in a better way. Zero, where a policy has that off, or only observes: the
// system's own.
func userTimeout(cfg *config.Config) (longest time.Duration) {
	for _, p := range cfg.Policies {
		if p.Stall.Timeout <= 0 || p.Observes(p.Stall.Mode) {
			return 0
		}
		longest = max(longest, p.Stall.Timeout)
	}
	return max(longest+10*time.Second, leastUserTimeout)
}

// writeLast writes what it can, to leave with what follows: a packet less is a fifth
// of what it costs to refuse a handshake.
func (c *clientConn) writeLast(b []byte) (n int) {
	if raw, err := c.SyscallConn(); err == nil {
		_ = raw.Write(func(fd uintptr) bool {
			n, err = unix.SendmsgN(int(fd), b, nil, nil, unix.MSG_MORE|unix.MSG_NOSIGNAL)
			return true
		})
	}
	return max(n, 0)
}
