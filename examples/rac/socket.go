package main

import (
	"sync"
	"sync/atomic"

	"github.com/fasthttp/websocket"
)

// socket is one client as the backend holds it.
type socket struct {
	conn          *websocket.Conn
	written       chan struct{} // closed when nothing is written any more
	clearInterval chan struct{}
	answered      atomic.Bool // a pong came since the backend's last ping

	// Guarded by the backend's lock.
	broadcasts bool
	pnrs       map[string]bool
	id, role   string

	mu    sync.Mutex
	wake  sync.Cond
	queue []frame
	ended bool // nothing may be added
}

type frame struct {
	kind int
	data []byte
}

func newSocket(conn *websocket.Conn) *socket {
	s := &socket{
		conn:          conn,
		written:       make(chan struct{}),
		clearInterval: make(chan struct{}),
		broadcasts:    true,
		pnrs:          map[string]bool{},
	}
	s.wake.L = &s.mu
	s.answered.Store(true)
	conn.SetPongHandler(func(string) error { s.answered.Store(true); return nil })
	// The answer to a close frame waits its turn behind what is queued.
	conn.SetCloseHandler(func(int, string) error { return nil })
	return s
}

func (s *socket) send(data []byte) { s.enqueue(websocket.TextMessage, data) }

// enqueue never blocks. Leak: it knows no bound either, so a client that does
// not read lets the queue grow.
func (s *socket) enqueue(kind int, data []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return
	}
	s.queue = append(s.queue, frame{kind, data})
	s.wake.Signal()
}

// end lets the writer finish with what is queued and, if given, a last close
// frame.
func (s *socket) end(closeFrame []byte) {
	if closeFrame != nil {
		s.enqueue(websocket.CloseMessage, closeFrame)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
	s.wake.Signal()
}

// drop closes the connection at once and forgets what is queued.
func (s *socket) drop() {
	s.conn.NetConn().Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.queue = true, nil
	s.wake.Signal()
}

// writeLoop writes until the socket has ended or its connection has broken.
func (s *socket) writeLoop() {
	defer close(s.written)
	for {
		f, ok := s.next()
		if !ok || s.conn.WriteMessage(f.kind, f.data) != nil {
			return
		}
	}
}

func (s *socket) next() (frame, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.queue) == 0 && !s.ended {
		s.wake.Wait()
	}
	if len(s.queue) == 0 {
		return frame{}, false
	}
	f := s.queue[0]
	s.queue[0] = frame{}
	s.queue = s.queue[1:]
	return f, true
}

func (s *socket) queuedBytes() (n uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.queue {
		n += uint64(len(f.data))
	}
	return n
}
