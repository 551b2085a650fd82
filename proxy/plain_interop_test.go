package proxy_test

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

// plainUpstream serves plain HTTP by handler, through wswarden, for the time of the
// test, and returns the address that clients connect to.
func plainUpstream(t *testing.T, handler http.HandlerFunc) string {
	t.Helper()
	upstream := httptest.NewServer(handler)
	t.Cleanup(upstream.Close)
	return "http://" + interopWarden(t, upstream.Listener.Addr().String(), nil)
}

// Each event is there before the next is sent, for hours if need be; upstream learns
// that the client has left.
func TestServerSentEvents(t *testing.T) {
	t.Parallel()
	next, left := make(chan int), make(chan struct{})
	address := plainUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		w.WriteHeader(http.StatusOK)
		w.(http.Flusher).Flush()
		for n := range next {
			_, _ = fmt.Fprintf(w, "id: %d\ndata: %d\n\n", n, n)
			w.(http.Flusher).Flush()
		}
		<-r.Context().Done()
		close(left)
	})
	client := &http.Client{Transport: &http.Transport{}}
	response, err := client.Get(address + "/events") // returns before the first event
	if err != nil {
		t.Fatal(err)
	}
	events := bufio.NewReader(response.Body)
	for n := range 100 {
		next <- n
		want := fmt.Sprintf("id: %d\ndata: %d\n\n", n, n)
		got := make([]byte, len(want))
		if _, err := io.ReadFull(events, got); err != nil || string(got) != want {
			t.Fatalf("got %q (%v), want %q", got, err, want)
		}
	}
	close(next)
	_ = response.Body.Close()
	interopWait(t, left, "the end of the request")
}

// Trailers pass both ways, announced or not.
func TestTrailers(t *testing.T) {
	t.Parallel()
	address := plainUpstream(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.Header().Set("Trailer", "X-Announced")
		_, _ = fmt.Fprintf(w, "%s %s", body, r.Trailer.Get("X-Sum"))
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"X-Unannounced", "b")
	})
	request, err := http.NewRequest(http.MethodPost, address, io.NopCloser(strings.NewReader("hello")))
	if err != nil {
		t.Fatal(err)
	}
	request.Trailer = http.Header{"X-Sum": {"7"}}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if string(body) != "hello 7" || err != nil {
		t.Errorf("upstream read %q (%v)", body, err)
	}
	if got := response.Trailer; got.Get("X-Announced") != "a" || got.Get("X-Unannounced") != "b" {
		t.Errorf("trailers: %q", got)
	}
}

// wswarden invites a body by itself, but not one of a request that it will refuse.
func TestInvitation(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ name, line, want string }{
		{"fine", "Content-Length: 5", "HTTP/1.1 100 Continue\r\n"},
		{"ambiguous", "Content-Length: 5\r\nTransfer-Encoding: chunked", "HTTP/1.1 400 Bad Request\r\n"},
		{"misspelled", "Content-Length: 5\r\nFoo Bar: 1", "HTTP/1.1 400 Bad Request\r\n"},
	} {
		t.Run(test.name, func(t *testing.T) {
			client := interopDial(t, interopWarden(t, "127.0.0.1:1", nil))
			client.text("POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n" + test.line + "\r\n\r\n")
			if got, err := client.r.ReadString('\n'); got != test.want {
				t.Errorf("got %q (%v), want %q", got, err, test.want)
			}
		})
	}
}
