// Package admin is what operators and their tools see of wswarden: a listener
// of its own, beside the one that clients use.
//
// Every request passes the guard (guard.go), which knows who may ask, and then finds
// its route (routes.go). What is known of sessions comes from the Source (source.go);
// listing.go, stream.go and events.go tell it in such a way that neither many sessions
// nor a reader who does not read cost much.
package admin

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server answers on the admin address.
type Server struct {
	source Source
	log    *slog.Logger
	token  atomic.Pointer[credential] // nil: none is needed

	scans   gate // those that look at all sessions
	finds   gate // those that look for one among all
	streams gate // of events
	reloads gate

	// For tests; set before the first request.
	heartbeat time.Duration // of streams of events
	patience  time.Duration // with a reader of a stream who takes nothing

	listener net.Listener
	open     gate          // connections
	served   chan struct{} // closed when Serve returns
	http     http.Server
	cancel   context.CancelFunc // ends the contexts of all requests
}

// Options are what New needs.
type Options struct {
	// Address is host:port.
	Address string
	// Listen opens it, over tcp; nil: net.Listen.
	Listen func(network, address string) (net.Listener, error)
	// Token that requests have to carry; empty: none, and then there is no profiling.
	Token string
	// Hosts are names beside the address's own by which the server may be called.
	Hosts []string
	// Source tells of the sessions.
	Source Source
	// Metrics is asked at each request for /metrics; nil: there is no such path.
	Metrics prometheus.Gatherer
	// Dashboard answers for / and what is below /assets/, to everybody; nil: there are
	// no such paths.
	Dashboard http.Handler
	// Log is told of what changes something, and never of a token; nil: nobody is. It
	// must not block.
	Log *slog.Logger
}

const (
	maxScans   = 4
	maxFinds   = 2
	maxStreams = 16
	// timeout of what is no stream, for all of the request and all of the answer: who
	// asks and does not read holds nothing for ever.
	timeout = 30 * time.Second
)

// New binds the address.
func New(o Options) (*Server, error) {
	if o.Listen == nil {
		o.Listen = net.Listen
	}
	ln, err := o.Listen("tcp", o.Address)
	if err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithCancel(context.Background())
	s := &Server{
		source:    o.Source,
		log:       o.Log,
		scans:     make(gate, maxScans),
		finds:     make(gate, maxFinds),
		streams:   make(gate, maxStreams),
		reloads:   make(gate, 1),
		heartbeat: 15 * time.Second,
		patience:  10 * time.Second,
		open:      make(gate, maxConnections),
		served:    make(chan struct{}),
		cancel:    cancel,
	}
	s.listener = fewListener{ln, s.open}
	s.SetToken(o.Token)
	s.http = http.Server{
		Handler:           newGuard(o, &s.token, s.routes(o)),
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       timeout,
		WriteTimeout:      timeout,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(o.Log.Handler(), slog.LevelWarn),
	}
	return s, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// SetToken makes requests carry another token; empty: none. What was asked for with the
// one before is still answered. It reports whether that was another one, and may be called
// by one goroutine at a time.
func (s *Server) SetToken(token string) (changed bool) {
	before, after := s.token.Load(), newCredential(token)
	s.token.Store(after)
	if before == nil || after == nil {
		return before != after
	}
	return *before != *after
}

// Serve answers until Close or Leave, and then returns nil. It is called once.
func (s *Server) Serve() error {
	defer close(s.served)
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) && !errors.Is(err, net.ErrClosed) {
		return err
	}
	return nil
}

// Close stops answering. Streams end at once, other requests get a second.
func (s *Server) Close() error {
	s.cancel()
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	_ = s.listener.Close() // if Serve was never called, http does not know it
	if errors.Is(err, context.DeadlineExceeded) {
		return s.http.Close()
	}
	return err
}

// gate lets so many in at a time as its capacity is.
type gate chan struct{}

// enter waits for its turn, and reports whether it came before ctx was done. Who
// has entered leaves.
func (g gate) enter(ctx context.Context) bool {
	select {
	case g <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// tryEnter does not wait.
func (g gate) tryEnter() bool {
	select {
	case g <- struct{}{}:
		return true
	default:
		return false
	}
}

func (g gate) leave() { <-g }
