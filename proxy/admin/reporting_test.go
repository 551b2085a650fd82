package admin

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"wswarden/proxy/admin/api"
)

var reportOfAll = api.Report{Policies: []api.PolicyReport{
	{Policy: "passengers", Sessions: 4120, Forgotten: 3, Rules: []api.RuleReport{
		{Rule: "subscriptions.max", Setting: "20", Mode: "observe", Hit: 37, Needed: &api.Percentiles{Sessions: 4120, P50: 4, P90: 11, P99: 24, Max: 412}},
		{Rule: "idle.timeout", Mode: "enforce", Unit: "seconds", Needed: &api.Percentiles{Sessions: 4120, P50: 0.25, P90: 1, P99: 2, Max: 3}},
	}},
	{Policy: "staff"},
}}

func TestReport(t *testing.T) {
	w := start(t, &fake{report: reportOfAll})
	for _, row := range []struct {
		query  string
		status int
		asked  string // of the source: the policy and the window
		field  string // that is wrong
	}{
		{"", 200, "report  1h0m0s", ""},
		{"?window=1s", 200, "report  1s", ""},
		{"?window=2h", 200, "report  2h0m0s", ""},
		{"?window=90m&policy=staff", 200, "report staff 1h30m0s", ""},
		{"?window=999ms", 400, "", "window"},
		{"?window=2h1ns", 400, "", "window"},
		{"?window=-1h", 400, "", "window"},
		{"?window=60", 400, "", "window"},
		{"?window=", 400, "", "window"},
		{"?window=1h&window=2h", 400, "", "window"},
		{"?windows=1h", 400, "", "windows"},
		{"?policy=", 400, "", "policy"},
		{"?policy=nobody", 400, "report nobody 1h0m0s", "policy"},
	} {
		if row.status == 200 {
			report := get[api.Report](w, "/v1/report"+row.query)
			for _, p := range report.Policies {
				if p.Rules == nil {
					t.Errorf("%s: %s has null for its rules", row.query, p.Policy)
				}
			}
			if got := report.To.Sub(report.From); !strings.HasSuffix(row.asked, " "+got.String()) {
				t.Errorf("%s: of %s", row.query, got)
			}
		} else if e := w.refused(row.status, "GET", "/v1/report"+row.query); e.Field != row.field {
			t.Errorf("%s: field %q, want %q", row.query, e.Field, row.field)
		}
		if asked := w.takeAsked(); asked != row.asked {
			t.Errorf("%s: asked %q, want %q", row.query, asked, row.asked)
		}
	}
	if _, body := w.ask("GET", "/v1/report?policy=passengers"); !strings.Contains(body, `{"rule":"subscriptions.max","setting":"20","mode":"observe","hit":37,`+
		`"needed":{"sessions":4120,"p50":4,"p90":11,"p99":24,"max":412}}`) || strings.Contains(body, "staff") {
		t.Error(body)
	}
}

func TestReload(t *testing.T) {
	f := &fake{}
	w := start(t, f)
	for _, row := range []struct {
		name     string
		reloaded api.Reloaded
		err      error
		status   int
		want     string // a part of the answer
		log      string
	}{
		{"changed", api.Reloaded{Changed: true, Policies: api.Changes{Added: []string{"guests"}}, Sessions: 3, Took: 0.25}, nil, 200,
			`{"changed":true,"policies":{"added":["guests"],"changed":[],"removed":[]},"listeners":{"added":[],"changed":[],"removed":[]},"settings":[],"sessions":3,"ending":0,"took_seconds":0.25,"before":{`,
			"changed=true sessions=3"},
		{"not changed", api.Reloaded{}, nil, 200, `{"changed":false,`, "changed=false sessions=0"},
		{"one problem", api.Reloaded{}, errors.New("a.yaml:1:2: listeners: is missing"), 422,
			`{"error":"the configuration is refused, and nothing has changed: a.yaml:1:2: listeners: is missing","problems":["a.yaml:1:2: listeners: is missing"]}`, "problems=1"},
		{"two", api.Reloaded{}, errors.New("one\ntwo\n"), 422, `one, and 1 more problem","problems":["one","two"]}`, "problems=2"},
		{"three", api.Reloaded{}, errors.New("one\ntwo\nthree"), 422, `one, and 2 more problems"`, "problems=3"},
		{"drain", api.Reloaded{}, ErrDraining, 409, `drains`, ""},
	} {
		f.reloaded, f.refusal = row.reloaded, row.err
		before := w.log.String()
		if r, body := w.ask("POST", "/v1/reload"); r.StatusCode != row.status || !strings.Contains(body, row.want) {
			t.Errorf("%s: %d %s, want %d %s", row.name, r.StatusCode, body, row.status, row.want)
		}
		if line := strings.TrimPrefix(w.log.String(), before); !strings.Contains(line, row.log) || (line == "") != (row.log == "") {
			t.Errorf("%s: logged %q, want %q", row.name, line, row.log)
		}
	}
	w.takeAsked()
	if e := w.refused(400, "POST", "/v1/reload?force=1"); e.Field != "force" {
		t.Errorf("%+v", e)
	}
	w.refused(405, "GET", "/v1/reload")
	w.refused(403, "POST", "/v1/reload", "Origin", "https://foreign.example")
	w.refused(403, "POST", "/v1/reload", "Sec-Fetch-Site", "cross-site")
	w.refused(403, "POST", "/v1/reload", "Host", "foreign.example")
	if asked := w.takeAsked(); asked != "" {
		t.Errorf("done: %s", asked)
	}
}

