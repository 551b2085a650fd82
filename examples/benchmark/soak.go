//go:build linux

package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// The soak is no comparison: it has sessions of every kind come, live and end through
// wswarden for a while, and tells whether what that needs stays the same, whether those
// who behave are served without a fault, and whether anything is left at the end.

// soakPlan is how much of it there is.
type soakPlan struct {
	duration  time.Duration
	sessions  int           // of the crowd
	perSecond int           // of those who come and go
	unit      time.Duration // of all times that a session's life depends on
	every     time.Duration // between two samples
	settle    time.Duration // until what was kept for clients who may come is given back
}

// soak is one that is under way.
type soak struct {
	soakPlan
	ctx        context.Context
	process    *process
	tlsAddress string
	tls        *tls.Config
	browser    *http.Client

	over     atomic.Bool
	clients  sync.WaitGroup
	dialing  chan struct{} // has room for those who may be at a time
	numbers  atomic.Int64  // of the sessions
	messages atomic.Int64  // sent back, of healthy clients
	pages    atomic.Int64

	turn     sync.Mutex
	outcomes map[outcome]int
	refusals map[int]int
	faults   faults // of healthy clients
	oddities faults // of the others
}

// outcome is that of a session.
type outcome struct{ policy, cause string }

// faults are told of, but not each of very many.
type faults struct {
	Count int      `json:"count"`
	First []string `json:"first,omitempty"`
}

// soaks carries out a plan.
func soaks(ctx context.Context, o options, plan soakPlan, progress io.Writer) (told *soakReport, err error) {
	b, err := newBench(o, plan.sessions+(20*plan.perSecond))
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.stop()) }()
	s := &soak{
		soakPlan: plan, ctx: ctx, dialing: make(chan struct{}, handshakesAtOnce),
		browser:  &http.Client{Timeout: patience, Transport: &http.Transport{MaxIdleConnsPerHost: handshakesAtOnce, DisableCompression: true}},
		outcomes: make(map[outcome]int), refusals: make(map[int]int),
	}
	if err := s.start(b); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil && ctx.Err() == nil {
			err = s.process.explain(err)
		}
		err = errors.Join(err, s.process.stop())
	}()
	return s.run(progress)
}

// start starts wswarden.
func (s *soak) start(b *bench) (err error) {
	p := soakPlace{place: b.place, Certificate: b.certificate, unit: s.unit, Token: filepath.Join(b.place.Dir, "token")}
	for _, port := range []*int{&p.Port, &p.TLSPort, &p.AdminPort} {
		if *port, err = freePort(); err != nil {
			return err
		}
	}
	text, err := p.config()
	if err != nil {
		return err
	}
	file := filepath.Join(p.Dir, "soak.yaml")
	if err := errors.Join(os.WriteFile(file, text, 0o600), os.WriteFile(p.Token, []byte(operatorsToken), 0o600)); err != nil {
		return err
	}
	program := b.wswarden
	if program == "" {
		if program, err = targets[0].find(s.ctx, p.Dir); err != nil {
			return err
		}
	}
	cmd := exec.Command(program, append([]string{"serve", "--config", file}, b.wswardenArgs...)...)
	if s.process, err = startProcess(wswarden, cmd, p.Dir, fmt.Sprintf("127.0.0.1:%d", p.Port)); err != nil {
		return err
	}
	s.process.admin, s.process.token = fmt.Sprintf("127.0.0.1:%d", p.AdminPort), operatorsToken
	s.tlsAddress, s.tls = fmt.Sprintf("127.0.0.1:%d", p.TLSPort), b.certificate.client(tls.NewLRUClientSessionCache(0))
	s.tls.DynamicRecordSizingDisabled = true
	if err := s.ready(); err != nil {
		return errors.Join(s.process.explain(err), s.process.stop())
	}
	return nil
}

