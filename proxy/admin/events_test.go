package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"wswarden/proxy/admin/api"
)

// feed is a Source's side of the streams of events.
type feed struct {
	events chan api.Event // for all streams
	replay chan int       // what each has asked for, when it has begun
	over   chan struct{}  // told when the context of one is done
}

func newFeed(f *fake, buffered int) feed {
	x := feed{make(chan api.Event, buffered), make(chan int, 100), make(chan struct{}, 100)}
	f.events = func(ctx context.Context, replay int) <-chan api.Event {
		x.replay <- replay
		context.AfterFunc(ctx, func() { x.over <- struct{}{} })
		return x.events
	}
	return x
}

// reader reads server-sent events.
type reader struct {
	testing.TB
	*http.Response
	lines *bufio.Scanner
}

func (w *world) watch(ctx context.Context, query string) *reader {
	w.Helper()
	r := w.open(ctx, "GET", "/v1/events"+query)
	if r.StatusCode != 200 || r.Header.Get("Content-Type") != "text/event-stream" {
		w.Fatalf("%s: %d %s", query, r.StatusCode, r.Header.Get("Content-Type"))
	}
	w.Cleanup(func() { _ = r.Body.Close() })
	return &reader{w, r, bufio.NewScanner(r.Body)}
}

// block returns the lines up to the next empty one; none at the end.
func (r *reader) block() (lines []string) {
	for r.lines.Scan() && r.lines.Text() != "" {
		lines = append(lines, r.lines.Text())
	}
	return lines
}

// next returns the next event, past comments; false at the end.
func (r *reader) next() (e api.Event, id int, more bool) {
	r.Helper()
	for {
		lines := r.block()
		switch {
		case lines == nil:
			return e, 0, false
		case len(lines) == 1:
			continue // a comment, or how soon to come back
		case len(lines) != 3:
			r.Fatalf("%q", lines)
		}
		var kind string
		if _, err := fmt.Sscanf(strings.Join(lines[:2], " "), "event: %s id: %d", &kind, &id); err != nil {
			r.Fatalf("%q: %v", lines, err)
		}
		data, found := strings.CutPrefix(lines[2], "data: ")
		if err := json.Unmarshal([]byte(data), &e); err != nil || !found || string(e.Kind) != kind {
			r.Fatalf("%q: %v", lines, err)
		}
		fits(r, "Event", []byte(data))
		return e, id, true
	}
}

func event(i int, kind api.EventKind) api.Event {
	s := session(i)
	e := api.Event{Kind: kind, Time: s.Opened, Session: s.ID, Policy: s.Policy, Address: s.Address}
	if kind == api.EventEnded {
		e.Ending = &api.Ending{Cause: "idle", Side: "wswarden", ClientCode: 1001, ReleaseOutcome: "closed"}
	}
	return e
}

func TestEventsAreToldAsTheyCome(t *testing.T) {
	f := new(fake)
	x := newFeed(f, 0)
	w := start(t, f)
	r := w.watch(t.Context(), "?replay=5")
	if replay := <-x.replay; replay != 5 {
		t.Errorf("replay: %d", replay)
	}
	if first := r.block(); len(first) != 1 || first[0] != "retry: 3000" {
		t.Errorf("it begins with %q", first)
	}
	for i, kind := range api.EventKinds() {
		sent := event(i, kind)
		sent.Topic = "two\nlines, <&> \u2028"
		x.events <- sent
		got, id, more := r.next() // each at once, and not when there are more
		if !more || id != i+1 || got.Kind != kind || got.Session != sent.Session || got.Topic != sent.Topic || (got.Ending == nil) != (sent.Ending == nil) {
			t.Errorf("%d %+v, want %+v", id, got, sent)
		}
	}
	close(x.events)
	if e, _, more := r.next(); more {
		t.Errorf("behind the end: %+v", e)
	}
}

