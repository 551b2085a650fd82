//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"
)

// The cases, and what does not vary in them.
const (
	caseEcho      = "echo"
	caseBulk      = "bulk"
	caseHandshake = "handshake"
	caseIdle      = "idle"
	caseInspect   = "inspect"
	caseRefuse    = "refuse"
	caseListing   = "listing"
	caseReload    = "reload"
	caseTLS       = "tls"
	caseSoak      = "soak" // not one of the cases: it takes its time, and is measured alone

	echoConnections = 200
	echoMessage     = 128
	bulkConnections = 16
	bulkMessage     = 64 << 10
	// spare descriptors and sessions, beyond those of the idle case.
	spare = 500
)

var cases = []string{caseEcho, caseBulk, caseHandshake, caseIdle, caseInspect, caseRefuse, caseListing, caseReload, caseTLS}

// withItself reports whether a case compares wswarden with itself.
func withItself(kind string) bool {
	return kind == caseInspect || kind == caseRefuse || kind == caseListing || kind == caseReload
}

// bench is one run of the benchmark.
type bench struct {
	options
	place       place
	certificate *certificate
	upstream    *process
	entrants    []*entrant
}

// entrant is a target that takes part.
type entrant struct {
	target
	program string
	// process serves every case but idle, reload and tls; it is the upstream itself
	// for direct.
	process *process
}

// run measures every target that is there, and tells of its progress.
func run(ctx context.Context, o options, progress io.Writer) (_ results, err error) {
	b, err := newBench(o, max(o.work.sessions, o.work.echoing))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()

	for _, t := range targets {
		if !slices.Contains(o.only, t.name) || !slices.ContainsFunc(o.cases, t.takes) || t.name == before && o.before == "" {
			continue
		}
		if err := b.enter(ctx, t); err != nil {
			if ctx.Err() != nil {
				return nil, err
			}
			fmt.Fprintf(progress, "%s is skipped: %v\n", t.name, err)
		}
	}

	return b.rounds(ctx, progress)
}

// newBench starts upstream, for so many sessions at a time. The caller calls stop.
func newBench(o options, sessions int) (b *bench, err error) {
	b = &bench{options: o, place: place{
		Sessions: sessions + spare,
		Files:    2*(sessions+spare) + spare,
		Cores:    runtime.NumCPU(),
	}}
	var limit unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &limit); err != nil {
		return nil, err
	}
	if limit.Max < uint64(b.place.Files) {
		return nil, fmt.Errorf("for %d sessions a proxy needs %d file descriptors, and the limit is %d", sessions, b.place.Files, limit.Max)
	}
	if b.place.Dir, err = os.MkdirTemp("", "benchmark-"); err != nil {
		return nil, err
	}
	if b.certificate, err = newCertificate(b.place.Dir); err == nil {
		b.upstream, err = startEcho(b.place.Dir)
	}
	if err != nil {
		return nil, errors.Join(err, os.RemoveAll(b.place.Dir))
	}
	b.place.Upstream = b.upstream.address
	return b, nil
}

// enter starts a target, or says why it cannot take part.
func (b *bench) enter(ctx context.Context, t target) (err error) {
	e := &entrant{target: t, process: b.upstream}
	if t.name != direct {
		if t.name == before {
			e.program = b.before
		} else if t.isWswarden() && b.wswarden != "" {
			e.program = b.wswarden
		} else if e.program, err = t.find(ctx, b.place.Dir); err != nil {
			return err
		}
		if e.process, err = b.start(ctx, e); err != nil {
			return err
		}
	}
	b.entrants = append(b.entrants, e)
	return nil
}

func (b *bench) start(ctx context.Context, e *entrant) (*process, error) {
	return b.startAt(ctx, e, b.place)
}

func (b *bench) startAt(ctx context.Context, e *entrant, p place) (*process, error) {
	var extra []string
	if e.isWswarden() {
		extra = b.wswardenArgs
	}
	return e.target.start(ctx, e.program, extra, p)
}

func (b *bench) stop() (err error) {
	for _, e := range b.entrants {
		if e.name != direct {
			err = errors.Join(err, e.process.stop())
		}
	}
	return errors.Join(err, b.upstream.stop(), os.RemoveAll(b.place.Dir))
}

// rounds warms every proxy up and then measures, each round beginning with
// another target.
func (b *bench) rounds(ctx context.Context, progress io.Writer) (results, error) {
	w := b.work
	little := work{w.echoes/10 + 1, w.messages/10 + 1, w.handshakes/10 + 1, w.sessions, w.echoing, w.reloads}
	for _, e := range b.entrants {
		fmt.Fprintf(progress, "warming up %s\n", e.name)
		for _, kind := range b.cases {
			if kind == caseIdle || kind == caseReload || kind == caseTLS { // whose processes are fresh ones
				continue
			}
			if err := b.measure(ctx, e, kind, little, 0, make(results)); err != nil {
				return nil, err
			}
		}
	}
	// Where wswarden is compared with itself, what is compared follows closely.
	together := [][]string{slices.DeleteFunc(slices.Clone(b.cases), withItself)}
	for _, kind := range b.cases {
		if withItself(kind) {
			together = append(together, []string{kind})
		}
	}
	measured := make(results)
	for round := range b.options.rounds {
		for _, kinds := range together {
			if err := b.round(ctx, round, kinds, measured, progress); err != nil {
				return nil, err
			}
		}
	}
	return measured, nil
}

