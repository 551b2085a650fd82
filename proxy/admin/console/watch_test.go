package console

import (
	"bytes"
	"context"
	"encoding/json"
	"strings"
	"testing"

	"wswarden/proxy/admin/api"
)

// Without a terminal there is one snapshot after the other.
func TestWatchPlain(t *testing.T) {
	t.Parallel()
	f := newFake(t, 3)
	c, out, _ := f.console()
	o := Watch{Query: Query{Sort: "-age", Limit: 2}, Interval: often, Count: 2}
	if err := c.Watch(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	if got := out.String(); strings.Count(got, "\n0000000000000003  passengers  10.0.0.3") != 2 || strings.Contains(got, "\x1b") ||
		!strings.Contains(got, "3 live  2 shown of 3\n") || strings.Count(got, "opened 0.0/s  ended 0.0/s\n") != 1 {
		t.Errorf("printed\n%s", got)
	}

	out.Reset()
	c.JSON = true
	if err := c.Watch(context.Background(), o); err != nil {
		t.Fatal(err)
	}
	lines := bytes.Split(bytes.TrimSpace(out.Bytes()), []byte("\n"))
	var s Snapshot
	if len(lines) != 2 || json.Unmarshal(lines[1], &s) != nil || *s.Live != 3 || s.Matched != 3 || len(s.Sessions) != 2 || *s.Opened != 0 {
		t.Errorf("printed\n%s", out)
	}
}

// The end of the context is the way to end it; the end of the server is a failure.
func TestWatchPlainEnds(t *testing.T) {
	t.Parallel()
	f := newFake(t, 1)
	c, _, _ := f.console()
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := c.Watch(ctx, Watch{Query: Query{Limit: 1}, Interval: often}); err != nil {
		t.Error(err)
	}
	f.server.Close()
	if err := c.Watch(context.Background(), Watch{Query: Query{Limit: 1}, Interval: often}); err == nil || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("%v", err)
	}
}

// What does not fit a page is streamed, and sorted here.
func TestListSorts(t *testing.T) {
	t.Parallel()
	f := newFake(t, 5)
	for limit, want := range map[int]int{0: 5, 2: 2, 2000: 5} {
		c, out, remarks := f.console()
		c.JSON = true
		var page api.Page
		if err := c.List(context.Background(), Query{Sort: "-messages", Limit: limit}); err != nil || json.Unmarshal(out.Bytes(), &page) != nil {
			t.Fatal(err, out)
		}
		if len(page.Sessions) != want || page.Matched != 5 || page.Sessions[0].ID != 5 || page.Sessions[1].ID != 4 || remarks.Len() > 0 {
			t.Errorf("limit %d: %s", limit, out)
		}
	}
}
