package proxy

import (
	"errors"
	"unicode/utf8"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/wsframe"
)

// Where a policy has to understand messages, a client's message is held back
// until all of it has been read, and then passes as it came, or not at all. A
// message that arrives in one piece, as most do, is read where it lies. Upstream's
// messages are never held back: they are read in passing, and so are a client's
// where the policy only observes.

// reading is what a side has of a message that arrives in several pieces.
type reading struct {
	payload    []byte // as on the wire, but unmasked
	opcode     wsframe.Opcode
	compressed bool
	most       int64 // bytes that it may have

	// Where compressed messages may refer to those before them: the end of what these
	// contained. lost: some of them were not read, and none can be any more.
	window []byte
	lost   bool
}

// windowSize is how far back a compressed message may refer (RFC 7692 §7.1.2).
const windowSize = 32 << 10

// keep keeps what messages behind content may refer to.
func (r *reading) keep(content []byte) {
	if over := len(r.window) + len(content) - windowSize; over > 0 {
		r.window = append(r.window[:0], r.window[min(over, len(r.window)):]...)
		content = content[max(0, len(content)-windowSize):]
	}
	r.window = append(r.window, content...)
}

// lose notes that a compressed message is not read.
func (r *reading) lose() { r.lost, r.window = true, nil }

var errContextLost = errors.New("message may refer to others that were not read")

// inflate returns the content of a message of the peer's, which is valid until the next
// one is inflated.
func (d *side) inflate(payload []byte) (content []byte, err error) {
	w, r := d.session.worker, d.reading
	if r.lost {
		return nil, errContextLost
	}
	w.inflated, err = w.inflater.behind(r.window, w.inflated[:0], payload, int(d.session.policy.Inspect.MaxBytes))
	w.spent += len(w.inflated)
	switch {
	case !d.context:
	case err != nil || w.inflater.ended:
		r.lose()
	default:
		r.keep(w.inflated)
	}
	return w.inflated, err
}

// reads reports whether the peer's messages are to be read.
func (d *side) reads() bool {
	if d.isClient() {
		return d.session.policy.Reads()
	}
	dialect := d.session.kind().dialect
	return dialect != nil && dialect.Reads(dialects.UpstreamToClient)
}

// skip has the message under way, or that begins, pass unread.
func (d *side) skip() {
	d.stage, d.reading.payload = unread, nil
	if d.context && d.in.Compressed() {
		d.reading.lose()
	}
}

// begin begins another message.
func (r *reading) begin(in *wsframe.Scanner, most int64) {
	r.payload, r.opcode, r.compressed, r.most = nil, in.Opcode(), in.Compressed(), most
}

// mayHold returns how long the message under way may be: as long as it might when it
// began, if that was more.
func (d *side) mayHold() int64 {
	most := d.session.policy.Inspect.MaxBytes
	if d.stage == holding {
		most = max(most, d.reading.most)
	}
	return most
}

// stage is how far the message under way has come.
type stage uint8

const (
	passing  stage = iota // all of it so far, or nothing, has been passed on
	holding               // none of it has been passed on: more is needed to judge it
	dropping              // none of it is passed on
	unread                // it is passed on, and is not, or cannot be, read
)

