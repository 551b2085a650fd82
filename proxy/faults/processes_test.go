//go:build linux

package faults

import (
	"syscall"
	"testing"
	"time"

	"github.com/gobwas/ws"
)

// Upstream is killed under a crowd, and comes back: every client is told, and whoever
// comes back has a session again.
func TestUpstreamIsKilled(t *testing.T) {
	t.Parallel()
	const crowd = 1000
	upstream := startProcess(t, roleEcho, "127.0.0.1:0", nil)
	s := echoes(t)
	s.use(start(t, s.configuration(upstream.said[0], "")))
	sizes := []int{1, 3000, 500}
	all := s.open(crowd, sizes)
	converse(t, all, 1)
	for _, s := range all {
		s.client.say(len(sizes)) // which is under way somewhere
	}
	must(t, upstream.Signal(syscall.SIGKILL))
	_ = upstream.ended()
	for _, s := range all {
		wantEnd(t, s.client, "") // 1014, unless half an echo has arrived
	}
	if v := s.knock(s.warden.address, sizes); v.status != 502 && v.status != 503 {
		t.Errorf("without upstream: status %d, want 502 or 503", v.status)
	}
	within(t, "no session is left", func() bool { return s.warden.figures(t).sum("wswarden_sessions_live", "", "") == 0 })

	startProcess(t, roleEcho, upstream.said[0], nil)
	first := s.openAgain(sizes)
	all = append(s.open(crowd-1, sizes), first)
	converse(t, all, len(sizes))
	bye(t, all)
	s.warden.wantNothingLeft(t, map[string]int{"upstream_lost": crowd, "client_close": crowd}, map[string]int{"switched": 2 * crowd})
}

// A part stands still for a moment, with everything under way: nobody notices.
func TestStandstill(t *testing.T) {
	t.Parallel()
	upstream := startProcess(t, roleEcho, "127.0.0.1:0", nil)
	s := echoes(t)
	warden, wswarden := startWarden(t, s.configuration(upstream.said[0], ""), nil)
	s.use(warden)
	all := s.open(2*sessions, usual)
	heard := 1
	converse(t, all, heard)
	for _, part := range []*process{upstream, wswarden} {
		part.stop(t)
		later(t, soon, func() error { return part.Signal(syscall.SIGCONT) })
		heard += len(usual) / 2
		converse(t, all, min(heard, len(usual)))
	}
	bye(t, all)
	s.wantCounted(all, "client_close")
}

// Upstream hangs, though its system takes connections: its clients are let go, and who
// comes meanwhile is told so.
func TestUpstreamHangs(t *testing.T) {
	t.Parallel()
	upstream := startProcess(t, roleEcho, "127.0.0.1:0", nil)
	before := upstream.descriptors(t)
	s := echoes(t)
	s.use(start(t, s.configuration(upstream.said[0], pings)))
	all := s.open(sessions, nil)
	converse(t, all, 2)
	upstream.stop(t)
	if v := s.knock(s.warden.address, nil); v.status != 504 {
		t.Errorf("while upstream hangs: status %d, want 504", v.status)
	}
	for _, s := range all {
		wantEnd(t, s.client, "1014")
	}
	must(t, upstream.Signal(syscall.SIGCONT))
	again := s.open(sessions, nil)
	converse(t, again, len(usual))
	bye(t, again)
	s.warden.wantNothingLeft(t,
		map[string]int{"upstream_timeout": sessions, "client_close": sessions},
		map[string]int{"switched": 2 * sessions, "timeout": 1})
	within(t, "upstream has closed all connections", func() bool { return upstream.descriptors(t) == before })
}

// wswarden itself stands still for longer than a ping may take, as on a machine that is
// suspended. All clients have answered theirs meanwhile: none of them is to blame, however
// many they are.
func TestWswardenStops(t *testing.T) {
	t.Parallel()
	const crowd = 400 // more than a loop is told of at once
	upstream := startProcess(t, roleEcho, "127.0.0.1:0", nil)
	s := echoes(t)
	warden, process := startWarden(t, s.configuration(upstream.said[0],
		beats("heartbeat: { interval: 1s, timeout: 1s, jitter: 0 }")), nil, "GOMAXPROCS=1")
	before := process.descriptors(t)
	s.use(warden)
	sizes := []int{1, 3000, 500}
	all := s.open(crowd, sizes)
	converse(t, all, 1)
	for _, s := range all {
		s.client.hush()
	}
	within(t, "everybody was pinged", func() bool {
		for _, s := range all {
			if !s.client.pinged() {
				return false
			}
		}
		return true
	})
	process.stop(t)
	for _, s := range all {
		s.client.unhush()
	}
	time.Sleep(unit) // the timeout
	must(t, process.Signal(syscall.SIGCONT))
	converse(t, all, len(sizes))
	bye(t, all)
	warden.wantNothingLeft(t, map[string]int{"client_close": crowd}, map[string]int{"switched": crowd})
	within(t, "all descriptors are closed", func() bool { return process.descriptors(t) == before })
	if err := warden.stop(); err != nil {
		t.Error(err)
	}
}

// hush has a client not answer the next ping.
func (p *peer) hush() {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.hushed, p.owed = true, nil
}

// pinged reports whether an answer is owed.
func (p *peer) pinged() bool {
	p.writing.Lock()
	defer p.writing.Unlock()
	return p.owed != nil
}

// unhush answers it, and those that come.
func (p *peer) unhush() {
	p.writing.Lock()
	defer p.writing.Unlock()
	p.hushed = false
	p.control(ws.NewPongFrame(p.owed))
}
