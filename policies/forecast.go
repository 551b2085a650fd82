package policies

import "slices"

// Forecast is what a rule says next if nothing happens before.
type Forecast struct {
	// Rule is the key of the policy that sets it, such as upstream_heartbeat. With
	// Verdict.Observe, it will only be told.
	Rule    string
	Verdict Verdict
	// At is when it says so: now or later.
	At Moment
}

// foreseen is how often at most a rule is asked for one forecast. It is asked more
// than a few times only while a ping is waited for whose timeout is many intervals.
const foreseen = 1000

// Forecasts returns what each rule would say next if nothing happened before, in the
// order of Check: each is asked again at the moment that it has named, until it has
// something to say. Rules that have nothing to say without an event are left out.
func (p *Policy) Forecasts(f *Facts, now Moment) []Forecast {
	all := p.answers(f, now)
	for i := range all {
		at := now
		for range foreseen {
			next := all[i].At
			if all[i].Verdict.Action != Nothing || next == Never {
				break
			}
			all[i], at = p.answers(f, next)[i], next
		}
		all[i].At = at
	}
	return slices.DeleteFunc(all, func(f Forecast) bool { return f.Verdict.Action == Nothing })
}

// answers returns what each rule says now, and in At when to ask it again.
func (p *Policy) answers(f *Facts, now Moment) (all []Forecast) {
	p.ask(f, now, func(v Verdict, next Moment) {
		all = append(all, Forecast{v.Rule(), v, next})
	})
	return all
}
