package proxy

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"

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

// identityOf finds the identity of a handshake. Not ok: there is none, although
// one is required, or more than one: upstream could take another one for it than
// wswarden does, and a limit that can be talked around is none.
func identityOf(ctx *fasthttp.RequestCtx, rule *policies.Identity) (id identity, ok bool) {
	var text []byte
	several := false
	found := func(value []byte) {
		several = several || len(text) > 0 && len(value) > 0 && !bytes.Equal(text, value)
		if len(value) > 0 {
			text = value
		}
	}
	switch rule.From {
	case policies.FromQuery:
		for name, value := range ctx.QueryArgs().All() {
			if string(name) == rule.Name {
				found(value)
			}
		}
	case policies.FromHeader:
		eachHeader(&ctx.Request.Header, rule.Name, found)
	case policies.FromCookie:
		eachHeader(&ctx.Request.Header, fasthttp.HeaderCookie, func(line []byte) {
			for pair := range bytes.SplitSeq(line, []byte(";")) {
				name, value, _ := bytes.Cut(bytes.Trim(pair, " \t"), []byte("="))
				if string(name) == rule.Name {
					found(value)
				}
			}
		})
	}
	if several || rule.Required && len(text) == 0 {
		return identity{}, false
	}
	return newIdentity(text), true
}

// eachHeader calls found with the value of every header line of that name.
func eachHeader(h *fasthttp.RequestHeader, name string, found func(value []byte)) {
	for rest := h.RawHeaders(); len(rest) > 2; {
		line, n, value := cutLine(rest)
		rest = rest[len(line):]
		if equalFold(n, name) {
			found(value)
		}
	}
}