// take handles the piece of a data message that is b[at:at+n]. It returns from
// where on b is to be passed, which was from so far.
func (d *side) take(b []byte, from, at, n int) int {
	s := d.session
	// A client may go on until it has answered upstream's close frame. What upstream
	// says of subscriptions is of no use once the end has begun.
	if d.isClient() && d.peer().sealed || !d.isClient() && s.cause != policies.NoCause {
		return from
	}
	piece := b[at : at+n]
	if d.stage == dropping && !d.in.Begun() { // whatever the rates are by now
		s.sawData(d)
		d.pass(b[from:at])
		return at + n
	}
	if d.in.Begun() {
		d.stage = passing
		if d.reading != nil && !d.reads() {
			d.skip()
		}
	}
	if d.isClient() {
		s.measure(piece)
	}
	if d.isClient() && s.policy.Messages.Limited() && (s.cause == policies.NoCause || d.stage == dropping) {
		switch from = d.charge(b, from, at, n); {
		case d.stage == dropping:
			s.sawData(d)
			return from
		case d.peer().sealed:
			return from
		}
	}
	switch {
	case d.reading == nil || d.stage == unread:
		s.sawData(d)
		return from
	case d.in.Announced() > d.mayHold():
		return d.takeOversize(b, from, at, n)
	case !d.isClient() || s.observes():
		d.watch(piece)
		return from
	case d.in.Whole():
		w := s.worker
		w.plain = d.in.AppendPayload(w.plain[:0], piece)
		judged := s.judge(d.in.Opcode(), d.in.Compressed(), w.plain)
		if judged.asItIs && len(judged.ahead) == 0 {
			return from
		}
		d.pass(b[from:at])
		d.carryOut(judged)
		if judged.asItIs {
			return at
		}
		return at + n
	}
	d.hold(b[from:at], piece)
	return at + n
}

// hold keeps a piece of a client's message, behind before, which is still to be
// passed, and has the message judged once it is complete.
func (d *side) hold(before, piece []byte) {
	r := d.reading
	if d.in.Begun() {
		r.begin(&d.in, d.session.policy.Inspect.MaxBytes)
	}
	d.stage = holding
	d.pass(before)
	r.payload = d.in.AppendPayload(r.payload, piece)
	if !d.in.MessageBoundary() {
		return
	}
	d.stage = passing
	judged := d.session.judge(r.opcode, r.compressed, r.payload)
	d.carryOut(judged)
	if judged.asItIs {
		d.pass(wsframe.AppendMessage(nil, r.opcode, r.compressed, newMask(), r.payload))
	}
	r.payload = nil
}

// watch reads the peer's messages in passing.
func (d *side) watch(piece []byte) {
	r, hear := d.reading, d.session.overhear
	if d.isClient() {
		hear = d.session.observe
	}
	if d.in.Whole() {
		payload := d.in.Payload(piece)
		if d.isClient() { // it is masked
			w := d.session.worker
			w.plain = d.in.AppendPayload(w.plain[:0], piece)
			payload = w.plain
		}
		hear(d.in.Opcode(), d.in.Compressed(), payload)
		return
	}
	if d.in.Begun() {
		r.begin(&d.in, d.session.policy.Inspect.MaxBytes)
	}
	r.payload = d.in.AppendPayload(r.payload, piece)
	if d.in.MessageBoundary() {
		hear(r.opcode, r.compressed, r.payload)
		r.payload = nil
	}
}

// takeOversize handles the first piece with which a message is too long to be
// read.
func (d *side) takeOversize(b []byte, from, at, n int) int {
	s, r := d.session, d.reading
	closes := d.isClient() && s.policy.Inspect.Oversize != policies.OversizeForward
	switch {
	case closes && s.policy.Observes(s.policy.Inspect.Mode):
		s.wouldHit(policies.LimitInspectMaxBytes, actionEnd, policies.MessageTooBig)
	case closes:
		d.stage = holding
		d.pass(b[from:at])
		s.hit(policies.LimitInspectMaxBytes)
		s.end(policies.Verdict{Cause: policies.MessageTooBig, Code: s.policy.Messages.CloseCode}, "message too big to be read")
		return at + n
	}
	s.sawData(d)
	if d.stage == holding {
		d.pass(b[from:at])
		payload := d.in.AppendPayload(r.payload, b[at:at+n])
		d.stage, from = unread, at+n
		d.pass(d.in.AppendMerged(nil, r.opcode, r.compressed, payload))
	}
	d.skip()
	return from
}

