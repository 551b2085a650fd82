//go:build linux

// The benchmark measures what wswarden costs beside the proxies that a user
// would pick instead, nginx and HAProxy, and beside no proxy at all:
//
//	go run ./examples/benchmark
//
// A load generator (this process), an echo upstream and every proxy run on
// this machine, over loopback. The figure is the CPU time of the proxy alone,
// for a fixed amount of work: it holds on a noisy machine, where wall time does
// not. The targets take turns, round by round, so that what disturbs the
// machine disturbs all of them.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

func main() {
	// Children are told of the death of the thread that started them: it
	// must be one that lives as long as the process.
	runtime.LockOSThread()
	if os.Getenv(roleVariable) == echoRole {
		fmt.Fprintln(os.Stderr, serveEcho(echoListener))
		os.Exit(1)
	}
	o, err := parseOptions(os.Args[1:], os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		os.Exit(0)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer stop()
	results, err := run(ctx, o, os.Stderr)
	switch {
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err == nil && o.output == "json":
		err = results.writeJSON(os.Stdout)
	case err == nil:
		err = results.writeTable(os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

type options struct {
	rounds       int
	work         work
	settle       time.Duration // how long sessions are idle before their memory is taken
	only, cases  []string
	output       string
	wswarden     string // a program; empty to build one
	before       string // a program; empty for none
	wswardenArgs []string
}

// work is what one round does in each case.
type work struct {
	echoes, messages, handshakes, sessions, echoing, reloads int
}

// quick replaces the defaults of flags that are not given.
var quick = map[string]string{
	"rounds": "2", "echoes": "75000", "messages": "10000", "handshakes": "5000", "sessions": "5000",
	"echoing": "2000", "reloads": "20",
}

func parseOptions(args []string, usage io.Writer) (options, error) {
	var names []string
	for _, t := range targets {
		names = append(names, t.name)
	}
	var o options
	flags := flag.NewFlagSet("benchmark", flag.ContinueOnError)
	flags.SetOutput(usage)
	flags.IntVar(&o.rounds, "rounds", 7, "`rounds`; each measures every case of every target")
	flags.IntVar(&o.work.echoes, "echoes", 150_000, "128-byte `messages` in a round's echo case, in its inspect case, and twice as many for each way to list")
	flags.IntVar(&o.work.messages, "messages", 20_000, "64 KiB `messages` in a round's bulk case")
	flags.IntVar(&o.work.handshakes, "handshakes", 10_000, "`sessions` opened and closed in a round's handshake case")
	flags.IntVar(&o.work.sessions, "sessions", 9_000, "`sessions` held in a round's idle case, and in its listing case")
	flags.IntVar(&o.work.echoing, "echoing", 5_000, "`sessions` that echo in a round's reload case")
	flags.IntVar(&o.work.reloads, "reloads", 50, "`reloads` in it, five a second")
	flags.DurationVar(&o.settle, "settle", 3*time.Second, "`time` for which sessions are idle before their memory is taken, or echo before, between and after what the reload case measures")
	only := flags.String("only", strings.Join(names, ","), "`targets`")
	some := flags.String("cases", strings.Join(cases, ","), "`cases`")
	flags.StringVar(&o.output, "output", "table", "table or json")
	flags.StringVar(&o.wswarden, "wswarden", "", "`program` to measure instead of one built from this tree")
	flags.StringVar(&o.before, "before", "", "another `program` of wswarden's to measure beside, as the target before")
	extra := flags.String("wswarden-args", "", "more `arguments` for wswarden, separated by blanks")
	hurry := flags.Bool("quick", false, "take about two minutes: fewer rounds of less work")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if *hurry {
		given := make(map[string]bool)
		flags.Visit(func(f *flag.Flag) { given[f.Name] = true })
		for name, value := range quick {
			if !given[name] {
				flags.Set(name, value)
			}
		}
	}
	o.only, o.cases = strings.Split(*only, ","), strings.Split(*some, ",")
	o.wswardenArgs = strings.Fields(*extra)

	var problems []error
	if flags.NArg() > 0 {
		problems = append(problems, fmt.Errorf("unknown argument %q", flags.Arg(0)))
	}
	w := o.work
	if min(o.rounds, w.echoes, w.messages, w.handshakes, w.sessions, w.echoing, w.reloads) < 1 {
		problems = append(problems, errors.New("every number must be above zero"))
	}
	oneOf := func(flag string, values, known []string) {
		for _, value := range values {
			if !slices.Contains(known, value) {
				problems = append(problems, fmt.Errorf("-%s: %q is none of %s", flag, value, strings.Join(known, ", ")))
			}
		}
	}
	oneOf("only", o.only, names)
	oneOf("cases", o.cases, cases)
	oneOf("output", []string{o.output}, []string{"table", "json"})
	return o, errors.Join(problems...)
}
