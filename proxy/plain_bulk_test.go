package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"testing"
	"time"
)

// mirror is a net/http upstream: POST gives the body back, GET as many bytes as
// the query says, without reading or holding all of it.
func mirror(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			if err == nil {
				_, _ = fmt.Fprint(w, n)
			}
			return
		}
		var size int64
		_, _ = fmt.Sscan(r.URL.RawQuery, &size)
		if r.URL.Path == "/length" {
			w.Header().Set("Content-Length", r.URL.RawQuery)
		}
		_, _ = io.CopyN(w, zeros{}, size)
	}))
	t.Cleanup(server.Close)
	return server.Listener.Addr().String()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// transfer moves size bytes through the proxy in each of four ways.
func transfer(t testing.TB, address string, size int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, path := range []string{"/length", "/chunked"} {
		response, err := client.Get(fmt.Sprintf("http://%s%s?%d", address, path, size))
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		_ = response.Body.Close()
		if n != size || err != nil {
			t.Errorf("%s: %d of %d bytes: %v", path, n, size, err)
		}
	}
	for _, length := range []int64{size, -1} {
		request, err := http.NewRequest(http.MethodPost, "http://"+address, io.NopCloser(io.LimitReader(zeros{}, size)))
		if err != nil {
			t.Fatal(err)
		}
		request.ContentLength = length
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if string(got) != fmt.Sprint(size) || err != nil {
			t.Errorf("upload of %d bytes with length %d: got %s: %v", size, length, got, err)
		}
	}
}

func TestBodiesOfEverySize(t *testing.T) {
	address := startPlain(t, mirror(t), patience)
	for _, size := range []int64{0, 1, 2, 4095, 8191, 8192, 8193, 16383, 16384, 16385, 32 << 10, 100_001} {
		transfer(t, address, size)
	}
}

func TestLargeBodiesInConstantMemory(t *testing.T) {
	const size, bound = 64 << 20, 8 << 20
	address := startPlain(t, mirror(t), patience)
	transfer(t, address, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	transfer(t, address, size)
	runtime.ReadMemStats(&after)
	if allocated := after.TotalAlloc - before.TotalAlloc; allocated > bound {
		t.Errorf("4 bodies of %d MiB allocated %d KiB in all", size>>20, allocated>>10)
	}
}

func TestConcurrentRequests(t *testing.T) {
	address := startPlain(t, mirror(t), patience)
	errs := make(chan error)
	for range 8 {
		go func() {
			client := &http.Client{Transport: &http.Transport{}}
			defer client.CloseIdleConnections()
			for i := range 50 {
				body := strings.Repeat("x", i*400)
				response, err := client.Post("http://"+address, "text/plain", strings.NewReader(body))
				if err != nil {
					errs <- err
					return
				}
				got, err := io.ReadAll(response.Body)
				_ = response.Body.Close()
				if string(got) != fmt.Sprint(len(body)) || err != nil {
					errs <- fmt.Errorf("got %q (%v), want %d", got, err, len(body))
					return
				}
			}
			errs <- nil
		}()
	}
	for range 8 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
}

func BenchmarkPlainGet(b *testing.B) {
	c := dialWire(b, startPlain(b, startUpstream(b, answerAll("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")), patience))
	_ = c.SetDeadline(time.Time{})
	b.ReportAllocs()
	for b.Loop() {
		c.send(get)
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi")
	}
}

// BenchmarkPlainGiB moves 1 GiB in each of four ways.
func BenchmarkPlainGiB(b *testing.B) {
	address := startPlain(b, mirror(b), patience)
	b.ReportAllocs()
	b.SetBytes(4 << 30)
	for b.Loop() {
		transfer(b, address, 1<<30)
	}
}
