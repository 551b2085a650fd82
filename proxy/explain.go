package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"

	"github.com/valyala/fasthttp"

	"wswarden/config"
	"wswarden/policies"
)

// Expected is what a handshake would meet, as far as its head decides that.
type Expected struct {
	// Request as it is compared with a policy's match.
	policies.Request
	// Plain: it is no handshake, but a request that goes upstream under no policy.
	Plain bool
	// Status of the answer, and the Reason for it. Zero: the handshake would go on to
	// the policy's rates and limits, and then to upstream.
	Status int
	Reason string
	// Policy that it falls under; nil: none, or it is refused before one is sought.
	Policy *policies.Policy
	// OwnHosts are those from which an Origin is always admitted.
	OwnHosts []string
	// OriginAdmitted by the policy; true without an Origin.
	OriginAdmitted bool
	// Identity as logs know it; empty if none is found.
	Identity string
	// IdentityDoubtful: upstream could find another one than wswarden does.
	IdentityDoubtful bool
}

// Expect tells what a handshake would meet under a valid configuration, by its head,
// the address from which it comes, and the name of the listener that it comes by.
func Expect(c *config.Config, head []byte, from netip.Addr, listener string) (e Expected) {
	var server fasthttp.Server
	configureServer(&server)
	var ctx fasthttp.RequestCtx
	ctx.Init(&fasthttp.Request{}, net.TCPAddrFromAddrPort(netip.AddrPortFrom(from, 0)), nil)
	if server.DisableHeaderNamesNormalizing {
		ctx.Request.Header.DisableNormalizing()
	}
	refused := func(err error) Expected {
		why := malformed("malformed head") // as fasthttp answers
		errors.As(err, &why)
		e.Status, e.Reason = why.status, why.reason
		return e
	}
	if err := ctx.Request.Header.Read(bufio.NewReaderSize(bytes.NewReader(head), server.ReadBufferSize)); err != nil {
		return refused(err)
	}
	e.Host, e.Path = string(ctx.Host()), string(ctx.Path())
	handshake := isHandshake(&ctx.Request.Header)
	checked, err := checkRequestHead(&ctx.Request.Header, handshake)
	if err != nil {
		return refused(err)
	}
	if !handshake {
		e.Plain = true
		return e
	}
	wish, err := readWish(&ctx.Request.Header)
	if err != nil {
		return refused(err)
	}
	peer := newPeer(&ctx, c.TrustedProxies)
	e.Request = *requestOf(&ctx, &checked, peer, &wish)
	e.Listener = listener
	selected := matching(c, &e.Request)
	if selected < 0 {
		return refused(errNoPolicy)
	}
	e.Policy = &c.Policies[selected]

	e.OwnHosts = checked.hosts(peer)
	e.OriginAdmitted = e.Policy.Origins.Admits(e.Origin, e.OwnHosts...)
	rule := e.Policy.Connections.Identity
	_, identified := identityOf(&ctx, &checked, peer, &rule)
	rule.Required = false
	id, certain := identityOf(&ctx, &checked, peer, &rule)
	e.Identity, e.IdentityDoubtful = (&admission{identity: id}).identityText(), !certain
	switch {
	case !e.OriginAdmitted && !e.Policy.Observes(e.Policy.Origins.Mode):
		e.Status, e.Reason = policies.RefusedOrigin.Status(), policies.RefusedOrigin.Reason()
	case !identified && rule.From != policies.FromCertificate && !e.Policy.Observes(e.Policy.Connections.Mode):
		e.Status, e.Reason = policies.RefusedIdentity.Status(), policies.RefusedIdentity.Reason()
	}
	return e
}
