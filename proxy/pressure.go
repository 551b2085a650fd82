package proxy

import (
	"context"
	"log/slog"
	"runtime"
	runtimemetrics "runtime/metrics"
	"time"

	"wswarden/policies"
)

const (
	// pressureInterval is how often the heap is looked at.
	pressureInterval = time.Second
	// pressureRate is how many sessions of a worker, at most, end in a second for the
	// pressure's sake: those who have to go come back.
	pressureRate = 1000
	// collectInterval is how often, at most, garbage is collected for its sake.
	collectInterval = 5 * time.Second
)

// pressed returns how short memory is.
func (s *Server) pressed() policies.Step { return policies.Step(s.pressure.Load()) }

// watchHeap has the sessions know how short memory is, until ctx is done.
func (s *Server) watchHeap(ctx context.Context) {
	ticker := time.NewTicker(pressureInterval)
	defer ticker.Stop()
	heap := newHeap()
	for watched := false; ; {
		limits := s.setup().Pressure
		if limits.Heap > 0 || watched {
			s.look(ctx, heap, limits)
		}
		watched = limits.Heap > 0
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return
		}
	}
}

// look finds out how short memory is now.
func (s *Server) look(ctx context.Context, heap *heap, limits policies.Pressure) {
	live := int64(0)
	if limits.Heap > 0 {
		live = heap.live(limits)
	}
	s.liveHeap.Store(live)
	before := s.pressed()
	step := limits.Next(before, live)
	if step == before {
		return
	}
	level := slog.LevelInfo
	if step > before {
		level = slog.LevelWarn
	}
	s.log.Log(ctx, level, "memory pressure", "heap", live, "limit", limits.Heap,
		"step", int(step), "of", int(policies.FullStep), "handshakes_refused", step.Full())
	s.press(step)
}

// press sets how short memory is.
func (s *Server) press(step policies.Step) {
	s.pressure.Store(uint32(step))
	for _, w := range s.workers {
		_ = w.loop.Do(func() { w.press(step) })
	}
}

// press has the sessions' limits shrink or grow. It is called on the loop.
func (w *worker) press(step policies.Step) {
	grows := step < w.pressure
	w.pressure = step
	if grows {
		return // each will find out when its timer is due
	}
	for i, s := range w.sessions {
		if s.cause == policies.NoCause && !s.finishing {
			w.loop.Advance(&s.timer, w.loop.Now()+time.Duration(i)*time.Second/pressureRate)
		}
	}
}

// heap measures the process's heap.
type heap struct {
	samples   []runtimemetrics.Sample
	cycles    uint64    // of the collector, so far
	collected time.Time // when there was another one, or not long after
}

func newHeap() *heap {
	return &heap{samples: []runtimemetrics.Sample{
		{Name: "/gc/heap/live:bytes"},
		{Name: "/memory/classes/heap/objects:bytes"},
		{Name: "/gc/cycles/total:gc-cycles"},
	}}
}

// live returns how many bytes were live when the garbage was last collected. Where
// that is long ago and it matters, as it is much or has become much since, it is
// found out anew.
func (h *heap) live(p policies.Pressure) int64 {
	live, all := h.read()
	if (p.Step(live) > 0 || all >= p.Heap) && time.Since(h.collected) >= collectInterval {
		runtime.GC()
		live, _ = h.read()
	}
	return live
}

func (h *heap) read() (live, all int64) {
	runtimemetrics.Read(h.samples)
	if cycles := h.samples[2].Value.Uint64(); cycles != h.cycles {
		h.cycles, h.collected = cycles, time.Now()
	}
	return int64(h.samples[0].Value.Uint64()), int64(h.samples[1].Value.Uint64())
}
