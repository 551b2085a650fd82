package proxy

import "wswarden/proxy/wsframe"

// outgoing is the stream of bytes towards one peer: what the other peer sent,
// passed on as it is, and frames of our own that go in between at boundaries.
// While the peer takes everything, it holds no bytes at all.
type outgoing struct {
	waiting []byte           // passed on and not taken yet, whole headers only
	place   wsframe.Position // of the next byte of the other peer's stream
	added   []byte           // our own frames, ahead of waiting at a boundary
	begun   bool             // a part of added is written: the rest comes first
	data    bool             // added holds a data frame: it needs a message boundary
}

// writer takes as many bytes as there is room for; fewer than offered and no
// error: there is no more room for now.
type writer interface {
	Write(p []byte) (int, error)
}

// len returns how many bytes wait.
func (o *outgoing) len() int { return len(o.waiting) + len(o.added) }

// empty reports whether every byte has been taken.
func (o *outgoing) empty() bool { return o.len() == 0 }

// pass writes b, a piece of the other peer's stream that ends at end, and keeps
// a copy of what is not taken.
func (o *outgoing) pass(w writer, b []byte, end wsframe.Position) error {
	if !o.empty() {
		o.waiting = append(o.waiting, b...)
		return o.flush(w)
	}
	n, err := w.Write(b)
	if n == len(b) {
		o.place = end
		return err
	}
	o.place.Skip(b, n)
	o.waiting = append(o.waiting, b[n:]...)
	return err
}

// add puts in a frame of our own as early as its kind allows.
func (o *outgoing) add(w writer, frame []byte, data bool) error {
	o.added = append(o.added, frame...)
	o.data = o.data || data
	return o.flush(w)
}

// flush writes until everything is taken or the peer has no more room.
func (o *outgoing) flush(w writer) error {
	for {
		before, boundary := o.beforeAdded()
		switch {
		case before > 0:
			n, err := w.Write(o.waiting[:before])
			o.place.Skip(o.waiting, n)
			o.waiting = o.waiting[n:]
			if n < before || err != nil {
				return err
			}
		case boundary:
			n, err := w.Write(o.added)
			o.added = o.added[n:]
			o.begun = len(o.added) > 0
			if o.begun || err != nil {
				return err
			}
			o.added, o.data = nil, false
		default:
			if len(o.waiting) == 0 {
				o.waiting = nil
			}
			return nil
		}
	}
}

// beforeAdded returns how many bytes of waiting come before our own frames, and
// whether the boundary that these need lies right behind them.
func (o *outgoing) beforeAdded() (n int, boundary bool) {
	switch {
	case len(o.added) == 0:
		return len(o.waiting), false
	case o.begun:
		return 0, true
	case o.data:
		return o.place.NextMessage(o.waiting)
	default:
		return o.place.NextFrame(o.waiting)
	}
}

// finish cuts off the frame that will not be completed and lets closing, which
// ends with a close frame, follow the last whole one. Our own frames that have
// not begun are dropped: the close frame says more. It returns false when the
// peer has been given a part of a frame whose rest is not there: then no close
// frame can follow. The farewell precedes the closing if a message has ended.
func (o *outgoing) finish(w writer, farewell, closing []byte) (bool, error) {
	n, message, ok := o.place.LastFrame(o.waiting)
	if !ok {
		return false, nil
	}
	o.waiting = o.waiting[:n:n]
	if message {
		o.waiting = append(o.waiting, farewell...)
	}
	o.waiting = append(o.waiting, closing...)
	if !o.begun {
		o.added, o.data = nil, false
	}
	return true, o.flush(w)
}

// discard forgets everything: the peer takes no more.
func (o *outgoing) discard() { *o = outgoing{place: o.place} }
