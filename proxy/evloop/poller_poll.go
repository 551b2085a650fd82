//go:build unix

package evloop

import (
	"errors"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// pollPoller stands on poll(2). That call tells of levels, so a socket is asked
// only for what it is not known to be ready for: the answer then comes once, as
// from epoll's edges.
type pollPoller struct {
	sockets      []*Socket
	fds          []unix.PollFd // the waker's, then one a socket asked about
	asked        []*Socket     // the sockets of fds[1:]
	ready        []*Socket
	wakeR, wakeW int
}

func newPollPoller() (poller, error) {
	var pipe [2]int
	if err := unix.Pipe(pipe[:]); err != nil {
		return nil, err
	}
	for _, fd := range pipe {
		unix.CloseOnExec(fd)
		if err := unix.SetNonblock(fd, true); err != nil {
			return nil, errors.Join(err, unix.Close(pipe[0]), unix.Close(pipe[1]))
		}
	}
	return &pollPoller{wakeR: pipe[0], wakeW: pipe[1]}, nil
}

func (p *pollPoller) add(s *Socket) error {
	p.sockets = append(p.sockets, s)
	return nil
}

func (p *pollPoller) remove(s *Socket) {
	i := slices.Index(p.sockets, s)
	p.sockets = slices.Delete(p.sockets, i, i+1)
}

func (p *pollPoller) release(s *Socket) error {
	p.remove(s)
	return nil
}

func (p *pollPoller) replace(s, by *Socket) { p.sockets[slices.Index(p.sockets, s)] = by }

func (p *pollPoller) wait(until time.Duration) (ready []*Socket, woken bool, err error) {
	clear(p.ready) // while waiting, keep no socket that has gone
	p.ready = p.ready[:0]
	p.fds = append(p.fds[:0], unix.PollFd{Fd: int32(p.wakeR), Events: unix.POLLIN})
	p.asked = p.asked[:0]
	for _, s := range p.sockets {
		var events int16
		if !s.readable {
			events |= unix.POLLIN
		}
		if !s.writable {
			events |= unix.POLLOUT
		}
		if events != 0 || !s.hangup { // a break is told unasked, and once
			p.fds = append(p.fds, unix.PollFd{Fd: s.fd, Events: events})
			p.asked = append(p.asked, s)
		}
	}
	if _, err := unix.Poll(p.fds, milliseconds(until)); err != nil && !errors.Is(err, unix.EINTR) {
		return nil, false, err
	}
	for i, s := range p.asked {
		got := p.fds[i+1].Revents
		if got == 0 {
			continue
		}
		if got&(unix.POLLHUP|unix.POLLERR|unix.POLLNVAL) != 0 {
			s.hangup, s.broken = true, true
		}
		s.readable = s.readable || s.hangup || got&unix.POLLIN != 0
		s.writable = s.writable || s.broken || got&unix.POLLOUT != 0
		p.ready = append(p.ready, s)
	}
	if p.fds[0].Revents != 0 {
		woken = true
		var drop [64]byte
		for n := len(drop); n == len(drop); {
			n, _ = unix.Read(p.wakeR, drop[:])
		}
	}
	return p.ready, woken, nil
}

func (p *pollPoller) wake() {
	_, _ = unix.Write(p.wakeW, []byte{1}) // a full pipe wakes as well
}

func (p *pollPoller) close() error {
	return errors.Join(unix.Close(p.wakeR), unix.Close(p.wakeW))
}

// milliseconds turns the moment until which to wait into a timeout. It rounds
// up, so that what is waited for is due after the wait.
func milliseconds(until time.Duration) int {
	if until <= 0 {
		return int(until)
	}
	const most = time.Hour
	left := min(max(0, until-Now()), most)
	return int((left + time.Millisecond - 1) / time.Millisecond)
}
