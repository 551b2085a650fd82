package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"mime"
	"net/http"
	"path"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/prometheus/client_golang/prometheus"

	"wswarden/proxy/admin/api"
)

// The description and the handlers agree: on the routes and their parameters, on the
// types, and, as every test here has each answer checked, on what is answered.

var loadDescription = sync.OnceValues(func() (*openapi3.T, error) {
	for _, lines := range []string{"text/event-stream", ndjson} {
		openapi3filter.RegisterBodyDecoder(lines, openapi3filter.PlainBodyDecoder)
	}
	doc, err := openapi3.NewLoader().LoadFromData(description)
	if err != nil {
		return nil, err
	}
	return doc, doc.Validate(context.Background())
})

func loaded(t testing.TB) *openapi3.T {
	t.Helper()
	doc, err := loadDescription()
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

// describedAs is how a route's path stands in the description.
func describedAs(pattern string) (method, path string) {
	method, path, _ = strings.Cut(pattern, " ")
	return method, strings.TrimSuffix(path, "{$}")
}

// described checks an answer, and the request if that was found good.
func described(t testing.TB, s *Server, response *http.Response, body []byte) {
	t.Helper()
	doc, r := loaded(t), response.Request
	routes := s.http.Handler.(*guard).routes
	_, pattern := routes.mux.Handler(r)
	method, at := describedAs(pattern)
	item := doc.Paths.Value(at)
	if item == nil { // no route, or the dashboard's
		return
	}
	request := &openapi3filter.RequestValidationInput{
		Request:    r,
		PathParams: map[string]string{"id": path.Base(r.URL.Path), "name": path.Base(r.URL.Path)},
		Route:      &routers.Route{Spec: doc, Path: at, PathItem: item, Method: method, Operation: item.GetOperation(method)},
		Options:    &openapi3filter.Options{AuthenticationFunc: openapi3filter.NoopAuthenticationFunc, SkipSettingDefaults: true},
	}
	if err := openapi3filter.ValidateRequest(t.Context(), request); err != nil && response.StatusCode < 300 {
		t.Errorf("%s %s was answered, but is not as described: %v", r.Method, r.URL, err)
	}
	err := openapi3filter.ValidateResponse(t.Context(), &openapi3filter.ResponseValidationInput{
		RequestValidationInput: request,
		Status:                 response.StatusCode,
		Header:                 response.Header,
		Body:                   io.NopCloser(bytes.NewReader(body)),
		Options:                &openapi3filter.Options{IncludeResponseStatus: true, ExcludeResponseBody: response.Header.Get("Content-Type") == ndjson},
	})
	if err != nil {
		t.Errorf("%s %s: the answer is not as described: %v", r.Method, r.URL, err)
	}
	if response.Header.Get("Content-Type") == ndjson {
		for line := range bytes.Lines(body) {
			fits(t, "Session", line)
		}
	}
}

// fits checks JSON against a schema of the description.
func fits(t testing.TB, schema string, text []byte) {
	t.Helper()
	var value any
	if err := json.Unmarshal(text, &value); err != nil {
		t.Fatal(err)
	}
	if err := loaded(t).Components.Schemas[schema].Value.VisitJSON(value, openapi3.EnableJSONSchema2020()); err != nil {
		t.Errorf("%s is not as %s is described: %v", text, schema, err)
	}
}

func TestRoutesAndDescriptionAreTheSame(t *testing.T) {
	var served, told []string
	for _, route := range new(Server).routes(Options{Metrics: prometheus.NewRegistry()}).list {
		method, path := describedAs(route.pattern)
		served = append(served, fmt.Sprint(method, " ", path, " ", slices.Sorted(slices.Values(route.params))))
	}
	for path, item := range loaded(t).Paths.Map() {
		for method, op := range item.Operations() {
			params := []string{}
			for _, p := range op.Parameters {
				switch {
				case p.Value.In == "query":
					params = append(params, p.Value.Name)
				case !strings.Contains(path, "{"+p.Value.Name+"}"):
					t.Errorf("%s has no {%s}", path, p.Value.Name)
				}
			}
			slices.Sort(params)
			told = append(told, fmt.Sprint(method, " ", path, " ", params))
		}
	}
	slices.Sort(served)
	slices.Sort(told)
	if !slices.Equal(served, told) {
		t.Errorf("served:\n%s\ndescribed:\n%s", strings.Join(served, "\n"), strings.Join(told, "\n"))
	}
}

func TestWordsAndDescriptionAreTheSame(t *testing.T) {
	for schema, words := range map[string][]string{
		"State":     texts(api.States()),
		"EventKind": texts(api.EventKinds()),
	} {
		var told []string
		for _, word := range loaded(t).Components.Schemas[schema].Value.Enum {
			told = append(told, word.(string))
		}
		if !slices.Equal(told, words) {
			t.Errorf("%s: %q is described, there are %q", schema, told, words)
		}
	}
	for _, p := range loaded(t).Paths.Value("/v1/sessions").Get.Parameters {
		if want := `^-?(` + strings.Join(texts(api.Sorts()), "|") + `)$`; p.Value.Name == "sort" && p.Value.Schema.Value.Pattern != want {
			t.Errorf("sort: %s is described, not %s", p.Value.Schema.Value.Pattern, want)
		}
	}
}

func texts[T ~string](words []T) (texts []string) {
	for _, word := range words {
		texts = append(texts, string(word))
	}
	return texts
}

// Every type of package api has the fields that are described, and those that are
// always there are required.
func TestTypesAndDescriptionAreTheSame(t *testing.T) {
	for _, value := range []any{
		api.Page{}, api.Session{}, api.Flow{}, api.Detail{}, api.Times{}, api.RoundTrips{}, api.Subscription{},
		api.Forecast{}, api.Ended{}, api.Topics{}, api.Topic{}, api.Policies{}, api.Policy{}, api.Draining{},
		api.Readiness{}, api.Error{}, api.Event{}, api.Ending{}, api.Reloaded{}, api.Changes{}, api.Configuration{},
		api.Report{}, api.PolicyReport{}, api.RuleReport{}, api.Percentiles{},
	} {
		of := reflect.TypeOf(value)
		schema := loaded(t).Components.Schemas[of.Name()]
		if schema == nil {
			t.Errorf("%s is not described", of.Name())
			continue
		}
		if got, want := schemaFields(schema.Value), typeFields(of); !maps.Equal(got, want) {
			t.Errorf("%s: described (true: required):\n%v, the type has\n%v", of.Name(), got, want)
		}
	}
}

// schemaFields returns the names of a schema's properties, and whether they are required.
func schemaFields(s *openapi3.Schema) map[string]bool {
	fields := map[string]bool{}
	for name := range s.Properties {
		fields[name] = slices.Contains(s.Required, name)
	}
	for _, part := range s.AllOf {
		maps.Copy(fields, schemaFields(part.Value))
	}
	return fields
}

func typeFields(of reflect.Type) map[string]bool {
	fields := map[string]bool{}
	for i := range of.NumField() {
		f := of.Field(i)
		if f.Anonymous {
			maps.Copy(fields, typeFields(f.Type))
			continue
		}
		name, option, _ := strings.Cut(f.Tag.Get("json"), ",")
		fields[name] = option == ""
	}
	return fields
}

// Each operation is seen to give each of its answers, in each of its media types.
func TestEveryAnswerIsAsDescribed(t *testing.T) {
	untold := map[string]bool{}
	for path, item := range loaded(t).Paths.Map() {
		for method, op := range item.Operations() {
			for status, response := range op.Responses.Map() {
				for media := range response.Value.Content {
					untold[fmt.Sprint(method, " ", path, " ", status, " ", media)] = true
				}
			}
		}
	}
	// Those that take many at a time to be seen: TestScrapesAtATimeAreFew,
	// TestScansAtATimeAreFew, TestStreamsOfEventsAreFew and so on.
	maps.DeleteFunc(untold, func(answer string, _ bool) bool {
		return strings.Contains(answer, " 503 ") && !strings.Contains(answer, "/readyz")
	})

	closed := make(chan api.Event)
	close(closed)
	f := &fake{
		sessions: sessions(100),
		topics:   []api.Topic{{Topic: "XYZ", Policy: "default", Sessions: 2, Live: 1, Pending: 1}},
		policies: []api.Policy{{Name: "default", Mode: "enforce", Settings: map[string]any{"path": "/**"}}},
		events:   func(context.Context, int) <-chan api.Event { return closed },
		report:   reportOfAll,
	}
	w := start(t, f, withToken, withMetrics(prometheus.NewRegistry()))
	see := func(method, path, route string, header ...string) {
		t.Helper()
		response, _ := w.ask(method, path, header...)
		media, _, err := mime.ParseMediaType(response.Header.Get("Content-Type"))
		if err != nil {
			t.Errorf("%s %s: %v", method, path, err)
		}
		delete(untold, fmt.Sprint(method, " ", route, " ", response.StatusCode, " ", media))
	}
	id := f.sessions[0].ID.String()
	bearer := []string{"Authorization", "Bearer " + token}
	for _, route := range w.admin.http.Handler.(*guard).routes.list {
		method, at := describedAs(route.pattern)
		path := strings.NewReplacer("{id}", id, "{name}", "heap").Replace(at)
		see(method, path, at)
		see(method, path, at, "Host", "foreign.example")
		see(method, path+"?unknown=1", at, bearer...)
		switch at {
		case "/debug/pprof/profile", "/debug/pprof/trace": // which take a second: TestProfiles
			delete(untold, route.pattern+" 200 application/octet-stream")
			delete(untold, route.pattern+" 200 text/plain") // a response of all profiles; these have no text
			continue
		case "/v1/sessions":
			path += "?policy=staff"
		}
		see(method, path, at, bearer...)
	}
	for _, ready := range []bool{true, false} {
		f.readiness = checks(ready, map[string]string{"drain": "ok"})
		see("GET", "/readyz", "/readyz")
		see("GET", "/readyz?verbose", "/readyz")
	}
	for _, err := range []error{ErrDraining, errors.New("wswarden.yaml:1:1: listeners: is missing")} {
		f.refusal = err
		see("POST", "/v1/reload", "/v1/reload", bearer...)
	}
	see("GET", "/v1/sessions", "/v1/sessions", append(bearer, "Accept", ndjson)...)
	for _, method := range []string{"GET", "DELETE"} {
		see(method, "/v1/sessions/0000000000000001", "/v1/sessions/{id}", bearer...)
	}
	see("GET", "/debug/pprof/none", "/debug/pprof/{name}", bearer...)
	see("GET", "/debug/pprof/heap?debug=1", "/debug/pprof/{name}", bearer...)
	for answer := range untold {
		t.Errorf("not seen: %s", answer)
	}
}

func TestDescriptionIsServed(t *testing.T) {
	r, body := start(t, new(fake)).ask("GET", "/v1/openapi.yaml")
	if r.Header.Get("Content-Type") != "application/yaml" || body != string(description) {
		t.Errorf("%s: %.200s", r.Header.Get("Content-Type"), body)
	}
}
