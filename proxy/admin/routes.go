package admin

import (
	_ "embed"
	"net/http"
	"net/url"
	"slices"

	"wswarden/proxy/admin/api"
)

// route is one of what the server answers to.
type route struct {
	// pattern is ServeMux's: method and path.
	pattern string
	// params of the query; there may be no others.
	params []string
	// answer does it, or returns why not, before anything is written: a *statusError
	// or a *api.FieldError. Unless it is lax, the query has none but params.
	answer func(w http.ResponseWriter, r *http.Request, query url.Values) error
	// lax: there may be other parameters, which are somebody else's business or nobody's.
	lax bool
	// open: it holds no secret and needs no token.
	open bool
}

// routes finds a request's route.
type routes struct {
	mux  *http.ServeMux
	list []route
}

// routes returns all that there are. Each is in the description, openapi.yaml.
func (s *Server) routes(o Options) *routes {
	some := func(more ...string) []string { return append(api.FilterParams(), more...) }
	list := []route{
		{pattern: "GET /v1/sessions", params: some("sort", "limit", "cursor"), answer: s.list},
		{pattern: "GET /v1/sessions/{id}", answer: s.detail},
		{pattern: "DELETE /v1/sessions", params: some("code", "reason"), answer: s.end},
		{pattern: "DELETE /v1/sessions/{id}", params: []string{"code", "reason"}, answer: s.endOne},
		{pattern: "GET /v1/topics", params: some("limit"), answer: s.topics},
		{pattern: "GET /v1/events", params: []string{"kind", "policy", "session", "replay"}, answer: s.events},
		{pattern: "GET /v1/report", params: []string{"window", "policy"}, answer: s.report},
		{pattern: "POST /v1/drain", answer: s.drain},
		{pattern: "POST /v1/reload", answer: s.reload},
		{pattern: "GET /v1/policies", answer: s.policies},
		{pattern: "GET /v1/openapi.yaml", answer: describe},
		{pattern: "GET /healthz", answer: healthy, lax: true, open: true},
		{pattern: "GET /readyz", params: []string{"verbose"}, answer: s.ready, lax: true, open: true},
		{pattern: "GET /debug/pprof/{$}", answer: s.profiles},
		{pattern: "GET /debug/pprof/{name}", params: []string{"debug", "gc"}, answer: s.profile},
		{pattern: "GET /debug/pprof/profile", params: []string{"seconds"}, answer: s.cpuProfile},
		{pattern: "GET /debug/pprof/trace", params: []string{"seconds"}, answer: s.trace},
	}
	if o.Metrics != nil {
		list = append(list, route{pattern: "GET /metrics", answer: wrap(metricsHandler(o.Metrics)), lax: true})
	}
	if o.Dashboard != nil {
		list = append(list,
			route{pattern: "GET /{$}", answer: wrap(o.Dashboard), lax: true, open: true},
			route{pattern: "GET /assets/", answer: wrap(o.Dashboard), lax: true, open: true})
	}
	mux := http.NewServeMux()
	for _, route := range list {
		mux.Handle(route.pattern, route)
	}
	return &routes{mux, list}
}

func wrap(h http.Handler) func(http.ResponseWriter, *http.Request, url.Values) error {
	return func(w http.ResponseWriter, r *http.Request, _ url.Values) error {
		h.ServeHTTP(w, r)
		return nil
	}
}

func (x route) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	query, err := readQuery(r, x.params)
	if x.lax {
		query, err = r.URL.Query(), nil
	}
	if err == nil {
		err = x.answer(w, r, query)
	}
	if err != nil {
		refuse(w, err)
	}
}

// open reports whether a request needs no token: its route is one of those, and there
// is one.
func (x *routes) open(r *http.Request) bool {
	_, pattern := x.mux.Handler(r)
	return slices.ContainsFunc(x.list, func(route route) bool { return route.open && route.pattern == pattern })
}

func (x *routes) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h, pattern := x.mux.Handler(r); pattern == "" {
		missing := missing{header: w.Header()}
		h.ServeHTTP(&missing, r)
		refuse(w, missing.error(r))
		return
	}
	x.mux.ServeHTTP(w, r)
}

// missing takes what ServeMux says of a request that has no route, so that it can be
// said in JSON.
type missing struct {
	header http.Header
	status int
}

func (m *missing) Header() http.Header         { return m.header }
func (m *missing) WriteHeader(status int)      { m.status = status }
func (m *missing) Write(p []byte) (int, error) { return len(p), nil }

func (m *missing) error(r *http.Request) error {
	if m.status == http.StatusMethodNotAllowed {
		return refusal(m.status, "%s is not for this path; use one of %s", r.Method, m.header.Get("Allow"))
	}
	return refusal(http.StatusNotFound, "there is no such path; /v1/openapi.yaml tells which there are")
}

//go:embed openapi.yaml
var description []byte

// describe answers to GET /v1/openapi.yaml.
func describe(w http.ResponseWriter, _ *http.Request, _ url.Values) error {
	send(w, http.StatusOK, "application/yaml", description)
	return nil
}
