package console

import (
	"cmp"
	"fmt"
	"strings"

	"wswarden/proxy/admin/api"
)

// eventLine tells an event in one line.
func eventLine(e *api.Event) line {
	at := e.Time.Local().Format("15:04:05.000")
	if e.Kind == api.EventLost {
		return line{fmt.Sprintf("%s  %-10s  %s: they came faster than they were read", at, e.Kind, count(e.Lost, "event")), alarm}
	}
	words := []string{fmt.Sprintf("%s  %-10s  %s  %s  %s", at, clean(string(e.Kind)), e.Session, clean(e.Policy), e.Address)}
	limit := e.Limit
	if limit == e.Rule {
		limit = ""
	}
	for _, word := range []string{e.Identity, e.Topic, e.Reason, limit, wouldHave(e)} {
		if word != "" {
			words = append(words, clean(word))
		}
	}
	text := strings.Join(words, "  ")
	switch e.Kind {
	case api.EventLimitHit, api.EventWouldHave, api.EventRefused:
		return line{text, alarm}
	case api.EventEnded:
		if e.Ending != nil {
			text += "  " + ending(e.Ending)
		}
		return line{text, faint}
	}
	return line{text: text}
}

// wouldHave tells what a rule would have done; empty: the event is not about that.
func wouldHave(e *api.Event) string {
	if e.Rule == "" {
		return ""
	}
	does := map[string]string{
		"end":              "end the session",
		"refuse_handshake": "refuse the handshake",
		"refuse":           "refuse a subscription",
		"drop":             "drop a message",
		"delay":            "let the client wait",
		"evict":            "let the oldest go",
		"ping_client":      "ping the client",
		"ping_upstream":    "ping upstream",
	}[e.Action]
	text := fmt.Sprintf("%s would %s", e.Rule, cmp.Or(does, e.Action))
	if e.Cause != "" {
		text += ": " + e.Cause
	}
	return text
}

func ending(e *api.Ending) string {
	text := fmt.Sprintf("%s by %s after %s", clean(e.Cause), clean(e.Side), age(e.Duration))
	code := func(n uint16, side string) {
		if n != 0 {
			text += fmt.Sprintf(", %d %s", n, side)
		}
	}
	code(e.ClientCode, "client")
	code(e.UpstreamCode, "upstream")
	text += fmt.Sprintf(", %s / %s", flow(e.ClientToUpstream), flow(e.UpstreamToClient))
	if e.Subscriptions > 0 {
		text += fmt.Sprintf(", %d of %s undone", e.Unsubscribed, count(e.Subscriptions, "subscription"))
	}
	if e.ReleaseOutcome != "" {
		text += fmt.Sprintf(", upstream %s", clean(e.ReleaseOutcome))
		if t := trip(e.Release); t != "" {
			text += " in " + t
		}
	}
	return text
}
