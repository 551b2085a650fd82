package console

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/clipperhouse/displaywidth"

	"wswarden/proxy/admin/api"
)

func TestWords(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ got, want string }{
		{age(-1), "0s"},
		{age(0.9), "0s"},
		{age(59.9), "59s"},
		{age(60), "1m00s"},
		{age(785), "13m05s"},
		{age(2*3600 + 13*60 + 40), "2h13m"},
		{age(86399), "23h59m"},
		{age(3*86400 + 4*3600), "3d04h"},
		{trip(0), ""},
		{trip(0.0000001), "1µs"},
		{trip(0.00085), "850µs"},
		{trip(0.0012), "1.2ms"},
		{trip(0.0126), "12ms"},
		{trip(1.25), "1.2s"},
		{size(0), "0 B"},
		{size(1023), "1023 B"},
		{size(1024), "1.0 KiB"},
		{size(1258291), "1.2 MiB"},
		{size(1<<20 - 1), "1.0 MiB"},
		{size(1 << 63), "8192.0 PiB"},
		{count(1, "session"), "1 session"},
		{count(0, "session"), "0 sessions"},
		{clean("Zürich 東京"), "Zürich 東京"},
		{clean("a\x1b[2J\r\n\u009b\u202e\xff"), `a\u001b[2J\u000d\u000a\u009b\u202e` + "\ufffd"},
		{string(escape([]byte("\"a\u009b\u007f東\""))), `"a\u009b\u007f東"`},
		{moment(start.Add(-time.Hour), start), "04:06:07"},
		{moment(start.Add(-24*time.Hour), start), "2026-03-03 05:06:07"},
	} {
		if tt.got != tt.want {
			t.Errorf("%q, want %q", tt.got, tt.want)
		}
	}
}

// A table fits whatever width there is. What is most wanted stays longest.
func TestTableFits(t *testing.T) {
	t.Parallel()
	wide := session(2)
	wide.Policy = strings.Repeat("a-long-name-", 5)
	wide.Address = wide.Address.Unmap()
	wide.State, wide.Cause = api.StateClosing, "heartbeat_timeout"
	sessions := []api.Session{session(1), wide, session(9999)}
	for width := 1; width < 250; width++ {
		for _, l := range sessionsTable(sessions, "-ping", true).all(width) {
			if n := displaywidth.String(l.text); n > width {
				t.Fatalf("%d cells, want %d at most: %s", n, width, l.text)
			}
		}
	}
	heading := func(width int, order api.Sort) string {
		return strings.Join(strings.Fields(sessionsTable([]api.Session{session(1)}, order, false).all(width)[0].text), " ")
	}
	for width, want := range map[int]string{
		0:   "ID POLICY ADDRESS IDENTITY STATE AGE IDLE MESSAGES BYTES PING SUBS",
		120: "ID POLICY ADDRESS IDENTITY STATE AGE IDLE MESSAGES BYTES PING SUBS",
		80:  "ID POLICY ADDRESS STATE AGE IDLE BYTES PING",
		60:  "ID POLICY ADDRESS STATE AGE IDLE",
		40:  "ID ADDRESS AGE IDLE",
		24:  "ID AGE",
	} {
		if got := heading(width, "-age"); got != want {
			t.Errorf("width %d: %s, want %s", width, got, want)
		}
	}
	if got := heading(40, "subscriptions"); got != "ID ADDRESS AGE SUBS" {
		t.Errorf("sorted by subscriptions: %s", got)
	}
}

