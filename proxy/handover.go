package proxy

import (
	"context"
	"errors"
	"net"
	"sync"
	"sync/atomic"

	"wswarden/proxy/evloop"
)

// KeepAlive is how connections are probed that come by a listener: those of one that is
// passed on do not inherit it.
var KeepAlive = net.KeepAliveConfig{Enable: true, Idle: keepIdle, Interval: keepInterval, Count: 3}

// handOver is the server's way to leave its place to another process.
type handOver struct {
	begun atomic.Bool
	// Handshakes that fasthttp is done with, and no event loop has yet.
	passing sync.WaitGroup
	admin   sync.WaitGroup // what it has been asked already
}

// HandOver has the server drain for another process, which serves the same sockets: it
// closes its own at once, and refuses nobody who has come by them. It may be called from
// any goroutine, and changes nothing once the server drains.
func (s *Server) HandOver() {
	s.handOver.begun.Store(true)
	s.askDrain()
}

// leaveSockets leaves what comes to the other process.
func (s *Server) leaveSockets() {
	s.listeners.close()
	if s.admin != nil {
		s.handOver.admin.Go(s.admin.Leave)
	}
}

// finishRequests returns when all is answered that has come by the sockets, and the
// sessions have begun that were asked for. What takes longer than ctx is refused.
func (s *Server) finishRequests(ctx context.Context) {
	_ = s.http.ShutdownWithContext(ctx) // an error may tell that the listeners are closed, which they are
	if ctx.Err() == nil {
		within(ctx, &s.handOver.passing)
	}
	s.handOver.admin.Wait()
}

// within waits for a group until ctx is done.
func within(ctx context.Context, group *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// passes notes that a handshake is on its way from fasthttp to an event loop.
func (a *admission) passes() {
	a.passing.Store(true)
	a.worker.server.handOver.passing.Add(1)
}

// passed notes that it has arrived, or never will.
func (a *admission) passed() {
	if a.passing.Swap(false) {
		a.worker.server.handOver.passing.Done()
	}
}

// Answers returns when every event loop has taken a turn, or with ctx's error. It may be
// called from any goroutine, while Run does its work.
func (s *Server) Answers(ctx context.Context) error {
	turns := make(chan struct{}, len(s.workers))
	for _, w := range s.workers {
		if err := w.loop.Do(func() { turns <- struct{}{} }); errors.Is(err, evloop.ErrClosed) {
			return nil // the drain is over
		}
	}
	for range s.workers {
		select {
		case <-turns:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

// Sessions returns how many there are. It may be called from any goroutine.
func (s *Server) Sessions() (n int) {
	for _, k := range s.setup().all() {
		n += int(k.sum().live)
	}
	return n
}
