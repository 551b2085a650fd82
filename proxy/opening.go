package proxy

import (
	"bytes"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"strconv"
	"time"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
	"wswarden/proxy/upstreams"
)

// opening is a handshake with upstream under way, on a worker's event loop: it
// connects, sends the client's request, and reads the answer. A 101 makes it a
// session; any other answer is passed on by a goroutine, where time is no matter.
type opening struct {
	server    *Server
	worker    *worker
	admission *admission

	client     detached
	fromClient []byte // what the client sent right behind its request

	upstream  evloop.Socket
	timer     evloop.Timer
	via       *upstream            // the configuration's at the handshake
	addresses []*upstreams.Address // not tried yet
	address   *upstreams.Address   // that is dialled, or was; nil: none
	dialling  *dialling            // by a goroutine; nil: by none
	dialUntil policies.Moment      // for all addresses
	request   []byte               // behind the header, if there is one
	header    int                  // how long a PROXY header at its beginning is
	unsent    []byte               // of the request
	asked     bool                 // upstream has got a part of it
	answer    []byte               // read so far, if that was not all of the head

	accept   string // what upstream has to prove that it has read the request
	protocol string // the first subprotocol that the client asks for
	offered  bool   // permessage-deflate is offered to upstream
	alone    bool   // with each message compressed alone

	// keepsWindow: permessage-deflate was agreed upon so, and yet upstream inflates
	// a message as if it could refer to those before it.
	keepsWindow bool

	// Of permessage-deflate, where that was agreed upon: that each message is compressed
	// alone.
	clientAlone, upstreamAlone bool
}

var (
	errExhausted   = &refusal{fasthttp.StatusServiceUnavailable, "no descriptor or port is left for another session"}
	errUnreachable = &refusal{fasthttp.StatusBadGateway, "upstream is not reachable"}
	errNotTaken    = &refusal{fasthttp.StatusGatewayTimeout, "upstream did not take the connection in time"}
	errNotAnswered = &refusal{fasthttp.StatusGatewayTimeout, "upstream did not answer in time"}
	errCutShort    = &refusal{fasthttp.StatusBadGateway, "upstream closed the connection without an answer"}
	errLongHead    = &refusal{fasthttp.StatusBadGateway, "upstream's answer is too long"}
	errMalformed   = &refusal{fasthttp.StatusBadGateway, "upstream's answer is malformed"}
	errNoUpgrade   = &refusal{fasthttp.StatusBadGateway, "upstream answered 101 without Upgrade: websocket"}
	errAccept      = &refusal{fasthttp.StatusBadGateway, "upstream answered with a wrong Sec-WebSocket-Accept"}
	errExtension   = &refusal{fasthttp.StatusBadGateway, "upstream agreed to an extension that was not offered, or not so"}
)

// begin is called on the loop.
func (o *opening) begin() {
	o.worker = o.admission.worker
	o.worker.openings[o] = struct{}{}
	o.admission.opening = o
	if o.admission.superseded {
		o.superseded()
		return
	}
	if d := o.worker.drainDeadline; d != 0 && o.worker.loop.Now() >= d {
		o.fail(errDraining, nil)
		return
	}
	o.timer.Owner = o
	o.dialUntil = o.worker.loop.Now() + o.via.DialTimeout
	o.dial(errors.New("name has no address"))
}

// Ready is called by the loop when upstream's socket may be ready.
func (o *opening) Ready() {
	if len(o.unsent) > 0 {
		n, err := o.upstream.Write(o.unsent)
		if err != nil && n == 0 && !o.asked {
			o.upstream.Close()
			o.unreached(err)
			o.dial(err)
			return
		}
		if n > 0 && !o.asked {
			o.asked = true
			o.address.Connected()
			o.server.forwarder.dials.count(dialConnected)
			o.worker.loop.Set(&o.timer, o.worker.loop.Now()+o.via.HandshakeTimeout)
		}
		o.unsent = o.unsent[n:]
	}
	if o.upstream.Open() && o.upstream.Readable() {
		o.read()
		if o.upstream.Readable() {
			o.upstream.Again() // one read a turn, as in a session
		}
	}
}

