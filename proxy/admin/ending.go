package admin

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// What changes something. It is logged, with the address of who asked.

// maxReason is how many bytes of a reason a close frame has room for: RFC 6455 §5.5.
const maxReason = 123

// end answers to DELETE /v1/sessions. That all are meant has to be said by a filter:
// a parameter that was forgotten must not end them.
func (s *Server) end(w http.ResponseWriter, r *http.Request, query url.Values) error {
	filter, err := api.ParseFilter(query)
	if err != nil {
		return err
	}
	if filter == (api.Filter{}) {
		return refusal(http.StatusBadRequest, "which sessions are to end? give at least one of %s", strings.Join(api.FilterParams(), ", "))
	}
	code, reason, err := readClose(query)
	if err != nil {
		return err
	}
	leave, err := s.scan(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	n := s.source.End(r.Context(), filter, code, reason)
	s.log.Info("asked to end sessions", "by", r.RemoteAddr, "filter", filter.Query().Encode(),
		"close_code", code, "reason", reason, "ended", n)
	return answer(w, http.StatusOK, api.Ended{Ended: n})
}

// endOne answers to DELETE /v1/sessions/{id}.
func (s *Server) endOne(w http.ResponseWriter, r *http.Request, query url.Values) error {
	id, err := pathID(r)
	if err != nil {
		return err
	}
	code, reason, err := readClose(query)
	if err != nil {
		return err
	}
	leave, err := s.find(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	n, found := s.source.EndOne(r.Context(), id, code, reason)
	if !found {
		return noSession(w, r, id)
	}
	s.log.Info("asked to end a session", "by", r.RemoteAddr, "session", id.String(),
		"close_code", code, "reason", reason, "ended", n)
	return answer(w, http.StatusOK, api.Ended{Ended: n})
}

// drain answers to POST /v1/drain.
func (s *Server) drain(w http.ResponseWriter, r *http.Request, _ url.Values) error {
	draining := s.source.Drain()
	s.log.Info("asked to drain", "by", r.RemoteAddr, "sessions", draining.Sessions, "already", draining.Already)
	return answer(w, http.StatusAccepted, draining)
}

// readClose reads what the client's close frame is to say; zero and empty: what it
// says of itself.
func readClose(query url.Values) (code uint16, reason string, err error) {
	if query.Has("code") {
		n, err := readNumber(query, "code", 0, 1000, 4999)
		if err != nil {
			return 0, "", err
		}
		if code = uint16(n); !policies.ValidCloseCode(code) {
			return 0, "", &api.FieldError{Field: "code", Text: fmt.Sprintf("%d may not be sent; use 1000 to 1003, 1007 to 1014, or 3000 to 4999", n)}
		}
	}
	reason = query.Get("reason")
	if !utf8.ValidString(reason) || len(reason) > maxReason {
		return 0, "", &api.FieldError{Field: "reason", Text: fmt.Sprintf("is not UTF-8 of at most %d bytes", maxReason)}
	}
	return code, reason, nil
}

func pathID(r *http.Request) (api.ID, error) {
	id, err := api.ParseID(r.PathValue("id"))
	if err != nil {
		return 0, &api.FieldError{Field: "id", Text: err.Error()}
	}
	return id, nil
}

// noSession is the answer if a session was not found: by a server that closes, perhaps
// because it was not looked for.
func noSession(w http.ResponseWriter, r *http.Request, id api.ID) error {
	if r.Context().Err() != nil {
		return busy(w, "wswarden ends")
	}
	return refusal(http.StatusNotFound, "there is no session %s", id)
}
