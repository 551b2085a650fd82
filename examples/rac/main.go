// Command rac shows wswarden's main job on one machine with nothing but Go.
//
// Two backends leak as the RAC backend did (backend.go). Two fleets of the same
// clients use them, some of which vanish, hang, break the protocol, or subscribe to
// all that there is. One fleet connects directly, the other through wswarden. A
// table shows both once a second; a verdict at the end shows what each backend is
// left with.
//
// The exit status is 0 if the direct backend has leaked, the other holds nothing
// any more and never held more of a client's subscriptions than wswarden.yaml
// allows, and every client got through wswarden; 1 if not; 2 if the command line
// makes no sense.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	var err error
	switch role := os.Getenv(roleVar); role {
	case roleBackend:
		err = runBackend(os.Args[1])
	case roleWswarden:
		err = runWswarden(os.Args[1], os.Args[2])
	default:
		ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
		defer stop()
		if o := parseOptions(); o.backend != "" {
			err = backendAlone(ctx, o.backend, o.ping)
		} else {
			err = demonstrate(ctx, o, os.Stdout)
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "rac:", err)
		os.Exit(1)
	}
}

type options struct {
	clients  int
	duration time.Duration
	seed     uint64
	ping     time.Duration
	admin    string
	backend  string
}

// parseOptions reads the command line and ends the process if it is wrong.
func parseOptions() options {
	var o options
	flag.IntVar(&o.clients, "clients", 150, "clients in each fleet")
	flag.DurationVar(&o.duration, "duration", 30*time.Second, "how long clients come and go")
	flag.Uint64Var(&o.seed, "seed", 1, "the same seed makes the clients do the same")
	flag.DurationVar(&o.ping, "backend-ping", 0, "the backends' own ping interval, 0s: they have none")
	flag.StringVar(&o.admin, "admin", "127.0.0.1:0", "`address` of wswarden's dashboard and admin API; port 0: any free one")
	flag.StringVar(&o.backend, "backend", "", "only a backend, on this `address`, until SIGTERM, as examples/compose wants it")
	flag.Parse()
	if flag.NArg() > 0 || o.clients < 1 || o.duration < time.Second || o.ping < 0 {
		fmt.Fprintln(os.Stderr, "rac: it takes no arguments, one client or more, one second or more, and no negative ping")
		flag.Usage()
		os.Exit(2)
	}
	return o
}
