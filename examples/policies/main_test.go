package policies_test

import (
	"flag"
	"testing"

	"go.uber.org/goleak"
)

// TestMain fails when a test has left a goroutine behind.
func TestMain(m *testing.M) {
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("32") // they wait for a second, nearly all of the time
	}
	goleak.VerifyTestMain(m,
		// A stopped fasthttp server's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
	)
}
