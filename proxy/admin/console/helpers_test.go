package console

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/gdamore/tcell/v3"
	"github.com/gdamore/tcell/v3/vt"
	"go.uber.org/goleak"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
)

func TestMain(m *testing.M) {
	time.Local = time.UTC
	goleak.VerifyTestMain(m)
}

const longest = 30 * time.Second

var start = time.Date(2026, 3, 4, 5, 6, 7, 0, time.UTC)

// fake is an admin API of sessions that do nothing.
type fake struct {
	t      *testing.T
	url    string
	server *httptest.Server

	mu       sync.Mutex
	sessions []api.Session
	opened   int
	ended    map[string]int
	asked    []string // that are no listings
	queries  []string // of listings
	running  int      // requests at a time
	most     int
	hang     bool // answer nothing more
}

func newFake(t *testing.T, sessions int) *fake {
	f := &fake{t: t, ended: map[string]int{"idle": 1}}
	for i := range sessions {
		f.sessions = append(f.sessions, session(i+1))
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", f.metrics)
	mux.HandleFunc("GET /v1/sessions", f.list)
	mux.HandleFunc("GET /v1/sessions/{id}", f.show)
	mux.HandleFunc("DELETE /v1/sessions/{id}", f.end)
	f.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.mu.Lock()
		f.running++
		f.most = max(f.most, f.running)
		hang := f.hang
		f.mu.Unlock()
		if hang {
			<-r.Context().Done()
		} else {
			mux.ServeHTTP(w, r)
		}
		f.mu.Lock()
		f.running--
		f.mu.Unlock()
	}))
	f.url = f.server.URL
	t.Cleanup(f.server.Close)
	return f
}

// session number n is n minutes old, and the less idle the older.
func session(n int) api.Session {
	return api.Session{
		ID: api.ID(n), Policy: "passengers", Address: netip.AddrFrom4([4]byte{10, 0, 0, byte(n)}),
		Identity: api.HashIdentity(fmt.Sprint("user", n)), State: api.StateOpen,
		Opened: start.Add(-time.Duration(n) * time.Minute), Active: start.Add(-time.Minute / time.Duration(n)),
		Age: api.Seconds(60 * n), Idle: api.Seconds(60 / n),
		ClientToUpstream: api.Flow{Messages: uint64(n), Bytes: uint64(1000 * n)},
		Ping:             api.Seconds(0.012), Subscriptions: n,
	}
}

func (f *fake) metrics(w http.ResponseWriter, _ *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, _ = fmt.Fprintf(w, "# TYPE wswarden_sessions_live gauge\nwswarden_sessions_live{policy=\"passengers\"} %d\n", len(f.sessions))
	_, _ = fmt.Fprintf(w, "# TYPE wswarden_sessions_opened_total counter\nwswarden_sessions_opened_total{policy=\"passengers\"} %d\n", f.opened)
	_, _ = fmt.Fprintf(w, "# TYPE wswarden_sessions_ended_total counter\n")
	for cause, n := range f.ended {
		_, _ = fmt.Fprintf(w, "wswarden_sessions_ended_total{policy=\"passengers\",cause=%q} %d\n", cause, n)
	}
}

func (f *fake) list(w http.ResponseWriter, r *http.Request) {
	filter, err := api.ParseFilter(r.URL.Query())
	order, wrong := api.ParseSort(r.URL.Query().Get("sort"))
	if err != nil || wrong != nil {
		f.t.Errorf("asked for %s: %v, %v", r.URL.RawQuery, err, wrong)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.queries = append(f.queries, r.URL.RawQuery)
	page := api.Page{Sessions: []api.Session{}}
	for _, s := range f.sessions {
		if filter.Fits(&s) {
			page.Sessions = append(page.Sessions, s)
		}
	}
	page.Matched = len(page.Sessions)
	slices.SortFunc(page.Sessions, func(a, b api.Session) int { return order.Compare(&a, &b) })
	if r.Header.Get("Accept") == "application/x-ndjson" {
		for _, s := range page.Sessions {
			_ = json.NewEncoder(w).Encode(s)
		}
		return
	}
	limit := 0
	_, _ = fmt.Sscan(r.URL.Query().Get("limit"), &limit)
	page.Sessions = page.Sessions[:min(limit, len(page.Sessions))]
	_ = json.NewEncoder(w).Encode(page)
}

func (f *fake) find(w http.ResponseWriter, r *http.Request) int {
	f.asked = append(f.asked, r.Method+" "+r.URL.Path)
	id, err := api.ParseID(r.PathValue("id"))
	i := slices.IndexFunc(f.sessions, func(s api.Session) bool { return s.ID == id })
	if err != nil || i < 0 {
		w.WriteHeader(http.StatusNotFound)
		_ = json.NewEncoder(w).Encode(api.Error{Message: "no such session"})
		return -1
	}
	return i
}

func (f *fake) show(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.find(w, r); i >= 0 {
		_ = json.NewEncoder(w).Encode(detailed(f.sessions[i]))
	}
}

func (f *fake) end(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if i := f.find(w, r); i >= 0 {
		f.sessions = slices.Delete(f.sessions, i, i+1)
		f.ended["killed"]++
		_ = json.NewEncoder(w).Encode(api.Ended{Ended: 1})
	}
}

// change does something to what the fake has.
func (f *fake) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
}

// wantAsked checks what was asked last, apart from listings.
func (f *fake) wantAsked(want string) {
	f.t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asked) == 0 || f.asked[len(f.asked)-1] != want {
		f.t.Errorf("asked %q, want %q last", f.asked, want)
	}
}

