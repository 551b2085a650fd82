package proxy

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/user"
	"slices"
	"strconv"
	"syscall"

	"wswarden/config"
)

// Listen opens a socket to listen on. The network is tcp or unix; or systemd, whose
// address is the name of a socket that is passed on.
type Listen func(network, address string) (net.Listener, error)

// ListenAlone opens a socket that nobody passes on, as a server does that is not told
// how to: see Options. Sockets that one of TCP accepts inherit what is set on it, which
// saves calls; Multipath TCP knows few such options.
func ListenAlone(network, address string) (net.Listener, error) {
	switch network {
	case "systemd":
		return nil, errors.New("wswarden was not started by systemd, which is to pass it on")
	case "unix":
		if err := removeStale(address); err != nil {
			return nil, err
		}
	}
	c := net.ListenConfig{KeepAlive: -1}
	c.SetMultipathTCP(false)
	return c.Listen(context.Background(), network, address)
}

// removeStale removes the socket of a process that has gone without doing so.
func removeStale(path string) error {
	info, err := os.Lstat(path)
	switch {
	case err != nil:
		return nil
	case info.Mode().Type() != os.ModeSocket:
		return &os.PathError{Op: "listen", Path: path, Err: syscall.EEXIST}
	}
	conn, err := net.Dial("unix", path)
	if err == nil {
		_ = conn.Close()
		return &os.PathError{Op: "listen", Path: path, Err: syscall.EADDRINUSE}
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return err
	}
	return os.Remove(path)
}

// open binds a listener's address.
func (s *Server) open(l config.Listener, cfg *config.Config) (*listener, error) {
	ln, err := s.listen(l.Network())
	if err != nil {
		return nil, err
	}
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err == nil && !isUnix(ln.Addr()) {
		err = tuneRaw(raw, cfg)
	}
	if errors.Is(err, syscall.ENOPROTOOPT) {
		err = errors.New("the socket that is passed on is not one of plain TCP, but perhaps of Multipath TCP")
	}
	if err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return &listener{Listener: ln, configured: l.Address, raw: raw, log: s.log, edges: s.edges}, nil
}

// tuneRaw sets a listener's options, which accepted sockets inherit.
func tuneRaw(c syscall.RawConn, cfg *config.Config) (err error) {
	controlErr := c.Control(func(fd uintptr) { err = tuneSocket(int(fd), cfg, keepIdle) })
	return errors.Join(controlErr, err)
}

// own gives a unix socket's file the mode and the owner that the configuration says.
func own(l config.Listener) error {
	network, path := l.Network()
	if network != "unix" {
		return nil
	}
	uid, err := idOf(l.Owner, func(name string) (string, error) {
		u, err := user.Lookup(name)
		if err != nil {
			return "", err
		}
		return u.Uid, nil
	})
	if err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	gid, err := idOf(l.Group, func(name string) (string, error) {
		g, err := user.LookupGroup(name)
		if err != nil {
			return "", err
		}
		return g.Gid, nil
	})
	if err != nil {
		return fmt.Errorf("group: %w", err)
	}
	if uid >= 0 || gid >= 0 {
		if err := os.Lchown(path, uid, gid); err != nil {
			return err
		}
	}
	mode := uint64(0o660)
	if l.Mode != "" {
		if mode, err = strconv.ParseUint(l.Mode, 8, 9); err != nil {
			return fmt.Errorf("mode: %w", err)
		}
	}
	return os.Chmod(path, os.FileMode(mode))
}

// idOf returns the number of an owner, who is known by number or by name; -1 for none.
func idOf(name string, lookup func(string) (string, error)) (int, error) {
	if name == "" {
		return -1, nil
	}
	if id, err := strconv.Atoi(name); err == nil {
		return id, nil
	}
	id, err := lookup(name)
	if err != nil {
		return -1, err
	}
	return strconv.Atoi(id)
}

// notOpened says why a listener cannot be opened; others: there are some already.
func notOpened(i int, l config.Listener, err error, others bool) *config.Problem {
	why, remedy := err.Error(), "use another"
	if e, ok := errors.AsType[*os.SyscallError](err); ok {
		why = e.Err.Error()
	}
	if errors.Is(err, syscall.EADDRINUSE) {
		why = syscall.EADDRINUSE.Error()
		remedy = "stop who has it, or use another port"
		if network, _ := l.Network(); network == "unix" {
			remedy = "stop who has it, or use another path"
		}
		if others {
			remedy += "; to move a listener of wswarden's own to another host, restart it"
		}
	}
	return &config.Problem{
		Key:  fmt.Sprintf("listeners[%d].address", i),
		Text: fmt.Sprintf("%s cannot be listened on: %s; %s", l.Address, why, remedy),
	}
}

// openMissing binds the addresses of a configuration on which nobody listens yet, and
// makes ready the settings of all its listeners.
func (s *Server) openMissing(cfg *config.Config) (opened []*listener, settings []*listenerSettings, problem *config.Problem) {
	there := s.listeners.addresses()
	others := len(there) > 0
	for i, l := range cfg.Listeners {
		secure, err := s.secureListener(l)
		if err != nil {
			closeAll(opened)
			return nil, nil, &config.Problem{Key: fmt.Sprintf("listeners[%d].tls", i), Text: err.Error()}
		}
		settings = append(settings, &listenerSettings{l, cfg.TrustedProxies, secure})
		if found := slices.Index(there, l.Address); found >= 0 {
			there = slices.Delete(there, found, found+1)
			continue
		}
		ln, err := s.open(l, cfg)
		if err == nil {
			opened = append(opened, ln)
			err = own(l)
		}
		if err != nil {
			closeAll(opened)
			return nil, nil, notOpened(i, l, err, others)
		}
	}
	return opened, settings, nil
}
