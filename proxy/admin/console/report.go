package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/clipperhouse/displaywidth"

	"wswarden/proxy/admin/api"
)

// Report tells what the rules of all policies, or of one, have met.
func (c *Console) Report(ctx context.Context, policy string, window time.Duration) error {
	report, err := c.Client.Report(ctx, policy, window)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.json(report)
	}
	width := reportWidth
	if w := c.width(); w > 0 {
		width = min(w, reportWidth)
	}
	return c.print(reportLines(&report, window, width)...)
}

// reportWidth is how wide a report is at most: longer sentences are hard to read.
const reportWidth = 80

func reportLines(r *api.Report, window time.Duration, width int) (lines []line) {
	when := "in the last " + strings.TrimSuffix(strings.TrimSuffix(age(api.InSeconds(window)), "00s"), "00m")
	if window == time.Hour {
		when = "in the last hour"
	}
	if known := r.To.Sub(r.From); known < window-window/100 {
		when = "since wswarden was started " + age(api.InSeconds(known)) + " ago"
	}
	for i := range r.Policies {
		if i > 0 {
			lines = append(lines, line{})
		}
		lines = append(lines, policyLines(&r.Policies[i], when, width)...)
	}
	return lines
}

// policyLines tell first of the rules that are on, those that were hit most in front,
// then of what has no limit.
func policyLines(p *api.PolicyReport, when string, width int) (lines []line) {
	say := func(s style, margin, text string) { lines = append(lines, wrap(text, margin, width, s)...) }
	name := clean(p.Policy)
	if p.Gone {
		name += " (gone)"
	}
	say(strong, "", name+": "+many(p.Sessions, "session")+" "+when)
	if p.Forgotten > 0 {
		say(faint, "  ", fmt.Sprintf("and %s more, of which nothing is known any more", thousands(p.Forgotten)))
	}
	if p.Since != nil {
		say(plain, "  ", fmt.Sprintf("its rules are as they are since %s, and have judged %s", p.Since.Local().Format(time.TimeOnly), many(p.Judged, "session")))
	}
	var on, off []api.RuleReport
	var never []string
	for _, r := range p.Rules {
		switch {
		case r.Setting == "":
			off = append(off, r)
		case r.Hit+r.Refused == 0 && r.Needed == nil:
			never = append(never, subject(&r))
		default:
			on = append(on, r)
		}
	}
	slices.SortStableFunc(on, func(a, b api.RuleReport) int {
		return cmp.Or(cmp.Compare(b.Hit, a.Hit), cmp.Compare(b.Refused, a.Refused))
	})
	if len(on) > 0 {
		lines = append(lines, line{})
	}
	for _, r := range on {
		style := plain
		if r.Hit+r.Refused == 0 {
			style = faint
		}
		met, needed := met(&r, p.Judged), needed(&r, p.Judged)
		if needed != "" {
			met += ";"
		}
		say(style, "  ", met)
		if needed != "" {
			say(style, "    ", needed)
		}
	}
	if len(never) > 0 && p.Sessions > 0 {
		say(faint, "  ", "none has met "+strings.Join(never, "; "))
	}
	if len(off) > 0 {
		lines = append(lines, line{})
		say(strong, "  ", "Not limited, but measured; so much was needed, at most, by")
		for _, l := range neededTable(off).all(width - 2) {
			if l.style == strong {
				l.style = plain
			}
			lines = append(lines, line{"  " + l.text, l.style})
		}
	}
	return lines
}

// subject is a rule and its setting, which may be a long list.
func subject(r *api.RuleReport) string {
	return clean(r.Rule) + ": " + displaywidth.TruncateString(clean(r.Setting), 40, "…")
}

// met tells what a rule that is on has done, or would have.
func met(r *api.RuleReport, sessions int) string {
	text := subject(r) + " has"
	if r.Mode == "observe" {
		text = subject(r) + " would have"
	}
	switch {
	case r.Hit == 0 && r.Refused > 0:
	case r.Hit == 0:
		text += " hit none"
	case r.Hit == sessions:
		text += " hit all " + many(sessions, "session")
	default:
		text += fmt.Sprintf(" hit %s of %s (%s)", thousands(r.Hit), many(sessions, "session"), solid(percent(r.Hit, sessions)))
	}
	if r.Hit > 0 && r.Refused > 0 {
		text += ", and has"
	}
	if r.Refused > 0 {
		text += " refused " + many(r.Refused, "handshake")
	}
	return text
}

// needed tells what sessions needed for a rule not to be met; empty: it is not known.
func needed(r *api.RuleReport, sessions int) string {
	n := r.Needed
	if n == nil {
		return ""
	}
	text := "half"
	if n.Sessions != sessions {
		text = "half of the " + thousands(n.Sessions) + " of which it is known"
	}
	text += " needed at most " + solid(need(n.P50, r.Unit))
	most := "the largest"
	if r.Unit == "seconds" {
		most = "the longest"
	}
	for _, next := range []struct {
		of    string
		value float64
	}{{"90 %", n.P90}, {"99 %", n.P99}, {most, n.Max}} {
		text += ", " + solid(next.of+" "+need(next.value, r.Unit))
	}
	return text
}

// neededTable shows the measures of rules that are off.
func neededTable(rules []api.RuleReport) *table {
	t := &table{columns: []column{
		{name: ""},
		{name: "HALF", right: true},
		{name: "90 %", right: true},
		{name: "99 %", right: true},
		{name: "ALL", right: true},
		{name: "OF", right: true, rank: 1},
	}}
	for _, r := range rules {
		if r.Needed == nil {
			continue
		}
		n := r.Needed
		t.rows = append(t.rows, []string{
			clean(r.Rule), need(n.P50, r.Unit), need(n.P90, r.Unit), need(n.P99, r.Unit), need(n.Max, r.Unit), thousands(n.Sessions),
		})
	}
	return t
}
