package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/cloudflare/tableflip"

	"wswarden/proxy"
)

// replacementTimeout is how long a successor may take to be ready. Then it is killed.
const replacementTimeout = time.Minute

// succession is this process among those that serve one after the other: SIGUSR2 starts
// the next one, with the same arguments and environment, of the file that has the
// program's name by then. It takes over the listeners, and this one drains.
type succession struct {
	upgrader *tableflip.Upgrader
	systemd  *systemd
	log      *slog.Logger
	signals  chan os.Signal
	before   int         // the predecessor's process id; 0: there is none
	gone     atomic.Bool // the predecessor has ended
	starting atomic.Bool // a successor

	// mu is held while a successor starts: nothing is opened or closed as long as
	// nobody knows which of the two will have it.
	mu      sync.Mutex
	turn    turn
	taken   map[place]bool
	sockets []*socket // that systemd has passed on, in its order
}

// turn is whose turn it is to serve.
type turn int

const (
	turnBefore turn = iota // the predecessor's, until this process is ready
	turnOwn
	turnAfter // the successor's
)

// newSuccession takes SIGUSR2, which from then on ends the process no more.
func newSuccession() *succession {
	s := &succession{signals: make(chan os.Signal, 1), turn: turnOwn, taken: make(map[place]bool)}
	signal.Notify(s.signals, syscall.SIGUSR2)
	return s
}

// takeOver takes what the process before this one, or systemd, has passed on. It is
// called once in a process.
func (s *succession) takeOver(log *slog.Logger) (err error) {
	s.log = log
	if s.upgrader, err = tableflip.New(tableflip.Options{UpgradeTimeout: replacementTimeout}); err != nil {
		return fmt.Errorf("take over from the process before: %w", err)
	}
	if s.upgrader.HasParent() {
		s.turn, s.before = turnBefore, os.Getppid()
	}
	s.systemd = newSystemd(log, s.before != 0)
	s.sockets, err = passedSockets(s.upgrader)
	return err
}

// run serves, and has this process begin its turn: it is called when all listeners are
// open. A predecessor drains from then on.
func (s *succession) run(server *proxy.Server, serve func() error) error {
	s.mu.Lock()
	s.turn = turnOwn
	unserved := s.names(false)
	s.mu.Unlock()
	if len(unserved) > 0 {
		s.log.Warn("clients wait in vain where systemd listens and wswarden does not; have a listener with address systemd:NAME for each", "names", unserved)
	}
	if s.before != 0 {
		s.log.Info("listeners taken over", "pid", os.Getpid(), "from", s.before)
	}
	s.systemd.ready(s.before != 0)
	if err := s.upgrader.Ready(); err != nil { // it has died: all the more reason to go on
		s.log.Warn("the process before this one cannot be told to drain", "pid", s.before, "error", err.Error())
	}
	over, end := context.WithCancel(context.Background())
	var helpers sync.WaitGroup
	helpers.Go(func() { s.obey(over, server) })
	helpers.Go(func() { s.awaitPredecessor(over) })
	helpers.Go(func() { s.systemd.watch(over, server) })
	err := serve()
	end()
	helpers.Wait()
	return err
}

// obey takes SIGUSR2 until the server's work is over.
func (s *succession) obey(over context.Context, server *proxy.Server) {
	var replacements sync.WaitGroup
	defer replacements.Wait()
	for {
		select {
		case <-over.Done():
			return
		case <-s.signals:
			replacements.Go(func() { s.replace(server) })
		}
	}
}

// replace starts a successor, and has the server drain once that one is ready.
func (s *succession) replace(server *proxy.Server) {
	refuse := func(why string) { s.log.Error("replacement refused: " + why) }
	switch {
	case os.Getpid() == 1:
		refuse("a container ends with its first process, which this is; roll out a new container instead")
		return
	case server.Draining().Err() != nil:
		refuse("wswarden drains")
		return
	case s.before != 0 && !s.gone.Load():
		refuse("the process before this one still drains")
		return
	case !s.starting.CompareAndSwap(false, true):
		refuse("one is under way")
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.turn != turnOwn {
		s.starting.Store(false)
		refuse("there has been one")
		return
	}
	began := time.Now()
	s.log.Info("replacement starts", "program", os.Args[0])
	s.systemd.reloading()
	abandon := context.AfterFunc(server.Draining(), s.upgrader.Stop)
	err := s.upgrade()
	abandon()
	s.starting.Store(false) // before the log has somebody try again
	if err != nil && server.Draining().Err() != nil {
		s.log.Warn("replacement given up, as wswarden drains")
		return
	}
	if err != nil {
		s.log.Error("replacement failed, this process goes on", "error", err.Error())
		s.systemd.reloaded()
		return
	}
	s.turn = turnAfter
	s.systemd.silence()
	s.log.Info("replaced", "took", time.Since(began).Round(time.Millisecond).String())
	server.HandOver()
}

// upgrade returns when a successor is ready. That the predecessor has ended, tableflip may
// learn a moment later than this process.
func (s *succession) upgrade() (err error) {
	for range 1000 {
		if err = s.upgrader.Upgrade(); err == nil || err.Error() != "parent hasn't exited" {
			break
		}
		time.Sleep(time.Millisecond)
	}
	return err
}

// awaitPredecessor tells when the process before this one has ended. This one can be
// replaced from then on.
func (s *succession) awaitPredecessor(over context.Context) {
	if s.before == 0 {
		return
	}
	_ = s.upgrader.WaitForParent(over) // however it has ended
	if over.Err() == nil {
		s.gone.Store(true)
		s.log.Info("the process before this one has ended", "pid", s.before)
	}
}
