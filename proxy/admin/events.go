package admin

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
)

// eventFilter says which events are meant. The zero eventFilter means all.
type eventFilter struct {
	kinds   []string
	policy  string
	session api.ID
	ofOne   bool // of that session only
}

// fits reports whether an event is meant. That some are lost concerns everybody.
func (f *eventFilter) fits(e *api.Event) bool {
	return e.Kind == api.EventLost ||
		(len(f.kinds) == 0 || slices.Contains(f.kinds, string(e.Kind))) &&
			(f.policy == "" || f.policy == e.Policy) &&
			(!f.ofOne || f.session == e.Session)
}

func readEventFilter(query url.Values) (f eventFilter, err error) {
	f = eventFilter{kinds: query["kind"], policy: query.Get("policy"), ofOne: query.Has("session")}
	for _, kind := range f.kinds {
		if !slices.Contains(eventKinds(), kind) {
			return f, &api.FieldError{Field: "kind", Text: fmt.Sprintf("%q is not known; use one of %s", kind, strings.Join(eventKinds(), ", "))}
		}
	}
	if f.ofOne {
		if f.session, err = api.ParseID(query.Get("session")); err != nil {
			return f, &api.FieldError{Field: "session", Text: err.Error()}
		}
	}
	return f, nil
}

func eventKinds() (kinds []string) {
	for _, kind := range api.EventKinds() {
		kinds = append(kinds, string(kind))
	}
	return kinds
}

// events answers to GET /v1/events: with server-sent events, from when the header of
// the answer is there.
func (s *Server) events(w http.ResponseWriter, r *http.Request, query url.Values) error {
	filter, err := readEventFilter(query)
	if err != nil {
		return err
	}
	replay, err := readNumber(query, "replay", 0, 0, MaxReplay)
	if err != nil {
		return err
	}
	if !s.streams.tryEnter() {
		return busy(w, fmt.Sprintf("there are %d streams of events already", maxStreams))
	}
	defer s.streams.leave()
	if r.Method == http.MethodHead {
		w.Header().Set("Content-Type", "text/event-stream")
		return nil
	}

	events := s.source.Events(r.Context(), replay)
	stream := s.newStream(w, "text/event-stream")
	stream.buffer.WriteString("retry: 3000\n\n")
	heartbeat := time.NewTicker(s.heartbeat)
	defer heartbeat.Stop()
	more, over := true, r.Context().Done()
	for id := 1; stream.flush() == nil && more && (over != nil || len(events) > 0); {
		var event api.Event
		select {
		case event, more = <-events:
			for ; more; event, more = <-events {
				if filter.fits(&event) {
					writeEvent(&stream.buffer, id, &event)
					id++
				}
				if len(events) == 0 || stream.full() {
					break // else one write is for all that are there
				}
			}
		case <-heartbeat.C:
			stream.buffer.WriteString(": all is quiet\n\n")
		case <-over:
			over = nil // what has been told by then is still there to be read
		}
	}
	return nil
}

func writeEvent(b *bytes.Buffer, id int, e *api.Event) {
	fmt.Fprintf(b, "event: %s\nid: %d\ndata: ", e.Kind, id)
	_ = json.NewEncoder(b).Encode(e) // one line
	b.WriteByte('\n')
}
