//go:build linux

package faults

import (
	"context"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"
)

// Upstream's name cannot be looked up from the beginning: clients are told so, until it
// can be.
func TestNameIsNotFound(t *testing.T) {
	t.Parallel()
	for _, f := range []struct {
		name string
		mode int32
	}{
		{"the server fails", nameFails},
		{"the server is silent", nameIsSilent},
	} {
		t.Run(f.name, func(t *testing.T) {
			t.Parallel()
			names, s := newNamed(t, f.mode)
			if v := s.knock(s.warden.address, nil); v.status != 502 && v.status != 504 {
				t.Errorf("status %d, want 502 or 504", v.status)
			}
			s.warden.wantNothingLeft(t, map[string]int{}, map[string]int{})
			if got := s.warden.figures(t).by("wswarden_upstream_dials_total", "outcome"); got["unresolved"] == 0 {
				t.Errorf("dials are counted as %v, want some unresolved", got)
			}
			names.mode.Store(nameIsKnown)
			all := []*session{s.openAgain(nil)}
			converse(t, all, len(usual))
			bye(t, all)
			s.wantCounted(all, "client_close")
		})
	}
}

// The name can no longer be looked up after it was: where it led is where clients go.
func TestNameIsLost(t *testing.T) {
	t.Parallel()
	names, s := newNamed(t, nameIsKnown)
	all := s.open(1, nil)
	names.mode.Store(nameFails)
	for names.failed.Load() == 0 { // the answer is believed for some seconds
		time.Sleep(soon)
		all = append(all, s.open(1, nil)...)
	}
	all = append(all, s.open(1, nil)...)
	converse(t, all, 3)
	bye(t, all)
	s.wantCounted(all, "client_close")
}

// newNamed starts a scene in which upstream has a name.
func newNamed(t *testing.T, mode int32) (*names, *scene) {
	t.Helper()
	names := newNames(t)
	names.mode.Store(mode)
	s := emptyScene(t)
	_, port, _ := net.SplitHostPort(s.listen(t, "127.0.0.1:0"))
	warden, _ := startWarden(t, s.configuration("upstream.test:"+port, ""), nil, namesVar+"="+names.address)
	s.use(warden)
	return names, s
}

// What a server of names does.
const (
	nameIsKnown int32 = iota
	nameFails
	nameIsSilent
)

// names is a server that knows one address for all names.
type names struct {
	address string
	mode    atomic.Int32
	failed  atomic.Int32 // questions that it has failed to answer
}

func newNames(t *testing.T) *names {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &names{address: conn.LocalAddr().String()}
	done := make(chan struct{})
	go func() {
		defer close(done)
		n.serve(t, conn)
	}()
	t.Cleanup(func() {
		_ = conn.Close()
		<-done
	})
	return n
}

func (n *names) serve(t *testing.T, conn net.PacketConn) {
	buf := make([]byte, 4096)
	for {
		size, from, err := conn.ReadFrom(buf)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if err := m.Unpack(buf[:size]); err != nil || len(m.Questions) != 1 {
			t.Errorf("no question: %v", err)
			continue
		}
		mode := n.mode.Load()
		if mode == nameIsSilent {
			continue
		}
		answer := dnsmessage.Message{Header: dnsmessage.Header{ID: m.ID, Response: true}, Questions: m.Questions}
		switch q := m.Questions[0]; {
		case mode == nameFails:
			answer.RCode = dnsmessage.RCodeServerFailure
			n.failed.Add(1)
		case q.Type == dnsmessage.TypeA:
			answer.Answers = []dnsmessage.Resource{{
				Header: dnsmessage.ResourceHeader{Name: q.Name, Class: q.Class, TTL: 1},
				Body:   &dnsmessage.AResource{A: [4]byte{127, 0, 0, 1}},
			}}
		}
		packed, err := answer.Pack()
		if err != nil {
			t.Error(err)
			continue
		}
		_, _ = conn.WriteTo(packed, from)
	}
}

const namesVar = "WSWARDEN_FAULTS_NAMES"

// useResolver has this process ask the server that it was started with.
func useResolver() {
	if address := os.Getenv(namesVar); address != "" {
		net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "udp", address)
		}}
	}
}
