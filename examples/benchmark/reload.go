//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"
)

// reloads has numbered messages echoed in sessions while one configuration follows the
// other. An error says so if a session is lost, or a message is, or is another.
func (b *bench) reloads(ctx context.Context, e *entrant, w work, to results) (err error) {
	r, err := b.startReloading(ctx, e)
	if err != nil {
		return err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = r.explain(err)
		}
		err = errors.Join(err, r.stop())
	}()
	l, err := newNumberedLoad(ctx, r.address, w.echoing, reloadKind)
	if err != nil {
		return err
	}
	late := &lateSessions{word: reading}
	busy, err := b.reloadUnder(ctx, r, l, late, w.reloads, to)
	err = errors.Join(err, l.stop(), late.close())
	for _, lost := range l.lost[:min(3, len(l.lost))] {
		err = errors.Join(err, lost)
	}
	if len(l.lost) > 0 {
		err = errors.Join(err, fmt.Errorf("%d of %d sessions are lost", len(l.lost), len(l.clients)))
	}
	if err != nil {
		l.abandon()
		return err
	}
	limit := max(1, topicsEach-(w.reloads+len(reloadSteps)-4)/len(reloadSteps))
	if err := errors.Join(l.wantTopics(ctx, limit), l.close(ctx)); err != nil {
		return err
	}
	to.add(reloadLost, reloaded, float64(len(l.lost)))
	to.add(reloadMessages, reloaded, float64(busy.messages))
	return nil
}

// reloadUnder carries out the steps while the load is on.
func (b *bench) reloadUnder(ctx context.Context, r *reloading, l *numberedLoad, late *lateSessions, count int, to results) (busy *phase, err error) {
	if err := pause(ctx, b.settle); err != nil { // buffers grow
		return nil, err
	}
	before, err := r.heap(ctx)
	if err != nil {
		return nil, err
	}
	l.measure()
	if err := pause(ctx, b.settle); err != nil {
		return nil, err
	}
	l.measure().addTo(to, settled)
	began := time.Now()
	for i := range count {
		if err := pause(ctx, time.Until(began.Add(reloadEvery*time.Duration(i)))); err != nil {
			return nil, err
		}
		step := reloadSteps[i%len(reloadSteps)]
		r.plan.Step, r.plan.Mark = i, i%marks
		step.change(&r.plan)
		if err := r.step(ctx, step.told); err != nil {
			return nil, err
		}
		if r.plan.Second != 0 {
			if err := late.open(ctx, fmt.Sprintf("127.0.0.1:%d", r.plan.Second)); err != nil {
				return nil, err
			}
		}
	}
	took := time.Since(began)
	busy = l.measure()
	busy.addTo(to, reloaded)
	if err := pause(ctx, b.settle); err != nil {
		return nil, err
	}
	after, err := r.heap(ctx)
	if err != nil {
		return nil, err
	}
	if err := late.exchange(); err != nil {
		return nil, err
	}
	to.add(reloadHeap, settled, before)
	to.add(reloadHeap, reloaded, after)
	to.add(reloadSeconds, reloaded, took.Seconds())
	return busy, r.outcomes(ctx, to)
}

// outcomes adds what wswarden says of the reloads.
func (r *reloading) outcomes(ctx context.Context, to results) error {
	s, err := r.scrape(ctx)
	if err != nil {
		return err
	}
	for _, outcome := range []figure{reloadApplied, reloadRefused} {
		label := "outcome=" + strings.TrimPrefix(outcome.Key, "reload_")
		to.add(outcome, reloaded, s.sum("wswarden_config_reloads_total", label))
	}
	var took []time.Duration
	for _, line := range r.lines {
		if d, err := time.ParseDuration(line.Took); err == nil && line.Why != "" {
			took = append(took, d)
		}
	}
	if len(took) == 0 {
		return errors.New("the log does not say how long a reload takes")
	}
	slices.Sort(took)
	to.add(reloadTook, reloaded, milliseconds(took[len(took)/2]))
	to.add(reloadMost, reloaded, milliseconds(took[len(took)-1]))
	return nil
}

func (p *phase) addTo(to results, name string) {
	if len(p.latencies) == 0 {
		return
	}
	slices.Sort(p.latencies)
	to.add(reloadP50, name, milliseconds(p.latencies[len(p.latencies)/2]))
	to.add(reloadP99, name, milliseconds(p.latencies[len(p.latencies)*99/100]))
}

func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// lateSessions begin by a listener that is there for a while only.
type lateSessions struct {
	word  string
	conns []net.Conn
	next  []int // numbers of messages
}

func (s *lateSessions) numbered(i int) numbered {
	return numbered{number: 1<<20 + i, texts: ofRAC(s.word)}
}

func (s *lateSessions) open(ctx context.Context, address string) error {
	conn, err := openNumbered(ctx, address, s.word, s.numbered(len(s.conns)))
	if err != nil {
		return fmt.Errorf("by the other listener: %w", err)
	}
	s.conns, s.next = append(s.conns, conn), append(s.next, 0)
	return s.exchange()
}

// exchange has some messages echoed in each.
func (s *lateSessions) exchange() error {
	for i, conn := range s.conns {
		n := s.numbered(i)
		if err := conn.SetDeadline(time.Now().Add(patience)); err != nil {
			return err
		}
		for range 3 {
			if err := exchange(conn, n.frames(nil, n.key(), s.next[i], forFragments), n.frames(nil, nil, s.next[i], forAnswer)); err != nil {
				return fmt.Errorf("session %d of the other listener: %w", i, err)
			}
			s.next[i]++
		}
	}
	return nil
}

func (s *lateSessions) close() (err error) {
	for _, conn := range s.conns {
		err = errors.Join(err, closeSession(conn))
	}
	return err
}
