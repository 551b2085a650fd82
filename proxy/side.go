package proxy

import (
	"bytes"
	"io"
	"math"
	"math/rand/v2"

	"wswarden/policies"
	"wswarden/proxy/evloop"
	"wswarden/proxy/wsframe"
)

// side is one of a session's two connections: the stream that its peer sends,
// and the stream towards it.
type side struct {
	socket  evloop.Socket
	session *session
	out     outgoing

	in      wsframe.Scanner
	held    []byte   // read, but too little yet to be judged; at most wsframe.MaxHeld
	reading *reading // nil: messages are not read

	acked uint64 // bytes that the peer's system had acknowledged at the last look
	flow  flow
	trips roundTrips

	stage   stage
	backlog bool // held is enough to be judged, in a later turn: up to a whole read

	sealed  bool // nothing more is relayed to the peer
	bidden  bool // the peer's last frame, a close, is in out; or it gets none
	heard   bool // the peer's close frame has arrived
	deaf    bool // what the peer sends is no longer read as frames
	cut     bool // the end that the peer is told is a reset: see transparent
	shut    bool // the peer was told that nothing more will be written
	pinging bool // a ping of ours is in out
	ceased  bool // the peer's stream has ended, and its connection is open: see transparent
	opaque  bool // what the peer sends is no frames, and passes all the same
	context bool // a compressed message of the peer's may refer to those before it
}

func (d *side) isClient() bool { return d == &d.session.client }

func (d *side) peer() *side {
	if d.isClient() {
		return &d.session.upstream
	}
	return &d.session.client
}

// Ready is called by the loop when the socket may be ready for something new.
func (d *side) Ready() {
	if d.socket.Writable() && !d.out.empty() {
		d.flush()
	}
	if d.socket.Open() && (d.socket.Readable() || d.backlog) {
		d.relay()
	}
	if d.socket.Open() && d.socket.Broken() && d.paused() {
		d.lost(nil)
	}
	if d.shut && d.ceased && d.socket.Open() && !d.socket.Pending() {
		d.session.settle()
	}
}

// paused reports whether the peer is not read from because the other one does
// not take what it has sent, because it takes no answers itself, or because it
// sends too fast.
func (d *side) paused() bool {
	other := d.peer()
	return !other.sealed &&
		(len(other.out.waiting) > 0 || len(d.out.messages) > readSize || d.isClient() && d.session.unheard())
}

// relay reads once and passes on what has arrived. One read a turn keeps a busy
// session from starving its loop's others.
func (d *side) relay() {
	if d.paused() || d.ceased {
		return
	}
	buf := d.session.worker.buf
	kept := copy(buf, d.held)
	if d.backlog {
		d.backlog = false
		d.arrived(buf[:kept], 0)
		d.again()
		return
	}
	n, err := d.socket.Read(buf[kept:])
	switch {
	case err != nil:
		d.lost(err)
		return
	case n == 0:
		return
	}
	d.session.sawFrame(d)
	d.session.goesOn()
	d.arrived(buf[:kept+n], n)
	d.again()
}

// arrived takes b, of which the last n bytes are new.
func (d *side) arrived(b []byte, n int) {
	messages := d.flow.messages
	d.receive(b)
	d.count(n, messages)
}

// again has what is left to read looked at in the loop's next turn.
func (d *side) again() {
	if d.socket.Open() && (d.socket.Readable() || d.backlog) && !d.paused() && !d.ceased {
		d.socket.Again()
	}
}

// receive takes b, the next bytes of the peer's stream, frame by frame, and
// passes on what may pass.
func (d *side) receive(b []byte) {
	s, other := d.session, d.peer()
	switch {
	case d.deaf:
		return
	case d.opaque:
		s.sawData(d)
		d.pass(b)
		return
	}
	s.worker.spent = 0
	from, at := 0, 0
	for at < len(b) {
		n, err := d.in.Next(b[at:])
		if err != nil {
			d.pass(b[from:at])
			if s.transparent() {
				s.wouldEnd(ruleProtocol, policies.ProtocolError)
				d.passOpaque(b[at:])
			} else {
				s.violated(d, err)
			}
			return
		}
		if n == 0 {
			break
		}
		frame := b[at : at+n]
		switch d.in.Opcode() {
		case wsframe.Close:
			if s.transparent() {
				s.noteClose(d, frame)
				d.pass(b[from : at+n])
				d.passOpaque(b[at+n:])
				return
			}
			d.pass(b[from:at])
			s.sawClose(d, frame)
			return
		case wsframe.Pong:
			if answersPing(frame) {
				d.pass(b[from:at])
				from = at + n
				s.sawPong(d)
			} else if !d.isClient() {
				s.pingAnswered()
			}
		case wsframe.Ping:
			if d.isClient() && !s.mayPing(frame) {
				d.pass(b[from:at])
				from = at + n
			}
		default:
			if d.in.MessageBoundary() {
				d.flow.messages++
			}
			from = d.take(b, from, at, n)
		}
		at += n
		if s.finishing && !other.sealed && d.in.MessageBoundary() {
			d.pass(b[from:at])
			from = at
			s.seal(other)
		}
		if at < len(b) && !other.sealed && d.sated() {
			d.backlog = true
			break
		}
	}
	d.pass(b[from:at])
	d.held = keep(d.held, b[at:])
}

