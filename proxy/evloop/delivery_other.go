//go:build unix && !linux

package evloop

// Outstanding returns how many of the bytes written to a TCP socket the peer's
// system has not acknowledged, and, if there are any, how many it has. This
// system cannot tell.
func (s *Socket) Outstanding() (bytes, acknowledged uint64) { return 0, 0 }
