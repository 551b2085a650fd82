package admin

import (
	"bufio"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"wswarden/proxy/admin/api"
)

func TestAStreamHasAllThatFit(t *testing.T) {
	f := &fake{sessions: sessions(3000)}
	w := start(t, f)
	for query, want := range map[string]int{"": 3000, "?policy=staff": 1000, "?policy=nobody": 0} {
		for _, accept := range []string{ndjson, "text/html, Application/x-ndjson;q=0.9"} {
			r, body := w.ask("GET", "/v1/sessions"+query, "Accept", accept)
			if r.StatusCode != 200 || r.Header.Get("Content-Type") != ndjson {
				t.Fatalf("%s: %d %s", query, r.StatusCode, r.Header.Get("Content-Type"))
			}
			seen := map[api.ID]bool{}
			for line := range strings.Lines(body) {
				var s api.Session
				if err := json.Unmarshal([]byte(line), &s); err != nil {
					t.Fatalf("%v in %s", err, line)
				}
				seen[s.ID] = true
			}
			if lines := strings.Count(body, "\n"); len(seen) != want || lines != want {
				t.Errorf("%s: %d sessions on %d lines, want %d", query, len(seen), lines, want)
			}
		}
	}
	for _, name := range []string{"sort", "limit", "cursor"} {
		if e := w.refused(400, "GET", "/v1/sessions?"+name+"=10", "Accept", ndjson); e.Field != name {
			t.Errorf("%s: %+v", name, e)
		}
	}
	if r, _ := w.ask("GET", "/v1/sessions", "Accept", "*/*"); r.Header.Get("Content-Type") != "application/json" {
		t.Errorf("anything: %s", r.Header.Get("Content-Type"))
	}
}

// endless is a Source whose sessions never end by themselves: each batch is told to
// yielded, and left is told when the look at them is over.
type endless struct {
	*fake
	yielded chan struct{} // nil: nobody is told
	left    chan struct{}
}

func (e endless) Sessions(ctx context.Context, _ api.Filter) iter.Seq[[]api.Session] {
	return func(yield func([]api.Session) bool) {
		defer func() { e.left <- struct{}{} }()
		for ctx.Err() == nil && yield(e.sessions) {
			if e.yielded != nil {
				e.yielded <- struct{}{}
				<-ctx.Done()
			}
		}
	}
}

// What Close has cut short does not pass for a whole listing.
func TestAListingThatIsCutShortIsSeenToBe(t *testing.T) {
	e := endless{&fake{sessions: sessions(10)}, make(chan struct{}), make(chan struct{}, 2)}
	w := start(t, e.fake, func(o *Options) { o.Source = e })
	page, stream := make(chan int), make(chan error)
	go func() {
		r := w.open(t.Context(), "GET", "/v1/sessions")
		_ = r.Body.Close()
		page <- r.StatusCode
	}()
	<-e.yielded
	go func() {
		conn := w.dial("/v1/sessions", "Accept: "+ndjson)
		_, err := io.Copy(io.Discard, conn)
		_ = conn.Close()
		stream <- err
	}()
	<-e.yielded
	if err := w.admin.Close(); err != nil {
		t.Error(err)
	}
	if status := <-page; status != 503 {
		t.Errorf("a page: %d", status)
	}
	if err := <-stream; err == nil {
		t.Error("a stream looks whole")
	}
}

// dial sends a request over a connection that has little room for the answer, and
// returns the body of that.
func (w *world) dial(path string, header ...string) io.ReadCloser {
	w.Helper()
	conn, err := net.Dial("tcp", w.admin.Addr().String())
	if err != nil {
		w.Fatal(err)
	}
	_ = conn.(*net.TCPConn).SetReadBuffer(4096)
	r, err := http.NewRequest("GET", "http://"+w.admin.Addr().String()+path, nil)
	if err != nil {
		w.Fatal(err)
	}
	for _, line := range header {
		name, value, _ := strings.Cut(line, ": ")
		r.Header.Set(name, value)
	}
	if err := r.Write(conn); err != nil {
		w.Fatal(err)
	}
	return &body{Conn: conn, request: r}
}

// body of an answer, whose head is not read before it is.
type body struct {
	net.Conn
	request *http.Request
	answer  *http.Response
}

func (b *body) Read(p []byte) (n int, err error) {
	if b.answer == nil {
		if b.answer, err = http.ReadResponse(bufio.NewReader(b.Conn), b.request); err != nil {
			return 0, err
		}
	}
	return b.answer.Body.Read(p)
}

func TestWhoDoesNotReadHisStreamIsDropped(t *testing.T) {
	e := endless{fake: &fake{sessions: sessions(100)}, left: make(chan struct{})}
	w := start(t, e.fake, func(o *Options) { o.Source = e })
	w.admin.patience = 20 * time.Millisecond
	unread := w.dial("/v1/sessions", "Accept: "+ndjson)
	<-e.left
	_ = unread.Close()
}

func TestWhoDoesNotReadHisStreamKeepsNobodyWaiting(t *testing.T) {
	e := endless{fake: &fake{sessions: sessions(100)}, left: make(chan struct{}, 2*maxScans)}
	w := start(t, e.fake, func(o *Options) { o.Source = e })
	w.admin.patience = time.Hour
	for range 2 * maxScans {
		unread := w.dial("/v1/sessions", "Accept: "+ndjson)
		if _, err := io.ReadFull(unread, make([]byte, 1000)); err != nil {
			t.Fatal(err)
		}
		defer func() { _ = unread.Close() }()
	}
	leave, err := w.admin.scan(t.Context(), discard{})
	if err != nil {
		t.Fatal(err)
	}
	leave()
}

func TestWhoGoesFromHisStreamIsMissedAtOnce(t *testing.T) {
	e := endless{fake: &fake{sessions: sessions(100)}, left: make(chan struct{})}
	w := start(t, e.fake, func(o *Options) { o.Source = e })
	read := w.dial("/v1/sessions", "Accept: "+ndjson)
	if _, err := io.ReadFull(read, make([]byte, 1000)); err != nil {
		t.Fatal(err)
	}
	_ = read.Close()
	<-e.left
}
