package proxy

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net/url"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
)

// identity tells who a session belongs to, without saying who that is: it is a
// hash of what the client has sent, and the same in every replica. The zero
// identity is none.
type identity [16]byte

func newIdentity(text []byte) (id identity) {
	if len(text) > 0 {
		sum := sha256.Sum256(text)
		copy(id[:], sum[:])
	}
	return id
}

func (id identity) known() bool { return id != identity{} }
func (id identity) key() string { return hex.EncodeToString(id[:]) }

// identityOf finds the identity of a handshake, as upstream will. Not ok: there is
// none, although one is required, or upstream could take another one for it than
// wswarden does: a limit that can be talked around is none.
func identityOf(ctx *fasthttp.RequestCtx, head *requestHead, from peer, rule *policies.Identity) (id identity, ok bool) {
	var text []byte
	told, doubtful := false, false
	found := func(value []byte) {
		doubtful = doubtful || told && !bytes.Equal(text, value)
		text, told = value, true
	}
	switch rule.From {
	case policies.FromQuery:
		for name, value := range ctx.QueryArgs().All() {
			rest, ok := bytes.CutPrefix(name, []byte(rule.Name))
			switch {
			case ok && len(rest) == 0:
				found(value)
			case ok && rest[0] == '[': // one of a list, to those who know lists
				doubtful = true
			}
		}
	case policies.FromHeader:
		eachLine(head.header, func(name, value []byte) {
			if sameVariable(name, rule.Name) && head.passes(name, from) {
				found(value)
			}
		})
	case policies.FromCertificate:
		if state := certificateOf(ctx); state != nil {
			found([]byte(certificatePart(state.PeerCertificates[0], rule.Name)))
		}
	case policies.FromCookie:
		eachHeader(head.header, fasthttp.HeaderCookie, func(line []byte) {
			for pair := range bytes.SplitSeq(line, []byte(";")) {
				name, value, ok := bytes.Cut(pair, []byte("="))
				if !ok || string(trimCookie(name)) != rule.Name {
					continue
				}
				value, ok = cookieText(value)
				doubtful = doubtful || !ok
				found(value)
			}
		})
	}
	if doubtful || rule.Required && len(text) == 0 {
		return identity{}, false
	}
	return newIdentity(text), true
}

// certificatePart returns one of policies.CertificateParts of a certificate.
func certificatePart(c *x509.Certificate, part string) string {
	first := func(names []string) string {
		if len(names) == 0 {
			return ""
		}
		return names[0]
	}
	switch part {
	case "common_name":
		return c.Subject.CommonName
	case "dns":
		return first(c.DNSNames)
	case "email":
		return first(c.EmailAddresses)
	case "uri":
		if len(c.URIs) > 0 {
			return c.URIs[0].String()
		}
		return ""
	default:
		return c.Subject.String()
	}
}

// cookieText reads a cookie's value as servers do: RFC 6265 §4.1.1 allows quotes,
// and what is no cookie-octet is escaped as in URLs. Not ok: some read it otherwise.
func cookieText(value []byte) (text []byte, ok bool) {
	value = trimCookie(value)
	if n := len(value); n > 1 && value[0] == '"' && value[n-1] == '"' {
		value = value[1 : n-1]
		if bytes.IndexByte(value, '\\') >= 0 {
			return value, false
		}
	}
	if plain, err := url.PathUnescape(string(value)); err == nil {
		value = []byte(plain)
	}
	return value, true
}

// trimCookie cuts off what some servers take for space, which in their Latin-1 is
// also U+00A0.
func trimCookie(b []byte) []byte {
	space := func(c byte) bool { return c == ' ' || c == '\t' || c == 0xa0 }
	for len(b) > 0 && space(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && space(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

// sameVariable compares names as servers do that make CGI variables of them.
func sameVariable(name []byte, with string) bool {
	fold := func(c byte) byte {
		if 'A' <= c && c <= 'Z' {
			return c + 'a' - 'A'
		} else if c == '_' {
			return '-'
		}
		return c
	}
	if len(name) != len(with) {
		return false
	}
	for i, c := range name {
		if fold(c) != fold(with[i]) {
			return false
		}
	}
	return true
}
