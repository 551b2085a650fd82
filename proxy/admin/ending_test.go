package admin

import (
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"wswarden/proxy/admin/api"
)

func TestEndSessions(t *testing.T) {
	f := &fake{sessions: sessions(10)} // of which 4 are passengers'
	w := start(t, f)
	id := f.sessions[0].ID.String()
	for _, row := range []struct {
		path   string
		status int
		asked  string // of the source; empty: nothing
		ended  int
		field  string // that is wrong
	}{
		{"?policy=passengers", 200, "policy=passengers 0 ", 4, ""},
		{"?policy=passengers&code=1012&reason=come+back", 200, "policy=passengers 1012 come back", 4, ""},
		{"?address=0.0.0.0/0", 200, "address=0.0.0.0%2F0 0 ", 10, ""},
		{"?policy=nobody", 200, "policy=nobody 0 ", 0, ""},
		{"?identity=7", 200, "identity_hash=" + api.HashIdentity("7") + " 0 ", 1, ""},
		{"/" + id, 200, id + " 0 ", 1, ""},
		{"/" + strings.ToUpper(id), 200, id + " 0 ", 1, ""},
		{"/" + id + "?code=4999&reason=" + url.QueryEscape(strings.Repeat("é", 61)), 200, id + " 4999 " + strings.Repeat("é", 61), 1, ""},
		{"/0000000000000001", 404, "0000000000000001 0 ", 0, ""},

		// All of them are meant only if that is said.
		{"", 400, "", 0, ""},
		{"?code=1001", 400, "", 0, ""},
		{"?policy=", 400, "", 0, "policy"},
		// A filter that is understood in part would end too many.
		{"?policy=staff&idle=5m", 400, "", 0, "idle"},
		{"?policy=staff&idle_for=5m;state=open", 400, "", 0, ""},
		{"?policy=staff&idle_for=5%zz", 400, "", 0, ""},
		{"?policy=staff&policy=default", 400, "", 0, "policy"},
		{"?policy=staff&state=dead", 400, "", 0, "state"},
		{"?policy=staff&limit=1", 400, "", 0, "limit"},
		{"/" + id + "?policy=staff", 400, "", 0, "policy"},
		{"/123", 400, "", 0, "id"},
		{"/" + id + "0", 400, "", 0, "id"},

		{"/" + id + "?code=", 400, "", 0, "code"},
		{"/" + id + "?code=x", 400, "", 0, "code"},
		{"/" + id + "?code=0", 400, "", 0, "code"},
		{"/" + id + "?code=-1", 400, "", 0, "code"},
		{"/" + id + "?code=1005", 400, "", 0, "code"},
		{"/" + id + "?code=1006", 400, "", 0, "code"},
		{"/" + id + "?code=1015", 400, "", 0, "code"},
		{"/" + id + "?code=2999", 400, "", 0, "code"},
		{"/" + id + "?code=5000", 400, "", 0, "code"},
		{"/" + id + "?code=66536", 400, "", 0, "code"}, // 1000, if the rest were cut off
		{"/" + id + "?reason=" + strings.Repeat("a", 124), 400, "", 0, "reason"},
		{"/" + id + "?reason=" + url.QueryEscape(strings.Repeat("é", 62)), 400, "", 0, "reason"},
		{"/" + id + "?reason=", 400, "", 0, "reason"},
		{"/" + id + "?reason=%ff", 400, "", 0, "reason"},
		{"?policy=staff&code=999", 400, "", 0, "code"},
	} {
		path := "/v1/sessions" + row.path
		if row.status != 200 {
			if e := w.refused(row.status, "DELETE", path); e.Field != row.field {
				t.Errorf("%s: field %q, want %q", path, e.Field, row.field)
			}
		} else if r, body := w.ask("DELETE", path); r.StatusCode != 200 {
			t.Errorf("%s: %d %s", path, r.StatusCode, body)
		} else {
			var got api.Ended
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.Ended != row.ended {
				t.Errorf("%s: %s, want %d", path, body, row.ended)
			}
		}
		if asked := w.takeAsked(); asked != row.asked {
			t.Errorf("%s: asked %q, want %q", path, asked, row.asked)
		}
	}
}

func TestDrain(t *testing.T) {
	w := start(t, &fake{sessions: sessions(3)})
	for _, want := range []api.Draining{{Sessions: 3, Timeout: 25}, {Sessions: 3, Timeout: 25, Already: true}} {
		r, body := w.ask("POST", "/v1/drain")
		var got api.Draining
		if err := json.Unmarshal([]byte(body), &got); err != nil || r.StatusCode != 202 || got != want {
			t.Errorf("%d %s, want %+v", r.StatusCode, body, want)
		}
	}
	if e := w.refused(400, "POST", "/v1/drain?timeout=1s"); e.Field != "timeout" {
		t.Errorf("%+v", e)
	}
}

func TestWhatChangesSomethingIsLogged(t *testing.T) {
	f := &fake{sessions: sessions(10)}
	w := start(t, f, withToken)
	id := f.sessions[0].ID.String()
	bearer := []string{"Authorization", "Bearer " + token}
	for _, row := range []struct {
		method, path string
		log          string // empty: no line
	}{
		{"GET", "/v1/sessions", ""},
		{"GET", "/v1/sessions/" + id, ""},
		{"DELETE", "/v1/sessions/0000000000000001", ""}, // nothing was changed
		{"DELETE", "/v1/sessions", ""},
		{"DELETE", "/v1/sessions?identity=secret&policy=staff&code=1012",
			`filter="identity_hash=` + api.HashIdentity("secret") + `&policy=staff" close_code=1012 reason="" ended=0`},
		{"DELETE", "/v1/sessions/" + id + "?reason=bye", fmt.Sprintf("session=%s close_code=0 reason=bye", id)},
		{"POST", "/v1/drain", "sessions=10 already=true"},
	} {
		before := w.log.String()
		w.ask(row.method, row.path, bearer...)
		line := strings.TrimPrefix(w.log.String(), before)
		if (line == "") != (row.log == "") || !strings.Contains(line, row.log) {
			t.Errorf("%s %s: logged %q, want %q", row.method, row.path, line, row.log)
		}
		if row.log != "" && (!strings.Contains(line, "level=INFO") || !strings.Contains(line, "by=127.0.0.1:")) {
			t.Errorf("%s %s: logged %q", row.method, row.path, line)
		}
	}
	for _, secret := range []string{token, "identity=secret"} {
		if strings.Contains(w.log.String(), secret) {
			t.Errorf("the log has %q:\n%s", secret, w.log)
		}
	}
}
