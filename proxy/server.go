// Package proxy carries out what the policies decide: it accepts clients, dials
// upstream for each, and supervises both connections until they end.
//
// A session's life in reading order: Server takes the connection (server.go), the
// handshake is admitted (handshake.go) and made with upstream on an event loop
// (opening.go), frames are relayed (side.go, outgoing.go), the policy is asked
// (supervision.go), and the session ends (session.go), of which ended.go tells. What
// operators ask for is in operate.go.
package proxy

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"runtime"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/valyala/fasthttp"

	"wswarden/config"
	"wswarden/proxy/admin"
	"wswarden/proxy/admin/dashboard"
	"wswarden/proxy/evloop"
	"wswarden/proxy/quota"
	"wswarden/proxy/report"
	"wswarden/proxy/tracing"
	"wswarden/proxy/webhook"
)

// Server is wswarden without its command line.
type Server struct {
	current   atomic.Pointer[setup]
	log       *slog.Logger
	listen    Listen
	listeners listeners
	edges     *edges
	workers   []*worker
	http      fasthttp.Server
	forwarder *forwarder
	admin     *admin.Server // nil: off
	journal   *journal
	loops     int // how many workers there are
	events    *events
	tracer    *tracing.Tracer           // nil: off
	next      atomic.Uint32             // the worker for the next session
	began     atomic.Pointer[time.Time] // see beginning
	probe     probe

	registry   *prometheus.Registry
	handshakes *upstreamHandshakes
	unmatched  prometheus.Counter // handshakes that no policy matches
	reporter   *webhook.Reporter
	topics     quota.Topics
	store      quota.Store
	pressure   atomic.Uint32 // a policies.Step
	liveHeap   atomic.Int64  // bytes; 0: it is not watched
	vectors    *vectors
	reloads    reloads

	serving      atomic.Bool // Run has begun
	forgetAtOnce bool        // for tests: see longestHandshake
	ledger       report.Ledger

	// Sessions and handshakes under way. The mutex orders a handshake's
	// entrance and the beginning of a drain.
	entrance sync.RWMutex
	draining bool
	inside   sync.WaitGroup
	asked    context.Context // done once there is to be a drain
	askDrain context.CancelFunc
	handOver handOver
}

// Options is what a server can be given beside its configuration.
type Options struct {
	// Listen opens the sockets of listeners, and that of the admin listener, in the
	// server's stead: it may have got them from elsewhere. What it returns has a
	// descriptor (it is a syscall.Conn) and is closed by the server. It may be called
	// again on a reload. Nil: the server opens them itself.
	Listen Listen
}

// New prepares a server for a valid configuration and binds its listeners, so
// that an address in use is an error here and not later.
func New(cfg *config.Config, log *slog.Logger, options Options) (*Server, error) {
	return newServer(cfg, log, options, evloop.New)
}

func newServer(cfg *config.Config, log *slog.Logger, options Options, newLoop func() (*evloop.Loop, error)) (*Server, error) {
	if options.Listen == nil {
		options.Listen = ListenAlone
	}
	s := &Server{listen: options.Listen, journal: newJournal(log.Handler()), loops: runtime.GOMAXPROCS(0), events: newEvents()}
	s.asked, s.askDrain = context.WithCancel(context.Background())
	s.log = slog.New(s.journal)
	s.registry = admin.NewRegistry()
	s.edges = newEdges(s.registry, s.log)
	s.handshakes = newUpstreamHandshakes(s.registry)
	s.forwarder = newForwarder(s.setup, s.log, s.registry)
	s.vectors = newVectors(s.registry)
	s.registerGauges()
	s.reporter = webhook.New(s.log, s.registry)
	first, err := s.newSetup(cfg)
	if err != nil {
		s.close()
		return nil, err
	}
	s.use(first)
	if c := cfg.Tracing; c.Endpoint != "" {
		if s.tracer, err = tracing.New(c.Endpoint, c.SampleRatio, Version(), s.log); err != nil {
			s.close()
			return nil, err
		}
	}
	if s.store, err = s.newStore(); err != nil {
		s.close()
		return nil, err
	}
	s.http.Handler = s.serve
	s.http.Logger = slog.NewLogLogger(s.journal, slog.LevelDebug) // clients' errors
	s.http.ErrorHandler = s.forwarder.refuse
	s.http.ExpectHandler = s.forwarder.invite
	configureServer(&s.http)
	if err := s.bind(); err != nil {
		s.close()
		return nil, err
	}
	for number := range s.loops {
		w, err := newWorker(s, number, newLoop)
		if err != nil {
			s.close()
			return nil, err
		}
		s.workers = append(s.workers, w)
	}
	return s, nil
}

