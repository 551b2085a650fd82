package config

import (
	"net"
	"net/url"
	"strings"
	"time"
)

// Upstream is the server that wswarden stands in front of.
type Upstream struct {
	// URL is http://host or https://host, perhaps with a port, or unix:/path of a
	// socket; ws and wss mean the same as http and https. It has no default; it or URLs is
	// needed.
	URL string `mapstructure:"url"`
	// URLs are several such servers, instead of URL: who has the fewest sessions gets the
	// next.
	URLs []string `mapstructure:"urls"`
	// TLS of those with https.
	TLS UpstreamTLS `mapstructure:"tls"`
	// ProxyProtocol is v1 or v2: every connection to upstream begins with a PROXY header
	// that says who the client is. Empty: none does.
	ProxyProtocol string `mapstructure:"proxy_protocol"`
	// DialTimeout for a connection to be made, with TLS where that is to be. It is above
	// zero.
	DialTimeout time.Duration `mapstructure:"dial_timeout"`
	// HandshakeTimeout from the request to the head of its response. It is
	// above zero.
	HandshakeTimeout time.Duration `mapstructure:"handshake_timeout"`
	// Breaker keeps clients from waiting for an address that does not answer.
	Breaker Breaker `mapstructure:"breaker"`
	// Health asks each address whether it is well.
	Health Health `mapstructure:"health"`
	// Sticky has handshakes that carry the same value go to the same address.
	Sticky Sticky `mapstructure:"sticky"`
}

// UpstreamTLS says who upstream has to be, and who wswarden is to it. The files are in
// PEM and are read again when they change.
type UpstreamTLS struct {
	// CA is a file with the roots of upstream's certificate. Empty: the system's.
	CA string `mapstructure:"ca"`
	// Cert and Key are files with a certificate for upstream and its private key. Empty:
	// there is none.
	Cert string `mapstructure:"cert"`
	Key  string `mapstructure:"key"`
	// ServerName that upstream's certificate has to be for. Empty: the host of the URL.
	ServerName string `mapstructure:"server_name"`
}

// Breaker is for each address of upstream's by itself. It counts connections, not what
// is asked over them.
type Breaker struct {
	// Failures in a row to connect after which nobody is sent there. Zero: never.
	Failures int `mapstructure:"failures"`
	// RetryAfter is when one client may try it again. It is above zero.
	RetryAfter time.Duration `mapstructure:"retry_after"`
}

// Health is a request that wswarden makes of its own accord.
type Health struct {
	// Path to ask for, from each address. An answer of 200 to 399 is good. Empty: off.
	Path string `mapstructure:"path"`
	// Interval between two requests, and Timeout for the answer. They are above zero.
	Interval time.Duration `mapstructure:"interval"`
	Timeout  time.Duration `mapstructure:"timeout"`
	// Failures in a row after which an address is down; two good answers in a row and it
	// is up again. It is above zero.
	Failures int `mapstructure:"failures"`
}

// Sticky says where the value is found that decides on the address.
type Sticky struct {
	// From is header, cookie or query. Empty: off.
	From string `mapstructure:"from"`
	// Name of the header, cookie or parameter.
	Name string `mapstructure:"name"`
}

// Servers returns the URLs of all servers, in the configuration's order.
func (u Upstream) Servers() []string {
	if u.URL != "" {
		return []string{u.URL}
	}
	return u.URLs
}

// Server is one server of upstream's.
type Server struct {
	// Network is tcp or unix.
	Network string
	// Address is host:port, or the path of a socket.
	Address string
	// TLS: it is spoken to by TLS.
	TLS bool
}

// ServerOf returns the server of a URL; not ok if it has none.
func ServerOf(text string) (s Server, ok bool) {
	if path, unix := strings.CutPrefix(text, "unix:"); unix {
		return Server{Network: "unix", Address: path}, path != ""
	}
	parsed, err := url.Parse(text)
	if err != nil || parsed.Hostname() == "" {
		return Server{}, false
	}
	s = Server{Network: "tcp", TLS: parsed.Scheme == "https" || parsed.Scheme == "wss"}
	port := parsed.Port()
	switch {
	case port != "":
	case s.TLS:
		port = "443"
	default:
		port = "80"
	}
	s.Address = net.JoinHostPort(parsed.Hostname(), port)
	return s, true
}

func (s Server) socket() socket { return socketOf(s.Network, s.Address) }

func defaultUpstream() Upstream {
	return Upstream{
		DialTimeout:      2 * time.Second,
		HandshakeTimeout: 5 * time.Second,
		Breaker:          Breaker{Failures: 5, RetryAfter: 5 * time.Second},
		Health:           Health{Interval: 10 * time.Second, Timeout: 2 * time.Second, Failures: 3},
	}
}
