package console

import (
	"strconv"
	"strings"

	"wswarden/proxy/admin/api"
)

// sessionsTable has the columns that sessions can be sorted by, in capitals, and the
// cause. The one that they are sorted by always stays, with a mark if asked for.
func sessionsTable(sessions []api.Session, order api.Sort, mark bool) *table {
	t := &table{columns: []column{
		{name: "ID"},
		{name: "POLICY", rank: 3, least: 8},
		{name: "ADDRESS", rank: 1, least: 13},
		{name: "IDENTITY", rank: 11},
		{name: "STATE", rank: 4},
		{name: "CAUSE", rank: 5, least: 10},
		{name: "AGE", right: true},
		{name: "IDLE", right: true, rank: 2},
		{name: "MESSAGES", right: true, rank: 9},
		{name: "BYTES", right: true, rank: 7},
		{name: "PING", right: true, rank: 8},
		{name: "SUBS", right: true, rank: 10},
	}}
	by, greatest := strings.CutPrefix(string(order), "-")
	if by == "subscriptions" {
		by = "subs"
	}
	for i := range t.columns {
		if c := &t.columns[i]; strings.EqualFold(c.name, by) {
			c.rank = 0
			if mark && greatest {
				c.name += "↓"
			} else if mark {
				c.name += "↑"
			}
		}
	}
	for i := range sessions {
		s := &sessions[i]
		t.rows = append(t.rows, []string{
			s.ID.String(), clean(s.Policy), s.Address.String(), clean(s.Identity), clean(string(s.State)), clean(s.Cause),
			age(s.Age), age(s.Idle),
			strconv.FormatUint(s.ClientToUpstream.Messages+s.UpstreamToClient.Messages, 10),
			size(s.ClientToUpstream.Bytes + s.UpstreamToClient.Bytes),
			trip(s.Ping), strconv.Itoa(s.Subscriptions),
		})
		style := plain
		switch s.State {
		case api.StateFinishing, api.StateClosing:
			style = alarm
		case api.StateWaiting:
			style = faint
		}
		t.styles = append(t.styles, style)
	}
	return t
}

func topicsTable(topics []api.Topic) *table {
	t := &table{columns: []column{
		{name: "TOPIC", least: 12},
		{name: "POLICY", rank: 1, least: 8},
		{name: "SESSIONS", right: true},
		{name: "LIVE", right: true, rank: 2},
		{name: "PENDING", right: true, rank: 3},
	}}
	for _, topic := range topics {
		t.rows = append(t.rows, []string{
			clean(topic.Topic), clean(topic.Policy),
			strconv.Itoa(topic.Sessions), strconv.Itoa(topic.Live), strconv.Itoa(topic.Pending),
		})
	}
	return t
}
