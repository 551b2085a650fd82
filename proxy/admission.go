package proxy

import (
	"context"
	"encoding/hex"
	"errors"
	"math"
	"math/rand/v2"
	"net/netip"
	"net/url"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/proxy/evloop"
	"wswarden/proxy/quota"
	"wswarden/proxy/tracing"
	"wswarden/proxy/upstreams"
)

// admission is a client's right to a session, from its handshake until upstream
// has let go of it. But for what it is made with, it belongs to its worker's loop.
type admission struct {
	kind   *kind
	worker *worker
	id     uint64     // the session's
	client netip.Addr // as far as it can be believed

	identity   identity
	lease      *quota.Lease // nil: nothing is limited
	identified *claim       // by a message; nil: not yet, or of no matter
	unclaim    func()       // has a claim that waits for its seat wait no longer; nil: there is none

	trace *tracing.Trace // nil: it is not traced

	met    met
	spared []string // the rules that have told already what they would have done

	address *upstreams.Address // of upstream's, that its session is connected to

	// Who holds it now.
	opening    *opening
	session    *session
	superseded bool

	passing atomic.Bool // see passes
}

// notAdmitted is why a policy refuses a handshake.
type notAdmitted struct {
	kind  *kind
	why   policies.Refusal
	after time.Duration // when it may be asked again; 0: it is not known
	// The origin that is not allowed, and the host that it was to be, with
	// RefusedOrigin.
	origin, host string
}

func (e *notAdmitted) Error() string { return e.why.Reason() }

// admission asks a policy whether a client may have a session. It may wait for
// another one's end. The error is a *notAdmitted.
func (s *Server) admission(ctx *fasthttp.RequestCtx, setup *setup, k *kind, head *requestHead, wish *wish, from peer) (*admission, error) {
	p, refused := k.policy, &notAdmitted{kind: k}
	a := &admission{
		kind:   k,
		worker: s.workers[s.next.Add(1)%uint32(len(s.workers))],
		id:     rand.Uint64(),
		client: head.clientAddress(from, setup.TrustedProxies),
	}
	// refuses reports whether it is over, for a reason that a rule of that mode has.
	refuses := func(why policies.Refusal, mode policies.Mode) bool {
		if p.Observes(mode) {
			a.wouldTurnAway(why)
			return false
		}
		refused.why = why
		return true
	}
	if s.pressed().Full() {
		refused.why = policies.RefusedPressure
		return a, refused
	}
	if len(wish.origin) > 0 && !p.Origins.Admits(string(wish.origin), head.hosts(from)...) && refuses(policies.RefusedOrigin, p.Origins.Mode) {
		refused.origin, refused.host = string(wish.origin), string(ctx.Host())
		return a, refused
	}
	if why, after := k.tooOften(a.client); why != policies.NotRefused && refuses(why, p.Handshakes.Mode) {
		refused.after = after
		return a, refused
	}
	var ok bool
	if a.identity, ok = identityOf(ctx, head, from, &p.Connections.Identity); !ok && refuses(policies.RefusedIdentity, p.Connections.Mode) {
		return a, refused
	}
	limits, names := k.limits(a.client, a.identity)
	if len(limits) == 0 {
		return a, nil
	}
	if p.Observes(p.Connections.Mode) {
		a.lease = s.store.Seat(a, limits)
		for i, name := range names {
			if a.lease.Exceeds(i) {
				a.wouldTurnAway(name)
			}
		}
	} else {
		var err error
		if a.lease, err = s.store.Admit(context.Background(), a, limits, p.Connections.OnExcess == policies.ExcessEvictOldest); err != nil {
			refused.why = refusalOf(err, names)
			return a, refused
		}
	}
	for i, name := range names {
		a.met.among(name, a.lease.Among(i))
	}
	return a, nil
}

// tooOften counts a handshake, and reports whether there were too many.
func (k *kind) tooOften(client netip.Addr) (policies.Refusal, time.Duration) {
	now := evloop.Now()
	if k.perIP != nil && client.IsValid() {
		if wait := k.perIP.Take(quota.AddressKey(client), now); wait > 0 {
			return policies.RefusedIPRate, wait
		}
	}
	if k.total != nil {
		if wait := k.total.Take(0, now); wait > 0 {
			if k.perIP != nil && client.IsValid() {
				k.perIP.Return(quota.AddressKey(client)) // it comes back as it is told to
			}
			return policies.RefusedTotalRate, wait
		}
	}
	return policies.NotRefused, 0
}

