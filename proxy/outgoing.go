package proxy

import "wswarden/proxy/wsframe"

// outgoing is the stream of bytes towards one peer: what the other peer sent,
// passed on as it is, and frames of our own that go in between at boundaries.
// While the peer takes everything, it holds no bytes at all.
type outgoing struct {
	waiting  []byte           // passed on and not taken yet, whole headers only
	place    wsframe.Position // of the next byte of the other peer's stream
	control  []byte           // our own control frames, ahead of waiting at a frame boundary
	messages []byte           // our own messages, ahead of waiting at a message boundary
	begun    *[]byte          // of the last two: a part is written, the rest comes first
	opaque   bool             // what is passed on is no frames: there are no boundaries any more
}

// writer takes as many bytes as there is room for; fewer than offered and no
// error: there is no more room for now.
type writer interface {
	Write(p []byte) (int, error)
}

// len returns how many bytes wait.
func (o *outgoing) len() int { return len(o.waiting) + len(o.control) + len(o.messages) }

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
	switch {
	case o.opaque:
	case n == len(b):
		o.place = end
	default:
		o.place.Skip(b, n)
	}
	if n == len(b) {
		return err
	}
	o.waiting = append(o.waiting, b[n:]...)
	return err
}

// addControl puts in a control frame of our own at the next frame boundary.
func (o *outgoing) addControl(w writer, frame []byte) error {
	o.control = append(o.control, frame...)
	return o.flush(w)
}

// addMessages puts in messages of our own, of one frame each, at the next message
// boundary.
func (o *outgoing) addMessages(w writer, frames []byte) error {
	o.messages = append(o.messages, frames...)
	return o.flush(w)
}

// flush writes until everything is taken or the peer has no more room.
func (o *outgoing) flush(w writer) error {
	for {
		before, own := o.next()
		switch {
		case before > 0:
			n, err := w.Write(o.waiting[:before])
			if !o.opaque {
				o.place.Skip(o.waiting, n)
			}
			o.waiting = o.waiting[n:]
			if n < before || err != nil {
				return err
			}
		case own != nil:
			n, err := w.Write(*own)
			*own, o.begun = (*own)[n:], own
			if len(*own) > 0 || err != nil {
				return err
			}
			*own, o.begun = nil, nil
		default:
			if len(o.waiting) == 0 {
				o.waiting = nil
			}
			return nil
		}
	}
}

// next returns how many bytes of waiting come first, and what of our own comes
// right behind them.
func (o *outgoing) next() (before int, own *[]byte) {
	if o.begun != nil {
		return 0, o.begun
	}
	before = len(o.waiting)
	if o.opaque {
		return before, nil
	}
	if len(o.messages) > 0 {
		if n, ok := o.place.NextMessage(o.waiting); ok {
			before, own = n, &o.messages
		}
	}
	if len(o.control) > 0 {
		if n, ok := o.place.NextFrame(o.waiting); ok {
			before, own = n, &o.control
		}
	}
	return before, own
}

// finish cuts off the frame that will not be completed and lets closing, which
// ends with a close frame, follow the last whole one. Our own control frames that
// have not begun are dropped: the close frame says more. ok is false when the
// peer has been given a part of a frame whose rest is not there: then no close
// frame can follow. The farewell precedes the closing if a message has ended;
// parted says so.
func (o *outgoing) finish(w writer, farewell, closing []byte) (ok, parted bool, err error) {
	if o.opaque {
		return false, false, nil
	}
	n, parted, ok := o.place.LastFrame(o.waiting)
	if !ok {
		return false, false, nil
	}
	if len(farewell) > 0 && !parted {
		// Better the farewell than a message that will not be completed.
		if before, found := o.place.LastMessage(o.waiting); found {
			n, parted = before, true
		}
	}
	o.waiting = o.waiting[:n:n]
	if o.begun != &o.control {
		o.control = nil
	}
	if parted {
		o.waiting = append(o.waiting, farewell...)
	} else if o.begun != &o.messages {
		o.messages = nil
	}
	o.waiting = append(o.waiting, closing...)
	return true, parted, o.flush(w)
}

// discard forgets everything: the peer takes no more.
func (o *outgoing) discard() { *o = outgoing{place: o.place, opaque: o.opaque} }
