//go:build linux

package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"slices"
	"strings"
	"time"
	"unsafe"

	"wswarden/proxy/report"
)

// vital is one thing that is to stay the same.
type vital struct {
	name string
	of   func(m *moment) float64
}

var vitals = []vital{
	{"heap in use, MiB", func(m *moment) float64 { return m.sum("go_memstats_heap_inuse_bytes") / (1 << 20) }},
	// The collector's goal is twice what it has found alive (GOGC=100).
	{"heap alive at a collection, MiB", func(m *moment) float64 { return m.sum("go_memstats_next_gc_bytes") / (2 << 20) }},
	{"the same without the ledger, MiB", func(m *moment) float64 { return m.sum("go_memstats_next_gc_bytes")/(2<<20) - m.ledger() }},
	{"resident memory, MiB", func(m *moment) float64 { return m.sum("process_resident_memory_bytes") / (1 << 20) }},
	{"descriptors", func(m *moment) float64 { return m.sum("process_open_fds") }},
	{"goroutines", func(m *moment) float64 { return m.sum("go_goroutines") }},
	{"CPU, % of a core", func(m *moment) float64 { return m.busy }},
	{"messages sent back, a second", func(m *moment) float64 { return m.rate }},
	{"sessions", func(m *moment) float64 { return m.sum("wswarden_sessions_live") }},
	{"load of the machine", func(m *moment) float64 { return m.load }},
}

// moment is what was seen at one.
type moment struct {
	scrape
	hours float64 // since the first client
	busy  float64 // percent of a core since the moment before
	rate  float64 // messages sent back a second, since then
	load  float64 // average of the last minute, of all that runs on the machine
}

// ledger returns what is needed to remember the sessions that have ended, in MiB: for its
// reports, wswarden does so for two hours.
func (s scrape) ledger() float64 {
	return s.sum("wswarden_sessions_ended_total") * float64(unsafe.Sizeof(report.Record{})) / (1 << 20)
}

// samples looks at wswarden again and again, and returns what was seen when the first
// tenth of the soak was over.
func (s *soak) samples(began time.Time, progress io.Writer) (seen []*moment, err error) {
	lastCPU, err := cpuTime(s.process.Pid)
	if err != nil {
		return nil, err
	}
	lastMessages := s.messages.Load()
	for last, next := began, began; ; {
		next = next.Add(s.every)
		if next.After(began.Add(s.duration)) {
			return seen, nil
		}
		if err := pause(s.ctx, time.Until(next)); err != nil {
			return nil, err
		}
		m := new(moment)
		if m.scrape, err = s.process.scrape(s.ctx); err != nil {
			return nil, err
		}
		cpu, err := cpuTime(s.process.Pid)
		if err != nil {
			return nil, err
		}
		now := time.Now()
		m.hours = now.Sub(began).Hours()
		messages := s.messages.Load()
		m.busy = 100 * (cpu - lastCPU).Seconds() / now.Sub(last).Seconds()
		m.rate = float64(messages-lastMessages) / now.Sub(last).Seconds()
		lastCPU, lastMessages, last = cpu, messages, now
		average, _ := os.ReadFile("/proc/loadavg")
		fmt.Sscan(string(average), &m.load)
		if now.Sub(began) >= s.duration/10 {
			seen = append(seen, m)
		}
		fmt.Fprintf(progress, "%v: %.0f sessions, %.0f MiB, %.0f%% CPU, %d and %d errors\n", now.Sub(began).Round(time.Second),
			m.sum("wswarden_sessions_live"), m.sum("process_resident_memory_bytes")/(1<<20), m.busy, s.count(&s.faults), s.count(&s.oddities))
	}
}

func (s *soak) count(f *faults) int {
	s.turn.Lock()
	defer s.turn.Unlock()
	return f.Count
}