// limits returns the limits that a handshake falls under, and what it is to be
// refused for when one of them is reached. The narrowest comes first: who goes
// for its sake makes room under the others as well.
func (k *kind) limits(client netip.Addr, id identity) (limits []quota.Limit, names []policies.Refusal) {
	c := &k.policy.Connections
	add := func(limit quota.Limit, name policies.Refusal) {
		limits, names = append(limits, limit), append(names, name)
	}
	if c.PerIdentity > 0 && c.Identity.From != policies.FromMessage && id.known() {
		add(k.identityLimit(id), policies.RefusedPerIdentity)
	}
	if c.PerIP > 0 && client.IsValid() {
		add(quota.Limit{Key: k.limitPrefix + "ip:" + quota.Group(client).String(), Max: c.PerIP}, policies.RefusedPerIP)
	}
	if c.Max > 0 {
		add(quota.Limit{Key: k.limitPrefix + "all", Max: c.Max}, policies.RefusedMax)
	}
	return limits, names
}

func (k *kind) identityLimit(id identity) quota.Limit {
	return quota.Limit{Key: k.limitPrefix + "identity:" + id.key(), Max: k.policy.Connections.PerIdentity}
}

// limitPrefix begins the keys of a policy's limits. What is in braces decides
// where a Redis Cluster keeps them: in one place.
func limitPrefix(policy string) string { return "{" + url.PathEscape(policy) + "}" }

// refusalOf says what an error of the store means for one who asked for limits.
func refusalOf(err error, names []policies.Refusal) policies.Refusal {
	var full *quota.FullError
	switch {
	case errors.As(err, &full):
		return names[full.Index]
	case errors.Is(err, quota.ErrTakeover):
		return policies.RefusedTakeover
	case errors.Is(err, quota.ErrSuperseded):
		return policies.RefusedSuperseded
	default:
		return policies.RefusedStore
	}
}

// Superseded is called by the store when a newer session has got the seat.
func (a *admission) Superseded() {
	_ = a.worker.loop.Do(func() {
		a.superseded = true
		switch {
		case a.session != nil:
			a.session.superseded()
		case a.opening != nil:
			a.opening.superseded()
		}
	})
}

// end tells that the session is about to end: it keeps nobody out any more.
func (a *admission) end() {
	if a.unclaim != nil {
		a.unclaim()
	}
	a.worker.server.store.End(a.lease)
	if a.identified != nil {
		a.worker.server.store.End(a.identified.lease)
	}
}

// leave gives the seats back: upstream has nothing of the session any more. A
// second call does nothing.
func (a *admission) leave() {
	a.worker.server.store.Give(a.lease)
	if a.identified != nil {
		a.worker.server.store.Give(a.identified.lease)
	}
}

// clientText is the client's address as it stands in logs.
func (a *admission) clientText() string {
	if !a.client.IsValid() {
		return "unix" // by whose socket it came, and nobody said more
	}
	return a.client.String()
}

// identityText is the identity as it stands in logs; empty if there is none.
func (a *admission) identityText() string {
	id := a.identity
	if a.identified != nil {
		id = a.identified.identity
	}
	if !id.known() {
		return ""
	}
	return hex.EncodeToString(id[:8])
}

// Retry-After, where nothing else is known.
const usualWait = 5 * time.Second

// retryAfter returns a number of seconds after which the client may come back:
// not before it is of use, and by chance up to twice that, so that those who were
// refused together do not come together.
func (e *notAdmitted) retryAfter() string {
	wait := e.after
	if wait == 0 {
		wait = usualWait
	}
	return retryWithin(wait)
}

// retryWithin is a Retry-After of wait at least, and twice that at most.
func retryWithin(wait time.Duration) string {
	seconds := math.Ceil(wait.Seconds())
	return strconv.Itoa(int(seconds + math.Round(rand.Float64()*seconds)))
}
