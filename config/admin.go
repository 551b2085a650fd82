package config

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

const (
	// leastToken is what nobody guesses: 16 bytes of base64 are 96 bits.
	leastToken = 16
	// mostToken is more than any tool makes, and less than what a request's
	// headers may have.
	mostToken = 4 << 10
)

// Admin is the listener for operators.
type Admin struct {
	// Address is host:port. Whatever is not on a loopback interface needs a token.
	// Empty: off.
	Address string `mapstructure:"address"`
	// TokenFile holds the token that requests have to carry. Empty: none is needed.
	TokenFile string `mapstructure:"token_file"`
	// Hosts are names, without port and in any case, by which requests may call the
	// listener, beside localhost, addresses and the host of Address.
	Hosts []string `mapstructure:"hosts"`
}

// Token reads the token; empty if there is no TokenFile. The error names the file and
// says what to do; it never shows what is in it. A valid Config's token has been read
// once already, but the file may have changed since.
func (a Admin) Token() (string, error) {
	if a.TokenFile == "" {
		return "", nil
	}
	token, wrong := a.token()
	if wrong != "" {
		return "", fmt.Errorf("%s %s", plain(a.TokenFile), wrong)
	}
	return token, nil
}

// token says what is wrong without the name of the file.
func (a Admin) token() (token, wrong string) {
	text, err := readToken(a.TokenFile)
	if err != nil {
		return "", fmt.Sprintf("cannot be read: %v; name a file that wswarden may read", err)
	}
	token = strings.TrimRight(string(text), "\r\n")
	switch {
	case token == "":
		wrong = "is empty"
	case len(token) > mostToken:
		wrong = fmt.Sprintf("is longer than %d bytes", mostToken)
	case strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }):
		wrong = "has a space, a second line or a letter outside of ASCII"
	case len(token) < leastToken:
		wrong = fmt.Sprintf("is shorter than %d bytes", leastToken)
	default:
		return token, ""
	}
	return "", wrong + "; write one line into it, such as openssl rand -hex 32 prints"
}

// readToken reads hardly more than a token may have: it, and its \r\n.
func readToken(name string) ([]byte, error) { return readSmall(name, mostToken+2) }

func (v *validator) admin(c *Config) {
	const key, tokenKey = "admin.address", "admin.token_file"
	a := c.Admin
	for i, host := range a.Hosts {
		v.adminHost(fmt.Sprintf("admin.hosts[%d]", i), host)
	}
	if a.Address == "" {
		return
	}
	host, port := v.address(key, a.Address, "127.0.0.1:9090")
	ip, err := netip.ParseAddr(host)
	loopback := strings.EqualFold(host, "localhost") || err == nil && ip.IsLoopback()
	switch {
	case !loopback && a.TokenFile == "" && !v.problems.cover(tokenKey):
		v.wrong(key, "%s is not on loopback, and without a token whoever reaches it could end sessions; write token_file: and a file with a token, or an address such as 127.0.0.1:9090", plain(a.Address))
	case port != 0 && slices.ContainsFunc(c.Listeners, func(l Listener) bool { return l.Address == a.Address }):
		v.wrong(key, "%s is a listener already; use another port", plain(a.Address))
	}
	if a.TokenFile == "" {
		return
	}
	if _, wrong := a.token(); wrong != "" {
		v.wrong(tokenKey, "%s %s", plain(a.TokenFile), public(wrong))
	}
}

// adminHost checks a name as Host headers have it: in ASCII (RFC 9110 §7.2).
func (v *validator) adminHost(key, host string) {
	name, port, _ := strings.Cut(host, ":")
	switch {
	case port != "" && validPort(port) && isHostName(name):
		v.wrong(key, "%s has a port; write the name alone, %s", plain(host), plain(name))
	case !isHostName(host):
		v.wrong(key, "%s is not the name of a host; write one such as wswarden.internal", plain(host))
	}
}

// isHostName reports whether text may be a host's name, or an IPv4 address. Names in
// other letters come as xn--….
func isHostName(text string) bool {
	return text != "" && !strings.HasPrefix(text, ".") && !strings.Contains(text, "..") &&
		!strings.ContainsFunc(text, func(r rune) bool {
			letter := 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9'
			return !letter && !strings.ContainsRune("-._", r)
		})
}
