package console

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
)

// Snapshot is what Watch shows at a time.
type Snapshot struct {
	Time     time.Time `json:"time"`
	Draining bool      `json:"draining"`
	// Live sessions of the policy that is watched, or of all; nil: not known.
	Live *int `json:"live,omitempty"`
	// Opened and Ended, by cause, in a second since the snapshot before; nil in the
	// first one.
	Opened *float64           `json:"opened_per_second,omitempty"`
	Ended  map[string]float64 `json:"ended_per_second,omitempty"`
	api.Page

	query Query // that it answers
}

// watcher takes snapshots.
type watcher struct {
	client *client.Client
	before *client.Counters
	at     time.Time // of before
	policy string    // that before is of
}

// look asks for the metrics, and then for the sessions: never for both at a time.
func (w *watcher) look(ctx context.Context, q Query) (Snapshot, error) {
	policy := q.Filter.Policy
	counters, err := w.client.Counters(ctx, policy)
	now := time.Now()
	snapshot := Snapshot{Time: now, query: q}
	switch {
	case isUnknown(err):
		w.before = nil
	case err != nil:
		return Snapshot{}, err
	default:
		live := int(counters.Live)
		snapshot.Live, snapshot.Draining = &live, counters.Draining
		if w.before != nil && w.policy == policy {
			snapshot.rates(*w.before, counters, now.Sub(w.at).Seconds())
		}
		w.before, w.at, w.policy = &counters, now, policy
	}
	snapshot.Page, err = w.client.Sessions(ctx, q.Filter, q.Sort, q.Limit)
	snapshot.Next = ""
	return snapshot, err
}

// rates of what was counted in so many seconds. Counters that went back are those of
// a wswarden that was started anew.
func (s *Snapshot) rates(before, after client.Counters, seconds float64) {
	opened := (after.Opened - before.Opened) / seconds
	if seconds <= 0 || opened < 0 {
		return
	}
	s.Opened, s.Ended = &opened, map[string]float64{}
	for cause, n := range after.Ended {
		if n -= before.Ended[cause]; n > 0 {
			s.Ended[cause] = n / seconds
		}
	}
}

// header sums up a snapshot in three lines.
func (s *Snapshot) header(address string) []line {
	state := ""
	if s.Draining {
		state = "  DRAINING"
	}
	first := line{fmt.Sprintf("wswarden %s  %s%s", address, s.Time.Local().Format(time.TimeOnly), state), strong}
	second := ""
	if s.Live != nil {
		second = fmt.Sprintf("%d live  ", *s.Live)
	}
	second += fmt.Sprintf("%d shown of %d", len(s.Sessions), s.Matched)
	if text := words(s.query.Filter); text != "" {
		second += " with " + text
	}
	third := ""
	if s.Opened != nil {
		third = fmt.Sprintf("opened %s/s  ended ", rate(*s.Opened))
		sum := 0.0
		for _, n := range s.Ended {
			sum += n
		}
		third += rate(sum) + "/s"
		causes := make([]string, 0, len(s.Ended))
		for cause := range s.Ended {
			causes = append(causes, cause)
		}
		slices.SortFunc(causes, func(a, b string) int {
			if s.Ended[a] != s.Ended[b] {
				return cmp.Compare(s.Ended[b], s.Ended[a])
			}
			return cmp.Compare(a, b)
		})
		for _, cause := range causes {
			third += "  " + clean(cause) + " " + rate(s.Ended[cause])
		}
	}
	return []line{first, {text: second}, {text: third}}
}

func rate(n float64) string { return fmt.Sprintf("%.1f", n) }

// words spells a filter as it can be typed.
func words(f api.Filter) string {
	query := f.Query()
	text := ""
	for _, name := range api.FilterParams() {
		if value := query.Get(name); value != "" {
			text += " " + name + "=" + clean(value)
		}
	}
	if text != "" {
		text = text[1:]
	}
	return text
}

// Watch says how a watch goes on.
type Watch struct {
	Query
	// Interval from one snapshot to the next. It is above zero.
	Interval time.Duration
	// Count of snapshots; zero: until ctx is done, or somebody quits.
	Count int
}

// Watch shows sessions again and again: on a terminal as a live screen, elsewhere as
// one snapshot after the other. It ends without an error when ctx is done.
func (c *Console) Watch(ctx context.Context, o Watch) error {
	w := &watcher{client: c.Client}
	in, keys := terminal(c.In)
	out, screen := terminal(c.Out)
	if keys && screen && in.Fd() == 0 && out.Fd() == 1 && !c.JSON && o.Count == 0 {
		return c.live(ctx, w, o)
	}
	for n := 1; ; n++ {
		snapshot, err := w.look(ctx, o.Query)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil && c.JSON {
			err = c.json(snapshot)
		} else if err == nil {
			lines := snapshot.header(c.Client.Address())
			lines = append(lines, sessionsTable(snapshot.Sessions, o.Sort, true).all(c.width())...)
			err = c.print(append(lines, line{})...)
		}
		if err != nil || n == o.Count {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(o.Interval):
		}
	}
}
