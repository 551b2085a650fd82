package proxy

import (
	"time"

	"wswarden/policies"
	"wswarden/policies/dialects"
	"wswarden/proxy/evloop"
	"wswarden/proxy/wsframe"
)

// readSize is how many bytes are read at once, and so the most that is kept for
// a peer that takes none.
const readSize = 128 << 10

// worker is one event loop with the sessions on it.
type worker struct {
	number   int // in Server.workers
	loop     *evloop.Loop
	server   *Server
	lag      *lag
	openings map[*opening]struct{}
	sessions []*session
	scans    map[*scan]struct{} // of sessions, under way
	present  present            // of the turn of a scan

	dismissals map[*dismissal]struct{}
	partings   map[*parting]struct{}
	buf        []byte // for reading: what was held, and readSize behind it

	// For messages that are read, one at a time.
	reader   dialects.Reader
	inflater inflater
	plain    []byte   // a message, unmasked
	inflated []byte   // and inflated
	records  [][]byte // of it, those that pass
	frames   []byte   // that pass ahead of it
	answers  []byte   // frames for the client
	text     []byte
	spent    int // bytes inflated so far of what a side has read

	pressure policies.Step

	drainFrom     policies.Moment
	drainDeadline policies.Moment // 0: not draining
}

func newWorker(server *Server, number int, newLoop func() (*evloop.Loop, error)) (*worker, error) {
	loop, err := newLoop()
	if err != nil {
		return nil, err
	}
	return &worker{
		number:   number,
		loop:     loop,
		server:   server,
		lag:      newLag(loop),
		openings: make(map[*opening]struct{}),
		scans:    make(map[*scan]struct{}),

		dismissals: make(map[*dismissal]struct{}),
		partings:   make(map[*parting]struct{}),
		buf:        make([]byte, wsframe.MaxHeld+readSize),
	}, nil
}

func (w *worker) add(s *session) {
	s.place = int32(len(w.sessions))
	w.sessions = append(w.sessions, s)
	s.tally.opened.Add(1)
	s.tally.live.Add(1)
	if w.drainDeadline != 0 {
		s.drainAt = w.drainFrom + spread(w.server.setup().Drain.Spread)
	}
}

func (w *worker) remove(s *session) {
	s.tally.live.Add(-1)
	last := len(w.sessions) - 1
	for c := range w.scans {
		c.removed(s, w.sessions[last], last)
	}
	w.sessions[s.place] = w.sessions[last]
	w.sessions[s.place].place = s.place
	w.sessions[last] = nil
	w.sessions = w.sessions[:last]
}

// drain ends the sessions one by one, evenly over spread, and resets at the
// deadline what is left. It is called on the loop.
func (w *worker) drain(spread time.Duration, deadline policies.Moment) {
	w.drainFrom = w.loop.Now()
	w.drainDeadline = deadline
	for i, s := range w.sessions {
		s.drainAt = w.drainFrom + time.Duration((float64(i)+0.5)*float64(spread)/float64(len(w.sessions)))
		s.recheck()
		switch {
		case s.cause != policies.NoCause:
			s.endBy(deadline)
		case s.finishing && !s.upstream.socket.Open(): // orphaned
			s.endBy(s.drainAt)
		}
	}
}

// abort ends every handshake and resets every session. It is called on the loop.
func (w *worker) abort() {
	for o := range w.openings {
		o.fail(errDraining, nil)
	}
	for d := range w.dismissals {
		d.end()
	}
	for p := range w.partings {
		p.end()
	}
	for len(w.sessions) > 0 {
		s := w.sessions[len(w.sessions)-1]
		s.end(policies.Verdict{Cause: policies.Drain, Code: w.server.setup().Drain.CloseCode}, "")
		s.giveUp()
	}
}
