package admin

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"iter"
	"mime"
	"net/http"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
)

const (
	maxPage     = 1000
	defaultPage = 100
	maxTopics   = 10_000
	// scanWait is for how long a request waits while there are maxScans, or maxFinds.
	scanWait = 10 * time.Second
	// turn is how many sessions are looked at before others get the processor: the
	// loops, above all. It takes some 100 µs to encode them.
	turn = 64
)

// list answers to GET /v1/sessions: with a page, or with a stream of all.
func (s *Server) list(w http.ResponseWriter, r *http.Request, query url.Values) error {
	filter, err := api.ParseFilter(query)
	if err != nil {
		return err
	}
	if accepts(r, ndjson) {
		for _, name := range []string{"sort", "limit", "cursor"} {
			if query.Has(name) {
				return &api.FieldError{Field: name, Text: "is for pages; " + ndjson + " is a stream of all that fit, unsorted"}
			}
		}
		return s.streamSessions(w, r, filter)
	}
	sort, err := api.ParseSort(cmp.Or(query.Get("sort"), "id"))
	if err != nil {
		return err
	}
	limit, err := readNumber(query, "limit", defaultPage, 1, maxPage)
	if err != nil {
		return err
	}
	after, err := readCursor(query, sort)
	if err != nil {
		return err
	}

	leave, err := s.scan(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	var (
		first   = top[api.Session]{most: limit, compare: sort.Compare}
		matched int
		left    int
	)
	for session := range inTurns(s.source.Sessions(r.Context(), filter)) {
		matched++
		if after == nil || sort.Compare(session, after) > 0 {
			left++
			first.add(session)
		}
	}
	if err := r.Context().Err(); err != nil {
		return busy(w, "the listing was cut short") // and would pass for a whole one
	}
	page, next := first.first(), ""
	if left > limit {
		next = cursor{sort, page[limit-1]}.String()
	}
	return answerLong(w, page, api.Page{Matched: matched, Next: next})
}

// topics answers to GET /v1/topics.
func (s *Server) topics(w http.ResponseWriter, r *http.Request, query url.Values) error {
	filter, err := api.ParseFilter(query)
	if err != nil {
		return err
	}
	limit, err := readNumber(query, "limit", defaultPage, 1, maxTopics)
	if err != nil {
		return err
	}
	leave, err := s.scan(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	all, truncated := s.source.Topics(r.Context(), filter)
	if r.Context().Err() != nil {
		return busy(w, "the listing was cut short")
	}
	first := top[api.Topic]{most: limit, compare: compareTopics}
	for topic := range inTurns(slices.Values([][]api.Topic{all})) {
		first.add(topic)
	}
	return answerLong(w, first.first(), api.Topics{Matched: len(all), Truncated: truncated})
}

func compareTopics(a, b *api.Topic) int {
	if a.Sessions != b.Sessions {
		return b.Sessions - a.Sessions
	}
	if order := strings.Compare(a.Topic, b.Topic); order != 0 {
		return order
	}
	return strings.Compare(a.Policy, b.Policy)
}

// scan waits until one more may look at all sessions. The caller calls leave.
func (s *Server) scan(ctx context.Context, w http.ResponseWriter) (leave func(), err error) {
	return s.scans.wait(ctx, w, "too many ask for all sessions")
}

// find waits until one more may look for a session, among all. The caller calls leave.
func (s *Server) find(ctx context.Context, w http.ResponseWriter) (leave func(), err error) {
	return s.finds.wait(ctx, w, "too many ask for one session")
}

func (g gate) wait(ctx context.Context, w http.ResponseWriter, what string) (leave func(), err error) {
	ctx, cancel := context.WithTimeout(ctx, scanWait)
	defer cancel()
	if !g.enter(ctx) {
		return nil, busy(w, what)
	}
	return g.leave, nil
}

// inTurns yields what is in all batches, and lets others have the processor in between.
func inTurns[T any](batches iter.Seq[[]T]) iter.Seq[*T] {
	return func(yield func(*T) bool) {
		n := 0
		for batch := range batches {
			for i := range batch {
				if n++; n%turn == 0 {
					runtime.Gosched()
				}
				if !yield(&batch[i]) {
					return
				}
			}
		}
	}
}

// answerLong answers with a list that may be long, in front of the rest: the same struct
// as json.Marshal would take, with null for the list, which comes first in it.
func answerLong[T any](w http.ResponseWriter, list []T, rest any) error {
	text, err := json.Marshal(rest)
	if err != nil {
		return err
	}
	before, after, _ := bytes.Cut(text, []byte("null"))
	var body bytes.Buffer
	body.Write(before)
	separator := byte('[')
	encoder := json.NewEncoder(&body)
	for item := range inTurns(slices.Values([][]T{list})) {
		body.WriteByte(separator)
		separator = ','
		if err := encoder.Encode(item); err != nil {
			return err
		}
	}
	if len(list) == 0 {
		body.WriteByte('[')
	}
	body.WriteByte(']')
	body.Write(append(after, '\n'))
	send(w, http.StatusOK, "application/json", body.Bytes())
	return nil
}

// accepts reports whether a media type is asked for by its name.
func accepts(r *http.Request, mediaType string) bool {
	for _, line := range r.Header.Values("Accept") {
		for part := range strings.SplitSeq(line, ",") {
			if name, _, err := mime.ParseMediaType(part); err == nil && name == mediaType {
				return true
			}
		}
	}
	return false
}