// round measures some cases of every target that takes part in them.
func (b *bench) round(ctx context.Context, number int, kinds []string, to results, progress io.Writer) error {
	entrants := slices.DeleteFunc(slices.Clone(b.entrants), func(e *entrant) bool { return !slices.ContainsFunc(kinds, e.takes) })
	for i := range entrants {
		e := entrants[(i+number)%len(entrants)]
		fmt.Fprintf(progress, "round %d of %d: %s\n", number+1, b.options.rounds, e.name)
		for _, kind := range kinds {
			if err := b.measure(ctx, e, kind, b.work, number, to); err != nil {
				return err
			}
		}
	}
	return nil
}

// measure does the work of one case, if the target takes part in it, and adds its
// figures to the results. The rounds count from 0.
func (b *bench) measure(ctx context.Context, e *entrant, kind string, w work, round int, to results) (err error) {
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = e.process.explain(fmt.Errorf("%s case: %w", kind, err))
		}
	}()
	if !e.takes(kind) {
		return nil
	}
	if e.name == watched {
		stop := watch(ctx, e.process)
		defer func() { err = errors.Join(err, stop()) }()
	}
	switch kind {
	case caseEcho:
		cpu, latencies, err := echoes(ctx, e.process, echoConnections, noise, echoMessage, w.echoes)
		if err != nil {
			return err
		}
		slices.Sort(latencies)
		to.add(echoP50, e.name, milliseconds(latencies[len(latencies)/2]))
		to.add(echoP99, e.name, milliseconds(latencies[len(latencies)*99/100]))
		if e.name != direct {
			to.add(echoCPU, e.name, cpu.Seconds()*1e6/float64(w.echoes))
		}
	case caseBulk:
		cpu, _, err := echoes(ctx, e.process, bulkConnections, noise, bulkMessage, w.messages)
		if err != nil {
			return err
		}
		to.add(bulkCPU, e.name, cpu.Seconds()*1e9/float64(2*w.messages*bulkMessage)) // there and back
	case caseHandshake:
		cpu, err := sessions(ctx, e.process, w.handshakes)
		if err != nil {
			return err
		}
		to.add(handshakeCPU, e.name, cpu.Seconds()*1e6/float64(w.handshakes))
	case caseRefuse:
		measure := sessions
		if e.name == full {
			measure = refusals
		}
		cpu, err := measure(ctx, e.process, w.handshakes)
		if err != nil {
			return err
		}
		to.add(refuseCPU, e.name, cpu.Seconds()*1e6/float64(w.handshakes))
	case caseIdle:
		kib, err := b.idle(ctx, e, w.sessions)
		if err != nil {
			return err
		}
		to.add(idleMemory, e.name, kib/float64(w.sessions))
	case caseListing:
		return b.listing(ctx, e.process, w, round, to)
	case caseReload:
		return b.reloads(ctx, e, w, to)
	case caseTLS:
		return b.overTLS(ctx, e, w, to)
	case caseInspect:
		cpu, _, err := echoes(ctx, e.process, echoConnections, news, echoMessage, w.echoes)
		if err != nil {
			return err
		}
		to.add(inspectCPU, e.name, cpu.Seconds()*1e6/float64(2*w.echoes)) // there and back
	}
	return nil
}

// sessions opens and closes count sessions and returns what that cost the process.
func sessions(ctx context.Context, p *process, count int) (time.Duration, error) {
	return spent(p, func() error {
		return each(ctx, count, func(i int) error {
			conn, err := p.open(ctx, i)
			if err != nil {
				return err
			}
			return closeSession(conn)
		})
	})
}

// refusals asks for count sessions while another one has the only seat, and returns
// what that cost the process.
func refusals(ctx context.Context, p *process, count int) (cpu time.Duration, err error) {
	conn, err := openSession(ctx, p.address, 0)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, closeSession(conn)) }()
	return spent(p, func() error {
		return each(ctx, count, func(int) error { return wantRefused(ctx, p.address) })
	})
}

// echoes has count messages echoed and returns the CPU time that it cost the
// process, and each message's latency.
func echoes(ctx context.Context, p *process, connections int, messages messages, size, count int) (cpu time.Duration, latencies []time.Duration, err error) {
	l, err := newLoad(ctx, p.address, connections, messages, size)
	if err != nil {
		return 0, nil, err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	// The first messages of a connection pay for its buffers.
	if _, err := l.run(ctx, 4*connections); err != nil {
		return 0, nil, err
	}
	cpu, err = spent(p, func() error {
		latencies, err = l.run(ctx, count)
		return err
	})
	return cpu, latencies, err
}

// idle returns by how much the memory of a fresh process has grown, in KiB,
// once it holds that many sessions that have had one message echoed each.
func (b *bench) idle(ctx context.Context, e *entrant, sessions int) (kib float64, err error) {
	p, err := b.start(ctx, e)
	if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, p.stop()) }()
	return b.grown(ctx, p, sessions)
}

// grown is idle for a process that is fresh.
func (b *bench) grown(ctx context.Context, p *process, sessions int) (kib float64, err error) {
	before, err := memory(p.Pid)
	if err != nil {
		return 0, err
	}
	conns, err := p.openAll(ctx, sessions)
	if err != nil {
		return 0, p.explain(err)
	}
	defer func() { err = errors.Join(err, closeAll(ctx, conns)) }()
	select {
	case <-time.After(b.settle):
	case <-ctx.Done():
		return 0, ctx.Err()
	}
	after, err := memory(p.Pid)
	return after - before, err
}

// spent returns the CPU time that the process uses for some work.
func spent(p *process, work func() error) (time.Duration, error) {
	before, err := cpuTime(p.Pid)
	if err != nil {
		return 0, err
	}
	if err := work(); err != nil {
		return 0, err
	}
	after, err := cpuTime(p.Pid)
	return after - before, err
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
