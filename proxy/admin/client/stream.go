package client

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"iter"
	"net/http"
	"net/url"
	"strconv"

	"wswarden/proxy/admin/api"
)

// longestLine of a stream.
const longestLine = 1 << 20

// AllSessions yields all that fit, in no order, as they arrive. An error comes last.
func (c *Client) AllSessions(ctx context.Context, f api.Filter) iter.Seq2[api.Session, error] {
	return func(yield func(api.Session, error) bool) {
		err := c.lines(ctx, "/v1/sessions", f.Query(), "application/x-ndjson", func(a *answer, line []byte) (bool, error) {
			if len(line) == 0 {
				return true, nil
			}
			var s api.Session
			if err := json.Unmarshal(line, &s); err != nil {
				return false, c.cut(a, err)
			}
			return yield(s, nil), nil
		})
		if err != nil {
			yield(api.Session{}, err)
		}
	}
}

// Watch says which events are wanted.
type Watch struct {
	// Kinds of events; none: all.
	Kinds []api.EventKind
	// Policy and Session that they are about; empty: any.
	Policy, Session string
	// Replay is how many of the latest sessions that have ended are told first.
	Replay int
}

// Events yields events as they come, until ctx is done or the stream ends. An error
// comes last, and there always is one.
func (c *Client) Events(ctx context.Context, w Watch) iter.Seq2[api.Event, error] {
	query := url.Values{}
	for _, kind := range w.Kinds {
		query.Add("kind", string(kind))
	}
	for name, value := range map[string]string{"policy": w.Policy, "session": w.Session} {
		if value != "" {
			query.Set(name, value)
		}
	}
	if w.Replay > 0 {
		query.Set("replay", strconv.Itoa(w.Replay))
	}
	return func(yield func(api.Event, error) bool) {
		var data []byte
		stopped := false
		err := c.lines(ctx, "/v1/events", query, "text/event-stream", func(a *answer, line []byte) (bool, error) {
			if value, is := bytes.CutPrefix(line, []byte("data:")); is {
				data = append(append(data, bytes.TrimPrefix(value, []byte(" "))...), '\n')
			}
			if len(line) > 0 || len(data) == 0 {
				return true, nil
			}
			var e api.Event
			err := json.Unmarshal(data, &e)
			data = data[:0]
			if err != nil {
				return false, c.cut(a, err)
			}
			stopped = !yield(e, nil)
			return !stopped, nil
		})
		switch {
		case stopped:
		case err != nil:
			yield(api.Event{}, err)
		default:
			yield(api.Event{}, c.broken(io.ErrUnexpectedEOF))
		}
	}
}

// lines calls each with the lines of an answer, until that has enough.
func (c *Client) lines(ctx context.Context, path string, query url.Values, accept string, each func(a *answer, line []byte) (more bool, err error)) error {
	a, err := c.send(ctx, http.MethodGet, path, query, accept)
	if err != nil {
		return err
	}
	defer a.Close()
	if a.status != http.StatusOK {
		text, err := io.ReadAll(io.LimitReader(a, longestLine))
		if err != nil {
			return c.broken(err)
		}
		return c.refused(a.status, text)
	}
	if accept == "text/event-stream" {
		a.wait()
	}
	scanner := bufio.NewScanner(a)
	scanner.Buffer(nil, longestLine)
	for scanner.Scan() {
		if more, err := each(a, scanner.Bytes()); !more || err != nil {
			return err
		}
	}
	if err := scanner.Err(); err != nil {
		return c.broken(err)
	}
	return nil
}

// cut makes an error of a line that cannot be read: the last one of an answer that
// breaks off is half a line.
func (c *Client) cut(a *answer, err error) error {
	if _, broken := io.Copy(io.Discard, io.LimitReader(a, longestLine)); broken != nil {
		return c.broken(broken)
	}
	return c.stranger("its answer cannot be read: " + err.Error())
}