// measure counts a piece of a client's message, and notes whether the message is too long
// where nothing is done about that.
func (s *session) measure(piece []byte) {
	n, in := &s.needs, &s.client.in
	messages, size := uint32(0), in.Announced()
	if in.Begun() {
		messages, n.tooLong = 1, false
	}
	n.sent(s.worker.loop.Now(), messages, len(in.Payload(piece)))
	n.message = max(n.message, small(size))
	limits := &s.policy.Messages
	if limits.MaxBytes > 0 && size > limits.MaxBytes && !n.tooLong && s.policy.Observes(limits.Mode) {
		n.tooLong = true
		s.wouldHit(policies.LimitMessagesMaxBytes, actionEnd, policies.MessageTooBig)
	}
}

// charge counts a piece of a client's message against the policy's rates.
func (d *side) charge(b []byte, from, at, n int) int {
	s := d.session
	messages := 0
	if d.in.Begun() {
		messages = 1
	}
	limits, now, size := &s.policy.Messages, s.worker.loop.Now(), len(d.in.Payload(b[at:at+n]))
	if s.meter.Charge(limits, now, messages, size) {
		return from
	}
	limit := s.meter.Exceeded(limits, messages, size)
	if s.policy.Observes(limits.Mode) {
		s.wouldHit(limit, rateActions[limits.OnExcess], policies.MessageRate)
		return from
	}
	s.hit(limit)
	excess := limits.OnExcess
	if excess == policies.ExcessDrop && d.context && d.in.Compressed() {
		excess = policies.ExcessDelay // others may refer to it
	}
	switch excess {
	case policies.ExcessDelay:
		s.pause(s.meter.Ready(limits, now))
		return from
	case policies.ExcessDrop:
		if !d.in.Begun() { // its beginning has been passed on
			return from
		}
		d.stage = dropping
		s.kind().dropped.Inc()
	default:
		end := at + n
		if d.in.Begun() {
			d.stage = holding
		}
		if d.stage == holding {
			end = at // none of the message may pass
		}
		d.pass(b[from:end])
		s.end(policies.Verdict{Cause: policies.MessageRate, Code: limits.CloseCode}, "")
		return at + n
	}
	d.pass(b[from:at])
	return at + n
}

// rateActions are what becomes of messages that come too fast.
var rateActions = map[policies.Excess]string{
	policies.ExcessClose: actionEnd,
	policies.ExcessDrop:  actionDrop,
	policies.ExcessDelay: actionDelay,
}

// judgement is what becomes of a client's message.
type judgement struct {
	asItIs  bool   // it passes as it came
	ahead   []byte // frames that pass in any case, ahead of it or in its place
	verdict policies.Verdict
	reason  string
}

func (d *side) carryOut(j judgement) {
	d.pass(j.ahead)
	if j.verdict.Action == policies.End {
		d.session.end(j.verdict, j.reason)
	}
}

func end(cause policies.Cause, code uint16, reason string) judgement {
	return judgement{verdict: policies.Verdict{Action: policies.End, Cause: cause, Code: code}, reason: reason}
}

// observe reads a client's message that passes in any case.
func (s *session) observe(opcode wsframe.Opcode, compressed bool, payload []byte) {
	s.judge(opcode, compressed, payload)
}

// judge reads a client's whole message. What it returns is valid until the next
// one is read.
func (s *session) judge(opcode wsframe.Opcode, compressed bool, payload []byte) judgement {
	w := s.worker
	unjudged := func() judgement {
		s.sawData(&s.client)
		return judgement{asItIs: true}
	}
	if compressed {
		content, err := s.client.inflate(payload)
		switch {
		case err == errContextLost, err == errInflatedTooBig && s.policy.Inspect.Oversize == policies.OversizeForward:
			return unjudged()
		case err == errInflatedTooBig && s.policy.Observes(s.policy.Inspect.Mode):
			s.wouldHit(policies.LimitInspectMaxBytes, actionEnd, policies.MessageTooBig)
			return unjudged()
		case err == errInflatedTooBig:
			s.hit(policies.LimitInspectMaxBytes)
			return end(policies.MessageTooBig, s.policy.Messages.CloseCode, "message too big to be read")
		case err != nil, (s.keepsWindow || s.client.context) && w.inflater.ended:
			// Behind the end of a stream, an inflater that does not begin anew
			// would read something else than this one.
			if s.policy.Observes(s.policy.Inspect.Mode) {
				s.wouldEnd(ruleProtocol, policies.ProtocolError)
				return unjudged()
			}
			return end(policies.ProtocolError, 0, "message cannot be inflated with certainty")
		}
		payload = content
	}
	if m := &s.policy.Messages; opcode == wsframe.Text && m.ValidateUTF8 && !utf8.Valid(payload) {
		if !s.policy.Observes(m.Mode) {
			return end(policies.InvalidUTF8, m.CloseCode, "text that is not UTF-8")
		}
		s.wouldEnd("messages.validate_utf8", policies.InvalidUTF8)
	}
	if s.kind().dialect == nil {
		return unjudged()
	}
	judged := s.judgeRecords(opcode, payload, !compressed || !s.client.context)
	s.answer()
	return judged
}

