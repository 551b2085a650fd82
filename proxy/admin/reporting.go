package admin

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"wswarden/proxy/admin/api"
)

const (
	defaultWindow = time.Hour
	minWindow     = time.Second
	maxWindow     = 2 * time.Hour // for so long sessions that have ended are remembered
)

// report answers to GET /v1/report.
func (s *Server) report(w http.ResponseWriter, r *http.Request, query url.Values) error {
	window := defaultWindow
	if query.Has("window") {
		var err error
		if window, err = time.ParseDuration(query.Get("window")); err != nil || window < minWindow || window > maxWindow {
			return &api.FieldError{Field: "window", Text: fmt.Sprintf("%q is not a duration from 1s to 2h; write one such as 30m", query.Get("window"))}
		}
	}
	leave, err := s.scan(r.Context(), w)
	if err != nil {
		return err
	}
	defer leave()
	policy := query.Get("policy")
	report := s.source.Report(r.Context(), policy, window)
	switch {
	case r.Context().Err() != nil:
		return busy(w, "the report was cut short")
	case policy != "" && len(report.Policies) == 0:
		return &api.FieldError{Field: "policy", Text: fmt.Sprintf("there is no policy %q; /v1/policies tells which there are", policy)}
	}
	report.Policies = append([]api.PolicyReport{}, report.Policies...)
	for i := range report.Policies {
		p := &report.Policies[i]
		p.Rules = append([]api.RuleReport{}, p.Rules...)
	}
	return answer(w, http.StatusOK, report)
}

// ErrDraining is what a Source says to what is too late in a drain.
var ErrDraining = errors.New("wswarden drains, and is about to end")

// reload answers to POST /v1/reload. It is no failure of the request's if nothing has
// changed, and one of the configuration's if that is refused.
func (s *Server) reload(w http.ResponseWriter, r *http.Request, _ url.Values) error {
	leave, err := s.reloads.wait(r.Context(), w, "another reload is under way")
	if err != nil {
		return err
	}
	defer leave()
	// Who asks may go: what has begun is done, and told in the log.
	reloaded, err := s.source.Reload(context.WithoutCancel(r.Context()))
	if errors.Is(err, ErrDraining) {
		return refusal(http.StatusConflict, "%v", err)
	}
	if err != nil {
		problems := strings.Split(strings.TrimSpace(err.Error()), "\n")
		s.log.Info("asked to reload", "by", r.RemoteAddr, "problems", len(problems))
		return answer(w, http.StatusUnprocessableEntity, api.Error{
			Message:  "the configuration is refused, and nothing has changed: " + problems[0] + more(len(problems)-1),
			Problems: problems,
		})
	}
	s.log.Info("asked to reload", "by", r.RemoteAddr, "changed", reloaded.Changed, "sessions", reloaded.Sessions)
	for _, changes := range []*api.Changes{&reloaded.Policies, &reloaded.Listeners} {
		for _, names := range []*[]string{&changes.Added, &changes.Changed, &changes.Removed} {
			*names = append([]string{}, *names...)
		}
	}
	reloaded.Settings = append([]string{}, reloaded.Settings...)
	return answer(w, http.StatusOK, reloaded)
}

func more(problems int) string {
	switch problems {
	case 0:
		return ""
	case 1:
		return ", and 1 more problem"
	}
	return fmt.Sprintf(", and %d more problems", problems)
}

// configurationCheck tells of the latest configuration to those who may have no token:
// where the first problem is, and not what it is.
func configurationCheck(c api.Configuration) string {
	if c.Failed == nil {
		return "ok"
	}
	text := "the latest was refused at " + c.Failed.UTC().Format(time.RFC3339)
	switch n := len(c.Problems); n {
	case 0:
	case 1:
		text += ": 1 problem"
	default:
		text += fmt.Sprintf(": %d problems", n)
	}
	if c.First != "" {
		text += ", the first at " + c.First
	}
	return text
}
