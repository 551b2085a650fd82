package config

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// maxPath is how many bytes the path of a unix socket may have: that of Linux, less the
// one that ends it.
const maxPath = 107

func (v *validator) listeners(c *Config) {
	if len(c.Listeners) == 0 {
		v.wrong("listeners", "is empty; add an address, or remove the key for the default")
	}
	seen := map[socket]int{}
	for i, l := range c.Listeners {
		key := fmt.Sprintf("listeners[%d]", i)
		anyPort := v.listenAddress(key+".address", l)
		if first, twice := seen[l.socket()]; twice && !anyPort {
			v.wrong(key+".address", "%s is %s already; remove one", l.Address, v.item("listeners", first))
		} else {
			seen[l.socket()] = i
		}
		v.socketFile(key, l)
		v.listenerTLS(key+".tls", l.TLS)
		if network, _ := l.Network(); network == "tcp" && l.ProxyProtocol && len(c.TrustedProxies) == 0 && !v.follows(key+".address", "trusted_proxies") {
			v.wrong(key+".proxy_protocol", "%v would refuse everybody, as nobody is in trusted_proxies; write the networks of those in front there, or remove it", l.ProxyProtocol)
		}
	}
}

// systemdName is what systemd takes for FileDescriptorName=.
var systemdName = regexp.MustCompile(`^[ -9;-~]{1,255}$`)

func (v *validator) listenAddress(key string, l Listener) (anyPort bool) {
	switch network, address := l.Network(); network {
	case "unix":
		v.socketPath(key, l.Address, address)
	case "systemd":
		if !systemdName.MatchString(address) {
			v.wrong(key, "%s names no socket of systemd's; write its FileDescriptorName=, such as systemd:wswarden", plain(l.Address))
		}
	default:
		_, port := v.address(key, address, "127.0.0.1:8080, or unix:/path")
		return port == 0
	}
	return false
}

// socketPath checks the path of a unix socket, which is behind unix: in text.
func (v *validator) socketPath(key, text, path string) {
	wrong := ""
	switch {
	case path == "" || strings.HasSuffix(path, "/"):
		wrong = "names no socket; write one such as unix:/run/wswarden.sock"
	case len(path) > maxPath:
		wrong = fmt.Sprintf("is too long, as the path of a socket may have %d bytes; write a shorter one", maxPath)
	case path[0] == '@' || strings.Contains(path, "\x00"):
		wrong = "is in no file system; write a path such as unix:/run/wswarden.sock"
	default:
		return
	}
	v.wrong(key, "%s %s", plain(text), public(wrong))
}

// usualMode is that of a socket's file of which nothing is said.
const usualMode = "0660"

var modes = regexp.MustCompile(`^0[0-7]{3}$`)

// socketFile checks what is said of the file of a unix socket.
func (v *validator) socketFile(key string, l Listener) {
	network, _ := l.Network()
	for _, part := range []struct{ name, value string }{{"mode", l.Mode}, {"owner", l.Owner}, {"group", l.Group}} {
		switch {
		case part.value == "":
		case network != "unix" && !v.problems.cover(key+".address"):
			v.wrong(key+"."+part.name, "%s has no effect, as there is no file of a socket; write an address such as unix:/run/wswarden.sock, or remove it", plain(part.value))
		case part.name == "mode" && !modes.MatchString(part.value):
			v.wrong(key+".mode", "%s is not a mode; write four octal digits from 0000 to 0777, such as %s", plain(part.value), public(usualMode))
		case part.name != "mode" && strings.ContainsAny(part.value, ":/ \t\n"):
			v.wrong(key+"."+part.name, "%s is neither a name nor a number; write one such as www-data", plain(part.value))
		}
	}
}

func (v *validator) listenerTLS(key string, t ListenerTLS) {
	alone := t.Cert == "" && !v.problems.cover(key+".cert")
	if alone && t.Key != "" {
		v.wrong(key+".key", "%s has no effect without cert; write the file with its certificate, or remove it", plain(t.Key))
	}
	if alone && t.ClientCA != "" {
		v.wrong(key+".client_ca", "%s has no effect without cert, as only TLS has clients' certificates; write cert and key, or remove it", plain(t.ClientCA))
	}
	if t.Cert != "" {
		v.missingKey(key, t.Key)
		v.unusable(key, t.read().unusable)
	}
}

// missingKey checks that a certificate in the section has one.
func (v *validator) missingKey(section, file string) {
	if file == "" {
		v.wrong(section+".key", "is missing; write the file with the key of the certificate, which may be the same")
	}
}

// unusable tells of files of the section.
func (v *validator) unusable(section string, files []tlsFile) {
	for _, f := range files {
		v.wrong(section+"."+f.key, "%s %s", plain(f.name), public(f.wrong))
	}
}

// listenerOf checks a name in a policy's match.
func (v *validator) listenerOf(key, name string, listeners []Listener) {
	var names []string
	for i, l := range listeners {
		part := "name"
		if l.Name == "" {
			part = "address"
		}
		if l.Known() == name {
			return
		}
		names = append(names, string(v.other(fmt.Sprintf("listeners[%d].%s", i, part), l.Known())))
		if l.Address == name {
			v.wrong(key, "%s has a name; write that, %s", plain(name), public(plain(names[i])))
			return
		}
	}
	slices.Sort(names)
	v.wrong(key, "%s is not the name of a listener, nor the address of one without a name; %s", plain(name), public(suggest(name, slices.Compact(names))))
}