func detailed(s api.Session) api.Detail {
	at := func(seconds int) *time.Time { t := s.Opened.Add(time.Duration(seconds) * time.Second); return &t }
	return api.Detail{
		Session: s,
		Times:   api.Times{FirstMessage: at(1), Message: at(50), ClientFrame: at(50), ClientPing: at(30), ClientPong: at(30)},
		ClientPings: api.RoundTrips{
			Count: 2, Last: 0.012, Least: 0.0004, Most: 1.5, Mean: 0.02,
		},
		SubscribedTo: []api.Subscription{{Topic: "1722500001", State: "live"}, {Topic: "evil\x1b[2J\u202e", State: "pending"}},
		Next: []api.Forecast{
			{Rule: "heartbeat", Action: "ping_client", At: *at(80), In: 20},
			{Rule: "idle", Action: "end", Cause: "idle", CloseCode: 1001, At: *at(600), In: 540},
		},
	}
}

// console asks the fake, and keeps what it prints.
func (f *fake) console() (c *Console, out, remarks *bytes.Buffer) {
	f.t.Helper()
	asking, err := client.New(client.Options{Address: f.url, Timeout: longest})
	if err != nil {
		f.t.Fatal(err)
	}
	f.t.Cleanup(asking.Close)
	out, remarks = &bytes.Buffer{}, &bytes.Buffer{}
	return &Console{Client: asking, In: strings.NewReader(""), Out: out, Err: remarks}, out, remarks
}

// monitor is a terminal with a live screen on it.
type monitor struct {
	t     *testing.T
	term  vt.MockTerm
	wrote chan struct{}
	view  *view
	stop  context.CancelFunc
	ended chan error
}

// Write tells that there is something new to see.
func (m *monitor) Write(p []byte) (int, error) {
	n, err := m.term.Write(p)
	select {
	case m.wrote <- struct{}{}:
	default:
	}
	return n, err
}

// tty is the terminal, with the writes of the monitor.
type tty struct {
	vt.MockTerm
	m *monitor
}

func (t tty) Write(p []byte) (int, error) { return t.m.Write(p) }

// screen returns a terminal of so many columns and rows, and what is to be seen on it.
func (f *fake) screen(interval time.Duration, columns, rows int) *monitor {
	f.t.Helper()
	c, _, _ := f.console()
	m := &monitor{t: f.t, term: vt.NewMockTerm(vt.MockOptSize{X: vt.Col(columns), Y: vt.Row(rows)}),
		wrote: make(chan struct{}, 1), ended: make(chan error, 1)}
	screen, err := tcell.NewTerminfoScreenFromTty(tty{m.term, m}, tcell.OptNegotiation(false), tcell.OptColors(0), tcell.OptTerm("xterm"))
	if err != nil {
		f.t.Fatal(err)
	}
	w := &watcher{client: c.Client}
	query := Query{Sort: "id", Limit: 200}
	first, err := w.look(context.Background(), query)
	if err != nil {
		f.t.Fatal(err)
	}
	m.view = newView(screen, w, Watch{Query: query, Interval: interval}, first)
	return m
}

// watch begins a live screen.
func (f *fake) watch(interval time.Duration, columns, rows int) *monitor {
	f.t.Helper()
	m := f.screen(interval, columns, rows)
	ctx, cancel := context.WithCancel(context.Background())
	f.t.Cleanup(cancel)
	m.stop = cancel
	go func() { m.ended <- m.view.run(ctx) }()
	m.want("wswarden 127.0.0.1")
	return m
}

func (m *monitor) press(keys string) { m.term.SendRaw([]byte(keys)) }

// text is what is on the screen, with > ahead of rows that stand out.
func (m *monitor) text() string {
	size, _ := m.term.WindowSize()
	var b strings.Builder
	for y := range size.Height {
		row, reverse := "", false
		for x := range size.Width {
			cell := m.term.GetCell(vt.Coord{X: vt.Col(x), Y: vt.Row(y)})
			if cell.C == "" {
				cell.C = " "
			}
			row += cell.C
			reverse = reverse || x == 0 && cell.S != nil && cell.S.Attr()&vt.Reverse != 0
		}
		if reverse {
			row = ">" + row
		}
		b.WriteString(strings.TrimRight(row, " ") + "\n")
	}
	return b.String()
}

// want waits until the screen shows all the parts.
func (m *monitor) want(parts ...string) {
	m.t.Helper()
	m.until(fmt.Sprintf("%q", parts), func(text string) bool {
		return !slices.ContainsFunc(parts, func(part string) bool { return !strings.Contains(text, part) })
	})
}

func (m *monitor) wantNot(part string) {
	m.t.Helper()
	m.until("no "+part, func(text string) bool { return !strings.Contains(text, part) })
}

func (m *monitor) until(what string, is func(text string) bool) {
	m.t.Helper()
	deadline := time.After(longest)
	for !is(m.text()) {
		select {
		case <-m.wrote:
		case err := <-m.ended:
			m.t.Fatalf("the screen has ended (%v), want %s", err, what)
		case <-deadline:
			m.t.Fatalf("the screen shows\n%swant %s", m.text(), what)
		}
	}
}

// wantEnd waits for the end of the screen.
func (m *monitor) wantEnd() {
	m.t.Helper()
	select {
	case err := <-m.ended:
		if err != nil {
			m.t.Errorf("it ends with %v", err)
		}
	case <-time.After(longest):
		m.t.Fatalf("it does not end, and shows\n%s", m.text())
	}
}

// restoring notes that the terminal was restored.
type restoring struct {
	tcell.Screen
	done bool
}

func (r *restoring) Fini() {
	r.Screen.Fini()
	r.done = true
}
