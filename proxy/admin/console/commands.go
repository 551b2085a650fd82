package console

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
	"wswarden/proxy/admin/client"
)

// List shows sessions.
func (c *Console) List(ctx context.Context, q Query) error {
	page, err := c.page(ctx, q)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.json(page)
	}
	if err := c.print(sessionsTable(page.Sessions, q.Sort, false).all(c.width())...); err != nil {
		return err
	}
	if page.Matched > len(page.Sessions) {
		fmt.Fprintf(c.Err, "%d of %d sessions\n", len(page.Sessions), page.Matched)
	}
	return nil
}

// page returns the sessions that are asked for. What does not fit a page of the API is
// streamed, and sorted here.
func (c *Console) page(ctx context.Context, q Query) (api.Page, error) {
	if q.Limit > 0 && q.Limit <= client.PageLimit {
		page, err := c.Client.Sessions(ctx, q.Filter, q.Sort, q.Limit)
		page.Next = "" // the limit is the last page's end
		return page, err
	}
	page := api.Page{Sessions: []api.Session{}}
	for s, err := range c.Client.AllSessions(ctx, q.Filter) {
		if err != nil {
			return api.Page{}, err
		}
		page.Sessions = append(page.Sessions, s)
	}
	slices.SortFunc(page.Sessions, func(a, b api.Session) int { return q.Sort.Compare(&a, &b) })
	page.Matched = len(page.Sessions)
	if q.Limit > 0 {
		page.Sessions = page.Sessions[:min(q.Limit, len(page.Sessions))]
	}
	return page, nil
}

// Show tells all of one session.
func (c *Console) Show(ctx context.Context, id api.ID) error {
	d, err := c.Client.Session(ctx, id)
	if err != nil {
		return about(id, err)
	}
	if c.JSON {
		return c.json(d)
	}
	return c.print(detail(&d)...)
}

// about names the session that an error is about.
func about(id api.ID, err error) error {
	if isUnknown(err) {
		return fmt.Errorf("there is no session %s; it has ended, or is another wswarden's", id)
	}
	return err
}

func isUnknown(err error) bool {
	no, is := errors.AsType[*client.Error](err)
	return is && no.Status == http.StatusNotFound
}

// Kill ends sessions by their ids. Those that are not known it names; the others end.
func (c *Console) Kill(ctx context.Context, ids []api.ID, code uint16, reason string) error {
	var sum api.Ended
	var missed []error
	for _, id := range ids {
		ended, err := c.Client.EndOne(ctx, id, code, reason)
		if isUnknown(err) {
			missed = append(missed, about(id, err))
			continue
		}
		if err != nil {
			return err
		}
		sum.Ended += ended.Ended
	}
	if err := c.ended(sum); err != nil {
		return err
	}
	if len(missed) < 2 {
		return errors.Join(missed...)
	}
	for _, err := range missed {
		fmt.Fprintln(c.Err, err)
	}
	return fmt.Errorf("%d of %d sessions are not known; the others end", len(missed), len(ids))
}

// KillAll ends all that fit a filter, after a question unless it is sure.
func (c *Console) KillAll(ctx context.Context, f api.Filter, sure bool, code uint16, reason string) error {
	if !sure {
		page, err := c.Client.Sessions(ctx, f, "", 1)
		if err != nil {
			return err
		}
		if page.Matched == 0 {
			return c.ended(api.Ended{})
		}
		if !c.ask(fmt.Sprintf("End %s?", count(page.Matched, "session"))) {
			return errors.New("nothing was ended")
		}
	}
	ended, err := c.Client.End(ctx, f, code, reason)
	if err != nil {
		return err
	}
	return c.ended(ended)
}

func (c *Console) ended(e api.Ended) error {
	if c.JSON {
		return c.json(e)
	}
	return c.print(line{text: count(e.Ended, "session") + " ended"})
}

// ask returns whether the answer is yes; none is no.
func (c *Console) ask(question string) bool {
	fmt.Fprint(c.Err, question, " [y/N] ")
	answer, _ := bufio.NewReader(c.In).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}

// Topics shows what sessions subscribe to.
func (c *Console) Topics(ctx context.Context, f api.Filter, limit int) error {
	topics, err := c.Client.Topics(ctx, f, limit)
	if err != nil {
		return err
	}
	if c.JSON {
		return c.json(topics)
	}
	if err := c.print(topicsTable(topics.Topics).all(c.width())...); err != nil {
		return err
	}
	if topics.Matched > len(topics.Topics) {
		fmt.Fprintf(c.Err, "%d of %d topics\n", len(topics.Topics), topics.Matched)
	}
	if topics.Truncated {
		fmt.Fprintf(c.Err, "of sessions with more than %d subscriptions, the oldest ones are counted\n", api.MaxSubscriptions)
	}
	return nil
}

