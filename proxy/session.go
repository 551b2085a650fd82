package proxy

import (
	"encoding/binary"
	"math/rand/v2"
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
	"wswarden/proxy/wsframe"
)

// session is one client connection plus its upstream connection. Everything in
// it belongs to its worker's loop.
type session struct {
	client   side
	upstream side

	worker    *worker
	policy    *policies.Policy // its kind's
	admission *admission
	facts     policies.Facts
	needs     needs
	timer     evloop.Timer

	subscribed *subscribed // nil: the application's dialect is not known
	pings      *pings      // nil: the client has sent none
	meter      policies.Meter
	resumeAt   policies.Moment // the client is not read from until then; 0: it is

	// Of the bytes written to the client: up to the end of the last ping, and
	// acknowledged by its system when that was last looked at for the ping.
	pingEnd   uint64
	pingAcked uint64

	looked policies.Moment // when the system was last asked for what it holds

	// How it ends. finishing: the wish is to be carried out as soon as no
	// message is under way, at the latest at the deadline. From the moment that
	// cause is set, the deadline is that of the close handshakes.
	deadline  policies.Moment
	drainAt   policies.Moment // 0: not draining
	finishing bool
	waiting   bool // for a seat under the identity that its client has told
	gone      bool
	failing   bool // its address of upstream's is, which is why it is draining
	// keepsWindow: upstream inflates the client's messages as one stream, although each
	// is compressed alone.
	keepsWindow bool
	wish        policies.Verdict
	cause       policies.Cause
	code        uint16 // in the client's close frame; 0: none
	ending      ending

	tally *tally // with the others of its policy and worker
	place int32  // in worker.sessions
}

// open makes an opening a session. head is the answer for the client, early what
// upstream sent right behind its own.
func (w *worker) open(o *opening, head, early []byte, deflate bool) {
	a := o.admission
	latest := w.server.setup().kind(a.kind.policy.Name)
	moved := latest != nil && latest != a.kind // by a reload meanwhile
	if moved {
		a.kind = latest
	}
	s := &session{worker: w, policy: a.kind.policy, admission: a, keepsWindow: o.keepsWindow}
	a.session = s
	s.client = side{session: s, in: wsframe.NewScanner(wsframe.Client, deflate), context: deflate && !o.clientAlone}
	s.upstream = side{session: s, in: wsframe.NewScanner(wsframe.Server, deflate), context: deflate && !o.upstreamAlone}
	s.read()
	s.tally = s.kind().tally(w)
	s.timer.Owner = s
	s.facts = policies.Facts{Opened: w.loop.Now(), Spread: uint8(rand.Uint32())}
	s.looked = s.facts.Opened
	w.add(s)
	if moved {
		if seating := s.reseat(); seating != nil {
			go seating.take()
		}
	}
	a.address = o.address
	s.admission.trace = s.admission.trace.Opened(time.Now())
	if events := w.server.events; events.watched() {
		events.tell(s.event(api.EventOpened, nil))
	}

	o.upstream.Move(&s.upstream.socket, &s.upstream)
	if err := o.client.add(w.loop, &s.client.socket, &s.client); err != nil {
		s.client.lost(err)
		return
	}
	s.client.out.control, s.client.out.begun = head, &s.client.out.control
	s.client.flush()
	if len(early) > 0 {
		s.upstream.arrived(early, len(early))
		s.upstream.again()
	}
	if len(o.fromClient) > 0 {
		s.client.arrived(o.fromClient, len(o.fromClient))
		s.client.again()
	}
	if latest != nil && latest.leaves() && s.drainAt == policies.Never {
		s.drainAt = w.loop.Now() + spread(w.server.setup().Drain.Spread)
	}
	if s.cause == policies.NoCause {
		s.supervise()
	}
}

// read has messages read as the policy asks for it.
func (s *session) read() {
	limit := s.policy.Messages.MaxBytes
	if s.policy.Observes(s.policy.Messages.Mode) {
		limit = 0
	}
	s.client.in.Limit(limit)
	if s.policy.Reads() && s.client.reading == nil {
		s.client.reading = new(reading)
	}
	dialect := s.kind().dialect
	if dialect == nil {
		return
	}
	if s.subscribed == nil {
		s.subscribed = new(subscribed)
	}
	s.subscribed.dialect = dialect
	if dialect.Reads(dialects.UpstreamToClient) && s.upstream.reading == nil {
		s.upstream.reading = new(reading)
	}
}

// Expired is called by the loop when the session's one timer is due.
func (s *session) Expired() {
	switch {
	case s.cause != policies.NoCause:
		s.giveUp()
	case s.finishing:
		s.end(s.wish, s.ending.reason)
	default:
		s.supervise()
	}
}

// sawClose passes a peer's close frame on as it is: as the beginning of the end,
// or as the answer to the other peer's.
func (s *session) sawClose(d *side, frame []byte) {
	d.heard, d.deaf, d.held = true, true, nil
	if s.cause == policies.NoCause && !s.upstream.socket.Open() { // orphaned: nobody else will answer
		s.end(s.wish, "")
		return
	}
	if s.cause == policies.NoCause {
		cause := policies.UpstreamClose
		if d.isClient() {
			cause = policies.ClientClose
		}
		s.begin(cause)
		s.code = closeCode(frame)
	}
	d.peer().bid(frame)
	s.settle()
}

// sawLoss ends a session that has lost a connection.
func (s *session) sawLoss(d *side) {
	cause := policies.UpstreamLost
	switch {
	case !d.isClient() && s.orphaned():
		return
	case d.isClient() && s.upstream.socket.Open(): // or it was an orphan
		cause = policies.ClientLost
	}
	s.end(policies.Verdict{Cause: cause}, "")
	d.peer().bid(s.closing(d.peer(), s.code, ""))
	s.settle()
}

