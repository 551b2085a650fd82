package proxy

import "wswarden/proxy/evloop"

// parting is a handshake that was given up after upstream was asked: until upstream
// has seen that, it may take it for a session, and the seat is not free.
type parting struct {
	admission *admission
	socket    evloop.Socket
	timer     evloop.Timer
}

// part takes leave of upstream. It is called on the loop, by an opening that ends.
func (o *opening) part() {
	if !o.upstream.Open() || !o.asked {
		o.upstream.Close()
		o.admission.leave()
		return
	}
	w, p := o.worker, &parting{admission: o.admission}
	p.admission.end()
	w.server.inside.Add(1) // the opening is still inside
	w.partings[p] = struct{}{}
	p.timer.Owner = p
	until := w.loop.Now() + p.admission.kind.policy.Release.Grace
	if deadline := w.drainDeadline; deadline != 0 {
		until = min(until, deadline)
	}
	w.loop.Set(&p.timer, until)
	o.upstream.Move(&p.socket, p)
	_ = p.socket.CloseWrite()
	p.Ready()
}

// Ready is called by the loop when upstream's socket may be ready.
func (p *parting) Ready() {
	if p.socket.Readable() {
		if _, err := p.socket.Read(p.admission.worker.buf); err != nil {
			p.end()
			return
		}
		if p.socket.Readable() {
			p.socket.Again()
		}
	}
}

// Expired is called by the loop when upstream has had its time.
func (p *parting) Expired() { p.end() }

func (p *parting) end() {
	w := p.admission.worker
	p.socket.Close()
	w.loop.Cancel(&p.timer)
	delete(w.partings, p)
	p.admission.leave()
	w.server.leave()
}