// rest is what wswarden holds while there is no session.
type rest struct {
	Heap        float64 `json:"heap_mib"`   // after a collection
	Ledger      float64 `json:"ledger_mib"` // of it
	Descriptors float64 `json:"descriptors"`
	Goroutines  float64 `json:"goroutines"`
}

func (s *soak) look() (r rest, err error) {
	if r.Heap, err = s.process.heap(s.ctx); err != nil {
		return r, err
	}
	m, err := s.process.scrape(s.ctx)
	r.Ledger, r.Descriptors, r.Goroutines = m.ledger(), m.sum("process_open_fds"), m.sum("go_goroutines")
	return r, err
}

// soakReport is what is told of a soak.
type soakReport struct {
	Seconds  float64     `json:"seconds"`
	Messages int64       `json:"messages"`
	Pages    int64       `json:"pages"`
	Vitals   []trend     `json:"vitals"`
	Ended    []ended     `json:"ended"`
	Refused  map[int]int `json:"refused"`
	Before   rest        `json:"before"`
	After    rest        `json:"after"`
	// What has to be zero.
	Faults   faults   `json:"faults"`           // of healthy clients
	Oddities faults   `json:"oddities"`         // of others: their session ended in another way than it should
	Left     float64  `json:"left"`             // sessions without a client
	Differ   []string `json:"differ,omitempty"` // causes that wswarden has counted another number of, by policy
}

// trend is how something went.
type trend struct {
	Name  string  `json:"name"`
	First float64 `json:"first_quarter"` // medians
	Last  float64 `json:"last_quarter"`
	Slope float64 `json:"per_hour"` // by least squares
	Error float64 `json:"error"`    // the slope's standard error
}

// ended is how many sessions have ended by a cause, as the clients know and as wswarden
// has counted.
type ended struct {
	Cause   string `json:"cause"`
	Clients int    `json:"clients"`
	Counted int    `json:"counted"`
}

func (s *soak) report(seen []*moment, before, after rest, left float64, counts scrape) *soakReport {
	r := &soakReport{
		Seconds: s.duration.Seconds(), Messages: s.messages.Load(), Pages: s.pages.Load(), Refused: s.refusals,
		Before: before, After: after, Faults: s.faults, Oddities: s.oddities, Left: left,
	}
	for _, v := range vitals {
		var hours, values []float64
		for _, m := range seen {
			hours, values = append(hours, m.hours), append(values, v.of(m))
		}
		quarter := max(1, len(values)/4)
		t := trend{Name: v.name, First: median(values[:min(quarter, len(values))]), Last: median(values[max(0, len(values)-quarter):])}
		t.Slope, t.Error = slope(hours, values)
		r.Vitals = append(r.Vitals, t)
	}
	byCause := make(map[string]*ended)
	note := func(cause string) *ended {
		if byCause[cause] == nil {
			byCause[cause] = &ended{Cause: cause}
		}
		return byCause[cause]
	}
	differs := func(o outcome, clients, counted int) {
		if clients != counted {
			r.Differ = append(r.Differ, fmt.Sprintf("%s of %s: %d, and %d by wswarden", o.cause, o.policy, clients, counted))
		}
	}
	counted := make(map[outcome]int)
	for _, m := range counts["wswarden_sessions_ended_total"].GetMetric() {
		var o outcome
		for _, l := range m.GetLabel() {
			switch l.GetName() {
			case "policy":
				o.policy = l.GetValue()
			case "cause":
				o.cause = l.GetValue()
			}
		}
		// Who does not wait for an answer does not know whether there was a session.
		if n := int(m.GetCounter().GetValue()); n > 0 && o.policy != hasty {
			counted[o] = n
			note(o.cause).Counted += n
		}
	}
	for o, n := range s.outcomes {
		note(o.cause).Clients += n
		differs(o, n, counted[o])
		delete(counted, o)
	}
	for o, n := range counted {
		differs(o, 0, n)
	}
	slices.Sort(r.Differ)
	for _, e := range byCause {
		r.Ended = append(r.Ended, *e)
	}
	slices.SortFunc(r.Ended, func(a, b ended) int { return b.Counted - a.Counted })
	return r
}

