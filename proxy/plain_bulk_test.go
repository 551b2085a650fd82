package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"
)

// mirror is a net/http upstream: POST tells the length of the body in X-Received, GET
// gives as many bytes as the query says; neither holds all of it.
func mirror(t testing.TB) string {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			if err == nil {
				w.Header().Set("X-Received", strconv.FormatInt(n, 10))
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

// ways are those that a body can go.
var ways = []struct {
	name     string
	method   string
	declared bool // its length
}{
	{"download by length", http.MethodGet, true},
	{"download by chunks", http.MethodGet, false},
	{"upload by length", http.MethodPost, true},
	{"upload by chunks", http.MethodPost, false},
}

// transfer moves size bytes through the proxy in each of the ways, and tells how long
// it took.
func transfer(t testing.TB, address string, size int64) (took []time.Duration) {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, way := range ways {
		began := time.Now()
		path := "/chunked"
		if way.declared {
			path = "/length"
		}
		request, err := http.NewRequest(way.method, fmt.Sprintf("http://%s%s?%d", address, path, size), nil)
		if err != nil {
			t.Fatal(err)
		}
		if way.method == http.MethodPost {
			request.Body = io.NopCloser(io.LimitReader(zeros{}, size))
			request.ContentLength = -1
			if way.declared {
				request.ContentLength = size
			}
		}
		response, err := client.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		n, err := io.Copy(io.Discard, response.Body)
		if way.method == http.MethodPost {
			n, _ = strconv.ParseInt(response.Header.Get("X-Received"), 10, 64)
		}
		_ = response.Body.Close()
		if n != size || err != nil {
			t.Errorf("%s: %d of %d bytes: %v", way.name, n, size, err)
		}
		took = append(took, time.Since(began))
	}
	return took
}

func TestBodiesOfEverySize(t *testing.T) {
	address := startPlain(t, mirror(t), patience)
	for _, size := range []int64{0, 1, 2, 4095, 8191, 8192, 8193, 16383, 16384, 16385, 32 << 10, 100_001} {
		transfer(t, address, size)
	}
}

// bulk is the size of a large body: 64 MiB, or what WSWARDEN_TEST_BULK says, as 1GiB.
func bulk(t testing.TB) int64 {
	size := int64(64 << 20)
	if text := os.Getenv("WSWARDEN_TEST_BULK"); text != "" {
		if _, err := fmt.Sscanf(text, "%dGiB", &size); err != nil {
			t.Fatalf("WSWARDEN_TEST_BULK=%s: %v", text, err)
		}
		size <<= 30
	}
	return size
}

// What is allocated for all of a body, both peers included, does not depend on its size.
func TestLargeBodiesInConstantMemory(t *testing.T) {
	const bound = 8 << 20
	size := bulk(t)
	address := startPlain(t, mirror(t), patience)
	transfer(t, address, 1<<20)
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	took := transfer(t, address, size)
	runtime.ReadMemStats(&after)
	for i, way := range ways {
		t.Logf("%s: %d MiB in %v, %.2f GB/s", way.name, size>>20, took[i].Round(time.Millisecond), float64(size)/took[i].Seconds()/1e9)
	}
	allocated := after.TotalAlloc - before.TotalAlloc
	t.Logf("allocated %d KiB in all, from the system %d KiB more", allocated>>10, (after.Sys-before.Sys)>>10)
	if allocated > bound {
		t.Errorf("4 bodies of %d MiB allocated %d KiB in all", size>>20, allocated>>10)
	}
}

// slowPeer is how much of a body may be on its way to a peer that takes none of it: what
// four socket buffers hold, and a piece or two of wswarden's.
const slowPeer = 32 << 20

// push writes until nothing has been taken for a while, at most limit bytes, and returns
// how many it were.
func push(c *wire, limit int) (n int) {
	piece := make([]byte, 1<<20)
	for n < limit {
		_ = c.SetWriteDeadline(time.Now().Add(100 * time.Millisecond))
		written, err := c.Write(piece[:min(len(piece), limit-n)])
		n += written
		if err != nil && written == 0 {
			break
		}
	}
	_ = c.SetWriteDeadline(time.Now().Add(patience))
	return n
}

// A client that does not read a download stops upstream, and gets all of it when it does.
func TestSlowReaderOfADownload(t *testing.T) {
	t.Parallel()
	const size = 2 * slowPeer
	pushed := make(chan int, 1)
	upstream := startUpstream(t, func(c *wire, _ int) {
		c.mustHead("GET ")
		c.send(fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", size))
		n := push(c, size)
		pushed <- n
		_, _ = io.CopyN(c, zeros{}, int64(size-n))
		c.expectEnd()
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send(get)
	c.mustHead("HTTP/1.1 200 OK\r\n")
	if n := <-pushed; n > slowPeer {
		t.Errorf("upstream could send %d KiB to a client that reads none", n>>10)
	}
	if n, err := io.CopyN(io.Discard, c.br, size); err != nil {
		t.Errorf("%d of %d bytes: %v", n, size, err)
	}
}

// Upstream that does not read an upload stops the client, and gets all of it when it does.
func TestSlowReaderOfAnUpload(t *testing.T) {
	t.Parallel()
	const size = 2 * slowPeer
	slow := make(chan struct{})
	upstream := startUpstream(t, func(c *wire, _ int) {
		c.mustHead("POST ")
		<-slow
		if n, err := io.CopyN(io.Discard, c.br, size); err != nil {
			t.Errorf("%d of %d bytes: %v", n, size, err)
		}
		c.send("HTTP/1.1 204 No Content\r\n\r\n")
		c.expectEnd()
	})
	c := dialWire(t, startPlain(t, upstream, patience))
	c.send(fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", size))
	n := push(c, size)
	if n > slowPeer {
		t.Errorf("the client could send %d KiB to upstream that reads none", n>>10)
	}
	close(slow)
	_, _ = io.CopyN(c, zeros{}, int64(size-n))
	c.mustHead("HTTP/1.1 204 No Content\r\n")
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
				_ = response.Body.Close()
				if got := response.Header.Get("X-Received"); got != strconv.Itoa(len(body)) {
					errs <- fmt.Errorf("got %q, want %d", got, len(body))
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