// violated ends a session in which a peer has sent what it may not.
func (s *session) violated(d *side, err error) {
	d.deaf, d.held = true, nil
	s.ending.byUpstream = !d.isClient()
	verdict := policies.Verdict{Cause: policies.ProtocolError}
	if err == wsframe.ErrTooBig {
		verdict = policies.Verdict{Cause: policies.MessageTooBig, Code: s.policy.Messages.CloseCode}
		s.hit(policies.LimitMessagesMaxBytes)
	}
	s.end(verdict, err.Error())
	d.peer().bid(s.closing(d.peer(), s.code, "")) // it waits for d's close frame
	s.settle()
}

// finish ends the session as soon as no message is under way in either
// direction, at the latest at the deadline. A direction that has come to the
// end of a message is sealed.
func (s *session) finish(wish policies.Verdict, deadline policies.Moment) {
	s.finishing, s.wish, s.deadline = true, wish, deadline
	s.admission.end()
	s.resume()
	s.worker.loop.Set(&s.timer, deadline)
	for _, d := range s.sides() {
		if d.in.MessageBoundary() {
			s.seal(d.peer())
		}
	}
}

// seal relays nothing more to d's peer.
func (s *session) seal(d *side) {
	d.sealed = true
	d.peer().socket.Again()
	if d.peer().sealed {
		s.end(s.wish, s.ending.reason)
	}
}

// end is the only way out of a session: it takes leave of both peers. The first
// call's cause is kept, later ones do nothing. An empty reason is the cause's
// word.
func (s *session) end(verdict policies.Verdict, reason string) {
	if s.cause != policies.NoCause {
		return
	}
	s.begin(verdict.Cause)
	client, upstream := verdict.Cause.Codes()
	if verdict.Code != 0 {
		client = verdict.Code
	}
	switch {
	case verdict.Cause == policies.Drain:
		reason = s.worker.server.setup().Drain.Reason
	case reason == "":
		reason = verdict.Cause.String()
	}
	s.code = client
	s.client.bid(s.closing(&s.client, client, reason))
	s.upstream.bid(s.closing(&s.upstream, upstream, verdict.Cause.String()))
	s.settle()
}

// begin begins the end.
func (s *session) begin(cause policies.Cause) {
	s.cause = cause
	s.ending.at = s.worker.loop.Now()
	if cause == policies.Stalled {
		client := policies.Earlier(s.facts.ClientWaits, s.facts.ClientQueued)
		upstream := policies.Earlier(s.facts.UpstreamWaits, s.facts.UpstreamQueued)
		s.ending.byUpstream = upstream != policies.Never && policies.Earlier(client, upstream) == upstream
	}
	s.admission.end()
	s.resume() // the client's close frame is waited for
	s.deadline = s.worker.loop.Now() + s.policy.Release.Grace
	s.endBy(s.worker.drainDeadline)
	s.goesOn()
}

// endBy has what is left of a session that ends be reset at its deadline, or at another
// one that is earlier.
func (s *session) endBy(at policies.Moment) {
	s.deadline = policies.Earlier(s.deadline, at)
	s.worker.loop.Set(&s.timer, s.deadline)
}

// settle ends the stream towards a peer that has nothing more to hear, and forgets
// the session when both connections are closed.
//
// The server is the first to end it (RFC 6455 §7.1.1): wswarden towards the client,
// upstream towards wswarden, unless it has broken the protocol. The connection is
// closed when the peer has ended its stream too, at the latest at the deadline. If it
// were closed at once, what the peer still sends would be answered by a reset, which
// destroys what is on its way to the peer (RFC 9112 §9.6).
func (s *session) settle() {
	if s.cause == policies.NoCause || s.gone {
		return
	}
	if s.transparent() {
		s.settleObserved()
		return
	}
	for _, d := range s.sides() {
		first := d.isClient() || !d.heard
		if first && d.deaf && d.bidden && d.out.empty() && !d.shut {
			d.shut = true
			_ = d.socket.CloseWrite()
		}
	}
	if !s.upstream.socket.Open() {
		s.letGo(releaseClosed)
		s.admission.leave()
	}
	if !s.client.socket.Open() && !s.upstream.socket.Open() {
		s.forget()
	}
}

// giveUp closes at the deadline what has not been closed by then: politely where
// the close handshake is complete, by a reset otherwise.
func (s *session) giveUp() {
	for _, d := range s.sides() {
		if s.transparent() {
			d.reset()
			continue
		}
		d.bid(s.closing(d, s.code, ""))
		if d.heard && d.out.empty() {
			d.socket.Close()
		} else {
			d.reset()
		}
	}
	s.settle()
}

// forget leaves nothing of the session behind.
func (s *session) forget() {
	s.gone = true
	s.admission.address.Leave()
	s.worker.loop.Cancel(&s.timer)
	s.report()
	s.forgetSubscriptions()
	s.worker.server.ended(s) // first: who sees no session any more finds all counted
	s.worker.remove(s)
}

func (s *session) sides() [2]*side { return [2]*side{&s.client, &s.upstream} }

// closing returns a close frame for a peer. Code 0 is a frame without a code.
func (s *session) closing(d *side, code uint16, reason string) []byte {
	if code == 0 {
		return wsframe.Append(nil, d.sender(), wsframe.Close, newMask(), nil)
	}
	return wsframe.AppendClose(nil, d.sender(), newMask(), code, reason)
}

// closeCode returns the code of a whole close frame; 0 if it has none.
func closeCode(frame []byte) uint16 {
	var buf [wsframe.MaxControlPayload]byte
	payload := wsframe.Payload(&buf, frame)
	if len(payload) < 2 {
		return 0
	}
	return binary.BigEndian.Uint16(payload)
}
