//go:build linux

package evloop

import (
	"errors"
	"os"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

func newPoller() (poller, error) { return newEpoll() }

// epoll tells of edges: a socket is reported when something new happens to it.
// No call is needed to change what it is watched for.
//
// The epoll descriptor is itself watched by Go's poller, and the loop waits for
// it as for any file. A loop that waited in epoll_wait would keep Go's scheduler
// busy with taking its processor away and giving it back: a fifth of the cost of
// a relayed message, and latency for all other goroutines.
type epoll struct {
	file    *os.File
	raw     syscall.RawConn
	fd      int
	eventfd int
	until   time.Duration // the file's read deadline
	sockets []*Socket     // by descriptor
	ready   []*Socket

	ask    func(fd uintptr) bool // fills in what follows
	events [256]unix.EpollEvent
	n      int
	err    error
}

func newEpoll() (_ *epoll, err error) {
	p := &epoll{until: -1, ready: make([]*Socket, 0, 256)}
	p.ask = p.found
	if p.fd, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return nil, err
	}
	if p.eventfd, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return nil, errors.Join(err, unix.Close(p.fd))
	}
	event := unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLET&0xffffffff, Fd: int32(p.eventfd)}
	err = errors.Join(
		unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, p.eventfd, &event),
		unix.SetNonblock(p.fd, true), // which has os take it for a file to wait for
	)
	p.file = os.NewFile(uintptr(p.fd), "epoll")
	raw, rawErr := p.file.SyscallConn()
	p.raw = raw
	if err = errors.Join(err, rawErr, p.file.SetReadDeadline(time.Time{})); err != nil {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

func (p *epoll) add(s *Socket) error {
	event := unix.EpollEvent{
		Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET&0xffffffff,
		Fd:     s.fd,
	}
	if err := unix.EpollCtl(p.fd, unix.EPOLL_CTL_ADD, int(s.fd), &event); err != nil {
		return err
	}
	if short := int(s.fd) + 1 - len(p.sockets); short > 0 {
		p.sockets = append(p.sockets, make([]*Socket, short)...)
	}
	p.sockets[s.fd] = s
	return nil
}

// remove leaves it to the closing of the descriptor to end the watch.
func (p *epoll) remove(s *Socket) { p.sockets[s.fd] = nil }

func (p *epoll) release(s *Socket) error {
	p.remove(s)
	return unix.EpollCtl(p.fd, unix.EPOLL_CTL_DEL, int(s.fd), nil)
}

func (p *epoll) replace(s, by *Socket) { p.sockets[s.fd] = by }

func (p *epoll) wait(until time.Duration) (ready []*Socket, woken bool, err error) {
	clear(p.ready) // while waiting, keep no socket that has gone
	p.ready = p.ready[:0]
	if err := p.poll(until); err != nil {
		return nil, false, err
	}
	// All that is ready belongs to this turn, however much it is: timers that expire at
	// its end judge by what has arrived.
	for most := len(p.sockets)/len(p.events) + 1; ; most-- {
		woken = p.note() || woken
		if p.n < len(p.events) || most == 0 {
			return p.ready, woken, nil
		}
		if p.found(0); p.err != nil {
			return nil, false, p.err
		}
	}
}

// note adds the sockets of events to those that are ready, and reports whether the loop
// was woken, too.
func (p *epoll) note() (woken bool) {
	for _, event := range p.events[:p.n] {
		if event.Fd == int32(p.eventfd) {
			woken = true
			var count [8]byte
			_, _ = unix.Read(p.eventfd, count[:])
			continue
		}
		s := p.sockets[event.Fd]
		if s == nil {
			continue
		}
		if event.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s.hangup = true
		}
		if event.Events&(unix.EPOLLHUP|unix.EPOLLERR) != 0 {
			s.broken = true
		}
		s.readable = s.readable || s.hangup || event.Events&unix.EPOLLIN != 0
		s.writable = s.writable || s.broken || event.Events&unix.EPOLLOUT != 0
		p.ready = append(p.ready, s)
	}
	return woken
}

// poll fills in events, and waits for some if it has to.
func (p *epoll) poll(until time.Duration) error {
	if until == 0 {
		p.found(0)
		return p.err
	}
	if until != p.until {
		var deadline time.Time
		if until > 0 {
			deadline = start.Add(until)
		}
		if err := p.file.SetReadDeadline(deadline); err != nil {
			return err
		}
		p.until = until
	}
	if err := p.raw.Read(p.ask); errors.Is(err, os.ErrDeadlineExceeded) {
		p.found(0) // what has arrived by now comes before the timers
		return p.err
	} else if err != nil {
		return err
	}
	return p.err
}

// found asks for events without waiting, and so without a word to Go's
// scheduler; it reports whether there is something to act on.
func (p *epoll) found(uintptr) bool {
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(p.fd),
		uintptr(unsafe.Pointer(&p.events[0])), uintptr(len(p.events)), 0, 0, 0)
	p.n, p.err = int(n), nil
	if errno != 0 {
		p.n = 0
		if errno != unix.EINTR {
			p.err = errno
		}
	}
	return p.n > 0 || errno != 0
}

func (p *epoll) wake() {
	one := [8]byte{7: 1}
	_, _ = unix.Write(p.eventfd, one[:]) // a full counter wakes as well
}

func (p *epoll) close() error {
	return errors.Join(unix.Close(p.eventfd), p.file.Close())
}
