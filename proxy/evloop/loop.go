// Package evloop runs readiness loops: sockets, timers and a mailbox served by
// one goroutine each. It knows nothing of what the bytes mean.
//
// Everything that hangs on a loop (its sockets, its timers, and whatever their
// handlers touch) belongs to that loop's goroutine. Only Do, Stop, Close and Busy
// may be called from elsewhere. A handler must never block.
package evloop

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"
)

// Loop serves sockets and timers on the goroutine that calls Run.
type Loop struct {
	poller poller
	clock  func() time.Duration
	now    time.Duration
	timers timerQueue
	again  []*Socket // wish for another turn
	spare  []*Socket // again's other half, so that a turn can fill it anew

	since time.Duration // what the loop has worked is in busy up to then
	busy  atomic.Int64  // nanoseconds; the loop alone writes

	mail struct {
		sync.Mutex
		letters []func()
		closed  bool
	}
	read    []func() // the letters being read
	records []byte   // memory for what a TLS connection writes
	stopped bool
	gone    bool
}

// poller waits for readiness. Only wake may be called from other goroutines.
type poller interface {
	add(s *Socket) error
	replace(s, by *Socket)
	// remove is for a socket that is closed next, release for one that is not.
	remove(s *Socket)
	release(s *Socket) error
	// wait blocks until a socket is ready, wake was called or the moment until
	// has come; noWait and forever are what they say. It notes on each ready
	// socket what it is ready for. The slice is valid until the next call.
	wait(until time.Duration) (ready []*Socket, woken bool, err error)
	wake()
	close() error
}

// Moments until which to wait that are none.
const (
	noWait  time.Duration = 0
	forever time.Duration = -1
)

// New returns a loop on the system's best poller.
func New() (*Loop, error) { return newLoop(newPoller) }

// NewPortable returns a loop on poll(2), which every Unix has and whose cost
// grows with the number of sockets. It is meant for development.
func NewPortable() (*Loop, error) { return newLoop(newPollPoller) }

func newLoop(open func() (poller, error)) (*Loop, error) {
	p, err := open()
	if err != nil {
		return nil, fmt.Errorf("open poller: %w", err)
	}
	l := &Loop{poller: p, clock: Now}
	l.now = l.clock()
	return l, nil
}

// start is the zero of Now. It lies a moment before the process began, so that
// Now is never zero.
var start = time.Now().Add(-time.Millisecond)

// Now returns the monotonic time since the process began. It is above zero and
// does not follow steps of the wall clock.
func Now() time.Duration { return time.Since(start) }

// Now returns the moment at which the present turn began.
func (l *Loop) Now() time.Duration { return l.now }

// Run serves the loop until Stop. It returns an error only when waiting for
// readiness fails, which leaves nothing to do but to end.
func (l *Loop) Run() error {
	l.since = l.clock()
	for !l.stopped {
		until := l.until()
		if until != noWait {
			l.worked(l.clock())
		}
		ready, woken, err := l.poller.wait(until)
		if err != nil {
			return fmt.Errorf("wait for readiness: %w", err)
		}
		l.now = l.clock()
		if until == noWait {
			l.worked(l.now)
		}
		l.since = l.now
		for _, s := range ready {
			s.dispatch()
		}
		l.takeTurns()
		if woken {
			l.readMail()
		}
		l.timers.expire(l.now)
	}
	for l.readMail() {
	}
	l.worked(l.clock())
	return nil
}

// worked notes that the loop has worked up to the moment now.
func (l *Loop) worked(now time.Duration) {
	l.busy.Store(l.busy.Load() + int64(now-l.since))
	l.since = now
}

// Busy returns how long the loop has been at work since it began: all but the time
// in which it waited for readiness. What it does at present is not in it yet. Busy
// may be called from any goroutine.
func (l *Loop) Busy() time.Duration { return time.Duration(l.busy.Load()) }

// until is the moment until which the loop may wait for readiness.
func (l *Loop) until() time.Duration {
	if len(l.again) > 0 {
		return noWait
	}
	at, any := l.timers.next()
	switch {
	case !any:
		return forever
	case at <= l.now+1: // its moment had come when it was set
		return noWait
	}
	return at
}

// takeTurns serves the sockets that wished for another turn in the last one.
func (l *Loop) takeTurns() {
	if len(l.again) == 0 {
		return
	}
	turn := l.again
	l.again = l.spare[:0]
	for _, s := range turn {
		s.queued = false
		s.dispatch()
	}
	clear(turn)
	l.spare = turn[:0]
}

// ErrClosed is what Do answers once the loop takes no more letters.
var ErrClosed = errors.New("event loop is closed")

// Do has the loop call f in one of its next turns. It may be called from any
// goroutine and never waits for f. Once the loop has stopped or is closed it
// returns ErrClosed, and f will not be called.
func (l *Loop) Do(f func()) error {
	l.mail.Lock()
	defer l.mail.Unlock()
	if l.mail.closed {
		return ErrClosed
	}
	l.mail.letters = append(l.mail.letters, f)
	if len(l.mail.letters) == 1 {
		l.poller.wake()
	}
	return nil
}

// readMail calls what was asked by Do. Once the loop is stopped, it returns
// false when no letter is left, and none comes any more.
func (l *Loop) readMail() bool {
	l.mail.Lock()
	l.read, l.mail.letters = l.mail.letters, l.read[:0]
	l.mail.closed = l.mail.closed || l.stopped && len(l.read) == 0
	l.mail.Unlock()
	for _, f := range l.read {
		f()
	}
	clear(l.read)
	return len(l.read) > 0
}

// Stop has Run return at the end of its turn, when nothing that was asked by Do
// is left.
func (l *Loop) Stop() error {
	return l.Do(func() { l.stopped = true })
}

// Close takes no more letters and gives the poller back. Run must have
// returned, or never have been called. Sockets are not closed.
func (l *Loop) Close() error {
	l.mail.Lock()
	defer l.mail.Unlock()
	if l.gone {
		return nil
	}
	l.mail.closed, l.gone = true, true
	return l.poller.close()
}
