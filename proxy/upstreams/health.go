package upstreams

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"wswarden/config"
)

const (
	// checksAtOnce bounds the requests of one round of checks.
	checksAtOnce = 64
	// maxHealthAnswer is how many bytes of an answer are read.
	maxHealthAnswer = 16 << 10
	// maxInterim bounds the 1xx responses before the real one.
	maxInterim = 5
	// forever leaves room for a time that is a little longer: 146 years.
	forever = 1 << 62
)

// Ready returns an error if no address is usable: an *OpenError if breakers are to blame,
// or one that names those that health checks have found down; nil if there are no health
// checks. It may block until a name is looked up, or ctx is done.
func (p *Pool) Ready(ctx context.Context) error {
	if p.config.Health.Path == "" {
		return nil
	}
	members, err := p.await(ctx, p.config.DialTimeout)
	if len(members) == 0 {
		return err
	}
	now := p.book.now()
	var well []member
	var down []string
	for _, m := range members {
		switch {
		case m.usable(now):
			return nil
		case !m.unwell.Load():
			well = append(well, m)
		default:
			down = append(down, m.label)
		}
	}
	if len(well) > 0 {
		return &OpenError{RetryAfter: soonest(well, now)}
	}
	const most = 10
	if more := len(down) - most; more > 0 {
		down = append(down[:most], fmt.Sprintf("and %d others", more))
	}
	return fmt.Errorf("health checks fail: %s", strings.Join(down, ", "))
}

// checkHealth asks all addresses, again and again.
func (p *Pool) checkHealth(ctx context.Context) {
	interval := p.config.Health.Interval
	timer := time.NewTimer(0)
	defer timer.Stop()
	next := rand.N(interval) // sidecars that start together are not to ask together
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		began := time.Now()
		p.round(ctx)
		timer.Reset(next - time.Since(began))
		next = spread(interval)
	}
}

// spread returns a time around the interval by chance, a fifth of it to either side.
func spread(interval time.Duration) time.Duration {
	interval = min(interval, forever)
	return interval - interval/5 + rand.N(interval/5*2+1)
}

// round asks each address once.
func (p *Pool) round(ctx context.Context) {
	members, _ := p.await(ctx, p.config.DialTimeout)
	room := make(chan struct{}, checksAtOnce)
	var checks sync.WaitGroup
	for _, m := range members {
		room <- struct{}{}
		checks.Go(func() {
			defer func() { <-room }()
			err := p.check(ctx, m)
			if ctx.Err() == nil {
				m.answered(err, p.config.Health.Failures)
			}
		})
	}
	checks.Wait()
	if ctx.Err() == nil {
		p.tellFailing(members)
	}
}

// tellFailing tells of each address that is down while another one is usable. It does so
// again with each round: a handshake may have been under way, or may have gone there for
// want of another address.
func (p *Pool) tellFailing(members []member) {
	now := p.book.now()
	if p.options.Failing == nil || !slices.ContainsFunc(members, func(m member) bool { return m.usable(now) }) {
		return
	}
	for _, m := range members {
		if m.unwell.Load() {
			p.options.Failing(m.Address)
		}
	}
}

// answered takes in what a check has found.
func (a *Address) answered(err error, failures int) {
	a.mu.Lock()
	changed := a.health.Answered(err == nil, failures)
	a.unwell.Store(a.health.Down())
	a.mu.Unlock()
	switch {
	case !changed:
	case err == nil:
		a.book.tell(slog.LevelInfo, "upstream's address up", "address", a.label)
	default:
		a.book.tell(slog.LevelWarn, "upstream's address down", "address", a.label, "failures", failures, "error", text(err))
	}
}

// check makes one request; an error says why the answer is not good.
func (p *Pool) check(ctx context.Context, m member) error {
	ctx, cancel := context.WithTimeout(ctx, p.config.Health.Timeout)
	defer cancel()
	network, address := m.Target()
	conn, err := new(net.Dialer).DialContext(ctx, network, address)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })()
	if err = p.ask(ctx, conn, m.server); err != nil && ctx.Err() != nil {
		return errors.New("no answer in time")
	}
	return err
}

// ask is check on a connection.
func (p *Pool) ask(ctx context.Context, conn net.Conn, s config.Server) error {
	if header := proxyHeader(p.config.ProxyProtocol); header != "" {
		if _, err := io.WriteString(conn, header); err != nil {
			return err
		}
	}
	if s.TLS {
		secure := tls.Client(conn, p.tlsConfig(s))
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		conn = secure
	}
	request, err := p.request(s)
	if err != nil {
		return err
	}
	if err = request.Write(conn); err != nil {
		return err
	}
	reader := bufio.NewReader(io.LimitReader(conn, maxHealthAnswer))
	for range maxInterim {
		response, err := http.ReadResponse(reader, request)
		if err != nil {
			return err
		}
		if status := response.StatusCode; status < 100 || status > 199 || status == http.StatusSwitchingProtocols {
			_ = response.Body.Close() // reads what is left of it, and of maxHealthAnswer
			if status < 200 || status > 399 {
				return fmt.Errorf("status %d", status)
			}
			return nil
		}
	}
	return errors.New("too many interim responses")
}

// request is one that a client of that server would make, but for the connection, of
// which it is the last.
func (p *Pool) request(s config.Server) (*http.Request, error) {
	target, err := url.ParseRequestURI(p.config.Health.Path)
	if err != nil {
		return nil, fmt.Errorf("upstream.health.path: %w", err)
	}
	target.Scheme, target.Host = "http", hostHeader(s)
	request := &http.Request{Method: http.MethodGet, URL: target, Host: target.Host, Close: true, Header: http.Header{
		"User-Agent": {"wswarden"},
		"Accept":     {"*/*"},
	}}
	return request, nil
}

// hostHeader leaves out the port that goes without saying.
func hostHeader(s config.Server) string {
	switch {
	case s.Network == "unix":
		return "localhost"
	case s.TLS:
		return strings.TrimSuffix(s.Address, ":443")
	default:
		return strings.TrimSuffix(s.Address, ":80")
	}
}

func (p *Pool) tlsConfig(s config.Server) *tls.Config {
	var c *tls.Config
	if p.options.TLS != nil {
		c = p.options.TLS(s)
	}
	if c == nil {
		c = new(tls.Config)
	}
	if c.ServerName == "" {
		c = c.Clone()
		c.ServerName = hostOf(s)
	}
	return c
}

// proxyHeader says that the connection is wswarden's own: of what a client's would begin
// with, upstream expects no less of this one (PROXY protocol, §2.1 and §2.2).
func proxyHeader(version string) string {
	switch version {
	case config.ProxyV1:
		return "PROXY UNKNOWN\r\n"
	case config.ProxyV2:
		return "\r\n\r\n\x00\r\nQUIT\n\x20\x00\x00\x00" // LOCAL
	default:
		return ""
	}
}
