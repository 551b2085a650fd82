package main

import (
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The lines stay within 100 columns and hold no control characters, so that
// they read the same on a terminal, through a pipe and in a file.

const columns = "%8s%6s%9s%7s%8s%7s"

func printHeader(out io.Writer, o options, limit int, admin string) {
	titles := fmt.Sprintf(columns, "sockets", "live", "zombies", "stale", "queued", "heap")
	fmt.Fprintf(out, `Two backends that leak as the RAC backend did, each with %d clients that do the same (seed %d).
One fleet connects directly, the other through wswarden. For %s clients come and go: most leave
politely, some vanish, hang, break the protocol or reset the connection, and some subscribe to
%d PNRs, of which the backends themselves limit none and wswarden lets %d pass.

zombie: a socket that the backend holds for a client that is gone or hangs; stale: a subscription
likewise; queued: MB that wait for clients to read; heap: the backend's, in MB, after a collection

wswarden's dashboard, while this runs: http://%s/

     %s  %s
     %s  %s
`, o.clients, o.seed, o.duration, manyPNRs, limit, admin, rule("direct", len(titles)), rule("through wswarden", len(titles)), titles, titles)
}

// rule is a line with a title in its middle, above columns of the given width.
func rule(title string, width int) string {
	line := width - 1 - len(title) - 2
	return " " + strings.Repeat("-", line/2) + " " + title + " " + strings.Repeat("-", line-line/2)
}

func printRows(out io.Writer, at time.Duration, direct, warded row) {
	fmt.Fprintf(out, "%4.0fs%s  %s\n", at.Seconds(), direct, warded)
}

func (r row) String() string {
	return fmt.Sprintf(columns, strconv.Itoa(r.sockets), strconv.Itoa(r.live), strconv.Itoa(r.zombies),
		strconv.Itoa(r.stale), megabytes(r.queued), megabytes(r.heap))
}

// printOutcome prints what the clients did and what the backends have kept.
func printOutcome(out io.Writer, waited time.Duration, direct, warded outcome) {
	line := func(what, direct, warded string) {
		fmt.Fprintf(out, "%-40s%12s%20s\n", what, direct, warded)
	}
	count := func(what string, of func(outcome) int64) {
		line(what, strconv.FormatInt(of(direct), 10), strconv.FormatInt(of(warded), 10))
	}
	line("\nWhat the clients did", "direct", "through wswarden")
	count("  connected", func(o outcome) int64 { return o.fleet.sessions.Load() })
	for i, f := range fates {
		count("  "+f.name, func(o outcome) int64 { return o.fleet.struck[i].Load() })
	}
	count("  were denied a subscription, times", func(o outcome) int64 { return o.fleet.denied.Load() })
	count("  were cut off while they behaved", func(o outcome) int64 { return o.fleet.cutOff.Load() })
	count("  could not connect", func(o outcome) int64 { return o.fleet.refused.Load() })
	for _, f := range []*fleet{direct.fleet, warded.fleet} {
		for _, t := range []*tally{&f.cutOff, &f.refused} {
			if why := t.last.Load(); why != nil {
				fmt.Fprintf(out, "    the last of them: %v\n", *why)
			}
		}
	}

	fmt.Fprintln(out, "\nWhat the backends have seen")
	count("  unsubscribes", func(o outcome) int64 { return int64(o.left.Unsubscribes) })
	count("  most PNRs held by one client", func(o outcome) int64 { return int64(o.left.MostPNRs) })

	fmt.Fprintf(out, "\nWhat the backends hold %.0fs after the last client has left\n", waited.Seconds())
	count("  zombies", func(o outcome) int64 { return int64(o.left.Clients) })
	count("  stale subscriptions", func(o outcome) int64 { return int64(o.left.Subscriptions) })
	count("  timers", func(o outcome) int64 { return int64(o.left.Timers) })
	line("  queued, MB", megabytes(direct.left.Queued), megabytes(warded.left.Queued))
	line("  heap above an empty backend's, MB", megabytes(direct.grown), megabytes(warded.grown))
}

// printCost prints what wswarden itself has taken.
func printCost(out io.Writer, peak uint64, now health) {
	fmt.Fprintf(out, "\nwswarden's own heap: %s MB now, at most %s MB\n", megabytes(now.Heap), megabytes(peak))
}

func megabytes(n uint64) string { return strconv.FormatFloat(float64(n)/1e6, 'f', 1, 64) }
