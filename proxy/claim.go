package proxy

import (
	"context"
	"errors"
	"slices"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/quota"
	"wswarden/proxy/wsframe"
)

// claim is what a session holds under the identity that its client has told by a
// message. The message, and all that the client sends behind it, waits until the
// seat is there, so that upstream never has two of the identity.
type claim struct {
	admission  *admission
	identity   identity
	lease      *quota.Lease
	superseded bool // before it was of any use

	// The message that waits.
	opcode  wsframe.Opcode
	message []byte
}

// claims reports whether a record's identity has to be claimed before it passes.
func (s *session) claims(r *dialects.Record) (id identity, claims bool) {
	c := &s.policy.Connections
	if c.Identity.From != policies.FromMessage || !r.Identity.Usable() {
		return id, false
	}
	w := s.worker
	w.text = r.Identity.AppendText(w.text[:0])
	id = newIdentity(w.text)
	held := s.admission.identified
	if !id.known() || held != nil && held.identity == id {
		return id, false
	}
	if c.PerIdentity == 0 {
		if held != nil { // of a limit that there was
			w.server.store.Give(held.lease)
		}
		s.admission.identified = &claim{admission: s.admission, identity: id}
		return id, false
	}
	return id, true
}

// claim asks for a seat under the identity of r, and holds back r and what is left
// of the message in the worker's reader.
func (s *session) claim(id identity, r *dialects.Record, opcode wsframe.Opcode) judgement {
	w, a := s.worker, s.admission
	rest := [][]byte{slices.Clone(r.Text)}
	for r := w.reader.Next(); r != nil; r = w.reader.Next() {
		rest = append(rest, slices.Clone(r.Text))
	}
	if err := w.reader.Err(); err != nil {
		return s.cutShort(opcode, end(policies.ProtocolError, 0, err.Error()))
	}
	c := &claim{admission: a, identity: id, opcode: opcode, message: s.subscribed.dialect.AppendMessage(nil, rest)}
	s.flushRecords(opcode)
	s.waiting = true
	limit := a.kind.identityLimit(id)
	store, evict := w.server.store, s.policy.Connections.OnExcess == policies.ExcessEvictOldest
	ctx, cancel := context.WithCancel(context.Background())
	a.unclaim = cancel
	go func() {
		defer cancel()
		var err error
		c.lease, err = store.Admit(ctx, c, []quota.Limit{limit}, evict)
		if c.lease.TookOver() {
			time.Sleep(digestion)
		}
		if w.loop.Do(func() { s.claimed(c, err) }) != nil {
			store.Give(c.lease)
		}
	}()
	return judgement{ahead: w.frames}
}

// countIn has the session take a seat under an identity that its client tells in a
// message which passes meanwhile: nothing is refused, or the message cannot wait. Then it
// ends if there is no seat.
func (s *session) countIn(id identity) {
	w, a := s.worker, s.admission
	store, before, c := w.server.store, a.identified, &claim{admission: a, identity: id}
	a.identified = c
	if before != nil {
		store.Give(before.lease)
		before.lease = nil
	}
	limits := []quota.Limit{a.kind.identityLimit(id)}
	rule := s.policy.Connections
	observes, evict := s.policy.Observes(rule.Mode), rule.OnExcess == policies.ExcessEvictOldest
	action := actionEnd
	if evict {
		action = actionEvict
	}
	go func() {
		var lease *quota.Lease
		var err error
		if observes {
			lease = store.Seat(c, limits)
		} else {
			lease, err = store.Admit(context.Background(), c, limits, evict)
		}
		seated := func() {
			if s.cause != policies.NoCause || a.identified != c || c.lease != nil {
				store.Give(lease)
				return
			}
			if c.lease = lease; err != nil {
				s.unclaimed(err)
				return
			}
			a.met.among(policies.RefusedPerIdentity, lease.Among(0))
			if observes && lease.Exceeds(0) {
				s.wouldHit(policies.LimitConnectionsPerIdentity, action, policies.ConnectionLimit)
			}
		}
		if w.loop.Do(seated) != nil {
			store.Give(lease)
		}
	}()
}

// claimed has the message pass that waited for a seat, or ends the session.
func (s *session) claimed(c *claim, err error) {
	store := s.worker.server.store
	s.waiting, s.admission.unclaim = false, nil
	if s.cause != policies.NoCause || s.finishing || c.superseded {
		store.Give(c.lease)
		if c.superseded {
			s.superseded()
		}
		s.client.again()
		return
	}
	switch {
	case err != nil && s.policy.Observes(s.policy.Connections.Mode): // by now
		c.lease = nil
	case err != nil:
		s.admission.identity = c.identity
		s.unclaimed(err)
		return
	}
	if before := s.admission.identified; before != nil {
		store.Give(before.lease)
	}
	s.admission.identified = c
	d := &s.client
	judged := s.judge(c.opcode, false, c.message)
	d.carryOut(judged)
	if judged.asItIs {
		d.pass(wsframe.Append(nil, wsframe.Client, c.opcode, newMask(), c.message))
	}
	c.message = nil
	d.socket.Again()
}

// unclaimed ends a session that cannot have a seat under its identity.
func (s *session) unclaimed(err error) {
	verdict := policies.Verdict{Cause: policies.ConnectionLimit, Code: s.policy.Connections.CloseCode}
	var full *quota.FullError
	switch {
	case errors.Is(err, quota.ErrSuperseded):
		verdict.Cause = policies.Superseded
	case errors.As(err, &full):
		s.hit(policies.LimitConnectionsPerIdentity)
	default:
		verdict.Code = policies.CodeTryAgainLater
	}
	s.end(verdict, refusalOf(err, []policies.Refusal{policies.RefusedPerIdentity}).Reason())
}

// Superseded is called by the store when a newer session has got the seat.
func (c *claim) Superseded() {
	a := c.admission
	_ = a.worker.loop.Do(func() {
		c.superseded = true
		if a.identified == c {
			a.session.superseded()
		}
	})
}

// digestion is the time that upstream has for the end of a session before it gets
// the message of the one that comes after: its event loop may need another turn for
// the first, and none for the second.
const digestion = 10 * time.Millisecond

// supersededPatience bounds how long the newer session waits for the older one's
// message under way.
const supersededPatience = 50 * time.Millisecond

// superseded ends the session for a newer one, which waits for upstream to be
// released.
func (s *session) superseded() {
	if s.cause != policies.NoCause {
		return
	}
	wish, by := s.wish, s.worker.loop.Now()+min(s.policy.Release.Grace, supersededPatience)
	if s.finishing { // for a cause that came first
		by = min(by, s.deadline)
	} else {
		wish = policies.Verdict{Cause: policies.Superseded, Code: s.policy.Connections.CloseCode}
	}
	s.finish(wish, by)
}
