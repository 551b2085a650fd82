//go:build linux

package faults

import (
	"flag"
	"fmt"
	"net"
	"os"
	"testing"

	"github.com/Shopify/toxiproxy/v2/toxics"
	"github.com/rs/zerolog"
	"go.uber.org/goleak"
)

// TestMain fails when a test has left a goroutine or a descriptor behind.
func TestMain(m *testing.M) {
	if played, err := play(); played {
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	flag.Parse()
	if parallel := flag.Lookup("test.parallel"); parallel.Value.String() == parallel.DefValue {
		_ = parallel.Value.Set("24") // most of them wait most of the time
	}
	zerolog.SetGlobalLevel(zerolog.Disabled)
	toxics.Register("silence", new(silence))
	goleak.VerifyTestMain(counted{m},
		// A stopped fasthttp server's cleaner sleeps on for up to ten seconds.
		goleak.IgnoreAnyFunction("github.com/valyala/fasthttp.(*workerPool).Start.func2"),
		// A link of toxiproxy's that breaks while it carries something never ends.
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2.(*ToxicLink).read"),
		goleak.IgnoreAnyFunction("github.com/Shopify/toxiproxy/v2/toxics.(*NoopToxic).Pipe"),
	)
}

// folder is for files that several tests use.
var folder string

// counted are tests that have to leave as many descriptors as there were.
type counted struct{ *testing.M }

func (m counted) Run() int {
	if ln, err := net.Listen("tcp", "127.0.0.1:0"); err == nil {
		_ = ln.Close() // what Go needs for all sockets stays
	}
	before, err := countDescriptors(os.Getpid())
	if err == nil {
		folder, err = os.MkdirTemp("", "wswarden-faults-")
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(folder)
	if code := m.M.Run(); code != 0 {
		return code
	}
	after := 0
	if !settle(func() bool {
		after, _ = countDescriptors(os.Getpid())
		return after <= before
	}) {
		fmt.Fprintf(os.Stderr, "%d descriptors are open, %d were before\n", after, before)
		return 1
	}
	return 0
}
