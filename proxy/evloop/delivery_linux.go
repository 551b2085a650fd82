package evloop

import "golang.org/x/sys/unix"

// Outstanding returns how many of the bytes written to a TCP socket the peer's
// system has not acknowledged, and, if there are any, how many it has. A system
// that cannot tell returns zeros.
func (s *Socket) Outstanding() (bytes, acknowledged uint64) {
	if !s.open {
		return 0, 0
	}
	queued, err := unix.IoctlGetInt(int(s.fd), unix.SIOCOUTQ)
	if s.tls != nil {
		queued += len(s.tls.carrier.out)
	}
	if err != nil || queued == 0 {
		return 0, 0
	}
	info, err := unix.GetsockoptTCPInfo(int(s.fd), unix.IPPROTO_TCP, unix.TCP_INFO)
	if err != nil {
		return 0, 0
	}
	return uint64(queued), info.Bytes_acked
}
