package proxy

import (
	"log/slog"
	"net"
	"time"

	"github.com/valyala/fasthttp"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
	"wswarden/proxy/wsframe"
)

// turnAway tells a client that its policy does not admit it, as the policy wants
// it told: by a status, or by a close frame that a browser's script can see.
func (s *Server) turnAway(ctx *fasthttp.RequestCtx, not *notAdmitted, o *opening) {
	not.tell(s.log, o.admission)
	if !not.closes() {
		not.refuse(ctx)
		return
	}
	d := not.dismissal(o)
	ctx.HijackSetNoResponse(true)
	ctx.Hijack(func(client net.Conn) {
		if !s.enter() {
			return
		}
		conn, _, err := detachHijacked(client)
		if err == nil {
			d.client = conn
			if err = d.worker.loop.Do(d.begin); err != nil {
				conn.close()
			}
		}
		if err != nil {
			s.leave()
		}
	})
}

// closes reports whether the client is told by a close frame. Where memory is short
// nothing is begun.
func (e *notAdmitted) closes() bool {
	return e.kind.policy.RefuseWith == policies.RefuseWithClose && e.why != policies.RefusedPressure
}

// dismissal returns what becomes of a client who is told by a close frame.
func (e *notAdmitted) dismissal(o *opening) *dismissal {
	d := &dismissal{worker: o.admission.worker, grace: e.kind.policy.Release.Grace}
	d.out = append(d.out, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"...)
	d.out = appendLine(d.out, fasthttp.HeaderSecWebSocketAccept, o.accept)
	if o.protocol != "" { // a browser that has asked for one takes no answer without
		d.out = appendLine(d.out, fasthttp.HeaderSecWebSocketProtocol, o.protocol)
	}
	d.out = appendLine(d.out, sessionHeader, api.ID(o.admission.id).String())
	d.out = append(d.out, "\r\n"...)
	d.out = wsframe.AppendClose(d.out, wsframe.Server, [4]byte{}, e.why.CloseCode(), e.why.Reason())
	return d
}

// refuse answers with the refusal's status.
func (e *notAdmitted) refuse(ctx *fasthttp.RequestCtx) {
	refuse(ctx, &refusal{e.why.Status(), e.why.Reason()})
	if c := clientOf(ctx.Conn()); c != nil {
		c.last = true
	}
	if e.why.Status() != fasthttp.StatusForbidden {
		ctx.Response.Header.Set(fasthttp.HeaderRetryAfter, e.retryAfter())
	}
}

// tell counts a refusal, and has it in the log: one in a second of each kind, as
// there may be very many.
func (e *notAdmitted) tell(log *slog.Logger, a *admission) {
	e.kind.turnedAway[e.why].Inc()
	if limit := e.why.Limit(); limit != policies.NoLimit {
		e.kind.hits[limit].Inc()
	}
	a.worker.server.ledger.Refuse(a.kind.policy.Name, e.why, evloop.Now())
	if events := a.worker.server.events; events.watched() {
		events.tell(a.event(api.EventRefused, func(event *api.Event) {
			event.Reason, event.Limit = e.why.String(), e.why.Limit().String()
		}))
	}
	untold, now := e.kind.toldRefusals[e.why].tell()
	if !now {
		return
	}
	about := []any{"policy", e.kind.policy.Name, "reason", e.why.String(), "address", a.clientText()}
	if id := a.identityText(); id != "" {
		about = append(about, "identity", id)
	}
	if e.origin != "" {
		about = append(about, "origin", e.origin, "host", e.host)
	}
	log.Info("handshake refused", append(about, "others_since", untold)...)
}

// dismissal is a client whose handshake was accepted only to be closed: it gets
// what is in out, and some time to take it and to close as well.
type dismissal struct {
	worker *worker
	socket evloop.Socket
	timer  evloop.Timer
	client detached
	out    []byte
	grace  time.Duration
}

// begin is called on the loop.
func (d *dismissal) begin() {
	if err := d.client.add(d.worker.loop, &d.socket, d); err != nil {
		d.worker.server.leave()
		return
	}
	d.worker.dismissals[d] = struct{}{}
	d.timer.Owner = d
	until := d.worker.loop.Now() + d.grace
	if deadline := d.worker.drainDeadline; deadline != 0 {
		until = min(until, deadline)
	}
	d.worker.loop.Set(&d.timer, until)
	d.Ready()
}

// Ready is called by the loop when the socket may be ready.
func (d *dismissal) Ready() {
	if len(d.out) > 0 {
		n, err := d.socket.Write(d.out)
		if err != nil {
			d.end()
			return
		}
		if d.out = d.out[n:]; len(d.out) == 0 {
			d.out = nil
			_ = d.socket.CloseWrite()
		}
	}
	if d.socket.Readable() {
		if _, err := d.socket.Read(d.worker.buf); err != nil {
			d.end()
			return
		}
		if d.socket.Readable() {
			d.socket.Again()
		}
	}
}

// Expired is called by the loop when the client has had its time.
func (d *dismissal) Expired() { d.end() }

func (d *dismissal) end() {
	d.socket.Close()
	d.worker.loop.Cancel(&d.timer)
	delete(d.worker.dismissals, d)
	d.worker.server.leave()
}