func TestFiltersOfEvents(t *testing.T) {
	id := session(4).ID
	for query, fits := range map[string]func(api.Event) bool{
		"":                           func(api.Event) bool { return true },
		"?kind=ended":                func(e api.Event) bool { return e.Kind == api.EventEnded },
		"?kind=ended&kind=limit_hit": func(e api.Event) bool { return e.Kind == api.EventEnded || e.Kind == api.EventLimitHit },
		"?policy=staff":              func(e api.Event) bool { return e.Policy == "staff" },
		"?session=" + id.String():    func(e api.Event) bool { return e.Session == id },
		"?policy=staff&kind=opened":  func(e api.Event) bool { return e.Policy == "staff" && e.Kind == api.EventOpened },
		"?policy=nobody&session=" + "00000000000000aa": func(api.Event) bool { return false },
	} {
		f := new(fake)
		x := newFeed(f, 1000)
		var want []string
		for i := range 60 {
			e := event(i%12, api.EventKinds()[i%7])
			x.events <- e
			if e.Kind == api.EventLost || fits(e) { // what is lost may be what was asked for
				want = append(want, fmt.Sprint(e.Kind, e.Session))
			}
		}
		close(x.events)
		w := start(t, f)
		r := w.watch(t.Context(), query)
		var got []string
		for e, id, more := r.next(); more; e, id, more = r.next() {
			got = append(got, fmt.Sprint(e.Kind, e.Session))
			if id != len(got) {
				t.Errorf("%s: %d has the id %d", query, len(got), id)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("%s:\n%v, want\n%v", query, got, want)
		}
	}
}

func TestBadParametersOfEvents(t *testing.T) {
	w := start(t, new(fake))
	for query, field := range map[string]string{
		"?kind=opend":         "kind",
		"?kind=":              "kind",
		"?kind=opened&kind=x": "kind",
		"?policy=":            "policy",
		"?session=1":          "session",
		"?session=":           "session",
		"?replay=-1":          "replay",
		"?replay=257":         "replay",
		"?replay=1&replay=2":  "replay",
		"?topic=x":            "topic",
	} {
		if e := w.refused(400, "GET", "/v1/events"+query); e.Field != field {
			t.Errorf("%s: %+v", query, e)
		}
	}
}

func TestAQuietStreamHasComments(t *testing.T) {
	f := new(fake)
	newFeed(f, 0)
	w := start(t, f)
	w.admin.heartbeat = time.Millisecond
	r := w.watch(t.Context(), "")
	r.block()
	for range 3 {
		if lines := r.block(); len(lines) != 1 || !strings.HasPrefix(lines[0], ":") {
			t.Errorf("%q", lines)
		}
	}
}

func TestStreamsOfEventsAreFew(t *testing.T) {
	f := new(fake)
	x := newFeed(f, 0)
	w := start(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	for range maxStreams {
		w.watch(ctx, "")
	}
	if r, _ := w.ask("GET", "/v1/events"); r.StatusCode != 503 || r.Header.Get("Retry-After") == "" {
		t.Errorf("one more: %d %v", r.StatusCode, r.Header)
	}
	get[api.Page](w, "/v1/sessions") // is no stream
	cancel()
	for range maxStreams {
		<-x.over
	}
	for range maxStreams { // there is room again
		w.admin.streams.enter(t.Context())
	}
}

func TestWhoDoesNotReadEventsIsDropped(t *testing.T) {
	f := new(fake)
	x := newFeed(f, 0)
	w := start(t, f)
	w.admin.patience = 20 * time.Millisecond
	unread := w.dial("/v1/events")
	<-x.replay
	for over := false; !over; {
		select {
		case x.events <- event(1, api.EventEnded):
		case <-x.over:
			over = true
		}
	}
	_ = unread.Close()
}

func TestWhoGoesFromEventsIsMissedAtOnce(t *testing.T) {
	f := new(fake)
	x := newFeed(f, 0)
	w := start(t, f)
	ctx, cancel := context.WithCancel(t.Context())
	w.watch(ctx, "")
	cancel()
	<-x.over // although there is no event, and no comment soon
}

func TestCloseEndsStreamsAtOnce(t *testing.T) {
	f := new(fake)
	newFeed(f, 0)
	w := start(t, f)
	var readers []*reader
	for range maxStreams {
		readers = append(readers, w.watch(t.Context(), ""))
	}
	closed := make(chan error)
	go func() { closed <- w.admin.Close() }()
	for _, r := range readers {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			t.Errorf("not ended, but cut: %v", err) // at which Close has waited in vain
		}
	}
	if err := <-closed; err != nil {
		t.Error(err)
	}
}

func TestTheHeadOfAStreamIsNoStream(t *testing.T) {
	if r, _ := start(t, new(fake)).ask("HEAD", "/v1/events"); r.StatusCode != 200 {
		t.Errorf("%d", r.StatusCode)
	}
}
