package proxy_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("6") // most of them wait most of the time
	}
	goleak.VerifyTestMain(m,
		// net/http's server sleeps for half a second behind an answer ahead of the request's end.
		goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"),
		// A stopped fasthttp server's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