// slope returns that of the line that fits best, and its standard error; both are
// zero for less than three points.
func slope(x, y []float64) (slope, err float64) {
	n := float64(len(x))
	if n < 3 {
		return 0, 0
	}
	var meanX, meanY, xx, xy, rest float64
	for i := range x {
		meanX, meanY = meanX+x[i]/n, meanY+y[i]/n
	}
	for i := range x {
		xx += (x[i] - meanX) * (x[i] - meanX)
		xy += (x[i] - meanX) * (y[i] - meanY)
	}
	slope = xy / xx
	for i := range x {
		d := y[i] - meanY - slope*(x[i]-meanX)
		rest += d * d
	}
	return slope, math.Sqrt(rest / (n - 2) / xx)
}

// verdict says what is not zero that has to be.
func (r *soakReport) verdict() (err error) {
	for _, wrong := range []struct {
		what  string
		count int
	}{
		{"errors of healthy clients", r.Faults.Count},
		{"other clients whose session ended in another way than it should", r.Oddities.Count},
		{"sessions left without a client", int(r.Left)},
		{"causes that wswarden has counted another number of", len(r.Differ)},
	} {
		if wrong.count > 0 {
			err = errors.Join(err, fmt.Errorf("%d %s", wrong.count, wrong.what))
		}
	}
	return err
}

func (r *soakReport) writeJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

func (r *soakReport) writeTable(w io.Writer) error {
	var table strings.Builder
	fmt.Fprintf(&table, "%-34s%14s%14s%12s%10s\n", "", "first quarter", "last quarter", "per hour", "±")
	for _, t := range r.Vitals {
		fmt.Fprintf(&table, "%-34s%14.2f%14.2f%+12.2f%10.2f\n", t.Name, t.First, t.Last, t.Slope, t.Error)
	}
	fmt.Fprintf(&table, "\n%-34s%14s%14s\n", "without a session", "before", "after")
	for _, line := range []struct {
		name          string
		before, after float64
	}{
		{"heap after a collection, MiB", r.Before.Heap, r.After.Heap},
		{"of it the ledger, MiB", r.Before.Ledger, r.After.Ledger},
		{"descriptors", r.Before.Descriptors, r.After.Descriptors},
		{"goroutines", r.Before.Goroutines, r.After.Goroutines},
	} {
		fmt.Fprintf(&table, "%-34s%14.2f%14.2f\n", line.name, line.before, line.after)
	}
	fmt.Fprintf(&table, "\n%-34s%14s%14s\n", "sessions ended", "clients", "wswarden")
	var clients, counted int
	for _, e := range r.Ended {
		fmt.Fprintf(&table, "%-34s%14d%14d\n", e.Cause, e.Clients, e.Counted)
		clients, counted = clients+e.Clients, counted+e.Counted
	}
	fmt.Fprintf(&table, "%-34s%14d%14d\n\n", "all", clients, counted)
	for _, status := range slices.Sorted(maps.Keys(r.Refused)) {
		fmt.Fprintf(&table, "%-34s%14d\n", fmt.Sprintf("handshakes refused with %d", status), r.Refused[status])
	}
	for _, line := range []struct {
		name  string
		count int
	}{
		{"messages sent back", int(r.Messages)},
		{"pages by plain HTTP", int(r.Pages)},
		{"errors of healthy clients", r.Faults.Count},
		{"oddities of other clients", r.Oddities.Count},
		{"sessions left", int(r.Left)},
		{"causes counted differently", len(r.Differ)},
	} {
		fmt.Fprintf(&table, "%-34s%14d\n", line.name, line.count)
	}
	for _, text := range slices.Concat(r.Faults.First, r.Oddities.First, r.Differ) {
		fmt.Fprintf(&table, "  %s\n", text)
	}
	_, err := io.WriteString(w, table.String())
	return err
}
