package proxy

import (
	"unicode/utf8"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/wsframe"
)

// Where a policy has to understand messages, a client's message is held back
// until all of it has been read, and then passes as it came, or not at all. A
// message that arrives in one piece, as most do, is read where it lies. Upstream's
// messages are never held back: they are read in passing.

// reading is what a side has of a message that arrives in several pieces.
type reading struct {
	payload    []byte // as on the wire, but unmasked
	opcode     wsframe.Opcode
	compressed bool

	// keepsWindow: the one who gets the messages inflates them as one stream,
	// although each is compressed alone.
	keepsWindow bool
}

// begin begins another message.
func (r *reading) begin(in *wsframe.Scanner) {
	r.payload, r.opcode, r.compressed = nil, in.Opcode(), in.Compressed()
}

// stage is how far the message under way has come.
type stage uint8

const (
	passing  stage = iota // all of it so far, or nothing, has been passed on
	holding               // none of it has been passed on: more is needed to judge it
	dropping              // none of it is passed on
	unread                // it is passed on, and is too long to be read
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
	if d.in.Begun() {
		d.stage = passing
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
	case d.in.Announced() > s.policy.Inspect.MaxBytes:
		return d.takeOversize(b, from, at, n)
	case !d.isClient():
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
		r.begin(&d.in)
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

// watch reads upstream's messages in passing.
func (d *side) watch(piece []byte) {
	r := d.reading
	if d.in.Whole() {
		d.session.overhear(d.in.Opcode(), d.in.Compressed(), d.in.Payload(piece))
		return
	}
	if d.in.Begun() {
		r.begin(&d.in)
	}
	r.payload = d.in.AppendPayload(r.payload, piece)
	if d.in.MessageBoundary() {
		d.session.overhear(r.opcode, r.compressed, r.payload)
		r.payload = nil
	}
}

// takeOversize handles the first piece with which a message is too long to be
// read.
func (d *side) takeOversize(b []byte, from, at, n int) int {
	s, r := d.session, d.reading
	if d.isClient() && s.policy.Inspect.Oversize != policies.OversizeForward {
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
	d.stage, r.payload = unread, nil
	return from
}

// charge counts a piece of a client's message against the policy's rates.
func (d *side) charge(b []byte, from, at, n int) int {
	s := d.session
	messages := 0
	if d.in.Begun() {
		messages = 1
	}
	limits, now, size := &s.policy.Messages, s.worker.loop.Now(), len(d.in.Payload(b[at:at+n]))
	if d.stage != dropping {
		if s.meter.Charge(limits, now, messages, size) {
			return from
		}
		s.hit(s.meter.Exceeded(limits, messages, size))
	}
	switch limits.OnExcess {
	case policies.ExcessDelay:
		s.pause(s.meter.Ready(limits, now))
		return from
	case policies.ExcessDrop:
		if d.in.Begun() {
			d.stage = dropping
			s.kind().dropped.Inc()
		}
		if d.stage != dropping { // its beginning has been passed on
			return from
		}
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

// judge reads a client's whole message. What it returns is valid until the next
// one is read.
func (s *session) judge(opcode wsframe.Opcode, compressed bool, payload []byte) judgement {
	w := s.worker
	if compressed {
		var err error
		limit := int(s.policy.Inspect.MaxBytes)
		w.inflated, err = w.inflater.message(w.inflated[:0], payload, limit)
		w.spent += len(w.inflated)
		switch {
		case err == errInflatedTooBig && s.policy.Inspect.Oversize == policies.OversizeForward:
			s.sawData(&s.client)
			return judgement{asItIs: true}
		case err == errInflatedTooBig:
			s.hit(policies.LimitInspectMaxBytes)
			return end(policies.MessageTooBig, s.policy.Messages.CloseCode, "message too big to be read")
		case err != nil, s.client.reading.keepsWindow && w.inflater.ended:
			// Behind the end of a stream, an inflater that does not begin anew
			// would read something else than this one.
			return end(policies.ProtocolError, 0, "message cannot be inflated with certainty")
		}
		payload = w.inflated
	}
	if opcode == wsframe.Text && s.policy.Messages.ValidateUTF8 && !utf8.Valid(payload) {
		return end(policies.InvalidUTF8, s.policy.Messages.CloseCode, "text that is not UTF-8")
	}
	if s.subscribed == nil {
		s.sawData(&s.client)
		return judgement{asItIs: true}
	}
	judged := s.judgeRecords(opcode, payload)
	s.answer()
	return judged
}

// judgeRecords decides on each record of a client's message.
func (s *session) judgeRecords(opcode wsframe.Opcode, message []byte) judgement {
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
			if id, claims := s.claims(r); claims {
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
		return s.cutShort(opcode, end(policies.ProtocolError, 0, err.Error()))
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