// bind opens all listeners.
func (s *Server) bind() error {
	cfg := s.setup().Config
	opened, settings, problem := s.openMissing(cfg)
	if problem != nil {
		return config.Problems{*problem}
	}
	s.listeners.swap(cfg, opened, settings)
	if cfg.Admin.Address == "" {
		return nil
	}
	token, err := cfg.Admin.Token()
	if err != nil {
		return fmt.Errorf("admin.token_file: %w", err)
	}
	a, err := admin.New(admin.Options{
		Listen:    s.listen,
		Address:   cfg.Admin.Address,
		Token:     token,
		Hosts:     cfg.Admin.Hosts,
		Source:    operator{s},
		Metrics:   s.registry,
		Dashboard: dashboard.Handler(),
		Log:       s.log,
	})
	if err != nil {
		return fmt.Errorf("admin.address: %w; it is another one with WSWARDEN_ADMIN_ADDRESS, or none if that is empty", err)
	}
	s.admin = a
	return nil
}

// close gives back what a server holds that never ran.
func (s *Server) close() {
	s.listeners.close()
	if s.admin != nil {
		_ = s.admin.Close()
	}
	for _, w := range s.workers {
		_ = w.loop.Close()
	}
	if s.store != nil {
		_ = s.store.Close()
	}
	s.reporter.Close(context.Background()) // nothing was sent
	if c := s.setup(); c != nil {
		c.upstream.pool.Close()
	}
	s.closeTracer()
	s.events.close()
	s.journal.close()
}

// tracePatience bounds what a collector of traces can add to the time of a drain.
const tracePatience = 2 * time.Second

func (s *Server) closeTracer() {
	ctx, cancel := context.WithTimeout(context.Background(), tracePatience)
	defer cancel()
	s.tracer.Close(ctx)
}

// Addrs returns the addresses of the listeners, in the configuration's order.
func (s *Server) Addrs() []net.Addr {
	return s.listeners.addrs()
}

func addressTexts(addrs []net.Addr) []string {
	texts := make([]string, len(addrs))
	for i, addr := range addrs {
		texts[i] = addr.String()
	}
	return texts
}

// AdminAddr returns the address of the admin listener; nil if it is off.
func (s *Server) AdminAddr() net.Addr {
	if s.admin == nil {
		return nil
	}
	return s.admin.Addr()
}

// adminText is where the admin listener is; empty if it is off.
func (s *Server) adminText() string {
	if s.admin == nil {
		return ""
	}
	return s.admin.Addr().String()
}

// upstreamText is where upstream is, as the configuration has it.
func (s *Server) upstreamText() any {
	c := s.setup()
	if c.Upstream.URL == "" {
		return c.Shown("upstream.urls")
	}
	return c.Shown("upstream.url")
}

