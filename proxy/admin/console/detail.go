package console

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
)

// detail tells all of a session in words.
func detail(d *api.Detail) []line {
	now := d.Opened.Add(d.Age.Duration()) // by wswarden's clock
	lines := []line{{"session " + d.ID.String(), strong}}
	say := func(name, format string, args ...any) {
		lines = append(lines, line{text: fmt.Sprintf("  %-14s", name) + fmt.Sprintf(format, args...)})
	}
	heading := func(text string) { lines = append(lines, line{}, line{text, strong}) }

	say("policy", "%s", clean(d.Policy))
	say("address", "%s", d.Address)
	if d.Identity != "" {
		say("identity", "%s", clean(d.Identity))
	}
	if d.Cause == "" {
		say("state", "%s", clean(string(d.State)))
	} else {
		say("state", "%s: %s", clean(string(d.State)), clean(d.Cause))
	}
	if len(d.WouldHave) > 0 {
		say("observed", "%s would have acted", clean(strings.Join(d.WouldHave, ", ")))
	}
	say("age", "%s, idle for %s", age(d.Age), age(d.Idle))
	say("from client", "%s", flow(d.ClientToUpstream))
	say("from upstream", "%s", flow(d.UpstreamToClient))
	for _, side := range []struct {
		name string
		r    api.RoundTrips
	}{{"client pings", d.ClientPings}, {"upstream pings", d.UpstreamPings}} {
		if r := side.r; r.Count > 0 {
			say(side.name, "%s: last %s, least %s, mean %s, most %s", count(r.Count, "round trip"), trip(r.Last), trip(r.Least), trip(r.Mean), trip(r.Most))
		}
	}

	if d.Next == nil {
		return lines // this is a listing's part of it
	}
	heading("Timeline")
	for _, event := range timeline(d) {
		lines = append(lines, line{text: fmt.Sprintf("  %s  %-12s %s", moment(event.at, now), distance(event.at, now), event.text)})
	}

	heading("Next, if nothing happens before")
	for _, f := range d.Next {
		lines = append(lines, line{text: fmt.Sprintf("  %-10s %-18s %s", "in "+age(f.In), clean(f.Rule), forecast(f))})
	}
	if len(d.Next) == 0 {
		lines = append(lines, line{"  no rule has anything to say", faint})
	}

	heading(fmt.Sprintf("Subscriptions: %d", d.Subscriptions))
	for _, s := range d.SubscribedTo {
		lines = append(lines, line{text: fmt.Sprintf("  %-9s %s", clean(s.State), clean(s.Topic))})
	}
	if more := d.Subscriptions - len(d.SubscribedTo); more > 0 {
		lines = append(lines, line{fmt.Sprintf("  and %d more", more), faint})
	}
	return lines
}

type happening struct {
	at   time.Time
	text string
}

// timeline has what is known of a session's past and of what is to come, in order.
func timeline(d *api.Detail) []happening {
	events := []happening{{d.Opened, "opened"}}
	t := &d.Times
	for _, e := range []struct {
		at   *time.Time
		text string
	}{
		{t.FirstMessage, "first message of the client"},
		{t.Message, "last message, either way"},
		{t.ClientFrame, "last frame of the client"},
		{t.UpstreamFrame, "last frame of upstream"},
		{t.ClientPing, "last ping to the client"},
		{t.ClientPong, "last pong of the client"},
		{t.UpstreamPing, "last ping to upstream"},
		{t.ClientWaits, "since then bytes wait for the client, which takes none"},
		{t.UpstreamWaits, "since then bytes wait for upstream, which takes none"},
		{t.Resumes, "the client, which has sent too fast, is read from again"},
		{t.Deadline, "what is left of it is reset"},
	} {
		if e.at != nil {
			events = append(events, happening{*e.at, e.text})
		}
	}
	slices.SortStableFunc(events, func(a, b happening) int { return a.at.Compare(b.at) })
	return events
}

func distance(t, now time.Time) string {
	if t.After(now) {
		return "in " + age(api.InSeconds(t.Sub(now)))
	}
	return age(api.InSeconds(now.Sub(t))) + " ago"
}

func forecast(f api.Forecast) string {
	does := func(verb, object string) string {
		if f.Mode == "observe" {
			return "would " + verb + " " + object
		}
		return verb + "s " + object
	}
	switch f.Action {
	case "ping_client":
		return does("ping", "the client")
	case "ping_upstream":
		return does("ping", "upstream")
	case "end":
		text := does("end", "the session")
		if f.Cause != "" {
			text += ": " + clean(f.Cause)
		}
		if f.CloseCode != 0 {
			text += fmt.Sprintf(", close code %d", f.CloseCode)
		}
		return text
	}
	return clean(f.Action)
}
