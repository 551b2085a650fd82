package admin

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"

	"wswarden/proxy/admin/api"
)

func TestFilters(t *testing.T) {
	w := start(t, &fake{sessions: sessions(1000)})
	for query, fits := range map[string]func(api.Session) bool{
		"":                        func(api.Session) bool { return true },
		"policy=staff":            func(s api.Session) bool { return s.Policy == "staff" },
		"policy=nobody":           func(api.Session) bool { return false },
		"identity=7":              func(s api.Session) bool { return s.Identity == api.HashIdentity("7") },
		"address=10.0.3.0/24":     func(s api.Session) bool { return s.Address.As4()[2] == 3 },
		"address=10.0.3.1":        func(s api.Session) bool { return s.ID == session(3<<8+1).ID },
		"address=::ffff:10.0.3.1": func(s api.Session) bool { return s.ID == session(3<<8+1).ID },
		"state=closing":           func(s api.Session) bool { return s.State == api.StateClosing },
		"older_than=55h20m":       func(s api.Session) bool { return s.Age >= 199_200 },
		"idle_for=50h":            func(s api.Session) bool { return s.Idle >= 180_000 },
		"state=open&policy=staff": func(s api.Session) bool { return s.State == api.StateOpen && s.Policy == "staff" },
		"identity_hash=" + strings.ToUpper(api.HashIdentity("7")): func(s api.Session) bool { return s.Identity == api.HashIdentity("7") },
	} {
		var want []api.ID
		for _, s := range w.sessions {
			if fits(s) {
				want = append(want, s.ID)
			}
		}
		slices.Sort(want)
		page := get[api.Page](w, "/v1/sessions?limit=1000&"+query)
		if got := ids(page.Sessions); !slices.Equal(got, want) || page.Matched != len(want) || page.Next != "" || page.Sessions == nil {
			t.Errorf("%s: %d sessions, matched %d, next %q, want %d", query, len(got), page.Matched, page.Next, len(want))
		}
	}
}

func TestASessionIsToldWhole(t *testing.T) {
	s := session(2)
	s.Policy, s.Cause = "<\"policy\">\n\u2028é", "killed"
	bare := api.Session{ID: 5, State: api.StateOpen}
	w := start(t, &fake{sessions: []api.Session{s, bare}})
	page := get[api.Page](w, "/v1/sessions?sort=-id")
	if want := []api.Session{s, bare}; !slices.Equal(page.Sessions, want) {
		t.Errorf("%+v, want %+v", page.Sessions, want)
	}
	if detail := get[api.Detail](w, "/v1/sessions/"+s.ID.String()); detail.Session != s || detail.SubscribedTo == nil || detail.Next == nil {
		t.Errorf("%+v", detail)
	}
	w.refused(404, "GET", "/v1/sessions/0000000000000001")
	if e := w.refused(400, "GET", "/v1/sessions/1"); e.Field != "id" {
		t.Errorf("%+v", e)
	}
}

// A server that closes has not looked, and so does not say that there is none.
func TestNotLookedForIsNotNotFound(t *testing.T) {
	w := start(t, new(fake))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	for _, method := range []string{"GET", "DELETE"} {
		r, _ := http.NewRequestWithContext(ctx, method, "http://localhost/v1/sessions/0000000000000001", nil)
		answer := httptest.NewRecorder()
		w.admin.http.Handler.ServeHTTP(answer, r)
		if answer.Code != 503 {
			t.Errorf("%s: %d", method, answer.Code)
		}
	}
}

