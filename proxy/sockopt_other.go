//go:build !linux

package proxy

import (
	"syscall"

	"wswarden/config"
)

// tuneSocket leaves sockets as they are: these systems are for development.
func tuneSocket(*config.Config) func(network, address string, c syscall.RawConn) error {
	return func(string, string, syscall.RawConn) error { return nil }
}
