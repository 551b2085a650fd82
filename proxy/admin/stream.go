package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"time"

	"wswarden/proxy/admin/api"
)

const ndjson = "application/x-ndjson"

// streamBuffer is how many bytes of a stream are written at a time, if there are as many.
const streamBuffer = 32 << 10

// stream is an answer that takes its time. What its reader does not take within
// patience ends it.
type stream struct {
	buffer   bytes.Buffer
	w        http.ResponseWriter
	control  *http.ResponseController
	patience time.Duration
}

// newStream begins the answer. Its header leaves with the first flush.
func (s *Server) newStream(w http.ResponseWriter, contentType string) *stream {
	w.Header().Set("Content-Type", contentType)
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{}) // at which the request would be cancelled
	return &stream{w: w, control: control, patience: s.patience}
}

// full reports whether it is time to flush.
func (x *stream) full() bool { return x.buffer.Len() >= streamBuffer }

// flush writes what is in the buffer; an error means that the reader is gone, or has
// not taken it for too long.
func (x *stream) flush() error {
	if x.buffer.Len() == 0 {
		return nil
	}
	_ = x.control.SetWriteDeadline(time.Now().Add(x.patience))
	if _, err := x.w.Write(x.buffer.Bytes()); err != nil {
		return err
	}
	x.buffer.Reset()
	return x.control.Flush()
}

// streamSessions answers with a line for each session that fits.
func (s *Server) streamSessions(w http.ResponseWriter, r *http.Request, filter api.Filter) error {
	leave, err := s.scan(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	stream := s.newStream(w, ndjson)
	encoder := json.NewEncoder(&stream.buffer)
	for session := range inTurns(s.source.Sessions(r.Context(), filter)) {
		err := encoder.Encode(session)
		if err == nil && stream.full() {
			s.scans.leave() // who waits for his reader keeps nobody waiting
			err = stream.flush()
			s.scans.enter(context.Background())
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
	// What is cut short must not look whole: without its last chunk it does not.
	if r.Context().Err() != nil || stream.flush() != nil {
		panic(http.ErrAbortHandler)
	}
	return nil
}