// Expired is called by the loop when upstream has taken too long.
func (o *opening) Expired() {
	switch {
	case o.asked:
		o.fail(errNotAnswered, nil)
	case len(o.addresses) > 0:
		o.upstream.Close()
		o.abandonDial()
		o.unreached(errNotTaken)
		o.dial(errNotTaken)
	default:
		o.unreached(errNotTaken)
		o.fail(errNotTaken, nil)
	}
}

// read takes in what has arrived of the answer.
func (o *opening) read() {
	buf := o.worker.buf
	kept := copy(buf, o.answer)
	n, err := o.upstream.Read(buf[kept:min(len(buf), kept+headLimit)])
	if err != nil {
		o.fail(errCutShort, err)
		return
	}
	answer := buf[:kept+n]
	for {
		end := bytes.Index(answer, []byte("\r\n\r\n"))
		if end < 0 {
			if len(answer) > headLimit {
				o.fail(errLongHead, nil)
				return
			}
			o.answer = append(o.answer[:0], answer...)
			return
		}
		head, rest := answer[:end+4], answer[end+4:]
		switch status := statusOf(head); {
		case status == fasthttp.StatusSwitchingProtocols:
			o.switchProtocols(head, rest)
			return
		case status < 100:
			o.fail(errMalformed, nil)
			return
		case status < 200: // interim, RFC 9110 §15.2
			answer = rest
		default:
			o.passOn(bytes.Clone(answer))
			return
		}
	}
}

// statusOf returns the status of a response's head; 0 if it has none.
func statusOf(head []byte) int {
	version, rest, _ := bytes.Cut(head, []byte(" "))
	old := string(version) == "HTTP/1.0"
	if !old && string(version) != "HTTP/1.1" || len(rest) < 3 {
		return 0
	}
	status, err := strconv.Atoi(string(rest[:3]))
	if err != nil || old && status < 200 { // it can refuse, but not switch
		return 0
	}
	return status
}

// switchProtocols makes the opening a session.
func (o *opening) switchProtocols(head, rest []byte) {
	forClient, deflate, err := o.checkAnswer(head)
	if err != nil {
		o.fail(err, nil)
		return
	}
	o.end()
	o.server.handshakes.count(handshakeSwitched)
	o.worker.open(o, forClient, rest, deflate)
}

// checkAnswer checks that upstream has agreed to what the client asked for (RFC
// 6455 §4.1). It returns the head for the client, without what is meant for one
// hop alone, and whether permessage-deflate was agreed upon.
func (o *opening) checkAnswer(head []byte) (forClient []byte, deflate bool, refused error) {
	var upgrade, connection, accepted bool
	line, _, _ := cutLine(head)
	if !bytes.HasSuffix(line, []byte("\r\n")) || hasControls(line[:len(line)-2]) {
		return nil, false, errMalformed
	}
	forClient = append(make([]byte, 0, len(head)), line...)
	for raw := head[len(line):]; len(raw) > 2; {
		line, name, value := cutLine(raw)
		raw = raw[len(line):]
		err := checkLine(line, name)
		if err != nil || hasControls(line[:len(line)-2]) {
			return nil, false, errMalformed
		}
		switch kindOf(name) {
		case upgradeHeader:
			upgrade = upgrade || hasToken(value, "websocket")
		case connectionHeader:
			connection = connection || hasToken(value, "upgrade")
		case extensionsHeader:
			if len(value) > 0 {
				if line, err = o.checkExtensions(line, name, value, deflate); err != nil {
					return nil, false, err
				}
				deflate = true
			}
		case hopByHop, transferEncodingHeader, contentLengthHeader:
			continue
		case keptHeader:
			if equalFold(name, fasthttp.HeaderSecWebSocketAccept) {
				accepted = string(value) == o.accept
			}
		}
		forClient = append(forClient, line...)
	}
	switch {
	case !upgrade || !connection:
		return nil, false, errNoUpgrade
	case !accepted:
		return nil, false, errAccept
	}
	if o.admission.kind.policy.Mode != policies.ModeObserve {
		forClient = appendLine(forClient, sessionHeader, api.ID(o.admission.id).String())
	}
	return append(forClient, "\r\n"...), deflate, nil
}

