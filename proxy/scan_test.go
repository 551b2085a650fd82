package proxy

import (
	"context"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"wswarden/config"
	"wswarden/policies"
	"wswarden/proxy/admin/api"
	"wswarden/proxy/evloop"
)

// crew is a worker with sessions that have no connections.
type crew struct {
	*worker
	t    *testing.T
	kind *kind
}

func newCrew(t *testing.T, sessions int) *crew {
	t.Helper()
	server := idleServer()
	w, err := newWorker(server, 0, evloop.New)
	if err != nil {
		t.Fatal(err)
	}
	policy := policies.Default()
	c := &crew{w, t, &kind{policy: &policy, tallies: make([]tally, 1)}}
	for range sessions {
		c.hire()
	}
	var running sync.WaitGroup
	running.Go(func() {
		if err := w.loop.Run(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(func() {
		_ = w.loop.Stop()
		running.Wait()
		_ = w.loop.Close()
	})
	return c
}

// hire is called on the loop, or before it runs.
func (c *crew) hire() *session {
	s := &session{worker: c.worker, policy: c.kind.policy, tally: &c.kind.tallies[0]}
	s.admission = &admission{kind: c.kind, worker: c.worker, id: rand.Uint64()}
	c.add(s)
	return s
}

// Of sessions that come and go at random in the turns between, each that is there all
// the time is visited once, and none twice. One that comes, or goes, may be visited.
func TestScanVisitsEachSessionOnce(t *testing.T) {
	for range 20 {
		c := newCrew(t, 5000)
		stays := make(map[*session]bool)
		for _, s := range c.sessions {
			stays[s] = rand.IntN(3) > 0
		}
		visits := make(map[*session]int)
		turns := 0
		scanWorker(t.Context(), c.worker, func(s *session) int {
			visits[s]++
			return rand.IntN(20 * scanStep) // few are visited in a turn
		}, func() bool {
			turns++
			return c.loop.Do(func() {
				for range rand.IntN(200) {
					if s := c.sessions[rand.IntN(len(c.sessions))]; !stays[s] {
						c.remove(s)
					}
				}
				for range rand.IntN(200) {
					c.hire()
				}
			}) == nil
		})
		c.wantNoScans()
		for s, n := range visits {
			if n != 1 {
				t.Fatalf("%d turns: a session was visited %d times", turns, n)
			}
			delete(stays, s)
		}
		for _, stayed := range stays {
			if stayed {
				t.Fatalf("%d turns: a session was left out", turns)
			}
		}
		if turns < 2 {
			t.Fatal("it was all done in one turn")
		}
	}
}

// Two scans at a time do not get in each other's way, and one that is given up leaves
// nothing behind.
func TestScansAtATime(t *testing.T) {
	c := newCrew(t, 3000)
	var scans sync.WaitGroup
	for i := range 4 {
		scans.Go(func() {
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			visited := 0
			scanWorker(ctx, c.worker, func(*session) int { visited++; return scanStep }, func() bool {
				switch i {
				case 0:
					return visited < 100
				case 1:
					cancel()
				}
				return true
			})
			if i > 1 && visited != 3000 {
				t.Errorf("%d sessions visited", visited)
			}
		})
	}
	scans.Wait()
	c.wantNoScans()
}

func (c *crew) wantNoScans() {
	c.t.Helper()
	left := make(chan int)
	if err := c.loop.Do(func() { left <- len(c.scans) }); err != nil {
		c.t.Fatal(err)
	}
	if n := <-left; n != 0 {
		c.t.Errorf("%d scans are left", n)
	}
}

// A scan takes a turn's share and no more: it gives way after one look at the clock
// behind its time.
func TestScanGivesWay(t *testing.T) {
	c := newCrew(t, 10*scanStep)
	between := 0
	scanWorker(t.Context(), c.worker, func(*session) int {
		for until := evloop.Now() + scanTime/scanStep + time.Microsecond; evloop.Now() < until; {
		}
		return 0
	}, func() bool { between++; return true })
	if between < 10 {
		t.Errorf("10 times its time took %d turns", between)
	}
}

// A loop that has ended is no reason to wait.
func TestScanOfALoopThatHasEnded(t *testing.T) {
	loop, err := evloop.New()
	if err != nil {
		t.Fatal(err)
	}
	if err := loop.Close(); err != nil {
		t.Fatal(err)
	}
	scanWorker(t.Context(), &worker{loop: loop}, nil, nil)
}

func BenchmarkDescribe(b *testing.B) {
	server := idleServer()
	w := &worker{server: server}
	policy := policies.Default()
	s := &session{worker: w, policy: &policy}
	s.admission = &admission{worker: w, id: rand.Uint64(), identity: newIdentity([]byte("somebody"))}
	w.present = present{evloop.Now(), server.beginning()}
	var row api.Session
	for b.Loop() {
		s.describe(&row)
	}
}

// What a listing of 100,000 sessions costs, and for how long it holds up the loop at a
// time.
func BenchmarkScan(b *testing.B) {
	server := idleServer()
	w := &worker{server: server, scans: make(map[*scan]struct{})}
	policy := policies.Default()
	for range 100_000 {
		s := &session{worker: w, policy: &policy, tally: new(tally)}
		s.admission = &admission{worker: w, id: rand.Uint64(), identity: newIdentity([]byte("somebody"))}
		w.add(s)
	}
	var longest time.Duration
	var durations []time.Duration
	for b.Loop() {
		c := &scan{worker: w, at: -1}
		var batch []api.Session
		for more := true; more; {
			batch = batch[:0]
			began := time.Now()
			more = c.step(func(s *session) int {
				var row api.Session
				s.describe(&row)
				batch = append(batch, row)
				return 0
			})
			took := time.Since(began)
			durations, longest = append(durations, took), max(longest, took)
		}
	}
	slices.Sort(durations)
	b.ReportMetric(float64(durations[len(durations)/2].Microseconds()), "µs/turn-p50")
	b.ReportMetric(float64(durations[len(durations)*99/100].Microseconds()), "µs/turn-p99")
	b.ReportMetric(float64(longest.Microseconds()), "µs/turn-max")
}

// idleServer has a configuration, and nothing else.
func idleServer() *Server {
	s := new(Server)
	s.current.Store(&setup{Config: config.Default()})
	return s
}
