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
//
// The case soak compares nothing: sessions of every kind come, live and end through
// wswarden for some minutes, and what that needs is to stay as it is:
//
//	go run ./examples/benchmark -cases soak
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
	err = o.carryOut(ctx)
	if ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "benchmark:", err)
		os.Exit(1)
	}
}

// carryOut measures, and writes what it has found.
func (o options) carryOut(ctx context.Context) error {
	if slices.Contains(o.cases, caseSoak) {
		report, err := soaks(ctx, o, soakPlan{
			duration: o.duration, sessions: o.work.echoing, perSecond: max(1, o.work.echoing/50),
			unit: time.Second, every: 5 * time.Second, settle: 15 * time.Second,
		}, os.Stderr)
		if err != nil {
			return err
		}
		return errors.Join(o.write(report), report.verdict())
	}
	results, err := run(ctx, o, os.Stderr)
	if err != nil {
		return err
	}
	return o.write(results)
}

func (o options) write(found interface {
	writeTable(io.Writer) error
	writeJSON(io.Writer) error
}) error {
	if o.output == "json" {
		return found.writeJSON(os.Stdout)
	}
	return found.writeTable(os.Stdout)
}

type options struct {
	rounds       int
	work         work
	duration     time.Duration // of the soak
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
	flags.IntVar(&o.work.echoes, "echoes", 150_000, "128-byte `messages` in a round's echo case, in its inspect case, twice as many for each way to list, and half as many with TLS")
	flags.IntVar(&o.work.messages, "messages", 20_000, "64 KiB `messages` in a round's bulk case, and a quarter of them with TLS")
	flags.IntVar(&o.work.handshakes, "handshakes", 10_000, "`sessions` opened and closed in a round's handshake case, and a quarter of them with TLS")
	flags.IntVar(&o.work.sessions, "sessions", 9_000, "`sessions` held in a round's idle case, in its listing case, and up to 2,000 with TLS")
	flags.IntVar(&o.work.echoing, "echoing", 5_000, "`sessions` that echo in a round's reload case, or are the crowd of the soak; a fiftieth as many come and go in a second")
	flags.IntVar(&o.work.reloads, "reloads", 50, "`reloads` in it, five a second")
	flags.DurationVar(&o.settle, "settle", 3*time.Second, "`time` for which sessions are idle before their memory is taken, or echo before, between and after what the reload case measures")
	flags.DurationVar(&o.duration, "duration", 20*time.Minute, "`time` for which the soak lasts")
	only := flags.String("only", strings.Join(names, ","), "`targets`")
	some := flags.String("cases", strings.Join(cases, ","), "`cases`, or "+caseSoak+" alone")
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
	if min(o.rounds, w.echoes, w.messages, w.handshakes, w.sessions, w.echoing, w.reloads) < 1 || o.duration <= 0 {
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
	if !slices.Equal(o.cases, []string{caseSoak}) { // which is no round's
		oneOf("cases", o.cases, cases)
	}
	oneOf("output", []string{o.output}, []string{"table", "json"})
	return o, errors.Join(problems...)
}