func TestBadParametersOfAListing(t *testing.T) {
	f := &fake{sessions: sessions(10)}
	w := start(t, f)
	byAge := get[api.Page](w, "/v1/sessions?limit=1&sort=age").Next
	for _, row := range []struct{ path, field string }{
		{"/v1/sessions?limit=0", "limit"},
		{"/v1/sessions?limit=1001", "limit"},
		{"/v1/sessions?limit=ten", "limit"},
		{"/v1/sessions?limit=", "limit"},
		{"/v1/sessions?limit=1&limit=2", "limit"},
		{"/v1/sessions?sort=colour", "sort"},
		{"/v1/sessions?sort=--age", "sort"},
		{"/v1/sessions?sort=", "sort"},
		{"/v1/sessions?cursor=", "cursor"},
		{"/v1/sessions?cursor=x", "cursor"},
		{"/v1/sessions?cursor=!!!", "cursor"},
		{"/v1/sessions?cursor=" + byAge, "cursor"}, // which is of another sort
		{"/v1/sessions?sort=-age&cursor=" + byAge, "cursor"},
		{"/v1/sessions?sort=age&cursor=" + byAge[1:], "cursor"},
		{"/v1/sessions?state=dead", "state"},
		{"/v1/sessions?address=10.1.2", "address"},
		{"/v1/sessions?older_than=5", "older_than"},
		{"/v1/sessions?idle_for=-5m", "idle_for"},
		{"/v1/sessions?identity_hash=xyz", "identity_hash"},
		{"/v1/sessions?colour=red", "colour"},
		{"/v1/sessions?policy=a;state=open", ""},
		{"/v1/topics?limit=10001", "limit"},
		{"/v1/topics?sort=age", "sort"},
		{"/v1/policies?x", "x"},
		{"/v1/openapi.yaml?x", "x"},
	} {
		if e := w.refused(400, "GET", row.path); e.Field != row.field {
			t.Errorf("%s: field %q, want %q (%s)", row.path, e.Field, row.field, e.Message)
		}
	}
	e := w.refused(400, "GET", "/v1/sessions?colour=red")
	for _, known := range append(api.FilterParams(), "sort", "limit", "cursor") {
		if !strings.Contains(e.Message, known) {
			t.Errorf("%q does not tell of %s", e.Message, known)
		}
	}
}

func TestOnePageAtATime(t *testing.T) {
	w := start(t, &fake{sessions: sessions(250)})
	first := get[api.Page](w, "/v1/sessions") // 100 of them, by id
	second := get[api.Page](w, "/v1/sessions?sort=id&cursor="+first.Next)
	third := get[api.Page](w, "/v1/sessions?limit=50&cursor="+second.Next) // exactly the rest
	got := slices.Concat(ids(first.Sessions), ids(second.Sessions), ids(third.Sessions))
	if len(got) != 250 || !slices.IsSorted(got) || first.Matched != 250 || third.Matched != 250 || third.Next != "" {
		t.Errorf("%d sessions, matched %d, then next is %q", len(got), first.Matched, third.Next)
	}
}

// Sessions come and go between the pages, and while one is collected, also the one at
// which a page has ended. Those that live from the first page to the last are told once
// each, in their order.
func TestPagesWhileSessionsComeAndGo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for _, sort := range []api.Sort{"id", "-age", "policy"} {
		t.Run(string(sort), func(t *testing.T) {
			f := &fake{sessions: sessions(10_000)}
			w := start(t, f)
			born, stayed := 10_000, make(map[api.ID]bool)
			for _, s := range f.sessions {
				stayed[s.ID] = true
			}
			die := func(id api.ID) {
				f.sessions = slices.DeleteFunc(slices.Clone(f.sessions), func(s api.Session) bool { return s.ID == id })
				delete(stayed, id)
			}
			f.between = func() {
				f.mu.Lock()
				defer f.mu.Unlock()
				if random.IntN(50) == 0 {
					f.sessions = append(slices.Clone(f.sessions), session(born))
					born++
					die(f.sessions[random.IntN(len(f.sessions))].ID)
				}
			}
			var got []api.Session
			path := "/v1/sessions?limit=997&sort=" + string(sort)
			for next, pages := "", 0; ; pages++ {
				page := get[api.Page](w, path+next)
				got = append(got, page.Sessions...)
				if page.Next == "" {
					break
				}
				if pages > 30 {
					t.Fatal("there is no last page")
				}
				next = "&cursor=" + page.Next
				f.mu.Lock()
				die(page.Sessions[len(page.Sessions)-1].ID)
				die(page.Sessions[0].ID)
				f.mu.Unlock()
			}
			seen := map[api.ID]bool{}
			for i := range got {
				if seen[got[i].ID] {
					t.Errorf("%s is told twice", got[i].ID)
				}
				seen[got[i].ID] = true
				if i > 0 && sort.Compare(&got[i-1], &got[i]) >= 0 {
					t.Errorf("%s is told before %s", got[i-1].ID, got[i].ID)
				}
			}
			for id := range stayed {
				if !seen[id] {
					t.Errorf("%s is not told", id)
				}
			}
		})
	}
}