// One that is under way keeps others waiting, and not for ever.
func TestReloadsOneByOne(t *testing.T) {
	s, err := New(Options{Address: "127.0.0.1:0", Source: new(fake)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	leave, err := s.reloads.wait(t.Context(), nil, "")
	if err != nil {
		t.Fatal(err)
	}
	if s.reloads.tryEnter() {
		t.Error("two at a time")
	}
	leave()
	if !s.reloads.tryEnter() {
		t.Error("none behind it")
	}
}

// Whoever may ask whether it is ready is told where a configuration is wrong, and
// nothing of what is in it.
func TestReadinessTellsOfTheConfiguration(t *testing.T) {
	failed := beginning
	refused := func(problems ...string) api.Configuration {
		return api.Configuration{Failed: &failed, Problems: problems}
	}
	withFirst := refused("a.yaml:3:5: policies[0].name: hunter2 is not one", "more")
	withFirst.First = "a.yaml:3:5: policies[0].name"
	for want, c := range map[string]api.Configuration{
		"ok": {Loaded: beginning},
		"the latest was refused at 2026-11-23T08:00:00Z":                                                        refused(),
		"the latest was refused at 2026-11-23T08:00:00Z: 1 problem":                                             refused("hunter2"),
		"the latest was refused at 2026-11-23T08:00:00Z: 2 problems, the first at a.yaml:3:5: policies[0].name": withFirst,
	} {
		for _, ready := range []bool{true, false} {
			f := &fake{configuration: c, readiness: checks(ready, map[string]string{"upstream": "refused"})}
			w := start(t, f, withToken)
			r, body := w.ask("GET", "/readyz?verbose")
			var got api.Readiness
			if err := json.Unmarshal([]byte(body), &got); err != nil || got.Ready != ready || (r.StatusCode == 200) != ready || got.Checks["configuration"] != want || len(got.Checks) != 2 {
				t.Errorf("%d %s, want %q", r.StatusCode, body, want)
			}
			if _, body := w.ask("GET", "/readyz"); strings.Contains(body, "configuration") {
				t.Errorf("in a word: %s", body)
			}
		}
	}
}

func TestTokenChanges(t *testing.T) {
	w := start(t, &fake{}, withToken)
	ask := func(token string) (status int) {
		r, _ := w.ask("GET", "/v1/policies", "Authorization", "Bearer "+token)
		return r.StatusCode
	}
	for _, row := range []struct {
		token         string
		with, without int // the first token, and any
	}{{"another", 401, 401}, {token, 200, 401}, {"", 200, 200}, {token, 200, 401}} {
		w.admin.SetToken(row.token)
		if with, without := ask(token), ask("x"); with != row.with || without != row.without || row.token != "" && ask(row.token) != 200 {
			t.Errorf("%q: %d and %d", row.token, with, without)
		}
	}
	w.admin.SetToken("")
	w.refused(403, "GET", "/debug/pprof/")
}