// checkExtensions checks a line with the extensions that upstream has agreed to,
// and returns it as the client shall get it; more: there was one before.
func (o *opening) checkExtensions(line, name, value []byte, more bool) (forClient []byte, refused error) {
	if !o.offered || !onlyDeflate(value) {
		return nil, errExtension
	}
	if !o.alone {
		named, _ := deflateParameters(value)
		o.clientAlone, o.upstreamAlone = named&clientAloneNamed != 0, named&serverAloneNamed != 0
		return line, nil
	}
	o.clientAlone, o.upstreamAlone = true, true
	answer, keepsWindow, ok := answerAlone(value)
	if !ok || more {
		return nil, errExtension
	}
	if o.keepsWindow = keepsWindow; keepsWindow {
		line = appendLine(nil, name, answer)
	}
	return line, nil
}

// superseded gives up for a newer client of the same identity or address.
func (o *opening) superseded() {
	not := &notAdmitted{kind: o.admission.kind, why: policies.RefusedSuperseded}
	not.tell(o.server.log, o.admission)
	if !not.closes() {
		o.fail(not, nil)
		return
	}
	o.end()
	o.leaveAddress()
	o.count(not)
	o.part()
	d := not.dismissal(o)
	d.client = o.client
	d.begin()
}

// end leaves nothing of the opening on the loop but its socket.
func (o *opening) end() {
	o.admission.opening = nil
	o.abandonDial()
	o.worker.loop.Cancel(&o.timer)
	delete(o.worker.openings, o)
}

// acceptKey is upstream's proof that it has read the handshake (RFC 6455
// §4.2.2).
func acceptKey(key []byte) string {
	sum := sha1.Sum(append(key[:len(key):len(key)], "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"...))
	return base64.StdEncoding.EncodeToString(sum[:])
}

// fail answers the client in upstream's stead. The client learns what happened,
// the log why.
func (o *opening) fail(refused, cause error) {
	o.end()
	o.leaveAddress()
	o.count(refused)
	if cause != nil { // upstream has gone, or never came
		o.upstream.Close()
	}
	o.part()
	go func() {
		defer o.server.leave()
		o.answerBy(func(*answered) error {
			var not *notAdmitted
			if !errors.As(refused, &not) {
				o.tellFailed(refused, cause)
			}
			return refused
		})
	}()
}

// tellFailed has a failure in the log: one in a second of each policy, as all clients
// come back while upstream is down.
func (o *opening) tellFailed(refused, cause error) {
	a := o.admission
	untold, now := a.kind.toldFailures.tell()
	if !now {
		return
	}
	about := []any{"session", api.ID(a.id).String(), "policy", a.kind.policy.Name, "address", a.clientText(), "reason", refused.Error()}
	if cause != nil {
		about = append(about, "error", cause.Error())
	}
	o.server.log.Warn("handshake failed", append(about, "others_since", untold)...)
}

// count counts what upstream has made of the opening, and ends its trace.
func (o *opening) count(failed error) {
	dials, handshakes := o.server.forwarder.dials, o.server.handshakes
	switch failed {
	case errExhausted:
		dials.count(dialExhausted)
	case errUnreachable:
		dials.count(dialRefused)
	case errNotTaken:
		dials.count(dialTimeout)
	case errNotAnswered:
		handshakes.count(handshakeTimeout)
	case errCutShort:
		handshakes.count(handshakeLost)
	case errLongHead, errMalformed, errNoUpgrade, errAccept, errExtension:
		handshakes.count(handshakeMalformed)
	}
	var refused *refusal
	var not *notAdmitted
	switch {
	case errors.As(failed, &refused):
		o.admission.trace.Refused(time.Now(), refused.status, refused.reason)
	case errors.As(failed, &not):
		o.admission.trace.Refused(time.Now(), not.why.Status(), not.why.String())
	}
}
