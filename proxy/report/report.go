package report

import (
	"iter"
	"runtime"
	"slices"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// Report tells what the rules of a policy have met in sessions, and what these have
// needed, keys being its settings as they may be shown, and since the moment at which it
// became as it is: what was met before was not met of these rules. It is in those that ended from one moment to another, at most the Span ago, and in
// those that live, which count with what they have come to so far. It looks at each of
// them a dozen times, and is not for a loop.
func (l *Ledger) Report(p *policies.Policy, keys settings, since, from, to policies.Moment, live []Record) api.PolicyReport {
	s, known := l.between(p.Name, from, to)
	if since > from {
		_, under := l.between(p.Name, since, to)
		known.refused = under.refused
	}
	s.parts = append(s.parts, live)
	t := api.PolicyReport{Policy: p.Name, Forgotten: known.forgotten, Rules: []api.RuleReport{}}
	hits := make([]int, len(rules))
	for r := range s.all() {
		t.Sessions++
		if r.Ended != 0 && r.Ended < since {
			continue
		}
		t.Judged++
		for i := range rules {
			if r.met(&rules[i].hits) {
				hits[i]++
			}
		}
	}
	values := make([]uint32, 0, t.Sessions)
	for i, rule := range rules {
		told := api.RuleReport{Rule: rule.key, Mode: string(policies.ModeEnforce), Hit: hits[i]}
		if p.Observes(rule.mode(p)) {
			told.Mode = string(policies.ModeObserve)
		}
		if rule.setting != nil {
			told.Setting = rule.setting(p, keys)
		} else {
			told.Setting = keys.text(rule.key)
		}
		for why, n := range known.refused {
			if rule.hits.Refusals&(1<<why) != 0 {
				told.Refused += n
			}
		}
		if rule.needs != noMeasure {
			told.Needed, told.Unit = s.percentiles(rule.needs, values)
		}
		if told.Setting != "" || told.Needed != nil {
			t.Rules = append(t.Rules, told)
		}
	}
	return t
}

// sample is some of all sessions.
type sample struct {
	parts    [][]Record
	from, to policies.Moment
}

// turn is how many records are looked at before others get the processor: the loops,
// above all. It takes some 50 µs.
const turn = 1024

// all yields those that have ended from one moment to the other, and those that live.
func (s sample) all() iter.Seq[*Record] {
	return func(yield func(*Record) bool) {
		n := 0
		for _, part := range s.parts {
			for i := range part {
				if n++; n%turn == 0 {
					runtime.Gosched()
				}
				r := &part[i]
				if (r.Ended == 0 || s.from <= r.Ended && r.Ended <= s.to) && !yield(r) {
					return
				}
			}
		}
	}
}

// measured says of each measure how it is told.
var measured = [Measures]struct {
	unit string
	per  float64 // how much of it is one of the unit
	some bool    // zero: it is not known
}{
	Subscriptions:    {"", 1, false},
	MessageBytes:     {"bytes", 1, false},
	MessagesInSecond: {"per_second", 1, false},
	BytesInSecond:    {"bytes_per_second", 1, false},
	Silence:          {"seconds", 1000, false},
	Age:              {"seconds", 1000, false},
	FirstMessage:     {"seconds", 1000, true},
	OfPolicy:         {"", 1, true},
	OfAddress:        {"", 1, true},
	OfIdentity:       {"", 1, true},
}

// percentiles are nil if nobody needed anything. The values are room for those of all
// sessions.
func (s sample) percentiles(m Measure, values []uint32) (*api.Percentiles, string) {
	of := measured[m]
	for r := range s.all() {
		if v := r.Needed[m]; v > 0 || !of.some {
			values = append(values, v)
		}
	}
	if len(values) == 0 || slices.Max(values) == 0 {
		return nil, ""
	}
	// The nearest rank: of so many in a hundred, or more, the value is at most that.
	at := func(percent int) float64 {
		return float64(nth(values, (len(values)*percent+99)/100-1)) / of.per
	}
	return &api.Percentiles{Sessions: len(values), P50: at(50), P90: at(90), P99: at(99), Max: at(100)}, of.unit
}

// nth is the value that would have an index if they were sorted, which takes several
// times as long. It finds one byte after the other, the highest first, by counting.
func nth(values []uint32, index int) (value uint32) {
	var known uint32 // the bits of value that are
	for shift := 24; shift >= 0; shift -= 8 {
		runtime.Gosched() // it takes as long as some turns
		var counts [256]int
		for _, v := range values {
			if v&known == value {
				counts[byte(v>>shift)]++
			}
		}
		b := 0
		for ; index >= counts[b]; b++ {
			index -= counts[b]
		}
		value |= uint32(b) << shift
		known |= 0xff << shift
	}
	return value
}
