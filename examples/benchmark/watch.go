//go:build linux

package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"time"
)

// operators ask wswarden's admin API. They take compressed answers, as browsers and
// scrapers do.
var operators = http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 8}}

// ask has read called with what the admin API answers to a GET.
func (p *process) ask(ctx context.Context, path, accept string, read func(io.Reader) error) error {
	return p.request(ctx, http.MethodGet, path, accept, read)
}

func (p *process) request(ctx context.Context, method, path, accept string, read func(io.Reader) error) error {
	request, err := http.NewRequestWithContext(ctx, method, "http://"+p.admin+path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", accept)
	if p.token != "" {
		request.Header.Set("Authorization", "Bearer "+p.token)
	}
	answer, err := operators.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 1000))
		return fmt.Errorf("%s is answered with %s: %s", path, answer.Status, text)
	}
	return read(answer.Body)
}

// tell has the admin API do something.
func (p *process) tell(ctx context.Context, method, path string) error {
	return p.request(ctx, method, path, "application/json", discard)
}

func discard(r io.Reader) error {
	_, err := io.Copy(io.Discard, r)
	return err
}

// looks are what is asked for again and again by those who watch.
var looks = []struct {
	path, accept string
	every        time.Duration
}{
	{"/metrics", "text/plain;version=0.0.4", time.Second},                     // a scraper, and an eager one
	{"/metrics", "text/plain;version=0.0.4", time.Second},                     // the dashboard's charts
	{"/v1/sessions?limit=500&sort=-age", "application/json", 2 * time.Second}, // its table
}

var errSeenEnough = errors.New("seen enough")

// watch has the process looked at by a scraper and a dashboard until stop is called,
// which returns what went wrong.
func watch(ctx context.Context, p *process) (stop func() error) {
	ctx, cancel := context.WithCancelCause(ctx)
	var watchers sync.WaitGroup
	open := make(chan struct{})
	watchers.Go(func() {
		cancel(p.ask(ctx, "/v1/events", "text/event-stream", func(events io.Reader) error {
			close(open)
			return errors.Join(discard(events), errors.New("the events came to an end"))
		}))
	})
	for _, look := range looks {
		watchers.Go(func() {
			// Whoever watches has begun long ago, at any moment.
			next := time.NewTimer(rand.N(look.every))
			defer next.Stop()
			for {
				select {
				case <-next.C:
					next.Reset(look.every)
				case <-ctx.Done():
					return
				}
				if err := p.ask(ctx, look.path, look.accept, discard); err != nil {
					cancel(err)
				}
			}
		})
	}
	select {
	case <-open:
	case <-ctx.Done():
	}
	return func() error {
		cancel(errSeenEnough)
		watchers.Wait()
		if err := context.Cause(ctx); err != errSeenEnough {
			return fmt.Errorf("watching: %w", err)
		}
		return nil
	}
}
