//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"time"
)

// The rows of the listing case: what its target does, and how it is asked to list all
// its sessions meanwhile.
const (
	crowd    = "crowd"    // not at all
	listed   = "listed"   // with one stream a second
	relisted = "relisted" // with a stream, and with the next one when that is complete
	paged    = "paged"    // page by page to the end, and then anew
)

// listing is a way to have all sessions listed.
type listing struct {
	name  string
	list  func(ctx context.Context, p *process, sessions int) error // nil: they are not
	every time.Duration                                             // 0: without a pause
}

var listings = []listing{
	{name: crowd},
	{listed, stream, time.Second},
	{relisted, stream, 0},
	{paged, pages, 0},
}

// alone is how many listings are measured while nobody else asks for anything.
const alone = 10

// listing measures what it is to echoes that all sessions are listed, and what it
// costs to list them.
func (b *bench) listing(ctx context.Context, p *process, w work, round int, to results) (err error) {
	conns, err := openSessions(ctx, p.address, max(0, w.sessions-echoConnections))
	if err != nil {
		return err
	}
	defer func() {
		err = errors.Join(err, each(ctx, len(conns), func(i int) error { return closeSession(conns[i]) }))
	}()
	l, err := newLoad(ctx, p.address, echoConnections, noise, echoMessage)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.close(ctx)) }()
	if _, err := l.run(ctx, 4*echoConnections); err != nil {
		return err
	}
	sessions := len(conns) + echoConnections

	for i := range listings {
		// Of thousands that are silent for as long, the probes of their systems come
		// at once, are lost, and so are the sessions.
		err := each(ctx, len(conns), func(i int) error {
			frame, want := noise(i, echoMessage)
			return exchange(conns[i], frame, want)
		})
		if err != nil {
			return err
		}
		if err := listings[(i+round)%len(listings)].measure(ctx, p, l, sessions, 2*w.echoes, to); err != nil {
			return err
		}
	}
	for _, k := range listings {
		if k.list == nil || k.every > 0 {
			continue
		}
		began := time.Now()
		cpu, err := spent(p, func() error {
			for range alone {
				if err := k.list(ctx, p, sessions); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
		to.add(listingAlone, k.name, milliseconds(time.Since(began))/alone)
		to.add(listingCPU, k.name, milliseconds(cpu)/alone)
	}
	return nil
}

// measure has messages echoed while sessions are listed so.
func (k listing) measure(ctx context.Context, p *process, l *load, sessions, echoes int, to results) error {
	before, err := loopLag(ctx, p)
	if err != nil {
		return err
	}
	stop := k.begin(ctx, p, sessions)
	latencies, err := l.run(ctx, echoes)
	took, listErr := stop()
	if err := errors.Join(err, listErr); err != nil {
		return err
	}
	after, err := loopLag(ctx, p)
	if err != nil {
		return err
	}
	slices.Sort(latencies)
	to.add(listingP50, k.name, milliseconds(latencies[len(latencies)/2]))
	to.add(listingP99, k.name, milliseconds(latencies[len(latencies)*99/100]))
	if count := after.count - before.count; count > 0 { // one a second of each loop
		to.add(listingLag, k.name, (after.seconds-before.seconds)*1000/count)
		to.add(listingLate, k.name, (after.late-before.late)*100/count)
	}
	if len(took) > 0 {
		slices.Sort(took)
		to.add(listingTime, k.name, milliseconds(took[len(took)/2]))
		to.add(listingMost, k.name, milliseconds(took[len(took)-1]))
	}
	return nil
}

// begin has the sessions listed until stop is called, which waits for the last listing
// and returns how long each took.
func (k listing) begin(ctx context.Context, p *process, sessions int) (stop func() (took []time.Duration, err error)) {
	if k.list == nil {
		return func() ([]time.Duration, error) { return nil, nil }
	}
	enough, done := make(chan struct{}), make(chan struct{})
	var took []time.Duration
	var err error
	go func() {
		defer close(done)
		for {
			began := time.Now()
			hurry, cancel := context.WithTimeout(ctx, patience)
			err = k.list(hurry, p, sessions)
			cancel()
			if err != nil {
				return
			}
			took = append(took, time.Since(began))
			select {
			case <-enough:
				return
			case <-time.After(k.every - took[len(took)-1]):
			}
		}
	}()
	return func() ([]time.Duration, error) {
		close(enough)
		<-done
		return took, err
	}
}

// stream reads all sessions, of which there are so many, in one answer.
func stream(ctx context.Context, p *process, sessions int) error {
	lines := 0
	err := p.ask(ctx, "/v1/sessions", "application/x-ndjson", func(r io.Reader) error {
		buffer := make([]byte, 64<<10)
		for {
			n, err := r.Read(buffer)
			lines += bytes.Count(buffer[:n], []byte("\n"))
			if err == io.EOF {
				return nil
			}
			if err != nil {
				return err
			}
		}
	})
	if err == nil && lines != sessions {
		err = fmt.Errorf("%d of %d sessions are listed", lines, sessions)
	}
	return err
}

// pageSize is the most that a page may have.
const pageSize = 1000

// pages reads all sessions page by page.
func pages(ctx context.Context, p *process, sessions int) error {
	var end struct {
		Matched int
		Next    string
	}
	count := 0
	for query := fmt.Sprintf("limit=%d", pageSize); ; query = fmt.Sprintf("limit=%d&cursor=%s", pageSize, url.QueryEscape(end.Next)) {
		err := p.ask(ctx, "/v1/sessions?"+query, "application/json", func(r io.Reader) error {
			page, err := io.ReadAll(r)
			if err != nil {
				return err
			}
			// What is behind the sessions; to read those would cost more than to
			// write them, on the same cores.
			page = page[bytes.LastIndexByte(page, ']')+1:]
			end.Next = ""
			return json.Unmarshal(append([]byte("{"), bytes.TrimPrefix(page, []byte(","))...), &end)
		})
		if err != nil {
			return err
		}
		count++
		if end.Next == "" {
			break
		}
	}
	if end.Matched != sessions || count != (sessions+pageSize-1)/pageSize {
		return fmt.Errorf("%d pages for %d of %d sessions", count, end.Matched, sessions)
	}
	return nil
}

// lag is how late the loops were, all together.
type lag struct {
	count, seconds float64
	late           float64 // how often by more than a millisecond
}

func loopLag(ctx context.Context, p *process) (sum lag, err error) {
	s, err := p.scrape(ctx)
	for _, loop := range s["wswarden_loop_lag_seconds"].GetMetric() {
		h := loop.GetHistogram()
		sum.count += float64(h.GetSampleCount())
		sum.seconds += h.GetSampleSum()
		for _, bucket := range h.GetBucket() {
			if bucket.GetUpperBound() == 0.001 {
				sum.late += float64(h.GetSampleCount() - bucket.GetCumulativeCount())
			}
		}
	}
	return sum, err
}
