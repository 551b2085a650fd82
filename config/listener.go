package config

import (
	"path/filepath"
	"strings"
)

// Listener is one address to serve on.
type Listener struct {
	// Address is host:port, without a host for every interface and with port 0 for any
	// free one; unix:/path of a socket that is made there; or systemd:name of a socket
	// that systemd passes on.
	Address string `mapstructure:"address"`
	// Name by which a policy's match.listener knows it. Listeners may share one. Empty:
	// Address.
	Name string `mapstructure:"name"`
	// Mode of a unix socket's file, in four octal digits. Empty: 0660. Owner and Group of
	// it, by name or number. Empty: those of the process.
	Mode  string `mapstructure:"mode"`
	Owner string `mapstructure:"owner"`
	Group string `mapstructure:"group"`
	// TLS is on where it has a certificate.
	TLS ListenerTLS `mapstructure:"tls"`
	// ProxyProtocol: every connection begins with a PROXY header, version 1 or 2, which
	// says who the client is. Only trusted_proxies may connect, or who uses a unix
	// socket.
	ProxyProtocol bool `mapstructure:"proxy_protocol"`
}

// Known returns the name that a policy's match.listener knows the listener by.
func (l Listener) Known() string {
	if l.Name != "" {
		return l.Name
	}
	return l.Address
}

// Network returns what to listen on, as net.Listen has it: tcp and host:port, or unix and
// a path; or systemd and the name of what it passes on.
func (l Listener) Network() (network, address string) {
	for _, network := range []string{"unix", "systemd"} {
		if rest, ok := strings.CutPrefix(l.Address, network+":"); ok {
			return network, rest
		}
	}
	return "tcp", l.Address
}

func (l Listener) socket() socket { return socketOf(l.Network()) }

// socket is what can be listened on or connected to, in one of its spellings.
type socket struct{ network, address string }

func socketOf(network, address string) socket {
	switch network {
	case "unix":
		if path, err := filepath.Abs(address); err == nil {
			address = path
		}
	case "tcp":
		address = strings.ToLower(address)
	}
	return socket{network, address}
}

// ListenerTLS says who a listener is, and who its clients have to be. The files are in
// PEM and are read again when they change.
type ListenerTLS struct {
	// Cert is a file with the certificate and those between it and its root. Empty: the
	// listener is without TLS.
	Cert string `mapstructure:"cert"`
	// Key is a file with the certificate's private key.
	Key string `mapstructure:"key"`
	// ClientCA is a file with the roots of clients' certificates. Empty: clients are not
	// asked for one.
	ClientCA string `mapstructure:"client_ca"`
	// ClientAuth is require, or optional for clients with a valid certificate and those
	// without any. It matters with ClientCA only. Empty: require.
	ClientAuth string `mapstructure:"client_auth"`
	// MinVersion is 1.2 or 1.3. Empty: 1.2.
	MinVersion string `mapstructure:"min_version"`
}

// On reports whether the listener has TLS.
func (t ListenerTLS) On() bool { return t.Cert != "" }

// Words of the keys of listeners and upstream.
const (
	AuthRequire  = "require"
	AuthOptional = "optional"

	TLS12 = "1.2"
	TLS13 = "1.3"

	ProxyV1 = "v1"
	ProxyV2 = "v2"

	StickyHeader = "header"
	StickyCookie = "cookie"
	StickyQuery  = "query"
)

func defaultListener() Listener {
	return Listener{Address: "127.0.0.1:8080", TLS: ListenerTLS{ClientAuth: AuthRequire, MinVersion: TLS12}}
}