// judgeRecords decides on each record of a client's message. Where none of it may be left
// out or held back, as others refer to it, a record that may not pass ends the session:
// the next one of the client has its messages compressed each alone.
func (s *session) judgeRecords(opcode wsframe.Opcode, message []byte, divisible bool) judgement {
	w := s.worker
	w.frames, w.records = w.frames[:0], w.records[:0]
	changed, data := false, false
	w.reader.Begin(s.subscribed.dialect, dialects.ClientToUpstream, opcode == wsframe.Binary, message)
	for r := w.reader.Next(); r != nil; r = w.reader.Next() {
		data = data || r.Kind != dialects.Heartbeat
		switch r.Kind {
		case dialects.Subscribe:
			waiting := len(w.records) > 0
			admission := s.subscribe(r, opcode)
			switch {
			case admission.End:
				return s.cutShort(opcode, end(policies.SubscriptionLimit, s.policy.Subscriptions.CloseCode, admission.Reason))
			case admission.Refuse:
				s.refuse(r, admission.Reason)
				changed = true
				continue
			}
			changed = changed || waiting && len(w.records) == 0
		case dialects.Unsubscribe:
			s.moved(s.subscribed.tracker.Remove(r))
		case dialects.Identify:
			switch id, claims := s.claims(r); {
			case claims && (!divisible || s.policy.Observes(s.policy.Connections.Mode)):
				s.countIn(id)
			case claims:
				return s.claim(id, r, opcode)
			}
			s.identify(r)
		}
		s.subscribed.tracker.Doubt(r)
		w.records = append(w.records, r.Text)
	}
	if data {
		s.sawData(&s.client)
	}
	if err := w.reader.Err(); err != nil {
		if s.policy.Observes(s.policy.Inspect.Mode) && !changed && len(w.frames) == 0 {
			s.wouldEnd(ruleProtocol, policies.ProtocolError)
			return judgement{asItIs: true}
		}
		return s.cutShort(opcode, end(policies.ProtocolError, 0, err.Error()))
	}
	if changed && !divisible {
		return s.cutShort(opcode, end(policies.SubscriptionLimit, policies.CodeTryAgainLater, ""))
	}
	if changed {
		s.flushRecords(opcode)
	}
	return judgement{asItIs: !changed, ahead: w.frames}
}

// cutShort lets pass what comes ahead of the record for which the session ends: it
// has been acted upon, and upstream must not keep what was unsubscribed from there.
func (s *session) cutShort(opcode wsframe.Opcode, j judgement) judgement {
	s.flushRecords(opcode)
	j.ahead = s.worker.frames
	return j
}

// flushRecords appends a message of the records that pass to the frames ahead.
func (s *session) flushRecords(opcode wsframe.Opcode) {
	w := s.worker
	if len(w.records) > 0 {
		message := s.subscribed.dialect.AppendMessage(nil, w.records)
		w.frames = wsframe.Append(w.frames, wsframe.Client, opcode, newMask(), message)
		w.records = w.records[:0]
	}
}
