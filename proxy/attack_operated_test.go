package proxy_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"wswarden/policies"
	"wswarden/proxy/admin/api"
)

// A session that waits for a seat is listed so, and ends at once for an operator: its
// message never reaches upstream, and the seat is left to others.
func TestSessionThatWaitsIsKilled(t *testing.T) {
	t.Parallel()
	w := startOperated(t, byMessage(1, policies.ExcessEvictOldest))
	first, firstUp := w.open()
	first.send(first.frame(text, identify("a")))
	firstUp.want(text, identify("a"))
	second, secondUp := w.open()
	second.send(second.frame(text, identify("a")), second.frame(text, "behind"))
	firstUp.wantClose(1001, "superseded")

	waiting := w.list("state=waiting")
	if len(waiting) != 1 {
		t.Fatalf("%d wait", len(waiting))
	}
	id := waiting[0].ID.String()
	var d api.Detail
	if status := w.call("GET", "/v1/sessions/"+id, &d); status != http.StatusOK || d.State != api.StateWaiting {
		t.Errorf("status %d, %s", status, d.State)
	}
	var ended api.Ended
	if status := w.call("DELETE", "/v1/sessions/"+id+"?code=1000", &ended); status != http.StatusOK || ended.Ended != 1 {
		t.Errorf("status %d, %d ended", status, ended.Ended)
	}
	second.leave(1000, "killed")
	secondUp.leave(1001, "killed")
	w.wantEnd(policies.Killed, 1000)
	first.wantClose(1008, "superseded")
	first.answerClose(1008)
	firstUp.answerClose(1001)
	w.wantEnd(policies.Superseded, 1008)
	w.wantNoSeats()
}

// The client gets an operator's reason byte for byte, up to the last that a close frame
// has room for.
func TestReasonOfAnOperator(t *testing.T) {
	t.Parallel()
	w := startOperated(t, policies.Policy{Name: "p"})
	for _, c := range []struct {
		code, reason string
		want         uint16
	}{
		{"3000", strings.Repeat("é", 61) + "!", 3000},
		{"4999", "a\r\nb: c\x00\x1b[2J", 4999},
		{"1012", "%00 \\ \"", 1012},
	} {
		client, upstream := w.open()
		query := url.Values{"policy": {"p"}, "code": {c.code}, "reason": {c.reason}}.Encode()
		if status := w.call("DELETE", "/v1/sessions?"+query, nil); status != http.StatusOK {
			t.Errorf("%q: status %d", c.reason, status)
		}
		client.leave(c.want, c.reason)
		upstream.leave(1001, "killed")
		w.wantEnd(policies.Killed, c.want)
	}
}

// What is listed of a session that was held back, delayed, or dropped is what its client
// has sent, to the byte.
func TestFlowsOfWhatDoesNotPassAtOnce(t *testing.T) {
	t.Parallel()
	for _, excess := range []policies.Excess{policies.ExcessDelay, policies.ExcessDrop} {
		w := startOperated(t, policies.Policy{Name: "p", Dialect: "rac", Messages: policies.Messages{Rate: 1000, Burst: 2, OnExcess: excess}})
		client, upstream := w.open()
		var all [][]byte
		bytes := 0
		for range 50 {
			all = append(all, client.frame(textBegins, "once "), client.frame(ping, "!"), client.frame(goesEnd, "upon"), client.frame(text, "a time"))
		}
		for _, one := range all {
			bytes += len(one)
		}
		go func() {
			for first := byte(0); first != closing; {
				var err error
				if first, _, err = upstream.read(); err != nil {
					t.Errorf("upstream: %v", err)
					break
				}
			}
			upstream.end()
		}()
		client.send(all...)
		want := api.Flow{Messages: 100, Bytes: uint64(bytes)}
		w.until(func() bool { return w.list("")[0].ClientToUpstream == want })
		client.end()
		w.wantEnd(policies.ClientLost, 1001)
	}
}