func TestTableAligned(t *testing.T) {
	t.Parallel()
	var got []string
	for _, l := range topicsTable([]api.Topic{
		{Topic: "東京", Policy: "p", Sessions: 12, Live: 3},
		{Topic: "a-topic-that-is-long", Policy: "", Sessions: 1, Pending: 1},
	}).all(54) {
		got = append(got, l.text)
	}
	want := []string{
		"TOPIC                 POLICY  SESSIONS  LIVE  PENDING",
		"東京                  p             12     3        0",
		"a-topic-that-is-long  -              1     0        1",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("\n%s, want\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestDetail(t *testing.T) {
	t.Parallel()
	s := session(2)
	s.Age = 60 // so that what comes first in the timeline is a minute ago
	d := detailed(s)
	d.State, d.Cause, d.Subscriptions = api.StateClosing, "idle", 3
	d.WouldHave = []string{"idle", "subscriptions.max"}
	for i, action := range []string{"ping_client", "ping_upstream", "end"} {
		d.Next = append(d.Next, api.Forecast{Rule: fmt.Sprint("observed ", i), Action: action, Mode: "observe", In: 600})
	}
	soon := d.Opened.Add(65 * time.Second)
	d.Times.Deadline = &soon
	var b strings.Builder
	for _, l := range detail(&d) {
		b.WriteString(l.text + "\n")
	}
	const want = `session 0000000000000002
  policy        passengers
  address       10.0.0.2
  identity      6025d18fe48abd45
  state         closing: idle
  observed      idle, subscriptions.max would have acted
  age           1m00s, idle for 30s
  from client   2 messages, 2.0 KiB
  from upstream 0 messages, 0 B
  client pings  2 round trips: last 12ms, least 400µs, mean 20ms, most 1.5s

Timeline
  05:04:07  1m00s ago    opened
  05:04:08  59s ago      first message of the client
  05:04:37  30s ago      last ping to the client
  05:04:37  30s ago      last pong of the client
  05:04:57  10s ago      last message, either way
  05:04:57  10s ago      last frame of the client
  05:05:12  in 5s        what is left of it is reset

Next, if nothing happens before
  in 20s     heartbeat          pings the client
  in 9m00s   idle               ends the session: idle, close code 1001
  in 10m00s  observed 0         would ping the client
  in 10m00s  observed 1         would ping upstream
  in 10m00s  observed 2         would end the session

Subscriptions: 3
  live      1722500001
  pending   evil\u001b[2J\u202e
  and 1 more
`
	if b.String() != want {
		t.Errorf("\n%s, want\n%s", b.String(), want)
	}
}

func TestEventLine(t *testing.T) {
	t.Parallel()
	s := session(255)
	base := api.Event{Time: start, Session: s.ID, Policy: s.Policy, Address: s.Address}
	for want, change := range map[string]func(e *api.Event){
		"05:06:07.000  opened      00000000000000ff  passengers  10.0.0.255": func(e *api.Event) { e.Kind = api.EventOpened },
		"05:06:07.000  subscribed  00000000000000ff  passengers  10.0.0.255  1722500001": func(e *api.Event) {
			e.Kind, e.Topic = api.EventSubscribed, "1722500001"
		},
		"05:06:07.000  limit_hit   00000000000000ff  passengers  10.0.0.255  subscriptions.max": func(e *api.Event) {
			e.Kind, e.Limit = api.EventLimitHit, "subscriptions.max"
		},
		"05:06:07.000  would_have  00000000000000ff  passengers  10.0.0.255  idle would end the session: idle": func(e *api.Event) {
			e.Kind, e.Rule, e.Action, e.Cause = api.EventWouldHave, "idle", "end", "idle"
		},
		"05:06:07.000  would_have  00000000000000ff  passengers  10.0.0.255  1722500001  subscriptions.max would refuse a subscription": func(e *api.Event) {
			e.Kind, e.Rule, e.Action, e.Limit, e.Topic = api.EventWouldHave, "subscriptions.max", "refuse", "subscriptions.max", "1722500001"
		},
		`05:06:07.000  would_have  00000000000000ff  passengers  10.0.0.255  connections.max  new\u001b[2J would do\u001b[2J`: func(e *api.Event) {
			e.Kind, e.Rule, e.Action, e.Limit = api.EventWouldHave, "new\x1b[2J", "do\x1b[2J", "connections.max"
		},
		"05:06:07.000  lost        3 events: they came faster than they were read": func(e *api.Event) {
			e.Kind, e.Lost = api.EventLost, 3
		},
		"05:06:07.000  ended       00000000000000ff  passengers  10.0.0.255  " +
			"heartbeat_timeout by wswarden after 2h13m, 1001 client, 1001 upstream, 1 message, 2 B / 0 messages, 0 B, 2 of 3 subscriptions undone, upstream closed in 3.0ms": func(e *api.Event) {
			e.Kind = api.EventEnded
			e.Ending = &api.Ending{Cause: "heartbeat_timeout", Side: "wswarden", ClientCode: 1001, UpstreamCode: 1001, Duration: 8000,
				ClientToUpstream: api.Flow{Messages: 1, Bytes: 2}, Subscriptions: 3, Unsubscribed: 2, Release: 0.003, ReleaseOutcome: "closed"}
		},
	} {
		e := base
		change(&e)
		if got := eventLine(&e).text; got != want {
			t.Errorf("\n%s, want\n%s", got, want)
		}
	}
}
