package admin

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"runtime"
	"runtime/pprof"
	"runtime/trace"
	"time"
)

// Profiles as the package net/http/pprof gives them, for go tool pprof. That package is
// not used, as it registers with the server that every program shares.
//
// They cost time and tell of the program's inside: without a token there are none.

// maxProfile is how many seconds a profile takes at most.
const maxProfile = 300

func (s *Server) mayProfile() error {
	if s.token.Load() == nil {
		return refusal(http.StatusForbidden, "profiles need a token; set admin.token_file")
	}
	return nil
}

// profiles answers to GET /debug/pprof/ with their names.
func (s *Server) profiles(w http.ResponseWriter, _ *http.Request, _ url.Values) error {
	if err := s.mayProfile(); err != nil {
		return err
	}
	var text bytes.Buffer
	for _, profile := range pprof.Profiles() {
		fmt.Fprintf(&text, "%s\t%d\n", profile.Name(), profile.Count())
	}
	text.WriteString("profile?seconds=30\ntrace?seconds=1\n")
	send(w, http.StatusOK, "text/plain; charset=utf-8", text.Bytes())
	return nil
}

// profile answers to GET /debug/pprof/{name}, such as heap or goroutine.
func (s *Server) profile(w http.ResponseWriter, r *http.Request, query url.Values) error {
	if err := s.mayProfile(); err != nil {
		return err
	}
	profile := pprof.Lookup(r.PathValue("name"))
	if profile == nil {
		return refusal(http.StatusNotFound, "there is no such profile; /debug/pprof/ tells which there are")
	}
	debug, err := readNumber(query, "debug", 0, 0, 2)
	if err != nil {
		return err
	}
	gc, err := readNumber(query, "gc", 0, 0, 1)
	if err != nil {
		return err
	}
	if gc == 1 {
		runtime.GC()
	}
	var text bytes.Buffer
	if err := profile.WriteTo(&text, debug); err != nil {
		return err
	}
	contentType := "application/octet-stream"
	if debug > 0 {
		contentType = "text/plain; charset=utf-8"
	}
	send(w, http.StatusOK, contentType, text.Bytes())
	return nil
}

// cpuProfile answers to GET /debug/pprof/profile.
func (s *Server) cpuProfile(w http.ResponseWriter, r *http.Request, query url.Values) error {
	return s.record(w, r, query, 30, pprof.StartCPUProfile, pprof.StopCPUProfile)
}

// trace answers to GET /debug/pprof/trace.
func (s *Server) trace(w http.ResponseWriter, r *http.Request, query url.Values) error {
	return s.record(w, r, query, 1, trace.Start, trace.Stop)
}

// record answers with what is recorded between start and stop. There is one recording
// of a kind at a time.
func (s *Server) record(w http.ResponseWriter, r *http.Request, query url.Values, seconds int, start func(io.Writer) error, stop func()) error {
	if err := s.mayProfile(); err != nil {
		return err
	}
	seconds, err := readNumber(query, "seconds", seconds, 1, maxProfile)
	if err != nil {
		return err
	}
	duration := time.Duration(seconds) * time.Second
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	_ = control.SetWriteDeadline(time.Now().Add(duration + timeout))
	w.Header().Set("Content-Type", "application/octet-stream")
	if err := start(w); err != nil {
		return busy(w, err.Error()) // nothing was written
	}
	defer stop()
	select {
	case <-time.After(duration):
	case <-r.Context().Done():
	}
	return nil
}