// Events shows events as they come, a line each, until the stream ends.
func (c *Console) Events(ctx context.Context, w client.Watch) error {
	for e, err := range c.Client.Events(ctx, w) {
		if err == nil && c.JSON {
			err = c.json(e)
		} else if err == nil {
			err = c.print(eventLine(&e))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// Drain begins to drain, and waits until no session is left if asked to.
func (c *Console) Drain(ctx context.Context, wait bool) error {
	d, err := c.Client.Drain(ctx)
	if err != nil {
		return err
	}
	switch {
	case c.JSON:
		err = c.json(d)
	case d.Already:
		err = c.print(line{text: count(d.Sessions, "session") + " left; the drain had begun before"})
	default:
		err = c.print(line{text: fmt.Sprintf("draining %s, for %s at most", count(d.Sessions, "session"), age(d.Timeout))})
	}
	if err != nil || !wait {
		return err
	}
	if err := c.drained(ctx, d.Timeout.Duration()+drainSlack); err != nil || c.JSON {
		return err
	}
	return c.print(line{text: "drained"})
}

const (
	drainSlack = 10 * time.Second       // for what is reset at the timeout to be gone
	drainPause = 200 * time.Millisecond // from an answer to the next question
)

// drained waits until no session is left. A wswarden that is done with draining ends,
// so that nothing listens any more.
func (c *Console) drained(ctx context.Context, longest time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, longest)
	defer cancel()
	left, broken := -1, 0
	for {
		page, err := c.Client.Sessions(ctx, api.Filter{}, "", 1)
		switch no, is := errors.AsType[*client.Error](err); {
		case err == nil && page.Matched == 0, client.Refused(err):
			return nil
		case err == nil:
			left, broken = page.Matched, 0
		case is && no.Status == http.StatusServiceUnavailable:
			// It ends just now, or too many ask.
		case is:
			return no
		case ctx.Err() == nil:
			// It may have ended in the middle of an answer.
			if broken++; broken > 2 {
				return err
			}
		}
		select {
		case <-ctx.Done():
			if left < 0 {
				return fmt.Errorf("cannot tell whether it is drained after %s; see its log", longest)
			}
			return fmt.Errorf("%s left after %s; see sessions list --state closing", count(left, "session"), longest)
		case <-time.After(drainPause):
		}
	}
}

// Reload has the configuration read again, and tells what has changed, or what is wrong.
func (c *Console) Reload(ctx context.Context) error {
	r, err := c.Client.Reload(ctx)
	if no, is := errors.AsType[*client.Error](err); is && len(no.Problems()) > 0 {
		return c.refused(no)
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return c.json(r)
	}
	return c.print(reloadedLines(&r)...)
}

var errRefused = errors.New("the configuration is refused, and nothing has changed")

func (c *Console) refused(no *client.Error) error {
	if c.JSON {
		return errors.Join(c.json(api.Error{Message: no.Error(), Problems: no.Problems()}), errRefused)
	}
	var lines []line
	for _, problem := range no.Problems() {
		lines = append(lines, line{text: problem})
	}
	return errors.Join(c.print(lines...), errRefused)
}

func reloadedLines(r *api.Reloaded) []line {
	if !r.Changed {
		return []line{{text: fmt.Sprintf("nothing to change: this configuration is in use since %s (%s)",
			r.Before.Loaded.Local().Format(time.TimeOnly), clean(r.Before.Why))}}
	}
	text := "reloaded"
	if took := trip(r.Took); took != "" {
		text += " in " + took
	}
	lines := []line{{text: fmt.Sprintf("%s; %s moved to new values", text, many(r.Sessions, "session"))}}
	if r.Ending > 0 {
		lines = append(lines, line{text: fmt.Sprintf("  %s of policies that are gone end", many(r.Ending, "session"))})
	}
	for _, of := range []struct {
		what string
		api.Changes
	}{{"policies", r.Policies}, {"listeners", r.Listeners}} {
		for _, done := range []struct {
			word  string
			names []string
		}{{"added", of.Added}, {"changed", of.Changed}, {"removed", of.Removed}} {
			if len(done.names) > 0 {
				lines = append(lines, line{text: fmt.Sprintf("  %-18s %s", of.what+" "+done.word, clean(strings.Join(done.names, ", ")))})
			}
		}
	}
	if len(r.Settings) > 0 {
		lines = append(lines, line{text: fmt.Sprintf("  %-18s %s", "settings changed", clean(strings.Join(r.Settings, ", ")))})
	}
	return lines
}

// Health tells whether wswarden is ready, or only whether it is live. A no is an error.
func (c *Console) Health(ctx context.Context, live bool) error {
	if live {
		if err := c.Client.Live(ctx); err != nil || c.JSON {
			return err
		}
		return c.print(line{text: "live"})
	}
	r, err := c.Client.Ready(ctx)
	if err != nil {
		return err
	}
	if c.JSON {
		err = c.json(r)
	} else if r.Ready {
		err = c.print(line{text: "ready"})
		if check := r.Checks[api.CheckConfiguration]; check != "" && check != "ok" {
			fmt.Fprintf(c.Err, "configuration: %s\n", clean(check))
		}
	}
	if r.Ready || err != nil {
		return err
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(r.Checks)) {
		if r.Checks[name] != "ok" && name != api.CheckConfiguration {
			wrong = append(wrong, clean(name)+": "+clean(r.Checks[name]))
		}
	}
	return fmt.Errorf("not ready: %s", strings.Join(wrong, ", "))
}
