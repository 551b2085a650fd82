package report

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"wswarden/policies"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// known returns how many sessions of a policy there are, and how many were forgotten.
func known(l *Ledger, policy string, from, to policies.Moment) string {
	p := policies.Default()
	p.Name = policy
	t := l.Report(&p, settingsOf(&p), 0, from, to, nil)
	return fmt.Sprint(t.Sessions, " and ", t.Forgotten)
}

func TestLedger(t *testing.T) {
	add := func(l *Ledger, policy string, n int, at policies.Moment) {
		for range n {
			l.Add(policy, Record{Ended: at})
		}
	}
	const day = 24 * time.Hour
	for _, row := range []struct {
		name     string
		do       func(l *Ledger)
		from, to policies.Moment
		want     string // sessions of passengers, and forgotten ones
	}{
		{"nothing", func(*Ledger) {}, 0, day, "0 and 0"},
		{"one", func(l *Ledger) { add(l, "passengers", 1, time.Hour) }, 0, day, "1 and 0"},
		{"another's", func(l *Ledger) { add(l, "guests", 1, time.Hour) }, 0, day, "0 and 0"},
		{"at the beginning", func(l *Ledger) { add(l, "passengers", 1, time.Hour) }, time.Hour, day, "1 and 0"},
		{"before it", func(l *Ledger) { add(l, "passengers", 1, time.Hour-1) }, time.Hour, day, "0 and 0"},
		{"at the end", func(l *Ledger) { add(l, "passengers", 1, time.Hour) }, 0, time.Hour, "1 and 0"},
		{"after it", func(l *Ledger) { add(l, "passengers", 1, time.Hour+1) }, 0, time.Hour, "0 and 0"},
		{"in some time before the process began", func(l *Ledger) { add(l, "passengers", 1, 1) }, -time.Hour, time.Second, "1 and 0"},
		{"of two loops, whose clocks differ", func(l *Ledger) {
			add(l, "passengers", 1, time.Hour+1)
			add(l, "passengers", 1, time.Hour-1)
		}, time.Hour, day, "1 and 0"},

		{"all that there is room for", func(l *Ledger) {
			add(l, "passengers", most, time.Hour)
			add(l, "guests", most, time.Hour)
		}, 0, day, fmt.Sprint(most, " and 0")},
		{"one more: room is made for some", func(l *Ledger) { add(l, "passengers", most+1, time.Hour) }, 0, day, fmt.Sprint(most-chunk+1, " and ", chunk)},
		{"forgotten ones of another time", func(l *Ledger) {
			add(l, "passengers", most, time.Hour)
			add(l, "passengers", 3*chunk, time.Hour+30*time.Minute)
		}, time.Hour + time.Minute, day, fmt.Sprint(3*chunk, " and 0")},
		{"what is too old is not counted as forgotten", func(l *Ledger) {
			add(l, "passengers", 3*chunk, time.Hour)
			add(l, "passengers", 1, time.Hour+Span+time.Second)
		}, 0, day, "1 and 0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var l Ledger
			row.do(&l)
			if got := known(&l, "passengers", row.from, row.to); got != row.want {
				t.Errorf("%s, want %s", got, row.want)
			}
		})
	}
}

// A policy that is gone leaves nothing, once all its sessions are too old.
func TestLedgerForgetsPolicies(t *testing.T) {
	var l Ledger
	for i := range 100 {
		at := time.Duration(i) * time.Hour
		for range chunk {
			l.Add(fmt.Sprint("policy ", i), Record{Ended: at + 1})
		}
		l.Refuse(fmt.Sprint("policy ", i), policies.RefusedOrigin, at)
	}
	if n := len(l.past); n > 4 {
		t.Errorf("%d policies are remembered, for %s", n, Span)
	}
}

// Sessions end on all loops while reports are made.
func TestLedgerOfManyGoroutines(t *testing.T) {
	const loops, each = 4, 4 * chunk
	var l Ledger
	var running sync.WaitGroup
	for i := range loops {
		running.Go(func() {
			for n := range each {
				l.Add("passengers", Record{Ended: policies.Moment(n + 1)})
				if n%chunk == i {
					known(&l, "passengers", 0, time.Hour)
					l.Refuse("passengers", policies.RefusedOrigin, policies.Moment(n))
				}
			}
		})
	}
	running.Wait()
	if got, want := known(&l, "passengers", 0, time.Hour), fmt.Sprint(loops*each, " and 0"); got != want {
		t.Errorf("%s, want %s", got, want)
	}
}