// sated reports whether the rest of what was read is for a later turn: the peer
// sends too fast, or takes no answers, or has sent little that was inflated to much.
func (d *side) sated() bool {
	s := d.session
	return d.isClient() && s.unheard() || len(d.out.messages) > readSize || s.worker.spent > readSize
}

// keep stores rest for the next read, in held's memory where that is there. An
// idle session holds no buffer.
func keep(held, rest []byte) []byte {
	if len(rest) == 0 {
		return nil
	}
	return append(held[:0], rest...)
}

// pass relays b, a piece of the peer's stream up to where it has been scanned.
func (d *side) pass(b []byte) {
	other := d.peer()
	if len(b) == 0 || other.sealed {
		return
	}
	waited := !other.out.empty()
	end := d.in.Position
	if d.stage == holding || d.stage == dropping {
		end = wsframe.Position{} // nothing of the message under way has been passed
	}
	err := other.out.pass(&other.socket, b, end)
	if waited || err != nil || !other.out.empty() {
		other.written(true, err)
	}
}

// passOpaque relays b, and all that follows, whatever it is.
func (d *side) passOpaque(b []byte) {
	d.held = nil
	d.opaque, d.peer().out.opaque = true, true
	d.pass(b)
}

// flush writes what waits for the peer.
func (d *side) flush() {
	before := d.out.len()
	err := d.out.flush(&d.socket)
	d.written(d.out.len() < before, err)
}

// written settles what follows from an attempt to write to the peer, which took
// bytes that had waited for it, or not.
func (d *side) written(took bool, err error) {
	s := d.session
	if err != nil {
		// A peer that takes no more may still have said why: its close frame
		// comes before the end that reading will find.
		d.discard()
		d.sealed = true
		if d.ceased { // nothing more will be found by reading
			d.lost(err)
			return
		}
		d.socket.Again()
	}
	if d.pinging && len(d.out.control) == 0 {
		d.pinging = false
		s.pinged(d)
	}
	s.waits(d, !d.out.empty(), took)
	if len(d.out.waiting) == 0 {
		d.peer().again()
	}
	if took {
		s.goesOn()
		d.again() // it was perhaps not read from for the answers that it did not take
	}
	s.settle()
}

// ping sends a ping of our own at the next frame boundary.
func (d *side) ping() {
	d.pinging = true
	frame := wsframe.Append(nil, d.sender(), wsframe.Ping, newMask(), pingMark[:])
	d.written(false, d.out.addControl(&d.socket, frame))
}

// bid sends the close frame, behind the farewell where that is possible, as the
// last thing that the peer gets. Where the peer has half a frame whose rest will
// not come, the connection is reset instead.
func (d *side) bid(closing []byte) {
	if d.bidden || !d.socket.Open() {
		return
	}
	d.bidden = true
	d.sealed = true
	var farewell []byte
	if !d.isClient() {
		farewell = d.session.farewell()
	}
	ok, parted, err := d.out.finish(&d.socket, farewell, closing)
	if parted && !d.isClient() {
		d.session.released(len(farewell) + len(closing))
	}
	if !ok {
		d.reset()
	}
	d.written(false, err)
	d.peer().socket.Again()
}

// sender is the role in which frames are sent to the peer.
func (d *side) sender() wsframe.Sender {
	if d.isClient() {
		return wsframe.Server
	}
	return wsframe.Client
}

// discard forgets what waits for the peer: it takes no more.
func (d *side) discard() {
	if !d.isClient() {
		d.session.notTaken(d.out.len())
	}
	d.out.discard()
}

// reset breaks the connection: what the peer's system has not acknowledged is
// lost.
func (d *side) reset() {
	if !d.isClient() {
		d.session.notTaken(d.unacknowledged())
		d.session.letGo(releaseReset)
	}
	d.socket.Reset()
	d.discard()
}

// unacknowledged returns how many bytes the peer's system has not taken, where that
// matters.
func (d *side) unacknowledged() int {
	if d.session.subscribed == nil {
		return 0
	}
	outstanding, _ := d.socket.Outstanding()
	return d.out.len() + int(outstanding)
}

// lost notes that the connection has ended; err is how. A reset is also what the
// peer's system sends when bytes that it has acknowledged were never read.
func (d *side) lost(err error) {
	if d.session.transparent() {
		d.endedObserved(err)
		return
	}
	switch {
	case d.isClient():
	case err == io.EOF:
		d.session.notTaken(d.unacknowledged())
		d.session.letGo(d.session.closedBy(d))
	default:
		d.session.notTaken(math.MaxInt)
		d.session.letGo(releaseLost)
	}
	d.socket.Close()
	d.discard()
	d.sealed, d.held = true, nil
	d.peer().socket.Again() // it may have been waiting for this one
	d.session.sawLoss(d)
}

// pingMark is the payload of the pings that wswarden sends. It is chosen anew
// by every process, so that no client can have its pongs swallowed by chance.
var pingMark = func() (mark [8]byte) {
	for i := range mark {
		mark[i] = byte(rand.Uint32())
	}
	return mark
}()

// answersPing reports whether a whole pong frame answers a ping of ours.
func answersPing(frame []byte) bool {
	var buf [wsframe.MaxControlPayload]byte
	return bytes.Equal(wsframe.Payload(&buf, frame), pingMark[:])
}

func newMask() (mask [4]byte) {
	r := rand.Uint32()
	return [4]byte{byte(r), byte(r >> 8), byte(r >> 16), byte(r >> 24)}
}