// ready waits until wswarden answers.
func (s *soak) ready() error {
	ctx, cancel := context.WithTimeout(s.ctx, patience)
	defer cancel()
	for {
		err := s.process.ask(ctx, "/readyz", "*/*", discard)
		if err == nil {
			return nil
		}
		select {
		case <-s.process.done:
			return errors.New("ended at once")
		case <-ctx.Done():
			return err
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func (s *soak) run(progress io.Writer) (*soakReport, error) {
	before, err := s.look()
	if err != nil {
		return nil, err
	}
	unwatch := watch(s.ctx, s.process)
	began := time.Now()
	s.fill()
	s.clients.Go(s.comings)
	samples, err := s.samples(began, progress)
	s.over.Store(true)
	err = errors.Join(err, unwatch(), s.wind(progress))
	if err != nil {
		return nil, err
	}
	left, err := s.sessionsLeft()
	if err != nil {
		return nil, err
	}
	operators.CloseIdleConnections()
	if err := pause(s.ctx, s.settle); err != nil {
		return nil, err
	}
	after, err := s.look()
	if err != nil {
		return nil, err
	}
	counts, err := s.process.scrape(s.ctx)
	if err != nil {
		return nil, err
	}
	return s.report(samples, before, after, left, counts), nil
}

// lasts reports whether clients are to go on.
func (s *soak) lasts() bool { return !s.over.Load() && s.ctx.Err() == nil }

// fill has the crowd come.
func (s *soak) fill() {
	for i := range soakKinds {
		k := &soakKinds[i]
		for range (k.crowd*s.sessions + 999) / 1000 {
			s.clients.Go(func() {
				for s.lasts() {
					s.one(k)
					_ = pause(s.ctx, s.units(0.1, 1))
				}
			})
		}
	}
}

// comings has the others come, and pages asked for.
func (s *soak) comings() {
	var kinds []*soakKind
	for i := range soakKinds {
		for range soakKinds[i].comers {
			kinds = append(kinds, &soakKinds[i])
		}
	}
	beat := time.NewTicker(time.Second / time.Duration(s.perSecond))
	defer beat.Stop()
	for i := 0; s.lasts(); i++ {
		if i%len(kinds) == 0 {
			rand.Shuffle(len(kinds), func(a, b int) { kinds[a], kinds[b] = kinds[b], kinds[a] })
		}
		k := kinds[i%len(kinds)]
		s.clients.Go(func() { s.one(k) })
		if i%5 == 0 {
			s.clients.Go(func() {
				if err := s.readPage(s.ctx); err != nil {
					s.fault(&s.faults, "page", err)
					return
				}
				s.pages.Add(1)
			})
		}
		select {
		case <-beat.C:
		case <-s.ctx.Done():
		}
	}
}

// one is the life of a client of that kind.
func (s *soak) one(k *soakKind) {
	number := int(s.numbers.Add(1))
	if k.come != nil {
		if err := k.come(s, number); err != nil {
			s.wrong(k, number, err)
		}
		return
	}
	c, err := s.dial(k, number)
	var status refusedHandshake
	switch {
	case errors.As(err, &status) && int(status) == k.status:
		s.turn.Lock()
		s.refusals[k.status]++
		s.turn.Unlock()
		return
	case err != nil:
	case k.live == nil:
		c.Close()
		err = fmt.Errorf("admitted instead of refused with %d", k.status)
	default:
		if err = k.live(s, k, c); err == nil {
			s.ended(k, k.cause)
			return
		}
		c.Close()
	}
	s.wrong(k, number, err)
}

// dial opens a session.
func (s *soak) dial(k *soakKind, number int) (*soakClient, error) {
	s.dialing <- struct{}{}
	defer func() { <-s.dialing }()
	address, config := s.way(number)
	return dialSoak(s.ctx, address, config, number, k.target(number), k.head)
}

// way returns by which listener a client comes: one of eight by TLS. It is one of whose
// first numbered messages is one that is large, as what a session with TLS needs for
// records grows once, to the largest: soon, and not in the course of the soak.
func (s *soak) way(number int) (address string, config *tls.Config) {
	for i := range 10 {
		if large(numbered{number: number}, i) {
			return s.tlsAddress, s.tls
		}
	}
	return s.process.address, nil
}

// ended counts a session that has ended as it should.
func (s *soak) ended(k *soakKind, cause string) {
	s.turn.Lock()
	defer s.turn.Unlock()
	s.outcomes[outcome{k.name, cause}]++
}

func (s *soak) wrong(k *soakKind, number int, err error) {
	where := &s.oddities
	if k.healthy {
		where = &s.faults
	}
	s.fault(where, fmt.Sprintf("%s %d", k.name, number), err)
}

func (s *soak) fault(where *faults, who string, err error) {
	if s.ctx.Err() != nil {
		return
	}
	s.turn.Lock()
	defer s.turn.Unlock()
	if where.Count++; len(where.First) < 10 {
		where.First = append(where.First, who+": "+err.Error())
	}
}

// wind waits for all clients to come to their end.
func (s *soak) wind(progress io.Writer) error {
	fmt.Fprintln(progress, "the clients leave")
	gone := make(chan struct{})
	go func() {
		s.clients.Wait()
		close(gone)
	}()
	select {
	case <-gone:
		s.browser.CloseIdleConnections()
		return s.ctx.Err()
	case <-s.ctx.Done():
		return s.ctx.Err()
	case <-time.After(3*patience + 10*s.unit):
		return errors.New("some clients do not come to an end")
	}
}

// sessionsLeft returns how many sessions wswarden has when all clients are gone. Some
// may take a moment: upstream answers their close.
func (s *soak) sessionsLeft() (left float64, err error) {
	for deadline := time.Now().Add(patience); ; {
		counts, err := s.process.scrape(s.ctx)
		if err != nil {
			return 0, err
		}
		if left = counts.sum("wswarden_sessions_live"); left == 0 || time.Now().After(deadline) {
			return left, nil
		}
		if err := pause(s.ctx, 50*time.Millisecond); err != nil {
			return 0, err
		}
	}
}
