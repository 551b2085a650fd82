// Package admin is what operators and their tools see of wswarden: a listener
// of its own, beside the one that clients use.
package admin

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Server answers on the admin address.
type Server struct {
	listener net.Listener
	http     http.Server
}

// Options are what New needs.
type Options struct {
	// Address is host:port.
	Address string
	// Token that requests have to carry; empty: none, and then there is no profiling.
	Token string
	// Hosts are names beside the address's own by which the server may be called.
	Hosts []string
	// Source tells of the sessions.
	Source Source
	// Metrics is asked at each request for /metrics; nil: there is no such path.
	Metrics prometheus.Gatherer
	Log     *slog.Logger
}

// New binds the address.
func New(o Options) (*Server, error) {
	ln, err := net.Listen("tcp", o.Address)
	if err != nil {
		return nil, err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if !o.Source.Ready(r.Context()).Ready {
			http.Error(w, "draining", http.StatusServiceUnavailable)
			return
		}
		_, _ = io.WriteString(w, "ready\n")
	})
	if o.Metrics != nil {
		mux.Handle("GET /metrics", metricsHandler(o.Metrics))
	}
	return &Server{listener: ln, http: http.Server{
		Handler:           mux,
		ReadHeaderTimeout: 5 * time.Second,
		WriteTimeout:      30 * time.Second, // who asks and does not read holds nothing for ever
	}}, nil
}

// Addr returns the address that is listened on.
func (s *Server) Addr() net.Addr { return s.listener.Addr() }

// Serve answers until Close, and then returns nil.
func (s *Server) Serve() error {
	if err := s.http.Serve(s.listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	return nil
}

// Close stops answering; requests under way get a second.
func (s *Server) Close() error {
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	err := s.http.Shutdown(ctx)
	_ = s.listener.Close() // if Serve was never called, http does not know it
	if errors.Is(err, context.DeadlineExceeded) {
		return s.http.Close()
	}
	return err
}
