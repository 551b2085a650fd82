package admin

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"wswarden/proxy/admin/api"
)

// crowded is a source that keeps those waiting who ask for one session.
type crowded struct {
	*fake
	inside chan struct{}
	leave  chan struct{}
}

func (c crowded) Session(ctx context.Context, id api.ID) (api.Detail, bool) {
	c.inside <- struct{}{}
	<-c.leave
	return c.fake.Session(ctx, id)
}

func (c crowded) EndOne(ctx context.Context, id api.ID, _ uint16, _ string) (int, bool) {
	_, found := c.Session(ctx, id)
	return 1, found
}

// One session is looked for among all: each that asks takes time of the loops.
func TestFindsAtATimeAreFew(t *testing.T) {
	const ask = 2 * maxFinds
	c := crowded{&fake{sessions: sessions(1)}, make(chan struct{}, ask), make(chan struct{})}
	s, err := New(Options{Address: "127.0.0.1:0", Source: c})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	var asking sync.WaitGroup
	for i := range ask {
		method := []string{"GET", "DELETE"}[i%2]
		asking.Go(func() {
			answer := httptest.NewRecorder()
			request := httptest.NewRequest(method, "/v1/sessions/"+c.sessions[0].ID.String(), nil)
			request.Host = "localhost"
			s.http.Handler.ServeHTTP(answer, request)
			if answer.Code != http.StatusOK {
				t.Errorf("%s: status %d: %s", method, answer.Code, answer.Body)
			}
		})
	}
	for range maxFinds {
		<-c.inside
	}
	if s.finds.tryEnter() {
		t.Errorf("more than %d at a time", maxFinds)
	}
	close(c.leave)
	asking.Wait()
}

// Who only connects takes no more descriptors than operators may, and keeps them away
// no longer than he stays.
func TestConnectionsAreFew(t *testing.T) {
	w := start(t, &fake{})
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", w.admin.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		return conn
	}
	first := dial()
	for range maxConnections - 1 {
		dial()
	}
	if n, err := dial().Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("one too many reads %d bytes, %v, want to be closed", n, err)
	}
	_ = first.Close()
	for answered := false; !answered; {
		conn := dial()
		_, _ = io.WriteString(conn, "GET /healthz HTTP/1.0\r\n\r\n")
		answer, _ := io.ReadAll(conn)
		answered = bytes.HasPrefix(answer, []byte("HTTP/1.0 200 OK"))
	}
}