// Run serves until ctx is done, then drains, and returns when nothing is left:
// nil, or what kept a part from serving. It may be called once.
func (s *Server) Run(ctx context.Context) error {
	s.serving.Store(true)
	ctx, failed := context.WithCancelCause(ctx)
	defer failed(nil)
	var loops, servers sync.WaitGroup
	for _, w := range s.workers {
		_ = w.loop.Do(w.lag.begin)
		loops.Go(func() {
			if err := w.loop.Run(); err != nil {
				failed(err)
			}
		})
	}
	s.listeners.begin(func(ln *listener) {
		servers.Go(func() {
			if err := s.http.Serve(ln); err != nil && !errors.Is(err, net.ErrClosed) {
				failed(fmt.Errorf("serve %s: %w", ln.Addr(), err))
			}
		})
	})
	if s.admin != nil {
		servers.Go(func() {
			if err := s.admin.Serve(); err != nil {
				failed(fmt.Errorf("serve admin %s: %w", s.admin.Addr(), err))
			}
		})
	}
	go s.watchHeap(ctx)
	s.log.Info("serving", "listeners", addressTexts(s.Addrs()), "upstream", s.upstreamText(), "admin", s.adminText())

	select {
	case <-ctx.Done():
	case <-s.asked.Done():
	}
	s.askDrain()
	s.drain()
	_ = s.store.Close()
	s.lastReports()

	s.forwarder.close()
	s.setup().upstream.pool.Close()
	for _, w := range s.workers {
		_ = w.loop.Do(w.lag.end)
		_ = w.loop.Stop()
	}
	s.events.close() // before those who read of them are cut off
	if s.admin != nil {
		_ = s.admin.Close()
	}
	loops.Wait()
	servers.Wait()
	for _, w := range s.workers {
		_ = w.loop.Close()
	}
	s.closeTracer()
	s.journal.close()
	if err := context.Cause(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

// Draining is done when the server begins to drain, whoever has asked for it.
func (s *Server) Draining() context.Context { return s.asked }

// drain refuses new sessions, ends the old ones, and returns when nothing is
// left, or at drain.timeout, at which what is left is reset.
func (s *Server) drain() {
	began := time.Now()
	deadline := evloop.Now() + s.setup().Drain.Timeout
	handOver := s.handOver.begun.Load()
	if handOver {
		s.leaveSockets()
	} else {
		s.refuseAll()
	}
	s.log.Info("draining", "timeout", s.setup().Drain.Timeout.String(), "spread", s.setup().Drain.Spread.String())

	for _, w := range s.workers {
		_ = w.loop.Do(func() { w.drain(s.setup().Drain.Spread, deadline) })
	}
	timeout, cancel := context.WithTimeout(context.Background(), s.setup().Drain.Timeout)
	defer cancel()
	if handOver {
		s.finishRequests(timeout)
		s.refuseAll()
	}
	empty := make(chan struct{})
	go func() {
		s.inside.Wait()
		close(empty)
	}()
	select {
	case <-empty:
	case <-timeout.Done():
	}
	// The listeners answer 503 up to here, so that a client that comes back
	// early is told so. Plain requests may end within what is left of the time.
	_ = s.http.ShutdownWithContext(timeout)
	s.forwarder.late.wait(timeout)
	s.listeners.close() // fasthttp does not know one that it has yet to serve
	for _, w := range s.workers {
		_ = w.loop.Do(w.abort)
	}
	<-empty
	s.log.Info("drained", "took", time.Since(began).Round(time.Millisecond).String())
}

func (s *Server) refuseAll() {
	s.entrance.Lock()
	defer s.entrance.Unlock()
	s.draining = true
}

// ready reports whether new sessions are admitted.
func (s *Server) ready() bool {
	s.entrance.RLock()
	defer s.entrance.RUnlock()
	return !s.draining
}

// enter counts a handshake, or the session it becomes, until leave; it returns
// false once the server drains.
func (s *Server) enter() bool {
	s.entrance.RLock()
	defer s.entrance.RUnlock()
	if s.draining {
		return false
	}
	s.inside.Add(1)
	return true
}

func (s *Server) leave() { s.inside.Done() }

// serve answers one HTTP request.
func (s *Server) serve(ctx *fasthttp.RequestCtx) {
	if a, ok := ctx.Conn().(*answered); ok {
		a.answer(ctx, s.forwarder)
		return
	}
	if isHandshake(&ctx.Request.Header) {
		s.handshake(ctx)
		return
	}
	s.forwarder.serve(ctx)
	if !s.ready() {
		ctx.SetConnectionClose()
	}
}

// retryAfter returns a number of seconds within which drained clients may come
// back, by chance, so that they do not come together.
func (s *Server) retryAfter() string {
	return strconv.Itoa(1 + rand.IntN(int(s.setup().Drain.Spread/time.Second)+1))
}
