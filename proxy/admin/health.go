package admin

import (
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"wswarden/proxy/admin/api"
)

// healthy answers to GET /healthz: who answers is alive.
func healthy(w http.ResponseWriter, _ *http.Request, _ url.Values) error {
	send(w, http.StatusOK, "text/plain; charset=utf-8", []byte("ok\n"))
	return nil
}

// ready answers to GET /readyz, in a word, and to GET /readyz?verbose with all checks.
func (s *Server) ready(w http.ResponseWriter, r *http.Request, query url.Values) error {
	readiness := s.source.Ready(r.Context())
	status := http.StatusOK
	if !readiness.Ready {
		status = http.StatusServiceUnavailable
	}
	if query.Has("verbose") {
		readiness.Checks = maps.Clone(readiness.Checks)
		if readiness.Checks == nil {
			readiness.Checks = map[string]string{}
		}
		readiness.Checks[api.CheckConfiguration] = configurationCheck(s.source.Configuration())
		return answer(w, status, readiness)
	}
	if readiness.Ready {
		send(w, status, "text/plain; charset=utf-8", []byte("ready\n"))
		return nil
	}
	var failed []string
	for _, check := range slices.Sorted(maps.Keys(readiness.Checks)) {
		if readiness.Checks[check] != "ok" {
			failed = append(failed, check)
		}
	}
	return refusal(status, "not ready: %s; /readyz?verbose tells more", strings.Join(failed, ", "))
}