func TestTopicsAreToldByTheirSessions(t *testing.T) {
	f := &fake{truncated: true}
	for i := range 3000 {
		f.topics = append(f.topics, api.Topic{Topic: fmt.Sprintf("topic-%04d", 2999-i), Policy: "default", Sessions: i % 100})
	}
	w := start(t, f)
	for limit, query := range map[int]string{100: "", 7: "?limit=7", 3000: "?limit=10000&policy=default"} {
		got := get[api.Topics](w, "/v1/topics"+query)
		if len(got.Topics) != limit || got.Matched != 3000 || !got.Truncated {
			t.Errorf("%q: %d of %d, truncated %v", query, len(got.Topics), got.Matched, got.Truncated)
		}
		if first := got.Topics[0]; first.Sessions != 99 || first.Topic != "topic-0000" {
			t.Errorf("%q: %+v is the first", query, first)
		}
		if !slices.IsSortedFunc(got.Topics, func(a, b api.Topic) int { return compareTopics(&a, &b) }) {
			t.Errorf("%q: not sorted", query)
		}
	}
	f.topics, f.truncated = nil, false
	if _, body := w.ask("GET", "/v1/topics"); body != `{"topics":[],"matched":0}`+"\n" {
		t.Errorf("none: %s", body)
	}
	if _, body := w.ask("GET", "/v1/policies"); body != `{"policies":[]}`+"\n" {
		t.Errorf("none: %s", body)
	}
}

// However many sessions there are, and in the worst order, a page takes the memory of a
// page.
func TestMemoryOfAPage(t *testing.T) {
	takes := func(n int) uint64 {
		f := &fake{sessions: sessions(n)}
		slices.SortFunc(f.sessions, worst)
		w := start(t, f)
		r, _ := http.NewRequest("GET", "http://localhost/v1/sessions?limit=1000&sort=bytes", nil)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		w.admin.http.Handler.ServeHTTP(discard{}, r)
		runtime.ReadMemStats(&after)
		return after.TotalAlloc - before.TotalAlloc
	}
	few, many := takes(5000), takes(100_000)
	if many > few+256<<10 {
		t.Errorf("%d KiB of 100,000 sessions, %d KiB of 5,000", many>>10, few>>10)
	}
}

// discard is a ResponseWriter.
type discard struct{}

func (discard) Header() http.Header         { return http.Header{} }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}
func (discard) Flush()                      {}

// hold makes every look at sessions wait in its midst until release is closed.
func (f *fake) hold() (held, release chan struct{}) {
	held, release = make(chan struct{}), make(chan struct{})
	f.between = func() {
		select {
		case held <- struct{}{}:
			<-release
		case <-release:
		}
	}
	return held, release
}

func TestScansAtATimeAreFew(t *testing.T) {
	f := &fake{sessions: sessions(100)}
	held, release := f.hold()
	w := start(t, f)
	answers := make(chan int)
	ask := func(ctx context.Context, method, path string, header ...string) {
		go func() {
			r := w.open(ctx, method, path, header...)
			_, _ = io.Copy(io.Discard, r.Body)
			_ = r.Body.Close()
			answers <- r.StatusCode
		}()
	}
	ask(t.Context(), "GET", "/v1/sessions")
	ask(t.Context(), "GET", "/v1/sessions?sort=age")
	ask(t.Context(), "DELETE", "/v1/sessions?address=10.0.0.0/8")
	ask(t.Context(), "GET", "/v1/sessions", "Accept", ndjson)
	for range maxScans {
		<-held
	}

	// One more waits, and gives up when who has asked does; then it is told so, if it is
	// still there.
	ctx, cancel := context.WithCancel(t.Context())
	refused := make(chan error)
	go func() {
		_, err := w.admin.scan(ctx, discard{})
		refused <- err
	}()
	cancel()
	if err := (<-refused).(*statusError); err.status != 503 {
		t.Errorf("%+v", err)
	}
	// What looks at no more than one session does not wait.
	get[api.Detail](w, "/v1/sessions/"+session(0).ID.String())
	get[api.Policies](w, "/v1/policies")

	ask(t.Context(), "GET", "/v1/topics")
	close(release)
	for range maxScans + 1 {
		if status := <-answers; status != 200 {
			t.Errorf("%d", status)
		}
	}
}
