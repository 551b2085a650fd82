package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/cloudflare/tableflip"
	"github.com/coreos/go-systemd/v22/activation"
	"golang.org/x/sys/unix"

	"wswarden/proxy"
)

// Listeners come from the process before this one, from systemd, or are new. tableflip
// keeps a descriptor of its own of each, for the next process: one that is only closed
// would go on taking connections, which nobody serves. So it is shut down as well, but
// where another process may have it.

// place is what a listener is known by from process to process.
type place struct{ network, address string }

// byPath is the network of unix sockets in places. Where it is called unix, tableflip
// removes the files of all that the next process does without: those of listeners, too,
// that were closed long ago, whose paths other processes may have by then.
const byPath = "path"

// socket is one that systemd has passed on.
type socket struct {
	name   string   // with #2 behind it for the second of a name, and so on
	file   *os.File // stays open: the listener may be closed, and be wanted again
	served bool     // has a listener, or had one
}

// listen opens a listener for a proxy.Server, from the process before if that has it.
func (s *succession) listen(network, address string) (net.Listener, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn == turnAfter {
		return nil, errors.New("another process has taken over")
	}
	if network == "systemd" {
		return s.activated(address)
	}
	p := s.vacant(network, address)
	ln, err := s.upgrader.Listener(p.network, p.address)
	if err != nil {
		return nil, err
	}
	l := &listener{succession: s, inherited: ln != nil && listens(ln)}
	if !l.inherited {
		if ln != nil {
			_ = ln.Close()
		}
		if ln, err = proxy.ListenAlone(network, address); err != nil {
			return nil, err
		}
		if err = s.upgrader.AddListener(p.network, p.address, ln.(tableflip.Listener)); err != nil {
			return nil, errors.Join(err, ln.Close())
		}
	}
	if network == "unix" {
		l.path = address
	}
	l.Listener = ln.(tableflip.Listener)
	l.place = p
	s.taken[p] = true
	return l, nil
}

// vacant returns the first place for an address that nobody has: of several on a free
// port, each has one.
func (s *succession) vacant(network, address string) place {
	p := place{network, address}
	if network == "unix" {
		p.network = byPath
	}
	for i := 1; s.taken[p]; i++ {
		p.address = fmt.Sprintf("%s#%d", address, i)
	}
	return p
}

// listens reports whether a listener that is passed on is still one: it may have been
// shut down.
func listens(ln net.Listener) bool {
	if ln.Addr().Network() == "unix" {
		if _, err := os.Lstat(ln.Addr().String()); err != nil {
			return false // nobody finds it
		}
	}
	listening, state := 0, make([]unix.PollFd, 1)
	control(ln, func(fd int) {
		listening, _ = unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_ACCEPTCONN)
		state[0].Fd = int32(fd) // a unix socket listens even when it was shut down
		_, _ = unix.Poll(state, 0)
	})
	return listening != 0 && state[0].Revents&unix.POLLHUP == 0
}

// abandoned reports whether a file is that of a socket that nobody has any more. It is not
// connected to: who has it has one of another type.
func abandoned(path string) bool {
	if info, err := os.Lstat(path); err != nil || info.Mode().Type() != os.ModeSocket {
		return false
	}
	conn, err := net.Dial("unixgram", path)
	if err == nil {
		_ = conn.Close()
	}
	return errors.Is(err, unix.ECONNREFUSED)
}

func control(ln net.Listener, do func(fd int)) {
	if raw, err := ln.(tableflip.Listener).SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) { do(int(fd)) })
	}
}

// listener is one that this process serves, and perhaps another one.
type listener struct {
	tableflip.Listener
	succession *succession
	inherited  bool
	activated  bool   // by systemd, which has it, too
	path       string // of its file; empty: there is none
	place      place
	closed     atomic.Bool
}

// Accept returns the next connection, which is probed as those of new listeners are: Go
// has a way of its own for those that are passed on.
func (l *listener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil && l.closed.Load() {
		return nil, net.ErrClosed // and not that it was shut down
	}
	if tcp, ok := conn.(*net.TCPConn); ok && (l.inherited || l.activated) {
		_ = tcp.SetKeepAliveConfig(proxy.KeepAlive)
	}
	return conn, err
}

// Close has no effect on other processes.
func (l *listener) Close() error {
	s := l.succession
	s.mu.Lock()
	defer s.mu.Unlock()
	if l.closed.Swap(true) {
		return net.ErrClosed
	}
	delete(s.taken, l.place)
	shared := l.activated || s.turn == turnAfter || s.turn == turnBefore && l.inherited
	if !shared {
		control(l, func(fd int) { _ = unix.Shutdown(fd, unix.SHUT_RDWR) })
		if l.path != "" {
			_ = os.Remove(l.path)
		}
	}
	err := l.Listener.Close()
	if s.turn == turnAfter && l.path != "" {
		<-s.upgrader.Exit() // tableflip has closed its own then
		if abandoned(l.path) {
			_ = os.Remove(l.path) // the successor does without it
		}
	}
	return err
}

// passedSockets returns those that systemd has passed on, to this process or to one
// before it, and has them passed on to the next.
func passedSockets(u *tableflip.Upgrader) (sockets []*socket, err error) {
	var names []string
	for i, file := range activation.Files(true) {
		name := file.Name()
		for n := 2; slices.Contains(names, name); n++ {
			name = fmt.Sprintf("%s#%d", file.Name(), n)
		}
		names = append(names, name)
		// tableflip's files are in no order.
		if err := u.AddFile(fmt.Sprintf("%04d:%s", i, name), file); err != nil {
			return nil, err
		}
		sockets = append(sockets, &socket{name: name, file: file})
	}
	files, err := u.Files()
	if err != nil {
		return nil, err
	}
	slices.SortFunc(files, func(a, b *os.File) int { return strings.Compare(a.Name(), b.Name()) })
	for _, file := range files {
		parts := strings.Split(file.Name(), ":") // fd:0000:name:
		sockets = append(sockets, &socket{name: parts[2], file: file})
	}
	return sockets, nil
}

// activated returns a listener on the socket of that name.
func (s *succession) activated(name string) (net.Listener, error) {
	if len(s.sockets) == 0 {
		return nil, errors.New("systemd has passed on no socket: it does so to a service that a socket unit starts")
	}
	i := slices.IndexFunc(s.sockets, func(k *socket) bool { return k.name == name })
	if i < 0 {
		return nil, fmt.Errorf("systemd has passed on %s: a name is that of the socket unit, or its FileDescriptorName=", strings.Join(s.names(true), ", "))
	}
	ln, err := net.FileListener(s.sockets[i].file)
	if err != nil {
		return nil, err
	}
	if !listens(ln) {
		_ = ln.Close()
		return nil, errors.New("nobody can listen on it; have its unit say ListenStream=, and not Accept=yes")
	}
	s.sockets[i].served = true
	return &listener{Listener: ln.(tableflip.Listener), succession: s, activated: true}, nil
}

// names returns those of systemd's sockets: all, or those that nobody serves.
func (s *succession) names(all bool) (names []string) {
	for _, socket := range s.sockets {
		if all || !socket.served {
			names = append(names, socket.name)
		}
	}
	return names
}
